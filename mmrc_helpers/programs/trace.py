"""Probe the adapters that a training phase kept: `deepspeed --module mmrc_helpers.programs.trace FOLDER`,
where FOLDER holds recipe.json.

Every process takes every k-th unit of a probe point; units that an interrupted try left are kept.
"""

from pathlib import Path

import torch

from mmrc_helpers.dynamics.points import spread
from mmrc_helpers.dynamics.prober import Prober, merge, snapshot_folder
from mmrc_helpers.execution import worker
from mmrc_helpers.models import load
from mmrc_helpers.store import files, folders


def main(folder: Path) -> None:
    """Write the tables of `traces` for every snapshot of the training stage."""
    recipe = folders.read_recipe(folder)
    params, machine = recipe["params"], recipe["machine"]
    device = load.device_of(machine)
    if device.type == "cpu":
        torch.set_num_threads(1)  # sums then run in the same order for any number of processes
    trained, data = folders.input_folder(folder, "train"), folders.input_folder(folder, "data")
    points = files.read_json(trained / "dynamics" / "points.json")
    compared = spread([point["step"] for point in points], params["dynamics"]["gradients"])
    weights, _ = load.starting_point(folder, recipe)
    first = snapshot_folder(trained, points[0]["step"])
    quick = machine["linear_patches"]
    model = load.load_model(weights, params["model"], first, True, quick).to(device)
    load.choose_attention(model, device)
    processor = load.load_processor(weights, params["model"])
    prober = Prober(model, processor, data, params, device, machine)
    for number, point in enumerate(points, 1):
        load.load_adapter(model, snapshot_folder(trained, point["step"]))
        prober.write(folder, point, point["step"] in compared, anew=False)
        worker.progress(number, len(points))
    worker.wait_for_all()
    if worker.rank() == 0:
        merge(folder)


if __name__ == "__main__":
    worker.run_main(main)
