"""Figures of what decides whether numbers may be read: gates and power, controls, favoured answers and
calibration. Each carries its numbers in its alternative text."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmrc_helpers.figures import style
from mmrc_helpers.figures.style import percent


def gates(table: pd.DataFrame, power: pd.DataFrame) -> Figure:
    """Gates with their intervals and the range that each must lie in, one panel for each part of the
    question; in the last panel the power as run.

    table: columns panel, gate, value, low, high, least, most, passed. power: columns line, accuracy, power;
    may be empty.
    """
    panels, names = list(dict.fromkeys(table["panel"])), sorted(dict.fromkeys(table["gate"]), key=_number)
    columns = len(panels) + (len(power) > 0)
    figure = Figure(figsize=(1.4 + 3.1 * columns, 1.5 + 0.32 * len(names)), layout="constrained")
    shown = figure.subplots(1, columns, squeeze=False)[0]
    for number, (axes, panel) in enumerate(zip(shown, panels, strict=False)):
        for gate in table[table["panel"] == panel].itertuples():
            _gate(axes, names.index(gate.gate), gate)
        axes.set(yticks=range(len(names)), xlim=(-0.04, 1.04), ylim=(len(names) - 0.5, -0.5))
        axes.set_yticklabels(names if number == 0 else [], fontsize=9)
        axes.set_title(panel, fontsize=11)
        axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        style.plain(axes)
    words = [f"{g.panel}, {g.gate} {_passed(g)} with {percent(g.value)}" for g in table.itertuples()]
    if len(power):
        words += _power(shown[-1], power)
    return style.described(figure, "Gates. " + "; ".join(words) + ".")


def _gate(axes: Axes, row: int, gate) -> None:
    colour, marker = (style.GREEN, "o") if gate.passed else (style.RED, "X")
    least, most = (
        end if not np.isnan(end) else other for end, other in ((gate.least, 0.0), (gate.most, 1.0))
    )
    if not np.isnan(gate.least) or not np.isnan(gate.most):
        axes.barh(row, most - least, left=least, height=0.8, color="#BBBBBB", alpha=0.45, linewidth=0)
    if not np.isnan(gate.value):
        spread = [[max(0.0, gate.value - gate.low)], [max(0.0, gate.high - gate.value)]]
        axes.errorbar(gate.value, row, xerr=spread, fmt=marker, color=colour, capsize=3, markersize=6)
    if not gate.passed:
        low, high = (
            np.fmin(gate.low, gate.value),
            np.fmax(gate.high, gate.value),
        )  # the word stands beside both
        side = {"ha": "left", "x": high + 0.03} if gate.value < 0.5 else {"ha": "right", "x": low - 0.03}
        side = {"ha": "center", "x": 0.5} if np.isnan(gate.value) else side
        axes.text(y=row, s=f"failed: {percent(gate.value)}", va="center", fontsize=8, color=colour, **side)


def _number(gate: str) -> str:
    """What gates are ordered by: the number that their names begin with."""
    return gate[0]


def _passed(gate) -> str:
    return "passed" if gate.passed else "failed"


def _power(axes: Axes, power: pd.DataFrame) -> list[str]:
    """Power over the true accuracy; returns the numbers in words."""
    words = []
    for k, (line, part) in enumerate(power.groupby("line", sort=False)):
        look = {
            "color": style.COLOURS[k % 9],
            "marker": style.MARKERS[k % 9],
            "linestyle": style.LINES[k % 9],
        }
        axes.plot(part["accuracy"], part["power"], markevery=(4 * k, 12), markersize=5, label=line, **look)
        found = part["accuracy"][part["power"] >= 0.8]
        words.append(f"power of 80 % at {percent(found.iloc[0] if len(found) else np.nan)} for {line}")
    axes.axhline(0.8, color="black", linestyle="--", linewidth=1)
    axes.set(xlabel="true accuracy", ylim=(0, 1.02), title="power to tell it from chance")
    axes.title.set_fontsize(11)
    # below: with few people the curves run through every corner
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    style.plain(axes)
    return words


def controls(table: pd.DataFrame, margin: float) -> Figure:
    """Controls against chance, one panel per control: 95 % intervals in every cell, chance as a dash and the
    range within `margin` of it shaded. table: columns control, section, tick, value, low, high, chance."""
    names = list(dict.fromkeys(table["control"]))
    places = list(dict.fromkeys(zip(table["section"], table["tick"], strict=True)))
    figure = Figure(figsize=(1.8 + 2.5 * len(names), 1.2 + 0.36 * len(places)), layout="constrained")
    panels, told = figure.subplots(1, len(names), sharey=True, squeeze=False)[0], []
    for axes, name in zip(panels, names, strict=True):
        for row in table[table["control"] == name].itertuples():
            at = places.index((row.section, row.tick))
            axes.barh(
                at, 2 * margin, left=row.chance - margin, height=0.8, color="#BBBBBB", alpha=0.45, linewidth=0
            )
            axes.plot([row.chance] * 2, [at - 0.4, at + 0.4], "--", color="black", linewidth=1.2)
            outside = row.low > row.chance + margin or row.high < row.chance - margin
            colour, marker = (style.RED, "X") if outside else (style.BLUE, "o")
            spread = np.clip([[row.value - row.low], [row.high - row.value]], 0, None)
            axes.errorbar(row.value, at, xerr=spread, fmt=marker, color=colour, capsize=3, markersize=6)
            told.append(f"{name}, {row.section} {row.tick} {percent(row.value)}")
        axes.set(yticks=range(len(places)), xlim=(-0.04, 1.04), ylim=(len(places) - 0.5, -0.5))
        axes.set_yticklabels([" ".join(place) for place in places], fontsize=9)
        axes.set_title(name.replace(" replaced", "\nreplaced").replace(" with", "\nwith"), fontsize=10)
        axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        style.plain(axes)
    return style.described(figure, "Controls, which must be at chance. " + "; ".join(told) + ".")


def calibration(table: pd.DataFrame) -> Figure:
    """Reliability: the share of right answers against the probability of the favoured option, a panel per
    variant (with the errors in the order of the legend) and a line per `line`. table: columns variant, line,
    confidence, accuracy, low, high, n, ece, excess."""
    import seaborn

    variants, names = (list(dict.fromkeys(table[column])) for column in ("variant", "line"))
    figure, panels = style.grid(len(variants), width=2.9, height=3.0)
    told = []
    for axes, variant in zip(panels, variants, strict=False):
        here = table[table["variant"] == variant]
        axes.plot([0, 1], [0, 1], "--", color="black", linewidth=1, label="as sure as right")
        seaborn.lineplot(here, x="confidence", y="accuracy", hue="line", style="line", hue_order=names,
                         style_order=names, markers=list(style.MARKERS[: len(names)]), ax=axes, legend=False,
                         palette=list(style.COLOURS[: len(names)]), errorbar=None)  # fmt: skip
        for k, name in enumerate(names):
            part = here[here["line"] == name]
            if len(part):
                spread = [part["accuracy"] - part["low"], part["high"] - part["accuracy"]]
                look = {"fmt": style.MARKERS[k], "color": style.COLOURS[k], "markersize": 5}
                place = (part["confidence"], part["accuracy"], np.clip(spread, 0, None))
                axes.errorbar(*place, capsize=2, linewidth=0.9, label=name, **look)
                told.append(f"{variant}, {name}: ECE {part['ece'].iloc[0]:.2f}, too sure by "
                            f"{100 * part['excess'].iloc[0]:.0f} points")  # fmt: skip
        errors = here.groupby("line", sort=False)["ece"].first().reindex(names).dropna()
        axes.set(xlim=(0.2, 1.02), xlabel="probability of the favoured option", ylabel="share right")
        axes.set_title(f"{variant}\nECE {' / '.join(f'{error:.2f}' for error in errors)}", fontsize=11)
        style.share_axis(axes)
    style.legend(figure, panels)
    return style.described(figure, "Calibration of choices. " + "; ".join(told) + ".")


def answers(shares: pd.DataFrame) -> Figure:
    """How often each letter or verdict was favoured, stacked per variant, with even shares dotted.

    shares: columns variant, panel, pick, share, even.
    """
    variants, panels = (list(dict.fromkeys(shares[column])) for column in ("variant", "panel"))
    figure = Figure(figsize=(1.5 + 2.4 * len(panels), 1.3 + 0.38 * len(variants)), layout="constrained")
    told = []
    for axes, panel in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
    ):
        part = shares[shares["panel"] == panel]
        _stack(axes, part, variants)
        axes.set(xlim=(0, 1), xticks=[], yticks=range(len(variants)), yticklabels=variants)
        axes.set(ylim=(len(variants) - 0.5, -0.5))
        axes.set_title(style.folded(panel, 2.3, 10), fontsize=10)
        top = part.loc[part["share"].idxmax()]
        told.append(f"{panel} at most {percent(top.share)} ({top.pick}, {top.variant})")
    return style.described(figure, "Share of each answer: " + "; ".join(told) + ".")


def _stack(axes: Axes, part: pd.DataFrame, variants: list[str]) -> None:
    """One bar per variant, cut by answer; the colour of an answer is the same in all bars."""
    left = np.zeros(len(variants))
    for place, (name, rows) in enumerate(part.sort_values("pick").groupby("pick")):
        width = rows.set_index("variant")["share"].reindex(variants).fillna(0).to_numpy()
        look = {"color": style.COLOURS[place], "hatch": style.HATCHES[place], "edgecolor": "white"}
        axes.barh(range(len(variants)), width, left=left, **look)
        for y, share in enumerate(width):
            if share >= 0.1:
                style.boxed(axes, left[y] + share / 2, y, f"{name[:1]} {100 * share:.0f}")
        left += width
    for edge in np.arange(part["even"].max(), 0.999, part["even"].max()):
        axes.axvline(edge, color="black", linewidth=0.9, linestyle=":")
