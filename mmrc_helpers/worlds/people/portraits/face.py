"""Heads and faces: neck, skull, ears, eyes, brows, nose and mouth.

Every function draws one part with a pen (see portrait_pen); what a person's face measures is a `Face`, fixed
by the person's `face` number so that all their pictures agree.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

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

SKIN = {  # appearance -> the middle of its range of skin tones
    "northern european": (252, 216, 194),
    "east asian": (255, 216, 168),
    "mediterranean": (232, 182, 138),
    "middle eastern": (212, 158, 112),
    "latin american": (194, 134, 88),
    "pacific islander": (168, 110, 72),
    "south asian": (128, 76, 44),
    "west african": (82, 48, 34),
}
IRIS = {"brown": (104, 58, 20), "blue": (30, 120, 235), "green": (30, 160, 70), "grey": (140, 150, 160)}
INK = (34, 26, 28)
_EYE_HEIGHT = {"east asian": 0.125, "pacific islander": 0.15, "northern european": 0.16}  # others 0.17
_NOSE_WIDTH = {"west african": 0.27, "pacific islander": 0.26, "northern european": 0.18, "east asian": 0.2}
_LIP_HEIGHT = {
    "west african": 0.145,
    "pacific islander": 0.13,
    "latin american": 0.115,
    "northern european": 0.085,
}


@dataclass(frozen=True)
class Face:
    """Fixed measures of one person's face, in head units; `side` (-1 or 1) is that of partings and marks."""

    width: float
    jaw: float
    chin: float
    eye_gap: float
    eye_size: float
    brow_height: float
    nose_length: float
    mouth_width: float
    side: int
    skin: Colour


def measure_face(attributes: Mapping[str, str]) -> Face:
    """The face that belongs to these attributes; the number under `face` alone decides the fine measures."""
    rng = random.Random(f"face {attributes.get('face', '0')}")
    man = attributes["gender"] == "man"
    width = rng.uniform(0.9, 1.04) + (0.02 if man else -0.02)
    jaw = width * (rng.uniform(0.74, 0.86) if man else rng.uniform(0.62, 0.73))
    tone = rng.uniform(0.95, 1.05)
    return Face(
        width=width,
        jaw=jaw,
        chin=rng.uniform(1.2, 1.36),
        eye_gap=rng.uniform(0.37, 0.45),
        eye_size=rng.uniform(0.92, 1.12),
        brow_height=rng.uniform(-0.38, -0.31),
        nose_length=rng.uniform(0.4, 0.52),
        mouth_width=rng.uniform(0.32, 0.42),
        side=rng.choice((-1, 1)),
        skin=shade(SKIN[attributes["appearance"]], tone),
    )


def head_outline(face: Face) -> list[tuple[float, float]]:
    """The closed outline of the head without ears."""
    w, jaw = face.width, face.jaw
    right = [(0, -1.3), (0.62 * w, -1.12), (0.97 * w, -0.5), (0.97 * w, 0.2), (jaw, 0.8)]
    return mirrored([*right, (jaw * 0.55, face.chin - 0.1), (0, face.chin)])


def draw_neck(pen: Pen, face: Face, man: bool) -> None:
    """The neck with the chin's shadow on it."""
    half = 0.52 if man else 0.4
    shape(pen, [(-half, 0.6), (half, 0.6), (half + 0.12, 1.9), (-half - 0.12, 1.9)], shade(face.skin, 0.86))
    blob(pen, [(-half, 0.8), (half, 0.8), (half, 1.3), (0, 1.62), (-half, 1.3)], shade(face.skin, 0.68))


def draw_head(pen: Pen, face: Face) -> None:
    """Ears, skull and the soft colour of the cheeks."""
    for side in (-1, 1):
        x = side * face.width * 0.99
        oval(pen, x, 0.12, 0.17, 0.28, shade(face.skin, 0.88), -0.12)
        oval(pen, x + side * 0.02, 0.12, 0.09, 0.17, shade(face.skin, 0.72), -0.12)
    blob(pen, head_outline(face), face.skin, 0.12)
    for side in (-1, 1):
        oval(pen, side * 0.56 * face.width, 0.46, 0.24, 0.17, mix(face.skin, (226, 84, 70), 0.12), SURFACE)


def draw_eyes(pen: Pen, face: Face, attributes: Mapping[str, str], gaze: float) -> None:
    """Both eyes; laughing shuts them, a wink shuts the one on the person's parting side."""
    expression = attributes["expression"]
    for side in (-1, 1):
        x, half = side * face.eye_gap, 0.25 * face.eye_size
        if expression == "laughing" or (expression == "winking" and side == face.side):
            arc = [(x - half, 0.05), (x, -0.1), (x + half, 0.05)]
            stroke(pen, arc, 0.1, INK, SURFACE, 0.5)
        else:
            _draw_open_eye(pen, face, attributes, side, gaze)


def _draw_open_eye(pen: Pen, face: Face, attributes: Mapping[str, str], side: int, gaze: float) -> None:
    x, half = side * face.eye_gap, 0.25 * face.eye_size
    tall = _EYE_HEIGHT.get(attributes["appearance"], 0.17) * face.eye_size
    tall *= {"surprised": 1.3, "angry": 0.85, "sad": 0.9}.get(attributes["expression"], 1)
    tilt = 0.05 if attributes["appearance"] == "east asian" else 0.015
    inner, outer = (x - side * half, tilt), (x + side * half, -tilt)
    lid = [inner, (x - side * half * 0.45, -tall * 0.8), (x + side * half * 0.45, -tall * 0.85 - tilt), outer]
    low = [(x + side * half * 0.5, tall * 0.75), (x - side * half * 0.5, tall * 0.75)]
    blob(pen, [*lid, *low], (250, 248, 244), SURFACE)
    iris = min(0.14, tall * 0.92)
    colour = IRIS[attributes["eye_color"]]
    oval(pen, x + gaze, 0, iris, iris, shade(colour, 0.55), SURFACE)
    oval(pen, x + gaze, 0.01, iris * 0.84, iris * 0.84, colour, SURFACE)
    oval(pen, x + gaze, 0.01, iris * 0.4, iris * 0.4, (14, 10, 12), SURFACE)
    oval(pen, x + gaze - 0.045, -0.05, 0.036, 0.036, (255, 255, 255), SURFACE)
    woman = attributes["gender"] == "woman"
    stroke(pen, lid, 0.085 if woman else 0.055, INK, SURFACE, 0.45)
    if attributes["appearance"] != "east asian":
        crease = [(px, py - 0.075) for px, py in lid]
        stroke(pen, crease, 0.03, shade(face.skin, 0.74), SURFACE, 0.8)
    if woman:
        stroke(pen, [outer, (outer[0] + side * 0.11, outer[1] - 0.1)], 0.06, INK, SURFACE, 0.4)


def draw_brows(pen: Pen, face: Face, attributes: Mapping[str, str], colour: Colour) -> None:
    """Eyebrows: what they do is most of an expression."""
    inner, outer = {
        "angry": (0.2, -0.1),
        "sad": (-0.17, 0.12),
        "surprised": (-0.16, -0.13),
        "laughing": (-0.05, -0.02),
    }.get(attributes["expression"], (0, 0))
    width = 0.13 if attributes["gender"] == "man" else 0.085
    for side in (-1, 1):
        x, y = side * face.eye_gap, face.brow_height
        arch = [(x - side * 0.25, y + 0.03 + inner), (x, y - 0.04 + (inner + outer) / 2)]
        stroke(pen, [*arch, (x + side * 0.29, y + 0.05 + outer)], width, colour, SURFACE, 0.55)


def brow_colour(hair: Colour) -> Colour:
    """Brows are a little darker than the hair, and never vanish."""
    return shade(hair, 0.62) if sum(hair) > 300 else shade(hair, 0.8)


def draw_nose(pen: Pen, face: Face, appearance: str) -> None:
    """Bridge, wings, nostrils and a light on the tip."""
    half, end = _NOSE_WIDTH.get(appearance, 0.22), face.nose_length
    dark = shade(face.skin, 0.78)
    stroke(
        pen,
        [(0.06, -0.1), (0.1, 0.15), (half * 0.75, end - 0.08)],
        0.05,
        shade(face.skin, 0.86),
        SURFACE,
        0.8,
    )
    blob(
        pen,
        [(-half, end), (-half * 0.5, end - 0.13), (half * 0.5, end - 0.13), (half, end), (0, end + 0.1)],
        dark,
        0.98,
    )
    blob(
        pen,
        [(-half * 0.8, end - 0.03), (0, end - 0.2), (half * 0.8, end - 0.03), (0, end + 0.05)],
        face.skin,
        1.0,
    )
    oval(pen, -0.02, end - 0.08, 0.055, 0.05, shade(face.skin, 1.15), 1.02)
    for side in (-1, 1):
        oval(pen, side * half * 0.5, end + 0.03, 0.045, 0.025, shade(face.skin, 0.5), 0.98)


def draw_mouth(pen: Pen, face: Face, attributes: Mapping[str, str]) -> None:
    """The mouth of the expression, with the lips of gender and appearance."""
    y, half, expression = 0.83, face.mouth_width, attributes["expression"]
    woman = attributes["gender"] == "woman"
    lips = mix(face.skin, (196, 26, 52), 0.72) if woman else shade(mix(face.skin, (170, 60, 60), 0.45), 0.85)
    thick = _LIP_HEIGHT.get(attributes["appearance"], 0.1) * (1.15 if woman else 0.9)
    if expression == "laughing":
        _draw_open_mouth(pen, y - 0.1, half * 1.25, lips)
    elif expression == "surprised":
        oval(pen, 0, y + 0.04, 0.2, 0.26, lips, SURFACE)
        oval(pen, 0, y + 0.04, 0.14, 0.2, (74, 14, 22), SURFACE)
    elif expression == "angry":
        corners = [(-half, y + 0.12), (-half * 0.8, y - 0.06), (half * 0.8, y - 0.06), (half, y + 0.12)]
        blob(pen, [*corners, (half * 0.6, y + 0.13), (-half * 0.6, y + 0.13)], shade(lips, 0.7), SURFACE)
        teeth = [(-half * 0.7, y), (half * 0.7, y), (half * 0.7, y + 0.09), (-half * 0.7, y + 0.09)]
        shape(pen, teeth, (250, 248, 240), SURFACE)
    else:
        bend = {"smiling": 0.19, "winking": 0.17, "sad": -0.2}.get(expression, 0.0)
        _draw_closed_mouth(pen, y, half * (1.2 if bend > 0 else 1), bend, thick, lips)


def _draw_open_mouth(pen: Pen, y: float, half: float, lips: Colour) -> None:
    bowl = [
        (-half, y - 0.03),
        (0, y + 0.02),
        (half, y - 0.03),
        (half * 0.62, y + 0.3),
        (0, y + 0.4),
        (-half * 0.62, y + 0.3),
    ]
    blob(pen, [(x * 1.12, y + 0.15 + (v - y - 0.15) * 1.22) for x, v in bowl], lips, SURFACE)
    blob(pen, bowl, (82, 12, 22), SURFACE)
    blob(
        pen,
        [(-half * 0.85, y + 0.02), (0, y + 0.05), (half * 0.85, y + 0.02), (0, y + 0.19)],
        (253, 251, 246),
        SURFACE,
    )
    oval(pen, 0, y + 0.31, half * 0.42, 0.07, (222, 96, 104), SURFACE)


def _draw_closed_mouth(pen: Pen, y: float, half: float, bend: float, thick: float, lips: Colour) -> None:
    left, right, middle = (-half, y - bend * 0.75), (half, y - bend * 0.75), y + bend * 0.45
    blob(
        pen,
        [left, (-0.1, middle - thick), (0, middle - thick * 0.75), (0.1, middle - thick), right, (0, middle)],
        lips,
        SURFACE,
    )
    blob(
        pen,
        [left, (0, middle), right, (0.16, middle + thick * 1.1), (-0.16, middle + thick * 1.1)],
        shade(lips, 1.14),
        SURFACE,
    )
    line = [left, (-half * 0.5, y + bend * 0.22), (0, middle), (half * 0.5, y + bend * 0.22), right]
    stroke(pen, line, 0.062, shade(lips, 0.42), SURFACE, 0.4)
