"""The tables of the simple-to-hard study beside its verdict: gaps along difficulty and view, reading against
reasoning, accuracy over the size of the data, everything in numbers.

A *cell* is difficulty/view, such as hard/image; a *supervision* is what all phases of a variant teach."""

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import accuracy, cells, intervals, scores
from mmrc_helpers.analysis.evidence import Evidence
from mmrc_helpers.analysis.intervals import Estimate

DIFFICULTIES = ("simple", "medium", "hard")
PICTURES = ("image", "image_via_text")  # the views that show a picture
VIEWS = ("text", *PICTURES)
READINGS = (
    "transcription",
    "reading",
)  # parts of a grade that say whether the puzzle was read; the first counts
KEYS = ["variant", "difficulty", "view"]


def asked(evidence: Evidence, whole: bool = True) -> pd.DataFrame:
    """`accuracy.asked` of the puzzles, with `difficulty` and `view`; empty where the study asks no puzzles.
    whole: without those whose pictures were destroyed, else only those."""
    rows = accuracy.asked(evidence, whole)
    if not {"difficulty", "view"} <= set(rows):
        return rows.iloc[:0].assign(difficulty="", view="")
    known = rows["difficulty"].isin(DIFFICULTIES) & rows["view"].isin(VIEWS)
    if evidence.facets and "world" in rows:
        known &= rows["world"] == next(iter(evidence.facets))
    return rows[known]


def lessons_of(evidence: Evidence, variant: str) -> tuple[str, ...]:
    """The cells that the last phase of a variant teaches; earlier phases prepare it."""
    mix = evidence.lesson(variant).get("mix", {})
    named = tuple(lesson for lesson, rows in mix.items() if rows)
    return named or tuple(evidence.taught.get(variant, ()))


def target_of(evidence: Evidence, variant: str) -> str:
    """The HARD cell that a verdict on a variant is read from: images, unless pictures were only taught as
    image-via-text."""
    views = {lesson.split("/")[-1] for lesson in lessons_of(evidence, variant)}
    return "hard/image_via_text" if views & set(PICTURES) == {"image_via_text"} else "hard/image"


def supervised(evidence: Evidence) -> list[str]:
    """The evaluated variants that were taught something, without the declared controls."""
    controls = evidence.report.get("controls", ())
    return [name for name in evidence.variants if evidence.taught.get(name) != () and name not in controls]


def of_cells(rows: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """(variant, cell) → its answers."""
    return dict(tuple(rows.groupby(["variant", "cell"], sort=False)))


# --- gaps ---------------------------------------------------------------------------------------------------


def difficulty_gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """The S2H gap, SIMPLE − HARD, per variant and view: columns variant, view, gap, low, high, … Other
    instances are asked at either end, so it is not paired."""
    found, kept = of_cells(rows), []
    for variant, view in product(dict.fromkeys(rows["variant"]), VIEWS):
        ends = [found.get((variant, f"{difficulty}/{view}")) for difficulty in ("simple", "hard")]
        if all(end is not None for end in ends):
            gap = intervals.difference(*map(scores.accuracy, ends))
            kept.append({"variant": variant, "view": view} | scores.columns_of(gap, "gap"))
    return pd.DataFrame(kept, columns=["variant", "view", *scores.columns_of(intervals.NOT_MEASURED, "gap")])


def view_gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """The modality imbalance, text − picture, per variant, difficulty and view with a picture, paired by
    instance: columns variant, difficulty, view, gap, low, high, …"""
    parts = [
        cells.gaps(rows, "view", ("text", view), ["variant", "difficulty"]).assign(view=view)
        for view in PICTURES
    ]
    return pd.concat(parts, ignore_index=True)


# --- reading and reasoning ----------------------------------------------------------------------------------


def readings(rows: pd.DataFrame) -> pd.DataFrame:
    """The answers about pictures whose grade says what was read, with `read` (1: the whole transcription is
    right, or where none is asked every cell that the answer names; else 0)."""
    rows = rows[rows["view"].isin(PICTURES)]
    shares = [next((parts[name] for name in READINGS if name in parts), np.nan) for parts in rows["parts"]]
    rows = rows.assign(share_read=np.array(shares, dtype=float))
    rows = rows[rows["share_read"].notna()]
    return rows.assign(read=(rows["share_read"] == 1).astype(float))


def reading_and_reasoning(rows: pd.DataFrame) -> pd.DataFrame:
    """Where answers about pictures go wrong, one row per variant, difficulty and view.

    reading: share of the answers that read rightly; share_read: mean share of the cells; reasoning: accuracy
    of those that read rightly; text: accuracy on the same instances given as text, where nothing must be
    read. Each with `NAME_low` and `NAME_high`. Then shares that sum to one: read_right, read_wrong,
    misread_right, misread_wrong; and chance.
    """
    found, kept = of_cells(rows), []
    for key, part in readings(rows).groupby(KEYS, sort=False):
        right, read = part["correct"] == 1, part["read"] == 1
        row = dict(zip(KEYS, key, strict=True)) | {"chance": scores.chance(part), "n": len(part)}
        row |= _columns("reading", scores.accuracy(part, "read"))
        row |= _columns("share_read", scores.accuracy(part, "share_read"))
        row |= _columns("reasoning", scores.accuracy(part[read]))
        text = found.get((key[0], f"{key[1]}/text"))
        kept_text = None if text is None else text[text["cluster"].isin(part["cluster"])]
        row |= _columns("text", intervals.NOT_MEASURED if text is None else scores.accuracy(kept_text))
        row |= {"read_right": (read & right).mean(), "read_wrong": (read & ~right).mean()}
        kept.append(row | {"misread_right": (~read & right).mean(), "misread_wrong": (~read & ~right).mean()})
    return pd.DataFrame(kept)


def _columns(name: str, of: Estimate) -> dict[str, float]:
    return {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}


# --- size of the data ---------------------------------------------------------------------------------------


def sizes(evidence: Evidence) -> pd.DataFrame:
    """Columns variant, supervision (the first variant that is taught the same, whatever the size), thousands
    (rows of an epoch of the last phase, in thousands). Variants whose size is not said are left out."""
    named: dict[str, str] = {}
    kept = []
    for variant in evidence.variants:
        phases = evidence.lessons.get(variant, ())
        if phases and (thousands := phases[-1].get("thousands", 0)):
            alike = repr([sorted(_without_size(teach).items()) for teach in phases])
            first = named.setdefault(alike, variant)
            kept.append({"variant": variant, "supervision": first, "thousands": thousands})
    return pd.DataFrame(kept, columns=["variant", "supervision", "thousands"])


def _without_size(teach: Mapping) -> dict[str, str]:
    return {name: repr(value) for name, value in teach.items() if name != "thousands"}


def over_sizes(evidence: Evidence) -> pd.DataFrame:
    """Accuracy of the cells of all supervisions that were taught in several sizes: columns supervision, cell,
    thousands, value, low, high, by_seed, …"""
    table = sizes(evidence)
    several = table.groupby("supervision")["thousands"].transform("nunique") > 1
    found = of_cells(asked(evidence)) if several.any() else {}
    kept = [
        {"supervision": row.supervision, "cell": cell, "thousands": row.thousands}
        | scores.columns_of(scores.accuracy(part))
        for row in table[several].itertuples()
        for (variant, cell), part in found.items()
        if variant == row.variant
    ]
    columns = ["supervision", "cell", "thousands", *scores.columns_of(intervals.NOT_MEASURED)]
    return pd.DataFrame(kept, columns=columns).sort_values("thousands", kind="stable")


# --- everything ---------------------------------------------------------------------------------------------


def everything(evidence: Evidence) -> pd.DataFrame:
    """`accuracy.everything`, and below it the gaps, and reading against reasoning: percent with intervals,
    rows variant × condition, columns the cells, SIMPLE before HARD."""
    rows = pd.DataFrame(list(_rows(asked(evidence))), columns=["variant", "condition", "cell", "shown"])
    keys = {"index": ["variant", "condition"], "columns": "cell", "values": "shown"}
    more = rows.pivot_table(**keys, aggfunc="first", sort=False).reset_index()
    table = pd.concat([accuracy.everything(evidence), more]).fillna("")
    places = [evidence.variants.index(name) for name in table["variant"]]
    known = [f"{difficulty}/{view}" for difficulty, view in product(DIFFICULTIES, VIEWS)]
    own = [name for name in known if name in table]  # further worlds' cells stay behind them
    columns = ["variant", "condition", *own, *(name for name in table.columns[2:] if name not in own)]
    return table.iloc[np.argsort(places, kind="stable")][columns].rename_axis(columns=None)


def _rows(rows: pd.DataFrame) -> Iterator[tuple[str, str, str, str]]:
    shown = accuracy.shown
    for r in difficulty_gaps(rows).itertuples():
        yield r.variant, "SIMPLE minus this (S2H gap)", f"hard/{r.view}", shown(r.gap, r.low, r.high, "+")
    for r in view_gaps(rows).itertuples():
        cell = f"{r.difficulty}/{r.view}"
        yield r.variant, "text minus this (modality imbalance)", cell, shown(r.gap, r.low, r.high, "+")
    for r in reading_and_reasoning(rows).itertuples():
        cell = f"{r.difficulty}/{r.view}"
        yield r.variant, "read without a mistake", cell, shown(r.reading, r.reading_low, r.reading_high)
        if not np.isnan(r.reasoning):
            said = shown(r.reasoning, r.reasoning_low, r.reasoning_high)
            yield r.variant, "right, of those read so", cell, said
