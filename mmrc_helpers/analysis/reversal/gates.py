"""The gates: conditions under which a verdict of the reversal study may be read, each with its number and
interval. How they changed is told in `rules`.

Gates 1 to 5 ask for the value itself, not for its interval: with 40 background people an interval wholly
above 90 % would need all 40. But they ask it of every seed within ten points, because a seed that did not
learn the facts, or lost the format, is no repetition. Gate 6 asks for the interval: a control that was asked
too little proves nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import intervals, scores
from mmrc_helpers.analysis.evidence import Evidence, Gate
from mmrc_helpers.analysis.intervals import Estimate, percent
from mmrc_helpers.analysis.reversal import cells
from mmrc_helpers.analysis.reversal.rules import VERSION

LEARNED = COMPETENT = 0.90
IN_CONTEXT, VALID = 0.95, 0.99
# By how much a letter or judgement may be favoured beyond an even share: up to 40 % of four letters, 65 % of
# two judgements. No study of another number of letters had been read when this replaced 40 % for all.
BEYOND = 0.15
EVEN = {"choice": 1 / 4, "judge": 1 / 2}  # share of each where nothing was asked
DROPS = {"image": "pictures replaced by noise", "text": "texts replaced by random words"}


def gates(
    found: cells.Split, evidence: Evidence, variant: str, format: str, version: int = VERSION
) -> list[Gate]:
    """The gates that a verdict on one format of one variant must pass, under the rules from version 3 on. A
    gate whose questions were never asked fails, and says so.

    Competence is asked of the format that is read and of no other: a variant that was taught by choosing may
    have forgotten how to write names, and its choices can be read all the same.
    """
    novel, known = cells.of(found, variant), cells.of(found, variant, "background")
    forward, reverse = f"forward/{format}", cells.reverse_of(novel, format)
    learned = _to_be_learned(evidence.taught.get(variant, (cells.FREE, forward)), forward)
    made = [_at_least(f"1 learned: {cells.words_of(cell)}", novel, cell, LEARNED) for cell in learned]
    made.append(_at_least("2 competence, forward", known, forward, COMPETENT))
    for cell in reverse:
        order = cells.NAME_FIRST if cell.endswith(cells.NAME_FIRST) else ""
        made.append(_at_least(f"2 competence, reverse{order}", known, cell, COMPETENT))
    if format == "choice":
        made.append(_in_context(found, variant))
    made.append(_valid(found, variant, {*learned, forward, *reverse}, elsewhere=True))
    if format != "free":
        made.append(_collapse(found, variant, format))
    if version >= 4:
        made = [_in_every_seed(gate) for gate in made]
    return [*made, *controls(found, evidence, variant, format)]


def _in_every_seed(gate: Gate) -> Gate:
    """The gate, failed where a single seed is more than ten points on the wrong side."""
    beyond = [s for s in gate.seeds if s < gate.least - intervals.MARGIN or s > gate.most + intervals.MARGIN]
    if not gate.passed or not beyond:
        return gate
    listed = " / ".join(percent(value) for value in gate.seeds)
    return replace(gate, passed=False, reason=f"{gate.reason} and nearly so in every seed, not {listed}")


def _to_be_learned(taught: Sequence[str], forward: str) -> list[str]:
    """The forward cells that must have been learned for a verdict on one format: free answers, and the format
    itself, where they were taught; without either, whatever was."""
    found = [cell for cell in dict.fromkeys((cells.FREE, forward)) if cell in taught]
    return found or [cell for cell in taught if cell.startswith("forward/")] or [cells.FREE]


def earlier_gates(found: cells.Split, variant: str, version: int) -> list[Gate]:
    """The gates of rules 1 and 2 for one variant; people of all seeds are pooled in `found`."""
    novel, known = cells.of(found, variant), cells.of(found, variant, "background")
    read = {cells.FREE, "forward/choice", "reverse/choice"} if version > 1 else set(cells.CELLS)
    made = [_at_least("1 learned: forward free", novel, cells.FREE, LEARNED)]
    for direction in cells.DIRECTIONS:
        made.append(_at_least(f"2 competence, {direction}", known, f"{direction}/choice", COMPETENT))
    made += [_in_context(found, variant), _valid(found, variant, read)]
    return made + [_collapse(found, variant, format, denied=version == 1) for format in ("choice", "judge")]


def control(name: str, asked: Mapping[str, cells.Cell], words: str, missing: str = "was not asked") -> Gate:
    """Whether these cells of one format are at chance: their mean equivalent to it within ten points, and no
    single one both certainly off chance (Holm) and further from it than that.

    The mean, because a leak in the questions shows in all cells of a format, and the mean shows chance with
    the people of a single seed where four single cells would rarely all do; the second half, because a mean
    hides a leak in one of them. Of written answers only too many right ones count: they can be wrong more
    often than a guess, and whatever cannot write an answer fails gates 2 and 4.
    """
    if not asked:
        return Gate(name, *[np.nan] * 5, False, 0, f"{name} ({words}): {missing}")
    written, margin = next(iter(asked.values())).format == "free", intervals.MARGIN
    target = float(np.mean([cell.chance for cell in asked.values()]))
    whole = intervals.average([cell.read for cell in asked.values()])
    test = intervals.equivalence(whole, target, floor=written)
    sure = intervals.holm(intervals.p_of(cell.read, cell.chance) for cell in asked.values())
    leaks = [
        f"{cell.words} {cell.read.told}"
        for cell, p in zip(asked.values(), sure, strict=True)
        if p <= 0.05 and _away(cell, written) > margin
    ]
    said = f"{name} ({words}): {percent(test.value, test.low, test.high)} (90 %), must be chance "
    said += f"{percent(target)} ± 10" + (f"; not at chance: {', '.join(leaks)}" if leaks else "")
    groups = max(cell.read.groups for cell in asked.values())
    least = np.nan if written else target - margin
    passed = test.shown and not leaks
    ends = (test.low, test.high, least, target + margin)
    return Gate(name, test.value, *ends, passed, groups, said, whole.seeds)


def _away(cell: cells.Cell, written: bool) -> float:
    """How far a cell is from chance; of written answers, above it."""
    away = cell.read.value - cell.chance
    return away if written else abs(away)


def controls(found: cells.Split, evidence: Evidence, variant: str, format: str) -> Iterable[Gate]:
    """Gate 6: what cannot know anything is at chance in this format: the variants that the study declares
    (`report.controls`), an untrained and a trained one at least, and the drops of this variant."""
    declared = list(evidence.report.get("controls", ()))
    for name in declared:
        yield control(f"6 control, {name}", _in_format(cells.of(found, name), format), "declared control")
    untrained = [name for name in declared if evidence.taught.get(name, ()) == ()]
    for kind, there in (("untrained", untrained), ("trained", set(declared) - set(untrained))):
        if not there:
            missing = f"report.controls names no {kind} variant"
            yield control(f"6 control, {kind}", {}, "declared control", missing)
    whole = _in_format(cells.of(found, variant), format)
    for drop, words in DROPS.items():
        asked = _in_format(cells.of(found, variant, drop=drop), format)
        loses = drop == "text" or any((cell.rows["pictures"].map(len) > 0).any() for cell in whole.values())
        if asked or loses:
            yield control(f"6 control, {drop} dropped", asked, words)


def _in_format(asked: Mapping[str, cells.Cell], format: str) -> dict[str, cells.Cell]:
    return {name: cell for name, cell in asked.items() if cell.format == format}


def _everybody(found: cells.Split, variant: str, topic: str = "identity") -> list[tuple[str, cells.Cell]]:
    """All cells of a topic, with the population."""
    return [(population, cell) for (of, population, about, drop, _), cell in found.items()
            if (of, about, drop) == (variant, topic, "none")]  # fmt: skip


def _in_context(found: cells.Split, variant: str) -> Gate:
    """Gate 3, in the population in which it is lowest."""
    asked = [
        (f" (reverse choice, lowest in {who})", cell.read)
        for who, cell in _everybody(found, variant, "in_context")
    ]
    return _lowest("3 in context", asked, IN_CONTEXT)


def _valid(found: cells.Split, variant: str, read: set[str], elsewhere: bool = False) -> Gate:
    """Gate 4, in the cell that is lowest among those the verdict is read from; others are named."""
    name, topics = "4 strict validity", ("identity", "in_context")
    asked = [cell for topic in topics for _, cell in _everybody(found, variant, topic)]
    rows = [cell.valid.assign(cell=cell.name) for cell in asked]
    table = pd.concat(rows) if rows else pd.DataFrame(columns=["cell", "valid"])
    means = table.groupby("cell", sort=False)["valid"].mean()
    inside = means[means.index.isin(read)]
    if inside.empty:
        return _gate(name, intervals.NOT_MEASURED, least=VALID)
    lowest = inside.idxmin()
    of = scores.accuracy(table[table["cell"] == lowest], "valid")
    low = [
        f"{cells.words_of(cell)} {percent(mean)}"
        for cell, mean in means.items()
        if elsewhere and cell not in read and mean < VALID
    ]
    gate = _gate(name, of, least=VALID, where=f" (lowest in {cells.words_of(lowest)})")
    beyond = f"; outside of what is read: {', '.join(low)}" if low else ""
    return replace(gate, reason=gate.reason + beyond)


def _collapse(found: cells.Split, variant: str, format: str, denied: bool = False) -> Gate:
    """Gate 5: the share of one letter or judgement that is furthest beyond an even one, in any cell and
    population. "Wrong" about novel people counts only if denied: it is also the cautious answer of a model
    that cannot reach what it has."""
    shares = []
    for population, cell in _everybody(found, variant):
        if cell.format == format:
            of = scores.shares(cell.rows)
            of = of.drop("Wrong", errors="ignore") if population == "novel" and not denied else of
            shares += [(of.max(), of.idxmax(), population, cell)] if len(of) else []
    if not shares:
        return _gate("5 no collapse", intervals.NOT_MEASURED, most=EVEN[format] + BEYOND)
    _, pick, population, cell = max(shares, key=lambda share: share[0] - share[-1].chance)
    rows = cell.rows.assign(share=[picks.count(pick) / len(picks) for picks in cell.rows["picks"]])
    where = f" (largest share, {pick} in {cell.words}, {population})"
    return _gate("5 no collapse", scores.accuracy(rows, "share"), most=cell.chance + BEYOND, where=where)


def _lowest(name: str, found: list[tuple[str, Estimate]], least: float) -> Gate:
    where, estimate = min(found, key=lambda pair: pair[1].value) if found else ("", intervals.NOT_MEASURED)
    return _gate(name, estimate, least=least, where=where)


def _at_least(name: str, asked: Mapping[str, cells.Cell], cell: str, least: float) -> Gate:
    return _gate(name, cells.read(asked, cell), least=least, where=f" ({cells.words_of(cell)})")


def _gate(name: str, of: Estimate, least: float = np.nan, most: float = np.nan, where: str = "") -> Gate:
    passed = of.value >= least if not np.isnan(least) else of.value <= most
    rule = f"at least {percent(least)}" if not np.isnan(least) else f"at most {percent(most)}"
    said = f"{name}{where}: {of.told}, must be {rule}"
    return Gate(name, of.value, of.low, of.high, least, most, bool(passed), of.groups, said, of.seeds)
