"""Pages that need nothing else: no network, no script, every picture described, data shown as text."""

import re

import nbformat
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mmrc_helpers.execution.pages import render_html, render_index
from mmrc_helpers.figures import style

HOSTILE = "<script>alert(1)</script>"


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
    assert "<script" not in page and page.count("&lt;script&gt;") >= 4


def test_every_picture_has_its_alternative_text(page):
    pictures = re.findall(r"<img[^>]*>", page)
    assert len(pictures) == 1 and re.search("alt=.A figure of", pictures[0])


def test_code_is_there_but_folded(page):
    assert '<details class="code">' in page and "<details open" not in page


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
