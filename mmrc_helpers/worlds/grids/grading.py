"""Grading a grid's answer: a strict parser, a replay of the moves, prior work's scorer.

The replay gets what an example keeps (`instances.truth`) and shares nothing with the search.
"""

import re
from dataclasses import dataclass

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import INVALID, Grade
from mmrc_helpers.worlds.grids.instances import (
    DESTINATION_NAME,
    EMPTY_NAME,
    LETTERS,
    OBSTACLES,
    START_NAME,
)
from mmrc_helpers.worlds.grids.words import INTRO, RECORD
from mmrc_helpers.worlds.puzzles.grading import cells_alike, is_transcribed_as_asked

STEPS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
MOVE = "(up|down|left|right)"
ANSWER = re.compile(rf"Answer:((?: {MOVE})+)")
STATE = re.compile(r"\(([a-z]), ([a-z])\)(?: collect \w+)?:")
CLAIM = re.compile(rf"{MOVE}: (?:(outside)|\(([a-z]), ([a-z])\) (?:(free|visited)|(?:closed|later) (\w+)))")
GOALS = re.compile(r"From \([a-z], [a-z]\) to \([a-z], [a-z]\)\.|Collect: .+\.")
TERSE = re.compile(rf"([a-z]) ([a-z])(?: (\w+))? (?:{MOVE}|back)")
TERSE_GOALS = re.compile(r"[a-z] [a-z] to(?: \w+ [a-z] [a-z])* [a-z] [a-z]")


@dataclass(frozen=True)
class Said:
    """What an answer says. grid: its transcription, a list of names a row, or None. claims: (row, column,
    what is said to be there: free, a name, or outside). states: steps of the record. moves: the answer."""

    grid: list[list[str]] | None
    claims: list[tuple[int, int, str]]
    states: int
    moves: list[str]


def grade(example: Example, text: str) -> Grade:
    """Right: the format is, and the moves never leave the grid, enter no obstacle, visit every object and end
    at the destination.

    parts: format; legal; objects (share visited before the first illegal move); reaches (ends at the
    destination, obstacles allowed, the edge not); with reasoning (facet cot) reading (share of the record's
    claims about cells that hold); transcription (share of cells) where it is asked. Of an imported
    example only the last line is read; parts: format, legal, objects, reaches, legacy.
    """
    truth, view, reasons = example.truth, example.facets["view"], example.facets["cot"] == "yes"
    if "columns" in truth:
        return _grade_imported(example, text)
    names = ["format", "legal", "objects", "reaches", *(["reading"] if reasons else [])]
    names += ["transcription"] if view == "image_via_text" else []
    said = parse(text)
    if said is None:
        return Grade(INVALID, False, dict.fromkeys(names, 0.0))
    grid = [row.split(" ") for row in truth["grid"]]
    found = {
        "format": float((said.states > 0 or not reasons) and is_transcribed_as_asked(said.grid, view)),
        **replay(grid, said.moves),
        "reading": sum(_holds(grid, *claim) for claim in said.claims) / max(1, len(said.claims)),
        "transcription": cells_alike(said.grid, grid),
    }
    right = all(found[name] == 1 for name in ("format", "legal", "objects", "reaches"))
    return Grade(" ".join(said.moves), right, {name: found[name] for name in names})


def _grade_imported(example: Example, text: str) -> Grade:
    """A question of another program names no symbols, and leaves the form of reasoning open."""
    last = ANSWER.fullmatch(text.strip().split("\n")[-1].strip())
    grid = [row.split(" ") for row in example.truth["grid"]]
    parts = replay(grid, last[1].split()) if last else dict.fromkeys(("legal", "objects", "reaches"), 0.0)
    right = min(parts.values()) == 1
    parts |= {"format": float(last is not None), "legacy": float(legacy_right(example, text))}
    return Grade(" ".join(last[1].split()) if last else INVALID, right, parts)


def replay(grid: list[list[str]], moves: list[str]) -> dict[str, float]:
    """Where the moves lead, from the start: legal and reaches (0 or 1), objects (share visited)."""
    cells = {(r, c): name for r, row in enumerate(grid) for c, name in enumerate(row)}
    objects = {cell for cell, name in cells.items() if name not in _NO_OBJECTS}
    here = next(cell for cell, name in cells.items() if name == START_NAME)
    visited, legal, inside = set(), True, True
    for move in moves:
        here = (here[0] + STEPS[move][0], here[1] + STEPS[move][1])
        inside = inside and here in cells
        legal = legal and inside and cells[here] not in OBSTACLES
        visited |= {here} & objects if legal else set()
    reaches = inside and cells[here] == DESTINATION_NAME
    share = len(visited) / len(objects) if objects else 1.0
    return {"legal": float(legal), "objects": share, "reaches": float(reaches)}


_NO_OBJECTS = {START_NAME, DESTINATION_NAME, EMPTY_NAME, *OBSTACLES}


def _holds(grid: list[list[str]], row: int, column: int, what: str) -> bool:
    """Whether a claim about a cell is true."""
    inside = 0 <= row < len(grid) and 0 <= column < len(grid[0])
    if what == "outside" or not inside:
        return what == "outside" and not inside
    return grid[row][column] not in OBSTACLES if what == "free" else grid[row][column] == what


# --- what was said ------------------------------------------------------------------------------------------


def parse(text: str) -> Said | None:
    """What the answer says, in either style; None unless its last line is `Answer: <moves>` and the lines
    before are a transcription and a record of the search, which may lack its beginning."""
    lines = text.strip().split("\n")
    last = ANSWER.fullmatch(lines.pop().strip(" "))
    if last is None:
        return None
    grid = None
    if lines and lines[0] in INTRO.values():
        stop = lines.index("") if "" in lines else len(lines)
        grid = transcribed(lines[1:stop])
        if grid is None:
            return None
        lines = lines[stop + 1 :]
    if lines and lines[0] in RECORD.values():
        lines = lines[1:]
    record = _record(lines)
    return None if record is None else Said(grid, *record, last[1].split())


def _record(lines: list[str]) -> tuple[list[tuple[int, int, str]], int] | None:
    """The claims about cells and the number of states; None if a line is something else."""
    claims: list[tuple[int, int, str]] = []
    states, here = 0, None
    for line in (line.strip(" ") for line in lines):
        if match := STATE.fullmatch(line):
            states, here = states + 1, _cell(match[1], match[2])
        elif match := CLAIM.fullmatch(line):
            step = STEPS[match[1]]
            if not match[2]:
                claims.append((*_cell(match[3], match[4]), "free" if match[5] else match[6]))
            elif here is not None:
                claims.append((here[0] + step[0], here[1] + step[1], "outside"))
        elif match := TERSE.fullmatch(line):
            states += 1
            claims.append((*_cell(match[1], match[2]), match[3] or "free"))
        elif line not in ("back", "") and not GOALS.fullmatch(line) and not TERSE_GOALS.fullmatch(line):
            return None
    return claims, states


def _cell(row: str, column: str) -> tuple[int, int]:
    return LETTERS.index(row), LETTERS.index(column)


def transcribed(lines: list[str]) -> list[list[str]] | None:
    """The names in a grid written in either style; None unless its rows and columns have their letters."""
    full = bool(lines) and "&" in lines[0]
    rows = [[cell.strip() for cell in line.split("&")] if full else line.split() for line in lines]
    header, body = rows[0][full:] if rows else [], rows[1:]
    lettered = header == list(LETTERS[: len(header)])
    numbered = [row[:1] for row in body] == [[letter] for letter in LETTERS[: len(body)]]
    return [row[1:] for row in body] if header and body and lettered and numbered else None


# --- as prior work scores -----------------------------------------------------------------------------------


def legacy_right(example: Example, text: str) -> bool:
    """Whether prior work's scorer would call the answer right; for comparison with published numbers only.

    Right are the gold moves, and any that come to the destination with every object visited and no obstacle
    hit, whatever follows. One cell beyond the top or left edge counts as the other side there (facts §8).
    """
    moves = text.split("Answer: ")[-1].split(" ")
    moves = [] if any(move not in STEPS for move in moves) else moves
    if moves and moves == example.answer.split("Answer: ")[-1].split(" "):
        return True
    grid = [row.split(" ") for row in example.truth["grid"]]
    cells = {(r, c): name for r, row in enumerate(grid) for c, name in enumerate(row)}
    left = {cell for cell, name in cells.items() if name not in _NO_OBJECTS}
    row, column = next(cell for cell, name in cells.items() if name == START_NAME)
    for move in moves:
        row, column = row + STEPS[move][0], column + STEPS[move][1]
        if not (-1 <= row < len(grid) and -1 <= column < len(grid[0])):
            return False
        name = grid[row][column]
        left -= {(row % len(grid), column % len(grid[0]))}
        if name in OBSTACLES:
            return False
        if name == DESTINATION_NAME and not left:
            return True
    return False
