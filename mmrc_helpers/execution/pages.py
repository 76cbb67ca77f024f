"""Executed notebooks become HTML files that need nothing else: no network, no script; pictures inside, code
folded."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from mmrc_helpers.store import files

TEMPLATES = Path(__file__).resolve().parent / "templates"


def render_html(notebook: Path, page: Path) -> Path:
    """Write an executed notebook as one HTML page; its title is the first heading and the run. Returns the
    page."""
    import nbformat
    from nbconvert import HTMLExporter

    content = nbformat.read(notebook, as_version=4)
    heading, run = title_of(content), run_of(content)
    resources = {"run": run, "title": f"{heading} ({run})" if run else heading}
    exporter = HTMLExporter(
        template_name="report", extra_template_basedirs=[str(TEMPLATES)], anchor_link_text=""
    )
    html, _ = exporter.from_notebook_node(content, resources=resources)
    files.write_text(page, html)
    return page


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
    files.write_text(
        page,
        f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p>{escape(question)}</p>
<table><thead><tr><th>run</th><th>status</th><th>pages</th></tr></thead><tbody>{body}</tbody></table>
</main>
</body>
</html>
""",
    )
    return page


def _links(links: Mapping[str, str]) -> str:
    return ", ".join(f'<a href="{escape(path)}">{escape(label)}</a>' for label, path in links.items())
