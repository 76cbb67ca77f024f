"""Sheets of pictures and text for reading by eye: facts, questions, a training batch, mistakes. They are
HTML, so that text can be selected and every picture has its own alternative text; whatever comes from data is
escaped."""

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from urllib.parse import urlencode

import pandas as pd
from PIL import Image, UnidentifiedImageError

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import LETTERS, Example, answer_of, user_turn

Read = Callable[[str], bytes]  # the name of a picture → its encoded bytes
THUMBNAIL = 128  # pixels; larger pictures are shrunk, so that a report stays small
DIAGRAM = 512  # pixels, likewise, of pictures kept in few colours: they have words or symbols to read
LONG = 600  # letters of a fact's text beyond which it scrolls

STYLE = """<style>
.sheet {display: grid; gap: .9em; margin: .6em 0}
.sheet figure, .sheet .card {margin: 0; padding: .6em .8em; border: 1px solid #8886; border-radius: 6px}
.sheet .row {display: flex; flex-wrap: wrap; gap: .5em; align-items: flex-end}
.sheet img {width: 92px; height: 92px; border-radius: 4px; object-fit: cover; margin: 0;
  vertical-align: middle}
.sheet img.diagram {display: block; width: auto; height: auto; max-width: 100%}
.sheet .shown {display: inline-block; text-align: center; vertical-align: bottom; font-size: .85em; padding:
2px} .sheet .right {outline: 3px solid #009E73; border-radius: 5px}
.sheet .wrong {outline: 3px dashed #D55E00; border-radius: 5px}
.sheet .pair {display: grid; grid-template-columns: 1fr 1fr; gap: .5em}
.sheet .kind {font-size: .85em; opacity: .75}
.sheet .said {white-space: pre-wrap}
.sheet .long {display: block; max-height: 24em; overflow: auto}
.sheet .tokens {font-family: monospace; font-size: .85em; line-height: 1.9; overflow-wrap: anywhere}
.sheet .tokens span {border: 1px solid #8884; border-radius: 3px; padding: 1px 2px; white-space: pre-wrap}
.sheet .tokens mark {background: #F0E442; color: #000; font-weight: bold; text-decoration: underline;
  border-radius: 3px; padding: 1px 2px; white-space: pre-wrap}
@media print {.sheet figure, .sheet .card {break-inside: avoid} .sheet .long {max-height: none}}
</style>"""


def facts(rows: Sequence[Mapping], read: Read, pictures: int = 6) -> str:
    """A contact sheet: each fact's title and text, with several of its pictures side by side.

    rows: of a data folder's facts. pictures: per fact, spread over all it has.
    """
    cards = []
    for row in rows:
        chosen = row["pictures"][:: max(1, len(row["pictures"]) // pictures)][:pictures]
        shown = "".join(
            _picture(read(name), f"{row['title']}, picture {k}") for k, name in enumerate(chosen, 1)
        )
        text = f"<b>{escape(row['title'])}</b><br>{_words(row['text'])}"
        cards.append(f'<figure><div class="row">{shown}</div><figcaption>{text}</figcaption></figure>')
    return _sheet(cards)


def questions(examples: Iterable[Example], read: Read, titles: Mapping[str, str]) -> str:
    """Example questions as the model sees them, in order, each with its right answer. titles: picture → what
    it shows."""
    cards = []
    for example in examples:
        kind = ", ".join(f"{name} {value}" for name, value in example.facets.items() if value)
        turn = "".join(_part(kind, content, read, titles) for kind, content in user_turn(example))
        said = answer_of(example) or (example.options[example.gold] if example.options else "")
        answer = f'<div>→ <b class="said">{escape(said)}</b></div>'
        cards.append(
            f'<div class="card"><div class="kind">{escape(kind)}</div><div>{turn}</div>{answer}</div>'
        )
    return _sheet(cards)


def batch(rows: Sequence[Mapping], read: Read, titles: Mapping[str, str]) -> str:
    """Training rows token by token; marked tokens carry loss, the others are context.

    rows: content of batch.json, {tokens, mask, images} and, for sides of a pair, `side`; these stand side by
    side. Runs of the same token are written once with their number.
    """
    cards, number = [], 0
    for row in rows:
        number += row.get("side") != "rejected"
        pictures = "".join(_picture(read(name), _alt(name, titles)) for name in row["images"])
        tokens = " ".join(
            _token(token, bool(supervised), sum(1 for _ in run))
            for (token, supervised), run in groupby(zip(row["tokens"], row["mask"], strict=True))
        )
        side = f", {row['side']}" if row.get("side") else ""
        counted = f"row {number}{side}: {sum(row['mask'])} of {len(row['tokens'])} tokens carry loss"
        head = f'<div class="kind">{counted}</div><div class="row">{pictures}</div>'
        card = f'<div class="card">{head}<div class="tokens">{tokens}</div></div>'
        if row.get("side") == "rejected":
            card = f'<div class="pair">{cards.pop()}{card}</div>'
        cards.append(card)
    return _sheet(cards)


def mistakes(
    answers: pd.DataFrame, read: Read, titles: Mapping[str, str], facets: Sequence[str], page: str
) -> str:
    """Wrong answers with their pictures: a solid frame is right, a dashed one was favoured.

    answers: prepared rows (scores.read_answers). titles: picture → what it shows. facets: said above each.
    page: the page of all answers, to which each is linked.
    """
    cards = []
    for row in answers.itertuples():
        lineup = row.how == "pictures"
        shown = "".join(
            _option(read(name), _alt(name, titles), k, row)
            if lineup
            else _picture(read(name), _alt(name, titles))
            for k, name in enumerate(row.pictures)
        )
        options = ", ".join(f"{LETTERS[k]} {option}" for k, option in enumerate(row.options[: len(LETTERS)]))
        listed = f" ({escape(options)})" if row.how in ("words", "scene") else ""
        said = f"said “{escape(row.text)}”, right is “{escape(row.answer)}”{listed}"
        kind = f"{row.variant}: " + ", ".join(
            str(getattr(row, name)) for name in facets if getattr(row, name)
        )
        cards.append(
            f'<div class="card"><div class="kind">{escape(kind)}</div><div class="row">{shown}</div>'
            f"<div>{escape(row.question)}</div><div>{said}</div>{_place(row, page)}</div>"
        )
    return _sheet(cards) if cards else "<p>No mistakes.</p>"


def tables(sections: Iterable[tuple[str, pd.DataFrame]]) -> str:
    """Captioned tables, one below the other; empty ones are left out."""
    options = {"index": False, "border": 0, "na_rep": "", "float_format": "{:.1f}".format}
    filled = [(caption, table) for caption, table in sections if len(table)]
    return "".join(f"<h3>{escape(caption)}</h3>{table.to_html(**options)}" for caption, table in filled)


def verdict(sentences: Iterable[str], table: pd.DataFrame) -> str:
    """A verdict in sentences, and the table of what stands behind it, folded."""
    told = "".join(f"<p><strong>{escape(sentence)}</strong></p>" for sentence in sentences)
    behind = "<summary>Reasons, other rules, contrasts, and what would refute it</summary>"
    return f"{told}<details>{behind}{table.to_html(border=0)}</details>"


def _sheet(cards: Iterable[str]) -> str:
    return f'{STYLE}<div class="sheet">{"".join(cards)}</div>'


def _words(text: str) -> str:
    """The text of a fact with its line breaks; a long one scrolls, which a keyboard can reach."""
    scrolls = ' long" tabindex="0" role="region" aria-label="long text' if len(text) > LONG else ""
    return f'<span class="kind said{scrolls}">{escape(text)}</span>'


def _picture(encoded: bytes, alt: str) -> str:
    """The picture inside the page: a thumbnail, or whole and larger if it is a diagram."""
    shown, is_diagram = _thumbnail(encoded)
    kind = ' class="diagram"' if is_diagram else ""
    return f'<img{kind} alt="{escape(alt)}" src="data:image/png;base64,{shown}">'


def _thumbnail(encoded: bytes) -> tuple[str, bool]:
    """A PNG in base64, shrunk if larger, and whether it is a diagram. UserError if it is damaged."""
    try:
        with Image.open(io.BytesIO(encoded)) as file:
            is_diagram = file.mode in ("P", "L") and max(file.size) > THUMBNAIL
            picture = file.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"not a readable picture ({error}); make the data again: --redo data") from error
    picture.thumbnail((DIAGRAM, DIAGRAM) if is_diagram else (THUMBNAIL, THUMBNAIL))
    picture = picture.quantize(32) if is_diagram else picture
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode(), is_diagram


def _part(kind: str, content: str, read: Read, titles: Mapping[str, str]) -> str:
    """One part of a turn; line breaks stay."""
    if kind == "image":
        return _picture(read(content), _alt(content, titles))
    return f'<span class="said"> {escape(content)} </span>'


def _option(encoded: bytes, alt: str, place: int, row) -> str:
    """A lettered picture of a line-up; solid frame: the right one, dashed: the one favoured instead."""
    favoured = max(range(len(row.options)), key=lambda k: row.logprobs[k])
    mark = "right" if place == row.gold else "wrong" if place == favoured else ""
    return f'<span class="shown {mark}">{_picture(encoded, alt)}<br>{LETTERS[place]}</span>'


def _place(row, page: str) -> str:
    """A link to an answer on the page of all answers."""
    place = urlencode({"variant": row.variant, "seed": row.seed, "id": row.id})
    return f'<a href="{escape(page)}#{escape(place)}">among all answers</a>'


def _alt(name: str, titles: Mapping[str, str]) -> str:
    """What a picture shows."""
    return f"Picture of {titles[name]}" if name in titles else f"Picture {name}"


def _token(token: str, supervised: bool, times: int) -> str:
    text = escape(token.replace("\n", "⏎")) + (f" ×{times}" if times > 1 else "")
    return f"<mark>{text}</mark>" if supervised else f"<span>{text}</span>"
