"""Lines over training become figures: panels of lines, and heat maps of every question at every probe. Lines
are told apart by colour, by dashes and by names at their ends."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from mmrc_helpers.figures import lines, style


def figure_of(
    table: pd.DataFrame,
    title: str,
    looks: Mapping[str, dict],
    *,
    units: Mapping[str, str] | str = "",
    levels: Mapping[str, Sequence[tuple[float, str]]] | None = None,
    focus: Mapping[str, tuple[float, float]] | None = None,
    shares: Sequence[str] = (),
    limits: Mapping[str, tuple[float, float]] | None = None,
    per_row: int = 3,
    time: str = "step",
) -> Figure:
    """One panel for every value of the column `panel`, in order; in it the lines of the column `line`.

    title: what the figure is about, for its alternative text. looks: line → style. units: of the vertical
    axis, of all panels (then written once a row) or panel → unit. levels, focus, limits: panel → see
    `lines.draw`. shares: panels whose axis is a share. time: the column of the horizontal axis.
    """
    names = list(dict.fromkeys(table["panel"]))
    figure, axes_of = lines.panels(len(names), per_row)
    for number, (axes, name) in enumerate(zip(axes_of, names, strict=True)):
        part = table[table["panel"] == name]
        options = {key: of[name] for key, of in (("levels", levels), ("focus", focus), ("limits", limits))
                   if of and name in of}  # fmt: skip
        lines.draw(axes, part, looks, time=time, **options)
        axes.set_title(name)
        if name in shares:
            style.share_axis(axes)
        if not isinstance(units, str):
            axes.set_ylabel(units.get(name, ""))
        elif number % per_row == 0:
            axes.set_ylabel(units)
    rest = table[~table["panel"].isin(shares)]
    parts = [lines.told(table[table["panel"].isin(shares)], percent=True), lines.told(rest)]
    said = "; ".join(part for part in parts if part)
    return style.described(
        figure, f"{title} over {lines.training(table, time)}: {said}. Bands: {lines.band(table)}."
    )


def heat_maps(
    grids: Mapping[tuple[str, str], pd.DataFrame], unit: str, title: str, time: str = "step"
) -> Figure:
    """Every question × every probe, one map per (row, column) of panels; zero is white, and squares below it
    are hatched, which grey print keeps. grids: tables whose columns are (phase, step), sorted as shown."""
    rows, columns = (list(dict.fromkeys(key[k] for key in grids)) for k in (0, 1))
    figure = Figure(figsize=(3.5 * len(columns) + 0.3, 2.5 * len(rows) + 1), layout="constrained")
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    words = []
    for column, name in enumerate(columns):
        here = {row: grids[row, name] for row in rows if (row, name) in grids}
        values = np.concatenate([grid.to_numpy().ravel() for grid in here.values()])
        limit = float(np.nanquantile(abs(values), 0.98)) or 1.0
        for axes, row in zip(panels[:, column], rows, strict=True):
            axes.set(title=f"{row}/{name}", yticks=[])
            if row in here:
                picture = _heat_map(axes, here[row], limit)
                ends = [100 * (here[row].iloc[:, k] > 0).mean() for k in (0, -1)]
                words.append(f"{row}/{name} {ends[0]:.0f} % to {ends[1]:.0f} %")
        bar = figure.colorbar(
            picture, ax=list(panels[:, column]), location="bottom", extend="both", aspect=30
        )
        bar.set_label(unit)
        panels[-1, column].set_xlabel(f"{lines.TIMES[time]} of the probe")
    for axes in panels[:, 0]:
        axes.set_ylabel("questions")
    said = "Questions above zero at the first and at the last probe: " + "; ".join(words)
    return style.described(figure, f"{title}, question by probe. {said}.")


def _heat_map(axes: Axes, grid: pd.DataFrame, limit: float):
    picture = axes.pcolormesh(grid.to_numpy(), cmap="RdBu", vmin=-limit, vmax=limit, rasterized=True)
    negative = [[(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)] for y, x in np.argwhere(grid.to_numpy() < 0)]
    axes.add_collection(PolyCollection(negative, facecolor="none", hatch="////", linewidth=0))
    steps = [step for _, step in grid.columns]
    shown = range(0, len(steps), max(1, len(steps) // 5))
    axes.set_xticks([k + 0.5 for k in shown], [f"{steps[k]:g}" for k in shown])
    axes.set_ylim(len(grid), 0)
    return picture
