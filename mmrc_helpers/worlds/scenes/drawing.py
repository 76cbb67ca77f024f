"""Shapes, what they cover, and how a picture of them is drawn at any size.

Lengths are shares of the picture's side, x to the right and y down. A thing's `half` is half the side of the
square that its shape fills; where more than one thing covers a point, the later one in the picture is seen.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from mmrc_helpers.worlds.drops import Noise, draw_noise

RGB = {
    "red": (222, 45, 48), "yellow": (250, 206, 22), "green": (34, 160, 84),
    "blue": (38, 96, 230), "purple": (150, 62, 190), "black": (42, 42, 46),
    "orange": (240, 128, 20), "pink": (246, 140, 190), "lime": (150, 215, 40),
    "cyan": (60, 200, 222), "brown": (120, 72, 36), "gray": (128, 128, 132),
}  # fmt: skip
HOLES = {"ring": 0.74, "frame": 0.72}  # inner half as a share of the outer: what can be inside
RODS = ("stick", "arrow")  # what can go through a hole
_BAR = 0.02  # half the thickness of a rod, whatever its length
_GRID = 96  # samples on the side of a shape's square when coverage is measured


@dataclass(frozen=True)
class Thing:
    """A coloured shape somewhere. angle: of a rod, in radians. threaded: a rod that goes through the thing
    drawn just before it, whose far half is seen over the rod."""

    colour: str
    shape: str
    x: float
    y: float
    half: float
    angle: float = 0.0
    threaded: bool = False

    @property
    def look(self) -> tuple[str, str]:
        return self.colour, self.shape


@dataclass(frozen=True)
class Plan:
    """All that `draw` needs. size: pixels on a side. wall, floor: RGB; horizon: where the floor begins, 1 for
    none."""

    size: int
    things: tuple[Thing, ...] = ()
    wall: tuple[int, int, int] = (240, 240, 236)
    floor: tuple[int, int, int] = (214, 210, 200)
    horizon: float = 1.0


def _star() -> list[tuple[float, float]]:
    turns = [(math.pi * k / 5 - math.pi / 2, 1.0 if k % 2 == 0 else 0.45) for k in range(10)]
    return [(radius * math.cos(turn), radius * math.sin(turn)) for turn, radius in turns]


def _heart() -> list[tuple[float, float]]:
    turns = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    x = 16 * np.sin(turns) ** 3
    y = -(13 * np.cos(turns) - 5 * np.cos(2 * turns) - 2 * np.cos(3 * turns) - np.cos(4 * turns))
    return list(zip(x / 16, (y - 2.5) / 14.5, strict=True))


def _moon() -> list[tuple[float, float]]:
    """A crescent open to the right: the left part of a disc without a smaller disc."""
    outer = np.linspace(math.radians(42), math.radians(318), 60)
    inner = np.linspace(math.radians(302), math.radians(58), 60)
    tips = [(math.cos(turn) + 0.12, math.sin(turn)) for turn in outer]
    return tips + [(0.72 * math.cos(turn) + 0.48, 0.76 * math.sin(turn)) for turn in inner]


def _circle(radius: float = 1.0) -> list[tuple[float, float]]:
    turns = np.linspace(0, 2 * math.pi, 72)
    return [(radius * math.cos(turn), radius * math.sin(turn)) for turn in turns]


def _square(half: float = 1.0) -> list[tuple[float, float]]:
    return [(-half, -half), (half, -half), (half, half), (-half, half), (-half, -half)]


def _cross(arm: float = 0.36) -> list[tuple[float, float]]:
    quarter = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
    return [(x * c - y * s, x * s + y * c) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1)) for x, y in quarter]


OUTLINES = {
    "circle": _circle(), "square": _square(0.9), "triangle": [(0, -1), (1, 0.86), (-1, 0.86)],
    "diamond": [(0, -1), (0.8, 0), (0, 1), (-0.8, 0)], "star": _star(), "heart": _heart(),
    "cross": _cross(), "moon": _moon(),
    "ring": _circle() + _circle(HOLES["ring"])[::-1], "frame": _square() + _square(HOLES["frame"])[::-1],
}  # fmt: skip


def outline(thing: Thing) -> np.ndarray:
    """The corners (N, 2) of a thing's shape in the picture."""
    if thing.shape not in RODS:
        return np.asarray(OUTLINES[thing.shape]) * thing.half + (thing.x, thing.y)
    long, bar = thing.half, _BAR
    corners = [(-long, -bar), (long, -bar), (long, bar), (-long, bar)]
    if thing.shape == "arrow":
        neck, head = long - 0.07, 0.05
        tip = [(neck, -bar), (neck, -head), (long, 0), (neck, head), (neck, bar)]
        corners = [(-long, -bar), *tip, (-long, bar)]
    turn = np.array([[math.cos(thing.angle), math.sin(thing.angle)],
                     [-math.sin(thing.angle), math.cos(thing.angle)]])  # fmt: skip
    return np.asarray(corners) @ turn + (thing.x, thing.y)


@cache
def _covered(shape: str) -> np.ndarray:
    """Which samples of its square a shape covers, as (rows, columns) of booleans."""
    image = Image.new("1", (_GRID, _GRID))
    corners = (np.asarray(OUTLINES[shape]) + 1) * (_GRID - 1) / 2
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners], fill=1)
    return np.asarray(image)


def covered_share(behind: Thing, front: Thing) -> float:
    """The share of one solid thing that another one covers."""
    rows, columns = np.nonzero(_covered(behind.shape))
    scale = 2 / (_GRID - 1)
    x = ((columns * scale - 1) * behind.half + behind.x - front.x) / front.half
    y = ((rows * scale - 1) * behind.half + behind.y - front.y) / front.half
    over = (np.abs(x) <= 1) & (np.abs(y) <= 1)
    at = ((y[over] + 1) / scale).round().astype(int), ((x[over] + 1) / scale).round().astype(int)
    return float(_covered(front.shape)[at].sum() / len(rows))


def fall(upper: Thing, lower: Thing) -> float:
    """How far the upper of two solid things can fall until it touches the lower one; inf if it would miss it.
    Negative: they overlap."""
    columns = np.linspace(-1, 1, _GRID)
    below = (_edges(upper.shape)[1] * upper.half) + upper.y
    x = (columns * upper.half + upper.x - lower.x) / lower.half
    top = np.interp(x, columns, _edges(lower.shape)[0], left=np.inf, right=np.inf) * lower.half + lower.y
    gaps = top - below
    return float(np.nanmin(np.where(np.isfinite(gaps), gaps, np.inf)))


@cache
def _edges(shape: str) -> tuple[np.ndarray, np.ndarray]:
    """The highest and the lowest covered y of each column of a shape's square; inf and -inf without one."""
    covered = _covered(shape)
    y = np.linspace(-1, 1, _GRID)[:, None]
    return np.where(covered, y, np.inf).min(0), np.where(covered, y, -np.inf).max(0)


def draw(plan: Plan | Noise) -> Image.Image:
    """The picture of a plan, RGB, size × size, or noise."""
    if isinstance(plan, Noise):
        return draw_noise(plan)
    # Drawn larger and averaged, so that edges are smooth and a 64-pixel picture holds what a large one does.
    finer = 8 if plan.size <= 96 else 4 if plan.size <= 320 else 2
    side = plan.size * finer
    image = Image.new("RGB", (side, side), plan.wall)
    pen = ImageDraw.Draw(image)
    if plan.horizon < 1:
        pen.rectangle((0, plan.horizon * side, side, side), plan.floor)
    for place, thing in enumerate(plan.things):
        _paint(pen, thing, side)
        if thing.threaded:
            _paint_far_half(image, plan.things[place - 1], thing, side)
    return image.reduce(finer)


def _paint(pen: ImageDraw.ImageDraw, thing: Thing, side: int) -> None:
    corners = [tuple(corner) for corner in outline(thing) * side]
    fill = RGB[thing.colour]
    pen.polygon(corners, fill)
    edge = tuple(int(0.62 * channel) for channel in fill)
    half = len(corners) // 2
    rims = [corners[:half], corners[half:]] if thing.shape in HOLES else [corners]
    for rim in rims:
        pen.line([*rim, rim[0]], edge, width=max(1, round(side * 0.009)), joint="curve")


def _paint_far_half(image: Image.Image, holed: Thing, rod: Thing, side: int) -> None:
    """Paint the half of a holed thing that lies ahead of the rod's middle once more, over the rod."""
    layer = image.copy()
    _paint(ImageDraw.Draw(layer), holed, side)
    ahead = np.array([math.cos(rod.angle), math.sin(rod.angle)])
    across = np.array([-ahead[1], ahead[0]])
    middle = np.array([holed.x, holed.y])
    corners = [middle + across, middle + across + 2 * ahead, middle - across + 2 * ahead, middle - across]
    mask = Image.new("1", (side, side))
    ImageDraw.Draw(mask).polygon([tuple(corner * side) for corner in corners], fill=1)
    image.paste(layer, mask=mask)
