"""Probe the adapters that a training phase kept: `deepspeed --module mmrc_helpers.dynamics FOLDER`, where
FOLDER holds recipe.json.

Every process takes every k-th unit of a probe point; units that an interrupted try left are kept.
"""

from pathlib import Path

import torch

from mmrc_helpers import launch, models, probes, store
from mmrc_helpers.probing import Prober, merge, snapshot_folder


def main(folder: Path) -> None:
    """Write the tables of `traces` for every snapshot of the training stage."""
    recipe = store.read_recipe(folder)
    params, machine = recipe["params"], recipe["machine"]
    device = models.device_of(machine)
    if device.type == "cpu":
        torch.set_num_threads(1)  # sums then run in the same order for any number of processes
    trained, data = store.input_folder(folder, "train"), store.input_folder(folder, "data")
    points = store.read_json(trained / "dynamics" / "points.json")
    compared = probes.spread([point["step"] for point in points], params["dynamics"]["gradients"])
    weights, _ = models.starting_point(folder, recipe)
    first = snapshot_folder(trained, points[0]["step"])
    model = models.load_model(weights, params["model"], first, trainable=True).to(device)
    models.choose_attention(model, device)
    processor = models.load_processor(weights, params["model"])
    batch = machine["micro_batch"]
    prober = Prober(model, processor, data, params["train"], params["dynamics"], device, batch)
    for number, point in enumerate(points, 1):
        models.load_adapter(model, snapshot_folder(trained, point["step"]))
        prober.write(folder, point, point["step"] in compared, anew=False)
        launch.progress(number, len(points))
    launch.wait_for_all()
    if launch.rank() == 0:
        merge(folder)


if __name__ == "__main__":
    launch.run_main(main)
