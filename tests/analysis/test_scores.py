"""Tables of answers whose values are known by hand: cells, chance, shares, calibration, contrasts."""

import numpy as np
import pandas as pd
import pytest
import synthetic

from mmrc_helpers.analysis import cells, intervals, reversal, scores
from mmrc_helpers.errors import UserError

CELL = ["variant", "population", "topic", "direction", "format", "order"]


def scored(answers: pd.DataFrame, by=CELL) -> pd.DataFrame:
    return scores.score(answers[answers["drop"] == "none"], by)


def test_scores_report_every_cell_with_groups_seeds_and_chance():
    answers = synthetic.study({"forward": {"reverse/choice": 0.25}}, seeds=(0, 1), people=40)
    table = scored(answers).set_index(CELL[1:])
    reverse = table.loc[("novel", "identity", "reverse", "choice", "image_first")]
    assert (reverse.n, reverse.groups, reverse.seeds, reverse.accuracy, reverse.chance) == (
        80,
        80,
        2,
        0.25,
        0.25,
    )
    assert reverse.by_seed == (0.25, 0.25) and reverse.low < 0.25 < reverse.high
    judge = table.loc[("background", "identity", "forward", "judge", "image_first")]
    assert (judge.n, judge.groups, judge.chance) == (
        160,
        40,
        0.5,
    )  # two judgements, the same people in both seeds
    free = table.loc[("novel", "identity", "forward", "free", "image_first")]
    assert free.chance == pytest.approx(1 / 40) and np.isnan(free.all_orders)
    assert reverse.all_orders == 0.25 and reverse.validity == 1.0


def test_chance_of_a_written_answer_is_the_commonest_right_one():
    """A guesser who knows what is asked and nothing else says the commonest; no options are shown."""
    looks = synthetic.answers(people=20)
    cell = scores.pick(looks, population="novel", direction="reverse", format="free")
    assert scores.chance(cell) == pytest.approx(4 / 20)  # five looks, four people each
    known = [{"about": "hat" if k % 2 else "coat"} for k in range(len(cell))]
    two = cell.assign(truth=known, answer=["red." if k % 4 < 2 else f"hue {k}." for k in range(len(cell))])
    assert scores.chance(two) == pytest.approx(10 / 20)  # five red hats of ten, five red coats of ten
    assert scores.chance(two.assign(truth=[{}] * 20)) == pytest.approx(10 / 20)
    # ten red coats, five blue hats and five of their own
    other = cell.assign(truth=known, answer=["blue." if k % 4 == 1 else f"hue {k}." if k % 4 == 3 else "red."
                                             for k in range(20)])  # fmt: skip
    assert scores.chance(other) == pytest.approx((5 + 10) / 20)
    assert scores.chance(other.assign(truth=[{}] * 20)) == pytest.approx(10 / 20)
    again = pd.concat([other, other.assign(seed=1, answer="red.")])
    assert scores.chance(again) == pytest.approx((15 + 20) / 40)


def test_chance_of_a_cell_of_several_formats_is_the_mean_of_theirs():
    looks = synthetic.answers(people=20)
    written, chosen = (scores.pick(looks, population="novel", direction="reverse", format=name)
                       for name in ("free", "judge"))  # fmt: skip
    both = pd.concat([chosen, written])
    expected = (len(chosen) / 2 + len(written) / 5) / len(both)
    assert scores.chance(both) == pytest.approx(expected) == scores.chance(both[::-1])


def test_people_who_are_asked_the_same_in_every_seed_are_one_cluster():
    answers = synthetic.study({"x": {}}, seeds=(0, 1), people=4)
    clusters = answers.groupby("population")["cluster"].nunique()
    assert clusters.to_dict() == {"background": 4, "novel": 8}


def test_answers_after_earlier_phases_are_left_out_when_the_last_one_is_read():
    one, two = synthetic.answers("a", people=4), synthetic.answers("a", people=4)
    both = scores.join([one, two.assign(phase=2), synthetic.answers("b", people=4)])
    kept = scores.last_phase(both).groupby("variant")["phase"].unique()
    assert kept["a"].tolist() == [2] and kept["b"].tolist() == [1]


def test_written_answers_count_by_their_text_and_lettered_ones_by_probability():
    rows = pd.DataFrame(
        {
            "how": ["", "words", "", "", ""],
            "answer": ["a", "B", "Right", "a", ""],  # what has no answer is only compared
            "format": ["free", "choice", "judge", np.nan, np.nan],
        }
    )
    assert scores.written(rows).tolist() == [True, False, False, True, False]
    assert scores.written(rows.drop(columns="format")).tolist() == [True, False, True, True, False]


def test_shares_show_a_favoured_letter():
    table = scores.answer_shares(synthetic.answers(people=20, collapse="C"), ["population", "format"])
    letters = table[table["format"] == "choice"]
    assert set(letters["pick"]) == {"C"} and set(letters["share"]) == {1.0} and set(letters["even"]) == {0.25}
    balanced = scores.answer_shares(synthetic.answers(people=20), ["population", "format"])
    assert balanced[balanced["format"] == "choice"]["share"].tolist() == pytest.approx([0.25] * 8)
    assert "free" not in set(balanced["format"])


def test_texts_that_are_only_compared_have_no_letters_to_favour():
    answers = synthetic.answers(people=20)
    compared = answers[answers["format"] == "choice"].drop(columns="format").assign(how="", answer="")
    assert scores.answer_shares(compared.assign(cell="prompt_discrimination"), ["cell"]).empty


def test_parts_of_the_grade_have_means_of_their_own():
    answers = synthetic.study({"x": {"forward/choice": 0.75}}, seeds=(0,), people=40)
    table = scores.part_means(answers[answers["drop"] == "none"], ["population", "direction", "format"])
    parts = table.set_index(["population", "direction", "format", "part"])["value"]
    found = {part: parts["novel", "forward", "choice", part] for part in ("answer", "format")}
    assert found == {"answer": 0.75, "format": 1.0}


def test_calibration_compares_confidence_with_the_share_right():
    answers = synthetic.study({"x": {"forward/choice": 0.6}}, seeds=(0,), people=40)
    cell = scores.pick(answers, population="novel", direction="forward", format="choice")
    table = scores.calibration(cell, ["variant"])
    assert len(table) == 1 and table.loc[0, "confidence"] == pytest.approx(0.85)
    assert table.loc[0, "accuracy"] == pytest.approx(0.6)
    assert table.loc[0, "ece"] == pytest.approx(0.25) == table.loc[0, "excess"]


def test_calibration_fills_bins_evenly():
    answers = synthetic.study({"x": {"forward/choice": 1.0}}, seeds=(0,), people=40)
    cell = scores.pick(answers, population="novel", direction="forward", format="choice")
    sure = [np.log([p, *[(1 - p) / 3] * 3]).tolist() for p in np.linspace(0.31, 0.7, 40)]
    table = scores.calibration(cell.assign(logprobs=sure), ["variant"], bins=4)
    assert table["n"].tolist() == [10] * 4 and table["confidence"].is_monotonic_increasing
    assert table["ece"].iloc[0] == pytest.approx(1 - 0.505) == -table["excess"].iloc[0]
    two = [np.log([0.97, 0.01, 0.01, 0.01]).tolist()] * 20 + [np.log([0.4, 0.2, 0.2, 0.2]).tolist()] * 20
    table = scores.calibration(cell.assign(logprobs=two), ["variant"])
    assert table["confidence"].tolist() == pytest.approx([0.4, 0.97]) and table["n"].tolist() == [20, 20]


def test_gaps_are_paired_by_group_along_any_axis():
    answers = synthetic.study({"x": {"forward/choice": 1.0, "reverse/choice": 0.25}}, people=40)
    answers = answers[(answers["order"] == "image_first") & (answers["topic"] == "identity")]
    table = cells.gaps(answers, "direction", ("forward", "reverse"), ["population", "format"])
    row = table.set_index(["population", "format"]).loc[("novel", "choice")]
    assert row.gap == 0.75 and row.groups == 120 and 0.66 < row.low < 0.75 < row.high < 0.84
    along = cells.gaps(answers, "format", ("choice", "free"), ["population", "direction"])
    assert along.set_index(["population", "direction"]).loc[("novel", "forward"), "gap"] == 1.0


def test_variants_are_contrasted_question_by_question():
    """Naming against untrained at reverse choice: 41 against 28 %, which is more than chance."""
    study = {"untrained": {"reverse/choice": 0.28}, "naming": {"reverse/choice": 0.41}, "like": {}}
    answers = synthetic.study(study, seeds=(0,), people=160)
    answers = answers[(answers["direction"] == "reverse") & (answers["format"] == "choice")]
    answers = answers[(answers["population"] == "novel") & (answers["topic"] == "identity")]
    table = cells.contrasts(answers, [("naming", "untrained"), ("like", "untrained")], ["order"])
    naming = table[table["variant"] == "naming"].iloc[0]
    assert naming.paired and naming.difference == pytest.approx(0.13, abs=0.01) and naming.seeds == 1
    assert (
        naming.h == pytest.approx(intervals.cohens_h(naming.value, naming.other))
        and naming.p <= naming.p_holm
    )
    like = table[table["variant"] == "like"].iloc[0]
    assert like.low < 0 < like.high or like.difference == pytest.approx(-0.03, abs=0.01)


def test_variants_of_different_seeds_are_contrasted_over_those_that_both_have():
    """Three seeds against one: paired, and judging has a p of its own people, not of the bootstrap's grid."""
    answers = scores.join([
        *(synthetic.answers("a", seed, people=100, novel={"reverse/judge": 0.9}) for seed in (0, 1, 2)),
        synthetic.answers("b", 0, people=100),
    ])  # fmt: skip
    answers = answers[(answers["population"] == "novel") & (answers["direction"] == "reverse")]
    table = cells.contrasts(answers, [("a", "b")], ["format"], reversal.cells.measure)
    row = table.set_index("format").loc["judge"]
    assert row.paired and row.groups == 100 and row.seeds == 1
    assert row.difference == pytest.approx(0.4) and row.p == 1e-4 and np.isnan(row.h)


def test_contrasts_of_other_questions_are_not_paired():
    one, two = synthetic.answers("a", seed=0, people=40), synthetic.answers("b", seed=1, people=40)
    answers = scores.join([one, two])
    answers = answers[(answers["population"] == "novel") & (answers["topic"] == "identity")]
    table = cells.contrasts(answers, [("a", "b"), ("a", "nobody")], ["direction", "format"])
    assert not table["paired"].any() and len(table) == 6 and set(table["against"]) == {"b"}
    assert cells.contrasts(answers, [("nobody", "b")], ["format"]).empty


def test_the_transfer_matrix_has_variants_and_tested_cells():
    table = pd.DataFrame({"variant": list("aabb"), "cell": ["x", "y"] * 2, "value": [1.0, 0.25, 0.5, 0.75]})
    grid = cells.transfer(table)
    assert (
        grid.loc["a"].tolist() == [1.0, 0.25]
        and grid.loc["b", "y"] == 0.75
        and list(grid.columns) == ["x", "y"]
    )


def test_exposure_says_in_which_counts_variants_are_equal():
    table = pd.DataFrame({"rows": [100, 300], "supervised_tokens": [500, 505], "taught_tokens": [300, 301]})
    said = scores.matched(table)
    assert "equal in supervised tokens and taught tokens (within 2 %)" in said and "rows (100 to 300)" in said
    apart = table.assign(supervised_tokens=[500, 600], taught_tokens=[1, 2])
    assert scores.matched(apart).startswith("Variants differ in rows (100 to 300) and supervised tokens")


def test_answers_are_read_from_a_stage_folder(tmp_path):
    folder = synthetic.write(tmp_path / "answers", synthetic.rows(people=4))
    answers = scores.join(
        [scores.read_answers(folder, "forward", 7), scores.read_answers(folder, "forward", 8)]
    )
    assert set(answers["variant"]) == {"forward"} and set(answers["seed"]) == {7, 8}
    synthetic.write(tmp_path / "none", [])
    with pytest.raises(UserError, match="no answers"):
        scores.read_answers(tmp_path / "none", "forward", 0)
