"""What figures over training are drawn with: lines with bands and names at their ends, the axis of time,
dividers between phases, and their numbers in words."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmrc_helpers import drawing, scales, trajectories


def variants(table: pd.DataFrame, variants: Sequence[str]) -> list[tuple[str, pd.DataFrame, dict]]:
    """One line per variant; a variant keeps its colour and dashes in every figure of the study."""
    return [
        (
            name,
            table[table["variant"] == name],
            {"color": drawing.COLOURS[k % 9], "linestyle": drawing.LINES[k % 9]},
        )
        for k, name in enumerate(variants)
        if (table["variant"] == name).any()
    ]


def panels(count: int, table: pd.DataFrame, per_row: int = 3) -> tuple[Figure, list[Axes]]:
    columns = min(count, per_row)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.0 * columns, 3.2 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in panels[count:]:
        spare.set_visible(False)
    return figure, panels[:count]


def draw(
    axes: Axes,
    lines: Sequence[tuple[str, pd.DataFrame, dict]],
    table: pd.DataFrame,
    wide: bool = False,
    named: bool = True,
    time: str = "step",
) -> None:
    """Lines (name, rows of over_time, style) with bands, the axis of time, dividers between phases and names
    at the lines' ends. wide: on the wider-middle axis where values crowd."""
    for _, line, style in lines:
        axes.plot(line[time], line["mean"], **style)
        axes.fill_between(
            line[time], line["low"], line["high"], color=style["color"], alpha=0.15, linewidth=0
        )
    drawing.plain(axes)
    time_axis(axes, table, time)
    values = np.concatenate([line["mean"] for _, line, _ in lines] or [[0.0, 1.0]])
    if wide:
        ends = [end for _, line, _ in lines for end in (line["low"].min(), line["high"].max())]
        scales.widen_middle(axes, values, ends)
    if named:
        drawing.end_labels(
            axes, [(line["mean"].iloc[-1], name, style["color"]) for name, line, style in lines]
        )


def time_axis(axes: Axes, table: pd.DataFrame, time: str) -> None:
    """Steps or tokens; logarithmic from the first probe on where probes crowd at the beginning."""
    times = np.unique(table[time])
    later = times[times > 0]
    axes.set_xlabel("optimizer step" if time == "step" else "supervised tokens of novel facts")
    if len(later) > 3 and np.median(later) < later[-1] / 4 and table["phase"].nunique() == 1:
        axes.set_xscale("symlog", linthresh=later[0], linscale=0.5)
    axes.set_xlim(times[0], times[-1])
    for phase, step in trajectories.dividers(
        table.rename(columns={time: "step"}) if time != "step" else table
    ).items():
        axes.axvline(step, color="black", linestyle=":", linewidth=1)
        axes.annotate(
            f" phase {phase}", (step, 0.99), xycoords=axes.get_xaxis_transform(), va="top", fontsize="small"
        )


def from_to(line: pd.DataFrame, percent: bool = False) -> str:
    first, last = line["mean"].iloc[0], line["mean"].iloc[-1]
    return f"from {100 * first:.0f} % to {100 * last:.0f} %" if percent else f"from {first:.2f} to {last:.2f}"


def training(table: pd.DataFrame) -> str:
    return f"{table['step'].max():.0f} optimizer steps" if len(table) else "training"


def band(table: pd.DataFrame) -> str:
    seeds = table["seeds"].max() if len(table) else 0
    return f"range of {seeds} seeds" if seeds > 1 else "95 % intervals over people"
