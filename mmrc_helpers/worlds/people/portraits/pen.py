"""The pen the portraits are drawn with: smooth shapes in head units, turned, tilted and put on the canvas.

One head unit is about half a face's width; the origin lies between the eyes, x grows to the right, y down
and z (depth) towards the viewer. Turning a head moves a point sideways by its depth: that is all the 3-D.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import ImageDraw

Colour = tuple[int, int, int]
SURFACE = None  # the depth of points that lie on the face itself

_STEPS = 6  # points drawn between two control points of a curve
_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE_N2 = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)


@dataclass(frozen=True)
class Pen:
    """Where and how shapes land: `origin_2` in pixels, `axes_22` maps head units to pixels (tilt, scale)."""

    draw: ImageDraw.ImageDraw
    origin_2: np.ndarray
    axes_22: np.ndarray
    sine: float = 0.0  # of the head's turn
    cosine: float = 1.0
    nod: float = 0.0  # how far a point one unit deep moves down


def place(pen: Pen, points_N2: np.ndarray, depth=0.0) -> np.ndarray:
    """Pixel positions (N, 2) of points in head units; depth is a number, one number a point, or SURFACE."""
    x_N, y_N = points_N2[:, 0], points_N2[:, 1]
    if depth is SURFACE:
        depth = 0.95 * np.sqrt(np.maximum(0.02, 1 - (x_N / 1.08) ** 2 - (y_N / 1.55) ** 2))
    turned_N2 = np.empty_like(points_N2, dtype=float)
    turned_N2[:, 0] = x_N * pen.cosine + depth * pen.sine
    turned_N2[:, 1] = y_N + depth * pen.nod
    return turned_N2 @ pen.axes_22 + pen.origin_2


def blob(pen: Pen, points, colour: Colour, depth=0.0) -> None:
    """Fill the smooth closed curve through the points."""
    placed_N2 = place(pen, np.asarray(points, float), depth)
    pen.draw.polygon((_closed(len(placed_N2)) @ placed_N2).ravel().tolist(), colour)


def shape(pen: Pen, points, colour: Colour, depth=0.0) -> None:
    """Fill the straight-edged polygon with these corners."""
    pen.draw.polygon(place(pen, np.asarray(points, float), depth).ravel().tolist(), colour)


def oval(pen: Pen, x: float, y: float, width: float, height: float, colour: Colour, depth=0.0) -> None:
    """Fill an ellipse given its centre and half-axes."""
    shape(pen, _CIRCLE_N2 * (width, height) + (x, y), colour, depth)


def ring(pen: Pen, outer_N2, inner_M2, colour: Colour, depth=0.0) -> None:
    """Fill between two closed smooth curves that run in the same direction."""
    outer_N2 = _closed(len(outer_N2)) @ np.asarray(outer_N2, float)
    inner_M2 = _closed(len(inner_M2)) @ np.asarray(inner_M2, float)
    seam = [outer_N2, outer_N2[:1], inner_M2[:1], inner_M2[::-1]]
    shape(pen, np.concatenate(seam), colour, depth)


def oval_ring(
    pen: Pen, x: float, y: float, width: float, height: float, line: float, colour: Colour, depth=0.0
):
    """Draw an ellipse's outline of the given line width."""
    outer_N2, inner_N2 = _CIRCLE_N2 * (width, height), _CIRCLE_N2 * (width - line, height - line)
    seam = [outer_N2, outer_N2[:1], inner_N2[:1], inner_N2[::-1]]
    shape(pen, np.concatenate(seam) + (x, y), colour, depth)


def stroke(pen: Pen, points, width: float, colour: Colour, depth=0.0, taper: float = 0.0) -> None:
    """Draw a smooth line through the points; taper 1 thins it to nothing at both ends, 0 keeps it even."""
    points_N2 = np.asarray(points, float)
    path_M2 = _open(len(points_N2)) @ points_N2
    along_M2 = np.empty_like(path_M2)
    along_M2[1:-1] = path_M2[2:] - path_M2[:-2]
    along_M2[0], along_M2[-1] = path_M2[1] - path_M2[0], path_M2[-1] - path_M2[-2]
    length_M = np.sqrt((along_M2**2).sum(1)) + 1e-9
    half_M = width / 2 * _thickness(len(path_M2), taper) / length_M
    across_M2 = np.stack([-along_M2[:, 1] * half_M, along_M2[:, 0] * half_M], 1)
    shape(pen, np.concatenate([path_M2 + across_M2, (path_M2 - across_M2)[::-1]]), colour, depth)


def mirrored(points) -> list[tuple[float, float]]:
    """A closed outline from its right half, listed from top to bottom."""
    return [*points, *((-x, y) for x, y in reversed(points) if x != 0)]


def shade(colour: Colour, factor: float) -> Colour:
    """Darker for a factor below 1; above 1, mixed with white (2 is white)."""
    if factor <= 1:
        return tuple(int(channel * factor) for channel in colour)
    return tuple(int(channel + (255 - channel) * (factor - 1)) for channel in colour)


def mix(one: Colour, other: Colour, part: float) -> Colour:
    """The colour `part` of the way from one to the other."""
    return tuple(int(a + (b - a) * part) for a, b in zip(one, other, strict=True))


@cache
def _thickness(count: int, taper: float) -> np.ndarray:
    return 1 - taper + taper * np.sin(np.linspace(0.08, np.pi - 0.08, count))


def _spline_row(count: int, picks: list[int], t: float) -> np.ndarray:
    """Weights of the control points at t between picks[1] and picks[2] (Catmull-Rom spline)."""
    weights = (
        (-(t**3) + 2 * t**2 - t) / 2,
        (3 * t**3 - 5 * t**2 + 2) / 2,
        (-3 * t**3 + 4 * t**2 + t) / 2,
        (t**3 - t**2) / 2,
    )
    row = np.zeros(count)
    for pick, weight in zip(picks, weights, strict=True):
        row[pick] += weight
    return row


@cache
def _closed(count: int) -> np.ndarray:
    """(count * steps, count) matrix from control points to a closed curve."""
    return np.stack(
        [
            _spline_row(count, [(i + k) % count for k in (-1, 0, 1, 2)], step / _STEPS)
            for i in range(count)
            for step in range(_STEPS)
        ]
    )


@cache
def _open(count: int) -> np.ndarray:
    """((count - 1) * steps + 1, count) matrix from control points to an open curve through both ends."""
    rows = [
        _spline_row(count, [min(max(i + k, 0), count - 1) for k in (-1, 0, 1, 2)], step / _STEPS)
        for i in range(count - 1)
        for step in range(_STEPS)
    ]
    return np.stack([*rows, np.eye(count)[-1]])
