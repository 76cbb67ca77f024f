"""Probes of a model while it trains, or of the adapters it left: log-probabilities, storage, gradients.

A probe only looks: no dropout, no random numbers, no `.grad`; so training with and without it ends in the
same weights. Work is cut into units, each a file in `dynamics/parts/` that is there whole or not at all.
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from mmrc_helpers.analysis import traces
from mmrc_helpers.dynamics import gradients, points
from mmrc_helpers.execution import worker
from mmrc_helpers.models import load, score
from mmrc_helpers.models.encode import Encoder, Pictures
from mmrc_helpers.store import files
from mmrc_helpers.tasks.records import Example, read_examples, two_way_groups

UNIT = 16  # questions of a unit


class Prober:
    """A model with everything needed to probe it, again and again while its weights change."""

    def __init__(
        self,
        model,
        processor,
        data: Path,
        train: Mapping,
        dynamics: Mapping,
        device: torch.device,
        batch: int,
    ):
        """data: the finished data stage. batch: rows of a forward pass. Only `train.two_way`,
        `train.text_twin` and `train.freeze_vision` are read.

        Must be made before a trainer takes the model: a trainer wraps `forward` in the autocast of training,
        while a probe reads the weights in their own precision, as evaluation does.
        """
        self.model, self.forward, self.device, self.batch = model, model.forward, device, batch
        self.twin = train["text_twin"]
        people = {person["group"]: person for person in files.read_json(data / "people.json")}
        self.called = {group: person["called"] for group, person in people.items() if person["called"]}
        self.words = sorted({w.strip(",") for p in people.values() for w in p["description"].split()})
        examples = read_examples(data / "examples.jsonl")
        self.chosen = points.choose(
            examples, dynamics["examples"], two_way_groups(examples, train["two_way"])
        )
        self.naming = next(e.question for e in self.chosen if e.cell == "forward/free")
        names = [] if self.twin else sorted({name for e in self.chosen for name in e.images})
        described = {group: person["description"] for group, person in people.items()}
        self.encoder = Encoder(processor, Pictures(data / "images", names, processor), described)
        if train["freeze_vision"] and names:
            self.encoder.pictures.freeze(load.base_model(model).to(device), device)

    def write(self, folder: Path, point: Mapping, compared: bool, anew: bool = True) -> None:
        """Probes the model as it is and writes this process's share of the units into `folder`/dynamics.

        point: step, supervised_tokens and phase. anew: also write units that are there already, because
        training that was resumed comes by here a second time.
        """
        units = self.units(folder, point["step"], compared)
        for number, (path, make) in enumerate(units.items()):
            if number % worker.world_size() == worker.rank() and (anew or not path.is_file()):
                with _only_looking(self.model, self.device):
                    tables = make()
                files.make_folder(path.parent)
                files.write_json(path, {name: [point | row for row in rows] for name, rows in tables.items()})
                worker.beat()

    def units(self, folder: Path, step: int, compared: bool) -> dict[Path, Callable[[], dict]]:
        """File → what makes its tables, for one step."""
        chunks = [self.chosen[first : first + UNIT] for first in range(0, len(self.chosen), UNIT)]
        units = {
            _part(folder, step, f"{k:04}"): partial(self.answers, chunk) for k, chunk in enumerate(chunks)
        }
        return units | ({_part(folder, step, "gradients"): self.gradients} if compared else {})

    def answers(self, chunk: Sequence[Example]) -> dict[str, list[dict]]:
        """Rows of the tables "logprobs" and "storage", without the point."""
        asked, requests = [], []
        for example in chunk:
            chat = self.encoder.question(example, 0, self.twin)
            for kind, text in points.candidates(example, sorted(self.called.values()), self.words).items():
                asked.append((example, kind))
                requests.append((chat, text))
        return {
            "logprobs": [
                {**_facts(e), "topic": e.topic, "direction": e.direction, "format": e.format,
                 "order": e.order, "candidate": kind, **row}
                for (e, kind), row in zip(asked, self.observed(requests), strict=True)
            ],
            "storage": self.storage(list(filter(score.is_lineup, chunk))),
        }  # fmt: skip

    def observed(self, requests: Sequence[score.Request]) -> list[dict]:
        """`observe` of every request."""
        found: list[dict] = [{}] * len(requests)
        for numbers, *tensors in score.answer_batches(
            self.forward, self.model.dtype, self.encoder, requests, self.batch, self.device
        ):
            for number, row in zip(numbers, observe(*tensors), strict=True):
                found[number] = row
        return found

    def storage(self, lineups: Sequence[Example]) -> list[dict]:
        """The storage probe of every line-up: which of its pictures the model binds to the name."""
        requests = []
        for e in lineups:
            requests += score.lineup_requests(
                self.encoder, e, self.naming, self.called.__getitem__, self.twin
            )
        logprobs = iter(row["logp_sum"] for row in self.observed(requests))
        return [_stored(e, [next(logprobs) for _ in range(len(e.images) ** 2)]) for e in lineups]

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
            groups[f"{e.population} {e.cell}"].append(self.encoder.chat([e], 0, self.twin))
            if e.population == "novel" and e.cell == "forward/free" and not self.twin:
                groups["text twin"].append(self.encoder.chat([e], 0, twin=True))
        named = [(name, w) for name, w in self.model.named_parameters() if w.requires_grad]
        weights = [weight for _, weight in named]
        means, squares = {}, [torch.zeros(weight.shape) for weight in weights]
        for name, chats in groups.items():
            means[name], found = gradients.group_gradient(self._losses(chats), weights)
            for total, part in zip(squares, found, strict=True):
                total += part / len(groups)
        layers = [gradients.layer_of(name) for name, _ in named]
        return {"gradients": gradients.compare(means, layers, squares)}

    def _losses(self, chats: Sequence[list[dict]]) -> list[Callable[[], torch.Tensor]]:
        """One call per batch; their mean is the mean loss over all supervised tokens."""
        rows = self.encoder.tokens(chats)
        parts = [rows[first : first + self.batch] for first in range(0, len(rows), self.batch)]
        counts = [sum(int(row.supervised_T.sum()) for row in part) for part in parts]

        def loss(part, count):
            inputs = score.to_device(self.encoder.batch(part), self.device)
            share = count * len(parts) / sum(counts)
            return self.forward(**inputs, use_cache=False).loss * share

        return [partial(loss, part, count) for part, count in zip(parts, counts, strict=True)]


def observe(logp_RDV: torch.Tensor, target_RD: torch.Tensor, real_RD: torch.Tensor) -> list[dict]:
    """What the table "logprobs" says about every request, from the distributions along its answer.

    With pi the distribution before an answer token y and e its one-hot vector: sum, mean and highest of
    log pi(y); sums of log pi(argmax) and of log(1 - pi(argmax)); means of the entropy (nats), of 1 - pi(y)
    and of |pi - e|, the length of the loss's residual (Ren and Sutherland, arXiv 2407.10490).
    """
    logp_RD = score.of_targets(logp_RDV, target_RD)
    top_RD, argmax_RD = logp_RDV.max(-1)
    others_RDV = logp_RDV.scatter(2, argmax_RD[..., None], -torch.inf)
    pi_RDV = logp_RDV.exp()
    entropy_RD = -(pi_RDV * logp_RDV).sum(-1)
    one_R1D = torch.ones_like(target_RD[..., None], dtype=pi_RDV.dtype)
    residual_RD = pi_RDV.scatter_add(2, target_RD[..., None], -one_R1D).norm(dim=-1)
    tokens_R = real_RD.sum(1)

    def total(values_RD):
        return torch.where(real_RD, values_RD, 0.0).double().sum(1)

    columns = {
        "tokens": tokens_R,
        "logp_sum": total(logp_RD),
        "logp_mean": total(logp_RD) / tokens_R,
        "logp_peak": logp_RD.masked_fill(~real_RD, -torch.inf).max(1).values,
        "argmax_logp_sum": total(top_RD),
        "log1m_argmax_sum": total(others_RDV.logsumexp(-1)),  # exact where pi(argmax) rounds to one
        "entropy_mean": total(entropy_RD) / tokens_R,
        "one_minus_p_mean": total(-torch.expm1(logp_RD)) / tokens_R,
        "residual_norm_mean": total(residual_RD) / tokens_R,
    }
    lists = [values.tolist() for values in columns.values()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]


def merge(folder: Path) -> None:
    """Joins all parts to the parquet tables of `traces`."""
    tables: dict[str, list] = {name: [] for name in traces.COLUMNS}
    for path in sorted(_parts(folder).glob("*.json")):
        for name, rows in files.read_json(path).items():
            tables[name] += rows
    for name, rows in tables.items():
        if rows:
            path = traces.table_path(folder, name)
            pd.DataFrame(rows)[list(traces.COLUMNS[name])].to_parquet(path, index=False)


def snapshot_folder(folder: Path, step: int) -> Path:
    """Where a training stage keeps the adapter of a probe point."""
    return folder / "dynamics" / "snapshots" / f"{step:08d}"


def _parts(folder: Path) -> Path:
    return folder / "dynamics" / "parts"


def _part(folder: Path, step: int, name: str) -> Path:
    return _parts(folder) / f"{step:08d}-{name}.json"


def _facts(example: Example) -> dict:
    return {"id": example.id, "group": example.group, "population": example.population}


def _stored(example: Example, logprobs: Sequence[float]) -> dict:
    """One row of the table "storage"."""
    found = score.bindings(logprobs, example).tolist()
    right = found.pop(example.gold)
    return {**_facts(example), "correct": int(right > max(found)), "margin": right - max(found)}


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
