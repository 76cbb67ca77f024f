"""Figures of traces: tables that are right by hand, texts that hold the numbers, gaps that are no errors."""

import numpy as np
import pandas as pd
import pytest
import synthetic_traces

from mmrc_helpers.analysis import curves as tables
from mmrc_helpers.analysis import intervals
from mmrc_helpers.figures import curves, gradients, style

FIGURES = (
    curves.cells,
    curves.margins,
    curves.candidates,
    curves.storage,
    curves.examples,
    gradients.alignment,
)


def of(variant="forward", seed=0, **options) -> dict[str, pd.DataFrame]:
    made = synthetic_traces.traces(seed=seed, people=4, **options)
    return {name: table.assign(variant=variant, seed=seed) for name, table in made.items()}


def together(*parts) -> dict[str, pd.DataFrame]:
    return {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}


@pytest.fixture(scope="module")
def traces():
    return of()


@pytest.fixture(scope="module")
def two_phases():
    later = of(phase=2)
    for table in later.values():
        table["step"] += max(synthetic_traces.STEPS)
    return together(of(), later)


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_a_figure_says_its_numbers_in_words_in_both_styles(draw, traces):
    for look in style.STYLES:
        with style.style(look):
            alt = style.image(draw(traces)).metadata["alt"]
        assert sum(word.strip(".;,:").lstrip("-").replace(".", "").isdigit() for word in alt.split()) >= 6, (
            alt
        )


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_phases_are_divided(draw, two_phases):
    figure = draw(two_phases)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert draw is curves.examples or any("phase 2" in text for text in texts)


@pytest.mark.parametrize("missing", ["judge", "reverse", "background", "paraphrase"])
@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_what_was_not_probed_leaves_a_gap_not_an_error(draw, traces, missing):
    table = traces["logprobs"]
    kept = ~table[["format", "direction", "population", "candidate"]].eq(missing).any(axis=1)
    pulled = traces["gradients"]
    pulled = pulled[~(pulled["left"].str.contains(missing) | pulled["right"].str.contains(missing))]
    assert draw(traces | {"logprobs": table[kept], "gradients": pulled}).get_label()


def test_arms_keep_their_colours_and_their_seeds_make_the_band():
    arms = [of(name, seed, taught=cells) for name, cells in (("naming", ["forward/free"]), ("both", []))
            for seed in (0, 1)]  # fmt: skip
    figure = curves.comparison(together(*arms), ("untrained", "naming", "both"))
    assert (
        "range of the seeds" in figure.get_label() and "Cosine of forward and reverse" in figure.get_label()
    )
    assert figure.axes[0].lines[0].get_color() == style.COLOURS[1]
    style.image(figure)
    without = together(*arms) | {"gradients": arms[0]["gradients"].iloc[:0]}
    assert "Cosine" not in curves.comparison(without, ("naming", "both")).get_label()


def test_the_margin_is_right_minus_wrong_person(traces):
    table = tables.margins(traces["logprobs"])
    row = table.iloc[5]
    same = traces["logprobs"].query("id == @row.id and step == @row.step").set_index("candidate")["logp_sum"]
    assert row["margin"] == pytest.approx(same["right"] - same["wrong_person"])
    assert len(table) == 2 * 6 * 4 * len(synthetic_traces.STEPS)


def test_a_curve_is_the_mean_over_people_with_the_range_of_the_seeds_or_the_people_around_it():
    rows = [
        {"variant": "a", "seed": seed, "phase": 1, "step": step, "supervised_tokens": 10 * step, 
         "group": person, "value": seed + step + weight}
        for seed in (0, 1) for step in (0, 5) for person, weight in (("x", -1), ("y", 1)) for _ in range(3)
    ]  # fmt: skip
    both = tables.over_time(pd.DataFrame(rows), "value")
    assert both[["point", "step", "mean", "low", "high", "seeds"]].to_numpy().tolist() == [
        [0, 0, 0.5, 0, 1, 2],
        [1, 5, 5.5, 5, 6, 2],
    ]
    one = tables.over_time(pd.DataFrame(rows[:12]), "value")
    assert one[["mean", "low", "high", "people"]].to_numpy().tolist() == [[0, -1, 1, 2], [5, 4, 6, 2]]


def test_the_first_probe_of_a_phase_is_another_point_than_the_last_of_the_one_before(two_phases):
    line = tables.over_time(two_phases["storage"], "margin")
    assert line["point"].tolist() == list(range(2 * len(synthetic_traces.STEPS)))
    assert tables.dividers(line) == {2: 256.0}


def test_pairs_are_forward_against_reverse_on_novel_people(traces):
    pairs = tables.pairs(traces["gradients"])
    assert set(pairs["left"] + " | " + pairs["right"]) == {
        f"novel forward/{name} | novel reverse/{name}" for name in ("free", "choice", "judge")
    }
    assert set(tables.pairs(traces["gradients"], layer=None)["layer"]) == {"0", "1", "2", "3"}


def test_bands_of_means_leave_out_who_was_not_asked():
    values = np.array([[0.0, 1.0], [0.0, 3.0], [0.0, np.nan]])
    low, high = intervals.mean_bands(values)
    assert low.tolist() == [0, 1] and high.tolist() == [0, 3]


def test_labels_stay_in_order_apart_and_inside():
    apart = style._apart([0.1, 0.11, 0.12, 0.5, 0.97, 0.99], 0.075)
    assert np.diff(apart).min() >= 0.075 - 1e-9 and max(apart) <= 1 and apart[3] == pytest.approx(0.5)
    assert np.mean(apart[:3]) == pytest.approx(0.11)
