"""Supervision mixes of the puzzle worlds: which views of which instances train, how often and in which order.

A *lesson* is difficulty/view, "hard/text". `teach.mix` weighs lessons with whole numbers; weights 1 and 3
mean one row of the first, three of the second, again and again: a pattern. Lessons of one difficulty use the
same instances, its first ones, in the same order; so a larger `thousands` keeps what a smaller one showed.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, cycle, islice

from mmrc_helpers.errors import UserError, listed, raise_all
from mmrc_helpers.tasks.example import Example, conversation, question
from mmrc_helpers.tasks.rows import Chat, Pair
from mmrc_helpers.worlds import Data

DIFFICULTIES = ("simple", "medium", "hard")
VIEWS = ("text", "image", "image_via_text")
LESSONS = tuple(f"{difficulty}/{view}" for difficulty in DIFFICULTIES for view in VIEWS)
ALONE = "train.teach.shuffle_answers needs two training instances of each lesson; raise the world's train"

# answer → (transcription, reasoning, final): joined they are the answer again; the first two may be empty
Blocks = Callable[[str], tuple[str, str, str]]


@dataclass(frozen=True)
class Share:
    """What one lesson gives to one epoch: `rows` rows, made of its first `instances` instances."""

    lesson: str
    weight: int
    rows: int
    instances: int


def taught(data: Data, teach: Mapping, seed: int, blocks: Blocks) -> Iterator[Chat]:
    """The training rows of a mix in order: `teach.epochs` epochs, or endlessly with epochs 0.

    teach: mix and repeat (lesson → whole number), thousands, epochs, cot, internalise (full, cut, none →
    share), shuffle_answers. Raises UserError where the data has too few instances or the section contradicts
    itself.
    """
    for example in _visits(data, teach, seed, blocks):
        yield Chat(conversation([example]), (example,))


def paired(
    data: Data,
    teach: Mapping,
    seed: int,
    contrast: str,
    blocks: Blocks,
    miss: Callable[[Example, random.Random], str],
) -> Iterator[Pair]:
    """The rows of a mix as pairs. contrast "answer": the answer against `miss`, a near miss of it
    (without reasoning where the answer lacks some); "context": the same answer after the question of another
    instance of the lesson."""
    before: dict[str, Example] = {}
    for example in _visits(data, teach, seed, blocks):
        chosen = Chat(conversation([example]), (example,))
        if contrast == "answer":
            rng = random.Random(f"{seed}/miss/{example.id}")
            full = replace(example, answer=miss(example, rng))
            wrong = full if example.facets["cot"] == "yes" else without_reasoning(full, blocks)
            yield Pair(chosen, Chat(conversation([wrong]), (example,)))
        elif other := before.get(example.lesson):
            if other.group != example.group:
                turns = (*question(other), *chosen.turns[1:])
                yield Pair(chosen, Chat(turns, (example,)))
        before[example.lesson] = example


def lessons_of(teach: Mapping) -> list[str]:
    """The lessons that a mix teaches."""
    return [lesson for lesson in LESSONS if teach["mix"].get(lesson)]


def shares(available: Mapping[str, int], teach: Mapping) -> list[Share]:
    """What each weighed lesson gives to an epoch, in the order in which a pattern shows them.

    available: training instances per lesson. With thousands N an epoch is 1000 N rows, rounded down to whole
    patterns; with 0 it is as long as the scarcest lesson allows. A lesson with repeat r shows each of its
    instances r times in an epoch.
    """
    weights = {lesson: teach["mix"][lesson] for lesson in lessons_of(teach)}
    if not weights:
        raise UserError("train.teach.mix: no lesson has a weight; set one, say simple/text: 1")
    if missing := [lesson for lesson in weights if not available.get(lesson)]:
        raise UserError(
            f"train.teach.mix: the data holds no training instances of {listed(missing)}; "
            "raise the world's train for the difficulty and name the view in its views"
        )
    divisor = math.gcd(*weights.values())
    weights = {lesson: weight // divisor for lesson, weight in weights.items()}
    times = {lesson: teach["repeat"].get(lesson, 1) for lesson in weights}
    rows = int(1000 * teach["thousands"])
    patterns = rows // sum(weights.values())
    if not rows:
        patterns = min(available[lesson] * times[lesson] // weights[lesson] for lesson in weights)
    if patterns < 1:
        raise UserError(
            f"train.teach: {rows or 'the available'} rows hold no whole pattern of "
            f"{sum(weights.values())} rows; raise train.teach.thousands or the world's train"
        )
    found = [
        Share(lesson, weight, patterns * weight, math.ceil(patterns * weight / times[lesson]))
        for lesson, weight in weights.items()
    ]
    raise_all(
        f"train.teach.thousands: {teach['thousands']} needs {share.instances} training instances of "
        f"{share.lesson}, the data holds {available[share.lesson]}; raise the world's train or lower it"
        for share in found
        if share.instances > available[share.lesson]
    )
    return found


def problems(facts: Mapping, phases: Iterable[Mapping]) -> Iterator[str]:
    """What the `teach` sections of phases want that the instances which `facts` make do not give."""
    available = {
        f"{difficulty}/{view}": facts["train"][difficulty]
        for difficulty in DIFFICULTIES
        for view in facts["views"]
    }
    for teach in phases:
        try:
            _check_reasoning(teach)
            plan = shares(available, teach)
        except UserError as error:
            one, *several = str(error).split("\n  ")  # several are listed below a line that counts them
            yield from several or [one]
        else:
            if teach["shuffle_answers"] and min(share.instances for share in plan) < 2:
                yield ALONE


def without_reasoning(example: Example, blocks: Blocks, dropped: float = 1.0) -> Example:
    """The example without the first `dropped` (0 to 1) of its lines of reasoning; it counts as cot no."""
    transcription, reasoning, final = blocks(example.answer)
    lines = reasoning.splitlines(keepends=True)
    kept = "".join(lines[math.ceil(dropped * len(lines)) :])
    return replace(example, answer=transcription + kept + final, facets={**example.facets, "cot": "no"})


def expects_reasoning(teach: Mapping) -> bool:
    """Whether the tests of a model taught so ask for the whole reasoning (facet cot yes)."""
    return teach["cot"] and not (teach["internalise"]["cut"] or teach["internalise"]["none"])


# --- order --------------------------------------------------------------------------------------------------


def _visits(data: Data, teach: Mapping, seed: int, blocks: Blocks) -> Iterator[Example]:
    """The examples in training order, with the answers that are taught."""
    _check_reasoning(teach)
    lessons = _lessons(data.examples)
    plan = shares({lesson: len(examples) for lesson, examples in lessons.items()}, teach)
    streams = {share.lesson: _stream(lessons[share.lesson], share, teach, seed) for share in plan}
    pattern = cycle([share.lesson for share in plan for _ in range(share.weight)])
    rows = math.floor(teach["epochs"] * sum(share.rows for share in plan) + 1e-9)
    for lesson in islice(pattern, rows) if rows else pattern:
        yield _reasoned(*next(streams[lesson]), teach, seed, blocks)


def _lessons(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """The training examples by lesson, instances in the order in which the data has them."""
    lessons: dict[str, list[Example]] = {}
    for example in examples:
        if example.split == "train":
            lessons.setdefault(example.lesson, []).append(example)
    return lessons


def _stream(
    examples: list[Example], share: Share, teach: Mapping, seed: int
) -> Iterator[tuple[Example, int]]:
    """The lesson's examples pass after pass, each with the number of its pass, endlessly."""
    difficulty = share.lesson.split("/")[0]
    taken = examples[: share.instances]
    if teach["shuffle_answers"]:
        taken = _strangers(taken, random.Random(f"{seed}/strangers/{difficulty}"))
    for number in count():
        order = list(range(len(taken)))
        random.Random(f"{seed}/order/{difficulty}/{number}").shuffle(order)  # the same for all views
        for index in order:
            yield taken[index], number


def _strangers(examples: list[Example], rng: random.Random) -> list[Example]:
    """The examples, each with the answer of another one: the null."""
    if len(examples) < 2:
        raise UserError(ALONE)
    ring = list(range(len(examples)))
    rng.shuffle(ring)
    answers = {ring[place]: examples[ring[place - 1]].answer for place in range(len(ring))}
    return [replace(example, answer=answers[index]) for index, example in enumerate(examples)]


# --- reasoning ----------------------------------------------------------------------------------------------


def _check_reasoning(teach: Mapping) -> None:
    parts = teach["internalise"]
    if not sum(parts.values()):
        raise UserError("train.teach.internalise: all shares are 0; set full: 1.0 for the whole reasoning")
    if not teach["cot"] and (parts["cut"] or not parts["full"]):
        raise UserError("train.teach.cot is off, so there is no reasoning to internalise; drop one of them")


def _reasoned(example: Example, number: int, teach: Mapping, seed: int, blocks: Blocks) -> Example:
    """The example with as much of its reasoning as this visit teaches. A cut drops one to nine tenths of the
    lines, the first ones first, as stepwise internalisation does."""
    if not teach["cot"]:
        return without_reasoning(example, blocks)
    parts = teach["internalise"]
    if not (parts["cut"] or parts["none"]):
        return example
    rng = random.Random(f"{seed}/reasoning/{example.group}/{number}")
    kind = rng.choices(("full", "cut", "none"), [parts["full"], parts["cut"], parts["none"]])[0]
    if kind == "full":
        return example
    return without_reasoning(example, blocks, rng.randint(1, 9) / 10 if kind == "cut" else 1.0)
