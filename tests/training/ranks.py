"""One phase over a toy in one of several processes, as a launcher starts them:
python -m torch.distributed.run … tests/training/ranks.py FOLDER, with settings.json in the folder."""

import json
import sys
from pathlib import Path

import torch
from models.loaded import Toy
from training.phases import MACHINE, TRAIN, defaults, phase_of, started, trainer_of

from mmrc_helpers.execution.machine import zero_settings
from mmrc_helpers.models import load
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.training.phase import arguments_of, begin_exchange, whole


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    told = json.loads((folder / "settings.json").read_text())
    machine = {**defaults("base")["machine"], **MACHINE, **told["machine"]}
    machine["deepspeed"] = zero_settings(machine)
    train = {**defaults("base")["train"], **TRAIN, **told["train"], "method": told["own"]}
    held = begin_exchange(machine, arguments_of(folder, train, machine, 0))
    toy = Toy(told["family"], folder.parent / told["family"], Shards(folder.parent))
    with whole(load.vision_part(toy.model)):
        assert toy.frozen.pictures.groups
    model = started(toy, train, toy.model)
    phase = phase_of(
        toy, folder, told["method"], own=told["own"], machine=machine, model=model, **told["train"]
    )
    trainer = trainer_of(phase)
    trainer.train()
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(folder / "saved"))
    assert held.max_steps == train["steps"]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main(Path(sys.argv[1]))
