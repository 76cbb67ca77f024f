"""Instances of puzzles, made on demand: what is drawn, what of it is kept, and how large that is.

An *instance* is one puzzle: a group, whose examples are its views. Its *place* is (difficulty, split, index);
all that is drawn comes from a generator seeded by its place, so any process can make any instance.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import Example, example_line
from mmrc_helpers.worlds import Made
from mmrc_helpers.worlds.drops import NOISES, Noise, draw_noise, noise_name, noises
from mmrc_helpers.worlds.puzzles.mixes import DIFFICULTIES

SPLITS = ("train", "test")
TRIES = 20_000  # draws until an instance is given up

Place = tuple[str, str, int]
# (facts, seed, place) → the examples of one instance, one for each of facts.views
Views = Callable[[Mapping, int, Place], tuple[Example, ...]]
Draw = Callable[[Mapping, int, Place], bytes]  # (facts, seed, place) → the PNG of one instance


@dataclass(frozen=True)
class Examples:
    """The examples of the instances from `start` up to `stop`, made while they are read; flat in memory.

    It can be read again, sent to other processes, and cut in `parts` that follow each other.
    """

    facts: Mapping
    seed: int
    views: Views
    start: int
    stop: int

    def __iter__(self) -> Iterator[Example]:
        counts = counts_of(self.facts)
        for number in range(self.start, self.stop):
            yield from self.views(self.facts, self.seed, _place(counts, number))

    def __len__(self) -> int:
        return (self.stop - self.start) * len(self.facts["views"])

    def parts(self, instances: int) -> "list[Examples]":
        """Parts of so many instances each; read one after the other they are the whole."""
        starts = range(self.start, self.stop, instances)
        return [replace(self, start=start, stop=min(start + instances, self.stop)) for start in starts]


@dataclass(frozen=True)
class Pictures(Mapping):
    """Picture names → what `picture` needs: an instance's place, or noise; computed, so flat in memory."""

    counts: tuple[tuple[str, str, int], ...]
    noises: Mapping[str, Noise]

    def __len__(self) -> int:
        return len(self.noises) + sum(count for *_, count in self.counts)

    def __iter__(self) -> Iterator[str]:
        yield from self.noises
        for difficulty, split, count in self.counts:
            yield from (name_of((difficulty, split, index)) for index in range(count))

    def __getitem__(self, name: str) -> Place | Noise:
        if name in self.noises:
            return self.noises[name]
        for difficulty, split, count in self.counts:
            index = name.removeprefix(f"{difficulty}-{split}-")
            if index.isdecimal() and int(index) < count:
                return difficulty, split, int(index)
        raise KeyError(name)


def name_of(place: Place) -> str:
    """The name of an instance's group and picture."""
    return "{}-{}-{:06d}".format(*place)


def counts_of(facts: Mapping) -> tuple[tuple[str, str, int], ...]:
    """(difficulty, split, instances) in the order in which they are made, empty ones left out."""
    every = ((difficulty, split, facts[split][difficulty]) for split in SPLITS for difficulty in DIFFICULTIES)
    return tuple(entry for entry in every if entry[2])


def _place(counts: Iterable[tuple[str, str, int]], number: int) -> Place:
    for difficulty, split, count in counts:
        if number < count:
            return difficulty, split, number
        number -= count
    raise IndexError(number)


def made(facts: Mapping, seed: int, views: Views, draw: Draw) -> Made:
    """Instances of each asked difficulty, in every asked view."""
    counts = counts_of(facts)
    examples = Examples(facts, seed, views, 0, sum(count for *_, count in counts))
    pictures = Pictures(counts, _noises(facts)) if shows_pictures(facts) else {}
    return Made(examples, pictures, partial(picture, draw, facts, seed), tuple(_gallery(facts, seed, views)))


def picture(draw: Draw, facts: Mapping, seed: int, shown: Place | Noise) -> bytes:
    """The PNG of the instance at a place, or of noise."""
    if not isinstance(shown, Noise):
        return draw(facts, seed, shown)
    draw_noise(shown).save(encoded := io.BytesIO(), format="PNG")
    return encoded.getvalue()


def _noises(facts: Mapping) -> dict[str, Noise]:
    """Noise coarse enough to be seen when a large picture is made smaller."""
    width, height = facts["picture"]
    return noises(width, height, grain=max(1, width // 24))


def spoken(example: Example) -> str:
    """The words of the question."""
    return "".join(content for kind, content in example.prompt if kind == "text")


def sized(facts: Mapping, views: Views, draw: Draw, samples: int = 4) -> int:
    """Bytes of the examples and pictures, a little too many; measured on a few of each difficulty."""
    shown = shows_pictures(facts)
    total = NOISES * len(picture(draw, facts, 0, _noises(facts)[noise_name(0)])) if shown else 0
    for difficulty, split, count in counts_of(facts):
        largest = 0
        for index in range(min(samples, count)):
            place = (difficulty, split, index)
            lines = sum(len(example_line(example).encode()) for example in views(facts, 0, place))
            largest = max(largest, lines + (len(draw(facts, 0, place)) if shown else 0))
        total += count * largest * 5 // 4
    return total


# --- what can be made ---------------------------------------------------------------------------------------


def problems(world: str, facts: Mapping) -> Iterator[str]:
    """What in the facts of any puzzle world cannot be made."""
    if not facts["views"] or len(set(facts["views"])) < len(facts["views"]):
        yield f"{world}.views: {facts['views']}; name at least one view, each once"
    if len(facts["picture"]) != 2:
        yield f"{world}.picture: {facts['picture']} is no width and height, say [96, 96]"


def is_range(value: Sequence[int], least: int, most: int) -> bool:
    """Whether these are two numbers in order, within the limits."""
    return len(value) == 2 and least <= value[0] <= value[1] <= most


def used(facts: Mapping) -> list[str]:
    """The difficulties of which instances are made."""
    return [name for name in DIFFICULTIES if facts["train"][name] or facts["test"][name]]


def shows_pictures(facts: Mapping) -> bool:
    """Whether any of the views made has a picture."""
    return set(facts["views"]) != {"text"}


def _gallery(facts: Mapping, seed: int, views: Views, instances: int = 2) -> Iterator[Mapping]:
    """The first instances of every difficulty, for people to look at."""
    for difficulty, split, count in counts_of(facts):
        for index in range(min(instances, count)):
            shown = views(facts, seed, (difficulty, split, index))
            yield fact_of(shown, f"{difficulty}, {shown[0].facets['task']}, {split}")


def fact_of(views: Sequence[Example], title: str) -> dict:
    """An instance for people to look at: every view of it with its answer."""
    return {
        "group": views[0].group,
        "title": title,
        "text": "\n\n".join(f"[{e.facets['view']}]\n{spoken(e)}\n→\n{e.answer}" for e in views),
        "pictures": sorted({name for e in views for name in e.pictures}),
    }


def split_of(content: str) -> str:
    """The split that a puzzle of this content belongs to: what is drawn for one can never be in the other."""
    return "test" if hashlib.sha256(content.encode()).digest()[0] < 64 else "train"


def drawn(what: str, place: Place, draw: Callable[[], object | None]) -> object:
    """The first draw that is not refused (None). UserError when TRIES draws were."""
    for _ in range(TRIES):
        if (found := draw()) is not None:
            return found
    raise UserError(
        f"no {place[0]} {what} of the asked sizes was found in {TRIES} draws; "
        "allow larger puzzles or a wider range of lengths"
    )
