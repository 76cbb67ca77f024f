"""Look at a downloaded model before anything is made from it: its files, tokenizer, processor, chat
template, and the names and shapes of its weights. Runs as `python -m`."""

from pathlib import Path

from mmrc_helpers.execution import worker
from mmrc_helpers.models.load import check_whole, downloaded
from mmrc_helpers.store import folders


def main(folder: Path) -> None:
    """Raises UserError that lists all that is wrong with the model of the recipe."""
    recipe = folders.read_recipe(folder)
    model = recipe["params"]["model"]
    check_whole(downloaded(model, recipe["machine"]), model)


if __name__ == "__main__":
    worker.run_main(main)
