"""What must hold of a data folder of scenes, counted from what was written."""

from collections import defaultdict
from collections.abc import Iterator

from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.scenes.questions import SEEING
from mmrc_helpers.worlds.scenes.relations import CONVERSES


def promises(data: Data) -> Iterator[tuple[str, int, int]]:
    """(promise, how many keep it, how many should)."""
    asked = [e for e in data.examples if e.facets["format"] == "free" and e.facets["task"] not in SEEING]
    answers = {(e.scene, e.facets["direction"], e.facets["wording"]): e.answer for e in asked}
    twins = [
        (e.answer, answers.get((e.truth["twin"], e.facets["direction"], e.facets["wording"]))) for e in asked
    ]
    yield (
        "the same question has another answer in the scene's other picture",
        sum(a != b for a, b in twins),
        len(twins),
    )
    both = defaultdict(dict)
    for e in asked:
        both[(e.scene, e.facets["wording"])][e.facets["direction"]] = e.answer
    pairs = [(one["forward"], one["reverse"]) for one in both.values() if len(one) == 2]
    converse = sum(CONVERSES.get(a) == b or CONVERSES.get(b) == a for a, b in pairs)
    yield "asked from the other side, the converse is true", converse, len(pairs)
    said = [e.answer for e in data.examples if e.facets["task"] == "statement"]
    yield "statements that are true: half of them", said.count("True"), len(said) // 2
    drawn = defaultdict(set)
    for fact in data.facts:
        drawn[fact["split"]].update(fact["drawn"])
    tested = drawn["test"]
    yield "test pictures that are no training picture", len(tested - drawn["train"]), len(tested)
