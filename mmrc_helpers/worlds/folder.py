"""A data folder as a world reads it again: examples and facts."""

import gc
from collections.abc import Iterator
from pathlib import Path

from mmrc_helpers.errors import UserError, check_file_name, show
from mmrc_helpers.store import files, folders
from mmrc_helpers.tasks.example import read_examples
from mmrc_helpers.worlds import WORLDS, Data, World


def read_data(folder: Path, split: str | None = None) -> Data:
    """The examples, of one split if wanted, and the facts of a finished data folder. Raises UserError naming
    a damaged file and the command that makes it again."""
    with files.nothing_is_garbage():
        found = Data(read_examples(folder / "examples.jsonl", split), read_facts(folder))
    gc.freeze()  # they stay, so that no later collection looks through them either
    return found


def world_of(folder: Path) -> World:
    """The world whose data lie in a folder."""
    return WORLDS[folders.read_recipe(folder)["params"]["world"]["name"]]


def sentences_of(folder: Path) -> Iterator[str]:
    """Everything that the world of a finished data folder can say, for a tokenizer of its own."""
    made = folders.read_recipe(folder)
    world = made["params"]["world"]
    return WORLDS[world["name"]].sentences(world["facts"], made["seed"])


def read_facts(folder: Path) -> list[dict]:
    """The facts of a finished data folder: rows with group, title, text, pictures and what the world adds."""
    path = folder / "facts.jsonl"
    facts = files.read_jsonl(path)
    for number, fact in enumerate(facts, 1):
        if not isinstance(fact, dict) or not {"group", "title", "text", "pictures"} <= set(fact):
            raise UserError(
                f"{show(path)}, line {number}: not a whole fact; make the data again: --redo data"
            )
        for name in (fact["group"], *fact["pictures"]):
            check_file_name(name, show(path))
    return facts
