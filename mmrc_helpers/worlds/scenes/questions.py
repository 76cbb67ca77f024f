"""What is asked about a scene: its relation, comparison or count in words or by a letter, and whether a
statement about it is true, from A to B and from B to A; where a thing is, what is somewhere, and what there
is in all.

Wordings of "unseen" are never trained on and use only words that training uses elsewhere.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise, product

from mmrc_helpers.tasks.example import LETTERS, Example
from mmrc_helpers.worlds.scenes.drawing import Thing
from mmrc_helpers.worlds.scenes.placing import Look
from mmrc_helpers.worlds.scenes.relations import COMPARISONS, PHRASES, options
from mmrc_helpers.worlds.scenes.scene import COLOURS, POPULATIONS, SHAPES, Scene, Shot

DIRECTIONS = ("forward", "reverse")
SEEING = ("location", "listing")  # tasks about what there is and where, in one format
CELLS = 4  # columns and rows by which it is said where a thing is, counted from the top left
APART = 0.06  # how much farther right a thing must be than another to come behind it in a list
WORDED = ("seen", "unseen")
VERDICTS = ("True", "False")
WORDINGS = {
    "relation/free": {
        "seen": (
            "{Be} {a} {relations} {b}?",
            "Where {be} {a}: {relations} {b}?",
            "{A} {be} {relations} {b}. Which?",
        ),
        "unseen": ("Which: {be} {a} {relations} {b}?",),
    },
    "relation/choice": {
        "seen": ("{A} {be} ... {b}. Which letter?", "{Be} {a} ... {b}? Which letter?"),
        "unseen": ("Which letter: {a} {be} ... {b}?",),
    },
    "comparison/free": {
        "seen": ("{Be} {a} {relations} {b}?", "{A} {be} {relations} {b}. Which?"),
        "unseen": ("Which: {be} {a} {relations} {b}?",),
    },
    "comparison/choice": {
        "seen": ("{A} {be} ... {b}. Which letter?", "{Be} {a} ... {b}? Which letter?"),
        "unseen": ("Which letter: {a} {be} ... {b}?",),
    },
    "counting/free": {
        "seen": ("How many {a} are there?", "Count the {a}."),
        "unseen": ("{A}: how many are there?",),
    },
    "counting/choice": {
        "seen": ("How many {a} are there? Which letter?", "{A}: how many? Which letter?"),
        "unseen": ("Count the {a}. Which letter?",),
    },
    "location/forward": {
        "seen": ("Where is {a}? Column and row.", "Column and row of {a}?"),
        "unseen": ("Column and row: where is {a}?",),
    },
    "location/reverse": {
        "seen": ("What is in column {column}, row {row}?", "Column {column}, row {row}. What is there?"),
        "unseen": ("What is there: column {column}, row {row}?",),
    },
    "listing": {
        "seen": ("What is there, from left to right?",),
        "unseen": ("From left to right: what is there?",),
    },
    "statement/judge": {
        "seen": ("{A}. True or false?", "True or false: {a}."),
        "unseen": ("{A}: true or false?",),
    },
}


@dataclass(frozen=True)
class View:
    """A shot seen from one of its things. a, b: names of what is related; end: what stands behind the
    relation (b, and of a separation its reference before it); other: the relation that holds in the scene's
    other shot; reversed: the one from b to a."""

    a: str
    be: str
    b: str
    end: str
    direction: str
    converse: bool
    relation: str
    other: str
    reversed: str

    def claim(self, relation: str) -> str:
        """The sentence that says a relation: "the red circle is left of the blue square"."""
        return f"the {self.a} {self.be} {PHRASES[relation]} {self.end}"


def name(look: Look, plural: bool = False) -> str:
    """A look in words: "red cross", "red crosses"."""
    ending = "" if not plural else "es" if look[1].endswith("s") else "s"
    return f"{look[0]} {look[1]}{ending}"


def views(scene: Scene, shot: Shot) -> list[View]:
    """Both sides of a shot; one where no single word says the relation from the other side."""
    other = _other(scene, shot)
    a, b = name(scene.a), name(scene.b, scene.many > 1)
    shapes = SHAPES[scene.population]
    first, second = DIRECTIONS if shapes.index(scene.a[1]) < shapes.index(scene.b[1]) else DIRECTIONS[::-1]
    before = f"the {name(scene.c)} than " if scene.kind == "separation" else ""
    found = [View(a, "is", b, f"{before}the {b}", first, False, shot.relation, other.relation, shot.converse)]
    if shot.converse and other.converse:
        be = "are" if scene.many > 1 else "is"
        end = f"{before}the {a}"
        found.append(View(b, be, a, end, second, True, shot.converse, other.converse, shot.relation))
    return found


def count_claim(scene: Scene, number: int) -> str:
    """The sentence that says a count: "the number of red circles is 3"."""
    return f"the number of {name(scene.a, plural=True)} is {number}"


def examples(scene: Scene, facts: Mapping) -> Iterator[Example]:
    """Every question about a scene. In training each is worded in one of the seen ways; in tests once in a
    seen and once in an unseen way."""
    for shot in scene.shots:
        for wording in WORDED[:1] if scene.split == "train" else WORDED:
            yield from _locations(scene, shot, wording)
            yield from _listing(scene, shot, wording)
            if scene.kind == "counting":
                yield from _counts(scene, shot, wording, facts["most"])
            else:
                for view in views(scene, shot):
                    yield from _relations(scene, shot, wording, view)


def _relations(scene: Scene, shot: Shot, wording: str, view: View) -> Iterator[Example]:
    task = "comparison" if scene.kind in COMPARISONS else "relation"
    rng = random.Random(f"{shot.picture}/{view.direction}/{wording}")
    listed = options(scene.kind, view.converse)
    shuffled = tuple(rng.sample(listed, len(listed)))
    said = [PHRASES[relation] for relation in shuffled]
    values = {"a": f"the {view.a}", "be": view.be, "b": view.end}
    values["relations"] = " or ".join((", ".join(said[:-1]), said[-1]))
    truth = {"relation": view.relation, "reversed": view.reversed, "a": view.a, "b": view.b}
    truth["about"] = f"{scene.kind}, converse" if view.converse else scene.kind  # what guessing is counted by
    asked = {"answer": view.relation, "truth": truth}
    facets = {"task": task, "direction": view.direction, "relation": view.relation, "wording": wording}
    for form, order in (("free", listed), ("choice", shuffled)):  # so that no letter stands for a relation
        text = _worded(rng, f"{task}/{form}", wording, **values)
        asked |= {"options": order, "gold": order.index(view.relation)}
        yield _example(scene, shot, {**facets, "format": form}, text, **asked)
    for verdict, relation in zip(VERDICTS, (view.relation, view.other), strict=True):
        about = {"task": "statement", "direction": view.direction, "relation": relation, "wording": wording}
        yield _statement(scene, shot, rng, about, view.claim(relation), verdict)


def _counts(scene: Scene, shot: Shot, wording: str, most: int) -> Iterator[Example]:
    rng = random.Random(f"{shot.picture}/{wording}")
    number, kind = shot.number, name(scene.a, plural=True)
    facets = {"task": "counting", "direction": "forward", "relation": "count", "wording": wording}
    asked = {"answer": str(number), "truth": {"number": number}}
    every = range(most + 1)
    close = [n for n in every if n != number and abs(n - number) <= 3]
    some = sorted([number, *rng.sample(close, min(3, most))])
    for form, shown in (("free", every), ("choice", some)):
        text = _worded(rng, f"counting/{form}", wording, a=kind)
        asked |= {"options": tuple(map(str, shown)), "gold": shown.index(number)}
        yield _example(scene, shot, {**facets, "format": form}, text, **asked)
    for verdict, said in zip(VERDICTS, (number, _other(scene, shot).number), strict=True):
        facets["task"] = "statement"
        yield _statement(scene, shot, rng, facets, count_claim(scene, said), verdict)


def _locations(scene: Scene, shot: Shot, wording: str) -> Iterator[Example]:
    """Where each thing is, and what is there: of looks that the picture shows once, in cells that hold one
    thing, and not the same in the scene's other picture; none of a single such thing."""
    things = shot.plan.things
    looks = Counter(thing.look for thing in things)
    cells = Counter(map(cell, things))
    elsewhere = {(thing.look, cell(thing)) for thing in _other(scene, shot).plan.things}
    shown = [thing for thing in things if looks[thing.look] == cells[cell(thing)] == 1
             and (thing.look, cell(thing)) not in elsewhere]  # fmt: skip
    if len(shown) < 2:
        return
    names = tuple(name(thing.look) for thing in shown)
    places = tuple(f"{column} {row}" for column, row in map(cell, shown))
    for number, thing in enumerate(shown):
        rng = random.Random(f"{shot.picture}/{number}/{wording}")
        column, row = cell(thing)
        values = {"a": f"the {names[number]}", "column": str(column), "row": str(row)}
        for direction, every in zip(DIRECTIONS, (places, names), strict=True):
            facets = {"task": "location", "direction": direction, "relation": "place", "format": "free"}
            text = _worded(rng, f"location/{direction}", wording, **values)
            asked = {"options": every, "gold": number, "answer": every[number], "truth": {"thing": number}}
            example = _example(scene, shot, {**facets, "wording": wording}, text, **asked)
            yield replace(example, id=f"{example.id}-{number}")


def _listing(scene: Scene, shot: Shot, wording: str) -> Iterator[Example]:
    """All things from left to right, each with where it is; the other option lacks the last one."""
    things = _from_left(shot)
    if not things or things == _from_left(_other(scene, shot)):
        return
    options = _listed(things), _listed(things[:-1])
    facets = {"task": "listing", "direction": "forward", "relation": "place", "format": "free"}
    rng = random.Random(f"{shot.picture}/listing/{wording}")
    asked = {"options": options, "gold": 0, "answer": options[0], "truth": {}}
    yield _example(scene, shot, {**facets, "wording": wording}, _worded(rng, "listing", wording), **asked)


def _from_left(shot: Shot) -> list[tuple[Look, tuple[int, int]]]:
    """The look and the cell of each thing from left to right; none of one, or if two are about as far."""
    things = sorted(shot.plan.things, key=lambda thing: thing.x)
    apart = all(b.x - a.x >= APART for a, b in pairwise(things))
    return [(thing.look, cell(thing)) for thing in things] if apart and len(things) > 1 else []


def _listed(things: Iterable[tuple[Look, tuple[int, int]]]) -> str:
    return ", ".join(f"{name(look)} {column} {row}" for look, (column, row) in things)


def cell(thing: Thing) -> tuple[int, int]:
    """The column and row of a thing's middle, from 1."""
    return 1 + int(thing.x * CELLS), 1 + int(thing.y * CELLS)


def _statement(scene: Scene, shot: Shot, rng, facets: Mapping, sentence: str, verdict: str) -> Example:
    text = _worded(rng, "statement/judge", facets["wording"], a=sentence)
    asked = {"options": VERDICTS, "gold": VERDICTS.index(verdict), "answer": verdict}
    return _example(scene, shot, {**facets, "format": "judge"}, text, truth={"verdict": verdict}, **asked)


def _worded(rng: random.Random, frame: str, wording: str, **values: str) -> str:
    values |= {key.capitalize(): value[:1].upper() + value[1:] for key, value in values.items()}
    return rng.choice(WORDINGS[frame][wording]).format(**values)


def _example(scene: Scene, shot: Shot, facets: Mapping, text: str, *, truth: Mapping, **values) -> Example:
    shown = (
        (("text", text + "\n"), ("options", "words")) if facets["format"] == "choice" else (("text", text),)
    )
    said = [facets[key] for key in ("task", "direction", "format", "wording")]
    if facets["task"] == "statement":
        said.append(values["answer"])
    return Example(
        id="-".join([shot.picture.removesuffix(".png"), *said]),
        group=scene.group,
        split=scene.split,
        prompt=(("image", shot.picture), *shown),
        facets={**facets, "kind": scene.kind, "population": scene.population, "drop": "none"},
        truth={**truth, "twin": _other(scene, shot).picture},
        lesson=facets["task"],
        scene=shot.picture,
        **values,
    )


def _other(scene: Scene, shot: Shot) -> Shot:
    return next(one for one in scene.shots if one is not shot)


def sentences(facts: Mapping, seed: int) -> Iterator[str]:
    """Every word the world can say, at the start of a text and within one, for a small tokenizer."""
    looks = [look for population in POPULATIONS for look in product(COLOURS[population], SHAPES[population])]
    texts = [name(look, plural) for look in looks for plural in (False, True)]
    texts += [text.capitalize() for text in texts]
    frames = [text for frame in WORDINGS.values() for worded in frame.values() for text in worded]
    for frame in frames:
        values = {"a": "the number of", "be": "is", "relations": "or", "b": "than the", "column": 1, "row": 2}
        texts.append(frame.format(**values, A="The", Be="Is"))
        texts.append(frame.format(**values, A="The", Be="Are"))
    texts += [
        *PHRASES,
        *PHRASES.values(),
        *VERDICTS,
        *LETTERS,
        *map(str, range(max(facts["most"], CELLS) + 1)),
    ]
    for text in texts:
        yield text
        yield f" {text}"
    yield from ("user", "assistant", "system")
