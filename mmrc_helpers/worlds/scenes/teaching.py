"""How scenes are taught, contrasted and asked: streams of conversations and pairs in training, and the test
questions of an evaluation.

What `teach` names is taught on novel scenes; *replay* repeats tasks in both directions on background
scenes, whose shapes are others. So a direction that is not taught is never seen with the tested shapes.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mmrc_helpers.errors import UserError, listed
from mmrc_helpers.tasks.example import LETTERS, Example, answer_of, conversation, question, with_pictures
from mmrc_helpers.tasks.rows import Chat, Pair
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.drops import with_drops
from mmrc_helpers.worlds.scenes.questions import SEEING
from mmrc_helpers.worlds.scenes.relations import opposed
from mmrc_helpers.worlds.scenes.scene import POPULATIONS

Buckets = Mapping[str, Mapping[str, Sequence[Example]]]  # task → relation → questions


def teach(data: Data, teach: Mapping, seed: int) -> Iterator[Chat]:
    """Conversations without end: tasks alike often, within a task the relations, within those the questions.

    teach: tasks, directions, formats, relations (none named: all), replay (share of rows),
    replay_tasks, turns, shuffle (each picture or its twin at random), blind (the truth hidden from rewards).
    Raises UserError if the data holds nothing of what is to be taught.
    """
    by_scene = defaultdict(list)
    taught, replayed = _sources(data, teach)
    for source in (taught, replayed):
        for example in _all(source):
            by_scene[(example.scene, example.facets["population"])].append(example)
    for index, (example, again) in enumerate(_drawn(taught, replayed, teach, seed)):
        rng = random.Random(f"{seed}/turns/{index}")
        beside = by_scene[(example.scene, example.facets["population"])]
        asked = _independent([example, *rng.sample(beside, len(beside))])[: teach["turns"]]
        if teach["shuffle"] and not again and rng.random() < 0.5:
            asked = [on_twin(one) for one in asked]
        if teach["blind"] and not again:
            asked = [replace(one, truth={**one.truth, "blind": True}) for one in asked]
        yield Chat(conversation(asked), tuple(asked), again)


def _independent(examples: Sequence[Example]) -> list[Example]:
    """The first question alone; of a location, with others about other things. What can be read off earlier
    answers teaches to copy: a relation asked from the other side or in another format, one between things
    whose places were said, or what is where a thing was said to be."""
    if examples[0].facets["task"] != "location":
        return [examples[0]]
    places = {e.truth["thing"]: e for e in reversed(examples) if e.facets["task"] == "location"}
    return [examples[0], *(e for e in places.values() if e.truth["thing"] != examples[0].truth["thing"])]


def pairs(data: Data, teach: Mapping, seed: int, contrast: str) -> Iterator[Pair]:
    """The same questions as pairs, one question each. contrast "answer": the truth against another answer
    of the same list, its opposite where there is one; "context": the truth about its picture against the
    same words about the scene's other picture, of which they are wrong."""
    for index, (example, again) in enumerate(_drawn(*_sources(data, teach), teach, seed)):
        rng = random.Random(f"{seed}/pairs/{index}")
        turns = conversation([example])
        if contrast == "context":
            rejected = (*question(on_twin(example)), turns[-1])
        else:
            rejected = (turns[0], ("assistant", (("text", _wrong(example, rng)),)))
        yield Pair(Chat(turns, (example,), again), Chat(rejected, (example,), again))


def on_twin(example: Example) -> Example:
    """The example with the scene's other picture in place of its own."""
    return with_pictures(example, dict.fromkeys(example.pictures, example.truth["twin"]))


def _wrong(example: Example, rng: random.Random) -> str:
    """A wrong answer in the form of the right one: its opposite, the nearest counts, or any other option."""
    others = [place for place in range(len(example.options)) if place != example.gold]
    if example.facets["task"] == "counting":
        others = sorted(others, key=lambda place: abs(place - example.gold))[:2]
    opposites = [place for place in others if opposed(example.options[place], example.answer)]
    return _answer(example, rng.choice(opposites or others))


def _answer(example: Example, place: int) -> str:
    """What is said to give the option at a place as the answer."""
    return answer_of(replace(example, gold=place, answer=example.options[place]))


def _sources(data: Data, teach: Mapping) -> tuple[Buckets, Buckets]:
    """What is taught and what is replayed."""
    train = [example for example in data.examples if example.split == "train"]
    background, novel = ([e for e in train if e.facets["population"] == p] for p in POPULATIONS)
    taught = [example for example in novel if _is_named(example, teach)]
    if teach["replay"] < 1 and not taught:
        sections = listed(f"train.teach.{key}" for key in ("tasks", "directions", "formats", "relations"))
        raise UserError(f"scenes: the {len(novel)} novel training questions hold none of {sections}; "
                        "widen them, raise scenes.novel, or set train.teach.replay to 1.0")  # fmt: skip
    background = [example for example in background if example.facets["task"] in teach["replay_tasks"]]
    if teach["replay"] > 0 and not background:
        raise UserError("train.teach.replay: there are no background scenes of train.teach.replay_tasks; set "
                        "it to 0.0, name other tasks or raise scenes.background")  # fmt: skip
    return _bucketed(taught), _bucketed(background)


def _is_named(example: Example, section: Mapping) -> bool:
    """Whether a section names the task, direction, format and relation of an example."""
    facets = example.facets
    named = facets["task"] in section["tasks"] and facets["direction"] in section["directions"]
    in_format = facets["task"] in ("statement", *SEEING) or facets["format"] in section["formats"]
    return named and in_format and (not section["relations"] or facets["relation"] in section["relations"])


def _bucketed(examples: Iterable[Example]) -> Buckets:
    buckets: dict[str, dict[str, list[Example]]] = defaultdict(lambda: defaultdict(list))
    for example in examples:
        buckets[example.facets["task"]][example.facets["relation"]].append(example)
    return buckets


def _all(buckets: Buckets) -> Iterator[Example]:
    for relations in buckets.values():
        for examples in relations.values():
            yield from examples


def _drawn(taught: Buckets, replayed: Buckets, teach: Mapping, seed: int) -> Iterator[tuple[Example, bool]]:
    """Questions without end, each with whether it is replayed."""
    rng = random.Random(f"{seed}/scenes/rows")
    while True:
        again = rng.random() < teach["replay"]
        tasks = replayed if again else taught
        relations = tasks[rng.choice(list(tasks))]
        yield rng.choice(relations[rng.choice(list(relations))]), again


def ask(data: Data, ask: Mapping, teach: Mapping) -> list[Example]:
    """The test questions that `ask` names, picture by picture.

    ask: tasks, directions, formats, relations, wordings, populations, scenes (how many of each population; 0
    is all), drops.
    """
    tested = [e for e in data.examples if e.split == "test" and _is_named(e, ask)]
    groups = list(dict.fromkeys(e.group for e in data.examples if e.split == "test"))
    if ask["scenes"]:
        groups = [
            group for p in POPULATIONS for group in [g for g in groups if g.startswith(p)][: ask["scenes"]]
        ]
    kept, wordings, populations = set(groups), ask["wordings"], ask["populations"]
    found = [e for e in tested if e.group in kept and e.facets["wording"] in wordings
             and e.facets["population"] in populations]  # fmt: skip
    if not found:
        raise UserError(
            "evaluate.ask: the data holds no such test question; widen tasks, directions, formats, "
            "relations, wordings or populations, or raise scenes.test_scenes"
        )
    return with_drops(found, ask)


def alternatives(example: Example, data: Data) -> dict[str, str]:
    """Answers whose probability is followed: `right`, `opposite` (where there is one), `other` (one more of
    those asked between), `rephrased` (the truth in other words), `unrelated` (an answer to another question).
    """
    rng = random.Random(f"alternatives/{example.id}")
    found = {"right": answer_of(example)}
    others = [place for place in range(len(example.options)) if place != example.gold]
    opposites = [place for place in others if opposed(example.options[place], example.answer)]
    for kind, places in (("opposite", opposites), ("other", [p for p in others if p not in opposites])):
        if places:
            found[kind] = _answer(example, rng.choice(places))
    if example.how:
        return {**found, "unrelated": LETTERS[-1]}
    if example.facets["task"] != "listing":
        found["rephrased"] = f"It is {example.answer.lower()}"
    unrelated = [word for word in ("left", "True", "7") if word not in example.options]
    return {**found, "unrelated": rng.choice(unrelated)}
