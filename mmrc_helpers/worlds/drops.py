"""What an answer owes to the picture: questions asked once more with noise in its place, and that noise."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np
from PIL import Image

from mmrc_helpers.tasks.example import Example, with_pictures

NOISES = 16  # pictures of noise in a world, so that a question may show several


@dataclass(frozen=True)
class Noise:
    """A picture of noise: its number, its size, and the side of the squares it is made of, in pixels."""

    number: int
    width: int
    height: int
    grain: int = 1


def draw_noise(noise: Noise) -> Image.Image:
    """Squares of random colours, RGB, always the same for the same number."""
    rows, columns = -(-noise.height // noise.grain), -(-noise.width // noise.grain)
    colours = np.random.default_rng(noise.number).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    squares = colours.repeat(noise.grain, 0).repeat(noise.grain, 1)
    return Image.fromarray(squares[: noise.height, : noise.width])


def noise_name(number: int) -> str:
    """The picture of noise of this number."""
    return f"noise-{number}.png"


def noises(width: int = 256, height: int = 256, grain: int = 1) -> dict[str, Noise]:
    """All pictures of noise of a world, by name."""
    return {noise_name(number): Noise(number, width, height, grain) for number in range(NOISES)}


def without_pictures(example: Example) -> Example:
    """The example with noise in place of its pictures, counted under drop "image"."""
    name = f"{example.id}/image"
    places = random.Random(name).sample(range(NOISES), NOISES)
    noise = dict(zip(example.pictures, cycle(map(noise_name, places)), strict=False))
    return replace(with_pictures(example, noise), id=name, facets={**example.facets, "drop": "image"})


def with_drops(examples: Iterable[Example], ask: Mapping) -> list[Example]:
    """The examples; with "image" in `ask.drops`, behind them those with pictures once more over noise."""
    examples = list(examples)
    dropped = [e for e in examples if e.pictures] if "image" in ask["drops"] else []
    return examples + [without_pictures(example) for example in dropped]
