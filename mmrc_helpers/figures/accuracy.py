"""Tables of scores become figures. Every figure carries its alternative text as its label, with the numbers
that it shows, and is told apart by shape as well as by colour."""

from collections.abc import Mapping, Sequence
from math import radians, sin

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmrc_helpers.figures import style
from mmrc_helpers.figures.style import percent

PANELS = 8  # more variants are shown as rows
SECTION_SIZE = 9  # points


def cells(table: pd.DataFrame, sections: Sequence[str]) -> Figure:
    """The main figure: one panel per variant, one place per cell; bars for the first series with intervals,
    chance and a dot for every seed, open markers for the other series. Many variants: `by_row`.

    table: columns variant, series, section (of `sections`, the values of the first axis), tick (the cell's
    name within its section), value, low, high, by_seed, chance; ordered as it should be shown.
    """
    variants, series = (list(dict.fromkeys(table[column])) for column in ("variant", "series"))
    if len(variants) > PANELS:
        return by_row(table, sections)
    places = _places(table, sections)
    table = table.assign(at=[places.index(p) for p in zip(table["section"], table["tick"], strict=True)])
    names = _section_names(places)
    each = max([0.3, *(style.breadth([name], SECTION_SIZE) / count for _, count, name in names)])
    figure, panels = style.grid(len(variants), width=0.9 + each * len(places), height=3.2)
    for axes, variant in zip(panels, variants, strict=False):
        here = table[table["variant"] == variant]
        _bars(axes, here[here["series"] == series[0]], series[0], sections)
        for name, marker, shift in zip(series[1:], ("D", "^", "v"), (0.4, -0.4, 0.4), strict=False):
            part = here[here["series"] == name]
            look = {"fmt": marker, "color": "black", "markerfacecolor": "white", "markersize": 4.5}
            place = part["at"] + shift
            axes.errorbar(place, part["value"], _whiskers(part), capsize=2, linewidth=0.8, label=name, **look)
        axes.set_title(variant, fontsize=11)
        _place_ticks(axes, places, names)
        style.share_axis(axes)
    style.legend(figure, panels)
    told = [f"{variant}: " + _told(table[(table["variant"] == variant) & (table["series"] == series[0])])
            for variant in variants]  # fmt: skip
    return style.described(figure, f"Every cell, one panel per variant. {series[0].capitalize()}, "
                           + "; ".join(told) + ".")  # fmt: skip


def by_row(table: pd.DataFrame, sections: Sequence[str]) -> Figure:
    """The main figure of many variants: a row for each, a column per cell. Values with intervals, a tick for
    every seed, chance dashed; full markers where a variant was taught (column `taught`, if there); open ones
    above them for the other series. table: as in `cells`."""
    variants, series = (list(dict.fromkeys(table[column])) for column in ("variant", "series"))
    places = _places(table, sections)
    titles = [style.folded(f"{section}\n{tick}", 1.28, 10) for section, tick in places]
    size = (1.9 + max(1.28, style.breadth(titles, 10)) * len(places), 1.7 + 0.33 * len(variants))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(places), sharey=True, squeeze=False)[0]
    for axes, (section, tick), title in zip(panels, places, titles, strict=True):
        here = table[(table["section"] == section) & (table["tick"] == tick)]
        kind = sections.index(section)
        look = {"marker": style.MARKERS[kind], "color": style.SECTIONS[kind]}
        for odd in range(1, len(variants), 2):
            axes.axhspan(odd - 0.5, odd + 0.5, color="#EEEEEE", linewidth=0, zorder=0)
        axes.axvline(here["chance"].mean(), color="black", linestyle="--", linewidth=1, label="chance")
        for row in here[here["series"] == series[0]].itertuples():
            _value(axes, variants.index(row.variant), row, look, f"{series[0]}, {section}")
        for name, marker in zip(series[1:], ("D", "^", "v"), strict=False):
            part = here[here["series"] == name]
            at = [variants.index(variant) - 0.34 for variant in part["variant"]]
            open_ = {"color": style.GREY, "markerfacecolor": "white", "markersize": 3.5, "linestyle": ""}
            axes.plot(part["value"], at, marker=marker, label=name, **open_)
        axes.set(xlim=(-0.04, 1.04), ylim=(len(variants) - 0.5, -0.6), yticks=range(len(variants)))
        axes.set_yticklabels(variants, fontsize=9)
        axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"], fontsize=8.5)
        axes.set_title(title, fontsize=10)
        axes.tick_params(axis="y", length=0)
        style.plain(axes)
    style.legend(figure, panels)
    first = table[table["series"] == series[0]].assign(at=0)
    told = [f"{variant}: {_told(first[first['variant'] == variant])}" for variant in variants]
    return style.described(figure, f"Every cell, one row per variant. {series[0].capitalize()}, "
                           + "; ".join(told) + ".")  # fmt: skip


def _value(axes: Axes, at: int, row, look: Mapping, label: str) -> None:
    """One value of `by_row` with its interval, its seeds and its number."""
    taught = getattr(row, "taught", False)
    fill, label = look["color"] if taught else "white", label + ", taught in this cell" * taught
    spread = np.clip([[row.value - row.low], [row.high - row.value]], 0, None)
    mark = {"markersize": 6, "markerfacecolor": fill, "capsize": 2.5, "linewidth": 1.1, "linestyle": ""}
    axes.errorbar(row.value, at, xerr=spread, label=label, **look, **mark)
    if len(row.by_seed) > 1:
        seeds = {"color": "black", "marker": "|", "markersize": 5, "linestyle": "", "label": "every seed"}
        axes.plot(row.by_seed, [at + 0.3] * len(row.by_seed), **seeds)
    beside = {"va": "center", "ha": "right", "fontsize": 7.5, "color": "#333333"}
    axes.annotate(f"{100 * row.value:.0f}", (1.2, at), xycoords=axes.get_yaxis_transform(), **beside)


def _places(table: pd.DataFrame, sections: Sequence[str]) -> list[tuple[str, str]]:
    """Section and tick of every cell, section by section."""
    places = dict.fromkeys(zip(table["section"], table["tick"], strict=True))
    return sorted(places, key=lambda place: sections.index(place[0]))


def _bars(axes: Axes, part: pd.DataFrame, series: str, sections: Sequence[str]) -> None:
    for k, section in enumerate(sections):
        rows = part[part["section"] == section]
        axes.bar(rows["at"], rows["value"], width=0.56, color=style.SECTIONS[k], hatch=style.HATCHES[k],
                 edgecolor="white", linewidth=0, label=f"{series}, {section}")  # fmt: skip
    axes.errorbar(part["at"], part["value"], yerr=_whiskers(part), fmt="none", ecolor="black", capsize=3,
                  linewidth=1.2)  # fmt: skip
    dots = [
        (row.at + shift, value)
        for row in part[part["by_seed"].map(len) > 1].itertuples()
        for shift, value in zip(np.linspace(-0.16, 0.16, len(row.by_seed)), row.by_seed, strict=True)
    ]
    if dots:
        look = {"color": "black", "markersize": 3.2, "markeredgecolor": "white", "markeredgewidth": 0.6}
        axes.plot(*np.transpose(dots), "o", label="every seed", zorder=4, **look)
    for number, row in enumerate(part.itertuples()):
        look = {"color": "black", "linewidth": 1.2, "label": None if number else "chance"}
        axes.plot([row.at - 0.46, row.at + 0.46], [row.chance] * 2, "--", **look)


def _section_names(places: Sequence[tuple[str, str]]) -> list[tuple[int, int, str]]:
    """First place, number of places and name of every section, folded to 0.8 inches or its places."""
    sections = [section for section, _ in places]
    spans = [(sections.index(name), sections.count(name), name) for name in dict.fromkeys(sections)]
    return [(first, n, style.folded(name, max(0.8, 0.3 * n), SECTION_SIZE)) for first, n, name in spans]


def _place_ticks(
    axes: Axes, places: Sequence[tuple[str, str]], names: Sequence[tuple[int, int, str]]
) -> None:
    """The cells' names, slanted, and below the longest of them the sections'."""
    ticks = [tick for _, tick in places]
    axes.set_xticks(range(len(places)), ticks, rotation=50, ha="right", fontsize=8.5)
    axes.set_xlim(-0.7, len(places) - 0.3)
    down = 14 + 72 * style.breadth(ticks, 8.5) * sin(radians(50))
    for first, count, name in names:
        if first:
            axes.axvline(first - 0.5, color=style.GREY, linewidth=0.6)
        below = {"textcoords": "offset points", "ha": "center", "va": "top", "fontsize": SECTION_SIZE}
        middle = (first + (count - 1) / 2, 0)
        axes.annotate(name, middle, (0, -down), axes.get_xaxis_transform(), **below)


def _whiskers(part: pd.DataFrame) -> np.ndarray:
    return np.clip([part["value"] - part["low"], part["high"] - part["value"]], 0, None)


def _told(part: pd.DataFrame) -> str:
    return ", ".join(f"{r.section} {r.tick} {percent(r.value)}" for r in part.sort_values("at").itertuples())


def matrices(
    grids: Mapping[str, pd.DataFrame], taught: pd.DataFrame, ranges: Mapping[str, pd.DataFrame] | None = None
) -> Figure:
    """Transfer matrices side by side (title → variants × tested cells), in percent. taught: the cells that a
    variant was taught in (True), framed in the first matrix. ranges: title → the interval of each value, as
    text."""
    import seaborn

    tall, widest = (max(grid.shape[k] for grid in grids.values()) for k in (0, 1))
    names = {title: [_below(name) for name in grid.columns] for title, grid in grids.items()}
    each = max(0.7, *(style.breadth(below, 8.5) for below in names.values()))
    figure = Figure(figsize=(1.6 + each * widest * len(grids), 1.9 + 0.46 * tall), layout="constrained")
    panels = figure.subplots(1, len(grids), squeeze=False, sharey=True)[0]
    for axes, (title, grid) in zip(panels, grids.items(), strict=True):
        axes.set_title(title, fontsize=11)
        shown = (100 * grid).map("{:.0f}".format).where(grid.notna(), "")
        if ranges is not None:
            shown = shown + ranges[title].reindex(index=grid.index, columns=grid.columns).fillna("")
        look = {"annot": shown, "fmt": "", "annot_kws": {"fontsize": 8}, "cbar": False, "linewidths": 0.6}
        seaborn.heatmap(100 * grid, ax=axes, vmin=0, vmax=100, cmap="cividis", **look)
        axes.set_xticklabels(names[title], rotation=0, fontsize=8.5)
        axes.set_yticklabels(grid.index, rotation=0, fontsize=9)
        axes.set(xlabel="tested in", ylabel="")
    first = next(iter(grids.values()))
    taught = taught.reindex(index=first.index, columns=first.columns).eq(True)
    for row, column in np.argwhere(taught.to_numpy()):
        for colour, width, inset in (("black", 2.6, 0.03), ("white", 0.9, 0.075)):
            frame = {"fill": False, "edgecolor": colour, "linewidth": width}
            size = 1 - 2 * inset
            panels[0].add_patch(Rectangle((column + inset, row + inset), size, size, **frame))
    panels[0].set_ylabel("variant; framed: what it was taught in")
    told = [f"{name}: " + ", ".join(f"{c.replace('/', ' ')} {percent(v)}" for c, v in row.items())
            for name, row in first.iterrows()]  # fmt: skip
    title = next(iter(grids)).removesuffix(", %")
    return style.described(figure, f"Variants by tested cell, {title}. " + "; ".join(told) + ".")


def _below(cell: str) -> str:
    """A cell's name as it stands below a column."""
    return style.folded(cell.replace("/", "\n").replace(", ", ",\n"), 0.7, 8.5)


def gaps(table: pd.DataFrame, variants: Sequence[str]) -> Figure:
    """Differences of shares with intervals, one panel for each `panel`, a row per variant, a marker for each
    `line`; zero is dashed. table: columns panel, variant, line, gap, low, high, by_seed."""
    panels = list(dict.fromkeys(table["panel"]))
    figure = Figure(figsize=(1.9 + 4.2 * len(panels), 1.8 + 0.5 * len(variants)), layout="constrained")
    shown, told = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], []
    for axes, panel in zip(shown, panels, strict=True):
        here = table[table["panel"] == panel]
        names = list(dict.fromkeys(here["line"]))
        for k, name in enumerate(names):
            part = here[here["line"] == name]
            rows = part["variant"].map(list(variants).index) + 0.7 * ((k + 0.5) / len(names) - 0.5)
            spread = np.clip([part["gap"] - part["low"], part["high"] - part["gap"]], 0, None)
            look = {"fmt": style.MARKERS[k], "color": style.COLOURS[k], "capsize": 2.5, "linewidth": 1.1}
            axes.errorbar(part["gap"], rows, xerr=spread, label=name, **look)
            for row, seeds in zip(rows, part["by_seed"], strict=True):
                seeds = seeds if len(seeds) > 1 else ()
                axes.plot(seeds, [row + 0.12] * len(seeds), "|", color="black", markersize=5)
            told += [f"{r.variant}, {panel}, {name} {100 * r.gap:+z.0f}" for r in part.itertuples()]
        axes.axvline(0, color="black", linestyle="--", linewidth=1)
        axes.set(yticks=range(len(variants)), ylim=(len(variants) - 0.5, -0.5), xlim=(-1.05, 1.05))
        axes.set_yticklabels(variants, fontsize=9)
        axes.set_xticks([-1, -0.5, 0, 0.5, 1], ["−100", "−50", "0", "50", "100"])
        axes.set_title(f"{panel}, points", fontsize=11)  # below the axis it would stand in the legend
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.12), ncols=3)
        style.plain(axes)
    return style.described(figure, "Gaps in points. " + "; ".join(told) + ".")


def binding(
    table: pd.DataFrame,
    rates: Mapping[str, str],
    parts: Mapping[str, str],
    title: str = "What is bound and what is reached",
    unit: str = "share of the line-ups",
) -> Figure:
    """Rates with intervals per variant (column → name; `column`_low, `column`_high), and shares that sum to
    one, stacked (column → name). table: one row per variant, with chance. title: of the alternative text.
    unit: of the stacked shares."""
    table = table.reset_index(drop=True)
    figure = Figure(figsize=(10.5, 1.9 + 0.45 * len(table)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(table))
    for k, (column, name) in enumerate(rates.items()):
        spread = [abs(table[f"{column}_{end}"] - table[column]) for end in ("low", "high")]
        shift = 0.18 * (k - (len(rates) - 1) / 2)
        look = {"fmt": style.MARKERS[k], "color": (style.GREEN, style.BLUE, style.ORANGE, style.RED)[k]}
        left.errorbar(table[column], rows + shift, xerr=spread, capsize=3, label=name, linewidth=1.2, **look)
    left.axvline(table["chance"].mean(), color="black", linestyle="--", linewidth=1, label="chance")
    left.set(yticks=rows, yticklabels=table["variant"], xlim=(-0.02, 1.02), xlabel="share of the questions",
             ylim=(len(rows) - 0.5, -0.5))  # fmt: skip
    start = np.zeros(len(table))
    colours = (style.GREEN, style.RED, style.SKY, "#DDDDDD")
    for k, (column, name) in enumerate(parts.items()):
        share = table[column].to_numpy()
        look = {"color": colours[k], "hatch": style.HATCHES[k], "edgecolor": "white"}
        right.barh(rows, share, left=start, label=name, **look)
        start += share
    right.set(xlim=(0, 1), xlabel=unit)
    for axes in (left, right):
        axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        style.plain(axes)
    told = ["{}: {}".format(r["variant"], ", ".join(f"{name} {percent(r[c])}" for c, name in rates.items()))
            for _, r in table.iterrows()]  # fmt: skip
    return style.described(figure, f"{title}. " + "; ".join(told) + ".")
