"""Estimates, intervals and tests on values known by hand."""

import numpy as np
import pytest
from scipy import stats

from mmrc_helpers.analysis import intervals, power


def of_seeds(*shares, people=160, shared=False, repeats=1) -> intervals.Estimate:
    """So many right among the people of each seed."""
    values = np.concatenate([np.repeat(np.arange(people) < round(s * people), repeats) for s in shares])
    names = [
        f"{0 if shared else k}/{p}" for k in range(len(shares)) for p in np.repeat(range(people), repeats)
    ]
    return intervals.mean(values, names, np.repeat(np.arange(len(shares)), people * repeats))


@pytest.mark.parametrize(("right", "n"), [(0, 50), (12, 50), (50, 50), (1, 1), (157, 480)])
def test_the_interval_of_single_answers_is_clopper_and_pearsons(right, n):
    found = intervals.mean(np.arange(n) < right, np.arange(n))
    expected = stats.binomtest(right, n).proportion_ci(method="exact")
    assert (found.value, found.low, found.high) == pytest.approx((right / n, expected.low, expected.high))


def test_an_empty_cell_has_no_number_rather_than_zero():
    assert np.isnan(intervals.mean([], []).value) and intervals.clopper_pearson(0, 0) == (0.0, 1.0)
    assert not intervals.equivalence(intervals.NOT_MEASURED, 0.25).shown
    assert np.isnan(intervals.difference(intervals.NOT_MEASURED, of_seeds(0.5)).value)


def test_repeated_answers_of_a_person_do_not_narrow_the_interval():
    once, often = (of_seeds(0.25, people=40, repeats=repeats) for repeats in (1, 10))
    assert often.high - often.low == pytest.approx(once.high - once.low, abs=0.04)


def test_unanimous_persons_still_leave_doubt():
    found = of_seeds(1.0, people=20, repeats=3)
    assert (found.low, found.high) == pytest.approx(intervals.clopper_pearson(20, 20))
    same = intervals.difference(found, of_seeds(1.0, people=20, repeats=3))
    assert same.value == 0 and same.high == pytest.approx(intervals.clopper_pearson(0, 20)[1], abs=0.01)


def test_a_habit_that_makes_everyone_half_right_is_no_certainty():
    found = intervals.mean(np.tile([1.0, 0.0], 16), np.repeat(np.arange(16), 2))  # "Wrong" to everything
    assert (found.value, found.low, found.high) == pytest.approx((0.5, *intervals.clopper_pearson(8, 16)))


def test_the_clustered_interval_covers_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(300):
        ability = rng.beta(1, 3, size=80)  # persons differ; the mean is one quarter
        values = rng.random((80, 3)) < ability[:, None]
        found = intervals.mean(values.ravel(), np.repeat(np.arange(80), 3))
        covered += found.low <= 0.25 <= found.high
    assert 0.90 <= covered / 300 <= 0.99


def test_seeds_that_differ_widen_the_interval():
    """The default study's first seeds, 81.9 / 67.5 / 73.1 %: people alone would give [70, 78]."""
    found = of_seeds(0.819, 0.675, 0.731)
    assert (round(found.low, 2), round(found.high, 2)) == (0.67, 0.82)
    assert found.seeds == pytest.approx((0.819, 0.675, 0.731), abs=0.001) and found.groups == 480
    sample = stats.ttest_1samp(found.seeds, 0).confidence_interval()
    assert (found.t_low, found.t_high) == pytest.approx((sample.low, sample.high))
    assert found.p_seeds < 0.02 < of_seeds(0.25, 0.25, 0.27).p_seeds


def test_people_that_seeds_share_are_drawn_once_for_all_of_them():
    """The same person right in every seed is one piece of evidence, not three."""
    nested, shared = of_seeds(0.25, 0.25, 0.25, people=80), of_seeds(0.25, 0.25, 0.25, people=80, shared=True)
    assert shared.groups == 80 and nested.groups == 240
    assert shared.high - shared.low > 1.5 * (nested.high - nested.low)


def test_intervals_are_the_same_every_time():
    assert of_seeds(0.2, 0.3).told == of_seeds(0.2, 0.3).told


def test_equivalence_needs_enough_people_and_is_exact_for_single_answers():
    def at_chance(n):
        return intervals.equivalence(of_seeds(0.25, people=n), 0.25)

    assert at_chance(480).shown and not at_chance(40).shown
    low = stats.binomtest(120, 480, 0.15, alternative="greater").pvalue
    high = stats.binomtest(120, 480, 0.35, alternative="less").pvalue
    assert at_chance(480).p == pytest.approx(max(low, high))


def test_equivalence_over_seeds_sees_what_pooled_people_hide():
    assert intervals.equivalence(of_seeds(0.25, 0.25, 0.25), 0.25).shown
    assert not intervals.equivalence(of_seeds(0.10, 0.25, 0.40), 0.25).shown
    assert not intervals.equivalence(of_seeds(0.05, 0.05, 0.05), 0.25).shown
    assert intervals.equivalence(of_seeds(0.05, 0.05, 0.05), 0.25, floor=True).shown


def test_where_seeds_differ_more_than_people_explain_t_over_seeds_decides_too():
    """17, 25 and 33 % lie within ten points of a quarter, and their bootstrap knows nothing beyond them."""
    apart, alike = (of_seeds(*s, people=400) for s in ((0.17, 0.25, 0.33), (0.24, 0.25, 0.26)))
    assert apart.seeds_differ and not alike.seeds_differ
    assert apart.safe == (apart.t_low, apart.t_high) and alike.safe == (alike.low, alike.high)
    assert intervals.equivalence(apart, 0.25, safe=False).shown
    found = intervals.equivalence(apart, 0.25)
    t = stats.ttest_1samp(apart.seeds, 0.35, alternative="less").pvalue
    assert not found.shown and found.p == pytest.approx(t, abs=0.01)
    assert intervals.equivalence(alike, 0.25).shown


def test_seeds_of_a_difference_are_compared_too():
    easy = of_seeds(1.0, 1.0, 1.0)
    assert intervals.difference(easy, of_seeds(0.9, 0.5, 0.5)).seeds_differ
    assert not intervals.difference(easy, of_seeds(0.62, 0.6, 0.58)).seeds_differ
    assert not intervals.difference(easy, of_seeds(0.5, people=80)).seeds_differ  # independent: not known


def test_a_difference_that_rounds_to_nothing_has_no_sign():
    assert intervals.points(intervals.Estimate(-0.002, -0.021, -0.001)) == "0 points [-2, 0]"
    assert intervals.points(intervals.Estimate(-0.002, -0.021, 0.014), "+") == "+0 points [-2, 1]"


def test_the_area_under_the_curve_counts_ties_as_half():
    def auc(scores, positive):
        return intervals.auc(scores, positive, range(len(scores))).value

    assert auc([0.9, 0.8, 0.1], [True, True, False]) == 1.0 and auc([0.5, 0.5], [True, False]) == 0.5
    assert np.isnan(auc([0.5], [True]))


def test_the_area_under_the_curve_is_mann_and_whitneys():
    rng = np.random.default_rng(1)
    scores, positive = rng.normal(size=90).round(1), np.arange(90) % 3 == 0
    found = intervals.auc(scores, positive, np.repeat(np.arange(45), 2))
    pairs = positive.sum() * (~positive).sum()
    assert found.value == pytest.approx(
        stats.mannwhitneyu(scores[positive], scores[~positive]).statistic / pairs
    )
    assert found.low < found.value < found.high
    assert found.means.mean() == pytest.approx(found.value) and len(found.means) == 45 and found.ranked


def test_a_difference_is_paired_where_the_same_people_answer():
    easy, hard = (
        of_seeds(0.75, people=80),
        of_seeds(0.5, people=80),
    )  # everybody right in hard is right in easy
    paired = intervals.difference(easy, hard)
    other = intervals.mean(np.arange(80) < 40, [f"x/{k}" for k in range(80)])
    apart = intervals.difference(easy, other)
    assert paired.value == apart.value == 0.25 and paired.clusters and not apart.clusters
    assert paired.high - paired.low < 0.8 * (apart.high - apart.low)


def test_an_average_of_cells_is_surer_than_one():
    cells = [of_seeds(0.25, people=80) for _ in range(2)]
    assert intervals.average(cells).value == 0.25 and intervals.average(cells[:1]) is cells[0]


def test_mcnemars_test_is_exact():
    differences = np.repeat([1.0, -1.0, 0.0], [15, 3, 100])
    assert intervals.p_of_difference(differences) == pytest.approx(stats.binomtest(15, 18).pvalue)
    assert intervals.p_of_difference(np.zeros(5)) == 1.0
    assert intervals.p_of_difference(np.repeat([0.5, -0.5], [20, 2])) < 0.01


def test_holm_corrects_for_the_number_of_comparisons():
    corrected = intervals.holm([0.01, 0.04, np.nan, 0.03])
    assert corrected[[0, 1, 3]] == pytest.approx([0.03, 0.06, 0.06]) and np.isnan(corrected[2])
    assert intervals.holm([0.9, 0.8])[0] == 1.0 and not len(intervals.holm([]))


def test_cohens_h_is_on_the_scale_of_the_arcsine():
    assert intervals.cohens_h(0.5, 0.25) == pytest.approx(np.pi / 2 - np.pi / 3)
    assert intervals.cohens_h(0.3, 0.3) == 0


def test_the_p_of_one_value_is_binomial_or_of_the_bootstrap():
    assert intervals.p_of(of_seeds(0.5, people=100), 0.25) == pytest.approx(
        stats.binomtest(50, 100, 0.25).pvalue
    )
    assert (
        intervals.p_of(of_seeds(0.5, 0.5, 0.5), 0.25) < 0.001 < 0.5 < intervals.p_of(of_seeds(0.5, 0.5), 0.5)
    )


def test_power_matches_the_planned_sample_sizes():
    assert power.detectable(157) == pytest.approx(0.35, abs=0.01)
    assert power.detectable(610) == pytest.approx(0.30, abs=0.005)
    assert np.isnan(power.detectable(1)) and np.isnan(power.detectable(0))
    assert power.equivalence_power(480) > 0.99 and power.equivalence_power(40) < 0.2
    assert power.power_curve(200, 0.25, [0.25])[0] <= 0.05


def test_bands_of_means_leave_out_who_was_not_asked():
    values = np.array([[0.0, 1.0], [0.0, 3.0], [0.0, np.nan]])
    low, high = intervals.mean_bands(values)
    assert low.tolist() == [0, 1] and high.tolist() == [0, 3]


def test_values_that_are_no_shares_get_no_interval_of_shares():
    same = intervals.mean([0.0] * 8, range(8), share=False)
    assert (same.low, same.high) == (0.0, 0.0) and intervals.mean([0.0] * 8, range(8)).high > 0.3
    spread = intervals.mean([-7.0, -3.0, 1.0, 5.0], range(4), share=False)
    assert spread.low < spread.value == -1.0 < spread.high
