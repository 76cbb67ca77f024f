"""A grid in words: as text, the question about it, the answer with the record of its search. Style `full`
gives every refused move with its reason, `terse` only where the search stands and what it does."""

from collections.abc import Mapping
from functools import partial

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds.grids.instances import LETTERS, Grid, pools, sample, truth
from mmrc_helpers.worlds.grids.search import CLOSED, LATER, MOVES, Cell, State
from mmrc_helpers.worlds.puzzles.asking import views_of
from mmrc_helpers.worlds.puzzles.making import Place

# What stands before a transcription and before the record of the search; the parser looks for them.
INTRO = {"full": "The grid as text:", "terse": "grid"}
RECORD = {"full": "Depth-first search, nearest cell to the goal first:", "terse": "search"}


def views(facts: Mapping, seed: int, place: Place) -> tuple[Example, ...]:
    """The examples of the grid at this place, one for each of facts.views."""
    grid, style = sample(facts, seed, place), facts["style"]
    return views_of(
        facts,
        place,
        text(grid.names, style),
        partial(question, facts),
        partial(answer, grid, style),
        {**truth(grid), "style": style},
        {"task": "navigation"},
    )


def text(names: tuple[tuple[str, ...], ...], style: str) -> str:
    """The grid with a letter for each row and column."""
    joint = " & " if style == "full" else " "
    lines = [joint.join(["", *LETTERS[: len(names[0])]])]
    lines += [" " + joint.join([LETTERS[row], *cells]) for row, cells in enumerate(names)]
    return "\n".join(lines)


def question(facts: Mapping, view: str, transcribe: bool) -> str:
    """What is asked about the grid above, or in the picture."""
    if facts["style"] == "terse":
        return "write , find a way" if transcribe else "find a way"
    objects, obstacles = pools(facts)
    if view == "text":
        seen = "The table above is a grid. S marks the start, D the destination, O an empty cell."
    else:
        seen = "The picture shows a grid. The start is blue, the destination green; white cells are empty."
    sentences = [
        seen,
        f"Obstacles are {', '.join(obstacles)}; objects are {', '.join(objects)}.",
        "Find moves (up, down, left, right) that lead from the start to the destination, collect every "
        "object and enter no obstacle.",
        "Any order of the objects is right; by rule the next is the nearest, in rows plus columns, and of "
        "equally near ones the upper, then the left.",
        "The last line must be `Answer: <moves>`, with spaces between the moves.",
    ]
    if transcribe:
        sentences.insert(2, "First write the grid as text, with S, D, O and the names of the symbols.")
    return " ".join(sentences)


def answer(grid: Grid, style: str, transcribe: bool) -> str:
    """The whole answer: transcription if asked, goals, record of the search, moves."""
    start = f"{INTRO[style]}\n{text(grid.names, style)}\n\n" if transcribe else ""
    record = "\n".join([RECORD[style], *_goals(grid, style), *_record(grid, style)])
    return f"{start}{record}\nAnswer: {' '.join(grid.moves)}"


def _goals(grid: Grid, style: str) -> list[str]:
    """Where the way starts and ends, and what it collects in which order."""
    objects = [(grid.names[r][c], (r, c)) for r, c in grid.objects]
    if style == "terse":
        taken = "".join(f" {name} {_at(cell, style)}" for name, cell in objects)
        return [f" {_at(grid.start, style)} to{taken} {_at(grid.destination, style)}"]
    listed = ", ".join(f"{name} {_at(cell, style)}" for name, cell in objects) or "nothing"
    return [
        f"From {_at(grid.start, style)} to {_at(grid.destination, style)}.",
        f"Collect: {listed}.",
    ]


def _record(grid: Grid, style: str) -> list[str]:
    """The lines of the search."""
    lines = []
    for state in grid.states:
        name = grid.names[state.cell[0]][state.cell[1]] if state.collected >= 0 else ""
        if style == "terse":
            lines.append(f" {_at(state.cell, style)}{f' {name}' if name else ''} {state.move or 'back'}")
        else:
            lines.append(f"{_at(state.cell, style)}{f' collect {name}' if name else ''}:")
            lines += [_refusal(grid, state, move, reason) for move, reason in state.refused]
            lines.append(
                f" {state.move}: {_at(_beyond(state.cell, state.move), style)} free"
                if state.move
                else " back"
            )
    return lines


def _refusal(grid: Grid, state: State, move: str, reason: str) -> str:
    """A refused move with its reason; a cell that does not exist has no name."""
    row, column = cell = _beyond(state.cell, move)
    if not (0 <= row < len(grid.names) and 0 <= column < len(grid.names[0])):
        return f" {move}: {reason}"
    what = f" {grid.names[row][column]}" if reason in (CLOSED, LATER) else ""
    return f" {move}: {_at(cell, 'full')} {reason}{what}"


def _beyond(cell: Cell, move: str) -> Cell:
    return cell[0] + MOVES[move][0], cell[1] + MOVES[move][1]


def _at(cell: Cell, style: str) -> str:
    """The letters of a cell: "(a, d)", or "a d"."""
    row, column = LETTERS[cell[0]], LETTERS[cell[1]]
    return f"{row} {column}" if style == "terse" else f"({row}, {column})"


def blocks(answer: str) -> tuple[str, str, str]:
    """The answer as (transcription, reasoning, final line), which are the answer again when joined."""
    cut = answer.rfind("Answer:")
    start = next((place for head in RECORD.values() if (place := answer.find(head + "\n")) >= 0), cut)
    return answer[:start], answer[start:cut], answer[cut:]
