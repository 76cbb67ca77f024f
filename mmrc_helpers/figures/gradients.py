"""Alignment of gradients becomes a figure: who pulls with whom at several probes, and chosen pairs over
training and by layer."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmrc_helpers.figures import lines, style


def alignment(
    grids: Mapping[str, pd.DataFrame], pairs: pd.DataFrame, layers: pd.DataFrame, what: str
) -> Figure:
    """Above, the cosine of every pair of groups, one matrix per probe (title → groups × groups); below, the
    cosine of chosen pairs over training, one panel per `panel` (lines as in `lines`), and by layer at the
    last probe (columns layer, line, cosine). what: which pairs, in words."""
    figure = Figure(figsize=(12, 8.2), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(5, 3.2))
    matrices = upper.subplots(1, len(grids), sharey=True, squeeze=False)[0]
    for axes, (title, grid) in zip(matrices, grids.items(), strict=True):
        picture = _matrix(axes, grid)
        axes.set_title(title)
    upper.colorbar(picture, ax=list(matrices), shrink=0.8, aspect=30).set_label("cosine of gradients")
    names = list(dict.fromkeys([*pairs["line"], *layers["line"]]))
    looks = lines.looks(names)
    panels = list(dict.fromkeys(pairs["panel"]))
    below = lower.subplots(1, len(panels) + 1, sharey=True, squeeze=False)[0]
    limits = cosine_limits([*pairs["mean"], *layers["cosine"]])
    for axes, name in zip(below, panels, strict=False):
        part = pairs[pairs["panel"] == name]
        lines.draw(axes, part, looks, limits=limits, levels=[(0.0, "orthogonal")])
        axes.set_title(name)
    below[0].set_ylabel(f"cosine of gradients,\n{what}")
    _by_layer(below[-1], layers, looks)
    said = f"Cosine of gradients between {len(next(iter(grids.values())))} groups at {len(grids)} probes. "
    return style.described(figure, f"{said}{what.capitalize()}: {lines.told(pairs)}.")


def cosine_limits(cosines: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis of cosines: even around zero, at a tenth."""
    end = max(0.1, np.ceil(11 * np.nanmax(np.abs(cosines))) / 10) if len(cosines) else 1.0
    return -min(1.0, end), min(1.0, end)


def _matrix(axes: Axes, grid: pd.DataFrame):
    """The cosines as colours around zero, with their numbers where these can be read."""
    cosines = grid.to_numpy(dtype=float)
    picture = axes.imshow(cosines, cmap="RdBu", vmin=-1, vmax=1)
    axes.set_xticks(range(len(grid.columns)), grid.columns, rotation=90, fontsize="x-small")
    axes.set_yticks(range(len(grid)), grid.index, fontsize="x-small")
    for (row, column), cosine in np.ndenumerate(cosines):
        if not np.isnan(cosine):
            label = f"{100 * cosine:.0f}".replace("-", "−")
            colour = "white" if abs(cosine) > 0.65 else "black"
            place = {"ha": "center", "va": "center", "in_layout": False}  # a layout without them is quicker
            axes.text(column, row, label, fontsize=6, color=colour, **place)
    return picture


def _by_layer(axes: Axes, layers: pd.DataFrame, looks: Mapping[str, dict]) -> None:
    """The cosines at the last probe over the decoder's layers."""
    axes.set(xlabel="decoder layer", title="by layer, last probe")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.axhline(0, color="black", linestyle=":", linewidth=0.9)
    axes.margins(x=0)
    style.plain(axes)
    ends = []
    for k, (name, line) in enumerate(layers.groupby("line", sort=False)):
        axes.plot(line["layer"], line["cosine"], marker=style.MARKERS[k], markersize=4, **looks[name])
        ends.append((line["cosine"].iloc[-1], name, looks[name]["color"]))
    style.end_labels(axes, ends)
