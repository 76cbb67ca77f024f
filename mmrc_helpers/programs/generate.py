"""Make a data folder: draw the pictures of a world and write its facts and questions. Runs as `python -m`, no
torch."""

from pathlib import Path

from mmrc_helpers.execution import worker
from mmrc_helpers.store import cards, files, folders
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
    files.write_text(folder / "examples.jsonl", map(example_line, made.examples))
    files.write_jsonl(folder / "facts.jsonl", made.facts)
    cards.write_data_card(folder, recipe)


if __name__ == "__main__":
    worker.run_main(main)
