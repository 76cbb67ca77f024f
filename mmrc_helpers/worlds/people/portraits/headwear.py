"""Headwear, and the cloth it shares with attire. Its colour is strong and covers most of it."""

import numpy as np

from mmrc_helpers.worlds.people.portraits.face import Face
from mmrc_helpers.worlds.people.portraits.pen import (
    Colour,
    Pen,
    blob,
    mirrored,
    oval,
    ring,
    shade,
    shape,
    stroke,
)

CLOTH = {
    "red": (220, 28, 40),
    "orange": (252, 132, 14),
    "yellow": (255, 222, 30),
    "green": (22, 150, 62),
    "blue": (26, 84, 224),
    "purple": (128, 42, 186),
    "white": (246, 246, 248),
    "black": (34, 34, 40),
}
GOLD = (236, 186, 50)
PALE = (250, 250, 250)


def contrast(colour: Colour) -> Colour:
    """A trim that shows on the colour: dark on light, light on dark."""
    return (40, 36, 44) if sum(colour) > 400 else PALE


def draw_headwear(pen: Pen, face: Face, kind: str, colour: Colour) -> None:
    """Everything worn on top of the hair; `none` draws nothing."""
    drawer = {
        "cap": _draw_cap,
        "beret": _draw_beret,
        "top hat": _draw_top_hat,
        "beanie": _draw_beanie,
        "crown": _draw_crown,
        "cowboy hat": _draw_cowboy_hat,
        "headband": _draw_headband,
        "headscarf": _draw_headscarf,
    }.get(kind)
    if drawer:
        drawer(pen, face, colour)


def _draw_cap(pen: Pen, face: Face, colour: Colour) -> None:
    w = face.width
    blob(
        pen,
        mirrored([(0, -1.72), (0.7 * w, -1.58), (1.12 * w, -1.0), (1.12 * w, -0.52), (0, -0.62)]),
        colour,
        0.1,
    )
    stroke(pen, [(-0.5 * w, -1.52), (-0.42 * w, -1.1), (-0.5, -0.7)], 0.04, shade(colour, 0.7), 0.4, 0.3)
    stroke(pen, [(0.5 * w, -1.52), (0.42 * w, -1.1), (0.5, -0.7)], 0.04, shade(colour, 0.7), 0.4, 0.3)
    oval(pen, 0, -1.73, 0.12, 0.07, shade(colour, 0.7), 0)
    oval(pen, 0, -1.08, 0.24, 0.22, contrast(colour), 0.75)
    visor = mirrored([(0, -0.82), (0.7 * w, -0.78), (1.16 * w, -0.6), (0.86 * w, -0.4), (0, -0.42)])
    blob(pen, visor, shade(colour, 0.72), 1.15)
    stroke(pen, [(-0.95 * w, -0.62), (0, -0.78), (0.95 * w, -0.62)], 0.07, shade(colour, 1.2), 1.1, 0.8)


def _draw_beret(pen: Pen, face: Face, colour: Colour) -> None:
    w, s = face.width, face.side
    body = [
        (-1.1, -0.72),
        (-1.5, -1.05),
        (-1.35, -1.55),
        (-0.4, -1.86),
        (0.6, -1.66),
        (1.1, -1.15),
        (1.04, -0.74),
        (0, -0.84),
    ]
    blob(pen, [(s * x * w, y) for x, y in body], colour, 0.1)
    stroke(pen, [(-1.02 * w, -0.68), (0, -0.88), (1.02 * w, -0.68)], 0.16, shade(colour, 0.66), 0.55, 0.2)
    stroke(pen, [(-s * 0.3, -1.8), (-s * 0.36, -2.02)], 0.1, shade(colour, 0.66), 0.1)
    stroke(
        pen, [(-s * 1.2 * w, -1.3), (-s * 0.6, -1.62), (s * 0.1, -1.62)], 0.12, shade(colour, 1.25), 0.1, 1
    )


def _draw_top_hat(pen: Pen, face: Face, colour: Colour) -> None:
    w = face.width
    shape(pen, [(-0.86 * w, -0.8), (-0.94 * w, -2.0), (0.94 * w, -2.0), (0.86 * w, -0.8)], colour, 0.1)
    oval(pen, 0, -2.0, 0.94 * w, 0.14, shade(colour, 1.14), 0.1)
    shape(
        pen,
        [(-0.88 * w, -0.86), (-0.9 * w, -1.2), (0.9 * w, -1.2), (0.88 * w, -0.86)],
        contrast(colour),
        0.12,
    )
    shape(
        pen,
        [(-0.72 * w, -1.22), (-0.75 * w, -1.92), (-0.5 * w, -1.92), (-0.5 * w, -1.22)],
        shade(colour, 1.25),
        0.12,
    )
    oval(pen, 0, -0.74, 1.5 * w, 0.2, shade(colour, 0.72), 0.3)
    oval(pen, 0, -0.79, 1.48 * w, 0.16, colour, 0.3)
    shape(
        pen,
        [(-0.84 * w, -0.8), (-0.86 * w, -0.98), (0.86 * w, -0.98), (0.84 * w, -0.8)],
        contrast(colour),
        0.2,
    )


def _draw_beanie(pen: Pen, face: Face, colour: Colour) -> None:
    w = face.width
    oval(pen, 0, -1.86, 0.34, 0.3, contrast(colour), 0)
    blob(
        pen,
        mirrored([(0, -1.76), (0.64 * w, -1.6), (1.08 * w, -1.0), (1.08 * w, -0.6), (0, -0.7)]),
        colour,
        0.08,
    )
    for x in (-0.62, -0.22, 0.22, 0.62):
        stroke(pen, [(x * 0.6, -1.62), (x, -1.2), (x * 1.1, -0.9)], 0.05, shade(colour, 0.75), 0.4, 0.6)
    cuff = [(1.14 * w, -0.86), (1.15 * w, -0.46), (0.6, -0.5), (0, -0.52), (-0.6, -0.5), (-1.15 * w, -0.46)]
    back = [(-1.14 * w, -0.86), (-0.6, -0.94), (0, -0.97), (0.6, -0.94)]
    blob(pen, [*cuff, *back], shade(colour, 1.22 if sum(colour) < 600 else 0.86), 0.35)
    for x in np.linspace(-0.9, 0.9, 7):
        stroke(pen, [(x * w, -0.88), (x * w, -0.56)], 0.05, shade(colour, 0.82), 0.4)


def _draw_crown(pen: Pen, face: Face, colour: Colour) -> None:
    w = face.width
    xs = [-1.08, -0.98, -0.54, -0.28, 0.0, 0.28, 0.54, 0.98, 1.08]
    ys = [-1.85, -1.25, -1.83, -1.25, -1.96, -1.25, -1.83, -1.25, -1.85]
    top = [(x * w, y) for x, y in zip(xs, ys, strict=True)]
    shape(pen, [(-0.98 * w, -0.72), *top, (0.98 * w, -0.72), (0, -0.66)], colour, 0.3)
    shape(
        pen,
        [(-0.98 * w, -0.72), (-1.0 * w, -0.98), (0, -0.94), (1.0 * w, -0.98), (0.98 * w, -0.72), (0, -0.66)],
        GOLD,
        0.34,
    )
    for x, y in zip(xs[::2], ys[::2], strict=True):
        oval(pen, x * w, y, 0.12, 0.12, GOLD, 0.3)
    for x in (-0.6, 0, 0.6):
        oval(pen, x * w, -0.83, 0.09, 0.08, (190, 20, 60), 0.5)


def _draw_cowboy_hat(pen: Pen, face: Face, colour: Colour) -> None:
    w = face.width
    dome = mirrored([(0, -1.68), (0.36 * w, -1.98), (0.74 * w, -1.82), (0.92 * w, -0.8), (0, -0.7)])
    blob(pen, dome, colour, 0.1)
    stroke(pen, [(-0.3, -1.84), (-0.12, -1.45), (0, -1.2)], 0.1, shade(colour, 0.72), 0.3, 0.8)
    shape(
        pen,
        [(-0.92 * w, -0.8), (-0.9 * w, -1.1), (0.9 * w, -1.1), (0.92 * w, -0.8)],
        shade(contrast(colour), 0.6),
        0.14,
    )
    top = [(-1.95, -1.18), (-1.3, -0.84), (0, -0.9), (1.3, -0.84), (1.95, -1.18)]
    low = [(1.75, -0.74), (0.9, -0.5), (0, -0.46), (-0.9, -0.5), (-1.75, -0.74)]
    blob(pen, [*top, *low], colour, 0.3)
    stroke(
        pen,
        [(-1.75, -0.78), (-0.9, -0.52), (0, -0.48), (0.9, -0.52), (1.75, -0.78)],
        0.1,
        shade(colour, 0.68),
        0.32,
        0.4,
    )


def _draw_headband(pen: Pen, face: Face, colour: Colour) -> None:
    w = face.width
    low = [(1.08 * w, -0.42), (0.6, -0.58), (0, -0.64), (-0.6, -0.58), (-1.08 * w, -0.42)]
    high = [(-1.12 * w, -0.78), (-0.6, -0.98), (0, -1.04), (0.6, -0.98), (1.12 * w, -0.78)]
    blob(pen, [*low, *high], colour, 0.5)
    stroke(pen, [(-1.05 * w, -0.64), (0, -0.86), (1.05 * w, -0.64)], 0.07, shade(colour, 1.3), 0.5, 0.7)


def _draw_headscarf(pen: Pen, face: Face, colour: Colour) -> None:
    """A scarf around the face, falling on the chest; it hides hair, ears and neck."""
    w, chin = face.width, face.chin
    outer = mirrored(
        [(0, -1.58), (0.8, -1.35), (1.25, -0.6), (1.28, 0.3), (1.15, 1.1), (1.5, 1.9), (0.9, 2.35), (0, 2.5)]
    )
    inner = mirrored(
        [
            (0, -0.78),
            (0.5 * w, -0.7),
            (0.84 * w, -0.35),
            (0.88 * w, 0.25),
            (face.jaw * 0.95, 0.8),
            (0.4, chin - 0.06),
            (0, chin),
        ]
    )
    ring(pen, outer, inner, colour, 0.15)
    stroke(pen, [(-0.9, -0.9), (0, -1.18), (0.9, -0.9)], 0.09, shade(colour, 1.25), 0.4, 1)
    s = face.side
    stroke(pen, [(-s * 0.95, 0.8), (-s * 0.3, 1.55), (s * 0.9, 1.75)], 0.1, shade(colour, 0.72), 0.3, 0.8)
    stroke(pen, [(s * 0.9, 0.9), (s * 0.3, 1.5), (-s * 0.7, 2.1)], 0.08, shade(colour, 0.72), 0.3, 0.8)
    stroke(pen, [(s * 1.08, -0.3), (s * 1.06, 0.4), (s * 0.9, 0.95)], 0.07, shade(colour, 0.78), 0.2, 0.8)
