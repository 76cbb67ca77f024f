"""Parameters of the puzzle worlds for tests: the defaults of params/worlds, and sizes for tests."""

import copy
from pathlib import Path

import yaml

PARAMS = Path(__file__).parents[2] / "params" / "worlds"

# What makes a world small, by dotted name.
SMALL = {
    "tables": {
        "facts.picture": [96, 96], "facts.labels": "letters", "facts.numbers": "digits",
        "facts.style": "terse", "facts.products": 12, "facts.readout.rows": [5, 6],
        "facts.readout.columns": [5, 6],
    },
    "grids": {
        "facts.picture": [96, 96], "facts.style": "terse", "facts.rows": [5, 6], "facts.columns": [5, 6],
        "facts.states.simple": [4, 10], "facts.states.hard": [11, 30], "facts.objects.hard": [2, 3],
        "facts.obstacle_kinds.hard": [2, 3], "facts.object_pool": 8, "facts.obstacle_pool": 3,
    },
}  # fmt: skip


def sections(world: str, instances: int = 0, small: bool = False, **changes) -> dict:
    """The sections facts, teach and ask of a world. instances: of simple and hard in either split; 0: as they
    are. changes: dotted names with __ for the dots."""
    found = copy.deepcopy(yaml.safe_load((PARAMS / f"{world}.yaml").read_text(encoding="utf-8")))
    every = {f"facts.{split}.{d}": instances for split in ("train", "test") for d in ("simple", "hard")}
    changed = {**(every if instances else {}), **(SMALL[world] if small else {})}
    changed |= {name.replace("__", "."): value for name, value in changes.items()}
    for name, value in changed.items():
        node, *path = found, *name.split(".")
        for key in path[:-1]:
            node = node[key]
        assert path[-1] in node, name
        node[path[-1]] = value
    return found
