"""Alignment of gradients becomes figures: who pulls with whom, at several probes, over training and by layer;
and forward against reverse in every arm of a study."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmrc_helpers.analysis import curves as tables
from mmrc_helpers.figures import lines, style

FORMATS = ("free", "choice", "judge")
STYLES = {
    "free": {"color": style.BLUE, "linestyle": "-", "marker": "o", "markersize": 4},
    "choice": {"color": style.RED, "linestyle": "--", "marker": "s", "markersize": 4},
    "judge": {"color": "#000000", "linestyle": ":", "marker": "^", "markersize": 4},
}
SHORT = {"novel": "nov.", "background": "back.", "forward": "fwd", "reverse": "rev"}


def alignment(traces: Mapping[str, pd.DataFrame], probes: int = 3) -> Figure:
    """Above, the cosine of every pair of groups at so many `probes` from first to last; below,
    forward against reverse on novel people within each format: over training, with Adam's preconditioner, and
    by layer at the last probe."""
    gradients = traces["gradients"]
    whole = gradients[(gradients["layer"] == "all") & (gradients["preconditioner"] == "none")]
    times = list(whole.groupby(["phase", "step"]).groups)
    chosen = [times[k] for k in np.unique(np.linspace(0, len(times) - 1, probes).round().astype(int))]
    groups = list(dict.fromkeys(gradients["left"]))
    figure = Figure(figsize=(12, 8.2), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(5, 3.2))
    matrices = upper.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
    for axes, (phase, step) in zip(matrices, chosen, strict=True):
        here = whole[(whole["phase"] == phase) & (whole["step"] == step)]
        grid = here.pivot_table(index="left", columns="right", values="cosine").reindex(
            index=groups, columns=groups
        )
        picture = _matrix(axes, grid)
        axes.set_title(
            f"step {step:g}" if len({p for p, _ in times}) == 1 else f"phase {phase}, step {step:g}"
        )
    upper.colorbar(picture, ax=list(matrices), shrink=0.8, aspect=30).set_label("cosine of gradients")
    told = _three(lower, gradients)
    return style.described(
        figure,
        f"Cosine of gradients between {len(groups)} groups at {len(chosen)} probes. Forward against reverse, "
        "novel people: " + "; ".join(told) + ".",
    )


def draw_arms(
    panels: Sequence[Axes], gradients: pd.DataFrame, formats: Sequence[str], variants: Sequence[str]
) -> list[str]:
    """Forward against reverse gradient on novel people over training: one panel per format, one line per
    variant, bands over seeds. Returns the numbers in words."""
    pairs = tables.pairs(gradients[gradients["preconditioner"] == "none"])
    table = tables.over_time(pairs, "cosine", ["variant", "format"])
    limits, told = _limits(table["mean"]), []
    for axes, name in zip(panels, formats, strict=True):
        drawn = lines.variants(table[table["format"] == name], variants)
        axes.set_title(f"forward against reverse, {name}")
        if drawn:
            levels = [(0.0, "orthogonal")]
            lines.draw(axes, drawn, table, limits=limits, levels=levels, time="supervised_tokens")
        told += [f"{name}, {variant} {lines.from_to(line)}" for variant, line, _ in drawn]
    panels[0].set_ylabel("cosine of gradients")
    return told


def _matrix(axes: Axes, grid: pd.DataFrame):
    """The cosines as colours around zero, with their numbers where these can be read."""
    cosines = grid.to_numpy()
    picture = axes.imshow(cosines, cmap="RdBu", vmin=-1, vmax=1)
    names = [_short(group) for group in grid.index]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize="x-small")
    axes.set_yticks(range(len(names)), names, fontsize="x-small")
    for (row, column), cosine in np.ndenumerate(cosines):
        if not np.isnan(cosine):
            label = f"{100 * cosine:.0f}".replace("-", "−")
            colour = "white" if abs(cosine) > 0.65 else "black"
            place = {"ha": "center", "va": "center", "in_layout": False}  # a layout without them is quicker
            axes.text(column, row, label, fontsize=6, color=colour, **place)
    return picture


def _three(figure, gradients: pd.DataFrame) -> list[str]:
    """Plain, preconditioned, by layer; returns the numbers in words."""
    left, middle, right = figure.subplots(1, 3, sharey=True)
    limits, told = _limits(tables.pairs(gradients)["cosine"]), []
    for axes, preconditioner, title in (
        (left, "none", "plain"),
        (middle, "adam", "preconditioned as by Adam"),
    ):
        pairs = tables.pairs(gradients[gradients["preconditioner"] == preconditioner])
        table = tables.over_time(pairs, "cosine", ["format"])
        drawn = [(f, table[table["format"] == f], STYLES[f]) for f in FORMATS if (table["format"] == f).any()]
        axes.set_title(title)
        if drawn:
            lines.draw(axes, drawn, table, limits=limits, levels=[(0.0, "orthogonal")])
        told += [f"{f}, {title} {lines.from_to(line)}" for f, line, _ in drawn]
    left.set_ylabel("cosine of the forward and\nthe reverse gradient")
    _by_layer(right, tables.pairs(gradients[gradients["preconditioner"] == "none"], layer=None))
    return told


def _by_layer(axes: Axes, pairs: pd.DataFrame) -> None:
    """The cosines at the last probe over the decoder's layers."""
    last = pairs[pairs["step"] == pairs["step"].max()].assign(number=lambda rows: rows["layer"].astype(int))
    grid = last.pivot_table(index="number", columns="format", values="cosine")
    for name in grid:
        axes.plot(grid.index, grid[name], **STYLES[name])
    axes.set(xlabel="decoder layer", title="by layer, last probe")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.axhline(0, color="black", linestyle=":", linewidth=0.9)
    axes.margins(x=0)
    style.plain(axes)
    style.end_labels(axes, [(grid[name].iloc[-1], name, STYLES[name]["color"]) for name in grid])


def _limits(cosines: pd.Series) -> tuple[float, float]:
    """Ends of an axis of cosines: even around zero, at a tenth."""
    end = max(0.1, np.ceil(11 * abs(cosines).max()) / 10) if len(cosines) else 1.0
    return -min(1.0, end), min(1.0, end)


def _short(group: str) -> str:
    """`novel forward/free` in the few letters that a matrix has room for; `text twin` as it is."""
    population, cell = group.split(" ")
    if "/" not in cell:
        return group
    direction, format = cell.split("/")
    return f"{SHORT[population]} {SHORT[direction]} {format}"
