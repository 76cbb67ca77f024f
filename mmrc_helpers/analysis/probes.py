"""What probing a folder of adapters shows, without a study: a tidy summary per checkpoint and subset, and its
figures. A subset is all rows, or those of one direction where the file has several."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmrc_helpers.analysis import intervals
from mmrc_helpers.analysis.scores import columns_of
from mmrc_helpers.figures import curves, export, lines

ALL = "all rows"
MEASURES = {  # measure → its name in figures; nats per token of the answer, unless they say otherwise
    "chosen": "chosen",
    "rejected": "rejected",
    "margin": "chosen − rejected",
    "margin_sum": "chosen − rejected, nats per answer",
    "peak": "likeliest token of the chosen",
    "argmax": "argmax along the chosen",
    "entropy": "entropy along the chosen",
    "squeezing": "squeezing index",
    "preferred": "rows whose chosen is likelier",
}
CURVES = ("chosen", "rejected", "margin")
INSIDE = ("argmax", "entropy", "squeezing")


def examples(logprobs: pd.DataFrame) -> pd.DataFrame:
    """One row per probe point and row of the file, with the columns MEASURES; those that need a rejected side
    are missing where there is none.

    squeezing: as `traces.squeezing`, since the first probe point: max(0, min(D argmax, -D chosen,
    -D rejected)), in nats per token.
    """
    keys = ["step", "checkpoint", "id", "group", "direction"]
    right = logprobs[logprobs["candidate"] == "right"].set_index(keys).sort_index()
    table = pd.DataFrame({
        "chosen": right["logp_mean"],
        "peak": right["logp_peak"],
        "argmax": right["argmax_logp_sum"] / right["tokens"],
        "entropy": right["entropy_mean"],
    })  # fmt: skip
    rejected = logprobs[logprobs["candidate"] == "rejected"].set_index(keys)
    if len(rejected):
        table["rejected"] = rejected["logp_mean"]
        table["margin"] = table["chosen"] - table["rejected"]
        table["margin_sum"] = right["logp_sum"] - rejected["logp_sum"]
        table["preferred"] = (table["margin_sum"] > 0).astype(float).where(table["margin_sum"].notna())
        since = table - table.groupby("id").transform("first")
        fallen = np.minimum(-since["chosen"], -since["rejected"])
        table["squeezing"] = np.minimum(since["argmax"], fallen).clip(lower=0)
    return table.reset_index()


def subsets(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `examples` with `subset`: each direction, where there are several, then all."""
    several = table["direction"].nunique() > 1
    parts = [table.assign(subset=table["direction"])] if several else []
    return pd.concat([*parts, table.assign(subset=ALL)], ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Tidy means with 95 % intervals over facts (a row and its swap are one fact): a row per probe point,
    subset and measure."""
    rows = []
    for (step, name, subset), part in subsets(table).groupby(["step", "checkpoint", "subset"], sort=False):
        for measure in (measure for measure in MEASURES if measure in part):
            known = part[part[measure].notna()]
            of = intervals.mean(known[measure], known["group"], share=measure == "preferred")
            found = columns_of(of, "mean")
            row = {"step": step, "checkpoint": name, "subset": subset, "measure": measure}
            rows.append(
                row | {key: found[key] for key in ("mean", "low", "high", "groups")} | {"rows": len(known)}
            )
    return pd.DataFrame(rows)


def save(logprobs: pd.DataFrame, folder: Path, title: str) -> list[Path]:
    """Writes examples.csv, summary.csv and the figures as PNG, PDF, SVG and LaTeX. Returns the paths."""
    table = examples(logprobs)
    short = summary(table)
    written = []
    for name, rows in (("examples", table), ("summary", short)):
        written.append(folder / f"{name}.csv")
        rows.to_csv(written[-1], index=False)
    for name, draw in figures(table, short, title).items():
        written += export.save(draw, folder / "figures", name)
    return written


def figures(table: pd.DataFrame, short: pd.DataFrame, title: str) -> Mapping[str, Callable[[], Figure]]:
    """Name → what draws it: both sides and their margin over the checkpoints, what goes on inside, and every
    row at every checkpoint."""
    found = {
        "curves": partial(_lines, short, CURVES, f"{title}: both sides of each row"),
        "inside": partial(_lines, short, INSIDE, f"{title}: along the chosen"),
    }
    if "margin" in table:
        found["examples"] = partial(_heat_maps, table, title)
    return found


def _lines(short: pd.DataFrame, measures: tuple[str, ...], title: str) -> Figure:
    """A panel per measure, a line per subset, bands of 95 % over facts."""
    rows = short[short["measure"].isin(measures)].sort_values(
        "measure", key=lambda names: names.map(measures.index), kind="stable"
    )
    rows = rows.assign(panel=rows["measure"].map(MEASURES), line=rows["subset"], phase=1, seeds=1)
    rows = rows.rename(columns={"step": "checkpoint", "checkpoint": "name"}).assign(step=rows["step"])
    looks = lines.looks(list(dict.fromkeys(rows["line"])))
    units = {MEASURES[name]: "nats per token" for name in measures}
    return curves.figure_of(rows, title, looks, units=units, time="checkpoint")


def _heat_maps(table: pd.DataFrame, title: str) -> Figure:
    """The margin of every row at every checkpoint, a map per direction, sorted by its end."""
    grids = {}
    for direction, part in table.groupby("direction", sort=False):
        grid = part.assign(phase=1).pivot_table(index="id", columns=["phase", "step"], values="margin")
        grids[direction, "margin"] = grid.loc[grid.iloc[:, -1].sort_values(ascending=False).index]
    unit = "chosen − rejected (nats per token)"
    return curves.heat_maps(grids, unit, f"{title}: the margin", time="checkpoint")
