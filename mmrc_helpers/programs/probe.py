"""Probe a model and a folder of adapters on every row of a user's file: `deepspeed --module
mmrc_helpers.programs.probe FOLDER`, where FOLDER holds recipe.json.

The work is cut into units, an adapter and some rows each; every process takes every k-th one, and what an
interrupted try left is kept.
"""

from pathlib import Path

import torch

from mmrc_helpers.dynamics import adapters
from mmrc_helpers.dynamics.prober import UNIT, merge, part_path
from mmrc_helpers.execution import worker
from mmrc_helpers.models import load
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.models.features import open_pictures, place_of
from mmrc_helpers.store import files, folders
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.worlds.folder import read_data


@torch.no_grad()
def main(folder: Path) -> None:
    """Write dynamics/logprobs.parquet: a row for every probe point, row of the file and side of it."""
    recipe = folders.read_recipe(folder)
    params, machine = recipe["params"], recipe["machine"]
    device = load.device_of(machine)
    if device.type == "cpu":
        torch.set_num_threads(1)  # sums then run in the same order for any number of processes
    source = folders.input_folder(folder, "data")
    examples = sorted(
        read_data(source).examples, key=lambda e: len(e.answer)
    )  # neighbours pad each other little
    chunks = [examples[first : first + UNIT] for first in range(0, len(examples), UNIT)]
    paths = {name: Path(machine["adapters_folder"]) / name for name in params["adapters"]}
    weights = load.downloaded(params["model"], machine)
    model = load.load_model(weights, params["model"]).to(device).eval()
    load.choose_attention(model, device)
    processor = load.load_processor(weights, params["model"])
    names = sorted({name for example in examples for name in example.pictures})
    frozen = None if adapters.touch_vision(paths) else model
    pictures = open_pictures(Shards(source), names, processor, frozen, device, *place_of(machine))
    encoder = Encoder(processor, pictures)
    files.make_folder(folder / "dynamics" / "parts")
    for number, point in enumerate(params["points"]):
        units = {k: part_path(folder, point["step"], f"{k:04}") for k in range(len(chunks))
                 if (number * len(chunks) + k) % worker.world_size() == worker.rank()}  # fmt: skip
        left = {k: path for k, path in units.items() if not path.is_file()}
        if left and point["checkpoint"] in paths:
            model = adapters.put_on(model, paths[point["checkpoint"]])
        for k, path in left.items():
            rows = adapters.rows_of(model, encoder, chunks[k], machine["micro_batch"], device)
            files.write_json(path, {"logprobs": [{**point, **row} for row in rows]})
            worker.progress(number + 1, len(params["points"]), checkpoint=point["checkpoint"])
    worker.wait_for_all()
    if worker.rank() == 0:
        merge(folder)


if __name__ == "__main__":
    worker.run_main(main)
