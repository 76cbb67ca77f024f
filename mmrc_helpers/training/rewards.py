"""GRPO's reward: the parts of the world's grade, weighted as the study says and logged apart."""

from collections.abc import Callable
from functools import lru_cache

from mmrc_helpers.errors import check_known
from mmrc_helpers.tasks.example import answer_of
from mmrc_helpers.training.phase import Phase

RIGHT = "right"  # the one bit that tables count
LOOKED_AT = 256  # tasks that are graded to learn which parts there are


def rewards_of(phase: Phase) -> tuple[list[Callable], list[float]]:
    """Functions as TRL's trainer calls them, one for each part of the grade, and their weights (0 for parts
    that are only logged). Raises UserError for a part that the world's grade does not have."""

    @lru_cache(maxsize=1 << 14)
    def graded(row: int, text: str) -> dict[str, float]:
        grade = phase.grade(phase.rows[row].example, text)
        return {RIGHT: float(grade.right), **grade.parts}

    looked_at = range(min(LOOKED_AT, len(phase.rows)))
    parts = {name for row in looked_at for name in graded(row, answer_of(phase.rows[row].example))}
    weights = dict(phase.method["weights"]) or {RIGHT: 1.0}
    for name in weights:
        check_known(name, sorted(parts), "grpo.weights:")
    names = [RIGHT, *sorted(parts - {RIGHT})]
    functions = [_named(name, lambda row, text, name=name: graded(row, text).get(name)) for name in names]
    given = [float(weights.get(name, 0.0)) for name in names]
    if cost := phase.method["length_cost"]:
        functions.append(_length_cost(phase.method["max_new_tokens"], phase.method["length_free"]))
        given.append(cost)
    return functions, given


def _named(name: str, value: Callable[[int, str], float | None]) -> Callable:
    """A reward function called `name`; TRL logs it under that."""

    def reward(completions, row, **_):
        return [value(k, said[-1]["content"]) for k, said in zip(row, completions, strict=True)]

    reward.__name__ = name
    return reward


def _length_cost(most: int, free: float) -> Callable:
    """Falls from 0 to -1 while an answer grows from a share `free` of `most` tokens to all of them."""

    def length_cost(completion_ids, **_):
        return [-max(0.0, len(ids) / most - free) / (1.0 - free) for ids in completion_ids]

    return length_cost
