"""Put a model together of others: `python -m mmrc_helpers.programs.assemble FOLDER`; FOLDER holds recipe.json
and becomes the folder of the model."""

from pathlib import Path

from mmrc_helpers.execution import worker
from mmrc_helpers.models import new_tower, two_encoders
from mmrc_helpers.store import folders


def main(folder: Path) -> None:
    """Write the model into the folder."""
    recipe = folders.read_recipe(folder)
    params, parts = recipe["params"], {name: Path(place) for name, place in recipe["inputs"].items()}
    if "tower" in params:
        new_tower.write_assembled(**parts, to=folder, sizes=params["tower"], seed=recipe["seed"])
    else:
        two_encoders.write_assembled(**parts, to=folder, cells=params["cells"])


if __name__ == "__main__":
    worker.run_main(main)
