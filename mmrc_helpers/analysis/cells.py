"""What is said between cells: gaps along an axis, contrasts of variants, the transfer matrix. Whatever is
asked of the same groups is compared group by group."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import intervals, scores
from mmrc_helpers.analysis.intervals import Estimate

Measure = Callable[[pd.DataFrame], Estimate]  # the rows of a cell → what is read from it


def gap(first: pd.DataFrame, second: pd.DataFrame, measure: Measure = scores.accuracy) -> Estimate:
    """first − second over the groups that both cells ask."""
    common = set(first["cluster"]) & set(second["cluster"])
    kept = [cell[cell["cluster"].isin(common)] for cell in (first, second)]
    return intervals.difference(*map(measure, kept))


def gaps(
    answers: pd.DataFrame, axis: str, ends: tuple[str, str], by: Sequence[str], measure=scores.accuracy
) -> pd.DataFrame:
    """The gap between the two `ends` of an axis, paired by group, per combination of the columns `by`:
    columns gap, low, high, …; combinations that lack an end are left out."""
    rows = []
    for key, part in answers.groupby(list(by), sort=False, dropna=False):
        first, second = (part[part[axis] == end] for end in ends)
        if len(first) and len(second):
            found = scores.columns_of(gap(first, second, measure), "gap")
            rows.append(dict(zip(by, key, strict=True)) | found)
    return pd.DataFrame(rows, columns=[*by, *scores.columns_of(intervals.NOT_MEASURED, "gap")])


def contrasts(
    answers: pd.DataFrame,
    pairs: Iterable[tuple[str, str]],
    by: Sequence[str],
    measure: Measure = scores.accuracy,
) -> pd.DataFrame:
    """Variants against each other in every combination of the columns `by`, over the seeds that both have:
    only there were both asked the same.

    Columns: variant, against, `by`, value, other, difference with its interval (over seeds and groups), p
    (McNemar or random signs, paired by group; of the bootstrap where the two were not asked the same), p_holm
    (corrected over the whole table), h (Cohen's, of accuracies), p_equivalent (within ± 10 points), paired.
    measure: what is read from the rows of a combination.
    """
    rows = []
    for variant, against in pairs:
        ours, others = (answers[answers["variant"] == name] for name in (variant, against))
        theirs = dict(tuple(others.groupby(list(by), sort=False)))
        for key, cell in ours.groupby(list(by), sort=False):
            if key in theirs:
                row = {"variant": variant, "against": against, **dict(zip(by, key, strict=True))}
                rows.append(row | _contrast(cell, theirs[key], measure))
    table = pd.DataFrame(rows)
    return table.assign(p_holm=intervals.holm(table["p"])) if len(table) else table


def _contrast(first: pd.DataFrame, second: pd.DataFrame, measure: Measure) -> dict:
    common = set(first["seed"]) & set(second["seed"])
    if common:
        first, second = (cell[cell["seed"].isin(common)] for cell in (first, second))
    one, other = measure(first), measure(second)
    found = intervals.difference(one, other)
    paired = bool(found.clusters)
    p = intervals.p_of_difference(one.means - other.means) if paired else intervals.p_of(found)
    return {
        "value": one.value,
        "other": other.value,
        **scores.columns_of(found, "difference"),
        "groups": one.groups,
        "seeds": min(len(one.seeds), len(other.seeds)),
        "p": p,
        "h": np.nan if one.ranked else intervals.cohens_h(one.value, other.value),
        "p_equivalent": intervals.equivalence(found, 0.0).p,
        "paired": paired,
    }


def transfer(table: pd.DataFrame, value: str = "value") -> pd.DataFrame:
    """The transfer matrix: rows the variants, columns the tested cells. table: a row per variant and cell."""
    grid = table.pivot_table(index="variant", columns="cell", values=value, aggfunc="first", sort=False)
    rows, columns = (list(dict.fromkeys(table[name])) for name in ("variant", "cell"))
    return grid.reindex(index=rows, columns=columns)
