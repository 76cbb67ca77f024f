"""The families of problems, and what they all share: problems drawn without leaks, traces sound and false."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks import parsing
from mmrc_helpers.worlds.reasoning import arithmetic, replay, symbols

DIRECTIONS = ("forward", "inverse")
OTHER = {"forward": "inverse", "inverse": "forward"}
TRIES = 400  # draws without a new problem after which a family counts as used up


@dataclass(frozen=True)
class Family:
    """Problems of one form with an exact inverse. draw: (rng, difficulty) → the problem, plain data. ask:
    (problem, direction) → question. solve: (problem, direction, slip) → steps and answer."""

    draw: Callable[[random.Random, int], dict]
    ask: Callable[[dict, str], str]
    solve: Callable


FAMILIES = {
    "sums": Family(arithmetic.draw_sum, arithmetic.ask_sum, arithmetic.solve_sum),
    "kinship": Family(symbols.draw_kinship, symbols.ask_kinship, symbols.solve_kinship),
    "units": Family(arithmetic.draw_units, arithmetic.ask_units, arithmetic.solve_units),
    "ordering": Family(symbols.draw_ordering, symbols.ask_ordering, symbols.solve_ordering),
    "modular": Family(arithmetic.draw_modular, arithmetic.ask_modular, arithmetic.solve_modular),
    "rewriting": Family(symbols.draw_rewriting, symbols.ask_rewriting, symbols.solve_rewriting),
    "chains": Family(arithmetic.draw_chain, arithmetic.ask_chain, arithmetic.solve_chain),
}


@dataclass(frozen=True)
class Problem:
    """One problem with its place: family, difficulty and the data that says what it is."""

    family: str
    difficulty: int
    data: dict

    def question(self, direction: str) -> str:
        return FAMILIES[self.family].ask(self.data, direction)

    def answer(self, direction: str) -> str:
        return FAMILIES[self.family].solve(self.data, direction, None)[1]

    def trace(self, direction: str) -> str:
        """The sound trace: a step a line, then the answer."""
        return written(*FAMILIES[self.family].solve(self.data, direction, None))

    def false_trace(self, direction: str, rng: random.Random) -> str:
        """A trace with one wrong step, whose mistake is carried on to a wrong answer."""
        steps, right = FAMILIES[self.family].solve(self.data, direction, None)
        while True:
            slip = (rng.randrange(len(steps)), rng)
            found = FAMILIES[self.family].solve(self.data, direction, slip)
            if found and found[1] != right:
                return written(*found)


def written(steps: list[str], answer: str) -> str:
    """A trace as text."""
    return "\n".join([*steps, f"Answer: {answer}"])


def problems(facts: Mapping, seed: int, split: str) -> Iterator[Problem]:
    """`facts[split]` different problems, families and difficulties in turn.

    Which split a problem may be in is decided by a hash of what it is, so no test problem is ever trained on,
    whatever the seed and the counts. Raises UserError when a family has too few.
    """
    seen: set[str] = set()
    families, levels = facts["families"], facts["difficulties"]
    for index in range(facts[split]):
        family = families[index % len(families)]
        difficulty = levels[index // len(families) % len(levels)]
        rng = random.Random(f"{seed}/{split}/{index}")
        for _ in range(TRIES):
            data = FAMILIES[family].draw(rng, difficulty)
            key = json.dumps([family, data])
            if side(key) == split and key not in seen:
                break
        else:
            raise UserError(
                f"reasoning.{split}: {facts[split]} problems are asked for, but after {len(seen)} there are "
                f"no new ones of {family} at difficulty {difficulty}; ask for fewer, or for more families "
                "or levels"
            )
        seen.add(key)
        yield Problem(family, difficulty, data)


def side(key: str) -> str:
    """The split that a problem belongs to: a quarter of all problems are for tests."""
    return "test" if hashlib.blake2b(key.encode(), digest_size=4).digest()[0] < 64 else "train"


def read(trace: str) -> tuple[list[str], str | None]:
    """The steps of a trace and its answer; None unless it ends in the one line that gives it."""
    lines = [line.strip() for line in trace.strip().splitlines() if line.strip()]
    return lines[:-1], parsing.answer_line(trace)


def same(one: str, other: str) -> bool:
    """Whether two answers are one: numbers by value, words as they are written, with or without a full
    stop."""
    values = parsing.number(one), parsing.number(other)
    if values[0] is not None and values[1] is not None:
        return values[0] == values[1]
    return one.strip().removesuffix(".") == other.strip().removesuffix(".")


def is_sound(problem: Problem, direction: str, trace: str) -> bool:
    """Whether every step holds for this question and the steps prove the answer that the trace ends in."""
    steps, stated = read(trace)
    found = replay.proven(problem.family, problem.data, direction, steps)
    return found is not None and stated is not None and same(found, stated)
