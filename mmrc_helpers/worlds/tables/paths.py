"""Paths through a table, as lists of cells (row, column): consecutive, random, sine, spiral, compose.

The shapes are those of arXiv 2501.02669. Unlike there, a path never runs beside itself: a cell's only
neighbours on the path are the ones before and after it; so the marked cells and the start tell the order.
"""

import random
from collections.abc import Callable

Cell = tuple[int, int]
Path = list[Cell]

READOUT = ("random", "sine", "spiral", "compose")
APART = 4  # rows, and columns, that start and end of a random path differ by at least, if the table has them


def consecutive(rng: random.Random, rows: int, columns: int, length: int) -> Path | None:
    """`length` neighbouring cells in reading order, read either way; None if the table is too small."""
    if length > rows * columns:
        return None
    start = rng.randrange(rows * columns - length + 1)
    path = [divmod(place, columns) for place in range(start, start + length)]
    return path[::-1] if rng.random() < 0.5 else path


def readout(rng: random.Random, shape: str, rows: int, columns: int, pieces: int) -> Path | None:
    """A path of one of the shapes READOUT with `pieces` straight pieces, less where the table ends before.
    None for a draw that runs beside itself or holds a single cell."""
    if shape == "random":
        path = _random(rng, rows, columns, pieces)
    else:
        turned = rng.random() < 0.5  # the first piece is a column
        height, width = (columns, rows) if turned else (rows, columns)
        path = _SHAPES[shape](rng, height, width, pieces)
        down, right = rng.random() < 0.5, rng.random() < 0.5
        path = [(r if down else height - 1 - r, c if right else width - 1 - c) for r, c in path]
        path = [(c, r) for r, c in path] if turned else path
        path = _trimmed(rng, path, 1 if shape == "compose" else 2)
    return path if len(path) > 1 and is_simple(path) else None


def is_simple(path: Path) -> bool:
    """Whether no cell comes twice and only cells that follow each other are neighbours."""
    places = {cell: place for place, cell in enumerate(path)}
    beside = [
        places[neighbour] - place
        for (row, column), place in places.items()
        for neighbour in ((row + 1, column), (row, column + 1))
        if neighbour in places
    ]
    once = len(places) == len(path)
    return once and len(beside) == len(path) - 1 and all(abs(step) == 1 for step in beside)


def _trimmed(rng: random.Random, path: Path, most: int) -> Path:
    """The path without up to `most` cells at either end, read either way."""
    first, last = rng.randint(0, most), rng.randint(0, most)
    path = path[first : len(path) - last]
    return path[::-1] if rng.random() < 0.5 else path


def _walk(path: Path, step: Cell, count: int) -> None:
    """Goes `count` cells on, in place."""
    for _ in range(count):
        path.append((path[-1][0] + step[0], path[-1][1] + step[1]))


def _random(rng: random.Random, rows: int, columns: int, pieces: int) -> Path:
    """Pieces in turn along a row and a column. All but the last two go anywhere not beside the end."""
    sizes = (rows, columns)
    start = [rng.randrange(size) for size in sizes]
    end = [rng.randrange(size) for size in sizes]
    axis = rng.randrange(2)
    if pieces == 1:
        end[1 - axis] = start[1 - axis]
    far = [abs(end[a] - start[a]) >= min(APART, sizes[a] - 1) for a in (0, 1)]
    if not (far[axis] if pieces == 1 else all(far)):
        return []
    path = [(start[0], start[1])]
    for number in range(pieces):
        here = path[-1][axis]
        choices = [x for x in range(sizes[axis]) if abs(x - end[axis]) >= 2 and x != here]
        if number >= pieces - 2:
            choices = [end[axis]]
        if not choices:
            return []
        step = rng.choice(choices) - here
        sign = 1 if step > 0 else -1
        _walk(path, (sign, 0) if axis == 0 else (0, sign), abs(step))
        axis = 1 - axis
    return path


# --- shapes, from the top left to the right -----------------------------------------------------------------


def _sine(rng: random.Random, height: int, width: int, pieces: int) -> Path:
    """Runs there and back, two cells down between them; each run ends at the edge or one cell before it."""
    inset = rng.randint(0, 1)
    path, sign = [(inset, inset)], 1
    for number in range(pieces):
        row, column = path[-1]
        if number % 2:
            if row + 2 >= height:
                break
            _walk(path, (1, 0), 2)
            continue
        margin = rng.randint(0, 1)
        end = width - 1 - margin if sign > 0 else margin
        _walk(path, (0, sign), abs(end - column))
        sign = -sign
    return path


def _spiral(rng: random.Random, height: int, width: int, pieces: int) -> Path:
    """Arms that turn right, each one line further in than the arm it runs along."""
    inset = rng.randint(0, 1)
    top, bottom, left, right = inset, height - 1 - inset, inset, width - 1 - inset
    path = [(inset, inset)]
    for number in range(pieces):
        row, column = path[-1]
        step, room = [
            ((0, 1), right - column), ((1, 0), bottom - row), ((0, -1), column - left), ((-1, 0), row - top)
        ][number % 4]  # fmt: skip
        if room < 2:
            break
        _walk(path, step, room)
        top, right = top + 2 * (number % 4 == 0), right - 2 * (number % 4 == 1)
        bottom, left = bottom - 2 * (number % 4 == 2), left + 2 * (number % 4 == 3)
    return path


def _compose(rng: random.Random, height: int, width: int, pieces: int) -> Path:
    """Sweeps to the edge of a box that shrinks by two lines each time, then two cells aside; then a coin
    says whether to go on in that direction (as a spiral does) or to turn back (as a sine does)."""
    low, high = [0, 0], [height - 1, width - 1]
    path, along, aside = [(0, 0)], (0, 1), (1, 0)
    for _ in range(pieces):
        room = _room(path[-1], along, low, high)
        if room < 2:
            break
        _walk(path, along, room)
        axis = 0 if aside[0] else 1
        if _room(path[-1], aside, low, high) < 2:
            break
        if aside[axis] > 0:
            low[axis] += 2
        else:
            high[axis] -= 2
        _walk(path, aside, 2)
        back = (-along[0], -along[1])
        along, aside = (aside, back) if rng.random() < 0.5 else (back, aside)
    return path


def _room(cell: Cell, step: Cell, low: list[int], high: list[int]) -> int:
    """Cells between this one and the edge of the box."""
    axis = 0 if step[0] else 1
    return high[axis] - cell[axis] if step[axis] > 0 else cell[axis] - low[axis]


_SHAPES: dict[str, Callable] = {"sine": _sine, "spiral": _spiral, "compose": _compose}
