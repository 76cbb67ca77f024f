"""The world of reasoning: text problems with an exact inverse, each asked in both directions, with traces
that a verifier replays. What training on one direction does to the other is what it is for."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import Example, conversation, question
from mmrc_helpers.tasks.orders import permuted, without_end
from mmrc_helpers.tasks.rows import Chat, Pair
from mmrc_helpers.worlds import INVALID, Data, Grade, Made, World
from mmrc_helpers.worlds.files.pairs import build_pairs
from mmrc_helpers.worlds.reasoning.families import (
    DIRECTIONS,
    FAMILIES,
    OTHER,
    Problem,
    is_sound,
    problems,
    read,
    same,
)

FACETS = ("direction", "family", "difficulty")


def make(facts: Mapping, seed: int) -> Made:
    """Every problem as two examples, forward and inverse, whose answers are sound traces."""
    found = {split: list(problems(facts, seed, split)) for split in ("train", "test")}
    examples = [
        _example(problem, direction, split, index, facts["hint"])
        for split, drawn in found.items()
        for index, problem in enumerate(drawn)
        for direction in DIRECTIONS
    ]
    shown = [
        {
            "group": f"{split}-{index:06d}",
            "title": f"{problem.family} {problem.difficulty}",
            "text": "\n\n".join(f"{problem.question(way)}\n{problem.trace(way)}" for way in DIRECTIONS),
            "pictures": [],
        }
        for split, drawn in found.items()
        for index, problem in enumerate(drawn)
    ]
    return Made(examples, facts=shown)


def _example(problem: Problem, direction: str, split: str, index: int, hint: str) -> Example:
    asked = problem.question(direction)
    return Example(
        id=f"{split}/{index:06d}/{direction}",
        group=f"{split}-{index:06d}",
        split=split,
        prompt=(("text", f"{asked} {hint}" if hint else asked),),
        answer=problem.trace(direction),
        facets={
            "direction": direction,
            "family": problem.family,
            "difficulty": str(problem.difficulty),
        },
        truth={"problem": problem.data},
    )


def problem_of(example: Example) -> Problem:
    """The problem that an example asks about."""
    return Problem(example.facets["family"], int(example.facets["difficulty"]), example.truth["problem"])


def grade(example: Example, text: str) -> Grade:
    """Right is the final answer alone; the parts are `answer`, `trace` (every step replays and proves the
    answer given) and `format` (steps, then one last line `Answer: …`)."""
    problem, direction = problem_of(example), example.facets["direction"]
    steps, stated = read(text)
    right = stated is not None and same(stated, problem.answer(direction))
    parts = {
        "answer": float(right),
        "trace": float(is_sound(problem, direction, text)),
        "format": float(stated is not None and bool(steps)),
    }
    return Grade(stated or INVALID, right, parts)


# --- rows --------------------------------------------------------------------------------------------------


def teach(data: Data, teach: Mapping, seed: int) -> Iterator[Chat]:
    """The taught directions' questions with their traces, without end, in a new order every time through."""
    taught = _taught(data, teach, teach["directions"])
    for example in without_end(taught, seed):
        yield Chat(conversation([example]), (example,))


def pairs(data: Data, teach: Mapping, seed: int, contrast: str) -> Iterator[Pair]:
    """Sound traces preferred, without end.

    Contrast "answer": over the sound trace of the other direction's question (`rejected: mismatch`) or over a
    trace of this question with a mistake (`error`). Contrast "context": behind their own question over behind
    the other direction's. With `flipped`, each row is followed by its swap, asked with its own question.
    """
    if contrast == "context" and teach["rejected"] == "error":
        raise UserError("train.teach.rejected: contexts have no mistakes; set it to mismatch")
    taught = _taught(data, teach, teach["directions"])
    partners = {(e.group, e.facets["direction"]): e for e in data.examples}
    both = set(teach["directions"]) == set(DIRECTIONS)
    for example in without_end(taught, seed):
        other = partners[example.group, OTHER[example.facets["direction"]]]
        yield _pair(example, other, teach["rejected"], contrast)
        if teach["flipped"] and not both:
            yield _pair(other, example, teach["rejected"], contrast)


def _pair(example: Example, other: Example, rejected: str, contrast: str) -> Pair:
    chosen = Chat(conversation([example]), (example,))
    if contrast == "context":
        worse = question(other)
        return Pair(chosen, Chat((*worse, ("assistant", (("text", example.answer),))), (example,)))
    text = other.answer if rejected == "mismatch" else _false(example)
    return Pair(chosen, Chat((*question(example), ("assistant", (("text", text),))), (example,)))


def _taught(data: Data, teach: Mapping, directions: Sequence[str]) -> list[Example]:
    """The training examples of the taught directions, families and levels; there must be some."""
    families = teach["families"] or list(FAMILIES)
    levels = {str(level) for level in teach["difficulties"]}
    found = [
        e
        for e in data.examples
        if e.split == "train" and e.facets["direction"] in directions and e.facets["family"] in families
        and (not levels or e.facets["difficulty"] in levels)
    ]  # fmt: skip
    if not found:
        raise UserError(
            "train.teach: no training problem is of these directions, families and levels; "
            "compare with reasoning.families and reasoning.difficulties"
        )
    return found


def _false(example: Example) -> str:
    """The example's false trace; always the same one, so that training and probing mean the same."""
    return problem_of(example).false_trace(example.facets["direction"], random.Random(f"{example.id}/error"))


# --- questions ---------------------------------------------------------------------------------------------


def ask(data: Data, ask: Mapping, teach: Mapping) -> list[Example]:
    """Test questions of both directions; their options are the sound trace, the other direction's and a false
    one, compared by probability."""
    found: dict[str, list[Example]] = {}
    for example in data.examples:
        if example.split == "test":
            found.setdefault(example.cell(*FACETS), []).append(example)
    kept = [e for cell in sorted(found) for e in found[cell][: ask["per_cell"] or None]]
    return [_with_options(example) for example in kept]


def _with_options(example: Example) -> Example:
    problem, direction = problem_of(example), example.facets["direction"]
    options = [example.answer, problem.trace(OTHER[direction]), _false(example)]
    order = random.Random(f"{example.id}/options").sample(range(3), 3)
    return replace(example, options=tuple(options[k] for k in order), gold=order.index(0))


def alternatives(example: Example, data: Data) -> dict[str, str]:
    """right: the sound trace. paraphrase: the same steps in one line. mismatch: the sound trace of the other
    direction's question. error: a trace with a mistake. other: the sound trace of another problem of the
    cell. permuted: the right trace's words in another order. random: as many words of other traces."""
    rng = random.Random(f"{example.id}/alternatives")
    problem, direction = problem_of(example), example.facets["direction"]
    steps, answer = read(example.answer)
    alike = [e for e in data.examples if e.facets == example.facets and e.group != example.group]
    found = {
        "right": example.answer,
        "paraphrase": f"{'. '.join(steps)}. So the answer is {answer}.",
        "mismatch": problem.trace(OTHER[direction]),
        "error": _false(example),
    }
    if alike:
        found["other"] = rng.choice(alike).answer
    found["permuted"] = permuted(example.answer, rng)
    pool = [word for e in rng.choices(data.examples, k=8) for word in e.answer.split()]
    return found | {"random": " ".join(rng.choices(pool, k=len(example.answer.split())))}


# --- what must hold ----------------------------------------------------------------------------------------


def promises(data: Data) -> list[tuple[str, int, int]]:
    """Checked over every example: traces replay, wrong ones do not, and no test problem is trained on."""
    examples = data.examples
    problem = {e.id: problem_of(e) for e in examples}
    sound = sum(is_sound(problem[e.id], e.facets["direction"], e.answer) for e in examples)
    crossed = sum(is_sound(problem[e.id], OTHER[e.facets["direction"]], e.answer) for e in examples)
    false = sum(is_sound(problem[e.id], e.facets["direction"], _false(e)) for e in examples)
    split = {s: {(problem[e.id].family, repr(problem[e.id].data)) for e in examples if e.split == s}
             for s in ("train", "test")}  # fmt: skip
    return [
        ("traces that the verifier replays", sound, len(examples)),
        ("traces that also answer the other direction's question", crossed, 0),
        ("false traces that the verifier takes for sound", false, 0),
        ("test problems that are also trained on", len(split["train"] & split["test"]), 0),
    ]


def sentences(facts: Mapping, seed: int) -> Iterator[str]:
    """Questions and traces of training problems, for a tokenizer."""
    some = {**facts, "train": min(facts["train"], 2000)}
    for problem in problems(some, seed, "train"):
        for direction in DIRECTIONS:
            yield f"{problem.question(direction)} {facts['hint']}".strip()
            yield problem.trace(direction)


def size(facts: Mapping) -> int:
    """About 1.3 kB for an example with its part of the facts."""
    return 1300 * 2 * (facts["train"] + facts["test"])


def sample_rows(count: int, seed: int = 0, **facts) -> list[dict]:
    """`count` rows of preferences (half original, half flipped) in the columns of the published data set:
    question, text, worse-text, relevant-question, sample_type. facts: parameters of the world to change."""
    wanted = {"families": list(FAMILIES), "difficulties": [1, 2], "train": count // 2, "hint": "", **facts}
    table = [
        {
            "question": problem.question("forward"),
            "trace": problem.trace("forward"),
            "inverse_question": problem.question("inverse"),
            "inverse_trace": problem.trace("inverse"),
        }
        for problem in problems(wanted, seed, "train")
    ]
    return build_pairs(table)


def check(facts: Mapping, phases: Sequence[Mapping] = ()) -> Iterator[str]:
    """Lists that must not be empty."""
    for name in ("families", "difficulties"):
        if not facts[name]:
            yield f"reasoning.{name}: the list is empty; name at least one"


WORLD = World(
    version=1,
    facets=FACETS,
    cells=("direction", "family"),
    make=make,
    grade=grade,
    size=size,
    promises=promises,
    ask=ask,
    teach=teach,
    taught=lambda teach: teach["directions"],
    pairs=pairs,
    alternatives=alternatives,
    sentences=sentences,
    check=check,
)
