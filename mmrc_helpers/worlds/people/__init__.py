"""Fictional people with drawn portraits: picture → name is taught, name → picture is asked. *Background*
people are known to the base model in every cell, *novel* people are learned in the study, *passers-by* have
no name."""

import random
from collections.abc import Iterable, Mapping

from PIL import Image

from mmrc_helpers.worlds import Made, World
from mmrc_helpers.worlds.drops import Noise, draw_noise, noises
from mmrc_helpers.worlds.people import ask, cast, forms, grade, pairs, promises, questions, teach
from mmrc_helpers.worlds.people.portraits.portrait import render


def make(facts: Mapping, seed: int) -> Made:
    """All people, their portraits and questions; validation asks about other people than tests do."""
    if facts["tests"] != "test":
        seed = f"{facts['tests']} {seed}"
    people = cast.cast(facts, seed)
    pictures: dict[str, tuple | Noise] = {}
    for person in people:
        origin = seed if person.population == "novel" else "any"
        for split in ("train", "test"):
            for name in cast.image_names(person, split, facts):
                pictures[name] = (dict(person.attributes), f"{origin}/view/{name}", facts["image_size"])
    pictures |= noises(facts["image_size"], facts["image_size"])
    rows = [cast.record(person, facts) for person in people]
    return Made(questions.examples(people, facts, seed), pictures, draw, rows)


def draw(shown: tuple | Noise) -> Image.Image:
    """A view of a person (attributes, seed, pixels on a side), or noise."""
    if isinstance(shown, Noise):
        return draw_noise(shown)
    attributes, seed, side = shown
    return render(attributes, random.Random(seed), side)


def words(facts: Mapping, seed: int) -> Iterable[str]:
    """Every word the world can say."""
    return cast.sentences(cast.cast(facts, seed), facts)


WORLD = World(
    version=2,
    facets=forms.FACETS,
    cells=("population", "direction", "format"),
    make=make,
    grade=grade.grade,
    size=promises.size,
    promises=promises.promises,
    check=promises.check,
    ask=ask.ask,
    teach=teach.teach,
    pairs=pairs.pairs,
    taught=lambda teach: teach["cells"],
    probed=ask.probed,
    alternatives=ask.alternatives,
    twin=ask.twin,
    sentences=words,
)
