"""Grading a table's answer: a strict parser, a verifier that reads the marks, prior work's scorer.

The verifier gets what an example keeps (`instances.truth`) and never the path that the table was drawn with.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import INVALID, Grade
from mmrc_helpers.worlds.puzzles.grading import cells_alike, is_transcribed_as_asked
from mmrc_helpers.worlds.tables.words import BEGIN, END, INTRO, LISTING

NUMBER = "(0|[1-9][0-9]*)"
FULL_CELL = re.compile(rf"{NUMBER}\t{NUMBER}\t(\w+)\t(\w+)\t([0-9])(?:\t{NUMBER})?")
TERSE_CELL = re.compile(rf"(\w+) (\w+) ([0-9])(?: {NUMBER})?")
FULL_TOTAL = re.compile(rf"The total is ({NUMBER}(?: \+ {NUMBER})*) = {NUMBER}\.")
TERSE_TOTAL = re.compile(rf"total {NUMBER}")
ANSWER = re.compile(rf"Answer: {NUMBER}")


@dataclass(frozen=True)
class Said:
    """What an answer says. table: its transcription, a list of cells a row, or None. cells: (product, month,
    value). whole: nothing is missing between listing and answer."""

    table: list[list[str]] | None
    cells: list[tuple[str, str, int]]
    summands: list[int]
    total: int | None
    answer: int
    whole: bool


def grade(example: Example, text: str) -> Grade:
    """Right: format and answer are right and, where reasoning is asked (facet cot), summands and total.

    parts: format; answer; with reasoning also total, summands and path (shares of the ordered values and
    cells) and reading (share of the listed values that the table has there); transcription (share of cells)
    where it is asked. Of an imported example only the last line is read; parts: format, answer, legacy.
    """
    truth, view, reasons = example.truth, example.facets["view"], example.facets["cot"] == "yes"
    if "marked" not in truth:
        return _grade_imported(example, text)
    said = parse(text)
    summands = summands_of(truth)
    total = sum(summands)
    parts = dict.fromkeys(_parts(view, reasons), 0.0)
    if said is None:
        return Grade(INVALID, False, parts)
    found = {
        "format": float((said.whole or not reasons) and is_transcribed_as_asked(said.table, view)),
        "answer": float(said.answer == total),
        "summands": agreement(said.summands, summands),
        "total": float(said.total == total),
    }
    found |= _seen(said, truth)
    parts = {name: found[name] for name in parts}
    needed = ("format", "answer", "summands", "total") if reasons else ("format", "answer")
    return Grade(str(said.answer), all(parts[name] == 1 for name in needed), parts)


def _parts(view: str, reasons: bool) -> list[str]:
    names = ["format", "answer", *(["summands", "total", "path", "reading"] if reasons else [])]
    return names + (["transcription"] if view == "image_via_text" else [])


def _grade_imported(example: Example, text: str) -> Grade:
    """A question of another program knows its summands only, and leaves the form of reasoning open."""
    last = ANSWER.fullmatch(text.strip().split("\n")[-1].strip())
    right = last is not None and int(last[1]) == sum(summands_of(example.truth))
    parts = {"format": last is not None, "answer": right, "legacy": legacy_right(example, text)}
    return Grade(last[1] if last else INVALID, right, {name: float(part) for name, part in parts.items()})


def agreement(said: Sequence, true: Sequence) -> float:
    """Share of the places at which two lists have the same, of the longer one's."""
    longer = max(len(said), len(true))
    return sum(a == b for a, b in zip(said, true, strict=False)) / longer if longer else 1.0


def _seen(said: Said, truth: Mapping) -> dict[str, float]:
    """The parts that need the table itself."""
    rows, columns = ({name: n for n, name in enumerate(truth[key])} for key in ("products", "months"))
    named = [(truth["products"][r], truth["months"][c]) for r, c in walk(truth)]
    reads = [
        p in rows and m in columns and truth["values"][rows[p]][columns[m]] == str(v)
        for p, m, v in said.cells
    ]
    return {
        "path": agreement([(product, month) for product, month, _ in said.cells], named),
        "reading": sum(reads) / max(1, len(reads)),
        "transcription": cells_alike(said.table, _cells(truth)),
    }


def _cells(truth: Mapping) -> list[list[str]]:
    """The cells of a table as its transcription has them, names included."""
    rows = [["", *truth["months"]]]
    for product, values, marks in zip(truth["products"], truth["values"], truth["marked"], strict=True):
        cells = [f"{v} *" if mark == "*" else v for v, mark in zip(values, marks, strict=True)]
        rows.append([product, *cells])
    return rows


# --- the truth ----------------------------------------------------------------------------------------------


def summands_of(truth: Mapping) -> list[int]:
    """The values of the path in order, from the marks; or as given, for an imported example."""
    if "marked" not in truth:
        return list(truth["summands"])
    return [int(truth["values"][row][column]) for row, column in walk(truth)]


def walk(truth: Mapping) -> list[tuple[int, int]]:
    """The marked cells in order. order "rows": reading order or its reverse, whichever begins at the
    start; "steps": from neighbour to neighbour. Raises ValueError where the marks are no such path."""
    start = tuple(truth["start"])
    marked = [(r, c) for r, row in enumerate(truth["marked"]) for c, mark in enumerate(row) if mark == "*"]
    if truth["order"] == "rows":
        found = marked if marked[0] == start else marked[::-1]
    else:
        left, found = set(marked) - {start}, [start]
        while left:
            r, c = found[-1]
            beside = left & {(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)}
            if len(beside) != 1:
                raise ValueError(f"the marks do not tell where to go from row {r}, column {c}")
            found.append(beside.pop())
            left -= {found[-1]}
    if found[0] != start:
        raise ValueError(f"no path starts at {start}")
    return found


# --- what was said ------------------------------------------------------------------------------------------


def parse(text: str) -> Said | None:
    """What the answer says, in either style; None unless its last line is `Answer: <number>` and the lines
    before are a transcription, the heading of the list, cells, the total: each block once, in this order."""
    lines = [line.strip(" ") for line in text.strip().split("\n")]
    last = ANSWER.fullmatch(lines.pop())
    if last is None:
        return None
    table = None
    if lines and lines[0] in INTRO.values():
        stop = lines.index("") if "" in lines else len(lines)
        table = transcribed(lines[1:stop])
        if table is None:
            return None
        lines = lines[stop:]
    lines = [line for line in lines if line]
    headed = bool(lines) and lines[0] in LISTING.values()
    said = _reasoning(lines[1:] if headed else lines)
    if said is None:
        return None
    cells, summands, total = said
    whole = headed and bool(cells) and total is not None
    return Said(table, cells, summands, total, int(last[1]), whole)


def _reasoning(lines: list[str]) -> tuple[list[tuple[str, str, int]], list[int], int | None] | None:
    """The listed cells, the summands and the total; None if a line is something else."""
    cells: list[tuple[str, str, int]] = []
    for number, line in enumerate(lines):
        if match := FULL_CELL.fullmatch(line):
            cells.append((match[3], match[4], int(match[5])))
        elif number + 1 == len(lines) and (match := FULL_TOTAL.fullmatch(line)):
            return cells, [int(part) for part in match[1].split(" + ")], int(match[4])
        elif number + 1 == len(lines) and (match := TERSE_TOTAL.fullmatch(line)):
            return cells, [value for *_, value in cells], int(match[1])
        elif match := TERSE_CELL.fullmatch(line):
            cells.append((match[1], match[2], int(match[3])))
        else:
            return None
    return cells, [value for *_, value in cells], None


def transcribed(lines: list[str]) -> list[list[str]] | None:
    """The cells of a table written in either style, an empty corner first; None if it is no table."""
    if lines and lines[0].startswith(BEGIN):
        if lines[-1] != END or not all(line.endswith(r" \\") for line in lines[1:-1]):
            return None
        return [[cell.strip() for cell in line.removesuffix(r" \\").split("&")] for line in lines[1:-1]]
    rows = [re.findall(r"\S+(?: \*)?", line) for line in lines]
    return [["", *rows[0]], *rows[1:]] if rows and all(rows) else None


# --- as prior work scores -----------------------------------------------------------------------------------


def legacy_right(example: Example, text: str) -> bool:
    """Whether prior work's scorer would call the answer right; for comparison with published numbers only.

    It compares the ordered summands and neither the stated total nor the answer (facts §3). Source: VLM_S2H.
    """
    stated = text.rsplit("total is", 1)[-1].split("=")[0]
    numbers = re.findall(r"\d+", re.sub(r"(?<=\d),(?=\d)", "", stated))
    return ",".join(numbers) == ",".join(map(str, summands_of(example.truth)))
