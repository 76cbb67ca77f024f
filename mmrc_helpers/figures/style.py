"""What figures are drawn with: the palette, panels, ticks, labels, and the image that carries its
alternative text. Colours are Okabe and Ito's (told apart by the colour-blind); markers, dashes and hatches
repeat what they say, so that a figure can be read in grey print."""

import io
import re
import shutil
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.transforms import Bbox

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#777777",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, "#000000", "#8C6D31", GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "ooo", "--", "**")
SECTIONS = (BLUE, ORANGE, GREEN, PURPLE)  # the values of the first axis, in order
PANELS_PER_ROW = 5
LETTER = 0.65  # of its size: width of a letter and of what keeps names apart
LINES = (
    "-",
    "--",
    "-.",
    ":",
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (1, 3)),
    (0, (8, 2)),
    (0, (3, 4)),
    (0, (6, 1, 1, 1)),
)

# For reading on a screen, and for a printed page: serifs and mathematics as in LaTeX's Times, fonts embedded.
STYLES = {
    "screen": {"font.family": "DejaVu Sans", "text.usetex": False, "lines.linewidth": 1.8},
    "print": {
        "font.family": "STIXGeneral",
        "mathtext.fontset": "stix",
        "font.size": 11,
        "lines.linewidth": 1.3,
        "axes.linewidth": 0.6,
        "hatch.linewidth": 0.6,
        "pdf.fonttype": 42,
        "svg.hashsalt": "mmrc_helpers",
    },
}


def style(name: str):
    """Context in which figures are made and saved: `screen` or `print`, on matplotlib's own defaults: a
    user's dark matplotlibrc would leave white labels on white ground. Of that file, only `text.usetex`
    counts: where LaTeX is installed, it decides whether print sets its text with it."""
    usetex = {"text.usetex": bool(rcParams["text.usetex"] and shutil.which("latex"))}
    return context(["default", usetex, STYLES[name]])


def image(figure: Figure, name: str = ""):
    """The figure as a PNG that a notebook displays with its alternative text. ValueError without one. name:
    of its files for print, to which the rendered page links."""
    from IPython.display import Image

    alt = figure.get_label()
    if not alt:
        raise ValueError("a figure needs alternative text: figure.set_label(...)")
    buffer = io.BytesIO()
    figure.set_dpi(110)
    figure.savefig(buffer, format="png", dpi="figure", bbox_inches=trimmed(figure), facecolor="white")
    return Image(buffer.getvalue(), format="png", metadata={"alt": alt, "name": name})


def trimmed(figure: Figure) -> Bbox:
    """Lays the figure out, for good, and measures what is drawn on it: the part to save, in inches. With
    `bbox_inches="tight"` matplotlib does both anew for every file."""
    if engine := figure.get_layout_engine():  # none any more when it is shown again
        engine.execute(figure)
    figure.set_layout_engine(None)  # "none" would leave a placeholder, for which every file is drawn twice
    return figure.get_tightbbox().padded(rcParams["savefig.pad_inches"])


def grid(panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels of width × height inches, at most five in a row."""
    rows = -(-panels // PANELS_PER_ROW)
    columns = -(-panels // rows)
    figure = Figure(figsize=(max(4.0, width * columns), height * rows + 0.5), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for spare in axes[panels:]:
        spare.set_visible(False)
    return figure, axes


def folded(name: str, inches: float, size: float) -> str:
    """The name in lines of so many inches at a font size, as far as it has spaces, underscores, slashes or
    commas to be broken after; lines that it has already stay."""
    letters, lines = int(inches * 72 / (LETTER * size)), []
    for line in name.split("\n"):
        lines.append("")
        for piece in re.split(r"(?<=[ _/])(?=.)", line):
            if lines[-1] and len((lines[-1] + piece).rstrip()) > letters:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def breadth(names: Iterable[str], size: float) -> float:
    """Inches that the longest line of these names takes at a font size."""
    return max((len(line) for name in names for line in name.split("\n")), default=0) * LETTER * size / 72


def share_axis(axes: Axes) -> None:
    axes.set_ylim(0, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"], fontsize=9)
    plain(axes)


def plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def percent(value: float) -> str:
    """27 %, or "not measured"."""
    return "not measured" if np.isnan(value) else f"{100 * value:.0f} %"


def boxed(axes: Axes, x: float, y: float, text: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.9}
    axes.text(x, y, text, ha="center", va="center", fontsize=8, bbox=box)


def end_labels(axes: Axes, ends: Iterable[tuple[float, str, str]], gap: float = 0.075) -> None:
    """Names right of the lines' ends (height, text, colour), moved apart where they would overlap; gap: least
    distance as a part of the axis. Call it when the limits of the axis are final."""
    ends = sorted(ends)
    place = axes.transData + axes.transAxes.inverted()
    ends_at = [float(place.transform((0, height))[1]) for height, _, _ in ends]
    shown_at = _apart(ends_at, gap)
    for (_, text, colour), end, shown in zip(ends, ends_at, shown_at, strict=True):
        arrow = dict(arrowstyle="-", color=colour, linewidth=0.7, shrinkA=0, shrinkB=0)
        arrow["relpos"] = (0, 0.5)  # to the name's edge, not through other names
        axes.annotate(text, (1.0, end), (1.05, shown), "axes fraction", "axes fraction", arrow, va="center",
                      ha="left", color=_as_text(colour), fontsize="small", annotation_clip=False)  # fmt: skip


def _as_text(colour: str) -> tuple[float, ...]:
    """The colour, darkened until it can be read on white (about 4.5 : 1, as WCAG 2.1 asks)."""
    rgb = np.array(to_rgb(colour))
    lightness = rgb**2.2 @ (0.2126, 0.7152, 0.0722)
    return tuple(rgb * min(1.0, (0.18 / max(lightness, 1e-9)) ** (1 / 2.2)))


def _apart(heights: list[float], gap: float) -> list[float]:
    """Increasing heights moved as little as needed so that neighbours are `gap` apart and none is above 1:
    overlapping labels form a block around the mean of where they belong (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []  # mean of height − rank × gap, number of labels
    for rank, height in enumerate(heights):
        mean, count = height - rank * gap, 1
        while blocks and blocks[-1][0] > mean:
            earlier, members = blocks.pop()
            mean, count = (earlier * members + mean * count) / (members + count), members + count
        blocks.append((mean, count))
    flat = [mean for mean, count in blocks for _ in range(count)]
    highest = 1 - (len(flat) - 1) * gap
    return [min(mean, highest) + rank * gap for rank, mean in enumerate(flat)]


def legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend below the panels, with every name that occurs in any of them."""
    named = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    place = {"loc": "outside lower center", "ncols": min(6, len(named)), "fontsize": 9, "frameon": False}
    figure.legend(named.values(), named.keys(), **place)


def described(figure: Figure, alt: str) -> Figure:
    """The figure with its alternative text, which `image` hands on."""
    figure.set_label(alt)
    return figure
