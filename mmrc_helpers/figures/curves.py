"""Traces of training become figures (`trajectories` makes their tables). Lines are told apart by colour, by
dashes and by names at their ends. Every figure takes the tables of `reading.traces`."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from mmrc_helpers.analysis import curves as tables
from mmrc_helpers.analysis.traces import squeezing
from mmrc_helpers.figures import gradients, lines, style

Traces = Mapping[str, pd.DataFrame]
FORMATS = ("free", "choice", "judge")
DIRECTIONS = ("forward", "reverse")
DASHES = {"forward": "-", "reverse": "--"}
CANDIDATES = {
    "right": "right answer",
    "paraphrase": "paraphrase",
    "format_only": "format only",
    "wrong_person": "wrong person",
    "unseen": "unseen answer",
    "permuted": "permuted",
    "random": "random words",
}


def cells(traces: Traces, options: int = 4, focus: tuple[float, float] | None = None) -> Figure:
    """Log-probability of the right answer over training, one panel per format: forward against reverse on
    novel people with bands, background people in grey, guessing dotted.

    options: answers of a choice. focus: a band of log-probabilities to enlarge.
    """
    right = tables.answers(traces["logprobs"])
    right = right[right["candidate"] == "right"]
    table = tables.over_time(right, "logp_mean", ["population", "direction", "format"])
    formats = [f for f in FORMATS if (table["format"] == f).any()]
    figure, panels = lines.panels(len(formats))
    told = []
    for axes, format in zip(panels, formats, strict=True):
        drawn, part = [], table[table["format"] == format]
        for (population, direction), line in part.groupby(["population", "direction"], sort=False):
            novel = population == "novel"
            colour = style.DIRECTION_COLOURS[direction] if novel else style.GREY
            name = direction if novel else f"background {direction}"
            drawn.append(
                (name, line, {"color": colour, "linestyle": DASHES[direction], "alpha": 1 if novel else 0.7})
            )
            if novel:
                told.append(f"{direction}/{format} {lines.from_to(line)}")
        axes.set_title(format)
        guessing = {"choice": [(-np.log(options), "guessing")], "judge": [(-np.log(2), "guessing")]}
        lines.draw(axes, drawn, table, focus, levels=guessing.get(format, ()))
    panels[0].set_ylabel("log-probability of the right answer\n(nats per token, mean over people)")
    return style.described(
        figure,
        f"Log-probability of the right answer over {lines.training(table)}, nats per token, novel people: "
        + "; ".join(told) + f". Bands: {lines.band(table)}.",
    )  # fmt: skip


def margins(traces: Traces, focus: tuple[float, float] | None = None) -> Figure:
    """Chosen (right), rejected (another person's) answer and their margin over training on novel people:
    one row of panels per format, forward against reverse.

    focus: a band of margins to enlarge.
    """
    table = tables.margins(traces["logprobs"])
    table = table[table["population"] == "novel"]
    table = table.join(table["cell"].str.extract("(?P<direction>.*)/(?P<format>.*)"))
    formats = [f for f in FORMATS if (table["format"] == f).any()]
    titles = {"chosen": "right answer", "rejected": "wrong person's answer", "margin": "margin"}
    curves = {value: tables.over_time(table, value, ["direction", "format"]) for value in titles}
    figure, panels = lines.panels(3 * len(formats))
    told = []
    for axes, (format, value) in zip(panels, product(formats, titles), strict=True):
        part = curves[value][curves[value]["format"] == format]
        drawn = [(d, part[part["direction"] == d], _direction_style(d)) for d in DIRECTIONS]
        drawn = [line for line in drawn if len(line[1])]
        is_margin = value == "margin"
        levels = [(0.0, "undecided")] if is_margin else []
        lines.draw(axes, drawn, part, focus if is_margin else None, levels=levels)
        axes.set_title(f"{format}: {titles[value]}")
        if is_margin:
            told += [f"{direction}/{format} {lines.from_to(line)}" for direction, line, _ in drawn]
        if value == "chosen":
            axes.set_ylabel("log-probability\n(nats per answer)")
    return style.described(
        figure,
        f"Right and wrong person's answer over {lines.training(curves['margin'])}, novel people. "
        f"Margin in nats: {'; '.join(told)}. Bands: {lines.band(curves['margin'])}.",
    )


def candidates(traces: Traces, format: str = "free") -> Figure:
    """Seven candidate answers over training in one format, forward and reverse; below, the entropy of the
    model's answer and the squeezing index (`traces.squeezing`)."""
    asked = tables.answers(traces["logprobs"])
    asked = asked[(asked["population"] == "novel") & (asked["format"] == format)]
    table = tables.over_time(asked, "logp_mean", ["direction", "candidate"])
    entropy = tables.over_time(asked[asked["candidate"] == "right"], "entropy_mean", ["direction"])
    index = tables.over_time(squeezing(asked), "index", ["direction"])
    figure, panels = lines.panels(4, per_row=2)
    told = []
    for axes, direction in zip(panels[:2], DIRECTIONS, strict=True):
        part = table[table["direction"] == direction]
        drawn = [
            (
                name,
                part[part["candidate"] == kind],
                {"color": style.COLOURS[k], "linestyle": style.LINES[k]},
            )
            for k, (kind, name) in enumerate(CANDIDATES.items())
            if (part["candidate"] == kind).any()
        ]
        axes.set_title(f"{direction} {format}")
        axes.set_ylabel("log-probability\n(nats per token)")
        lines.draw(axes, drawn, table)
        told += [f"{direction}, {name} {lines.from_to(line)}" for name, line, _ in drawn]
    for axes, curve, title, unit in (
        (panels[2], entropy, "entropy along the right answer", "nats per token"),
        (panels[3], index, "squeezing index", "nats per token"),
    ):
        drawn = [(d, curve[curve["direction"] == d], _direction_style(d)) for d in DIRECTIONS]
        axes.set_title(title)
        axes.set_ylabel(unit)
        lines.draw(axes, [line for line in drawn if len(line[1])], curve)
        told += [f"{title}, {name} {lines.from_to(line)}" for name, line, _ in drawn if len(line)]
    return style.described(
        figure,
        f"Candidate answers on novel people over {lines.training(table)}, nats per token: "
        + "; ".join(told)
        + ".",
    )


def storage(traces: Traces, options: int = 4) -> Figure:
    """The storage probe over training: the share of people whose picture makes the name likeliest, and its
    margin beside the margin of the reverse choice itself. options: pictures of a choice."""
    probe, chance = traces["storage"], 1 / options
    share = tables.over_time(probe, "correct", ["population"])
    stored = tables.over_time(probe, "margin", ["population"])
    reached = tables.margins(traces["logprobs"])
    reached = tables.over_time(reached[reached["cell"] == "reverse/choice"], "margin", ["population"])
    figure, (left, right) = lines.panels(2)
    styles = {
        "novel": {"color": style.GREEN, "linestyle": "-"},
        "background": {"color": style.GREY, "linestyle": "-."},
    }
    lines.draw(left, _by(share, styles), share, limits=(0, 1.03), levels=[(chance, "chance")])
    left.set_title("stored: right picture likeliest")
    style.share_axis(left)
    left.set_ylabel("share of the questions")
    reach = {
        "novel": {"color": style.ORANGE, "linestyle": "--"},
        "background": {"color": "#000000", "linestyle": ":"},
    }
    drawn = [(f"stored, {name}", line, look) for name, line, look in _by(stored, styles)]
    drawn += [(f"reached, {name}", line, look) for name, line, look in _by(reached, reach)]
    both = pd.concat([stored, reached], ignore_index=True)
    right.set_title("margin of the right picture")
    lines.draw(right, drawn, both, levels=[(0.0, "undecided")])
    right.set_ylabel("nats")
    told = [f"{name} people {lines.from_to(line, percent=True)}" for name, line, _ in _by(share, styles)]
    told += [f"margin {name} {lines.from_to(line)}" for name, line, _ in drawn]
    return style.described(
        figure,
        f"Storage probe over {lines.training(share)}, chance {100 * chance:.0f} %. " + "; ".join(told) + ".",
    )


def examples(traces: Traces) -> Figure:
    """Every novel question × every probe: the margin of the right over the wrong person's answer, sorted by
    its end. Zero is white; hatched squares are below it, which grey print keeps."""
    table = tables.margins(traces["logprobs"])
    table = table[table["population"] == "novel"]
    directions, formats = _asked(table)
    figure = Figure(figsize=(3.5 * len(formats) + 0.3, 2.5 * len(directions) + 1), layout="constrained")
    panels = figure.subplots(len(directions), len(formats), squeeze=False)
    told = []
    for column, format in enumerate(formats):
        shown = table[table["cell"].str.endswith(f"/{format}")]
        limit = float(np.quantile(abs(shown["margin"]), 0.98)) or 1.0
        for axes, direction in zip(panels[:, column], directions, strict=True):
            grid = _sorted_grid(shown[shown["cell"] == f"{direction}/{format}"])
            axes.set(title=f"{direction}/{format}", yticks=[])
            if grid.size:
                picture = _heat_map(axes, grid, limit)
                told.append(f"{direction}/{format} {100 * (grid.iloc[:, 0] > 0).mean():.0f} % to "
                            f"{100 * (grid.iloc[:, -1] > 0).mean():.0f} %")  # fmt: skip
        bar = figure.colorbar(
            picture, ax=list(panels[:, column]), location="bottom", extend="both", aspect=30
        )
        bar.set_label("margin of the right answer (nats)")
        panels[-1, column].set_xlabel("optimizer step of the probe")
    for axes in panels[:, 0]:
        axes.set_ylabel("questions")
    return style.described(
        figure,
        "Heat maps of the margin, question by probe, novel people. Questions with a positive margin at the "
        f"first and at the last probe: {'; '.join(told)}.",
    )


def _sorted_grid(table: pd.DataFrame) -> pd.DataFrame:
    """Margins, questions × probes, the question with the best end first."""
    grid = table.pivot_table(index=["variant", "seed", "id"], columns=["phase", "step"], values="margin")
    return grid.loc[grid.iloc[:, -1].sort_values(ascending=False).index] if grid.size else grid


def _heat_map(axes: Axes, grid: pd.DataFrame, limit: float):
    picture = axes.pcolormesh(grid.to_numpy(), cmap="RdBu", vmin=-limit, vmax=limit, rasterized=True)
    negative = [[(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)] for y, x in np.argwhere(grid.to_numpy() < 0)]
    axes.add_collection(PolyCollection(negative, facecolor="none", hatch="////", linewidth=0))
    steps = [step for _, step in grid.columns]
    shown = range(0, len(steps), max(1, len(steps) // 5))
    axes.set_xticks([k + 0.5 for k in shown], [f"{steps[k]:g}" for k in shown])
    axes.set_ylim(len(grid), 0)
    return picture


def comparison(traces: Traces, variants: Sequence[str], focus: tuple[float, float] | None = None) -> Figure:
    """Several variants in one axis per cell: the log-probability of the right answer on novel people over the
    novel tokens seen, with bands over seeds; below, if gradients were compared, forward against reverse.

    focus: a band of log-probabilities to enlarge.
    """
    right = tables.answers(traces["logprobs"])
    right = right[(right["candidate"] == "right") & (right["population"] == "novel")]
    table = tables.over_time(right, "logp_mean", ["variant", "cell"])
    directions, formats = _asked(table)
    rows = len(directions) + (len(traces["gradients"]) > 0)
    figure, panels = lines.panels(rows * len(formats), per_row=len(formats))
    told = []
    for axes, (direction, format) in zip(panels, product(directions, formats), strict=False):
        drawn = lines.variants(table[table["cell"] == f"{direction}/{format}"], variants)
        axes.set_title(f"{direction}/{format}")
        lines.draw(axes, drawn, table, focus, time="supervised_tokens")
        told += [f"{direction}/{format}, {name} {lines.from_to(line)}" for name, line, _ in drawn]
    for axes in panels[: len(directions) * len(formats) : len(formats)]:
        axes.set_ylabel("log-probability\n(nats per token)")
    alt = "Log-probability of the right answer over training per variant, novel people, nats per token: "
    alt += "; ".join(told) + f". Bands: {lines.band(table)}."
    if len(traces["gradients"]):
        last = panels[len(directions) * len(formats) :]
        told = gradients.draw_arms(last, traces["gradients"], formats, variants)
        alt += " Cosine of forward and reverse gradients: " + "; ".join(told) + "."
    return style.described(figure, alt)


def _asked(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The directions and the formats that occur, in their fixed order."""
    cells = [cell.split("/") for cell in tables.cells_of(table)]
    return [d for d in DIRECTIONS if d in dict(cells)], [f for f in FORMATS if any(f == c[1] for c in cells)]


def _by(table: pd.DataFrame, styles: Mapping[str, dict]) -> list[tuple[str, pd.DataFrame, dict]]:
    return [(name, line, styles[name]) for name, line in table.groupby("population", sort=False)]


def _direction_style(direction: str) -> dict:
    return {"color": style.DIRECTION_COLOURS[direction], "linestyle": DASHES[direction]}
