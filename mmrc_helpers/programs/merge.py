"""Merge the adapter of a trained run into full weights: `python -m mmrc_helpers.programs.merge FOLDER`, where
FOLDER holds recipe.json and becomes the folder of the model."""

from pathlib import Path

from mmrc_helpers.execution import worker
from mmrc_helpers.models import load, merge
from mmrc_helpers.store import folders


def main(folder: Path) -> dict:
    """Write the model into the folder. Returns by how much its logits differ from those with the adapter."""
    recipe = folders.read_recipe(folder)
    weights, adapter = load.starting_point(folder, recipe)
    difference = merge.write_merged(weights, recipe["params"]["model"], adapter, folder)
    return {"logits_differ": difference}


if __name__ == "__main__":
    worker.run_main(main)
