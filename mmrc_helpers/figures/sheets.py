"""Sheets of pictures and text for reading by eye: people, questions, a training batch, mistakes. They are
HTML, so that text can be selected and every picture has its own alternative text; whatever comes from data is
escaped."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

import pandas as pd
from PIL import Image, UnidentifiedImageError

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.records import LETTERS, Example, answer_text, user_turn

THUMBNAIL = 128  # pixels; larger pictures are shrunk, so that a report stays small

STYLE = """<style>
.sheet {display: grid; gap: .9em; margin: .6em 0}
.sheet figure, .sheet .card {margin: 0; padding: .6em .8em; border: 1px solid #8886; border-radius: 6px}
.sheet .row {display: flex; flex-wrap: wrap; gap: .5em; align-items: flex-end}
.sheet img {width: 92px; height: 92px; border-radius: 4px; object-fit: cover; margin: 0;
  vertical-align: middle}
.sheet .shown {display: inline-block; text-align: center; vertical-align: bottom; font-size: .85em; padding:
2px} .sheet .right {outline: 3px solid #009E73; border-radius: 5px}
.sheet .wrong {outline: 3px dashed #D55E00; border-radius: 5px}
.sheet .kind {font-size: .85em; opacity: .75}
.sheet .tokens {font-family: monospace; font-size: .85em; line-height: 1.9; overflow-wrap: anywhere}
.sheet .tokens span {border: 1px solid #8884; border-radius: 3px; padding: 1px 2px; white-space: pre-wrap}
.sheet .tokens mark {background: #F0E442; color: #000; font-weight: bold; text-decoration: underline;
  border-radius: 3px; padding: 1px 2px; white-space: pre-wrap}
@media print {.sheet figure, .sheet .card {break-inside: avoid}}
</style>"""


def people(records: Sequence[Mapping], images: Path, views: int = 6) -> str:
    """A contact sheet: each person's name, descriptor and looks, with several views side by side.

    records: rows of people.json. views: pictures per person, spread over all that exist.
    """
    cards = []
    for record in records:
        names = sorted(path.name for path in images.glob(f"{record['group']}-*.png"))
        chosen = names[:: max(1, len(names) // views)][:views]
        name = record["name"] or "a passer-by"
        pictures = "".join(_picture(images / file, f"{name}, view {k + 1}") for k, file in enumerate(chosen))
        said = f"<b>{escape(name)}</b>, {escape(record['descriptor'] or record['population'])}"
        looks = f'<span class="kind">{escape(record["description"])}</span>'
        caption = f"<figcaption>{said}<br>{looks}</figcaption>"
        cards.append(f'<figure><div class="row">{pictures}</div>{caption}</figure>')
    return _sheet(cards)


def questions(examples: Iterable[Example], images: Path, names: Mapping[str, str]) -> str:
    """Example questions as the model sees them, in order, each with its right answer. names: group → name."""
    cards = []
    for example in examples:
        kind = f"{example.topic}: {example.direction} {example.format}, {example.population} people"
        turn = "".join(_part(part, example, images, names) for part in user_turn(example))
        answer = f"<div>→ <b>{escape(answer_text(example))}</b></div>"
        cards.append(
            f'<div class="card"><div class="kind">{escape(kind)}</div><div>{turn}</div>{answer}</div>'
        )
    return _sheet(cards)


def batch(rows: Sequence[Mapping], images: Path, names: Mapping[str, str]) -> str:
    """Training rows token by token; marked tokens carry loss, the others are context.

    rows: content of batch.json, {tokens, mask, images}. Runs of the same token are written once with their
    number.
    """
    cards = []
    for number, row in enumerate(rows, 1):
        pictures = "".join(_picture(images / name, _alt(name, names)) for name in row["images"])
        tokens = " ".join(
            _token(token, bool(supervised), sum(1 for _ in run))
            for (token, supervised), run in groupby(zip(row["tokens"], row["mask"], strict=True))
        )
        counted = f"row {number}: {sum(row['mask'])} of {len(row['tokens'])} tokens carry loss"
        head = f'<div class="kind">{counted}</div><div class="row">{pictures}</div>'
        cards.append(f'<div class="card">{head}<div class="tokens">{tokens}</div></div>')
    return _sheet(cards)


def mistakes(answers: pd.DataFrame, images: Path, names: Mapping[str, str]) -> str:
    """Wrong answers with their pictures: a solid frame is right, a dashed one was favoured.

    answers: prepared rows (metrics.read_answers). names: group → name.
    """
    cards = []
    for row in answers.itertuples():
        lineup = list(row.choices) == list(row.images)
        shown = "".join(
            _option(images / name, _alt(name, names), k, row)
            if lineup
            else _picture(images / name, _alt(name, names))
            for k, name in enumerate(row.images)
        )
        options = ", ".join(f"{LETTERS[k]} {choice}" for k, choice in enumerate(row.choices))
        listed = f" ({escape(options)})" if row.format == "choice" and not lineup else ""
        said = f"said “{escape(row.text)}”, right is “{escape(row.answer)}”{listed}"
        kind = f"{row.variant}: {row.direction} {row.format}, {row.population}; right option {row.p_gold:.0%}"
        cards.append(
            f'<div class="card"><div class="kind">{escape(kind)}</div><div class="row">{shown}</div>'
            f"<div>{escape(row.question)}</div><div>{said}</div></div>"
        )
    return _sheet(cards) if cards else "<p>No mistakes.</p>"


def tables(sections: Iterable[tuple[str, pd.DataFrame]]) -> str:
    """Captioned tables, one below the other; empty ones are left out."""
    options = {"index": False, "border": 0, "na_rep": "", "float_format": "{:.1f}".format}
    filled = [(caption, table) for caption, table in sections if len(table)]
    return "".join(f"<h3>{escape(caption)}</h3>{table.to_html(**options)}" for caption, table in filled)


def _sheet(cards: Iterable[str]) -> str:
    return f'{STYLE}<div class="sheet">{"".join(cards)}</div>'


def _picture(path: Path, alt: str) -> str:
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{_encoded(path)}">'


def _encoded(path: Path) -> str:
    """The PNG in base64, shrunk to a thumbnail if larger. UserError if it is missing or damaged."""
    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (FileNotFoundError, UnidentifiedImageError, OSError) as error:
        raise UserError(
            f"{path}: not a readable picture ({error}); make the data again: --redo data"
        ) from error
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def _part(part: Mapping, example: Example, images: Path, names: Mapping[str, str]) -> str:
    """One part of a turn; the pictures of a line-up stand side by side, the question below or above them."""
    if part["type"] == "image":
        return _picture(images / part["image"], _alt(part["image"], names))
    text = part["text"]
    if text.strip() == example.question:
        return f"<div>{escape(text)}</div>"
    ended = "<br>" if text.endswith("\n") and not example.lists_context else ""
    return f"<span> {escape(text)} </span>{ended}"


def _option(path: Path, alt: str, place: int, row) -> str:
    """A lettered picture of a line-up; solid frame: the right one, dashed: the one favoured instead."""
    favoured = max(range(len(row.choices)), key=lambda k: row.logprobs[k])
    mark = "right" if place == row.gold else "wrong" if place == favoured else ""
    return f'<span class="shown {mark}">{_picture(path, alt)}<br>{LETTERS[place]}</span>'


def _alt(name: str, names: Mapping[str, str]) -> str:
    """Who is shown, from a picture's name GROUP-VIEW.png."""
    return f"Portrait of {names.get(name.rsplit('-', 1)[0]) or 'a passer-by'}"


def _token(token: str, supervised: bool, times: int) -> str:
    text = escape(token.replace("\n", "⏎")) + (f" ×{times}" if times > 1 else "")
    return f"<mark>{text}</mark>" if supervised else f"<span>{text}</span>"
