"""The picture of a table: a blue header row and index column, yellow cells along the path, no corner cell."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from mmrc_helpers.worlds.puzzles import tiles
from mmrc_helpers.worlds.puzzles.making import Place
from mmrc_helpers.worlds.tables.instances import DIGITS, Table, pools, sample

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
PLAIN, MARKED, HEAD = 0, tiles.LEVELS, 2 * tiles.LEVELS  # where each ramp starts
PAGE, LINE = HEAD + tiles.INK, PLAIN + tiles.INK
COLOURS = tiles.palette(((245, 245, 245), BLACK), ((255, 240, 0), BLACK), ((64, 70, 110), WHITE))


def draw(facts: Mapping, seed: int, place: Place) -> bytes:
    """The PNG of the table at a place."""
    return picture(sample(facts, seed, place), facts)


def picture(table: Table, facts: Mapping) -> bytes:
    """The PNG of a table, facts.picture pixels wide and high."""
    width, height = facts["picture"]
    products, months = pools(facts)
    digits = _digits(facts)
    xs, ys, line, cell, index = _layout(facts, len(table.products), len(table.months))
    value_size = _size(digits, *cell, facts["font_size"], False)
    month_size = _size(months, *cell, facts["font_size"], True)
    product_size = min(month_size, _size(products, *index, facts["font_size"], True))
    indices = np.full((height, width), PAGE, np.uint8)
    path = set(table.path)

    def put(row: int, column: int, word: str, size: int, ramp: int) -> None:
        box = (xs[column] + line, ys[row] + line, xs[column + 1], ys[row + 1])
        tiles.put(indices, box, tiles.word(word, size, ramp == HEAD), ramp)

    for c, month in enumerate(table.months):
        put(0, c + 1, month, month_size, HEAD)
    for r, product in enumerate(table.products):
        put(r + 1, 0, product, product_size, HEAD)
        for c, value in enumerate(table.values[r]):
            put(r + 1, c + 1, digits[value], value_size, MARKED if (r, c) in path else PLAIN)
    tiles.draw_lines(indices, xs[1:], ys, line, LINE)
    tiles.draw_lines(indices, xs, ys[1:], line, LINE)
    return tiles.encode(indices, COLOURS)


def cuts_words(facts: Mapping, rows: int, columns: int) -> bool:
    """Whether words of a table of this size are too large for their cells in the smallest font."""
    products, months = pools(facts)
    *_, cell, index = _layout(facts, rows, columns)
    words = ((_digits(facts), cell, False), (months, cell, True), (products, index, True))
    return not all(tiles.fits(of, *box, tiles.SMALLEST, bold) for of, box, bold in words)


def _layout(facts: Mapping, rows: int, columns: int):
    """Edges of columns and rows, width of lines, inner (width, height) of a cell and of a product's."""
    width, height = facts["picture"]
    xs = tiles.edges(width, [_index_share(*pools(facts)), *[1] * columns])
    ys = tiles.edges(height, [1] * (rows + 1))
    line = max(1, min(width // 500, height // 300))
    return xs, ys, line, (xs[2] - xs[1] - line, ys[2] - ys[1] - line), (xs[1] - line, ys[2] - ys[1] - line)


def _digits(facts: Mapping) -> tuple[str, ...]:
    return DIGITS if facts["numbers"] == "words" else tuple("0123456789")


@lru_cache(maxsize=16)
def _index_share(products: tuple[str, ...], months: tuple[str, ...]) -> float:
    """Width of the index column, in widths of the others: as the longest names ask, from 1 to 2."""
    return min(2.0, max(1.0, max(map(len, products)) / max(map(len, months))))


def _size(words: tuple[str, ...], width: int, height: int, largest: int, bold: bool) -> int:
    """The font size at which all the words fit a cell with some air around."""
    return tiles.fitting(words, width - max(2, width // 10), height - max(2, height // 6), largest, bold)
