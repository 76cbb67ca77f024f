"""Pages about several studies: HTML files of the reports' style that open offline, without a script."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from mmrc_helpers.execution.pages import TEMPLATES
from mmrc_helpers.store.html import head

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
.study {display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; border-top: 1px solid #8886; padding: 1rem 0}
.study img {width: 20rem; max-width: 100%; height: auto; background: #fff; align-self: start}
.study div {flex: 1 1 22rem; min-width: 0; overflow-wrap: anywhere}
.study h2 {border: 0; margin: 0}
.study p {margin: .3rem 0}
.wide {overflow-x: auto}
@media print {.study {break-inside: avoid}}
"""
THUMBNAIL = 640  # pixels of width, shown at half of it


def page(title: str, body: str) -> str:
    """A whole page with this title and body."""
    style = (TEMPLATES / "report" / "style.css").read_text(encoding="utf-8") + STYLE
    return f"""<!DOCTYPE html>
{head(title, style, POLICY)}
<body>
<main>
<h1>{escape(title)}</h1>
{body}
</main>
</body>
</html>
"""


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table below its title; its first column names the rows."""
    heads = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in head)
    lines = [
        f"<tr><th scope=row>{escape(first)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    ]
    whole = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    region = f'<div class="wide" role="region" aria-label="{escape(title)}" tabindex="0">'
    return f"<h2>{escape(title)}</h2>{region}{whole}</div>"


def thumbnail(path: Path, alt: str) -> str:
    """A small copy of a picture, inside the page; nothing if there is no such picture or it is damaged."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
    except (OSError, SyntaxError, ValueError):  # what PIL raises for a file that is absent or no picture
        return ""
    buffer = io.BytesIO()
    small.quantize(64).save(buffer, format="PNG", optimize=True)
    source = base64.b64encode(buffer.getvalue()).decode()
    size = f'width="{small.width}" height="{small.height}"'
    return f'<img src="data:image/png;base64,{source}" {size} alt="{escape(alt)}">'
