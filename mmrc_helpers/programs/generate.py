"""Make a data folder: draw the pictures of a world and write its facts and questions. Runs as `python -m`, no
torch."""

from collections.abc import Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError, listed
from mmrc_helpers.execution import worker
from mmrc_helpers.store import cards, disk, files, folders
from mmrc_helpers.store.pictures import write_shards
from mmrc_helpers.tasks.example import example_line
from mmrc_helpers.worlds import WORLDS


def main(folder: Path) -> None:
    """Fill the stage folder with pictures/, examples.jsonl, facts.jsonl and a card; whole shards are kept."""
    recipe = folders.read_recipe(folder)
    world, machine = recipe["params"]["world"], recipe["machine"]
    made = WORLDS[world["name"]].make(world["facts"], recipe["seed"])
    if made.draw is not None:
        write_shards(folder, made.pictures, made.draw, machine["threads"], worker.progress)
    check_unchanged(recipe["params"].get("files", {}))
    files.write_text(folder / "examples.jsonl", map(example_line, made.examples))
    files.write_jsonl(folder / "facts.jsonl", made.facts)
    cards.write_data_card(folder, recipe)


def check_unchanged(sums: Mapping[str, str]) -> None:
    """Raises UserError if the user's files are no longer those that the folder's key was made from."""
    changed = [
        path for path, was in sums.items() if not Path(path).is_file() or disk.checksum(Path(path)) != was
    ]
    if changed:
        raise UserError(f"{listed(changed[:3])}: changed while data were made of it; start the study again")


if __name__ == "__main__":
    worker.run_main(main)
