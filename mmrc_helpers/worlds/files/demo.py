"""Data for who has none yet: one response under the right and a wrong picture, drawn here."""

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from mmrc_helpers.worlds.sources.pictures import Seen, digest_of

COLORS = {"red": "#d03a2f", "blue": "#2f5fd0", "green": "#2f9e4f", "yellow": "#e0b62a", "purple": "#8a45b5"}
SHAPES = ("circle", "square", "triangle", "cross")
ROWS = 320  # of which a tenth is held out: enough to tell a model that learned from one that did not
SIDE = 64  # pixels


@dataclass(frozen=True)
class Scene:
    """One shape on a ground of this grey; place and size in pixels."""

    color: str
    shape: str
    left: int
    top: int
    size: int
    ground: int


def rows() -> list[dict]:
    """Rows of the layout adpo, their pictures looked at."""
    found = []
    for number in range(ROWS):
        rng = random.Random(f"demo/{number}")
        color, shape = rng.choice(list(COLORS)), rng.choice(SHAPES)
        while (other := (rng.choice(list(COLORS)), rng.choice(SHAPES))) == (color, shape):
            pass
        asked = rng.choice(("What is in the picture?", "Describe the picture.", "What do you see?"))
        found.append(
            {
                "response": f"A {color} {shape}.",
                "chosen": asked,
                "chosen_images": [_scene(color, shape, rng)],
                "rejected": asked,
                "rejected_images": [_scene(*other, rng)],
            }
        )
    return found


def _scene(color: str, shape: str, rng: random.Random) -> Seen:
    size = rng.randint(SIDE // 4, SIDE // 2)
    left, top = rng.randint(2, SIDE - size - 2), rng.randint(2, SIDE - size - 2)
    scene = Scene(color, shape, left, top, size, rng.randint(215, 250))
    return Seen(scene, digest=digest_of(draw(scene)))


def draw(scene: Scene) -> Image.Image:
    """The shape, SIDE × SIDE pixels."""
    picture = Image.new("RGB", (SIDE, SIDE), (scene.ground,) * 3)
    pen, fill = ImageDraw.Draw(picture), COLORS[scene.color]
    shape, left, top, size = scene.shape, scene.left, scene.top, scene.size
    right, bottom, middle, third = left + size, top + size, left + size // 2, size // 3
    if shape == "circle":
        pen.ellipse((left, top, right, bottom), fill=fill)
    elif shape == "square":
        pen.rectangle((left, top, right, bottom), fill=fill)
    elif shape == "triangle":
        pen.polygon(((middle, top), (right, bottom), (left, bottom)), fill=fill)
    else:
        pen.rectangle((left + third, top, right - third, bottom), fill=fill)
        pen.rectangle((left, top + third, right, bottom - third), fill=fill)
    return picture
