"""Draws a puzzle: two rows of three panels, a query with a question mark, a gap, four options; grey on white.

Shapes and lines are drawn once, several times too large, scaled down and kept; a picture is pasted from them.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from math import cos, pi, sin

from PIL import Image, ImageDraw

from mmrc_helpers.store.decoding import Drawn
from mmrc_helpers.worlds.analogies.values import Panel
from mmrc_helpers.worlds.puzzles.tiles import font

UNITS = 160  # a panel's side in the units of shape sizes and line widths; facts: arXiv 2501.02669
STROKE, OUTLINE = 4, 2  # widths of lines and of the outline of shapes, in these units
LEAST_STROKE, LEAST_OUTLINE = 2, 0.75  # and at least so many pixels, to be seen in small pictures
PAPER, INK, FRAME = 255, 0, 150
LARGE = 8  # times too large: what smooths the edges

_LINES = {  # corners in shares of the panel, or the radius of a ring
    "falling": [(0, 0), (1, 1)],
    "rising": [(0, 1), (1, 0)],
    "diamond": [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5), (0.5, 0)],
    "ring": 0.22,
    "vee-up": [(0, 0), (0.5, 1), (1, 0)],
    "vee-left": [(0, 0), (1, 0.5), (0, 1)],
    "vee-down": [(0, 1), (0.5, 0), (1, 1)],
    "vee-right": [(1, 0), (0, 0.5), (1, 1)],
}
_SHAPES = {  # corners in shares of the size, around the middle; none for a circle
    "circle": [],
    "rectangle": [(-0.5, -0.36), (0.5, -0.36), (0.5, 0.36), (-0.5, 0.36)],
    "triangle": [(0, -0.5), (0.56, 0.46), (-0.56, 0.46)],
    "pentagon": [(0.54 * sin(2 * pi * n / 5), 0.02 - 0.54 * cos(2 * pi * n / 5)) for n in range(5)],
    "hexagon": [(0.53 * cos(pi * n / 3), 0.53 * sin(pi * n / 3)) for n in range(6)],
}


def draw(panels: Sequence[Panel], width: int, height: int, margin: float) -> Drawn:
    """The twelve panels of a puzzle in reading order as a grey PNG file; sizes as in `picture`."""
    file = io.BytesIO()
    picture(panels, width, height, margin).save(file, "PNG", compress_level=3)
    return Drawn(file.getvalue())


def picture(panels: Sequence[Panel], width: int, height: int, margin: float) -> Image.Image:
    """The picture, mode L, `width` by `height` pixels: cells as large as four fit in a row and in a column;
    what is left of the height stands before the options. margin: share of a cell on each side of a panel."""
    cell = min(width, height) // 4
    edge = max(1, round(margin * cell))
    image = Image.new("L", (width, height), PAPER)
    for panel, (x, y) in zip(panels, _corners(width, height, cell), strict=True):
        image.paste(panel_image(panel, cell - 2 * edge), (x + edge, y + edge))
    image.paste(_question_mark(cell), (width // 2 + cell // 2, 2 * cell))
    return image


def _corners(width: int, height: int, cell: int) -> list[tuple[int, int]]:
    """The upper left corners of the cells of the twelve panels, (x, y) in pixels."""
    rows = [
        (width // 2 + (2 * column - 3) * cell // 2, row * cell) for row in range(3) for column in range(3)
    ]
    return rows[:8] + [(width // 2 + (column - 2) * cell, height - cell) for column in range(4)]


def panel_image(panel: Panel, side: int) -> Image.Image:
    """One panel, framed, mode L, `side` pixels."""
    image = Image.new("L", (side, side), PAPER)
    for item in panel.items:
        if panel.kind == "line":
            kind, color = item
            image.paste(color, (0, 0), _line(kind, side))
        else:
            kind, color, size, (row, column) = item
            sprite, mask = _shape(kind, color, size, side)
            corner = (round((2 * n + 1) * side / 6 - sprite.width / 2) for n in (column, row))
            image.paste(sprite, tuple(corner), mask)
    ImageDraw.Draw(image).rectangle((0, 0, side - 1, side - 1), outline=FRAME, width=max(1, side // UNITS))
    return image


@lru_cache(maxsize=64)
def _line(kind: str, side: int) -> Image.Image:
    """Where a line covers its panel: a mask of `side` pixels."""
    stroke = max(LEAST_STROKE, STROKE * side / UNITS)
    if kind in ("horizontal", "vertical"):  # whole pixels: halves of twice as many would have another color
        first = (side - round(stroke)) // 2
        last = first + round(stroke) - 1
        mask = Image.new("L", (side, side), 0)
        box = (0, first, side, last) if kind == "horizontal" else (first, 0, last, side)
        ImageDraw.Draw(mask).rectangle(box, fill=255)
        return mask
    large, width = side * LARGE, round(stroke * LARGE)
    mask = Image.new("L", (large, large), 0)
    pen = ImageDraw.Draw(mask)
    if kind == "ring":
        radius, middle = _LINES[kind] * large + width / 2, large / 2
        low, high = middle - radius, middle + radius
        pen.ellipse((low, low, high, high), outline=255, width=width)
    else:
        corners = [(x * (large - 1), y * (large - 1)) for x, y in _LINES[kind]]
        pen.line(corners, fill=255, width=width, joint="curve")
    return mask.reduce(LARGE)


@lru_cache(maxsize=512)
def _shape(kind: str, color: int, size: int, side: int) -> tuple[Image.Image, Image.Image]:
    """A shape in its box, and where it covers the box."""
    length = size * side / UNITS
    box = 2 * round(length * 0.62) + 2 + side % 2  # even or odd as the panel, so that the middles meet
    outline = max(LEAST_OUTLINE, OUTLINE * side / UNITS)
    outer, inner = (_filled(kind, length - shrink, box) for shrink in (0, 2 * outline))
    sprite = Image.new("L", (box, box), INK)
    sprite.paste(color, (0, 0), inner)
    return sprite, outer


def _filled(kind: str, length: float, box: int) -> Image.Image:
    mask = Image.new("L", (box * LARGE, box * LARGE), 0)
    middle, scale = box * LARGE / 2, length * LARGE
    if kind == "circle":
        ImageDraw.Draw(mask).ellipse((middle - scale / 2,) * 2 + (middle + scale / 2,) * 2, fill=255)
    else:
        ImageDraw.Draw(mask).polygon(
            [(middle + x * scale, middle + y * scale) for x, y in _SHAPES[kind]], fill=255
        )
    return mask.reduce(LARGE)


@lru_cache(maxsize=4)
def _question_mark(cell: int) -> Image.Image:
    image = Image.new("L", (cell, cell), PAPER)
    ImageDraw.Draw(image).text(
        (cell / 2, cell / 2), "?", fill=INK, font=font(round(cell * 0.35)), anchor="mm"
    )
    return image
