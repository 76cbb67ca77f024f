"""Look at a downloaded model before anything is made from it: its files, tokenizer, processor, chat
template, and the names and shapes of its weights. Runs as `python -m`."""

from pathlib import Path

from mmrc_helpers.execution import worker
from mmrc_helpers.models.load import check_whole, downloaded, lora_layers
from mmrc_helpers.store import folders


def main(folder: Path) -> None:
    """Raises UserError that lists all that is wrong with the model of the recipe and what its phases want of
    it."""
    recipe = folders.read_recipe(folder)
    model = recipe["params"]["model"]
    loaded = check_whole(downloaded(model, recipe["machine"]), model)
    for phase in recipe["params"]["phases"]:
        if phase["lora_r"]:
            lora_layers(loaded, phase)


if __name__ == "__main__":
    worker.run_main(main)
