"""Figures of relations: how often each is told right, and which is taken for which."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmrc_helpers.figures import style
from mmrc_helpers.figures.style import percent

SHOWN = 0.005  # shares below it are left blank in a matrix


def rates(table: pd.DataFrame, title: str) -> Figure:
    """Rows are relations, markers with intervals what the column `line` tells apart, dashes a guesser; one
    panel for every value of `panel`. table: columns panel, relation, line, value, low, high, chance."""
    panels, names = (list(dict.fromkeys(table[name])) for name in ("panel", "line"))
    rows = list(dict.fromkeys(table["relation"]))
    size = (2.0 + 3.2 * len(panels), 1.4 + (0.2 + 0.11 * len(names)) * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    shown, told = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], []
    for axes, panel in zip(shown, panels, strict=True):
        part = table[table["panel"] == panel]
        for odd in range(1, len(rows), 2):
            axes.axhspan(odd - 0.5, odd + 0.5, color="#EEEEEE", linewidth=0, zorder=0)
        for number, name in enumerate(names):
            of = part[part["line"] == name]
            at = of["relation"].map(rows.index) + 0.7 * ((number + 0.5) / len(names) - 0.5)
            spread = np.clip([of["value"] - of["low"], of["high"] - of["value"]], 0, None)
            look = {"fmt": style.MARKERS[number % 9], "color": style.COLOURS[number % 9], "markersize": 4.5}
            axes.errorbar(of["value"], at, xerr=spread, capsize=2, linewidth=1, label=name, **look)
            told += [f"{panel}, {r.relation} {name} {percent(r.value)}" for r in of.itertuples()]
        for number, (relation, of) in enumerate(part.groupby("relation")):
            look = {"color": "black", "linewidth": 1.1, "label": None if number else "chance"}
            axes.plot([of["chance"].mean()] * 2, rows.index(relation) + np.array([-0.45, 0.45]), "--", **look)
        axes.set(xlim=(-0.04, 1.04), ylim=(len(rows) - 0.5, -0.5), yticks=range(len(rows)), title=panel)
        axes.set_yticklabels(rows, fontsize=9)
        axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        style.plain(axes)
    style.legend(figure, shown)
    return style.described(figure, f"{title.capitalize()}. " + "; ".join(told) + ".")


def confusion(grids: Mapping[str, pd.DataFrame]) -> Figure:
    """Matrices below each other (title → what was true × what was said, in shares of the row), in percent;
    the diagonal is framed."""
    import seaborn

    tall, wide = (max(grid.shape[k] for grid in grids.values()) for k in (0, 1))
    # Side by side they are so wide that a page shrinks their numbers until nobody can read them.
    size = (1.8 + 0.5 * wide, len(grids) * (1.4 + 0.36 * tall))
    figure = Figure(figsize=size, layout="constrained")
    panels, told = figure.subplots(len(grids), 1, squeeze=False)[:, 0], []
    for axes, (title, grid) in zip(panels, grids.items(), strict=True):
        numbers = (100 * grid).map("{:.0f}".format).where(grid >= SHOWN, "")
        look = {"annot": numbers, "fmt": "", "annot_kws": {"fontsize": 8}, "cbar": False, "linewidths": 0.6}
        seaborn.heatmap(100 * grid, ax=axes, vmin=0, vmax=100, cmap="cividis", **look)
        axes.set(title=title, xlabel="said", ylabel="true")
        axes.set_xticklabels(grid.columns, rotation=50, ha="right", fontsize=8.5)
        axes.set_yticklabels(grid.index, rotation=0, fontsize=8.5)
        for row, name in enumerate(grid.index):
            place = list(grid.columns).index(name)
            axes.plot([place, place + 1, place + 1, place, place],
                      [row, row, row + 1, row + 1, row], color="black", linewidth=1.2)  # fmt: skip
            told.append(f"{title}, {name}: " + _told(grid.loc[name]))
    return style.described(figure, "What was said where each relation was true. " + "; ".join(told) + ".")


def _told(row: pd.Series) -> str:
    """A row in words: what was said, the commonest first."""
    said = row[row >= SHOWN].sort_values(ascending=False, kind="stable")
    return ", ".join(f"{name} {percent(share)}" for name, share in said.items())
