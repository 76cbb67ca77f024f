"""What must hold of the people and their questions before anything is learned from them, and what a study may
not ask of this world."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mmrc_helpers.errors import UserError, listed
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.people import album, painted
from mmrc_helpers.worlds.people.forms import BUCKETS
from mmrc_helpers.worlds.sources.rows import read_table

BLOCK = 4096  # bytes that a small picture takes at least
NOUN = re.compile(r"[a-z]+(?: [a-z]+)?")


def kind(facts: Mapping) -> str:
    """Where the pictures come from: drawn, sdxl or folder. Recipes of drawn ones do not say it."""
    return facts.get("pictures", "drawn")


def promises(data: Data) -> list[tuple[str, int, int]]:
    """(promise, found, wanted), each counted on what the data folder holds."""
    people = data.facts
    named = [person for person in people if person["name"]]
    titled = [person["descriptor"] for person in named if person["descriptor"]]  # which a user may leave out
    ours = [
        person["description"] for person in people if "train_views" not in person
    ]  # a user's may be alike
    train, test = ([e for e in data.examples if e.split == split] for split in ("train", "test"))
    return [
        ("people with a name of their own", len({p["name"] for p in named}), len(named)),
        ("people with a descriptor of their own", len(set(titled)), len(titled)),
        ("people with looks of their own", len(set(ours)), len(ours)),
        ("pictures shown in training and in tests", len(_pictures(train) & _pictures(test)), 0),
        ("questions worded alike in training and tests", len(_worded(train) & _worded(test)), 0),
        ("novel people without both directions", _one_sided(test), 0),
        ("right option missing from its choices", sum(not 0 <= e.gold < len(e.options) for e in test), 0),
    ]


def size(facts: Mapping) -> int:
    """Bytes: pictures as large as raw RGB, twice if they are painted; 20 kB of questions per person and
    scene; 5 kB per text scene."""
    people, views = facts["background"] + facts["novel"], facts["train_views"] + facts["test_views"]
    pictures = people * views + facts["passers_by"]
    if kind(facts) == "folder":
        rows = sum(len(read_table(file, None).rows) for file in album.tables(facts))
        people, pictures = min(people, rows), min(pictures, rows)
    shown = pictures * (3 * facts["image_size"] ** 2 + BLOCK) * (2 if kind(facts) == "sdxl" else 1)
    scenes = 5_000 * (facts["text_scenes"] + facts["passers_by"])
    return shown + 20_000 * people * facts["train_scenes"] + scenes


def check(facts: Mapping, phases: Sequence[Mapping]) -> Iterator[str]:
    """What is wrong with parameters that must fit each other. phases: the `teach` section of each."""
    yield from _of_pictures(facts)
    for teach in phases:
        if teach["replay"] > 0 and not any(teach["replay_mix"].values()):
            yield "train.teach.replay_mix: all zero; give one a share, or set train.teach.replay: 0"
        if (teach["two_way"] * BUCKETS) % 1:
            yield (
                f"train.teach.two_way: {teach['two_way']} would put people taught both ways into line-ups "
                f"with those tested; take a multiple of {1 / BUCKETS}"
            )


def _of_pictures(facts: Mapping) -> Iterator[str]:
    """What is wrong with where pictures and names come from. A user's table is read when data are made."""
    if kind(facts) == "folder":
        try:
            album.tables(facts)
        except UserError as error:
            yield str(error)
        if not NOUN.fullmatch(facts["noun"]):
            yield f"people.noun: {facts['noun']!r} is no noun such as person, plant or landmark"
        if taken := [name for name in facts["attributes"] if name in album.KNOWN]:
            yield f"people.attributes: {listed(taken)} has a meaning of its own; name columns of other looks"
        if facts["passers_by"]:
            yield "people.passers_by: a table has no nameless people; set it to 0"
        return
    for name in ("path", "attributes"):
        if facts.get(name):
            yield f"people.{name}: is read with people.pictures: folder only"
    people, names = facts["background"] + facts["novel"], facts["first_names"] * facts["last_names"]
    if people > names:
        yield (
            f"people.background + people.novel = {people} people, but only {names} names "
            "(people.first_names × people.last_names); raise first_names or last_names"
        )
    if kind(facts) == "sdxl":
        yield from painted.check(facts)


def _pictures(examples: Iterable[Example]) -> set[str]:
    return {name for example in examples for name in example.pictures}


def _worded(examples: Iterable[Example]) -> set[str]:
    """Wordings of questions of every kind; names are part of them, so only the phrase can keep them apart."""
    return {text.strip() for e in examples for kind, text in e.prompt if kind == "text"}


def _one_sided(test: Iterable[Example]) -> int:
    directions = defaultdict(set)
    for e in test:
        if e.facets["population"] == "novel" and e.facets["topic"] == "identity":
            directions[e.group].add(e.facets["direction"])
    return sum(len(found) < 2 for found in directions.values())
