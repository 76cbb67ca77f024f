"""The wider-middle axis: inverted exactly, continuous and increasing, with a true share and sane ticks."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from mmrc_helpers.figures.axes import CLOSEST, WiderMiddleScale, round_outwards, widen


def random_scale(rng) -> WiderMiddleScale:
    lower, low, high, upper = np.sort(rng.normal(0, 10 ** rng.uniform(-3, 3), 4))
    return WiderMiddleScale(band=(low, high), share=rng.uniform(0.05, 0.95), limits=(lower, upper))


@pytest.mark.parametrize("seed", range(200))
def test_it_is_its_own_inverse_within_and_beyond_the_limits(seed):
    rng = np.random.default_rng(seed)
    scale = random_scale(rng)
    lower, upper = scale.limits
    values = np.sort(
        np.concatenate([rng.uniform(2 * lower - upper, 2 * upper - lower, 500), scale.transform.knots])
    )
    transform = scale.get_transform()
    there = transform.transform(values)
    assert np.allclose(
        transform.inverted().transform(there), values, rtol=0, atol=1e-11 * np.abs(values).max()
    )
    assert (np.diff(there) >= 0).all()
    assert np.allclose(transform.transform(scale.transform.knots), scale.transform.places, atol=1e-12)


@pytest.mark.parametrize("seed", range(50))
def test_the_limits_are_the_ends_and_the_band_has_its_share(seed):
    rng = np.random.default_rng(seed)
    lower, low, high, upper = np.sort(rng.normal(0, 3, 4))
    share = rng.uniform(0.05, 0.95)
    transform = WiderMiddleScale(band=(low, high), share=share, limits=(lower, upper)).get_transform()
    places = transform.transform(np.array([lower, low, high, upper]))
    assert places[[0, 3]] == pytest.approx([0, 1]) and places[2] - places[1] == pytest.approx(share)


def test_a_band_may_reach_to_a_limit():
    transform = WiderMiddleScale(band=(-1, 0), share=0.5, limits=(-10, 0)).get_transform()
    places = transform.transform(np.array([-10, -1, 0, 9]))
    assert places == pytest.approx([0, 0.5, 1, 1.5])
    assert transform.inverted().transform(places) == pytest.approx([-10, -1, 0, 9])


def test_it_is_continuous_at_the_edges_of_the_band():
    transform = WiderMiddleScale(band=(0.05, 0.10), share=0.25, limits=(-1.5, 1.5)).get_transform()
    for edge in (-1.5, 0.05, 0.10, 1.5):
        below, at, above = transform.transform(np.array([edge - 1e-9, edge, edge + 1e-9]))
        assert at - below < 1e-7 and above - at < 1e-7


def test_the_numbers_of_earlier_work_are_reproduced():
    """Slope 5 inside [0.05, 0.10], 0.75/2.95 outside (facts of the forward/reverse DPO study)."""
    transform = WiderMiddleScale(band=(0.05, 0.10), share=0.25, limits=(-1.5, 1.5)).get_transform()
    a, b, c, d = transform.transform(np.array([0.06, 0.08, -1.0, 0.0]))
    assert (b - a) / 0.02 == pytest.approx(5) and d - c == pytest.approx(0.75 / 2.95)


@pytest.mark.parametrize(
    "band, share", [((2, 1), 0.5), ((-9, 1), 0.5), ((0, 1), 1.0), ((0, 1), 0.0), ((-2, 3), 0.5)]
)
def test_an_impossible_band_is_refused(band, share):
    with pytest.raises(ValueError, match="wider_middle"):
        WiderMiddleScale(band=band, share=share, limits=(-2, 3))


def test_ticks_are_the_limits_the_band_and_round_numbers_that_do_not_touch():
    axes = Figure().subplots()
    axes.set_yscale("wider_middle", band=(-0.5, -0.1), share=0.5, limits=(-12, 2))
    axes.set_ylim(-12, 2)
    ticks = axes.get_yticks()
    assert {-12, -0.5, -0.1, -0.2, -0.3, -0.4} <= {round(tick, 9) for tick in ticks}
    assert any(-12 < tick < -0.5 and tick == round(tick) for tick in ticks)
    places = axes.yaxis.get_transform().transform(ticks)
    assert np.diff(places).min() >= CLOSEST and [axes.yaxis.get_major_formatter()(-0.5)] == ["$-0.5$"]


def test_it_draws_values_beyond_its_limits():
    figure = Figure()
    axes = figure.subplots()
    axes.set_yscale("wider_middle", band=(-1, 0), share=0.4, limits=(-5, 1))
    axes.plot([0, 1, 2], [-20, -0.5, 7])
    figure.draw_without_rendering()
    low, high = axes.get_ylim()
    assert low <= -20 and high >= 7


def test_a_widened_axis_holds_all_it_should_and_says_what_is_enlarged():
    axes = Figure().subplots()
    widen(axes, band=(-0.21, -0.1), ends=(-9.7, -0.01), share=0.4)
    assert axes.get_yscale() == "wider_middle" and axes.texts[0].get_text() == "enlarged"
    lower, upper = axes.get_ylim()
    assert lower <= -9.7 and upper >= -0.01
    ends = axes.yaxis.get_transform().transform(np.array([-0.21, -0.1]))
    assert ends == pytest.approx([ends[0], ends[0] + 0.4], abs=0.02)


@pytest.mark.parametrize("low, high", [(-9.73, -0.013), (0.0021, 0.0034), (5, 5), (-1e5, 1e6)])
def test_ends_are_rounded_outwards(low, high):
    lower, upper = round_outwards(low, high)
    assert lower <= low <= high <= upper and lower < upper
    assert upper - lower <= 1.2 * (high - low) or low == high
