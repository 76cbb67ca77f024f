"""The finding of spatial training in phases, on simulated studies whose shares are known."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic_spatial import CHANCE, SFT, USUAL, evidence

from mmrc_helpers.analysis import FINDINGS, accuracy, spatial
from mmrc_helpers.figures import style

OWN = ("relations", "confusion", "rewards")


@pytest.fixture(scope="module")
def study():
    return evidence()


def test_the_verdict_says_what_phases_rewards_and_the_other_direction_came_to(study):
    found = spatial.verdict(study)
    assert found.verdict == (
        "against sft: forward better, reverse better; against null: forward better, reverse better; "
        "taught forward: reaches it in part"
    )
    assert "Taught forward 100 % [" in found.sentence and "asked reverse 70 %" in found.sentence
    own = next(reason for reason in found.reasons if reason.startswith("chain against null, forward"))
    assert own.startswith("chain against null, forward: 100 % against 50 %, +50 [")
    json.dumps(found.as_dict(), allow_nan=False)
    assert {row["population"] for row in found.numbers} == {"novel", "background"}


WORDS = {
    "what was taught reaches the other side": ({"forward": 0.9, "reverse": 0.88}, spatial.WHOLE),
    "the other side is better": ({"forward": 0.7, "reverse": 0.95}, spatial.WHOLE),
    "in part": ({"forward": 0.9, "reverse": 0.65}, spatial.PART),
    "it stays": ({"forward": 0.9, "reverse": 0.4}, spatial.NOTHING),
    "the other side suffers": ({"forward": 0.9, "reverse": 0.1}, spatial.NOTHING),
    "little was learned, and nothing there": ({"forward": 0.45, "reverse": 0.4}, spatial.NOTHING),
    "nothing was learned": (CHANCE, spatial.UNLEARNED),
}


@pytest.mark.parametrize("name", WORDS)
def test_what_became_of_the_other_direction(name):
    shares, word = WORDS[name]
    table = spatial.transfer(evidence(chain=[SFT, SFT, shares])).set_index(["variant", "task"])
    assert table.loc[("chain", ""), "word"] == word


def test_both_ways_of_transfer_stand_beside_each_other(study):
    table = spatial.transfer(study).query("task == ''").set_index("variant")
    assert list(table.index) == ["sft", "chain", "null", "reverse"], "the untrained one was taught nothing"
    assert tuple(table.loc["reverse", ["taught", "other"]]) == ("reverse", "forward")
    assert table.loc["reverse", "gap"].value == pytest.approx(0.2)
    assert table.loc["chain", "gain"].value == pytest.approx(0.3)


def test_a_task_that_is_not_turned_round_is_seen_beside_the_others(study):
    phases = study.phases.copy()
    own = (phases["variant"] == "chain") & (phases["task"] == "comparison")
    phases.loc[own & (phases["direction"] == "reverse"), "correct"] = 0.0
    found = spatial.verdict(replace(study, phases=phases))
    words = [reason for reason in found.reasons if reason.startswith("chain, comparison: ")]
    assert len(words) == 1 and words[0].endswith(spatial.NOTHING), words
    (words,) = [reason for reason in found.reasons if reason.startswith("chain, relation: ")]
    assert words.endswith(spatial.PART)
    assert not any(reason.startswith("sft, ") for reason in found.reasons), "only of the variant that is read"
    assert f"Not all alike: comparison {spatial.NOTHING}; relation {spatial.PART}; " in found.sentence
    assert "Not all alike" not in spatial.verdict(study).sentence


def test_a_null_that_is_as_good_is_not_called_worse():
    found = spatial.verdict(evidence(null=USUAL["chain"]))
    assert "against null: forward alike within 10 points" in found.verdict


def test_what_is_not_evaluated_is_not_compared(study):
    assert spatial.verdict(evidence(chain=None)).verdict == "not compared"
    alone = spatial.verdict(evidence(untrained=None))
    assert "taught forward: not told apart" in alone.verdict
    assert any("with no untrained model" in reason for reason in alone.reasons)


def test_few_scenes_decide_nothing():
    shares = [SFT, SFT, {"forward": 0.75, "reverse": 0.5}]
    found = spatial.verdict(evidence(scenes=4, seeds=(0,), chain=shares))
    assert "not told apart" in found.verdict and "better" not in found.verdict


def test_the_table_holds_every_phase_and_every_relation_of_the_read_variant(study):
    table = spatial.everything(study).set_index(["variant", "population", "condition"])
    assert table.loc[("chain", "novel", "after dpo"), "relation/forward"].startswith("85.0")
    assert table.loc[("chain", "novel", "after grpo"), "relation/reverse"].startswith("70.0")
    assert ("chain", "novel", "left, after sft") in table.index
    assert ("sft", "novel", "left, after sft") not in table.index
    assert table.loc[("sft", "background", "accuracy"), "comparison/reverse"].startswith("95.0")
    shown = list(dict.fromkeys(table.index.droplevel("condition")))
    assert shown == [(name, population) for population in ("novel", "background") for name in USUAL]


def test_a_method_that_comes_twice_is_numbered(study):
    twice = replace(study, methods={"chain": ("sft", "grpo", "grpo")})
    assert [spatial.label(twice, "chain", phase) for phase in (0, 1, 2, 3)] == [
        "untrained", "sft", "grpo", "grpo 2"]  # fmt: skip


@pytest.mark.parametrize("name", FINDINGS["spatial"].figures)
def test_every_figure_is_drawn_with_its_numbers(name):
    drawn = FINDINGS["spatial"].figures[name](evidence(scenes=8))
    assert isinstance(drawn, str) or style.image(drawn)
    assert isinstance(drawn, str) == (name in ("gates", "benchmarks"))


def test_confusions_lie_where_they_were_made():
    figure = spatial.plot_confusion(evidence(chain=[SFT, SFT, {"forward": 1.0, "reverse": 0.0}]))
    assert "forward, left: left 100 %" in figure.get_label()
    assert "reverse, left: right 100 %" in figure.get_label()
    upper, lower = (axes.get_subplotspec().rowspan.start for axes in figure.axes)
    assert upper < lower, "side by side, 21 relations are too small to be read on a page"


def test_relations_have_a_marker_for_every_phase(study):
    figure = spatial.plot_relations(study)
    for said in ("forward, left sft ", "forward, left dpo ", "forward, left grpo 100 %"):
        assert said in figure.get_label()
    assert [axes.get_title() for axes in figure.axes] == ["forward", "reverse"]
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["left", "right", "above", "below", "larger", "smaller"], "those asked between, together"
    other = spatial.plot_relations(study, variant="sft").get_label()
    assert "sft" in other and "dpo" not in other


def test_benchmarks_that_were_asked_as_well_are_told_relation_by_relation(study):
    vsr = study.phases[study.phases["direction"] == "forward"].assign(world="vsr", population=np.nan)
    both = pd.concat([study.phases, vsr.assign(relation=np.where(vsr["kind"] == "size", "facing", "at"))])
    asked = replace(study, phases=both, facets={**study.facets, "vsr": ("kind",)})
    label = spatial.plot_benchmarks(asked).get_label()
    assert "vsr, at sft 8" in label and "vsr, facing grpo 9" in label and "reverse" not in label
    assert set(spatial.own(asked)["world"]) == {"scenes"}, "the verdict is about scenes alone"


def test_rewards_are_drawn_part_by_part_for_every_rewarded_variant(study):
    figure = spatial.plot_rewards(study)
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == ["reward", "right answers", "part of the reward: exact",
                      "KL to the start, nats per token", "entropy, nats per token",
                      "length of answers, tokens"]  # fmt: skip
    assert "part of the reward: exact, null from 0.67 to 0.00" in figure.get_label()
    assert spatial.plot_rewards(evidence(logged=False)).startswith("No phase was rewarded")


def test_pictures_that_were_destroyed_are_held_against_chance(study):
    label = spatial.plot_controls(study).get_label()
    assert "image dropped, comparison forward 50 %" in label and "null" not in label


def test_background_shapes_are_not_counted_as_taught(study):
    found = accuracy.scored(spatial.about(study))
    assert not np.isclose(found["accuracy"], 0.95).any()
    assert set(FINDINGS["spatial"].asked(study)["population"]) == {"novel"}
