"""The picture of a grid: blue start, green destination, symbols in white cells, letters left and below."""

from collections.abc import Mapping

import numpy as np

from mmrc_helpers.worlds.grids.instances import (
    DESTINATION_NAME,
    EMPTY_NAME,
    LETTERS,
    OBJECTS,
    OBSTACLES,
    START_NAME,
    Grid,
    sample,
)
from mmrc_helpers.worlds.puzzles import tiles
from mmrc_helpers.worlds.puzzles.making import Place

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
PLAIN, BLUE, GREEN = 0, tiles.LEVELS, 2 * tiles.LEVELS  # where each ramp starts
COLOURS = tiles.palette((WHITE, BLACK), ((100, 180, 240), BLACK), ((0, 120, 30), BLACK))
RAMPS = {START_NAME: BLUE, DESTINATION_NAME: GREEN}


def draw(facts: Mapping, seed: int, place: Place) -> bytes:
    """The PNG of the grid at a place."""
    return picture(sample(facts, seed, place), facts)


def picture(grid: Grid, facts: Mapping) -> bytes:
    """The PNG of a grid, facts.picture pixels wide and high."""
    width, height = facts["picture"]
    rows, columns = len(grid.names), len(grid.names[0])
    xs, ys = tiles.edges(width, [1] * (columns + 1)), tiles.edges(height, [1] * (rows + 1))
    line = max(1, min(width, height) // 350)
    cell = min(xs[2] - xs[1], ys[1] - ys[0]) - line
    side, size = min(facts["symbol_size"], max(4, cell - 2 - cell // 6)), max(5, cell * 2 // 5)
    size = tiles.fitting(tuple(LETTERS), cell - 1, cell - 1, max(size, min(cell, 16)))
    indices = np.full((height, width), PLAIN, np.uint8)
    for r, names in enumerate(grid.names):
        for c, name in enumerate(names):
            box = (xs[c + 1] + line, ys[r] + line, xs[c + 2], ys[r + 1])
            tiles.put(indices, box, _tile(name, side), RAMPS.get(name, PLAIN))
        tiles.put(indices, (xs[0], ys[r] + line, xs[1], ys[r + 1]), tiles.word(LETTERS[r], size), PLAIN)
    for c in range(columns):
        box = (xs[c + 1] + line, ys[rows], xs[c + 2], ys[rows + 1])
        tiles.put(indices, box, tiles.word(LETTERS[c], size), PLAIN)
    tiles.draw_lines(indices, xs[1:], ys[: rows + 1], line, tiles.INK)
    return tiles.encode(indices, COLOURS)


def _tile(name: str, side: int) -> np.ndarray | None:
    """The symbol of a name; None for the cells without one."""
    if name in (START_NAME, DESTINATION_NAME, EMPTY_NAME):
        return None
    return tiles.symbol(OBJECTS.get(name) or OBSTACLES[name], side)
