"""Hair: what falls behind the head, what frames the face, and what falls before the shoulders.

Under a hat (`covered`) the styles that rise above the skull move or flatten, so that they can still be told
apart.
"""

import numpy as np

from mmrc_helpers.worlds.people.portraits.face import Face
from mmrc_helpers.worlds.people.portraits.pen import Colour, Pen, blob, mirrored, mix, oval, shade, stroke

HAIR = {
    "black": (30, 26, 34),
    "brown": (116, 64, 26),
    "blonde": (244, 206, 92),
    "red": (206, 70, 18),
    "grey": (140, 144, 154),
    "white": (246, 246, 242),
    "blue": (34, 92, 226),
    "pink": (248, 92, 176),
}


def draw_hair_behind(pen: Pen, face: Face, style: str, colour: Colour, covered: bool) -> None:
    """The part of the hair that head and body hide."""
    w, back = face.width, shade(colour, 0.72)
    if style == "bob":
        blob(
            pen,
            mirrored([(0, -1.45), (1.0 * w, -1.1), (1.38 * w, 0), (1.46 * w, 0.95), (0.7, 1.1), (0, 1.0)]),
            back,
            -0.2,
        )
    elif style == "long":
        blob(
            pen, mirrored([(0, -1.45), (1.0 * w, -1.1), (1.34 * w, 0), (1.42 * w, 2.3), (0, 2.4)]), back, -0.2
        )
    elif style == "wavy":
        blob(pen, _wavy_outline(w), back, -0.2)
    elif style == "bun":
        x, y = (face.side * 1.12, 0.75) if covered else (0, -1.72)
        oval(pen, x, y, 0.58, 0.5, colour, -0.3)
        oval(pen, x - 0.1, y - 0.12, 0.3, 0.22, shade(colour, 1.18), -0.3)
        stroke(pen, [(x - 0.45, y + 0.2), (x, y + 0.05), (x + 0.45, y + 0.22)], 0.07, back, -0.3, 0.8)
    elif style == "afro":
        _draw_afro(pen, colour, covered)
    elif style == "ponytail":
        _draw_ponytail(pen, face.side, colour)


def draw_hair(pen: Pen, face: Face, style: str, colour: Colour, man: bool) -> None:
    """The hair on the skull, with its hairline."""
    w, s = face.width, face.side
    if style == "bald":
        oval(pen, -0.28, -0.95, 0.26, 0.13, shade(face.skin, 1.3), 0.5)
        return
    if style == "mohawk":
        _draw_scalp(
            pen,
            w,
            [(0.92, -0.35), (0.6, -0.66), (0, -0.74), (-0.6, -0.66), (-0.92, -0.35)],
            mix(face.skin, colour, 0.42),
        )
        return
    lines = {
        "short": [
            (0.96, 0.0 if man else 0.3),
            (0.8, -0.5),
            (s * 0.1 + 0.3, -0.62),
            (s * 0.3 - 0.2, -0.7),
            (-0.8, -0.5),
            (-0.96, 0.0 if man else 0.3),
        ],
        "bob": [
            (0.9, 0.5),
            (0.86, -0.3),
            (0.45, -0.44),
            (0, -0.46),
            (-0.45, -0.44),
            (-0.86, -0.3),
            (-0.9, 0.5),
        ],
        "long": [
            (0.98, 0.7),
            (0.84, -0.1),
            (0.5, -0.55),
            (0.04, -0.98),
            (-0.04, -0.98),
            (-0.5, -0.55),
            (-0.84, -0.1),
            (-0.98, 0.7),
        ],
        "wavy": [
            (1.0, 0.6),
            (0.8, -0.2),
            (0.5, -0.5),
            (0.45, -0.9),
            (-0.4, -0.52),
            (-0.8, -0.2),
            (-1.0, 0.6),
        ],
        "afro": [
            (0.98, 0.1),
            (0.84, -0.45),
            (0.4, -0.62),
            (0, -0.66),
            (-0.4, -0.62),
            (-0.84, -0.45),
            (-0.98, 0.1),
        ],
        "braids": [
            (0.98, 0.3),
            (0.82, -0.35),
            (0.42, -0.68),
            (0.02, -1.0),
            (-0.02, -1.0),
            (-0.42, -0.68),
            (-0.82, -0.35),
            (-0.98, 0.3),
        ],
    }  # bun and ponytail are combed back:
    combed = [
        (0.96, -0.05),
        (0.82, -0.5),
        (0.4, -0.78),
        (0, -0.84),
        (-0.4, -0.78),
        (-0.82, -0.5),
        (-0.96, -0.05),
    ]
    line = lines.get(style, combed)
    if style == "wavy" and s < 0:
        line = [(-x, y) for x, y in reversed(line)]
    _draw_scalp(pen, w, line, colour)
    _draw_gloss(pen, w, style, colour)
    if style == "short":
        _draw_quiff(pen, s, colour, man)


def draw_hair_before(pen: Pen, face: Face, style: str, colour: Colour, covered: bool) -> None:
    """The locks that fall over the shoulders, and what stands on the skull."""
    w = face.width
    for side in (-1, 1):
        if style == "long":
            lock = [
                (0.86 * w, -0.55),
                (1.2 * w, -0.3),
                (1.34 * w, 0.8),
                (1.3 * w, 2.4),
                (0.8, 2.5),
                (0.96 * w, 1.2),
                (0.96 * w, 0.2),
            ]
            blob(pen, [(side * x, y) for x, y in lock], colour, 0.05)
            stroke(
                pen,
                [(side * 1.1 * w, 0), (side * 1.18 * w, 1.1), (side * 1.08 * w, 2.2)],
                0.09,
                shade(colour, 1.22),
                0.06,
                1,
            )
        elif style == "wavy":
            lock = [
                (0.84, -0.6),
                (1.3, -0.3),
                (1.22, 0.3),
                (1.55, 0.9),
                (1.36, 1.4),
                (1.6, 1.95),
                (1.0, 2.2),
                (0.8, 1.7),
                (1.08, 1.2),
                (0.92, 0.7),
                (1.02, 0.2),
            ]
            blob(pen, [(side * x * w, y) for x, y in lock], colour, 0.05)
            wave = [(1.05, -0.1), (1.12, 0.4), (1.3, 0.9), (1.15, 1.4), (1.28, 1.9)]
            stroke(pen, [(side * x * w, y) for x, y in wave], 0.11, shade(colour, 1.22), 0.06, 1)
        elif style == "bob":
            lock = [(0.8, -0.5), (1.16, -0.3), (1.32, 0.5), (1.3, 1.02), (0.98, 1.08), (0.95, 0.4)]
            blob(pen, [(side * x * w, y) for x, y in lock], colour, 0.05)
        elif style == "braids":
            _draw_braid(pen, side * 1.1 * w, side, colour)
    if style == "mohawk" and not covered:
        _draw_crest(pen, colour)


def _draw_scalp(pen: Pen, w: float, hairline, colour: Colour) -> None:
    """Hair between the skull's outline and the hairline (given from right to left)."""
    outer = [
        (-1.03 * w, -0.15),
        (-1.06 * w, -0.6),
        (-0.72 * w, -1.27),
        (0, -1.47),
        (0.72 * w, -1.27),
        (1.06 * w, -0.6),
        (1.03 * w, -0.15),
    ]
    points = outer + [(x * w, y) for x, y in hairline]
    depth = np.concatenate(
        [np.full(len(outer), 0.08), np.interp([abs(x) for x, _ in hairline], [0, 0.6, 1], [0.75, 0.6, 0.15])]
    )
    blob(pen, points, colour, depth)


def _draw_gloss(pen: Pen, w: float, style: str, colour: Colour) -> None:
    """A band of light, and strands, on smooth hair; small curls on an afro."""
    if style == "afro":
        for x, y in [(-0.5, -0.95), (0.0, -1.05), (0.5, -0.95), (-0.25, -1.3), (0.25, -1.3)]:
            stroke(pen, [(x - 0.12, y), (x, y - 0.1), (x + 0.12, y)], 0.06, shade(colour, 1.2), 0.4, 0.8)
        return
    stroke(pen, [(-0.78 * w, -0.72), (-0.5, -1.12), (-0.02, -1.24)], 0.11, shade(colour, 1.28), 0.3, 1)
    for x in (-0.3, 0.25, 0.6):
        stroke(pen, [(x, -1.3), (x * 1.35, -1.02), (x * 1.5, -0.75)], 0.035, shade(colour, 0.78), 0.4, 1)


def _draw_quiff(pen: Pen, s: int, colour: Colour, man: bool) -> None:
    top = -1.74 if man else -1.56
    swoop = [
        (-0.86 * s, -0.72),
        (-0.8 * s, -1.3),
        (-0.1 * s, top),
        (0.66 * s, -1.5),
        (0.86 * s, -0.9),
        (0.3 * s, -0.8),
        (-0.2 * s, -0.62),
    ]
    blob(pen, swoop, colour, 0.35)
    stroke(pen, [(-0.6 * s, -1.1), (0, -1.42), (0.6 * s, -1.25)], 0.1, shade(colour, 1.28), 0.36, 1)
    stroke(pen, [(-0.6 * s, -0.8), (0, -1.05), (0.7 * s, -1.02)], 0.04, shade(colour, 0.75), 0.36, 1)


def _wavy_outline(w: float):
    right = [
        (0, -1.52),
        (0.8, -1.32),
        (1.3, -0.75),
        (1.3, -0.2),
        (1.62, 0.3),
        (1.42, 0.75),
        (1.74, 1.2),
        (1.5, 1.65),
        (1.66, 2.2),
        (0, 2.2),
    ]
    return mirrored([(x * w, y) for x, y in right])


def _draw_afro(pen: Pen, colour: Colour, covered: bool) -> None:
    x, y, size = (0, 0.05, 1.55) if covered else (0, -0.6, 1.68)
    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    radius = size * (1 + 0.045 * np.cos(9 * angles))
    blob(
        pen,
        np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles) * 0.96], 1),
        shade(colour, 0.9),
        -0.15,
    )
    for turn in np.linspace(0.2, 2 * np.pi, 11, endpoint=False):
        cx, cy = x + 0.84 * size * np.cos(turn), y + 0.8 * size * np.sin(turn)
        stroke(
            pen,
            [(cx - 0.13, cy + 0.04), (cx, cy - 0.1), (cx + 0.13, cy + 0.04)],
            0.07,
            shade(colour, 1.18),
            -0.15,
            0.8,
        )


def _draw_ponytail(pen: Pen, s: int, colour: Colour) -> None:
    tail = [
        (0.3, -1.2),
        (0.7, -1.75),
        (1.3, -1.7),
        (1.75, -1.0),
        (1.8, 0.1),
        (1.5, 1.0),
        (1.4, 0.2),
        (1.2, -0.7),
        (0.8, -1.0),
    ]
    blob(pen, [(s * x, y) for x, y in tail], shade(colour, 0.9), -0.3)
    stroke(pen, [(s * 1.0, -1.5), (s * 1.45, -0.9), (s * 1.58, 0.3)], 0.1, shade(colour, 1.2), -0.3, 1)
    oval(pen, s * 0.74, -1.33, 0.2, 0.16, (230, 40, 90), -0.28)


def _draw_braid(pen: Pen, x: float, side: int, colour: Colour) -> None:
    """Knots that shrink downwards, tied with a bow."""
    for knot in range(7):
        y = 0.1 + 0.31 * knot
        lean = 0.07 if knot % 2 else -0.07
        oval(pen, x + side * 0.04 * knot + lean, y, 0.27 - 0.012 * knot, 0.21, shade(colour, 0.7), 0.05)
        oval(
            pen, x + side * 0.04 * knot + lean, y - 0.03, 0.22 - 0.012 * knot, 0.15, shade(colour, 1.08), 0.05
        )
    oval(pen, x + side * 0.28, 2.22, 0.2, 0.12, (230, 40, 90), 0.05)


def _draw_crest(pen: Pen, colour: Colour) -> None:
    """A mohawk's spikes."""
    blob(
        pen,
        [(-0.3, -0.72), (-0.36, -1.3), (-0.1, -1.4), (0.1, -1.4), (0.36, -1.3), (0.3, -0.72), (0, -0.62)],
        colour,
        0.45,
    )
    for x, tip in [(-0.32, -1.9), (0.32, -1.9), (-0.12, -2.08), (0.14, -2.05)]:
        blob(
            pen,
            [(x * 0.7 - 0.24, -1.2), (x * 1.15 - 0.08, tip), (x * 1.15 + 0.08, tip), (x * 0.7 + 0.24, -1.2)],
            colour,
            0.3,
        )
    for x in (-0.16, 0.04, 0.2):
        stroke(pen, [(x, -0.8), (x * 1.1, -1.4), (x * 1.7, -1.85)], 0.06, shade(colour, 1.22), 0.4, 1)
