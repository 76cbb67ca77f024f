"""Figures of traces: tables that are right by hand, texts that hold the numbers, gaps that are no errors."""

from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import synthetic_traces
from matplotlib.text import Text

from mmrc_helpers.analysis import curves, traces
from mmrc_helpers.analysis.evidence import Axes
from mmrc_helpers.analysis.reversal.cells import AXES
from mmrc_helpers.figures import lines, style

FIGURES = {
    "cells": partial(curves.plot_cells, axes=AXES),
    "margins": partial(curves.plot_margins, axes=AXES),
    "candidates": partial(curves.plot_candidates, axes=AXES),
    "examples": partial(curves.plot_examples, axes=AXES),
    "alignment": partial(curves.plot_alignment, axes=AXES),
}


def of(variant="forward", seed=0, **options) -> dict[str, pd.DataFrame]:
    made = synthetic_traces.traces(seed=seed, people=4, **options)
    return {name: table.assign(variant=variant, seed=seed) for name, table in made.items()}


def together(*parts) -> dict[str, pd.DataFrame]:
    return {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}


@pytest.fixture(scope="module")
def traced():
    return of()


@pytest.fixture(scope="module")
def two_phases():
    later = of(phase=2)
    for table in later.values():
        table["step"] += max(synthetic_traces.STEPS)
    return together(of(), later)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_its_numbers_in_words_in_both_styles(name, traced):
    for look in style.STYLES:
        with style.style(look):
            alt = style.image(FIGURES[name](traced)).metadata["alt"]
        words = [word.strip(".;,:").lstrip("-").replace(".", "") for word in alt.split()]
        assert sum(word.isdigit() for word in words) >= 6, alt


def test_names_of_phases_that_follow_soon_lie_beside_each_other():
    steps = [0, 100, 100, 220, 220, 1800]
    table = {"panel": "cosine", "line": "mix", "step": steps, "phase": [1, 1, 2, 2, 3, 3], "seeds": 1}
    table = pd.DataFrame(table).assign(mean=0.5, low=0.4, high=0.6)
    figure, panels = lines.panels(3)
    lines.draw(panels[0], table, lines.looks(["mix"]), levels=[(0.5, "a level"), (0.4, "another")])
    figure.draw_without_rendering()
    boxes = {text.get_text().strip(): Text.get_window_extent(text) for text in panels[0].texts}
    assert {"phase 2", "phase 3", "mix", "a level"} <= set(boxes)
    assert not [pair for pair in combinations(boxes, 2) if boxes[pair[0]].overlaps(boxes[pair[1]])]
    for text in panels[0].texts:  # no line to a name runs through it
        if text.arrow_patch:
            assert text.arrow_patch.get_window_extent().x1 <= boxes[text.get_text()].x0 + 1


@pytest.mark.parametrize("name", FIGURES)
def test_phases_are_divided(name, two_phases):
    figure = FIGURES[name](two_phases)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert name == "examples" or any("phase 2" in text for text in texts)


@pytest.mark.parametrize("missing", ["judge", "reverse", "background", "paraphrase"])
@pytest.mark.parametrize("name", FIGURES)
def test_what_was_not_probed_leaves_a_gap_not_an_error(name, traced, missing):
    table = traced["logprobs"]
    kept = ~table[["format", "direction", "population", "candidate"]].eq(missing).any(axis=1)
    pulled = traced["gradients"]
    pulled = pulled[~(pulled["left"].str.contains(missing) | pulled["right"].str.contains(missing))]
    assert FIGURES[name](traced | {"logprobs": table[kept], "gradients": pulled}).get_label()


def test_variants_keep_their_colours_and_their_seeds_make_the_band():
    runs = [of(name, seed, taught=cells) for name, cells in (("naming", ["forward/free"]), ("both", []))
            for seed in (0, 1)]  # fmt: skip
    figure = curves.plot_variants(together(*runs), AXES, ("untrained", "naming", "both"))
    alt = figure.get_label()
    assert "range of the seeds" in alt and "gradients: forward against reverse, free, naming from" in alt
    assert figure.axes[0].lines[0].get_color() == style.COLOURS[1]
    style.image(figure)
    without = together(*runs) | {"gradients": runs[0]["gradients"].iloc[:0]}
    assert "gradients" not in curves.plot_variants(without, AXES, ("naming", "both")).get_label()


def test_a_band_of_the_axis_can_be_enlarged(traced):
    figure = curves.plot_cells(traced, AXES, focus=(-0.5, 0))
    assert figure.axes[0].get_yscale() == "wider_middle"
    assert curves.plot_margins(traced, AXES, focus=(-0.5, 0.5)).axes[2].get_yscale() == "wider_middle"


def test_axes_of_another_world_make_the_same_figures(traced):
    """Difficulty × view instead of direction × format, without anything known beside what is taught."""
    names = {"direction": "difficulty", "format": "view"}
    values = {"forward": "simple", "reverse": "hard", "free": "text", "choice": "image", "judge": "both"}
    table = traced["logprobs"][traced["logprobs"]["population"] == "novel"]
    table = table.drop(columns=["population", "topic"]).rename(columns=names).replace(values)
    pulled = traced["gradients"].replace({
        f"novel {direction}/{format}": f"{values[direction]} {values[format]}"
        for direction in AXES.values["direction"] for format in AXES.values["format"]
    })  # fmt: skip
    axes = Axes({"difficulty": ("simple", "hard"), "view": ("text", "image", "both")}, wrong="wrong_person")
    other = {"logprobs": table, "gradients": pulled, "storage": traced["storage"]}
    assert "text, simple from" in curves.plot_cells(other, axes).get_label()
    assert "Simple against hard: plain, text from" in curves.plot_alignment(other, axes).get_label()
    for draw in (curves.plot_margins, curves.plot_candidates, curves.plot_examples):
        assert draw(other, axes).get_label()


def test_an_axis_of_one_value_has_curves_and_no_pairs_of_gradients(traced):
    axes = Axes({**AXES.values, "direction": ("forward",)}, wrong=AXES.wrong)
    one = traced | {"logprobs": traced["logprobs"].query("direction == 'forward'")}
    assert traces.pairs(one["gradients"], axes).empty
    assert "forward" in curves.plot_variants(one, axes, ("forward",)).get_label()


def test_the_margin_is_right_minus_wrong(traced):
    table = traces.margins(traced["logprobs"], AXES)
    row = table.iloc[5]
    same = traced["logprobs"].query("id == @row.id and step == @row.step").set_index("candidate")["logp_sum"]
    assert row["margin"] == pytest.approx(same["right"] - same["wrong_person"])
    assert len(table) == 2 * 6 * 4 * len(synthetic_traces.STEPS)


def test_a_curve_is_the_mean_over_groups_with_the_range_of_the_seeds_or_the_groups_around_it():
    rows = [
        {"variant": "a", "seed": seed, "phase": 1, "step": step, "supervised_tokens": 10 * step,
         "group": group, "value": seed + step + weight}
        for seed in (0, 1) for step in (0, 5) for group, weight in (("x", -1), ("y", 1)) for _ in range(3)
    ]  # fmt: skip
    both = traces.over_time(pd.DataFrame(rows), "value")
    assert both[["point", "step", "mean", "low", "high", "seeds"]].to_numpy().tolist() == [
        [0, 0, 0.5, 0, 1, 2],
        [1, 5, 5.5, 5, 6, 2],
    ]
    one = traces.over_time(pd.DataFrame(rows[:12]), "value")
    assert one[["mean", "low", "high", "groups"]].to_numpy().tolist() == [[0, -1, 1, 2], [5, 4, 6, 2]]


def test_the_first_probe_of_a_phase_is_another_point_than_the_last_of_the_one_before(two_phases):
    line = traces.over_time(two_phases["storage"], "margin")
    assert line["point"].tolist() == list(range(2 * len(synthetic_traces.STEPS)))
    assert lines.dividers(line) == {2: 256.0}


def test_pairs_are_forward_against_reverse_on_novel_people(traced):
    pairs = traces.pairs(traced["gradients"], AXES)
    assert set(pairs["left"] + " | " + pairs["right"]) == {
        f"novel forward/{name} | novel reverse/{name}" for name in ("free", "choice", "judge")
    }
    assert set(traces.pairs(traced["gradients"], AXES, layer=None)["layer"]) == {"0", "1", "2", "3"}


def test_alignment_is_told_for_every_seed():
    ends = traces.alignment_ends(together(of(seed=0), of(seed=1))["gradients"], AXES)
    assert len(ends) == 2 * 3 and set(ends["seed"]) == {0, 1} and (ends["first"] > ends["last"] - 1).all()


def test_labels_stay_in_order_apart_and_inside():
    apart = style._apart([0.1, 0.11, 0.12, 0.5, 0.97, 0.99], 0.075)
    assert np.diff(apart).min() >= 0.075 - 1e-9 and max(apart) <= 1 and apart[3] == pytest.approx(0.5)
    assert np.mean(apart[:3]) == pytest.approx(0.11)
