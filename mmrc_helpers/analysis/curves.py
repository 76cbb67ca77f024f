"""Traces of training become curves: means over people with bands, per line and probe; margins; pairs of
gradients. Traces are the tables of `traces.read_run` with `variant` and `seed`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import intervals
from mmrc_helpers.tasks.records import CELLS

TIME = ["point", "step", "supervised_tokens", "phase"]
EXAMPLE = ["variant", "seed", "step", "supervised_tokens", "phase", "id", "group", "population", "cell"]


def answers(logprobs: pd.DataFrame) -> pd.DataFrame:
    """The traces of questions about who somebody is, with `cell` (direction/format)."""
    asked = logprobs[logprobs["topic"] == "identity"]
    return asked.assign(cell=asked["direction"] + "/" + asked["format"])


def margins(logprobs: pd.DataFrame, value: str = "logp_sum") -> pd.DataFrame:
    """One row per example and probe: `chosen` (the right answer), `rejected` (another person's) and
    `margin`, their difference, in nats per answer."""
    two = answers(logprobs)
    two = two[two["candidate"].isin(("right", "wrong_person"))]
    table = two.pivot_table(index=EXAMPLE, columns="candidate", values=value).reset_index()
    table = table.reindex(columns=[*EXAMPLE, "right", "wrong_person"])
    table = table.rename(columns={"right": "chosen", "wrong_person": "rejected"}).rename_axis(columns=None)
    return table.assign(margin=table["chosen"] - table["rejected"])


def over_time(table: pd.DataFrame, value: str, by: Sequence[str] = ()) -> pd.DataFrame:
    """Means of `value` over people: one row per line (a combination of `by`) and probe.

    Columns: `by`, point (0, 1, … within a run), step, supervised_tokens, phase, mean, low, high, seeds,
    people. The band is the range of the seeds' means where there are several seeds, otherwise the bootstrap
    interval over people.
    """
    by = list(by)
    table = table.dropna(subset=[value])
    if table.empty:
        return pd.DataFrame(columns=[*by, *TIME, "mean", "low", "high", "seeds", "people"])
    table = table.assign(point=_points(table))
    lines = table.groupby(by, sort=False) if by else [((), table)]
    parts = [_line(rows, value).assign(**dict(zip(by, key, strict=True))) for key, rows in lines]
    return pd.concat(parts, ignore_index=True)[[*by, *TIME, "mean", "low", "high", "seeds", "people"]]


def pairs(gradients: pd.DataFrame, layer: str | None = "all") -> pd.DataFrame:
    """Alignment of the forward with the reverse gradient on novel people, within each format: `format`,
    `cosine` and `transfer` per run, probe and preconditioner. layer: one, or None for every single layer."""
    gradients = gradients.reset_index(drop=True)
    split = gradients["left"].str.split("/", expand=True).reindex(columns=[0, 1])
    across = (split[0] == "novel forward") & (gradients["right"] == "novel reverse/" + split[1])
    here = gradients["layer"] != "all" if layer is None else gradients["layer"] == layer
    return gradients[across & here].assign(format=split[1])


def dividers(table: pd.DataFrame, time: str = "step") -> dict[int, float]:
    """Phase → the time at which it begins, for every phase after the first."""
    first = table.groupby("phase")[time].min()
    return {int(phase): float(begin) for phase, begin in first.items() if phase > 1}


def cells_of(table: pd.DataFrame) -> list[str]:
    """The cells that occur, in their fixed order."""
    return [cell for cell in CELLS if (table["cell"] == cell).any()]


def _points(table: pd.DataFrame) -> pd.Series:
    """The number of the probe within its run."""
    order = table["phase"] * 1e9 + table["step"]
    return order.groupby([table["variant"], table["seed"]]).rank(method="dense").astype(int) - 1


def _line(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    times = rows.groupby("point")[TIME[1:]].mean()
    seeds = rows.groupby(["variant", "seed"]).ngroups
    if "group" not in rows:
        per_run = rows.pivot_table(index=["variant", "seed"], columns="point", values=value)
        ends, people = (per_run.min(), per_run.max()), 0
        mean = per_run.mean()
    else:
        per_person = rows.pivot_table(index=["variant", "seed", "group"], columns="point", values=value)
        mean, people = per_person.mean(), len(per_person)
        if seeds > 1:
            per_seed = per_person.groupby(level=["variant", "seed"]).mean()
            ends = (per_seed.min(), per_seed.max())
        else:
            ends = intervals.mean_bands(per_person.to_numpy())
    low, high = (np.asarray(end) for end in ends)
    line = times.assign(mean=mean, low=low, high=high, seeds=seeds, people=people)
    return line.reset_index().astype({"phase": int})
