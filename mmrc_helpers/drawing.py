"""What figures are drawn with: the palette, panels of six cells, ticks, and the image that carries
alternative text. Colours are Okabe and Ito's (told apart by the colour-blind); markers and hatches repeat
what colours say."""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmrc_helpers.records import CELLS

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#777777",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, "#000000", "#8C6D31", GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "ooo", "--", "**")
DIRECTION_COLOURS = {"forward": BLUE, "reverse": ORANGE}
PANELS_PER_ROW = 5


def image(figure: Figure):
    """The figure as a PNG that a notebook displays with its alternative text. ValueError without one."""
    from IPython.display import Image

    alt = figure.get_label()
    if not alt:
        raise ValueError("a figure needs alternative text: figure.set_label(...)")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", facecolor="white")
    return Image(buffer.getvalue(), format="png", metadata={"alt": alt})


def grid(panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels of width × height inches, at most five in a row."""
    rows, columns = -(-panels // PANELS_PER_ROW), min(panels, PANELS_PER_ROW)
    figure = Figure(figsize=(max(4.0, width * columns), height * rows + 0.5), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for spare in axes[panels:]:
        spare.set_visible(False)
    return figure, axes


def by_cell(scores: pd.DataFrame, arm: str, population: str) -> pd.DataFrame:
    """The scores of one arm and population, with `at`, the place of the cell on the horizontal axis."""
    part = scores[(scores["variant"] == arm) & (scores["population"] == population)]
    return part.assign(
        at=[CELLS.index(f"{d}/{f}") for d, f in zip(part["direction"], part["format"], strict=True)]
    )


def bars(axes: Axes, part: pd.DataFrame) -> None:
    """Novel people as bars: forward plain, reverse hatched; intervals as whiskers, chance as a dash."""
    for direction, rows in part.groupby("direction", sort=False):
        hatch = "///" if direction == "reverse" else ""
        axes.bar(rows["at"], rows["accuracy"], width=0.54, color=DIRECTION_COLOURS[direction], hatch=hatch,
                 edgecolor="white", label=f"novel people, {direction}")  # fmt: skip
    axes.errorbar(part["at"], part["accuracy"], yerr=whiskers(part), fmt="none", ecolor="black", capsize=3)
    chance_marks(axes, {CELLS[r.at]: r.chance for r in part.itertuples()})


def dots(axes: Axes, part: pd.DataFrame, marker: str, shift: float, label: str) -> None:
    """Another population as open markers with whiskers, beside the bars."""
    axes.errorbar(part["at"] + shift, part["accuracy"], yerr=whiskers(part), fmt=marker, color="black",
                  markerfacecolor="white", markersize=5, capsize=2, linewidth=0.8, label=label)  # fmt: skip


def whiskers(part: pd.DataFrame) -> np.ndarray:
    return np.clip([part["accuracy"] - part["low"], part["high"] - part["accuracy"]], 0, None)


def chance_marks(axes: Axes, chances: Mapping[str, float]) -> None:
    for number, (cell, chance) in enumerate(chances.items()):
        at = CELLS.index(cell)
        label = "chance" if number == 0 else None
        axes.plot([at - 0.45, at + 0.45], [chance, chance], "--", color="black", linewidth=1.2, label=label)


def cell_ticks(axes: Axes) -> None:
    axes.set_xticks(range(6), [cell.split("/")[1] for cell in CELLS], rotation=45, ha="right", fontsize=9)
    axes.set_xlim(-0.6, 5.6)
    axes.axvline(2.5, color=GREY, linewidth=0.6)
    for at, name in ((1, "forward"), (4, "reverse")):
        axes.text(at, -0.3, name, transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=9)


def share_axis(axes: Axes) -> None:
    axes.set_ylim(0, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"], fontsize=9)
    plain(axes)


def plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def boxed(axes: Axes, x: float, y: float, text: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.9}
    axes.text(x, y, text, ha="center", va="center", fontsize=8, bbox=box)


def legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(5, len(labels)), fontsize=9, frameon=False
    )


def described(figure: Figure, alt: str) -> Figure:
    """The figure with its alternative text, which `image` hands on."""
    figure.set_label(alt)
    return figure
