"""Portraits that a diffusion model paints: a prompt that names the person's looks, then how this view shows
them. Whether the model paints what a prompt says is not known here; answers about background people tell."""

import random
from collections.abc import Iterator, Mapping

from mmrc_helpers.worlds import Painted
from mmrc_helpers.worlds.people.cast import Person

ANGLES = (
    "facing the camera",
    "turned slightly to the left",
    "turned slightly to the right",
    "with a tilted head",
    "seen from slightly above",
    "seen from slightly below",
)
LIGHTS = ("in soft daylight", "in warm evening light", "in cool light", "in bright light", "in dim light")
PLACES = (
    "before a plain wall",
    "in a park",
    "in a street",
    "in a library",
    "in a kitchen",
    "by a window",
    "at the sea",
    "in an office",
)
LATENT = 8  # pixels on a side for one place of the latents, as in models/painting, which needs torch


def painted(person: Person, name: str, origin: str) -> Painted:
    """One view of a person. origin: what its noise and its wording follow from, beside its name."""
    rng = random.Random(f"{origin}/prompt/{name}")
    view = f"{rng.choice(ANGLES)}, {rng.choice(LIGHTS)}, {rng.choice(PLACES)}"
    return Painted(person.group, f"portrait photograph of {person.description}, {view}", origin)


def count(facts: Mapping) -> int:
    """How many pictures are painted."""
    views = facts["train_views"] + facts["test_views"]
    return (facts["background"] + facts["novel"]) * views + facts["passers_by"] * (1 + facts["test_views"])


def check(facts: Mapping) -> Iterator[str]:
    """What is wrong with the sizes of painted pictures."""
    side, kept = facts["sdxl"]["side"], facts["image_size"]
    if side % LATENT:
        yield f"people.sdxl.side: {side} is no multiple of {LATENT}"
    if kept > side:
        yield f"people.image_size: {kept} pixels of pictures painted with {side}; raise people.sdxl.side"
