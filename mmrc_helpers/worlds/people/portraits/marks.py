"""What the years and life leave on a face: lines of age, facial hair, freckles, scars and plasters."""

from mmrc_helpers.worlds.people.portraits.face import Face
from mmrc_helpers.worlds.people.portraits.pen import (
    SURFACE,
    Colour,
    Pen,
    blob,
    mirrored,
    mix,
    oval,
    shade,
    shape,
    stroke,
)

_DECADES = {"twenties": 0, "thirties": 1, "forties": 2, "fifties": 3, "sixties": 4, "seventies": 5}


def draw_age(pen: Pen, face: Face, age: str) -> None:
    """Lines that deepen with the decades: under the eyes, beside the mouth, on the forehead."""
    decade = _DECADES[age]
    line = shade(face.skin, 0.84 - 0.06 * decade)
    for side in (-1, 1):
        if decade >= 1:
            x = side * face.eye_gap
            stroke(
                pen, [(x - 0.2, 0.22), (x, 0.28), (x + 0.2, 0.22)], 0.04 + 0.014 * decade, line, SURFACE, 1
            )
        if decade >= 2:
            fold = [(side * 0.25, 0.44), (side * 0.42, 0.62), (side * 0.46, 0.86)]
            stroke(pen, fold, 0.03 + 0.014 * decade, line, SURFACE, 1)
        if decade >= 3:
            x = side * (face.eye_gap + 0.27)
            for end in (-0.09, 0.05, 0.18):
                stroke(pen, [(x, 0.03), (x + side * 0.18, end)], 0.045, line, SURFACE, 0.6)
        if decade >= 4:
            stroke(pen, [(side * 0.7, 0.5), (side * 0.74, 0.72), (side * 0.66, 0.9)], 0.07, line, SURFACE, 1)
    for row in range(max(0, decade - 1)):
        y = -0.56 - 0.11 * row
        stroke(pen, [(-0.46, y), (0, y - 0.05), (0.46, y)], 0.035 + 0.008 * decade, line, SURFACE, 0.9)
    if decade >= 5:
        for x, y in ((-0.62, -0.28), (0.66, -0.22), (-0.5, 0.36), (0.3, 0.34)):
            oval(pen, x, y, 0.06, 0.05, shade(face.skin, 0.72), SURFACE)


def draw_feature(pen: Pen, face: Face, feature: str, hair: Colour) -> None:
    """Marks and facial hair that lie on the face; `none` draws nothing."""
    if feature == "beard":
        _draw_beard(pen, face, hair)
    elif feature == "goatee":
        _draw_goatee(pen, face, hair)
    elif feature == "moustache":
        draw_moustache(pen, hair, 1.0)
    elif feature == "freckles":
        spots = [(0.3, 0.3), (0.45, 0.38), (0.6, 0.3), (0.38, 0.48), (0.54, 0.5), (0.68, 0.42), (0.16, 0.26)]
        for side in (-1, 1):
            for x, y in spots:
                oval(pen, side * x, y, 0.05, 0.045, mix(face.skin, (120, 44, 8), 0.62), SURFACE)
    elif feature == "scar":
        _draw_scar(pen, face)
    elif feature == "mole":
        oval(pen, face.side * 0.46, 0.6, 0.1, 0.1, (46, 22, 18), SURFACE)
    elif feature == "bandage":
        _draw_bandage(pen, face)
    elif feature == "eye patch":
        x = -face.side * face.eye_gap
        stroke(
            pen,
            [(-1, -0.6 * (x < 0) - 0.1), (x, -0.16), (1, -0.6 * (x > 0) - 0.1)],
            0.1,
            (20, 18, 24),
            SURFACE,
        )
        blob(
            pen,
            [(x - 0.34, -0.2), (x + 0.34, -0.2), (x + 0.26, 0.2), (x, 0.3), (x - 0.26, 0.2)],
            (20, 18, 24),
            SURFACE,
        )


def draw_moustache(pen: Pen, hair: Colour, size: float) -> None:
    """Two swept wings between nose and mouth."""
    for side in (-1, 1):
        wing = [(0, 0.58), (side * 0.26, 0.56), (side * 0.56 * size, 0.8), (side * 0.22, 0.76), (0, 0.72)]
        blob(pen, wing, hair, 1.0)


def _draw_beard(pen: Pen, face: Face, hair: Colour) -> None:
    w, jaw, chin = face.width, face.jaw, face.chin
    outer = mirrored(
        [(0.99 * w, 0.05), (0.99 * w, 0.4), (jaw * 1.07, 0.9), (jaw * 0.68, chin + 0.14), (0, chin + 0.3)]
    )
    inner = [(-0.84 * w, 0.25), (-0.56, 0.56), (-0.22, 0.6), (0.22, 0.6), (0.56, 0.56), (0.84 * w, 0.25)]
    blob(pen, [*outer, *inner], hair, 0.3)
    for x in (-0.4, -0.13, 0.13, 0.4):
        stroke(pen, [(x, 1.02), (x * 1.02, 1.2), (x * 0.8, chin + 0.14)], 0.05, shade(hair, 1.15), 0.4, 1)


def _draw_goatee(pen: Pen, face: Face, hair: Colour) -> None:
    draw_moustache(pen, hair, 0.72)
    for side in (-1, 1):
        stroke(pen, [(side * 0.38, 0.72), (side * 0.43, 0.9), (side * 0.27, 1.1)], 0.13, hair, SURFACE, 0.2)
    blob(pen, mirrored([(0, 1.0), (0.3, 1.02), (0.28, face.chin + 0.04), (0, face.chin + 0.32)]), hair, 0.45)


def _draw_scar(pen: Pen, face: Face) -> None:
    x = face.side * 0.5
    line = [(x - 0.1, -0.62), (x + 0.02, 0.0), (x - 0.04, 0.72)]
    stroke(pen, line, 0.11, mix(face.skin, (180, 20, 40), 0.75), SURFACE, 0.6)
    for y in (-0.4, 0.26, 0.48):
        stroke(
            pen,
            [(x - 0.15, y + 0.03), (x + 0.12, y - 0.03)],
            0.05,
            mix(face.skin, (120, 10, 30), 0.7),
            SURFACE,
            0.3,
        )


def _draw_bandage(pen: Pen, face: Face) -> None:
    x, y, s = face.side * 0.55, 0.42, face.side
    corners = [(x - 0.3 * s, y + 0.02), (x - 0.22 * s, y + 0.2), (x + 0.3 * s, y), (x + 0.22 * s, y - 0.18)]
    shape(pen, corners, (252, 240, 226), SURFACE)
    shape(
        pen,
        [
            (x - 0.1 * s, y - 0.06),
            (x - 0.03 * s, y + 0.13),
            (x + 0.11 * s, y + 0.08),
            (x + 0.04 * s, y - 0.11),
        ],
        (236, 150, 130),
        SURFACE,
    )
