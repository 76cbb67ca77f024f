"""One scene: which things, where they go, and what is true of them in each of its two pictures.

The two pictures show the same things under another relation, so that no look, colour or size of a thing tells
the answer. Everything follows from a hashed string of the scene's population, split and number.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mmrc_helpers.errors import UserError
from mmrc_helpers.worlds.scenes import measuring, placing
from mmrc_helpers.worlds.scenes.drawing import HOLES, RODS, Plan, Thing
from mmrc_helpers.worlds.scenes.placing import Look
from mmrc_helpers.worlds.scenes.relations import CONVERSES

# A question is *forward* if the thing it asks about comes before the other one in this order. So training in
# one direction never needs to read which of two things is asked about, and the other direction does.
SHAPES = {
    "background": ("circle", "square", "ring", "triangle", "diamond", "stick"),
    "novel": ("arrow", "star", "frame", "heart", "cross", "moon"),
}
# No word of a novel thing is known from the background: colours alone would tell most things apart.
COLOURS = {
    "background": ("red", "yellow", "green", "blue", "purple", "black"),
    "novel": ("orange", "pink", "lime", "cyan", "brown", "gray"),
}
POPULATIONS = tuple(SHAPES)
SHOTS = ("a", "b")
_WALLS = ((240, 240, 236), (232, 238, 244), (244, 238, 228), (235, 243, 234), (243, 234, 239))
_FLOORS = ((206, 200, 188), (196, 204, 208), (212, 200, 184), (198, 206, 194))


@dataclass(frozen=True)
class Shot:
    """One picture of a scene. relation: from A to B, of a comparison too; number: of what is counted."""

    picture: str
    plan: Plan
    relation: str = ""
    number: int = -1

    @property
    def converse(self) -> str:
        """The relation from B to A; empty if no single word says it."""
        return CONVERSES.get(self.relation, "")


@dataclass(frozen=True)
class Scene:
    """a, b, c: looks of what is asked about; the things counted are a. many: how many of b there are."""

    group: str
    kind: str
    population: str
    split: str
    a: Look
    b: Look
    c: Look
    many: int
    shots: tuple[Shot, Shot]


def scenes(facts: Mapping, seed: int) -> Iterator[Scene]:
    """All scenes: training, then test, background before novel. Background scenes are the same for every
    seed."""
    for split in ("train", "test"):
        for population in POPULATIONS:
            for number in range(_wanted(facts, split, population)):
                origin = "any" if population == "background" else str(seed)
                kind = facts["kinds"][number % len(facts["kinds"])]
                yield _scene(
                    facts, f"{origin}/{split}/{population}/{number}", kind, population, split, number
                )


def _wanted(facts: Mapping, split: str, population: str) -> int:
    return facts[population] if split == "train" else facts["test_scenes"] * (facts[population] > 0)


def _scene(facts: Mapping, origin: str, kind: str, population: str, split: str, number: int) -> Scene:
    rng = random.Random(f"{origin}/{kind}")
    place = rng.choice(placing.PLACED[kind]) if kind != "counting" else None
    looks = _looks(rng, kind, population, place is placing.threaded)
    group = f"{population}-{split}-{number:05d}"
    if place is None:
        shots = _counted(rng, facts, population, looks[0])
    else:
        others = _sharing_words(rng, looks[:2], set(looks), population, facts["distractors"])
        shots = _placed(facts, f"{origin}/{kind}", kind, place, looks, others)
    if rng.random() < 0.5:
        shots = shots[::-1]
    named = [replace(shot, picture=f"{group}-{name}.png") for shot, name in zip(shots, SHOTS, strict=True)]
    many = sum(thing.look == looks[1] for thing in named[0].plan.things)
    return Scene(group, kind, population, split, *looks, many, (named[0], named[1]))


def _looks(rng: random.Random, kind: str, population: str, threaded: bool) -> list[Look]:
    """Three looks, no two with the same shape or colour; of enclosures two thirds are about rods."""
    solids = _solids(population)
    chosen = rng.sample(solids, 3)
    if kind == "enclosure":
        chosen[1] = next(shape for shape in SHAPES[population] if shape in HOLES)
        if threaded or rng.random() < 0.3:
            chosen[0] = next(shape for shape in SHAPES[population] if shape in RODS)
    return list(zip(rng.sample(COLOURS[population], 3), chosen, strict=True))


def _solids(population: str) -> list[str]:
    return [shape for shape in SHAPES[population] if shape not in HOLES and shape not in RODS]


def _placed(
    facts: Mapping, origin: str, kind: str, place, looks: Sequence[Look], others: Sequence[Look]
) -> list[Shot]:
    """Both shots, placed again until each shows one clear relation, and not the same one."""
    for attempt in range(5000):
        rng = random.Random(f"{origin}/{attempt}")
        shots = []
        for things, at, rest in place(rng, *looks):
            if not _tidy(things, kind) or not (relation := measuring.relation(kind, things, at, rest)):
                break
            filled = placing.beside(rng, things, others)
            if len(filled) < len(things) + len(others):
                break
            shots.append(Shot("", Plan(facts["image_size"], filled, *_setting(rng, kind, things)), relation))
        if len(shots) == 2 and shots[0].relation != shots[1].relation:
            return shots
    raise UserError(f"scenes.distractors: no room for {len(others)} beside a {kind} scene; lower it")


def _setting(rng: random.Random, kind: str, things: Sequence[Thing]) -> tuple:
    """Colours of wall and floor, and where the floor begins: behind what stands on it."""
    feet = [thing.y + thing.half for thing in things]
    horizon = (min(feet) if kind == "depth" else max(feet)) - rng.uniform(0.03, 0.1)
    return rng.choice(_WALLS), rng.choice(_FLOORS), horizon if kind in placing.ON_A_FLOOR else 1.0


def _tidy(things: Sequence[Thing], kind: str) -> bool:
    """Whether all things are inside the picture, and none touches another that should not."""
    inside = all(0.02 + t.half <= min(t.x, t.y) and max(t.x, t.y) <= 0.98 - t.half for t in things)
    if kind in ("depth", "enclosure", "support"):
        return inside
    pairs = ((one, other) for place, one in enumerate(things) for other in things[:place])
    return inside and all(measuring.clear_of(one, other, 0.01) for one, other in pairs)


def _counted(rng: random.Random, facts: Mapping, population: str, look: Look) -> list[Shot]:
    """The same kind of thing in two numbers, at most two apart, among others that share a word with it."""
    number = rng.randint(0, facts["most"])
    other = rng.choice([n for n in range(number - 2, number + 3) if 0 <= n <= facts["most"] and n != number])
    wall, shots = rng.choice(_WALLS), []
    for count in (number, other):
        extra = rng.randint(1, 4) if facts["distractors"] else 0
        others = [rng.choice(_sharing_words(rng, (look,), {look}, population, 6)) for _ in range(extra)]
        things = placing.scattered(rng, [look] * count + others)
        shots.append(Shot("", Plan(facts["image_size"], things, wall), number=count))
    return shots


def _sharing_words(
    rng: random.Random, looks: Sequence[Look], taken: set[Look], population: str, count: int
) -> list[Look]:
    """Looks of solid things that share a word with the given ones, the hardest first: the colour of one with
    the shape of another."""
    solids = _solids(population)
    crossed = [(one[0], other[1]) for one in looks for other in looks if other[1] in solids]
    shared = [(colour, shape) for colour in COLOURS[population] for shape in solids
              if any(colour == look[0] or shape == look[1] for look in looks)]  # fmt: skip
    ordered = rng.sample(crossed, len(crossed)) + rng.sample(shared, len(shared))
    return [look for look in dict.fromkeys(ordered) if look not in taken][:count]
