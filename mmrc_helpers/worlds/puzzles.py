"""What the puzzle worlds share: instances made on demand, the questions asked about them, and their promises.

An *instance* is one puzzle: a group, whose examples are its views. Its *place* is (difficulty, split, index);
all that is drawn comes from a generator seeded by its place, so any process can make any instance.
"""

import hashlib
import io
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mmrc_helpers.errors import UserError, raise_all
from mmrc_helpers.tasks.example import Example, example_line
from mmrc_helpers.worlds import Data, Grade, Made, World
from mmrc_helpers.worlds.drops import NOISES, Noise, draw_noise, noise_name, noises, with_drops
from mmrc_helpers.worlds.mixes import (
    DIFFICULTIES,
    Blocks,
    expects_reasoning,
    lessons_of,
    paired,
    taught,
    without_reasoning,
)

SPLITS = ("train", "test")
FACETS = ("task", "difficulty", "view", "cot", "drop")
TRIES = 20_000  # draws until an instance is given up

Place = tuple[str, str, int]
# (facts, seed, place) → the examples of one instance, one for each of facts.views
Views = Callable[[Mapping, int, Place], tuple[Example, ...]]
Draw = Callable[[Mapping, int, Place], bytes]  # (facts, seed, place) → the PNG of one instance


def puzzle_world(
    *,
    facets: Sequence[str] = (),
    views: Views,
    draw: Draw,
    words: Callable,
    blocks: Blocks,
    miss: Callable,
    ask: Callable | None = None,
    **functions,
) -> World:
    """The world of a kind of puzzle. facets: beside those of every puzzle. words: (facts) → every word that
    it can say. blocks, miss: see `mixes.paired`. ask: instead of `asked`. functions: World's others."""
    return World(
        version=1,
        facets=(*FACETS, *facets),
        cells=("difficulty", "view"),
        make=partial(made, views=views, draw=draw),
        size=partial(sized, views=views, draw=draw),
        ask=ask or partial(asked, blocks=blocks),
        teach=partial(taught, blocks=blocks),
        taught=lessons_of,
        pairs=partial(paired, blocks=blocks, miss=miss),
        sentences=partial(sentences_of, views=views, words=words),
        **functions,
    )  # fmt: skip


# --- made on demand -----------------------------------------------------------------------------------------


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


def problems(facts: Mapping) -> Iterator[str]:
    """What in the facts of any puzzle world cannot be made."""
    if not facts["views"] or len(set(facts["views"])) < len(facts["views"]):
        yield f"facts.views: {facts['views']}; name at least one view, each once"
    if len(facts["picture"]) != 2:
        yield f"facts.picture: {facts['picture']} is no width and height, say [96, 96]"


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
            yield {
                "group": shown[0].group,
                "title": f"{difficulty}, {shown[0].facets['task']}, {split}",
                "text": "\n\n".join(f"[{e.facets['view']}]\n{spoken(e)}\n→\n{e.answer}" for e in shown),
                "pictures": sorted({name for e in shown for name in e.pictures}),
            }


def spoken(example: Example) -> str:
    """The words of the question."""
    return "".join(content for kind, content in example.prompt if kind == "text")


def split_of(content: str) -> str:
    """The split that a puzzle of this content belongs to: what is drawn for one can never be in the other."""
    return "test" if hashlib.sha256(content.encode()).digest()[0] < 64 else "train"


def drawn(what: str, place: Place, draw: Callable[[], object | None]) -> object:
    """The first draw that is not refused (None). UserError when TRIES draws were."""
    for _ in range(TRIES):
        if (found := draw()) is not None:
            return found
    raise UserError(
        f"facts: no {place[0]} {what} of the asked sizes was found in {TRIES} draws; "
        "allow larger puzzles or a wider range of lengths"
    )


# --- questions ----------------------------------------------------------------------------------------------


def asked(data: Data, ask: Mapping, teach: Mapping, blocks: Blocks) -> list[Example]:
    """The test questions: of each asked difficulty the first `ask.instances` instances (0: all) in the asked
    views, with as much reasoning as `teach` taught to give."""
    order: list[tuple[int, int, Example]] = []
    seen: dict[str, dict[str, int]] = {difficulty: {} for difficulty in ask["difficulties"]}
    for example in data.examples:
        difficulty, view = example.facets["difficulty"], example.facets["view"]
        if example.split != "test" or difficulty not in seen or view not in ask["views"]:
            continue
        number = seen[difficulty].setdefault(example.group, len(seen[difficulty]))
        if ask["instances"] and number >= ask["instances"]:
            continue
        rank = (list(seen).index(difficulty), ask["views"].index(view))
        shown = example if expects_reasoning(teach) else without_reasoning(example, blocks)
        order.append((*rank, shown))
    _check_asked(ask, {difficulty: len(groups) for difficulty, groups in seen.items()}, order)
    return with_drops((example for *_, example in sorted(order, key=lambda entry: entry[:2])), ask)


def _check_asked(ask: Mapping, instances: Mapping[str, int], order: Sequence) -> None:
    found = {(example.facets["difficulty"], example.facets["view"]) for *_, example in order}
    wanted = [(difficulty, view) for difficulty in ask["difficulties"] for view in ask["views"]]
    problems = [
        f"ask: the data holds no {difficulty}/{view} test instances; raise facts.test.{difficulty}, name the "
        "view in facts.views, or ask for less"
        for difficulty, view in wanted
        if (difficulty, view) not in found
    ]
    problems += [
        f"ask.instances: {ask['instances']} {difficulty} test instances are asked, the data holds {count}; "
        f"raise facts.test.{difficulty}"
        for difficulty, count in instances.items()
        if 0 < count < ask["instances"]
    ]
    raise_all(problems)


# --- what holds, how large it is, its words -----------------------------------------------------------------


def promised(
    data: Data, grade: Callable[[Example, str], Grade], content: Callable[[Example], str]
) -> Iterator[tuple[str, int, int]]:
    """(promise, found, wanted) of what holds in every puzzle world. content: what makes two puzzles alike."""
    right = sum(grade(example, example.answer).right for example in data.examples)
    yield "gold answers that the verifier grades right", right, len(data.examples)
    puzzles = {split: {content(e) for e in data.examples if e.split == split} for split in SPLITS}
    yield "puzzles in both splits", len(puzzles["train"] & puzzles["test"]), 0
    views = Counter(example.group for example in data.examples)
    yield "instances that lack a view", sum(n != max(views.values()) for n in views.values()), 0


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


def sentences_of(facts: Mapping, seed: int, views: Views, words: Callable) -> Iterator[str]:
    """Texts from which a small tokenizer learns its words: some instances of each kind and every word of the
    world. Digits stand apart, so that each stays a token of its own."""
    for difficulty, split, count in counts_of(facts):
        for index in range(min(30, count) if split == "train" else 0):
            for example in views(facts, seed, (difficulty, split, index)):
                yield digits_apart(f"{spoken(example)}\n{example.answer}\n")
    for text in words(facts):
        yield f" {text} {text} {text}"


def digits_apart(text: str) -> str:
    """The text with a space between neighbouring digits."""
    return re.sub(r"(?<=\d)(?=\d)", " ", text)


def reordered(answer: str, rng: random.Random) -> str:
    """The words of an answer in random order, each with the space behind it; the first never stays first."""
    first, *others = re.findall(r"\S+\s*", answer + " ")
    rng.shuffle(others)
    others.insert(rng.randint(1, max(1, len(others))), first)
    return "".join(others).strip()
