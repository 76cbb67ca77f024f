"""What the novel people are taught in, and the background tasks that are repeated beside it."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import Example, conversation, replaced, rotate, with_pictures
from mmrc_helpers.tasks.rows import Chat
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.people.forms import bucket

LOOKS = ("recall", "caption", "attribute")  # kinds of rows about what somebody looks like


def teach(data: Data, teach: Mapping, seed: int) -> Iterator[Chat]:
    """Conversations in training order, without end. A share `teach.replay` repeats background tasks by the
    weights of `teach.replay_mix`; the others teach the novel people in `teach.cells`, every kind of row
    equally often."""
    rng, sentences = random.Random(f"{seed}/rows"), described(data.facts)
    for asked, again, in_words in lessons(data, teach, rng):
        turns = conversation(asked)
        yield Chat(replaced(turns, sentences) if in_words else turns, tuple(asked), replayed=again)


def lessons(data: Data, teach: Mapping, rng: random.Random) -> Iterator[tuple[list[Example], bool, bool]]:
    """(questions of one scene, whether they repeat what was known, whether pictures are put into words),
    without end."""
    novel = _novel_scenes(data, teach)
    if not any(person["attributes"] for person in data.facts):  # a user's, who have none
        teach = {**teach, "replay_mix": {k: w for k, w in teach["replay_mix"].items() if k not in LOOKS}}
    weights, sources = _replay_sources(data.examples, teach)
    if teach["replay"] < 1 and not novel:
        raise UserError(
            "train.teach.cells is empty, so nothing novel is taught: set train.teach.replay to 1.0"
        )
    while True:
        if again := rng.random() < teach["replay"]:
            kind = rng.choices(list(weights), list(weights.values()))[0]
            asked = _asked(rng.choice(sources[kind]), teach, rng)
        else:
            kind = rng.choice(list(novel))
            asked = _asked(rng.choice(novel[kind]), teach, rng)
        yield asked, again, bool(teach["text_twin"]) or kind == "twin"


def described(facts: Sequence[Mapping]) -> dict[str, str]:
    """Picture → the sentence with the looks of whom it shows, for the text twin."""
    return {name: person["description"] for person in facts for name in person["pictures"]}


def views(facts: Sequence[Mapping]) -> dict[str, list[str]]:
    """Group → its pictures for training, in order; whoever is drawn has as many as all others."""
    return {person["group"]: person["pictures"][: person.get("train_views")] for person in facts}


def other_view(name: str, group: str, views: Mapping[str, Sequence[str]]) -> str:
    """The picture of a group at the place that a picture has among its own group's."""
    place = views[name.rsplit("-", 1)[0]].index(name)
    return views[group][place % len(views[group])]


def two_way_groups(examples: Iterable[Example], share: float) -> set[str]:
    """The novel groups taught in every cell: the first `share` of the groups ordered by bucket."""
    groups = {e.group for e in examples if e.facets["population"] == "novel"}
    ordered = sorted(groups, key=lambda group: (bucket(group), group))
    return set(ordered[: round(share * len(ordered))])


def _replay_sources(examples: Sequence[Example], teach: Mapping) -> tuple[dict[str, float], dict[str, list]]:
    """Weights and scenes of the background rows, by kind."""
    cells = set(teach["replay_cells"])
    replayed = _scenes_by_lesson(
        e
        for e in examples
        if e.facets["population"] != "novel"
        and (not cells or e.facets["topic"] != "identity" or e.cell("direction", "format") in cells)
    )
    weights = {kind: weight for kind, weight in teach["replay_mix"].items() if weight > 0}
    told = [scene for kind in ("portrait", "lineup") for scene in replayed.get(kind, [])]
    sources = {kind: told if kind == "twin" else replayed.get(kind, []) for kind in weights}
    empty = [kind for kind, scenes in sources.items() if not scenes]
    if empty and teach["replay"] > 0:
        raise UserError(
            f"train.teach.replay_mix.{empty[0]}: the data holds no such background rows; set it to 0"
        )
    return weights, sources


def _novel_scenes(data: Data, teach: Mapping) -> dict[str, list]:
    """Scenes that teach novel people, by kind of row. Names are permuted here when the null is asked for."""
    novel = [e for e in data.examples if e.facets["population"] == "novel"]
    both_ways, cells = two_way_groups(novel, teach["two_way"]), set(teach["cells"])
    taught = [
        e
        for e in novel
        if e.facets["topic"] == "identity"
        and (e.cell("direction", "format") in cells or e.group in both_ways)
    ]
    if teach["names_first"]:
        taught = [names_first(e) if e.cell("direction", "format") == "forward/choice" else e for e in taught]
    if teach["shuffle_names"]:
        partner, shown = partners({e.group for e in novel}), views(data.facts)
        taught = [with_pictures_of(example, partner, shown) for example in taught]
    return _scenes_by_lesson(taught)


def names_first(example: Example) -> Example:
    """A forward choice with its names before its picture; the facet `order` says so."""
    pictures = tuple(part for part in example.prompt if part[0] == "image")
    others = tuple(part for part in example.prompt if part[0] != "image")
    facets = {**example.facets, "order": "name_first"}
    return replace(example, prompt=(*others, *pictures), facets=facets)


def partners(groups: Iterable[str]) -> dict[str, str]:
    """Each group's successor in its bucket: nobody keeps their own pictures."""
    ordered: dict[int, list[str]] = defaultdict(list)
    for group in sorted(groups):
        ordered[bucket(group)].append(group)
    return {
        group: after
        for names in ordered.values()
        for group, after in zip(names, rotate(names, 1), strict=True)
    }


def with_pictures_of(
    example: Example, partner: Mapping[str, str], views: Mapping[str, Sequence[str]]
) -> Example:
    """The example with every picture replaced by the same view of the partner, which permutes the names."""
    found = {}
    for name in example.pictures:
        group = name.rsplit("-", 1)[0]
        found[name] = other_view(name, partner[group], views) if group in partner else name
    return with_pictures(example, found)


def _scenes_by_lesson(examples: Iterable[Example]) -> dict[str, list[list[Example]]]:
    scenes: dict[str, dict[str, list[Example]]] = defaultdict(lambda: defaultdict(list))
    for example in examples:
        scenes[example.lesson][example.scene].append(example)
    return {lesson: list(found.values()) for lesson, found in scenes.items()}


def _asked(scene: Sequence[Example], teach: Mapping, rng: random.Random) -> list[Example]:
    """Up to `teach.turns` questions of a scene in random order; one that comes before its pictures leads."""
    count = min(teach["turns"], len(scene))
    asked = _evenly(scene, rng)[:count] if teach["even_cells"] else rng.sample(scene, count)
    led = [e for e in asked if e.facets["order"] == "name_first"]
    asked = [e for e in asked if e.facets["order"] != "name_first" or e is led[0]]
    return sorted(asked, key=lambda e: e.facets["order"] != "name_first")


def _evenly(scene: Sequence[Example], rng: random.Random) -> list[Example]:
    """The examples in random order, one of every cell before the second of any."""
    cells = defaultdict(list)
    for example in rng.sample(scene, len(scene)):
        cells[example.cell("direction", "format")].append(example)
    by_cell = rng.sample(list(cells.values()), len(cells))
    return [example for turn in zip_longest(*by_cell) for example in turn if example]
