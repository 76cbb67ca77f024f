"""The finding of preferences between traces, on simulated probes whose changes are known."""

import json
from itertools import product

import pandas as pd
import pytest

from mmrc_helpers.analysis import FINDINGS, reasoning, scores
from mmrc_helpers.analysis.evidence import Evidence
from mmrc_helpers.figures import style

# What the last phase adds to each log-probability by its end, where nothing was trained and where it was.
MOVED = {"right": -0.1, "mismatch": -0.9, "error": -0.2, "argmax": 0.05}
STEPS = {1: (0, 10), 2: (0, 5, 10)}
LESSONS = {
    "supervised": ({"directions": ("forward", "inverse"), "rejected": "mismatch"},),
    "forward": ({"directions": ("forward",), "rejected": "mismatch"},),
    "forward_error": ({"directions": ("forward",), "rejected": "error"},),
}


def logprobs(variant: str, seed: int) -> pd.DataFrame:
    """Both phases of a run; questions differ by a hundredth, seeds by a thousandth."""
    rows = []
    phases = (1,) if variant == "supervised" else (1, 2)
    for phase, direction, k in product(phases, ("forward", "inverse"), range(8)):
        for step, kind in product(STEPS[phase], ("right", "mismatch", "error", "other")):
            done = step / 10
            start = {"right": -0.3, "mismatch": -1.2, "error": -0.6, "other": -2.0}[kind] + k / 100
            moved = MOVED.get(kind, 0.0) * done * (direction == "forward") * (1 + k / 10) + seed * done / 1000
            mean = start + moved if phase == 2 else start - 3 * (1 - done)
            likeliest = -0.2 + (MOVED["argmax"] * done if phase == 2 and direction == "forward" else 0)
            row = {"variant": variant, "seed": seed, "phase": phase, "step": step + 10 * (phase - 1)}
            row |= {
                "supervised_tokens": 0,
                "id": f"{direction}/{k}",
                "group": f"g{k}",
                "direction": direction,
            }
            row |= {"candidate": kind, "tokens": 4, "logp_mean": mean, "argmax_logp_sum": 4 * likeliest}
            rows.append(row | {"entropy_mean": 0.5})
    return pd.DataFrame(rows)


def answers(variant: str, seed: int, phase: int) -> pd.DataFrame:
    rows = []
    for direction, family, k in product(("forward", "inverse"), ("sums", "chains"), range(6)):
        right = phase > 0 and k > 1
        row = {
            "id": f"{direction}/{family}/{k}",
            "group": f"{family}{k}",
            "direction": direction,
            "family": family,
        }
        row |= {"options": ["a", "b"], "how": "", "gold": 0, "truth": {}, "pictures": [], "question": "?"}
        row |= {"logprobs": [-0.1, -2.3], "picks": ["a"], "orders": 1, "all_orders": 1.0, "answer": f"{k}"}
        row |= {"text": "", "parsed": f"{k}", "parts": {"trace": 0.5}, "correct_text": right}
        rows.append(row | {"correct_logprob": True})
    return scores.prepare(pd.DataFrame(rows), variant, seed).assign(world="reasoning", phase=phase)


def evidence(traced: bool = True, read: str = "forward") -> Evidence:
    runs = [(variant, seed) for variant in LESSONS for seed in (0, 1)]
    phases = scores.join([answers(v, s, p) for v, s in runs for p in ((1,) if v == "supervised" else (1, 2))])
    table = pd.concat([logprobs(*run) for run in runs]) if traced else pd.DataFrame()
    report = {"finding": "reasoning", "read": read, "beside": "", "controls": (), "variants": ()}
    taught = dict.fromkeys(LESSONS, ("forward", "inverse"))
    facets = {"reasoning": ("direction", "family")}
    last = scores.last_phase(phases)
    return Evidence(last, report, taught, facets, phases, LESSONS, lambda: table)


def test_changes_are_counted_from_where_the_last_phase_began():
    table = reasoning.changes(evidence()).set_index(["variant", "direction", "measure"])
    mean = sum(1 + k / 10 for k in range(8)) / 8  # over the questions
    for measure, moved in MOVED.items():
        found = table.loc[("forward", "forward", measure), "estimate"]
        wanted = moved if measure == "argmax" else moved * mean + 0.0005  # and of the seeds 0 and 0.001
        assert found.value == pytest.approx(wanted) and len(found.seeds) == 2 and found.groups == 8
        assert found.low <= found.value <= found.high
    margin = table.loc[("forward", "forward", "over mismatch")]
    assert margin["first"] == pytest.approx(0.9) and margin["last"] == pytest.approx(0.9 + 0.8 * mean)
    assert table.loc[("forward", "inverse", "over mismatch"), "estimate"].value == pytest.approx(0)


def test_the_verdict_says_what_rose_and_what_fell():
    found = reasoning.verdict(evidence())
    assert found.verdict == (
        "forward chosen falls, rejected falls, margin rises; "
        "inverse chosen stays, rejected stays, margin stays"
    )
    (own,) = [reason for reason in found.reasons if reason.startswith("forward_error, forward ")]
    assert "chosen falls, rejected falls, margin rises" in own and "margin over mismatch +1.08" in own
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_variant_that_is_not_traced_gets_no_verdict():
    assert reasoning.verdict(evidence(traced=False)).verdict == "not traced"
    assert reasoning.verdict(evidence(read="")).verdict == "not traced"


def test_the_table_holds_accuracy_and_changes():
    table = reasoning.everything(evidence()).set_index(["variant", "condition"])
    assert table.loc[("forward", "accuracy after phase 1"), "forward"].startswith("66.7")
    assert table.loc[("forward", "accuracy"), "forward/sums"].startswith("66.7")
    assert (
        table.loc[("forward", "right over wrong option, nats"), "inverse/chains"]
        == "+2.20\u00a0[2.20,\u00a02.20]"
    )
    assert "(" in table.loc[("forward", "change of right, nats"), "forward"], "the seeds apart"
    assert list(dict.fromkeys(table.index.get_level_values(0))) == list(LESSONS)


def test_every_figure_is_drawn_with_and_without_traces():
    own = ("directions", "margins", "squeezing", "examples")
    for name, draw in FINDINGS["reasoning"].figures.items():
        drawn = draw(evidence())
        assert style.image(drawn) if name in (*own, "scores") else drawn
        if name in own:
            assert draw(evidence(traced=False)) == reasoning.NO_TRACES


def test_the_main_figure_has_every_direction_under_every_direction():
    figure = reasoning.plot_directions(evidence())
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert len(titles) == 6 and "forward → inverse\nΔ 0.90 → 0.90" in titles
    scales = {axes.get_yscale() for axes in figure.axes if axes.get_visible()}
    assert scales == {"wider_middle"} and "mismatch" in figure.get_label()


def test_the_squeezing_index_needs_the_whole_signature():
    drawn = {axes.get_title(): axes for axes in reasoning.plot_squeezing(evidence()).axes}

    def ends(title: str) -> list[float]:  # of the variants with two phases; dividers have two points
        return [line.get_ydata()[-1] for line in drawn[title].lines if len(line.get_ydata()) > 2]

    assert ends("forward: squeezing index") == pytest.approx([MOVED["argmax"]] * 2, abs=1e-6)
    assert ends("inverse: squeezing index") == [0, 0]
