"""What the tests of analogies share: parameters, small data, puzzles and examples made once."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.analogies import WORLD, instances, values, views

PARAMETERS = yaml.safe_load((Path(__file__).parents[2] / "params/worlds/analogies.yaml").read_text())
FACTS, TEACH, ASK = (PARAMETERS[section] for section in ("facts", "teach", "ask"))
FEW = {
    "train": {"simple": 12, "medium": 0, "hard": 12},
    "test": {"simple": 6, "medium": 0, "hard": 6},
    "picture": [128, 144],
}


def facts(**changes) -> dict:
    return FACTS | FEW | changes


def made(**changes) -> Data:
    world = WORLD.make(facts(**changes), 0)
    return Data(list(world.examples), world.facts)


_drawn: dict[tuple, list[values.Puzzle]] = {}  # as many as were asked for so far


def puzzles_of(difficulty: str, count: int, fair: bool = True, split: str = "train") -> list[values.Puzzle]:
    """The first puzzles of a kind; each is drawn once."""
    room, drawn = values.room_of(FACTS), _drawn.setdefault((difficulty, fair, split), [])
    for index in range(len(drawn), count):
        drawn.append(instances.puzzle_of(room, 3, (difficulty, split, index), fair))
    return drawn[:count]


@cache
def examples_of(difficulty: str, count: int, style: str = "full") -> list[Example]:
    """The examples of all views of the first training instances."""
    return list(examples_made(difficulty, count, style))


def examples_made(difficulty: str, count: int, style: str) -> Iterator[Example]:
    """The same, made while they are read."""
    for index in range(count):
        yield from views(facts(style=style), 2, (difficulty, "train", index))
