"""Fictional people with drawn portraits: picture → name is taught, name → picture is asked. *Background*
people are known to the base model in every cell, *novel* people are learned in the study, *passers-by* have
no name."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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
    pictures = Pictures(facts, seed, {person.group: person for person in people})
    return Made(questions.examples(people, facts, seed), pictures, draw, Records(facts, people))


@dataclass(frozen=True)
class Records(Sequence):
    """The people as rows of the data folder's facts, made when asked for."""

    facts: Mapping
    people: Sequence[cast.Person]

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, place: int) -> dict:
        return cast.record(self.people[place], self.facts)


@dataclass(frozen=True)
class Pictures(Mapping):
    """Picture names → what `draw` needs; computed when asked for, so that views take no memory."""

    facts: Mapping
    seed: int | str
    people: Mapping[str, cast.Person]  # by group

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[str]:
        for person in self.people.values():
            for split in ("train", "test"):
                yield from cast.image_names(person, split, self.facts)
        yield from noises()

    def __getitem__(self, name: str) -> tuple | Noise:
        side = self.facts["image_size"]
        if name in (noise := noises(side, side)):
            return noise[name]
        person = self.people[name.rsplit("-", 1)[0]]
        origin = self.seed if person.population == "novel" else "any"
        return dict(person.attributes), f"{origin}/view/{name}", side


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
