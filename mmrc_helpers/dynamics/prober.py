"""Probes of a model while it trains, or of the adapters it left: log-probabilities, storage, gradients.

A probe only looks: no dropout, no random numbers, no `.grad`; so training with and without it ends in the
same weights. Work is cut into units, each a file in `dynamics/parts/` that is there whole or not at all.
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mmrc_helpers.dynamics import gradients, observing, points
from mmrc_helpers.execution import worker
from mmrc_helpers.models import load, score
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.models.features import open_pictures, place_of
from mmrc_helpers.store import files, tables
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.tasks.example import Example, conversation, question
from mmrc_helpers.worlds.folder import read_data, world_of

UNIT = 16  # questions of a unit


class Prober:
    """A model with everything needed to probe it, again and again while its weights change."""

    def __init__(
        self, model, processor, source: Path, params: Mapping, device: torch.device, machine: Mapping
    ):
        """source: the finished data stage. params: the stage's, of which `model`, `train` (teach,
        freeze_vision), `ask` and `dynamics` are read.

        Must be made before a trainer takes the model: a trainer wraps `forward` in the autocast of training,
        while a probe reads the weights in their own precision, as evaluation does.
        """
        self.model, self.forward, self.device = model, model.forward, device
        self.batch = machine["micro_batch"]  # rows of a forward pass
        self.world = world_of(source)
        self.data = read_data(source, "test")
        asked = self.world.ask(self.data, params["ask"], params["train"]["teach"])
        self.chosen = points.chosen(self.world, asked, params["dynamics"]["examples"])
        lineups = {example.id for example in self.chosen}
        self.bindings = [example for example in asked if example.truth.get("lineup") in lineups]
        names = sorted({name for e in (*self.chosen, *self.bindings) for name in e.pictures})
        frozen = load.base_model(model) if params["train"]["freeze_vision"] else None
        shards = Shards(source, params["model"].get("max_image_size", 0))
        pictures = open_pictures(shards, names, processor, frozen, device, *place_of(machine))
        self.encoder = Encoder(processor, pictures)

    def write(self, folder: Path, point: Mapping, compared: bool, anew: bool = True) -> None:
        """Probes the model as it is and writes this process's share of the units into `folder`/dynamics.

        point: step, supervised_tokens and phase. anew: also write units that are there already, because
        training that was resumed comes by here a second time.
        """
        units = self.units(folder, point["step"], compared)
        for number, (path, make) in enumerate(units.items()):
            if number % worker.world_size() == worker.rank() and (anew or not path.is_file()):
                with _only_looking(self.model, self.device):
                    made = make()
                files.make_folder(path.parent)
                files.write_json(path, {name: [point | row for row in rows] for name, rows in made.items()})
                worker.beat()

    def units(self, folder: Path, step: int, compared: bool) -> dict[Path, Callable[[], dict]]:
        """File → what makes its tables, for one step."""
        chunks = [self.chosen[first : first + UNIT] for first in range(0, len(self.chosen), UNIT)]
        units = {
            part_path(folder, step, f"{k:04}"): partial(self.answers, chunk) for k, chunk in enumerate(chunks)
        }
        return units | ({part_path(folder, step, "gradients"): self.gradients} if compared else {})

    def answers(self, chunk: Sequence[Example]) -> dict[str, list[dict]]:
        """Rows of the tables "logprobs" and "storage", without the point."""
        asked, requests = [], []
        for example in chunk:
            for kind, text in self.world.alternatives(example, self.data).items():
                asked.append((example, kind))
                requests.append((question(example), text))
        return {
            "logprobs": [
                {**_facts(e), "candidate": kind, **row}
                for (e, kind), row in zip(asked, self.observed(requests), strict=True)
            ],
            "storage": self.storage(chunk),
        }

    def observed(self, requests: Sequence[score.Request]) -> list[dict]:
        """What is seen along the answer of every request."""
        return observing.observed(
            self.forward, self.model.dtype, self.encoder, requests, self.batch, self.device
        )

    def storage(self, chunk: Sequence[Example]) -> list[dict]:
        """The naming probe of every line-up: which of its pictures the model binds to the name."""
        asked = {e.id: [b for b in self.bindings if b.truth["lineup"] == e.id] for e in chunk}
        requests = [(question(b), name) for group in asked.values() for b in group for name in b.options]
        logprobs = iter(row["logp_sum"] for row in self.observed(requests) if requests)
        rows = []
        for e in chunk:
            if group := asked[e.id]:
                table = np.array([[next(logprobs) for _ in b.options] for b in group])
                rows.append(_stored(e, bound(table, group[0].truth["own"])))
        return rows

    def gradients(self) -> dict[str, list[dict]]:
        """Rows of the table "gradients", without the point: every pair of groups "population cell", and of
        "text twin": naming novel people from descriptions instead of pictures.

        A gradient is of the loss of training, the mean over the tokens of the right answers with the end of
        their turn. The "adam" rows take the second moments from the squared gradients of all batches of all
        groups, not from the optimizer: so they exist at the first step, under Muon and after the fact alike,
        and every group counts the same.
        """
        groups: dict[str, list] = defaultdict(list)
        for e in self.chosen:
            name = points.cell_name(self.world, e)
            groups[name].append(conversation([e]))
            if self.world.twin and name == "novel forward/free" and e.pictures:
                groups["text twin"].append(conversation([self.world.twin(e, self.data)]))
        named = [(name, w) for name, w in self.model.named_parameters() if w.requires_grad]
        weights = [weight for _, weight in named]
        means, squares = {}, [torch.zeros(weight.shape) for weight in weights]
        for name, chats in groups.items():
            means[name], found = gradients.group_gradient(self._losses(chats), weights)
            for total, part in zip(squares, found, strict=True):
                total += part / len(groups)
        layers = [gradients.layer_of(name) for name, _ in named]
        return {"gradients": gradients.compare(means, layers, squares)}

    def _losses(self, chats: Sequence[tuple]) -> list[Callable[[], torch.Tensor]]:
        """One call per batch; their mean is the mean loss over all supervised tokens."""
        rows = self.encoder.tokens(chats)
        parts = [rows[first : first + self.batch] for first in range(0, len(rows), self.batch)]
        counts = [sum(int(row.supervised_T.sum()) for row in part) for part in parts]

        def loss(part, count):
            inputs = score.to_device(self.encoder.batch(part), self.device)
            share = count * len(parts) / sum(counts)
            return self.forward(**inputs, use_cache=False).loss * share

        return [partial(loss, part, count) for part, count in zip(parts, counts, strict=True)]


def bound(table: np.ndarray, own: int) -> np.ndarray:
    """log p(name | picture k), less its mean over the names in the line-up, for the line-up's own name.

    table: pictures × names. The subtraction removes what a picture does to every name, so that the largest
    value says which picture the model binds to the name.
    """
    return table[:, own] - np.log(np.exp(table).mean(1))


def merge(folder: Path) -> None:
    """Joins all parts to the parquet tables of `store.tables`."""
    found: dict[str, list] = {name: [] for name in tables.COLUMNS}
    for path in sorted(_parts(folder).glob("*.json")):
        for name, rows in files.read_json(path).items():
            found[name] += rows
    for name, rows in found.items():
        if rows:
            pd.DataFrame(rows).to_parquet(tables.table_path(folder, name), index=False)


def snapshot_folder(folder: Path, step: int) -> Path:
    """Where a training stage keeps the adapter of a probe point."""
    return folder / "dynamics" / "snapshots" / f"{step:08d}"


def _parts(folder: Path) -> Path:
    return folder / "dynamics" / "parts"


def part_path(folder: Path, step: int, name: str) -> Path:
    """The file of a unit of work at a probe point."""
    return _parts(folder) / f"{step:08d}-{name}.json"


def _facts(example: Example) -> dict:
    return {"id": example.id, "group": example.group, **example.facets}


def _stored(example: Example, found: np.ndarray) -> dict:
    """One row of the table "storage"."""
    right = found[example.gold]
    margin = float(right - np.delete(found, example.gold).max())
    return {**_facts(example), "correct": int(margin > 0), "margin": margin}


@contextlib.contextmanager
def _only_looking(model, device: torch.device) -> Iterator[None]:
    """Dropout off, and afterwards the model's mode and the random state as before."""
    was_training = model.training
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        model.eval()
        try:
            yield
        finally:
            model.train(was_training)
