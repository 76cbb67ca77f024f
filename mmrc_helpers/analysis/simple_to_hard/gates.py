"""The gates of the simple-to-hard study: conditions under which a supervision's HARD images may be read. What
it taught was learned (so its answers have their form, too), and what cannot know anything stays at chance."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import intervals, scores
from mmrc_helpers.analysis.evidence import Evidence, Gate
from mmrc_helpers.analysis.intervals import MARGIN, Estimate, percent
from mmrc_helpers.analysis.simple_to_hard import tables

LEARNED = {"simple": 0.90, "medium": 0.80, "hard": 0.80}  # what a taught cell must reach

Cells = Mapping[tuple[str, str], pd.DataFrame]  # (variant, cell) → answers


def gates(evidence: Evidence, variant: str, found: Cells, dropped: Cells) -> list[Gate]:
    """The gates of one variant. A gate whose questions were never asked fails, and says so. found, dropped:
    `tables.of_cells` of whole questions, and of those whose picture was destroyed."""
    made = [_in_every_seed(gate) for gate in _learned(evidence, variant, found)]
    for name in evidence.report.get("controls", ()):
        asked = [rows for (of, _), rows in found.items() if of == name]
        made.append(_at_chance(f"2 control, {name}", asked))
    if not evidence.report.get("controls"):
        made.append(_missing("2 control", "the study declares none in report.controls"))
    if lost := [rows for (name, _), rows in dropped.items() if name == variant]:
        made.append(_at_chance("2 control, image dropped", lost))
    return made


def _learned(evidence: Evidence, variant: str, found: Cells) -> Iterable[Gate]:
    """Whatever a variant is taught in and asked in must be learned, but for the cell that is read."""
    target = tables.target_of(evidence, variant)
    lessons = [
        lesson
        for lesson in tables.lessons_of(evidence, variant)
        if (variant, lesson) in found and lesson != target
    ]
    if not lessons:
        yield _missing("1 learned", "nothing that was taught is asked")
    for lesson in lessons:
        least, of = LEARNED[lesson.split("/")[0]], scores.accuracy(found[variant, lesson])
        name = f"1 learned: {lesson.replace('/', ' ')}"
        said = f"{name}: {of.told}, must be at least {percent(least)}"
        bounds = (of.value, of.low, of.high, least, np.nan)
        yield Gate(name, *bounds, bool(of.value >= least), of.groups, said, of.seeds)


def _in_every_seed(gate: Gate) -> Gate:
    """The gate, failed where a single seed is more than ten points below."""
    if not gate.passed or min(gate.seeds) >= gate.least - MARGIN:
        return gate
    listed = " / ".join(percent(value) for value in gate.seeds)
    return replace(gate, passed=False, reason=f"{gate.reason} and nearly so in every seed, not {listed}")


def _at_chance(name: str, parts: list[pd.DataFrame]) -> Gate:
    """Whether each of these cells is at chance. The answers are written: they can be wrong more often than a
    guess, so only too many right ones count."""
    if not parts:
        return _missing(name, "was not asked")
    reads = [(part["cell"].iloc[0], scores.accuracy(part), scores.chance(part)) for part in parts]
    tests = [intervals.equivalence(of, chance, floor=True) for _, of, chance in reads]
    worst = max(range(len(reads)), key=lambda k: tests[k].high - tests[k].target)
    (cell, of, chance), test = reads[worst], tests[worst]
    said = (
        f"{name} (highest in {cell.replace('/', ' ')}): {percent(test.value, test.low, test.high)} (90 %), "
    )
    said += f"must be below chance {percent(chance)} + 10"
    bounds = (test.value, test.low, test.high, np.nan, chance + MARGIN)
    return Gate(name, *bounds, all(one.shown for one in tests), of.groups, said, of.seeds)


def _missing(name: str, said: str) -> Gate:
    return Gate(name, *[np.nan] * 5, False, 0, f"{name}: {said}")


def level_of(found: Cells, variant: str, cell: str) -> Estimate:
    """The accuracy of a variant in a cell; nan where it was not asked."""
    rows = found.get((variant, cell))
    return intervals.NOT_MEASURED if rows is None else scores.accuracy(rows)
