"""Intervals and tests for proportions: exact where every person answers once, bootstrapped over persons where
a person answers several times. No normal approximation anywhere: cells of a study hold tens to hundreds of
persons, not more."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

DRAWS = 4000  # bootstrap resamples: the 2.5th percentile then rests on 100 of them


def clopper_pearson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of Clopper and Pearson (1934). Without answers (n = 0) it is (0, 1)."""
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, successes, n - successes + 1) if successes > 0 else 0.0
    high = stats.beta.ppf(1 - tail, successes + 1, n - successes) if successes < n else 1.0
    return float(low), float(high)


def mean_interval(values: Sequence, clusters: Sequence, level: float = 0.95) -> tuple[float, float, float]:
    """Mean and interval of values (n,) in [0, 1] whose clusters (n,) are persons.

    Right/wrong answers, one per person: Clopper–Pearson. Otherwise: percentile bootstrap over persons. Where
    all persons agree the bootstrap has no width, so the exact interval over persons takes its place.
    An empty cell gives three nan.
    """
    values = np.asarray(values, dtype=float)
    if values.size == 0:
        return np.nan, np.nan, np.nan
    sums, counts = _per_cluster(values, clusters)
    mean, binary = values.mean(), np.isin(values, (0.0, 1.0)).all()
    if (binary and counts.max() == 1) or np.ptp(sums / counts) == 0:
        return float(mean), *clopper_pearson(mean * len(sums), len(sums), level)
    tail = (1 - level) / 2
    low, high = np.quantile(_resampled_means(sums, counts), (tail, 1 - tail))
    return float(mean), float(low), float(high)


def mean_bands(values_PT: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (T,) of percentile bootstrap intervals of the means over persons, at every time.

    values_PT: persons × times, nan where a person was not asked. The same persons are drawn at all times.
    """
    known = ~np.isnan(values_PT)
    people = len(values_PT)
    drawn = np.random.default_rng(0).multinomial(people, np.full(people, 1 / people), size=1000)
    with np.errstate(invalid="ignore"):
        means = (drawn @ np.where(known, values_PT, 0.0)) / (drawn @ known)
    tail = (1 - level) / 2
    low, high = np.nanquantile(means, (tail, 1 - tail), axis=0)
    return low, high


def paired_interval(differences: Sequence, level: float = 0.95) -> tuple[float, float, float]:
    """Mean and percentile bootstrap interval of differences (n,) in [-1, 1], one per person.

    Where all persons agree, the exact upper limit of the share who would differ is the half-width.
    """
    differences = np.asarray(differences, dtype=float)
    if differences.size == 0:
        return np.nan, np.nan, np.nan
    mean = float(differences.mean())
    if np.ptp(differences) == 0:
        unseen = clopper_pearson(0, len(differences), level)[1]
        return mean, max(-1.0, mean - unseen), min(1.0, mean + unseen)
    tail = (1 - level) / 2
    low, high = np.quantile(_resampled_means(differences, np.ones(len(differences))), (tail, 1 - tail))
    return mean, float(low), float(high)


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests that a mean lies within `margin` of `chance`; `p` is the larger of the two."""

    mean: float
    low: float  # of the 90 % interval, the one that belongs to two tests at 5 %
    high: float
    chance: float
    margin: float
    p: float

    @property
    def shown(self) -> bool:
        return bool(self.p <= 0.05)


def equivalence(values: Sequence, clusters: Sequence, chance: float, margin: float = 0.10) -> Equivalence:
    """Whether right/wrong answers (n,) of persons (n,) are at chance within ± margin, at the 5 % level.

    One answer per person: exact binomial tests. Otherwise: bootstrap over persons. An empty cell shows
    nothing.
    """
    values = np.asarray(values, dtype=float)
    if values.size == 0:
        return Equivalence(np.nan, np.nan, np.nan, chance, margin, 1.0)
    sums, counts = _per_cluster(values, clusters)
    mean, low, high = mean_interval(values, clusters, level=0.90)
    if counts.max() == 1 or np.ptp(sums / counts) == 0:
        right, n = round(values.mean() * len(sums)), len(sums)
        below = stats.binom.cdf(right, n, min(1.0, chance + margin))
        above = stats.binom.sf(right - 1, n, max(0.0, chance - margin))
    else:
        means = _resampled_means(sums, counts)
        below, above = np.mean(means >= chance + margin), np.mean(means <= chance - margin)
    return Equivalence(mean, low, high, chance, margin, float(max(below, above)))


def detectable(people: int, chance: float = 0.25, power: float = 0.80) -> float:
    """The smallest accuracy above chance that an exact two-sided 5 % test finds with this power; nan if none.

    people: persons with one answer each (several answers of one person count once, which errs on the safe
    side).
    """
    accuracies = np.arange(chance, 1.0005, 0.001)
    found = accuracies[_power(people, chance, accuracies) >= power] if people else []
    return float(found[0]) if len(found) else float("nan")


def power_curve(people: int, chance: float, accuracies: Sequence[float]) -> np.ndarray:
    """Probability (n,) that the exact two-sided 5 % test tells each true accuracy (n,) from chance."""
    return _power(people, chance, np.asarray(accuracies, dtype=float))


def equivalence_power(people: int, chance: float = 0.25, margin: float = 0.10) -> float:
    """Probability that the two one-sided tests succeed when the truth is exactly chance."""
    right = np.arange(people + 1)
    below = stats.binom.cdf(right, people, min(1.0, chance + margin)) <= 0.05
    above = stats.binom.sf(right - 1, people, max(0.0, chance - margin)) <= 0.05
    return float(stats.binom.pmf(right, people, chance)[below & above].sum())


def percent(value: float, low: float | None = None, high: float | None = None) -> str:
    """27 % [22, 33]: whole percents, or "not measured"."""
    if np.isnan(value):
        return "not measured"
    text = f"{100 * value:.0f} %" if abs(100 * value - round(100 * value)) < 0.05 else f"{100 * value:.1f} %"
    return text if low is None else f"{text} [{100 * low:.0f}, {100 * high:.0f}]"


def _power(people: int, chance: float, accuracies: np.ndarray) -> np.ndarray:
    upper = stats.binom.isf(0.025, people, chance) + 1  # fewest right answers that reject from above
    lower = stats.binom.ppf(0.025, people, chance) - 1  # most right answers that reject from below
    return stats.binom.sf(upper - 1, people, accuracies) + stats.binom.cdf(lower, people, accuracies)


def _per_cluster(values: np.ndarray, clusters: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts (clusters,) of the values of each person."""
    _, member = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(member, weights=values), np.bincount(member)


def _resampled_means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means (DRAWS,) of samples of persons drawn with replacement."""
    weights = _weights(len(sums))
    return (weights @ sums) / (weights @ counts)


@lru_cache(maxsize=8)
def _weights(clusters: int) -> np.ndarray:
    """How often each person is drawn in each resample (DRAWS, clusters). Seeded: equal answers, equal
    intervals."""
    rng = np.random.default_rng(20261121)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=DRAWS).astype(np.float32)
