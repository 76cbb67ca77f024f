"""What a study of this size can tell: the accuracy it tells from chance, and how surely it shows chance."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from mmrc_helpers.analysis.intervals import MARGIN


def detectable(groups: int, chance: float = 0.25, power: float = 0.80) -> float:
    """The smallest accuracy above chance that an exact two-sided 5 % test finds with this power; nan if none.

    groups: clusters with one answer each (several answers of one count once, which errs on the safe side).
    """
    accuracies = np.arange(chance, 1.0005, 0.001)
    found = accuracies[power_curve(groups, chance, accuracies) >= power] if groups else []
    return float(found[0]) if len(found) else float("nan")


def power_curve(groups: int, chance: float, accuracies: Sequence[float]) -> np.ndarray:
    """Probability (n,) that the exact two-sided 5 % test tells each true accuracy (n,) from chance."""
    accuracies = np.asarray(accuracies, dtype=float)
    upper = stats.binom.isf(0.025, groups, chance) + 1  # fewest right answers that reject from above
    lower = stats.binom.ppf(0.025, groups, chance) - 1  # most right answers that reject from below
    return stats.binom.sf(upper - 1, groups, accuracies) + stats.binom.cdf(lower, groups, accuracies)


def equivalence_power(groups: int, chance: float = 0.25, margin: float = MARGIN) -> float:
    """Probability that the two one-sided tests succeed when the truth is exactly chance."""
    right = np.arange(groups + 1)
    below = stats.binom.cdf(right, groups, min(1.0, chance + margin)) <= 0.05
    above = stats.binom.sf(right - 1, groups, max(0.0, chance - margin)) <= 0.05
    return float(stats.binom.pmf(right, groups, chance)[below & above].sum())
