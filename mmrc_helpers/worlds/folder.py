"""A data folder as a world reads it again: examples and facts."""

from pathlib import Path

from mmrc_helpers.errors import UserError, check_file_name, show
from mmrc_helpers.store import files
from mmrc_helpers.tasks.example import read_examples
from mmrc_helpers.worlds import Data


def read_data(folder: Path, split: str | None = None) -> Data:
    """The examples, of one split if wanted, and the facts of a finished data folder. Raises UserError naming
    a damaged file and the command that makes it again."""
    return Data(read_examples(folder / "examples.jsonl", split), read_facts(folder))


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
