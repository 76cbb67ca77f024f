"""Pages that need nothing else: no network, one script of ours, every picture described, data shown as text;
tables, files and links as a reader wants them."""

import base64
import hashlib
import re

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mmrc_helpers.execution.pages import TEMPLATES, render_html, render_index
from mmrc_helpers.figures import style

HOSTILE = "<script>alert(1)</script>"
FIGURE = {"image/png": {"alt": "A curve.", "name": "curve"}}


@pytest.fixture
def page(tmp_path) -> str:
    figure = Figure(figsize=(1, 1))
    figure.set_label(f'A figure of "{HOSTILE}"')
    data, metadata = style.image(figure)._repr_mimebundle_()
    outputs = [
        new_output("execute_result", data, metadata=metadata, execution_count=1),
        new_output("stream", text=HOSTILE),
        new_output("execute_result", {"text/plain": HOSTILE}, execution_count=1),
        new_output("error", ename="UserError", evalue=HOSTILE, traceback=[HOSTILE]),
    ]
    code = new_code_cell(f"name = '{HOSTILE}'", outputs=outputs, execution_count=1)
    cells = [new_markdown_cell("# Faces & `names`"), code]
    papermill = {"parameters": {"study": "params/small.yaml", "variant": "forward", "seed": 0}}
    nbformat.write(new_notebook(cells=cells, metadata={"papermill": papermill}), tmp_path / "note.ipynb")
    return render_html(tmp_path / "note.ipynb", tmp_path / "note.html").read_text(encoding="utf-8")


def test_a_page_names_its_language_and_its_title(page):
    title = "<title>Faces &amp; names (study small, variant forward, seed 0)</title>"
    assert '<html lang="en">' in page and title in page and "<main" in page
    assert '<p class="run">study small, variant forward, seed 0</p>' in page


def test_a_page_asks_nothing_of_the_network(page):
    assert (
        not re.search(r"(src|href)=[\"']?(https?:)?//", page) and "url(" not in page and "@import" not in page
    )
    assert "default-src 'none'" in page


def test_data_are_shown_as_text_wherever_they_appear(page):
    assert page.count("&lt;script&gt;") >= 4 and HOSTILE not in page


def test_the_only_script_is_ours_and_the_only_one_allowed(page):
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert page.count("<script") == 1 and script == (TEMPLATES / "report" / "script.js").read_text()
    total = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{total}'" in page


def test_every_picture_has_its_alternative_text(page):
    pictures = re.findall(r"<img[^>]*>", page)
    assert len(pictures) == 1 and re.search("alt=.A figure of", pictures[0])


def test_code_is_there_but_folded(page):
    assert '<details class="code">' in page and "<details open" not in page


def dressed(tmp_path, *cells) -> BeautifulSoup:
    """A page of these cells, (source, tags, HTML that it shows, if any); figures/curve.pdf lies beside it."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "curve.pdf").write_bytes(b"%PDF")
    made = [new_markdown_cell("# A study")]
    for source, tags, shown in cells:
        outputs = [new_output("execute_result", shown, metadata=FIGURE, execution_count=1)]
        made.append(new_markdown_cell(f"## About {source}\n\nWhat to look for."))
        made.append(new_code_cell(source, metadata={"tags": tags}, outputs=outputs, execution_count=1))
    nbformat.write(new_notebook(cells=made), tmp_path / "n.ipynb")
    return BeautifulSoup(render_html(tmp_path / "n.ipynb", tmp_path / "n.html").read_text(), "html.parser")


def test_a_table_has_one_head_and_whole_rows(tmp_path):
    rows = {("a", "accuracy"): [1.0, 2.0], ("a", "valid"): [3.0, 4.0], ("b", "accuracy"): [5.0, 6.0]}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["forward", "reverse"])
    table.index = pd.MultiIndex.from_tuples(rows, names=["variant", "condition"])
    table.columns.name = "cell"
    page = dressed(tmp_path, ("score", [], {"text/html": table._repr_html_()}))
    (head,), body = page.select("thead tr"), page.select("tbody tr")
    assert [cell.get_text() for cell in head] == ["variant", "condition", "forward", "reverse"]
    read = [[cell.get_text() for cell in row] for row in body]
    assert read == [
        ["a", "accuracy", "1.0", "2.0"],
        ["a", "valid", "3.0", "4.0"],
        ["b", "accuracy", "5.0", "6.0"],
    ]
    assert [bool(row.select(".again")) for row in body] == [False, True, False]
    assert page.select_one(".table")["aria-label"] == "About score" and not page.select("main style")


def test_the_verdict_comes_first_with_the_main_figure_beside_it(tmp_path):
    said = {"text/html": "<p>A gap of 19 points [13, 24], level 72.7 %.</p>"}
    page = dressed(
        tmp_path,
        ("gates", [], {"image/png": "aGk="}),
        ("verdict", ["verdict"], said),
        ("scores", ["main-figure"], {"image/png": "aGk="}),
        ("score", ["numbers"], {"text/html": "<table><thead><tr><th></th><th>cell</th></tr></thead>"
         "<tbody><tr><th>forward</th><td>72.7</td></tr></tbody></table>"}),
        ("sources", ["sources"], {"text/html": "<table><thead><tr><th>variant</th><th>seed</th></tr></thead>"
         "<tbody><tr><td>forward</td><td>0</td></tr><tr><td>forward</td><td>1</td></tr></tbody></table>"}),
    )  # fmt: skip
    headings = [heading.get_text() for heading in page.select("h2")]
    assert headings == [f"About {name}" for name in ("verdict", "scores", "gates", "score", "sources")]
    assert [link.get_text() for link in page.select("nav a")] == headings
    assert page.select_one("h1").find_next_sibling()["class"] == ["lead"]
    assert [len(of.select("figure, details:not(.code)")) for of in page.select(".lead section")] == [1, 3]
    ids = {tag["id"] for tag in page.select("[id]")}
    inside = [link["href"] for link in page.select("a[href^='#']")]
    assert inside and {href[1:] for href in inside} <= ids
    assert [a.get_text() for a in page.select(".verdict a")] == ["19 points [13, 24]", "72.7 %"]
    assert {a["href"] for a in page.select("#numbers tbody a")} == {"#from-forward"}
    assert [a["href"] for a in page.select(".lead figure .from a")] == ["#numbers", "#sources"]


def test_figures_link_to_their_files_for_print_and_folders_to_themselves(tmp_path, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "artifacts" / "eval" / "answers-1").mkdir(parents=True)
    table = pd.DataFrame({"folder": ["eval/answers-1", "eval/answers-2", HOSTILE]})
    shown = ("curve", [], {"image/png": "aGk="}), ("folders", [], {"text/html": table.to_html(index=False)})
    page = dressed(tmp_path, *shown)
    assert [a["href"] for a in page.select("figure .files a")] == ["figures/curve.pdf"]
    assert [a["href"] for a in page.select("td a")] == ["artifacts/eval/answers-1/"]
    assert not page.select("td script") and page.select("td")[2].get_text() == HOSTILE


def test_the_cells_that_choose_and_open_the_run_are_not_shown(tmp_path):
    def tagged(source: str, *tags: str):
        return new_code_cell(source, metadata={"tags": list(tags)})

    opening = [
        new_markdown_cell("The names below choose the run."),
        tagged('study = "smoke"', "parameters"),
        tagged('study = "mine"', "injected-parameters"),
        new_markdown_cell("Opening a run reads its file."),
        new_code_cell("import mmrc_helpers as mm\n\nrun = mm.open_run(study, variant, seed)"),
    ]
    verb = [new_markdown_cell("## How much there is"), new_code_cell("mm.make_data(run)")]
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Faces"), *opening, *verb]), tmp_path / "n.ipynb")
    html = render_html(tmp_path / "n.ipynb", tmp_path / "n.html").read_text(encoding="utf-8")
    assert "Faces" in html and "How much there is" in html and "mm.make_data(run)" in html
    assert not any(word in html for word in ("names below", "smoke", "mine", "Opening", "open_run"))


def test_a_page_prints(page):
    assert "@media print" in page


def test_the_index_lists_runs_with_status_and_links(tmp_path):
    rows = [{"name": HOSTILE, "status": "finished", "links": {"01_data": "forward-s0/01_data.html"}}]
    html = render_index(tmp_path / "index.html", "reversal", "A question?", rows).read_text(encoding="utf-8")
    assert '<a href="forward-s0/01_data.html">01_data</a>' in html and "finished" in html
    assert "<script" not in html and '<html lang="en">' in html and "A question?" in html
