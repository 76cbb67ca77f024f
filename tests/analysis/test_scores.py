"""Tables and intervals on simulated answers whose values are known by hand."""

import time

import numpy as np
import pandas as pd
import pytest
import synthetic
from scipy import stats

from mmrc_helpers.analysis import intervals, reading, scores
from mmrc_helpers.errors import UserError


@pytest.mark.parametrize(("right", "n"), [(0, 50), (12, 50), (50, 50), (1, 1), (157, 480)])
def test_the_interval_of_single_answers_is_clopper_and_pearsons(right, n):
    values = np.arange(n) < right
    expected = stats.binomtest(right, n).proportion_ci(method="exact")
    assert intervals.mean_interval(values, np.arange(n)) == pytest.approx(
        (right / n, expected.low, expected.high)
    )


def test_an_empty_cell_has_no_number_rather_than_zero():
    assert np.isnan(intervals.mean_interval([], [])).all()
    assert intervals.clopper_pearson(0, 0) == (0.0, 1.0)


def test_repeated_answers_of_a_person_do_not_narrow_the_interval():
    once = np.arange(40) % 4 == 0
    _, low, high = intervals.mean_interval(np.repeat(once, 10), np.repeat(np.arange(40), 10))
    _, exact_low, exact_high = intervals.mean_interval(once, np.arange(40))
    assert high - low == pytest.approx(exact_high - exact_low, abs=0.04)


def test_unanimous_persons_still_leave_doubt():
    _, low, high = intervals.mean_interval(np.ones(60), np.repeat(np.arange(20), 3))
    assert (low, high) == pytest.approx(intervals.clopper_pearson(20, 20))
    assert intervals.paired_interval(np.ones(20)) == pytest.approx(
        (1.0, 1 - intervals.clopper_pearson(0, 20)[1], 1.0)
    )


def test_a_habit_that_makes_everyone_half_right_is_no_certainty():
    values, people = np.tile([1.0, 0.0], 16), np.repeat(np.arange(16), 2)  # "Wrong" to every judgement
    assert intervals.mean_interval(values, people) == pytest.approx((0.5, *intervals.clopper_pearson(8, 16)))


def test_the_clustered_interval_covers_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(300):
        ability = rng.beta(1, 3, size=80)  # persons differ; the mean is one quarter
        values = rng.random((80, 3)) < ability[:, None]
        _, low, high = intervals.mean_interval(values.ravel(), np.repeat(np.arange(80), 3))
        covered += low <= 0.25 <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_intervals_are_the_same_every_time():
    values, people = np.arange(90) % 5 == 0, np.repeat(np.arange(30), 3)
    assert intervals.mean_interval(values, people) == intervals.mean_interval(values, people)


def test_equivalence_needs_enough_people():
    def at_chance(n):
        return intervals.equivalence(np.arange(n) % 4 == 0, np.arange(n), chance=0.25)

    assert at_chance(480).shown and not at_chance(40).shown
    low = stats.binomtest(120, 480, 0.15, alternative="greater").pvalue
    high = stats.binomtest(120, 480, 0.35, alternative="less").pvalue
    assert at_chance(480).p == pytest.approx(max(low, high))


def test_clustered_equivalence_agrees_with_the_exact_one():
    once = np.arange(400) % 4 == 0
    clustered = intervals.equivalence(np.repeat(once, 2), np.repeat(np.arange(400), 2), chance=0.25)
    assert clustered.shown and clustered.mean == 0.25
    shifted = intervals.equivalence(
        np.repeat(np.arange(400) % 3 == 0, 2), np.repeat(np.arange(400), 2), chance=0.25
    )
    assert not shifted.shown  # 33 % with 400 people reaches beyond 35 %


def test_power_matches_the_planned_sample_sizes():
    assert intervals.detectable(157) == pytest.approx(0.35, abs=0.01)
    assert intervals.detectable(610) == pytest.approx(0.30, abs=0.005)
    assert np.isnan(intervals.detectable(1)) and np.isnan(intervals.detectable(0))
    assert intervals.equivalence_power(480) > 0.99 and intervals.equivalence_power(40) < 0.2
    assert intervals.power_curve(200, 0.25, [0.25])[0] <= 0.05


def test_scores_report_every_cell_with_people_and_chance():
    answers = synthetic.study({"forward": synthetic.FORWARD}, seeds=(0, 1), people=40)
    scored = scores.score(answers).set_index(["population", "topic", "direction", "format"])
    reverse = scored.loc[("novel", "identity", "reverse", "choice")]
    assert (reverse.n, reverse.people, reverse.accuracy, reverse.chance) == (80, 80, 0.25, 0.25)
    assert (reverse.low, reverse.high) == pytest.approx(intervals.clopper_pearson(20, 80))
    judge = scored.loc[("background", "identity", "forward", "judge")]
    assert (judge.n, judge.people, judge.chance) == (
        160,
        40,
        0.5,
    )  # two judgements, the same people in both seeds
    assert scored.loc[("novel", "identity", "forward", "free")].chance == pytest.approx(1 / 40)
    assert set(scores.score(answers, by_seed=True)["seed"]) == {0, 1}
    assert len(scores.primary(scores.score(answers))) == 12


def test_people_taught_both_ways_are_reported_apart():
    answers = synthetic.answers("mixed", people=40, two_way=20)
    scored = scores.primary(scores.score(answers))
    people = scored[scored["format"] == "free"].groupby("population")["people"].max()
    assert people.to_dict() == {"novel": 20, "two_way": 20, "background": 40}


def test_judging_reports_detection():
    table = scores.judges(synthetic.answers(people=40, novel={"forward/judge": 1.0, "reverse/judge": 0.75}))
    rows = table[table["population"] == "novel"].set_index("direction")
    assert rows.loc["forward", ["tpr", "fpr", "separation", "auc"]].tolist() == [1.0, 0.0, 1.0, 1.0]
    assert rows.loc["reverse", ["tpr", "fpr", "separation", "share_right"]].tolist() == [0.75, 0.25, 0.5, 0.5]
    assert rows.loc["reverse", "auc"] == pytest.approx(0.75)  # two scores only: ties count half


def test_auc_counts_ties_as_half():
    assert scores.auc([0.9, 0.8, 0.1], [True, True, False]) == 1.0
    assert scores.auc([0.5, 0.5], [True, False]) == 0.5
    assert np.isnan(scores.auc([0.5], [True]))


def test_storage_is_told_from_access():
    table = scores.storage(synthetic.answers(people=40)).set_index("population")
    novel = table.loc["novel"]
    assert (novel.storage, novel.access, novel.stored_unreached, novel.neither) == (1.0, 0.25, 0.75, 0.0)
    assert table.loc["background", "stored_reached"] == 1.0


def test_gaps_are_paired_by_person():
    table = scores.gaps(synthetic.study({"forward": synthetic.FORWARD}, people=40)).set_index("population")
    assert table.loc["novel", "gap"] == 0.75 and table.loc["novel", "people"] == 120
    assert 0.66 < table.loc["novel", "low"] < 0.75 < table.loc["novel", "high"] < 0.84
    assert table.loc["background", "gap"] == 0.0


def test_consistency_counts_persons_in_four_groups():
    table = scores.consistency(synthetic.answers(people=40)).set_index("population")
    assert table.loc["novel", ["both", "forward_only", "reverse_only", "neither"]].tolist() == [
        0.25,
        0.75,
        0,
        0,
    ]
    assert table.loc["background", "both"] == 1.0


def test_drops_stand_beside_the_whole_question():
    scored = scores.score(synthetic.answers(people=40, drops=("image", "text")))
    table = scores.drops(scored).set_index(["direction", "format"])
    assert table.loc[("forward", "choice"), ["none", "image", "text"]].tolist() == [1.0, 0.25, 0.25]
    assert scores.drops(scores.score(synthetic.answers(people=8))).empty


def test_drops_are_read_in_the_primary_condition():
    answers = synthetic.answers(people=8, drops=("image",))
    hard = answers[answers["format"] == "choice"].assign(distractors="matched", correct=0.0)
    table = scores.drops(scores.score(pd.concat([hard, answers])))
    assert (
        len(table) == 6 and table.set_index(["direction", "format"]).loc[("forward", "choice"), "none"] == 1.0
    )


def test_the_transfer_matrix_has_trained_rows_and_tested_columns():
    arms = {"a": {"forward/free": 1.0}, "b": {"reverse/choice": 1.0}}
    scored = scores.score(synthetic.study(arms, seeds=(0,), people=40))
    table = scores.matrix(scored, {"a": "forward/free", "b": "reverse/choice"})
    assert list(table.index) == ["forward/free", "reverse/choice"] and list(table.columns) == list(
        scores.CELLS
    )
    assert table.loc["forward/free", "forward/free"] == table.loc["reverse/choice", "reverse/choice"] == 1.0
    assert table.loc["forward/free", "reverse/choice"] == 0.25


def test_answer_shares_show_a_favoured_letter():
    shares = scores.answer_shares(synthetic.answers(people=20, collapse="C"))
    letters = shares[(shares["population"] == "novel") & (shares["format"] == "choice")]
    assert set(letters["pick"]) == {"C"} and set(letters["share"]) == {1.0} and set(letters["even"]) == {0.25}
    balanced = scores.answer_shares(synthetic.answers(people=20))
    assert balanced[balanced["format"] == "choice"]["share"].tolist() == pytest.approx([0.25] * 16)


def test_exposure_adds_phases_and_averages_seeds():
    one = {"rows": 100, "supervised_tokens": 500, "novel_supervised_tokens": 300, "replay_share": 0.5}
    two = {**one, "replay_share": 0.0}
    records = [{"variant": "x", "seed": seed, **part} for seed in (0, 1) for part in (one, two)]
    row = scores.exposure(records).iloc[0]
    assert (row["rows"], row.supervised_tokens, row.novel_supervised_tokens, row.replay_share) == (
        200,
        1000,
        600,
        0.25,
    )


def test_the_table_of_cells_shows_harder_conditions_below_the_primary_one():
    answers = synthetic.answers(people=40)
    hard = answers[(answers["format"] == "choice") & (answers["topic"] == "identity")]
    table = reading.cell_table(pd.concat([answers, hard.assign(distractors="matched", correct=0.0)]))
    novel = table[table["population"] == "novel"].set_index("condition")
    assert list(novel.index) == ["primary", "other scoring", "image first, matched"]
    assert novel.loc["primary", "reverse/choice"].startswith("25.0\u00a0[")
    assert novel.loc["primary", "gap in choice"].startswith("75.0")
    assert novel.loc["image first, matched", "forward/choice"].startswith("0.0")
    assert novel.loc["image first, matched", "forward/free"] == ""


def test_answers_are_read_from_a_stage_folder(tmp_path):
    folder = synthetic.write(tmp_path / "answers", synthetic.rows(people=4))
    answers = scores.read_answers(folder, "forward", 7)
    assert set(answers["variant"]) == {"forward"} and answers["person"].str.startswith("7/novel").any()
    synthetic.write(tmp_path / "none", [])
    with pytest.raises(UserError, match="no answers"):
        scores.read_answers(tmp_path / "none", "forward", 0)


def test_a_large_study_is_scored_in_seconds():
    answers = synthetic.study({f"arm{k}": synthetic.FORWARD for k in range(4)}, people=160)
    start = time.perf_counter()
    scored = scores.score(answers, by_seed=True)
    assert isinstance(scored, pd.DataFrame) and time.perf_counter() - start < 10
