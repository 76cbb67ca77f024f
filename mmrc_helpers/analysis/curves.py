"""Traces of training become figures. Traces are the tables of `traces.read_run` with `variant` and `seed`; a
finding's axes say which lines and panels there are."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmrc_helpers.analysis.evidence import Axes
from mmrc_helpers.analysis.traces import asked, margins, of_taught, over_time, pairs, squeezing
from mmrc_helpers.figures import curves, gradients, lines, style

Traces = Mapping[str, pd.DataFrame]
Focus = tuple[float, float] | None
CANDIDATES = {
    "right": "right answer",
    "paraphrase": "paraphrase",
    "format_only": "format only",
    "wrong_person": "wrong person",
    "wrong": "wrong answer",
    "mismatch": "other direction's trace",
    "error": "trace with a mistake",
    "rejected": "rejected answer",
    "other": "another answer",
    "unseen": "unseen answer",
    "permuted": "permuted",
    "random": "random words",
}
RIGHT = "Log-probability of the right answer, nats per token"


def plot_cells(traces: Traces, axes: Axes, options: int = 4, focus: Focus = None) -> Figure:
    """Log-probability of the right answer over training, one panel per value of the last axis, a line per
    value of the first with bands; what is known beside what was taught in grey, guessing dotted.

    options: answers of a choice. focus: a band of log-probabilities to enlarge.
    """
    line, panel = axes.values
    right = asked(traces["logprobs"], axes)
    right = right[right["candidate"] == "right"]
    beside = ~of_taught(right, axes)
    names = right[line].mask(beside, right[[*axes.taught, line]].agg(" ".join, axis=1)) if len(right) else ""
    table = over_time(right.assign(line=names), "logp_mean", [panel, "line"]).rename(columns={panel: "panel"})
    looks = _looks(axes.values[line])
    for name in dict.fromkeys(table["line"]):
        looks.setdefault(name, looks.get(name.split(" ")[-1], {}) | {"color": style.GREY, "alpha": 0.7})
    guessing = {"choice": [(-np.log(options), "guessing")], "judge": [(-np.log(2), "guessing")]}
    shape = {"focus": dict.fromkeys(axes.values[panel], focus)} if focus else {}
    unit = "log-probability of the right answer\n(nats per token, mean over groups)"
    table = _ordered(table, axes.values[panel])
    return curves.figure_of(table, RIGHT, looks, units=unit, levels=guessing, **shape)


def plot_margins(traces: Traces, axes: Axes, focus: Focus = None) -> Figure:
    """The right (chosen) and a wrong answer (rejected) and their margin over training, of what was taught:
    one row of panels per value of the last axis. focus: a band of margins to enlarge."""
    line, panel = axes.values
    table = margins(traces["logprobs"], axes)
    table = table[of_taught(table, axes)]
    titles = {"chosen": "right answer", "rejected": CANDIDATES[axes.wrong], "margin": "margin"}
    parts, units = [], {}
    for name in (name for name in axes.values[panel] if (table[panel] == name).any()):
        for value, title in titles.items():
            found = over_time(table[table[panel] == name], value, [line]).rename(columns={line: "line"})
            parts.append(found.assign(panel=f"{name}: {title}"))
        units[f"{name}: right answer"] = "log-probability\n(nats per answer)"
    last = [f"{name}: margin" for name in axes.values[panel]]
    options = {"levels": dict.fromkeys(last, [(0.0, "undecided")]), "units": units}
    options |= {"focus": dict.fromkeys(last, focus)} if focus else {}
    title = "Right and wrong answers about what was taught, nats per answer,"
    return curves.figure_of(pd.concat(parts), title, _looks(axes.values[line]), **options)


def plot_candidates(traces: Traces, axes: Axes, of: str = "") -> Figure:
    """All alternative answers over training for one value of the last axis (the first one, if none is given),
    a panel per value of the first; then the entropy of the model's answer and the squeezing index."""
    line, panel = axes.values
    of = of or axes.values[panel][0]
    found = asked(traces["logprobs"], axes)
    found = found[of_taught(found, axes) & (found[panel] == of)]
    table = over_time(found, "logp_mean", [line, "candidate"])
    there = set(table["candidate"])
    kinds = {kind: CANDIDATES.get(kind, kind.replace("_", " ")) for kind in (*CANDIDATES, *sorted(there))
             if kind in there}  # fmt: skip
    panels = [f"{name} {of}" for name in axes.values[line]]
    table = table.assign(panel=table[line] + f" {of}", line=table["candidate"].map(kinds))
    table = table.sort_values("candidate", key=lambda names: names.map(list(kinds).index), kind="stable")
    parts = [_ordered(table, panels)]
    right, pressed = found[found["candidate"] == "right"], squeezing(found, [line], axes.wrong)
    for title, source, value in (
        ("entropy along the right answer", right, "entropy_mean"),
        ("squeezing index", pressed, "index"),
    ):
        parts.append(over_time(source, value, [line]).rename(columns={line: "line"}).assign(panel=title))
    looks = _looks(axes.values[line]) | lines.looks(list(kinds.values()))
    title = "Alternative answers about what was taught, nats per token,"
    return curves.figure_of(pd.concat(parts), title, looks, units="nats per token", per_row=2)


def plot_examples(traces: Traces, axes: Axes) -> Figure:
    """Every question about what was taught × every probe: the margin of the right over the wrong answer,
    sorted by its end."""
    line, panel = axes.values
    table = margins(traces["logprobs"], axes)
    table = table[of_taught(table, axes)]
    grids = {}
    for one in axes.values[line]:
        for other in axes.values[panel]:
            part = table[(table[line] == one) & (table[panel] == other)]
            if len(part):
                keys = ["variant", "seed", "id"]
                grid = part.pivot_table(index=keys, columns=["phase", "step"], values="margin")
                grids[one, other] = grid.loc[grid.iloc[:, -1].sort_values(ascending=False).index]
    unit = "margin of the right answer (nats)"
    return curves.heat_maps(grids, unit, "Heat maps of the margin, of what was taught")


def plot_alignment(traces: Traces, axes: Axes, probes: int = 3) -> Figure:
    """The cosine of every pair of groups at so many probes from first to last; and the two ends of the first
    axis against each other, for every value of the last: over training, with Adam's preconditioner, and by
    layer."""
    table = traces["gradients"]
    whole = table[(table["layer"] == "all") & (table["preconditioner"] == "none")]
    times = list(whole.groupby(["phase", "step"]).groups)
    chosen = [times[k] for k in np.unique(np.linspace(0, len(times) - 1, probes).round().astype(int))]
    groups = list(dict.fromkeys(table["left"]))
    grids = {}
    for phase, step in chosen:
        here = whole[(whole["phase"] == phase) & (whole["step"] == step)]
        grid = here.pivot_table(index="left", columns="right", values="cosine")
        several = f"phase {phase}, " * (len({p for p, _ in times}) > 1)
        grids[f"{several}step {step:g}"] = grid.reindex(index=groups, columns=groups)
    parts = []
    for kind, title in (("none", "plain"), ("adam", "preconditioned as by Adam")):
        found = over_time(pairs(table[table["preconditioner"] == kind], axes), "cosine", ["line"])
        parts.append(found.assign(panel=title))
    by_layer = pairs(table[table["preconditioner"] == "none"], axes, layer=None)
    by_layer = by_layer[by_layer["step"] == by_layer["step"].max()]
    by_layer = by_layer.assign(layer=by_layer["layer"].astype(int))
    by_layer = by_layer.groupby(["line", "layer"], sort=False)["cosine"].mean().reset_index()
    return gradients.alignment(grids, pd.concat(parts), by_layer, _against(axes))


def plot_variants(traces: Traces, axes: Axes, variants: Sequence[str], focus: Focus = None) -> Figure:
    """Variants in one panel per cell: the log-probability of the right answer over the tokens of what is
    taught, with bands over seeds; below, if gradients were compared, the two ends of the first axis.

    focus: a band of log-probabilities to enlarge.
    """
    line, panel = axes.values
    right = asked(traces["logprobs"], axes)
    right = right[(right["candidate"] == "right") & of_taught(right, axes)]
    cells = [f"{one}/{other}" for one in axes.values[line] for other in axes.values[panel]]
    table = over_time(right, "logp_mean", ["variant", "cell"])
    table = _ordered(table.rename(columns={"cell": "panel", "variant": "line"}), cells)
    pulled = pairs(traces["gradients"][traces["gradients"]["preconditioner"] == "none"], axes)
    limits, levels = {}, {}
    if len(pulled):
        below = over_time(pulled, "cosine", ["variant", "line"])
        below = below.rename(columns={"line": "panel", "variant": "line"})
        below = below.assign(panel=f"gradients: {_against(axes)}, " + below["panel"])
        limits = dict.fromkeys(below["panel"], gradients.cosine_limits(below["mean"]))
        levels = dict.fromkeys(below["panel"], [(0.0, "orthogonal")])
        table = pd.concat([table, below])
    per_row = right[panel].nunique()
    units = {name: "cosine of gradients" if name in levels else "log-probability\n(nats per token)"
             for name in list(dict.fromkeys(table["panel"]))[::per_row]}  # fmt: skip
    shape = {"units": units, "levels": levels, "limits": limits, "per_row": per_row}
    shape |= {"focus": dict.fromkeys(cells, focus)} if focus else {}
    looks = lines.looks(variants)
    return curves.figure_of(table, f"{RIGHT}, per variant,", looks, time="supervised_tokens", **shape)


def _against(axes: Axes) -> str:
    one, *_, other = next(iter(axes.values.values()))
    return f"{one} against {other}"


def _ordered(table: pd.DataFrame, panels: Sequence[str]) -> pd.DataFrame:
    """The rows panel by panel, in this order; within a panel as they were."""
    return table.sort_values("panel", key=lambda names: names.map(list(panels).index), kind="stable")


def _looks(values: Sequence[str]) -> dict[str, dict]:
    """The values of the first axis have their colours in all figures."""
    return {name: {"color": style.SECTIONS[k], "linestyle": style.LINES[k]} for k, name in enumerate(values)}
