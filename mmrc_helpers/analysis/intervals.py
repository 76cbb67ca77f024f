"""Estimates with intervals and tests. The clusters are facts (people, puzzles); with several seeds, seeds
are drawn first and then clusters, because a study is repeated by training again. Exact where every cluster
answers once in one seed; no normal approximation anywhere: a cell holds tens to hundreds of clusters."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import stats

DRAWS = 4000  # bootstrap resamples: the 2.5th percentile then rests on 100 of them
MARGIN = 0.10  # "equivalent" means within ten points

Statistic = Callable[[np.ndarray], np.ndarray]  # weights (draws, clusters) → values (draws,)


@dataclass(frozen=True, eq=False)
class Estimate:
    """A value with what its intervals and tests need. `value` is the mean of the seeds' values.

    low, high: 95 %, over seeds and then clusters. t_low, t_high: 95 % by Student's t over seeds; nan for one
    seed. p_seeds: that the seeds differ by chance alone (Cochran's Q). draws (DRAWS,): bootstrap values;
    by_seed (seeds, DRAWS): those of each seed, over clusters alone. exact: right answers and clusters where a
    binomial law holds, else None. means: what each cluster contributes to the value. ranked: the value is an
    area under the curve, no share.
    """

    value: float
    low: float
    high: float
    seeds: tuple[float, ...] = ()
    t_low: float = np.nan
    t_high: float = np.nan
    p_seeds: float = np.nan
    clusters: tuple = ()
    draws: np.ndarray | None = None
    by_seed: np.ndarray | None = None
    exact: tuple[float, int] | None = None
    means: np.ndarray | None = None
    ranked: bool = False

    @property
    def groups(self) -> int:
        return len(self.clusters)

    @property
    def told(self) -> str:
        """27 % [22, 33]"""
        return percent(self.value, self.low, self.high)

    @property
    def seeds_differ(self) -> bool:
        """Whether the seeds differ by more than their clusters explain (5 %)."""
        return bool(self.p_seeds < 0.05)

    @property
    def safe(self) -> tuple[float, float]:
        """The 95 % interval that may decide something: where the seeds differ, the wider of both. Three seeds
        drawn with replacement know nothing beyond the worst and the best of them, so the bootstrap alone then
        covers as little as three in four; where they are alike it is on the wide side."""
        if not self.seeds_differ:
            return self.low, self.high
        return min(self.low, self.t_low), max(self.high, self.t_high)


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests that a value lies within `margin` of `target`; `p` is the larger of the two."""

    value: float
    low: float  # of the 90 % interval, the one that belongs to two tests at 5 %
    high: float
    target: float
    margin: float
    p: float

    @property
    def shown(self) -> bool:
        return bool(self.p <= 0.05)


NOT_MEASURED = Estimate(np.nan, np.nan, np.nan)


def mean(values: Sequence, clusters: Sequence, seeds: Sequence | None = None, share: bool = True) -> Estimate:
    """The mean of values (n,) of clusters (n,), in seeds (n,) or in one. share: they lie in [-1, 1]; else
    they may be any, such as nats, and no exact interval is known.

    One seed with one right/wrong answer per cluster: Clopper–Pearson. Otherwise: percentile bootstrap. Where
    everybody agrees the bootstrap has no width, so an exact interval over the clusters takes its place.
    Without values every number is nan.
    """
    values = np.asarray(values, dtype=float)
    if not values.size:
        return NOT_MEASURED
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    parts, binary = [], np.isin(values, (0.0, 1.0)).all()
    for _, rows in _by_seed(seeds, len(values)):
        own, place = np.unique(member[rows], return_inverse=True)
        sums, counts = np.bincount(place, weights=values[rows]), np.bincount(place)
        parts.append((own, _mean_of(sums, counts)))
        binary &= counts.max() == 1
    binary &= share
    is_share = share and np.isin(values, (0.0, 1.0)).all()
    counted = (float(values.mean()) * len(names), len(names)) if is_share else None
    means = np.bincount(member, weights=values) / np.bincount(member)
    found = _estimate(parts, names, counted if binary and len(parts) == 1 else None, counted, share)
    return replace(found, means=means)


def _mean_of(sums_C: np.ndarray, counts_C: np.ndarray) -> Statistic:
    """The mean under weights of clusters."""
    sums_C, counts_C = sums_C.astype(np.float32), counts_C.astype(np.float32)
    return lambda weights_DC: (weights_DC @ sums_C).astype(float) / (weights_DC @ counts_C)


def auc(scores: Sequence, positive: Sequence, clusters: Sequence, seeds: Sequence | None = None) -> Estimate:
    """The chance that a positive outscores a negative, ties counting half, in each seed (scores of two models
    are not compared). Clusters and seeds as in `mean`; nan without both kinds."""
    scores, positive = np.asarray(scores, dtype=float), np.asarray(positive, dtype=bool)
    if not positive.any() or positive.all():
        return NOT_MEASURED
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    parts, wins = [], np.zeros(len(scores))
    for _, rows in _by_seed(seeds, len(scores)):
        own, place = np.unique(member[rows], return_inverse=True)
        parts.append((own, _auc_of(scores[rows], positive[rows], place)))
        wins[rows] = _wins(scores[rows], positive[rows])
    means = np.bincount(member, weights=wins) / np.bincount(member)
    return replace(_estimate(parts, names), means=means, ranked=True)


def _wins(scores_N: np.ndarray, positive_N: np.ndarray) -> np.ndarray:
    """The share (N,) of the other kind that each row is on the right side of; their mean over either kind is
    the area under the curve (the components of DeLong and others, 1988)."""
    above_NN = (scores_N[:, None] > scores_N) + 0.5 * (scores_N[:, None] == scores_N)
    above_N, below_N = above_NN[:, ~positive_N].mean(1), above_NN[positive_N].mean(0)
    return np.where(positive_N, above_N, below_N)


def _auc_of(scores_N: np.ndarray, positive_N: np.ndarray, cluster_N: np.ndarray) -> Statistic:
    """Mann and Whitney's statistic under weights of clusters; one half where these leave only one kind."""
    yes, no = scores_N[positive_N], scores_N[~positive_N]
    wins_YN = (yes[:, None] > no[None]) + 0.5 * (yes[:, None] == no[None])
    yes_C, no_C = (np.eye(cluster_N.max() + 1, dtype=np.float32)[cluster_N[kind]] for kind in (
        positive_N, ~positive_N))  # fmt: skip
    wins_CC = (yes_C.T @ wins_YN @ no_C).astype(np.float32)  # between clusters

    def statistic(weights_DC):
        pairs_D = (weights_DC @ yes_C.sum(0)).astype(float) * (weights_DC @ no_C.sum(0))
        wins_D = ((weights_DC @ wins_CC) * weights_DC).sum(1, dtype=float)
        return np.divide(wins_D, pairs_D, out=np.full(len(pairs_D), 0.5), where=pairs_D > 0)

    return statistic


def difference(first: Estimate, second: Estimate) -> Estimate:
    """first − second. Paired, draw by draw, where both are of the same clusters in as many seeds; otherwise
    the two are independent, and have no differences of seeds."""
    return _weighted([(1.0, first), (-1.0, second)])


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates, paired as in `difference`."""
    return _weighted([(1 / len(estimates), of) for of in estimates]) if len(estimates) > 1 else estimates[0]


def _weighted(terms: Sequence[tuple[float, Estimate]]) -> Estimate:
    """The weighted sum of estimates. Where all draws agree, the exact upper limit of the share of clusters
    that would differ is the half-width."""
    if any(of.draws is None for _, of in terms):
        return NOT_MEASURED
    first = terms[0][1]
    paired = all((of.clusters, len(of.seeds)) == (first.clusters, len(first.seeds)) for _, of in terms)
    shifts = [0 if paired else k * DRAWS // len(terms) for k in range(len(terms))]
    draws = sum(w * np.roll(of.draws, shift) for (w, of), shift in zip(terms, shifts, strict=True))
    value = sum(w * of.value for w, of in terms)
    seeds = tuple(float(s) for s in sum(w * np.array(of.seeds) for w, of in terms)) if paired else ()
    by_seed = sum(w * of.by_seed for w, of in terms) if paired else None
    if np.ptp(draws) < 1e-9:
        unseen = clopper_pearson(0, min(of.groups for _, of in terms))[1]
        draws = np.linspace(max(-1.0, value - unseen), min(1.0, value + unseen), DRAWS)
    low, high = _percentiles(draws, 0.95)
    clusters = first.clusters if paired else ()
    p_seeds = _cochran(np.array(seeds), by_seed.var(1)) if paired else np.nan
    return Estimate(value, low, high, seeds, *_student(seeds), p_seeds, clusters, draws, by_seed)


def interval(of: Estimate, level: float) -> tuple[float, float]:
    """The interval of an estimate at another level than 95 %."""
    if of.exact:
        return clopper_pearson(*of.exact, level)
    return (np.nan, np.nan) if of.draws is None else _percentiles(of.draws, level)


def equivalence(
    of: Estimate, target: float, margin: float = MARGIN, floor: bool = False, safe: bool = True
) -> Equivalence:
    """Whether an estimate lies within ± margin of the target, at the 5 % level. floor: nothing below the
    target counts against it (a written answer can be wrong more often than a guess). safe: where the seeds
    differ by more than chance, by Student's t over them as well. nan shows nothing."""
    if np.isnan(of.value) or np.isnan(target):
        return Equivalence(of.value, np.nan, np.nan, target, margin, 1.0)
    low, high = interval(of, 0.90)
    if of.exact:
        right, n = round(of.exact[0]), of.exact[1]
        above = stats.binom.cdf(right, n, min(1.0, target + margin))
        below = stats.binom.sf(right - 1, n, max(0.0, target - margin))
    else:
        above, below = np.mean(of.draws >= target + margin), np.mean(of.draws <= target - margin)
    if safe and of.seeds_differ:
        by_t = [_t_beyond(of.seeds, target + margin), _t_beyond([-s for s in of.seeds], margin - target)]
        above, below = max(above, by_t[0]), max(below, by_t[1])
    return Equivalence(of.value, low, high, target, margin, float(above if floor else max(above, below)))


def _t_beyond(seeds: Sequence[float], limit: float) -> float:
    """One-sided p that the mean of these seeds is not below the limit."""
    return float(stats.ttest_1samp(seeds, limit, alternative="less").pvalue)


def p_of_difference(differences: Sequence[float]) -> float:
    """Two-sided p of no difference, from one difference per cluster (n,): McNemar's exact test where they are
    −1, 0 or 1, else random changes of sign. Conditional on the seeds that were run."""
    found = np.asarray(differences, dtype=float)
    found = found[found != 0]
    if not found.size:
        return 1.0
    if np.isin(found, (-1.0, 1.0)).all():
        return float(stats.binomtest(int((found > 0).sum()), len(found)).pvalue)
    signs = np.random.default_rng(20261121).choice((-1.0, 1.0), size=(9999, len(found)))
    extreme = np.abs(signs @ found) >= abs(found.sum()) - 1e-9
    return float((extreme.sum() + 1) / 10000)


def p_of(of: Estimate, target: float = 0.0) -> float:
    """Two-sided p that an estimate equals the target: binomial where that is exact, else of its bootstrap."""
    if of.draws is None or np.isnan(target):
        return np.nan
    if of.exact:
        return float(stats.binomtest(round(of.exact[0]), of.exact[1], target).pvalue)
    tail = min((of.draws <= target).sum(), (of.draws >= target).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(of.draws) + 1)))


def holm(ps: Iterable[float]) -> np.ndarray:
    """p-values corrected for their number (Holm 1979); nan stay nan and are not counted."""
    ps = np.asarray(list(ps), dtype=float)
    known = np.flatnonzero(~np.isnan(ps))
    order = known[np.argsort(ps[known])]
    corrected = ps.copy()
    scaled = ps[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(order) else scaled
    return corrected


def cohens_h(first: float, second: float) -> float:
    """The difference of two proportions on the scale of the arcsine (Cohen 1988): 0.2 small, 0.8 large."""
    first, second = np.clip((first, second), 0.0, 1.0)
    return float(2 * np.arcsin(np.sqrt(first)) - 2 * np.arcsin(np.sqrt(second)))


def clopper_pearson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of Clopper and Pearson (1934). Without answers (n = 0) it is (0, 1)."""
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, successes, n - successes + 1) if successes > 0 else 0.0
    high = stats.beta.ppf(1 - tail, successes + 1, n - successes) if successes < n else 1.0
    return float(low), float(high)


def mean_bands(values_GT: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (T,) of percentile bootstrap intervals of the means over groups, at every time.

    values_GT: groups × times, nan where a group was not asked. The same groups are drawn at all times.
    """
    known = ~np.isnan(values_GT)
    drawn = _weights(len(values_GT))[:1000]
    with np.errstate(invalid="ignore"):
        means = (drawn @ np.where(known, values_GT, 0.0)) / (drawn @ known)
    tail = (1 - level) / 2
    low, high = np.nanquantile(means, (tail, 1 - tail), axis=0)
    return low, high


def percent(value: float, low: float | None = None, high: float | None = None) -> str:
    """27 % [22, 33]: whole percents, or "not measured"."""
    if np.isnan(value):
        return "not measured"
    text = f"{100 * value:.0f} %" if abs(100 * value - round(100 * value)) < 0.05 else f"{100 * value:.1f} %"
    return text if low is None else f"{text} [{100 * low:.0f}, {100 * high:.0f}]"


def points(gap: Estimate, sign: str = "") -> str:
    """17 points [10, 22]: a difference of shares with its 95 % interval; sign "+": always with one."""
    if np.isnan(gap.value):
        return percent(gap.value)
    return f"{100 * gap.value:{sign}z.0f} points [{100 * gap.low:z.0f}, {100 * gap.high:z.0f}]"


# --- the bootstrap -------------------------------------------------------------------


def _by_seed(seeds: Sequence | None, count: int) -> list[tuple[object, np.ndarray]]:
    """Every seed with the places of its rows, in ascending order."""
    seeds = np.zeros(count, dtype=int) if seeds is None else np.asarray(seeds)
    return [(seed, np.flatnonzero(seeds == seed)) for seed in np.unique(seeds)]


def _estimate(
    parts: Sequence[tuple[np.ndarray, Statistic]],
    names: np.ndarray,
    exact: tuple[float, int] | None = None,
    pooled: tuple[float, int] | None = None,
    share: bool = True,
) -> Estimate:
    """parts: of each seed the clusters it has (places in `names`) and its statistic. pooled: right answers
    and clusters, for the exact interval where the bootstrap has no width."""
    shared = sum(len(own) for own, _ in parts) > len(names)  # the same clusters in several seeds
    seeds = tuple(float(statistic(np.ones((1, len(own)), np.float32))[0]) for own, statistic in parts)
    drawn_SD = np.array([statistic(_weights(len(own))) for own, statistic in parts])
    draws = drawn_SD[0] if len(parts) == 1 else _over_seeds(drawn_SD, shared)
    low, high = _percentiles(draws, 0.95)
    if exact or (low == high and share):
        right, n = exact or pooled or (float(np.mean(seeds)) * len(names), len(names))
        low, high = clopper_pearson(right, n) if 0 <= right <= n else (low, high)
    exact = exact or (pooled if np.ptp(draws) == 0 else None)
    return Estimate(float(np.mean(seeds)), float(low), float(high), seeds, *_student(seeds),
                    _cochran(np.array(seeds), drawn_SD.var(1)), tuple(names.tolist()), draws, drawn_SD,
                    exact)  # fmt: skip


def _over_seeds(drawn_SD: np.ndarray, shared: bool) -> np.ndarray:
    """Means (DRAWS,) over seeds drawn with replacement, each with clusters drawn anew; clusters that seeds
    have in common are drawn once for all of them."""
    rng, count = np.random.default_rng(20261122), len(drawn_SD)
    seed_DS = rng.integers(count, size=(DRAWS, count))
    which_DS = np.arange(DRAWS)[:, None] if shared else rng.integers(DRAWS, size=(DRAWS, count))
    return drawn_SD[seed_DS, which_DS].mean(1)


def _percentiles(draws: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(draws, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _student(seeds: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean by Student's t over seeds."""
    if len(seeds) < 2:
        return np.nan, np.nan
    half = stats.t.ppf(0.975, len(seeds) - 1) * np.std(seeds, ddof=1) / np.sqrt(len(seeds))
    return float(np.mean(seeds) - half), float(np.mean(seeds) + half)


def _cochran(seeds_S: np.ndarray, variances_S: np.ndarray) -> float:
    """p of homogeneous seeds; seeds without any variance of their own count as their neighbours' least."""
    if len(seeds_S) < 2:
        return np.nan
    known = variances_S[variances_S > 0]
    if not known.size:
        return 1.0 if np.ptp(seeds_S) == 0 else 0.0
    weights = 1 / np.maximum(variances_S, known.min())
    q = float((weights * (seeds_S - np.average(seeds_S, weights=weights)) ** 2).sum())
    return float(stats.chi2.sf(q, len(seeds_S) - 1))


@lru_cache(maxsize=8)
def _weights(clusters: int) -> np.ndarray:
    """How often each cluster is drawn in each resample (DRAWS, clusters). Seeded: equal answers, equal
    intervals."""
    rng = np.random.default_rng(20261121)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=DRAWS).astype(np.float32)
