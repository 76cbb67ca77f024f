"""Fictional people with drawn portraits: picture → name is taught, name → picture is asked. *Background*
people are known to the base model in every cell, *novel* people are learned in the study, *passers-by* have
no name. With `pictures: sdxl` a diffusion model paints them, with `pictures: folder` they are a user's."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from mmrc_helpers.worlds import Made, World
from mmrc_helpers.worlds.drops import Noise, noises
from mmrc_helpers.worlds.people import (
    album,
    ask,
    cast,
    forms,
    grade,
    own,
    painted,
    pairs,
    promises,
    questions,
    teach,
)
from mmrc_helpers.worlds.people.portraits.portrait import render
from mmrc_helpers.worlds.people.promises import kind
from mmrc_helpers.worlds.sources import pictures as sources

# The facts that one kind of pictures reads and the others do not.
READ = {
    "drawn": (),
    "sdxl": ("pictures", "sdxl"),
    "folder": ("pictures", "path", "split", "noun", "attributes"),
}


def make(facts: Mapping, seed: int) -> Made:
    """All people, their portraits and questions; validation asks about other people than tests do."""
    if facts["tests"] != "test":
        seed = f"{facts['tests']} {seed}"
    if kind(facts) == "folder":
        given = own.load(facts, seed)
        noise = noises(facts["image_size"], facts["image_size"])
        return _made(given.people, {**given.pictures, **noise}, facts, seed, given.terms, given.notes)
    people = cast.cast(facts, seed)
    return _made(
        people, Pictures(facts, seed, {person.group: person for person in people}), facts, seed, cast.DRAWN
    )


def _made(people, pictures: Mapping, facts: Mapping, seed, terms: cast.Terms, notes=()) -> Made:
    return Made(questions.examples(people, facts, seed, terms), pictures, draw, Records(facts, people), notes)


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

    def __getitem__(self, name: str) -> object:
        side = self.facts["image_size"]
        if name in (noise := noises(side, side)):
            return noise[name]
        person = self.people[name.rsplit("-", 1)[0]]
        origin = self.seed if person.population == "novel" else "any"
        if kind(self.facts) == "sdxl":
            return painted.painted(person, name, str(origin))
        return dict(person.attributes), f"{origin}/view/{name}", side


def draw(shown: tuple | own.Photograph | sources.Picture | Noise) -> Image.Image | bytes:
    """A drawn view of a person (attributes, seed, pixels on a side), a user's picture, a painted one or
    noise."""
    if isinstance(shown, own.Photograph):
        return own.draw(shown)
    if isinstance(shown, sources.Picture | Noise):
        return sources.draw(shown)
    attributes, seed, side = shown
    return render(attributes, random.Random(seed), side)


def words(facts: Mapping, seed: int) -> Iterable[str]:
    """Every word the world can say."""
    if kind(facts) == "folder":
        given = own.load(facts, seed)
        return cast.sentences(given.people, facts, given.terms)
    return cast.sentences(cast.cast(facts, seed), facts)


def in_use(facts: Mapping) -> dict:
    """The facts that its kind of pictures reads, so that people drawn before there was another kind are the
    same data as those drawn now. What a user has written and nothing reads stays, for `check` to tell."""
    idle = {name for names in READ.values() for name in names} - set(READ[kind(facts)])
    written = {name for name in ("path", "attributes") if facts.get(name)}
    return {name: value for name, value in facts.items() if name not in idle - written}


def painting(facts: Mapping) -> dict:
    """What paints the pictures: the section `sdxl`, the side that is kept, and how many there are."""
    if kind(facts) != "sdxl":
        return {}
    return {**facts["sdxl"], "kept": facts["image_size"], "pictures": painted.count(facts)}


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
    files=lambda facts: album.files_of(facts) if kind(facts) == "folder" else (),
    paths=("path",),
    in_use=in_use,
    painting=painting,
)
