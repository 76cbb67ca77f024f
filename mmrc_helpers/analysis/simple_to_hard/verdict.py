"""The verdict of the simple-to-hard study: for every supervision, whether it reaches HARD images, with its
interval. The sentence is about the one that the study declares (`report.read`) and the one beside it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import accuracy, cells, intervals, scores
from mmrc_helpers.analysis.evidence import Axes, Evidence, Part, Verdict
from mmrc_helpers.analysis.intervals import MARGIN, Equivalence, Estimate, percent, points
from mmrc_helpers.analysis.simple_to_hard import alignment, gates, tables

VERSION = 1  # of 2026-11-28: as designed before any study was run
AXES = Axes()  # difficulty × view, with the values that a study asks
REACHES, PARTLY, NOT = "reaches HARD images", "partly reaches HARD images", "does not reach HARD images"
INCONCLUSIVE = "inconclusive"
SEEDS = 2  # fewest seeds of the two variants that are compared


@dataclass(frozen=True)
class Found:
    """HARD pictures of one variant, and what they are compared with. level: their accuracy. s2h: SIMPLE −
    HARD in the same view. modality: text − picture on the same HARD instances. lead: over the untrained
    model. learnable: what the variant reaches that is taught in HARD pictures. The last two are not measured
    where a study has no such variant."""

    target: str
    level: Estimate
    chance: float
    s2h: Estimate
    modality: Estimate
    lead: Estimate
    learnable: Estimate

    @cached_property
    def at_chance(self) -> Equivalence:
        return intervals.equivalence(self.level, self.chance, floor=True)

    @cached_property
    def no_gap(self) -> Equivalence:
        return intervals.equivalence(self.s2h, 0.0)

    @property
    def above_chance(self) -> bool:
        """Whether the level is above chance for certain, and above the untrained model if there is one."""
        led = np.isnan(self.lead.value) or self.lead.safe[0] > 0
        return bool(self.level.safe[0] > self.chance and led)

    @property
    def told(self) -> str:
        """Level and gaps in words."""
        seeds = " / ".join(percent(value) for value in self.level.seeds)
        by_seed = f"by seed {seeds}" if len(self.level.seeds) > 1 else "one seed"
        where = f"{by_seed}, {self.level.groups} instances, chance {percent(self.chance)}"
        gaps = f"SIMPLE − HARD {points(self.s2h, '+')}; text − picture on the same HARD instances "
        gaps += points(self.modality, "+")
        return f"{self.target.replace('/', ' ')} {self.level.told} ({where}); {gaps}"


def verdict(evidence: Evidence) -> Verdict:
    """One verdict for every evaluated supervision; the study's is that of the variant that is read, with the
    one beside it."""
    rows, lost = tables.asked(evidence), tables.asked(evidence, whole=False)
    found, dropped = tables.of_cells(rows), tables.of_cells(lost)
    numbers = accuracy.numbers_of(accuracy.scored(evidence))
    parts = {name: part(evidence, name, found, dropped) for name in tables.supervised(evidence)}
    read, beside = (evidence.report.get(name, "") for name in ("read", "beside"))
    if read not in parts:
        lacking = f"no evaluated variant `{read or 'report.read'}` from which a verdict is read"
        return Verdict(
            INCONCLUSIVE, f"Inconclusive: {lacking}.", VERSION, reasons=(lacking,), numbers=numbers
        )
    reasons = [f"{name}: {line}" for name, of in parts.items() for line in (of.sentence, *of.reasons)]
    others = {beside: parts[beside]} if beside in parts else {}
    told = [f"{name} {of.verdict}" for name, of in {read: parts[read], **others}.items()]
    return Verdict(
        verdict="; ".join(told),
        sentence=_sentence(read, beside, parts),
        rules=VERSION,
        parts=parts,
        beside=others,
        reasons=tuple(reasons),
        notes=dict(_notes(evidence, read)),
        numbers=numbers,
    )


def part(evidence: Evidence, variant: str, found: gates.Cells, dropped: gates.Cells) -> Part:
    """The verdict on one variant."""
    checked = tuple(gates.gates(evidence, variant, found, dropped))
    failed = [f"gate failed: {gate.reason}" for gate in checked if not gate.passed]
    of = measured(evidence, variant, found)
    if np.isnan(of.level.value):
        said = f"{INCONCLUSIVE}: {of.target.replace('/', ' ')} was not asked"
        return Part(INCONCLUSIVE, said, tuple(failed), checked)
    if failed:
        names = "; ".join(gate.gate for gate in checked if not gate.passed)
        said = f"{INCONCLUSIVE}: gates failed ({names}); {of.told}"
        return Part(INCONCLUSIVE, said, tuple(failed), checked)
    deciding = variant in (evidence.report.get("read"), evidence.report.get("beside"))
    name, lacks = reading(of, SEEDS if deciding else 1)
    return Part(name, f"{name}: {'; '.join([*lacks, of.told])}", (), checked)


def measured(evidence: Evidence, variant: str, found: gates.Cells) -> Found:
    """What a verdict on a variant needs."""
    target = tables.target_of(evidence, variant)
    view, rows = target.split("/")[1], found.get((variant, target))
    level = gates.level_of(found, variant, target)
    s2h = intervals.difference(gates.level_of(found, variant, f"simple/{view}"), level)
    text, modality = found.get((variant, "hard/text")), intervals.NOT_MEASURED
    if text is not None and rows is not None:
        modality = cells.gap(text, rows)
    lead = intervals.difference(level, gates.level_of(found, evidence.untrained, target))
    chance = np.nan if rows is None else scores.chance(rows)
    learnable = gates.level_of(found, evidence.report.get("learnable", ""), target)
    return Found(target, level, chance, s2h, modality, lead, learnable)


def reading(of: Found, seeds: int) -> tuple[str, list[str]]:
    """What the level and the gap allow when all gates pass, and what stands in the way of another verdict."""
    if len(of.level.seeds) < seeds:
        return INCONCLUSIVE, [f"{len(of.level.seeds)} of the {seeds} seeds that a verdict needs"]
    if of.above_chance and of.no_gap.shown:
        return REACHES, []
    if of.at_chance.shown:
        if of.learnable.value < gates.LEARNED["hard"]:
            return INCONCLUSIVE, [f"taught in HARD pictures it reaches only {of.learnable.told}"]
        if max(of.level.seeds) <= of.chance + MARGIN:
            return NOT, []
        return INCONCLUSIVE, ["seeds disagree"]
    if of.above_chance and of.s2h.safe[0] > 0:
        if min(of.level.seeds) > of.chance:
            return PARTLY, []
        return INCONCLUSIVE, ["seeds disagree"]
    return INCONCLUSIVE, list(_lacks(of))


def _lacks(of: Found) -> Iterator[str]:
    """Why neither level nor gap can be read."""
    if not of.above_chance:
        yield "the level is neither above chance for certain nor within ten points of it"
    elif np.isnan(of.s2h.value):
        yield "SIMPLE pictures were not asked, so nothing says how far it reaches"
    else:
        yield "the gap to SIMPLE is neither above 0 for certain nor within ten points of it"
    if of.level.seeds_differ:
        yield f"seeds differ by more than chance (p = {of.level.p_seeds:.2g})"


def contrasts(evidence: Evidence, read: str) -> pd.DataFrame:
    """The variant that is read against every other one, cell by cell of HARD puzzles, paired by instance."""
    rows = tables.asked(evidence)
    rows = rows[rows["difficulty"] == "hard"]
    pairs = [(read, name) for name in evidence.variants if name != read]
    return cells.contrasts(rows, pairs, ["cell"])


def _notes(evidence: Evidence, read: str) -> Iterator[tuple[str, str]]:
    for row in contrasts(evidence, read).itertuples():
        name = f"{row.variant} against {row.against}, {row.cell.replace('/', ' ')}"
        yield name, accuracy.told_of(row)
    for row in tables.reading_and_reasoning(tables.asked(evidence)).itertuples():
        if row.variant == read and row.difficulty == "hard":
            read_so = percent(row.reading, row.reading_low, row.reading_high)
            right = percent(row.reasoning, row.reasoning_low, row.reasoning_high)
            said = f"{read_so} of the answers read without a mistake, {right} of these are right"
            yield f"reading and reasoning, {read}, {row.difficulty} {row.view}", said
    ends = alignment.ends(alignment.of_supervisions(evidence))
    for variant, runs in ends.groupby("variant", sort=False):
        first, last = (" / ".join(f"{v:z.2f}" for v in runs[f"transfer_{end}"]) for end in ("first", "last"))
        said = f"transfer {first} at the first probe, {last} at the last (by seed)"
        yield f"gradients of {variant} for HARD images", said


def _sentence(read: str, beside: str, parts: Mapping[str, Part]) -> str:
    """The one sentence: the two that are compared, then the others in a word each."""
    two = [f"{name} {parts[name].sentence}" for name in (read, beside) if name in parts]
    rest = [f"{name} {of.verdict}" for name, of in parts.items() if name not in (read, beside)]
    return ". ".join([*two, *(["Others: " + ", ".join(rest)] if rest else [])]) + "."
