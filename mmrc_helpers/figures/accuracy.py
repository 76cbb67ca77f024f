"""Tables become figures. Every figure carries its alternative text as its label, is told apart by shape as
well as by colour (Okabe and Ito's colour-blind-safe palette), and reads in grey print."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmrc_helpers.analysis import intervals
from mmrc_helpers.analysis.intervals import percent
from mmrc_helpers.figures import style
from mmrc_helpers.tasks.records import CELLS, LETTERS, VERDICTS


def cells(scores: pd.DataFrame, arms: Sequence[str] = ()) -> Figure:
    """The main figure: one panel per arm, six cells each, with intervals, chance, and background people
    beside.

    scores: primary cells (metrics.primary), columns variant, population, direction, format, accuracy, low,
    high, chance. arms: order of the panels.
    """
    arms = list(arms) or list(dict.fromkeys(scores["variant"]))
    figure, panels = style.grid(len(arms), width=2.7, height=3.0)
    two_way = (scores["population"] == "two_way").any()
    for axes, arm in zip(panels, arms, strict=False):
        style.bars(axes, style.by_cell(scores, arm, "novel"))
        style.dots(axes, style.by_cell(scores, arm, "background"), "D", 0.38, "background people")
        if two_way:
            style.dots(
                axes, style.by_cell(scores, arm, "two_way"), "^", -0.38, "novel people taught both ways"
            )
        axes.set_title(arm, fontsize=11)
        style.cell_ticks(axes)
        style.share_axis(axes)
    style.legend(figure, panels[0])
    return style.described(figure, "Accuracy in six cells, one panel per arm. " + _told(scores, arms))


def matrices(novel: pd.DataFrame, background: pd.DataFrame) -> Figure:
    """Transfer matrices (metrics.matrix), novel beside background people: trained cell × tested cell, in
    percent."""
    figure = Figure(figsize=(11, 1.6 + 0.5 * len(novel)), layout="constrained")
    for axes, table, title in zip(
        figure.subplots(1, 2), (novel, background), ("novel people", "background people"), strict=True
    ):
        axes.set_title(f"{title}, accuracy in %" if table.size else f"{title} were not asked", fontsize=11)
        if not table.size:
            continue
        shares = table.to_numpy(float)
        axes.imshow(shares, vmin=0, vmax=1, cmap="cividis", aspect="auto")
        for (row, column), share in np.ndenumerate(shares):
            own = table.index[row] == table.columns[column]
            label = "–" if np.isnan(share) else f"{100 * share:.0f}"
            colour = "black" if share > 0.42 else "white"
            axes.text(column, row, label, ha="center", va="center", color=colour, fontsize=11 if own else 9.5,
                      fontweight="bold" if own else "normal")  # fmt: skip
        axes.set_xticks(range(len(table.columns)), [c.replace("/", "\n") for c in table.columns], fontsize=9)
        axes.set_yticks(range(len(table)), list(table.index), fontsize=9)
        axes.set_xlabel("tested in")
    figure.axes[0].set_ylabel("novel people trained in")
    rows = [
        f"trained in {name}: " + ", ".join(f"{c} {percent(v)}" for c, v in row.items())
        for name, row in novel.iterrows()
    ]
    return style.described(
        figure, "Transfer matrix, trained cell by tested cell. Novel people, " + "; ".join(rows) + "."
    )


def curves(metrics: pd.DataFrame) -> Figure:
    """Training loss and learning rate over steps; one line per `line` (a variant, a seed or a phase)."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    ends = []
    for k, (line, rows) in enumerate(metrics.groupby("line", sort=False)):
        look = {
            "color": style.COLOURS[k % 9],
            "marker": style.MARKERS[k % 9],
            "markevery": 0.15,
            "markersize": 5,
        }
        left.plot(rows["step"], rows["loss"], label=line, **look)
        right.plot(rows["step"], rows["learning_rate"], **look)
        ends.append(f"{line} from {rows['loss'].iloc[0]:.3g} to {rows['loss'].iloc[-1]:.3g}")
    left.set(xlabel="optimizer step", ylabel="loss (nats per supervised token)", yscale="log")
    right.set(xlabel="optimizer step", ylabel="learning rate", ylim=(0, None))
    left.legend(fontsize=8, frameon=False)
    for axes in (left, right):
        style.plain(axes)
    return style.described(figure, "Training loss over steps: " + "; ".join(ends) + ".")


def answers(shares: pd.DataFrame, population: str = "novel") -> Figure:
    """How often each letter or verdict was favoured (metrics.answer_shares), stacked per arm, with even
    shares marked."""
    shares = shares[shares["population"] == population]
    arms = list(dict.fromkeys(shares["variant"]))
    figure = Figure(figsize=(11, 1.3 + 0.38 * len(arms)), layout="constrained")
    panels = [(d, f) for f in ("choice", "judge") for d in ("forward", "reverse")]
    told = []
    for axes, (direction, format) in zip(figure.subplots(1, 4, sharey=True), panels, strict=True):
        part = shares[(shares["direction"] == direction) & (shares["format"] == format)]
        _stack(axes, part, arms)
        axes.set(
            xlim=(0, 1), xticks=[], yticks=range(len(arms)), yticklabels=arms, ylim=(len(arms) - 0.5, -0.5)
        )
        axes.set_title(f"{direction} {format}", fontsize=10)
        if len(part):
            top = part.loc[part["share"].idxmax()]
            told.append(f"{direction} {format} at most {percent(top.share)} ({top.pick}, {top.variant})")
    return style.described(figure, f"Share of each answer, {population} people: " + "; ".join(told) + ".")


def _stack(axes: Axes, part: pd.DataFrame, arms: list[str]) -> None:
    """One bar per arm, cut by answer; the colour of an answer is the same in every panel."""
    left = np.zeros(len(arms))
    for name, rows in part.sort_values("pick").groupby("pick"):
        place = LETTERS.index(name) if name in LETTERS else VERDICTS.index(name)
        width = rows.set_index("variant")["share"].reindex(arms).fillna(0).to_numpy()
        look = {"color": style.COLOURS[place], "hatch": style.HATCHES[place], "edgecolor": "white"}
        axes.barh(range(len(arms)), width, left=left, **look)
        for y, share in enumerate(width):
            if share >= 0.08:
                style.boxed(axes, left[y] + share / 2, y, f"{name[:1]} {100 * share:.0f}")
        left += width
    for edge in np.arange(part["even"].max(), 0.999, part["even"].max()) if len(part) else ():
        axes.axvline(edge, color="black", linewidth=0.9, linestyle=":")


def storage(table: pd.DataFrame) -> Figure:
    """Stored against reachable per arm (metrics.storage): two rates with intervals, and the four shares
    stacked."""
    table = table[table["population"] == "novel"].reset_index(drop=True)
    figure = Figure(figsize=(10, 1.6 + 0.42 * len(table)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(table))
    for name, marker, colour, shift in (
        ("storage", "s", style.GREEN, -0.12),
        ("access", "o", style.ORANGE, 0.12),
    ):
        low, high = (abs(table[f"{name}_{end}"] - table[name]) for end in ("low", "high"))
        left.errorbar(
            table[name], rows + shift, xerr=[low, high], fmt=marker, color=colour, capsize=3, label=name
        )
    left.axvline(table["chance"].mean(), color="black", linestyle="--", linewidth=1, label="chance")
    left.set(
        yticks=rows,
        yticklabels=table["variant"],
        xlim=(-0.02, 1.02),
        xlabel="accuracy",
        ylim=(len(rows) - 0.5, -0.5),
    )
    left.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    start = np.zeros(len(table))
    parts = ("stored_reached", "stored_unreached", "unstored_reached", "neither")
    for k, (part, colour) in enumerate(
        zip(parts, (style.GREEN, style.RED, style.SKY, "#DDDDDD"), strict=True)
    ):
        share = table[part].to_numpy()
        right.barh(
            rows,
            share,
            left=start,
            color=colour,
            hatch=style.HATCHES[k],
            edgecolor="white",
            label=part.replace("_", ", "),
        )
        start += share
    right.set(xlim=(0, 1), xlabel="share of the questions")
    right.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    for axes in (left, right):
        style.plain(axes)
    told = [
        f"{r.variant}: stored {percent(r.storage)}, chosen {percent(r.access)}" for r in table.itertuples()
    ]
    return style.described(
        figure, "Storage probe against reverse choice, novel people. " + "; ".join(told) + "."
    )


def drops(table: pd.DataFrame) -> Figure:
    """Accuracy with picture or text destroyed (metrics.drops), per arm and cell; what survives measures
    something else."""
    arms = list(dict.fromkeys(table["variant"]))
    figure, panels = style.grid(len(arms), width=2.7, height=2.8)
    kinds = [k for k in ("none", "image", "text") if k in table.columns]
    told = []
    for axes, arm in zip(panels, arms, strict=False):
        part = table[table["variant"] == arm]
        for k, kind in enumerate(kinds):
            at = [CELLS.index(f"{r.direction}/{r.format}") + 0.24 * (k - 1) for r in part.itertuples()]
            label = {"none": "whole question", "image": "picture dropped", "text": "text dropped"}[kind]
            axes.plot(at, part[kind], style.MARKERS[k], color=style.COLOURS[k], markersize=7, label=label)
        style.chance_marks(axes, {f"{r.direction}/{r.format}": r.chance for r in part.itertuples()})
        axes.set_title(arm, fontsize=11)
        style.cell_ticks(axes)
        style.share_axis(axes)
        told.append(f"{arm}: " + ", ".join(f"{k} {percent(part[k].mean())}" for k in kinds))
    style.legend(figure, panels[0])
    return style.described(
        figure, "Accuracy with the picture or the text dropped, means over cells. " + "; ".join(told) + "."
    )


def gates(table: pd.DataFrame, power: pd.DataFrame) -> Figure:
    """The gates of one arm with interval and threshold, and below them the power of reverse choice as run.

    table: columns of gates.Gate. power: gates.power_table; empty if reverse choice was not asked.
    """
    rows = len(table)
    figure = Figure(figsize=(9.5, 3.4 + 0.42 * rows), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(0.42 * rows + 0.6, 2.4))
    for row, gate in enumerate(table.itertuples()):
        _gate(upper, row, gate)
    upper.set(yticks=range(rows), yticklabels=table["gate"], xlim=(-0.02, 1.02), ylim=(rows - 0.5, -0.5))
    upper.set_xlabel("share, with 95 % interval; the bar is the threshold")
    words = [
        f"{g.gate} {'passed' if g.passed else 'failed'} with {percent(g.value)}" for g in table.itertuples()
    ]
    for k, arm in enumerate(power.itertuples()):
        _power(lower, arm, {"color": style.COLOURS[k % 9], "marker": style.MARKERS[k % 9]})
        words.append(f"power of 80 % to tell {percent(arm.detectable)} from chance with {arm.people} people")
    lower.axhline(0.8, color="black", linestyle="--", linewidth=1)
    lower.set(xlabel="true accuracy of reverse choice", ylabel="power", ylim=(0, 1.02))
    lower.legend(fontsize=9, frameon=False, loc="lower right") if len(power) else None
    for axes in (upper, lower):
        style.plain(axes)
    return style.described(figure, "Gates. " + "; ".join(words) + ".")


def _gate(axes: Axes, row: int, gate) -> None:
    colour, marker, word = (style.GREEN, "o", "passed") if gate.passed else (style.RED, "X", "failed")
    if not np.isnan(gate.value):
        spread = [[max(0.0, gate.value - gate.low)], [max(0.0, gate.high - gate.value)]]
        axes.errorbar(gate.value, row, xerr=spread, fmt=marker, color=colour, capsize=4, markersize=8)
    axes.plot([gate.threshold] * 2, [row - 0.35, row + 0.35], color="black", linewidth=2)
    rule = f"{'' if gate.passed else 'must be '}{'≥' if gate.at_least else '≤'} {percent(gate.threshold)}"
    place = {"va": "center", "fontsize": 9, "transform": axes.get_yaxis_transform()}
    axes.text(1.04, row, f"{word}: {percent(gate.value)}, {rule}", **place)


def _power(axes: Axes, arm, look: dict) -> None:
    """Power over the true accuracy, up to 35 points above chance."""
    accuracies = np.linspace(arm.chance, min(1.0, arm.chance + 0.35), 120)
    powers = intervals.power_curve(arm.people, arm.chance, accuracies)
    label = f"{arm.variant}, {arm.people} people"
    axes.plot(accuracies, powers, markevery=10, markersize=5, label=label, **look)


def _told(scores: pd.DataFrame, arms: Sequence[str]) -> str:
    """The novel people's numbers in words."""
    told = []
    for arm in arms:
        part = style.by_cell(scores, arm, "novel").sort_values("at")
        told.append(f"{arm}: " + ", ".join(f"{CELLS[r.at]} {percent(r.accuracy)}" for r in part.itertuples()))
    return "Novel people, " + "; ".join(told) + "."
