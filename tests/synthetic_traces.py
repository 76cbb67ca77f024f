"""Traces of a simulated training, as the probes write them: the taught direction rises, the other one hardly
moves, background people stay, and the gradients of the two directions drift apart."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

CELLS = ("forward/free", "forward/choice", "forward/judge", "reverse/free", "reverse/choice", "reverse/judge")
CANDIDATES = ("right", "paraphrase", "format_only", "wrong_person", "unseen", "permuted", "random")
STARTS = dict(zip(CANDIDATES, (-4.0, -4.4, -4.2, -4.1, -5.0, -6.0, -8.0), strict=True))
GAINS = dict(zip(CANDIDATES, (3.9, 3.2, 3.4, 1.5, 1.2, 0.3, -1.0), strict=True))
STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
FORWARD = ("forward/free", "forward/choice", "forward/judge")


def traces(taught=FORWARD, seed=0, people=6, steps=STEPS, phase=1, cells=CELLS) -> dict[str, pd.DataFrame]:
    """The three tables of one phase. taught: cells in which the novel people are learned; cells: all that
    are probed."""
    rng = np.random.default_rng([seed, phase, len(taught)])
    return {
        "logprobs": _logprobs(taught, people, steps, phase, cells, rng),
        "storage": _storage(people, steps, phase, rng),
        "gradients": _gradients(taught, steps, phase, cells, rng),
    }


def write(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    """The tables as parquet files in `folder`/dynamics."""
    (folder / "dynamics").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_parquet(folder / "dynamics" / f"{name}.parquet")


def _learned(step: int, steps) -> float:
    """From 0 to 1, half of it after an eighth of the training."""
    return step / (step + max(steps) / 8)


def _time(step: int, phase: int) -> dict:
    return {"step": step, "supervised_tokens": 40 * step, "phase": phase}


def _logprobs(taught, people, steps, phase, cells, rng) -> pd.DataFrame:
    rows = []
    for population, cell, person in product(("novel", "background"), cells, range(people)):
        ease, (direction, format) = rng.normal(0, 0.3), cell.split("/")
        about = {"id": f"{population}-{person}/{cell}", "group": f"{population}-{person}"}
        about |= {"population": population, "topic": "identity", "direction": direction, "format": format}
        about["order"] = "image_first"
        for step, candidate in product(steps, CANDIDATES):
            known = (
                0.95
                if population == "background"
                else _learned(step, steps) * (1.0 if cell in taught else 0.15)
            )
            scale = 1.0 if format == "free" else 0.35
            mean = scale * (STARTS[candidate] + GAINS[candidate] * known + ease) + rng.normal(0, 0.05)
            mean, tokens = min(mean, -0.01), 4 if format == "free" else 1
            measured = {"logp_sum": tokens * mean, "logp_mean": mean, "logp_peak": mean / 2, "tokens": tokens}
            measured |= {"argmax_logp_sum": -1.5 + known, "log1m_argmax_sum": -2.0 - 2 * known}
            measured |= {"entropy_mean": 3 - 2.5 * known, "one_minus_p_mean": 1 - np.exp(mean)}
            measured["residual_norm_mean"] = 1.2 * (1 - np.exp(mean))
            rows.append(_time(step, phase) | about | {"candidate": candidate} | measured)
    return pd.DataFrame(rows)


def _storage(people, steps, phase, rng) -> pd.DataFrame:
    rows = []
    for population, person, step in product(("novel", "background"), range(people), steps):
        known = 1.0 if population == "background" else _learned(step, steps)
        about = {"id": f"{population}-{person}/reverse/choice", "group": f"{population}-{person}"}
        margin = 6 * known - 1 + rng.normal(0, 0.7)
        rows.append(
            _time(step, phase)
            | about
            | {"population": population, "correct": int(margin > 0), "margin": margin}
        )
    return pd.DataFrame(rows)


def _gradients(taught, steps, phase, cells, rng) -> pd.DataFrame:
    groups = [f"{population} {cell}" for population in ("novel", "background") for cell in cells]
    groups.append("text twin")
    rows = []
    for step, layer, preconditioner in product(steps, ("all", "0", "1", "2", "3"), ("none", "adam")):
        # Groups share a common direction; the untaught ones turn away from the others while training goes on.
        own = rng.normal(0, 0.25, (len(groups), 24))
        own[:, 0] += 1
        untaught = [k for k, group in enumerate(groups) if group.split()[1] not in taught]
        own[untaught, 0] -= 1.4 * _learned(step, steps)
        own[:, 1] += [1.0 if "choice" in group else 0.0 for group in groups]
        inner = own @ own.T
        norms = np.sqrt(np.diag(inner))
        for i, j in product(range(len(groups)), repeat=2):
            row = {"layer": layer, "preconditioner": preconditioner, "left": groups[i], "right": groups[j]}
            row |= {"inner": inner[i, j], "cosine": inner[i, j] / norms[i] / norms[j]}
            rows.append(_time(step, phase) | row | {"transfer": inner[i, j] / inner[j, j]})
    return pd.DataFrame(rows)
