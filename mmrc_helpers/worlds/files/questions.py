"""What a user's test rows are asked: to write the answer, to choose between two answers, or to tell which of
two contexts an answer belongs to."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mmrc_helpers.tasks.example import Example, Turn, as_turns, joined, question
from mmrc_helpers.worlds import Data


def ask(data: Data, ask: Mapping, teach: Mapping) -> list[Example]:
    """What the test rows are asked, for each of the measures that they have the sides for.

    written: the answer itself. response_selection: the answer against the rejected one, or, where rows have
    one answer behind two contexts, against another row's. prompt_discrimination: the right context against
    the wrong one, by the probability of the answer behind each. The last two are only compared, never
    written; with "image" in `drops` they are also asked without their pictures, as the text-only baseline:
    where the words are the same, chance.
    """
    tests = [e for e in data.examples if e.split == "test"]
    found: list[Example] = []
    if "written" in ask["measures"]:
        found += [e for e in tests if e.truth["written"]]
    between: list[Example | None] = []
    if "response_selection" in ask["measures"]:
        answers = sorted({e.answer for e in tests})
        between += [_selection(e, answers) for e in tests]
    if "prompt_discrimination" in ask["measures"]:
        between += [_discrimination(e) for e in tests]
    asked = [example for example in between if example]
    dropped = [_without_pictures(e) for e in asked if e.pictures] if "image" in ask["drops"] else []
    return found + asked + [e for e in dropped if e.prompt]


def _selection(example: Example, answers: Sequence[str]) -> Example | None:
    wrong = example.truth.get("rejected", "")
    if not wrong and "other" in example.truth and len(answers) > 1:
        further = random.Random(f"{example.id}/selection").randrange(1, len(answers))
        wrong = answers[(answers.index(example.answer) + further) % len(answers)]
    return _between(example, "response_selection", (example.answer, wrong)) if wrong else None


def _discrimination(example: Example) -> Example | None:
    if "other" not in example.truth:
        return None
    sides = (question(example), as_turns(example.truth["other"]))
    found = _between(example, "prompt_discrimination", sides)
    return replace(found, contexts=found.options, options=(example.answer,) * 2)


def _between(example: Example, measure: str, sides: tuple) -> Example:
    """The question which of two sides, right and wrong, is right. The right one's place is drawn, so that a
    tie is no win."""
    gold = random.Random(f"{example.id}/{measure}").randrange(2)
    return replace(
        example,
        id=f"{example.id}/{measure}",
        answer="",
        facets={**example.facets, "measure": measure},
        options=tuple(sides if gold == 0 else sides[::-1]),
        gold=gold,
    )


def _without_pictures(example: Example) -> Example:
    """The question without its pictures."""
    return replace(
        example,
        id=f"{example.id}/image",
        facets={**example.facets, "drop": "image"},
        prompt=_worded((("user", example.prompt),))[0][1],
        before=_worded(example.before),
        contexts=tuple(_worded(turns) for turns in example.contexts),
    )


def _worded(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns without their pictures."""
    return tuple((role, joined(part for part in parts if part[0] != "image")) for role, parts in turns)
