"""Glasses and attire. The colour of an attire is strong and covers most of it."""

from mmrc_helpers.worlds.people.portraits.face import Face
from mmrc_helpers.worlds.people.portraits.headwear import GOLD, PALE, contrast
from mmrc_helpers.worlds.people.portraits.pen import (
    Colour,
    Pen,
    blob,
    mirrored,
    oval,
    oval_ring,
    ring,
    shade,
    shape,
    stroke,
)


def draw_glasses(pen: Pen, face: Face, kind: str) -> None:
    """Glasses at the eyes, a little before the face; `none` draws nothing."""
    if kind == "none":
        return
    gap, frame = face.eye_gap + 0.02, (24, 20, 26)
    if kind == "monocle":
        x = face.side * gap
        stroke(
            pen,
            [(x + face.side * 0.28, 0.2), (x + face.side * 0.5, 0.8), (x + face.side * 0.42, 1.6)],
            0.05,
            GOLD,
            0.9,
        )
        oval_ring(pen, x, 0.0, 0.46, 0.46, 0.15, frame, 0.97)
        oval_ring(pen, x, 0.0, 0.43, 0.43, 0.09, GOLD, 0.98)
        return
    for side in (-1, 1):
        x = side * gap
        stroke(pen, [(side * 0.72, -0.08), (side * 1.0, -0.04)], 0.08, frame, 0.5)
        if kind == "round":
            oval_ring(pen, x, 0.02, 0.37, 0.36, 0.085, frame, 0.98)
        elif kind == "square":
            corners = [(x - 0.37, -0.25), (x + 0.37, -0.25), (x + 0.37, 0.28), (x - 0.37, 0.28)]
            inner = [(x - 0.28, -0.13), (x + 0.28, -0.13), (x + 0.28, 0.2), (x - 0.28, 0.2)]
            shape(pen, [*corners, corners[0], inner[0], *inner[:0:-1]], (36, 30, 120), 0.98)
        else:
            lens = [(x - 0.37, -0.2), (x + 0.37, -0.2), (x + 0.34, 0.16), (x, 0.33), (x - 0.34, 0.16)]
            blob(pen, lens, frame, 0.98)
            stroke(pen, [(x - 0.2, 0.08), (x + 0.06, -0.14)], 0.07, (120, 130, 150), 1.0, 0.7)
    bridge = (36, 30, 120) if kind == "square" else frame
    stroke(pen, [(-0.1, -0.06), (0, -0.1), (0.1, -0.06)], 0.085, bridge, 1.0)


def draw_attire_behind(pen: Pen, kind: str, colour: Colour) -> None:
    """What stands behind the neck: a hood."""
    if kind == "hoodie":
        blob(pen, mirrored([(0, 0.75), (0.9, 0.9), (1.3, 1.5), (0.9, 2.0), (0, 2.2)]), shade(colour, 0.6))


def draw_attire(pen: Pen, face: Face, kind: str, colour: Colour, man: bool) -> None:
    """Shoulders and chest in the attire."""
    wide = 1.78 if man else 1.52
    torso = mirrored(
        [(0, 1.62), (0.5, 1.42), (wide * 0.86, 1.72), (wide * 1.08, 2.3), (wide * 1.2, 5), (0, 6)]
    )
    if kind == "dress":
        blob(pen, torso, face.skin)
        _draw_dress(pen, wide, colour)
        return
    blob(pen, torso, PALE if kind in ("lab coat", "overalls") else colour)
    {
        "suit": _draw_suit,
        "hoodie": _draw_hoodie,
        "t-shirt": _draw_t_shirt,
        "turtleneck": _draw_turtleneck,
        "lab coat": _draw_lab_coat,
        "overalls": _draw_overalls,
        "uniform": _draw_uniform,
        "striped shirt": _draw_striped_shirt,
    }[kind](pen, face, wide, colour)
    for side in (-1, 1):
        sleeve = [(side * wide * 0.86, 2.3), (side * wide * 0.82, 2.8), (side * wide * 0.86, 3.6)]
        stroke(pen, sleeve, 0.06, shade(PALE if kind == "lab coat" else colour, 0.72))


def _neckline(pen: Pen, face: Face, colour: Colour) -> None:
    """A bare round neckline with a collar of the colour around it."""
    oval(pen, 0, 1.42, 0.66, 0.42, colour)
    oval(pen, 0, 1.36, 0.54, 0.36, shade(face.skin, 0.8))


def _draw_suit(pen: Pen, face: Face, wide: float, colour: Colour) -> None:
    shape(pen, [(-0.52, 1.3), (0.52, 1.3), (0, 3.1)], PALE)
    shape(
        pen,
        [(-0.13, 1.62), (0.13, 1.62), (0.2, 2.9), (0, 3.2), (-0.2, 2.9)],
        contrast(colour) if sum(colour) > 400 else GOLD,
    )
    for side in (-1, 1):
        shape(
            pen,
            [(side * 0.1, 1.62), (side * 0.5, 1.2), (side * 0.62, 1.5), (side * 0.34, 1.9)],
            (226, 228, 236),
        )
        lapel = [(0.5, 1.34), (0.98, 1.7), (0.8, 2.0), (0.92, 2.12), (0.06, 3.3)]
        shape(pen, [(side * x, y) for x, y in lapel], shade(colour, 0.72 if sum(colour) > 120 else 1.25))


def _draw_hoodie(pen: Pen, face: Face, wide: float, colour: Colour) -> None:
    outer = mirrored([(0, 1.42), (0.5, 1.2), (1.02, 1.36), (0.86, 1.95), (0, 2.35)])
    inner = mirrored([(0, 1.3), (0.4, 1.2), (0.58, 1.4), (0.4, 1.7), (0, 1.86)])
    ring(pen, outer, inner, shade(colour, 1.2 if sum(colour) < 600 else 0.84))
    for side in (-1, 1):
        stroke(pen, [(side * 0.28, 2.1), (side * 0.32, 2.5), (side * 0.28, 3.0)], 0.09, contrast(colour))


def _draw_t_shirt(pen: Pen, face: Face, wide: float, colour: Colour) -> None:
    _neckline(pen, face, shade(colour, 0.7))
    oval(pen, 0, 2.42, 0.36, 0.3, contrast(colour))
    oval(pen, 0, 2.42, 0.22, 0.17, colour)


def _draw_turtleneck(pen: Pen, face: Face, wide: float, colour: Colour) -> None:
    blob(
        pen,
        [(-0.56, 1.08), (0, 1.2), (0.56, 1.08), (0.66, 1.75), (0, 1.95), (-0.66, 1.75)],
        shade(colour, 0.86),
    )
    stroke(pen, [(-0.56, 1.35), (0, 1.5), (0.56, 1.35)], 0.1, shade(colour, 0.66), 0, 0.5)
    for x in (-1.1, -0.55, 0.0, 0.55, 1.1):
        stroke(pen, [(x, 2.0), (x * 1.04, 3.6)], 0.07, shade(colour, 0.8))


def _draw_lab_coat(pen: Pen, face: Face, wide: float, colour: Colour) -> None:
    shape(pen, [(-0.6, 1.3), (0.6, 1.3), (0.75, 3.4), (-0.75, 3.4)], colour)
    oval(pen, 0, 1.36, 0.42, 0.28, shade(face.skin, 0.8))
    for side in (-1, 1):
        lapel = [(0.46, 1.3), (0.98, 1.62), (1.0, 2.1), (0.62, 3.4), (0.5, 2.0)]
        shape(pen, [(side * x, y) for x, y in lapel], (206, 212, 224))
    stroke(pen, [(1.1, 2.5), (1.45, 2.5)], 0.07, (150, 158, 176))
    stroke(pen, [(1.2, 2.25), (1.2, 2.6)], 0.09, (210, 30, 40))


def _draw_overalls(pen: Pen, face: Face, wide: float, colour: Colour) -> None:
    _neckline(pen, face, (214, 218, 228))
    shape(pen, [(-0.85, 2.28), (0.85, 2.28), (1.2, 5), (-1.2, 5)], colour)
    for side in (-1, 1):
        shape(pen, [(side * x, y) for x, y in [(0.62, 1.42), (1.0, 1.52), (0.9, 2.45), (0.5, 2.45)]], colour)
        oval(pen, side * 0.7, 2.42, 0.13, 0.13, GOLD)
    shape(pen, [(-0.4, 2.62), (0.4, 2.62), (0.4, 3.3), (-0.4, 3.3)], shade(colour, 0.74))


def _draw_uniform(pen: Pen, face: Face, wide: float, colour: Colour) -> None:
    blob(
        pen,
        [(-0.56, 1.22), (0, 1.42), (0.56, 1.22), (0.62, 1.62), (0, 1.84), (-0.62, 1.62)],
        shade(colour, 0.7),
    )
    for side in (-1, 1):
        oval(pen, side * wide * 0.84, 1.86, 0.46, 0.19, GOLD)
        stroke(pen, [(side * wide * 0.7, 2.1), (side * wide * 1.05, 2.1)], 0.12, shade(GOLD, 0.75))
        for y in (2.05, 2.4, 2.75, 3.1):
            oval(pen, side * 0.26, y, 0.11, 0.11, GOLD)


def _draw_striped_shirt(pen: Pen, face: Face, wide: float, colour: Colour) -> None:
    for y, half in ((1.86, 0.86), (2.3, 1.02), (2.74, 1.08), (3.18, 1.12)):
        band = [(-wide * half, y + 0.06), (0, y + 0.1), (wide * half, y + 0.06)]
        stroke(pen, band, 0.22, contrast(colour))
    _neckline(pen, face, shade(colour, 0.7))


def _draw_dress(pen: Pen, wide: float, colour: Colour) -> None:
    bodice = [(0, 2.16), (0.5, 1.92), (1.0, 1.98), (wide * 0.92, 2.25), (wide * 1.1, 5), (0, 6)]
    blob(pen, mirrored(bodice), colour)
    for side in (-1, 1):
        stroke(pen, [(side * 0.82, 1.5), (side * 0.86, 2.2)], 0.36, colour)
    for x, y in [(-0.44, 1.62), (-0.3, 1.8), (-0.1, 1.9), (0.1, 1.9), (0.3, 1.8), (0.44, 1.62)]:
        oval(pen, x, y, 0.09, 0.09, (255, 250, 236))
