"""Executed notebooks become HTML files that need nothing else: no network, pictures inside, code folded, and
one small script of ours, the only one that the page allows to run."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from mmrc_helpers.execution.dressing import dress
from mmrc_helpers.store import files
from mmrc_helpers.store.html import head

PARAMETERS = {"parameters", "injected-parameters"}
OPEN = "mm.open_"  # the verbs that open a run or a study
ABSENT = 'class="does-not-apply"'  # of the sentence that a verb gives where its section does not apply
TEMPLATES = Path(__file__).resolve().parent / "templates"


def render_html(notebook: Path, page: Path) -> Path:
    """Write an executed notebook as one HTML page; its title is the first heading and the run. Returns the
    page."""
    import nbformat
    from nbconvert import HTMLExporter

    content = nbformat.read(notebook, as_version=4)
    content.cells = without_absent(without_opening(content.cells))
    heading, run = title_of(content), run_of(content)
    script = (TEMPLATES / "report" / "script.js").read_text(encoding="utf-8")
    total = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    resources = {"run": run, "title": f"{heading} ({run})" if run else heading}
    resources |= {"script": script, "script_sum": f"sha256-{total}"}
    exporter = HTMLExporter(
        template_name="report", extra_template_basedirs=[str(TEMPLATES)], exclude_anchor_links=True
    )
    html, _ = exporter.from_notebook_node(content, resources=resources)
    files.write_text(page, dress(html, page))
    return page


def without_opening(cells: Sequence) -> list:
    """The cells that a reader needs: without those between the title and the first verb, which choose the run
    and open it; the page's head says which it is."""
    opening = [
        place
        for place, cell in enumerate(cells)
        if cell.cell_type == "code"
        and (PARAMETERS & set(cell.metadata.get("tags", [])) or OPEN in cell.source)
    ]
    title = next((place for place, cell in enumerate(cells) if cell.cell_type == "markdown"), 0)
    return [*cells[: title + 1], *cells[max([title, *opening]) + 1 :]]


def without_absent(cells: Sequence) -> list:
    """The cells without sections that do not apply: a verb that says so, and the prose above it."""
    absent = {
        place for place, cell in enumerate(cells) if cell.cell_type == "code" and ABSENT in str(cell.outputs)
    }
    return [cell for place, cell in enumerate(cells) if not {place, place + 1} & absent]


def run_of(content) -> str:
    """The parameters a notebook was executed with, in words; empty for a notebook that papermill did not
    execute."""
    given = content.metadata.get("papermill", {}).get("parameters", {})
    named = {name: given[name] for name in ("study", "variant", "seed") if name in given}
    return ", ".join(f"{k} {Path(v).stem if k == 'study' else v}" for k, v in named.items())


def title_of(content) -> str:
    """The first heading of a notebook, without markup."""
    text = "\n".join(cell.source for cell in content.cells if cell.cell_type == "markdown")
    found = re.search(r"^#+\s+(.*)$", text, flags=re.MULTILINE)
    return re.sub(r"[`*_]", "", found.group(1)) if found else "Notebook"


def render_index(page: Path, title: str, question: str, rows: Sequence[Mapping]) -> Path:
    """Write a study's index: one row per run, {name, status, links: {label: relative path}}. Returns the
    page."""
    body = "".join(
        f"<tr><th scope=row>{escape(row['name'])}</th><td>{escape(row['status'])}</td>"
        f"<td>{_links(row['links'])}</td></tr>"
        for row in rows
    )
    style = (TEMPLATES / "report" / "style.css").read_text(encoding="utf-8")
    html = f"""<!DOCTYPE html>
{head(title, style)}
<body>
<main>
<h1>{escape(title)}</h1>
<p>{escape(question)}</p>
<table><thead><tr><th>run</th><th>status</th><th>pages</th></tr></thead><tbody>{body}</tbody></table>
</main>
</body>
</html>
"""
    if (
        not page.is_file() or page.read_text(encoding="utf-8") != html
    ):  # who only reads need not be able to write
        files.write_text(page, html)
    return page


def _links(links: Mapping[str, str]) -> str:
    return ", ".join(f'<a href="{escape(path)}">{escape(label)}</a>' for label, path in links.items())
