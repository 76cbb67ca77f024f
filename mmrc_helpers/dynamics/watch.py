"""Looks at a model while a trainer trains it: probes it, or keeps its adapter to be probed afterwards."""

import time
from collections.abc import Mapping
from pathlib import Path

import deepspeed
import numpy as np
from transformers import TrainerCallback

from mmrc_helpers.dynamics import points
from mmrc_helpers.dynamics.prober import Prober, snapshot_folder
from mmrc_helpers.execution import worker
from mmrc_helpers.models import load
from mmrc_helpers.models.encode import Tokens
from mmrc_helpers.store import files, folders
from mmrc_helpers.tasks.rows import Row, is_replayed


class Watch(TrainerCallback):
    """Probes the model at the probe points of the recipe's dynamics section, or keeps its adapter for later.

    Under ZeRO-3 only the latter: no process has the whole model between steps. Without the section, nothing.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Mapping,
        model,
        processor,
        rows: list[Row],
        tokens: list[tuple[Tokens, ...]],
    ):
        self.folder, self.points, self.prober, self.seconds = folder, {}, None, 0.0
        train, machine = recipe["params"]["train"], recipe["machine"]
        if not (dynamics := recipe["params"].get("dynamics")):
            return
        counts = [
            0 if is_replayed(row) else sum(int(t.supervised_T.sum()) for t in of_row)
            for row, of_row in zip(rows, tokens, strict=True)
        ]
        taught = np.cumsum([0, *counts])
        steps = points.schedule(len(rows) // train["batch"], dynamics)
        self.points = {
            step: {
                "step": step,
                "supervised_tokens": int(taught[step * train["batch"]]),
                "phase": dynamics["phase"],
            }
            for step in steps
        }
        if worker.rank() == 0:
            files.make_folder(folder / "dynamics")
            files.write_json(folder / "dynamics" / "points.json", list(self.points.values()))
        if dynamics["snapshots"]:
            return
        self.compared = points.spread(steps, dynamics["gradients"])
        source, device = folders.input_folder(folder, "data"), load.device_of(machine)
        self.prober = Prober(model, processor, source, recipe["params"], device, machine)

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.look(model, state.global_step)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.look(model, state.global_step)

    def look(self, model, step: int) -> None:
        """Probes or keeps the model if this is a probe point."""
        if step not in self.points:
            return
        began = time.perf_counter()
        if self.prober:
            self.prober.write(self.folder, self.points[step], step in self.compared)
        else:
            # Shards come together on every process; whole weights are left as they are.
            adapter = [weight for weight in model.parameters() if weight.requires_grad]
            with deepspeed.zero.GatheredParameters(adapter):
                if worker.rank() == 0:
                    model.save_pretrained(snapshot_folder(self.folder, step))
        self.seconds += time.perf_counter() - began
