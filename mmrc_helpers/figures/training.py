"""What a phase logs becomes a figure: loss, rate, and what its method adds (rewards, margins, lengths)."""

import re

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmrc_helpers.figures import style

# Panel → which columns it shows; a panel without any of them is left out.
PANELS = {
    "loss": "loss",
    "learning rate": "learning_rate",
    "accuracy of supervised tokens": "token_accuracy",
    "rewards": "reward|rewards_(chosen|rejected)",
    "margin of rewards": "rewards_margins",
    "share of pairs told right": "rewards_accuracies",
    "log-probabilities": "logps_(chosen|rejected)",
    "parts of the reward": "rewards_.*_mean",
    "KL to the reference": "kl",
    "entropy": "entropy",
    "length of completions": "completions_mean_length",
    "gradient norm": "grad_norm",
}
UNITS = {"loss": "nats per supervised token", "entropy": "nats per token", "length of completions": "tokens"}


def metrics(table: pd.DataFrame) -> Figure:
    """One panel per kind of number over the optimizer steps, a line per phase and column. table: `line` (the
    phase's name), step and the columns of metrics.jsonl."""
    shown = {
        title: [name for name in table if re.fullmatch(columns, name) and table[name].notna().any()]
        for title, columns in PANELS.items()
    }
    shown = {title: columns for title, columns in shown.items() if columns}
    per_row = min(3, len(shown))
    rows = -(-len(shown) // per_row)
    figure = Figure(figsize=(3.9 * per_row, 2.9 * rows), layout="constrained")
    panels = list(figure.subplots(rows, per_row, squeeze=False).flat)
    for spare in panels[len(shown) :]:
        spare.set_visible(False)
    told = []
    for axes, (title, columns) in zip(panels, shown.items(), strict=False):
        told += _panel(axes, title, table, columns)
    return style.described(figure, "Over the optimizer steps: " + "; ".join(told) + ".")


def _panel(axes: Axes, title: str, table: pd.DataFrame, columns: list[str]) -> list[str]:
    """Draws one panel; returns its lines' ends in words."""
    told, several = [], len(columns) > 1 or table["line"].nunique() > 1
    for phase, rows in table.groupby("line", sort=False):
        for column in columns:
            line = rows.dropna(subset=[column])
            if line.empty:
                continue
            number = len(axes.lines)
            name = ", ".join(part for part in (phase, column.replace("_", " ")) if part)
            look = {"color": style.COLOURS[number % 9], "marker": style.MARKERS[number % 9]}
            axes.plot(line["step"], line[column], markevery=0.15, markersize=4, label=name, **look)
            ends = (line[column].iloc[0], line[column].iloc[-1])
            told.append(f"{name} from {ends[0]:.3g} to {ends[1]:.3g}")
    supervised = table["line"].str.endswith("sft").all()  # the losses of other methods are other things
    unit = "" if title == "loss" and not supervised else UNITS.get(title, "")
    axes.set(title=title, xlabel="optimizer step", ylabel=unit)
    if title == "loss" and (table[columns] > 0).to_numpy().all():
        axes.set_yscale("log")
    if several:
        axes.legend(fontsize=7, frameon=False)
    style.plain(axes)
    return told
