"""World `grids`: find a way that collects every object and enters no obstacle (Grid Navigation).

The answer records a depth-first search; grading replays its moves and never asks for that particular way.
"""

import random
import re
from collections.abc import Iterator, Mapping

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.grids.drawing import draw
from mmrc_helpers.worlds.grids.grading import STEPS, grade, replay
from mmrc_helpers.worlds.grids.instances import (
    LETTERS,
    OBJECTS,
    OBSTACLES,
    START_NAME,
    content,
    pools,
    problems,
)
from mmrc_helpers.worlds.grids.words import blocks, views
from mmrc_helpers.worlds.puzzles import asking, puzzle_world


def alternatives(example: Example, data: Data) -> Mapping[str, str]:
    """right; wrong: one move turned, so that the way fails; format_only: cells, names and moves random;
    random: the words of the right answer in random order."""
    rng = random.Random(f"alternatives/{example.id}")
    return {
        "right": example.answer,
        "wrong": miss(example, rng),
        "format_only": _refilled(example.answer, _letters(example), rng),
        "random": asking.reordered(example.answer, rng),
    }


def miss(example: Example, rng: random.Random) -> str:
    """The answer with one move turned to another direction, such that the way no longer is right."""
    transcription, reasoning, final = blocks(example.answer)
    moves = final.split()[1:]
    grid = [row.split(" ") for row in example.truth["grid"]]
    turned = [(place, move) for place in range(len(moves)) for move in STEPS if move != moves[place]]
    for place, move in rng.sample(turned, len(turned)):
        other = [*moves[:place], move, *moves[place + 1 :]]
        if min(replay(grid, other).values()) < 1:
            return f"{transcription}{reasoning}Answer: {' '.join(other)}"
    raise ValueError(f"{example.id}: every way of {len(moves)} moves is right")


def _letters(example: Example) -> str:
    """The letters of rows and columns, or a dozen, if there are fewer."""
    grid = [row.split(" ") for row in example.truth["grid"]]
    return LETTERS[: max(12, len(grid), len(grid[0]))]


def _refilled(text: str, letters: str, rng: random.Random) -> str:
    """The text with every move, symbol and letter of a cell replaced by a random one of its kind."""
    kinds = (tuple(STEPS), (*OBJECTS, *OBSTACLES), tuple(letters))
    of = {word: kind for kind in kinds for word in kind}
    return re.sub(r"\b\w+\b", lambda m: rng.choice(of[m[0]]) if m[0] in of else m[0], text)


def promises(data: Data) -> Iterator[tuple[str, int, int]]:
    """What holds in every puzzle world; and starts lie above and left of the middle as often as below and
    right, within five deviations and a hundredth."""
    yield from asking.promised(data, grade, lambda example: content(example.truth))
    grids = {example.group: [row.split(" ") for row in example.truth["grid"]] for example in data.examples}
    off = 0
    for axis in (0, 1):
        places = [_start(grid)[axis] * 2 - (len(grid), len(grid[0]))[axis] + 1 for grid in grids.values()]
        before, after = sum(place < 0 for place in places), sum(place > 0 for place in places)
        off += abs(before - after) > 5 * (before + after) ** 0.5 + (before + after) / 100
    yield "directions in which starts lie off the middle", off, 0


def _start(grid: list[list[str]]) -> tuple[int, int]:
    return next((r, row.index(START_NAME)) for r, row in enumerate(grid) if START_NAME in row)


def words_of(facts: Mapping) -> tuple[str, ...]:
    """Every word that questions and answers can have."""
    objects, obstacles = pools(facts)
    letters = LETTERS[: max(facts["rows"][1], facts["columns"][1])]
    return (*objects, *obstacles, *letters, *STEPS, "S", "D", "O")


WORLD = puzzle_world(
    version=2,  # of equally near objects the upper, then the left is next; in 1 a draw decided
    views=views,
    draw=draw,
    words=words_of,
    blocks=blocks,
    miss=miss,
    grade=grade,
    alternatives=alternatives,
    promises=promises,
    check=problems,
)
