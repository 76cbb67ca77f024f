"""What figures over training are drawn with: lines with bands and names at their ends, the axis of time,
dividers between phases, and their numbers in words. A *line* is a table with the columns step,
supervised_tokens, phase, mean, low, high, seeds, one row per probe."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from mmrc_helpers.figures import style
from mmrc_helpers.figures.axes import widen

TIMES = {  # a column of time → how the axis calls it
    "step": "optimizer step",
    "supervised_tokens": "supervised tokens of what is taught",
    "checkpoint": "checkpoint",
    "thousands": "training rows of an epoch, thousands",
}


def looks(names: Sequence[str]) -> dict[str, dict]:
    """Name → colour and dashes; a name keeps its own in every figure that is given the same names."""
    return {
        name: {"color": style.COLOURS[k % 9], "linestyle": style.LINES[(k + k // 9) % 9]}
        for k, name in enumerate(names)
    }


def panels(count: int, per_row: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels with axes of their own."""
    columns = min(count, per_row)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.0 * columns, 3.2 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in panels[count:]:
        spare.set_visible(False)
    return figure, panels[:count]


def draw(
    axes: Axes,
    table: pd.DataFrame,
    looks: Mapping[str, dict],
    focus: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
    levels: Sequence[tuple[float, str]] = (),
    time: str = "step",
) -> None:
    """The lines of a table (told apart by its column `line`) with bands, the axis of time, dividers between
    phases and names at the lines' ends.

    focus: a band to enlarge on the vertical axis. limits: ends of the vertical axis. levels: heights of
    dotted lines, with their names.
    """
    drawn = list(table.groupby("line", sort=False))
    for name, line in drawn:
        axes.plot(line[time], line["mean"], **looks[name])
        band = {"color": looks[name]["color"], "alpha": 0.15, "linewidth": 0}
        axes.fill_between(line[time], line["low"], line["high"], **band)
    style.plain(axes)
    if drawn:
        time_axis(axes, table, time)
    if focus and drawn:
        reach = [end for _, line in drawn for end in (line["low"].min(), line["high"].max())]
        widen(axes, focus, [*reach, *(height for height, _ in levels)])
    for height, _ in levels:
        axes.axhline(height, color="black", linestyle=":", linewidth=0.9)
    if limits:
        axes.set_ylim(*limits)
    ends = [(line["mean"].iloc[-1], name, looks[name]["color"]) for name, line in drawn]
    style.end_labels(axes, [*ends, *((height, name, "black") for height, name in levels)])


def time_axis(axes: Axes, table: pd.DataFrame, time: str) -> None:
    """Steps or tokens; logarithmic from the first probe on where probes crowd at the beginning."""
    times = np.unique(table[time])
    later = times[times > 0]
    axes.set_xlabel(TIMES[time])
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    if len(later) > 3 and np.median(later) < later[-1] / 4 and table["phase"].nunique() == 1:
        axes.set_xscale("symlog", linthresh=later[0], linscale=0.5)
        decades = 10.0 ** np.arange(np.ceil(np.log10(later[0])), np.log10(later[-1]) + 1e-9)
        axes.set_xticks([0, *decades], ["0", *(f"{decade:,.0f}" for decade in decades)])
        axes.minorticks_off()
    if len(times) > 1:
        axes.set_xlim(times[0], times[-1])
    for phase, begin in dividers(table, time).items():
        axes.axvline(begin, color="black", linestyle=":", linewidth=1)
        at = {"xycoords": axes.get_xaxis_transform(), "va": "top", "fontsize": "small"}
        axes.annotate(f"phase {phase}", (begin, 0.98), rotation=90, **at)  # upright, phases may be short


def dividers(table: pd.DataFrame, time: str = "step") -> dict[int, float]:
    """Phase → the time at which it begins, for every phase after the first."""
    first = table.groupby("phase")[time].min()
    return {int(phase): float(begin) for phase, begin in first.items() if phase > 1}


def told(table: pd.DataFrame, percent: bool = False) -> str:
    """The first and the last mean of every line in words, panel by panel where there are several; of several
    seeds with the range of their last values."""
    words = []
    for (panel, name), line in table.groupby(["panel", "line"], sort=False):
        first, last = line["mean"].iloc[0], line["mean"].iloc[-1]
        share = (100, 0, " %") if percent else (1, 2, "")
        first, last, low, high = (_number(value, *share) for value in (first, last, *_ends(line)))
        span = f"from {first} to {last}"
        span += f" (seeds {low} to {high})" if line["seeds"].iloc[-1] > 1 else ""
        words.append(f"{panel}, {name} {span}" if table["panel"].nunique() > 1 else f"{name} {span}")
    return "; ".join(words)


def _ends(line: pd.DataFrame) -> tuple[float, float]:
    """The last band of a line."""
    return line["low"].iloc[-1], line["high"].iloc[-1]


def _number(value: float, factor: float, digits: int, unit: str) -> str:
    return f"{factor * value:.{digits}f}{unit}"


def training(table: pd.DataFrame, time: str = "step") -> str:
    """How long training was, in words."""
    if time == "checkpoint":
        return f"{table[time].nunique()} checkpoints"
    if time == "thousands":
        return f"{table[time].nunique()} sizes of the data"
    return f"{table['step'].max():.0f} optimizer steps" if len(table) else "training"


def band(table: pd.DataFrame) -> str:
    """What the bands of these lines are, in words."""
    several, drawn = table["seeds"] > 1, table["low"] < table["high"]
    seeds = ["range of the seeds"] if several.any() else []
    return " or ".join([*seeds, *(["95 % over groups"] if (drawn & ~several).any() else [])]) or "none"
