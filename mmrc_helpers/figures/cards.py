"""The gallery's page: worlds with their axes, and examples as cards, question above solution. One file that
needs nothing else; whatever comes from a world is escaped."""

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from PIL import Image

from mmrc_helpers.store.html import head
from mmrc_helpers.tasks.example import Example, Part, answer_of, question

SIDE = 880  # pixels: larger pictures are shrunk, so that the page stays small
EXACT = 160  # pixels: pictures up to this side are kept exactly
LONG = 600  # letters of a text beyond which it is folded


@dataclass(frozen=True, eq=False)
class World:
    """What the page shows of a world. axes: facet → the values that occur. cells: the facets that span its
    cells. rows: of each cell, one example in all views. read: picture → drawn, or its bytes. titles: picture
    → what it shows. note: said in place of rows."""

    name: str
    about: str
    axes: Mapping[str, Sequence[str]]
    cells: Sequence[str]
    rows: Sequence[Sequence[Example]]
    read: Callable[[str], Image.Image | bytes] | None = None
    titles: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, introduction: str, worlds: Iterable[World]) -> Iterable[str]:
    """The page in pieces."""
    shown, style = list(worlds), Path(__file__).with_suffix(".css").read_text("utf-8")
    links = "".join(f'<a href="#{escape(world.name)}">{escape(world.name)}</a>' for world in shown)
    yield f"""<!DOCTYPE html>
{head(title, style, POLICY)}
<body>
<main>
<h1>{escape(title)}</h1>
<p>{escape(introduction)}</p>
<nav aria-label="worlds">{links}</nav>
"""
    for world in shown:
        yield from _world(world)
    yield "</main>\n</body>\n</html>\n"


def _world(world: World) -> Iterable[str]:
    yield f'<section id="{escape(world.name)}"><h2>{escape(world.name)}</h2><p>{escape(world.about)}</p>'
    axes = "".join(
        f"<dt class={'spans' if name in world.cells else 'other'}>{escape(name)}</dt>"
        f"<dd>{escape(', '.join(values) or '–')}</dd>"
        for name, values in world.axes.items()
    )
    yield f'<dl class="axes">{axes}</dl>'
    if world.note:
        yield f'<p class="note">{escape(world.note)}</p>'
    several = any(len(views) > 1 for views in world.rows)
    yield f"<div class={'rows' if several else 'tiles'}>"
    for views in world.rows:
        spanning = [name for name in world.cells if name != "view" and views[0].facets.get(name)]
        heading = ", ".join(f"{name} {views[0].facets[name]}" for name in spanning)
        yield f'<div class="cell"><h3>{escape(heading)}</h3><div class="views">'
        yield from (_card(example, world, spanning) for example in views)
        yield "</div></div>"
    yield "</div></section>\n"


def _card(example: Example, world: World, told: Sequence[str]) -> str:
    """An example: the facets that are not told above it, its question, its solution."""
    varied = [name for name in world.axes if name not in told and len(world.axes[name]) > 1]
    varied.sort(key="view".__ne__)  # the view before the others
    kind = ", ".join(f"{name} {example.facets[name]}" for name in varied if example.facets.get(name))
    turns = "".join(
        (f'<span class="role">{escape(role)}</span>' if example.before else "") + _parts(parts, world)
        for role, parts in (example.contexts[example.gold] if example.contexts else question(example))
    )
    said = answer_of(example)
    option = example.options[example.gold] if example.options and example.gold >= 0 else ""
    solution = _text(f"{said}: {option}" if example.how not in ("", "pictures") else said or option)
    if example.how == "pictures":
        solution += _parts([("image", option)], world)
    elif not example.how and example.options:
        others = [text for text in example.options if text != said]
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        told = f"compared by probability with: {' · '.join(others[:3])}{more}"
        solution += f'<p class="kind">{escape(told)}</p>'
    return (
        f'<article><p class="kind">{escape(kind)}</p><div>{turns}</div>'
        f'<div class="solution"><b>answer</b>{solution}</div></article>'
    )


def _parts(parts: Iterable[Part], world: World) -> str:
    """The parts of a turn in order."""
    return "".join(
        _picture(content, world) if kind == "image" else _text(f" {content} ".strip() + " ")
        for kind, content in parts
    )


def _text(text: str) -> str:
    """A text with its line breaks; a long one scrolls, which a keyboard can reach."""
    if len(text) > LONG:
        return (
            f'<span class="said long" tabindex="0" role="region" aria-label="long text">{escape(text)}</span>'
        )
    return f'<span class="said">{escape(text)}</span>'


def _picture(name: str, world: World) -> str:
    """A picture inside the page, with what it shows in words."""
    drawn = world.read(name)
    if isinstance(drawn, bytes):
        with Image.open(io.BytesIO(drawn)) as file:
            drawn = file.convert("RGB")
    exact = max(drawn.size) <= EXACT
    drawn.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    drawn.save(buffer, "WEBP", lossless=exact, quality=85)
    width, height = drawn.size
    alt = f"Picture of {world.titles[name]}" if name in world.titles else f"Picture {name}"
    return (
        f'<img alt="{escape(alt)}" width="{width}" height="{height}" loading="lazy" '
        f'src="data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    )
