"""The answers of a study as one HTML page that opens from a file: no network, no server, no Python.

A page holds at most `LIMIT` bytes. When a study has more to show, its pictures are compressed; when that is
not enough, the page takes whole questions, each with the answers of all runs, evenly from every cell and
without a look at the answers, so that shares of right answers stay unbiased within a cell. It says both.
"""

import base64
import gzip
import io
import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path

from PIL import Image

from mmrc_helpers.analysis import reading
from mmrc_helpers.analysis.browser.contents import Contents, Pictures, gather, packed, picture
from mmrc_helpers.errors import UserError
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.store.html import head
from mmrc_helpers.store.keys import content_key
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Study

NAME = "answers.html"
LIMIT = 15_000_000  # bytes of a page
ROOM = 60_000  # of them for script, style and marks
EXACT = 128  # pixels: pictures up to this side are kept exactly if all answers fit with them
SIDE = 640  # pixels: larger pictures are shrunk to this side
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
HERE = Path(__file__).resolve().parent


def is_current(study: Study, limit: int = LIMIT) -> bool:
    """Whether there is nothing to write: the page is there as it would be written, or no run is evaluated."""
    page, mark = folders.study_folder(study.name) / NAME, _mark(study, limit)
    if not mark or not page.is_file():
        return not mark
    with page.open(encoding="utf-8") as file:
        return mark in file.read(len(mark) + 100)


def write(study: Study, limit: int = LIMIT) -> Path:
    """Writes the page of a study's evaluated runs beside its report. Raises UserError when there are none."""
    page = folders.study_folder(study.name) / NAME
    pieces = rendered(gather(study), limit)
    files.make_folder(page.parent)
    files.write_text(page, [f"<!DOCTYPE html>\n{_mark(study, limit)}\n", *pieces])
    return page


def _mark(study: Study, limit: int) -> str:
    """A comment that names what the page is made of: the answers, what is told of the study, the code here.
    Empty if no run is evaluated."""
    runs = [run for run in study.runs if reading.is_evaluated(run)]
    evaluated = [stage.folder for run in runs for _, _, stage in stages.eval_stages(run)]
    if not runs:
        return ""
    made = {folder.name: _sum_of_answers(folder) for folder in evaluated}
    code = {path.name: disk.checksum(path) for path in sorted(HERE.glob("*.*"))}
    told = {"name": study.name, "question": study.question, "runs": [run.name for run in runs]}
    key = content_key("answers page", 1, {"made": made, "code": code, "limit": limit, **told}, [])
    return f"<!-- made of {key} -->"


def _sum_of_answers(folder: Path) -> str:
    """What the stage's mark says of its answers; not the mark's own sum, which holds times as well."""
    return files.read_json(folder / "made.json").get("files", {}).get("answers.jsonl", ["", ""])[1]


def rendered(contents: Contents, limit: int = LIMIT) -> list[str]:
    """The page behind its first lines, in pieces. Raises UserError if not even one question fits."""
    units, room = _units(contents), limit - ROOM
    encoded = Encoded(exact=True)
    fitting = _fitting(contents, units, encoded, room)
    if fitting < len(units):
        encoded = Encoded(exact=False)
        fitting = _fitting(contents, units, encoded, room)
    while fitting:
        chosen = [number for unit in units[:fitting] for number in unit]
        pictures = Pictures()
        data = packed(contents, pictures, chosen)
        texts = [encoded.text(*place) for place in pictures.places]
        ends = _running(map(len, texts))
        data["places"] = list(zip([0, *ends], ends, strict=False))
        packs = base64.b64encode(_compressed(data)).decode()
        if len(packs) + sum(map(len, texts)) <= room:
            return _page(data, f"{held(data)} {encoded.told(data['sizes'])}", packs, texts)
        fitting = fitting * 9 // 10
    raise UserError(f"{contents.name}: one question alone needs more than the {limit:,} bytes of a page")


def _units(contents: Contents) -> list[list[int]]:
    """Questions that belong together (one name, in whatever words variants ask it), in the order in which a
    page takes them: the first of every cell by a hash of its name, then the second of every cell, …"""
    units: dict[tuple, list[int]] = {}
    for number, question in enumerate(contents.questions):
        units.setdefault((question.data, question.example.id), []).append(number)
    cells: dict[tuple, list] = {}
    for (data, name), unit in units.items():
        cell = (data, *contents.questions[unit[0]].example.facets.values())
        cells.setdefault(cell, []).append((sha256(f"{data.name}/{name}".encode()).digest(), unit))
    ranked = [
        (place, digest, unit) for of in cells.values() for place, (digest, unit) in enumerate(sorted(of))
    ]
    return [unit for _, _, unit in sorted(ranked, key=lambda entry: entry[:2])]


def _fitting(contents: Contents, units: Sequence, encoded: "Encoded", room: int) -> int:
    """About how many units fit: their pictures as they are, their texts by what a sample of them takes."""
    sample = [number for unit in units[:: max(1, len(units) // 2000)] for number in unit]
    pictures = Pictures()
    each = len(_compressed(packed(contents, pictures, sample))) * 4 / 3 / len(sample)
    held, seen = 0.0, set()
    for count, unit in enumerate(units):
        for number in unit:
            held += each
            question = contents.questions[number]
            for name in question.example.pictures:
                place = pictures.number(question.data, name)
                if place not in seen:
                    seen.add(place)
                    held += len(encoded.text(*pictures.places[place]))
        if held > room:
            return count
    return len(units)


class Encoded:
    """Pictures as base64 of WebP, each made once; large ones are shrunk. exact: small ones lose nothing."""

    def __init__(self, exact: bool):
        self._exact = exact
        self._texts: dict[tuple[Path, str], str] = {}

    def text(self, data: Path, name: str) -> str:
        """A picture of a data folder."""
        if (data, name) not in self._texts:
            with Image.open(io.BytesIO(picture(data, name))) as file:
                image = file.convert("RGB")
            exact = self._exact and max(image.size) <= EXACT
            image.thumbnail((SIDE, SIDE))
            buffer = io.BytesIO()
            image.save(
                buffer, "WEBP", lossless=exact, quality=90 if max(image.size) <= EXACT else 80, method=2
            )
            self._texts[data, name] = base64.b64encode(buffer.getvalue()).decode()
        return self._texts[data, name]

    def told(self, sizes: Iterable[tuple[int, int]]) -> str:
        """What was done to pictures of these sizes, in a sentence; empty if nothing."""
        largest = max((max(size) for size in sizes), default=0)
        shrunk = f", and shrunk to {SIDE} pixels on the longer side" if largest > SIDE else ""
        which = f"Pictures of more than {EXACT} pixels" if self._exact else "Pictures"
        is_exact = not largest or (self._exact and largest <= EXACT)
        return "" if is_exact else f"{which} are compressed{shrunk}."


def _compressed(data: dict) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return gzip.compress(text.encode(), 9, mtime=0)


def _running(lengths: Iterable[int]) -> list[int]:
    ends, end = [], 0
    for length in lengths:
        end += length
        ends.append(end)
    return ends


def held(data: dict) -> str:
    """How many answers are there of how many, in a sentence or two."""
    answers, questions = len(data["answers"]["question"]), len(data["questions"])
    if answers == data["total"]:
        return f"All {answers:,} answers to {questions:,} questions."
    return (
        f"{answers:,} of {data['total']:,} answers, to {questions:,} of {data['total_questions']:,} "
        "questions: as many as fit, taken evenly from every cell, each with the answers of all runs. "
        "mm.browse(study) in a notebook shows all of them."
    )


def _page(data: dict, told: str, packs: str, texts: Sequence[str]) -> list[str]:
    style, script = ((HERE / name).read_text("utf-8") for name in ("browser.css", "browser.js"))
    title = f"Answers of {data['name']}"
    start = f"""{head(title, style, POLICY)}
<body class="answers-page">
<header>
<h1>{escape(title)}</h1>
<p>{escape(data["text"])}</p>
<p class="held">{escape(told)} <a href="report.html">To the report</a></p>
</header>
<main class="answers-browser">
<noscript>This page needs JavaScript; it loads nothing from anywhere.</noscript>
</main>
<script type="text/plain" id="contents">"""
    between = '</script>\n<script type="text/plain" id="pictures">'
    call = 'start(document.querySelector("main"));'
    tail = f'</script>\n<script type="module">\n{script}\n{call}\n</script>\n</body>\n</html>\n'
    return [start, packs, between, *texts, tail]
