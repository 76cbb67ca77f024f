"""The traces that probing leaves in `dynamics/`, as tables, and what is computed from them: means over groups
with bands, margins, pairs of gradients, the squeezing index.

On disk `step` and `supervised_tokens` (of novel facts) count from the beginning of the phase; `read_run` lets
them go on. The last probe of a phase and the first of the next are the same model.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import intervals
from mmrc_helpers.analysis.evidence import Axes
from mmrc_helpers.store.tables import COLUMNS, POINT, table_path

TIME = ["point", "step", "supervised_tokens", "phase"]


def read_traces(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables "logprobs", "storage" and "gradients" of one folder of `stages.traces_folders`; a table that
    was not made is empty, with its columns."""
    return {
        name: pd.read_parquet(path) if (path := table_path(folder, name)).is_file() else _empty(name)
        for name in COLUMNS
    }


def read_run(folders: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """The tables of all phases of a run, one below the other; steps and tokens of a later phase go on where
    the one before ended, which its last probe point tells. folders: `stages.traces_folders`."""
    ended = {"step": 0, "supervised_tokens": 0}
    found: dict[str, list] = {name: [] for name in COLUMNS}
    for folder in folders:
        tables = read_traces(folder)
        for name, table in tables.items():
            if len(table):
                found[name].append(table.assign(**{count: table[count] + ended[count] for count in ended}))
        ended = {count: ended[count] + int(tables["logprobs"][count].max()) for count in ended}
    return {
        name: pd.concat(parts, ignore_index=True) if parts else _empty(name) for name, parts in found.items()
    }


def squeezing(logprobs: pd.DataFrame, cell: Sequence[str], wrong: str = "wrong_person") -> pd.DataFrame:
    """The squeezing index of every probe point and cell, from the table "logprobs". cell: the facets that
    tell cells apart. wrong: the kind of alternative answer that stands for y-.

    Ren and Sutherland (arXiv 2407.10490, section 4) find under preference training that the chosen answer y+
    and the rejected one y- both lose probability while the most likely token gains: the softmax squeezes what
    a negative gradient takes from y- into its peak. With D(t) the change, per answer token, since the first
    probe of the same phase,

        index = mean over examples of max(0, min(D argmax, -D right, -D wrong))             [nats per token]

    where D argmax follows the sum of log p(argmax) along the teacher-forced right answer. It is above zero
    only for examples that show the whole signature, and never larger than its weakest part.

    Columns: those of the probe point (and variant and seed, if there), `cell`, examples, argmax, right, wrong
    (mean D), index, share (of examples with the signature).
    """
    run = [name for name in ("variant", "seed") if name in logprobs]
    point, example = [*run, *POINT], [*cell, "id"]
    right = logprobs[logprobs["candidate"] == "right"]
    table = right.set_index([*point, *example])[["logp_mean"]].rename(columns={"logp_mean": "right"})
    table["argmax"] = (right["argmax_logp_sum"] / right["tokens"]).to_numpy(dtype=float)
    other = logprobs[logprobs["candidate"] == wrong].set_index([*point, *example])["logp_mean"]
    table = table.join(other.rename("wrong"), how="inner").astype(float).sort_index()
    since = table - table.groupby([*run, "phase", *example]).transform("first")
    signature = np.minimum(since["argmax"], np.minimum(-since["right"], -since["wrong"]))
    since["index"] = signature.clip(lower=0)
    since["share"] = (signature > 0).astype(float)
    grouped = since.groupby([*point, *cell])
    counts = grouped.size().rename("examples")
    return pd.concat([counts, grouped.mean()], axis=1).reset_index()


def asked(logprobs: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """The traces of the questions that a finding is about, with `cell`: the values of its axes."""
    for name, value in axes.about.items():
        logprobs = logprobs[logprobs[name] == value]
    first, *rest = (logprobs[axis] for axis in axes.values)
    return logprobs.assign(cell=first.str.cat(rest, sep="/"))


def of_taught(table: pd.DataFrame, axes: Axes) -> pd.Series:
    """Whether each row is about what was taught."""
    found = pd.Series(True, index=table.index)
    for name, value in axes.taught.items():
        found &= table[name] == value
    return found


def margins(logprobs: pd.DataFrame, axes: Axes, value: str = "logp_sum") -> pd.DataFrame:
    """One row per example and probe: `chosen` (the right answer), `rejected` (a wrong one) and `margin`,
    their difference, in nats per answer."""
    two = asked(logprobs, axes)
    two = two[two["candidate"].isin(("right", axes.wrong))]
    run = ["variant", "seed", "step", "supervised_tokens", "phase", "id", "group", "cell"]
    keys = [*run, *axes.values, *axes.taught]
    table = two.pivot_table(index=keys, columns="candidate", values=value).reset_index()
    table = table.reindex(columns=[*keys, "right", axes.wrong])
    table = table.rename(columns={"right": "chosen", axes.wrong: "rejected"}).rename_axis(columns=None)
    return table.assign(margin=table["chosen"] - table["rejected"])


def over_time(table: pd.DataFrame, value: str, by: Sequence[str] = ()) -> pd.DataFrame:
    """Means of `value` over groups: one row per line (a combination of `by`) and probe.

    Columns: `by`, point (0, 1, … within a run), step, supervised_tokens, phase, mean, low, high, seeds,
    groups. The band is the range of the seeds' means where there are several seeds, otherwise the bootstrap
    interval over groups.
    """
    by, columns = list(by), [*by, *TIME, "mean", "low", "high", "seeds", "groups"]
    table = table.dropna(subset=[value])
    if table.empty:
        numbers = dict.fromkeys(columns[len(by) :], float)
        return pd.DataFrame(columns=columns).astype(numbers)
    table = table.assign(point=_points(table))
    found = table.groupby(by, sort=False) if by else [((), table)]
    parts = [_line(rows, value).assign(**dict(zip(by, key, strict=True))) for key, rows in found]
    return pd.concat(parts, ignore_index=True)[columns]


def pairs(table: pd.DataFrame, axes: Axes, layer: str | None = "all") -> pd.DataFrame:
    """Alignment of the gradients at the two ends of the first axis, of what was taught, one `line` for every
    value of the last axis: `cosine` and `transfer` per run, probe and preconditioner. layer: one, or None for
    every single layer. An axis of one value has no two ends, and no rows."""
    line, panel = axes.values
    ends = axes.values[line]
    names = {(axes.group(ends[0], name), axes.group(ends[-1], name)): name for name in axes.values[panel]}
    found = [names.get(pair) for pair in zip(table["left"], table["right"], strict=True)]
    here = table["layer"] != "all" if layer is None else table["layer"] == layer
    table = table.assign(line=pd.Series(found, index=table.index, dtype=object))
    return table[here & table["line"].notna()]


def alignment_ends(gradients: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """The cosine of `pairs` at the first and at the last probe of every run: columns variant, seed, line,
    first, last. For numbers in words: every seed, not only their mean."""
    found = pairs(gradients[gradients["preconditioner"] == "none"], axes).sort_values(["phase", "step"])
    grouped = found.groupby(["variant", "seed", "line"], sort=False)["cosine"]
    return pd.DataFrame({"first": grouped.first(), "last": grouped.last()}).reset_index()


def _points(table: pd.DataFrame) -> pd.Series:
    """The number of the probe within its run."""
    order = table["phase"] * 1e9 + table["step"]
    return order.groupby([table["variant"], table["seed"]]).rank(method="dense").astype(int) - 1


def _line(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    times = rows.groupby("point")[TIME[1:]].mean()
    runs, unit = ["variant", "seed"], ["variant", "seed", *(["group"] if "group" in rows else [])]
    each = rows.pivot_table(index=unit, columns="point", values=value)
    by_seed = each.groupby(level=runs).mean()
    if len(by_seed) > 1 or "group" not in rows:
        low, high = by_seed.min(), by_seed.max()
    else:
        low, high = intervals.mean_bands(each.to_numpy())
    groups = len(each) if "group" in rows else 0
    line = times.assign(mean=each.mean(), low=np.asarray(low), high=np.asarray(high), seeds=len(by_seed))
    return line.assign(groups=groups).reset_index().astype({"phase": int})


def _empty(name: str) -> pd.DataFrame:
    return pd.DataFrame(columns=list(COLUMNS[name]))
