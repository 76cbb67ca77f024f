"""The verdict of the reversal study, one per format and one sentence for all. It is read from the variant
that the study declares (`report.read`), with another beside it (`report.beside`); level and gap are said
apart."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmrc_helpers.analysis import accuracy, intervals, power
from mmrc_helpers.analysis import cells as pairs
from mmrc_helpers.analysis.evidence import Evidence, Part, Verdict
from mmrc_helpers.analysis.intervals import MARGIN, Equivalence, Estimate, percent, points
from mmrc_helpers.analysis.reversal import cells, gates, history, tables
from mmrc_helpers.analysis.reversal.rules import RULES, VERSION

CURSE, GAP, NONE, BOUND = "curse", "direction gap", "none", "format-bound"
INCONCLUSIVE = "inconclusive"
SEEDS = 3  # fewest seeds a verdict may rest on
LARGE = 0.30  # a curse leaves the whole interval of the gap above thirty points
LEARNABLE = 0.90  # what the variant taught both ways must reach in a cell that is called cursed


def verdict(evidence: Evidence) -> Verdict:
    """The verdict of a study. Without the variant from which it is read it is inconclusive, and says so."""
    found = cells.split(evidence.answers)
    numbers = tuple(cells.table_of(found, evidence).to_dict("records"))
    read, beside = (evidence.report.get(name, "") for name in ("read", "beside"))
    if evidence.of("read").empty:
        lacking = "the study declares no variant in report.read, from which a verdict is read"
        if read:
            lacking = f"the study has no evaluated variant {read}, from which the verdict is read"
        said = f"Inconclusive: {lacking}."
        return Verdict(INCONCLUSIVE, said, VERSION, reasons=(lacking,), numbers=numbers)
    parts = parts_of(found, evidence, read)
    others = parts_of(found, evidence, beside) if len(evidence.of("beside")) else {}
    reasons = [f"{format}: {line}" for format, of in parts.items() for line in (of.sentence, *of.reasons)]
    reasons += [f"{beside}, {format}: {of.sentence}" for format, of in others.items()]
    return Verdict(
        verdict=_short(parts),
        sentence=_sentence(evidence, read, parts),
        rules=VERSION,
        parts=parts,
        beside=others,
        reasons=tuple(reasons),
        earlier=_earlier(evidence, found, read),
        notes=_notes(evidence, found),
        numbers=numbers,
    )


def _earlier(evidence: Evidence, found: cells.Split, read: str) -> dict[str, str]:
    """What every earlier version of the rules says of the same answers, and prior work's rule."""
    told = history.verdicts(evidence)
    for rule in RULES[2:-1]:  # from version 3 on: one verdict per format
        told[rule.name] = _short(parts_of(found, evidence, read, rule.version))
    return told | {"threshold rule of prior work": history.threshold_rule(evidence)}


@dataclass(frozen=True)
class Found:
    """One reverse cell of a variant beside its forward cell, under one version of the rules. over_untrained:
    its lead over the untrained model."""

    cell: str
    level: Estimate
    gap: Estimate
    over_untrained: Estimate
    at_chance: Equivalence
    no_gap: Equivalence
    learnable: Estimate
    version: int = VERSION

    @property
    def above_chance(self) -> bool:
        """Whether the level is above chance for certain: what a guesser reaches and, from version 4 on, what
        the model reached before it was taught anything, because questions can be easier than a guess."""
        target = self.at_chance.target
        if self.version < 4:
            return bool(self.level.low > target)
        return bool(self.level.safe[0] > target and self.over_untrained.safe[0] > 0)

    @property
    def gap_low(self) -> float:
        """The lower end of the gap that may decide."""
        return self.gap.low if self.version < 4 else self.gap.safe[0]

    @property
    def told(self) -> str:
        """Level and gap in words, with the seeds and what t over seeds says."""
        level = self.level
        seeds = " / ".join(percent(value) for value in level.seeds)
        t = percent(level.value, level.t_low, level.t_high)
        beside = f"by seed {seeds}, t over seeds {t}" if len(level.seeds) > 1 else "one seed"
        alike = "no better than" if self.cell.endswith("/free") else "equivalent to"
        shown = alike if self.at_chance.shown else "against"
        return (f"{cells.words_of(self.cell)} {level.told} in {level.groups} people, {shown} chance "
                f"{percent(self.at_chance.target)} ({beside}); gap to {cells.words_of(_forward(self.cell))} "
                f"{points(self.gap)}")  # fmt: skip


def parts_of(found: cells.Split, evidence: Evidence, variant: str, version: int = VERSION) -> dict[str, Part]:
    """Format → the verdict on one variant."""
    return {format: part(found, evidence, variant, format, version) for format in cells.FORMATS}


def part(found: cells.Split, evidence: Evidence, variant: str, format: str, version: int = VERSION) -> Part:
    """The verdict on one format of one variant."""
    checked = tuple(gates.gates(found, evidence, variant, format, version))
    failed = [f"gate failed: {gate.reason}" for gate in checked if not gate.passed]
    ours, learnable = cells.of(found, variant), cells.of(found, evidence.report.get("learnable", ""))
    untrained = cells.of(found, evidence.untrained)
    measured = [
        _measured(ours, untrained, learnable, cell, version) for cell in cells.reverse_of(ours, format)
    ]
    told = [of.told for of in measured]
    if not measured:
        return Part(INCONCLUSIVE, f"{INCONCLUSIVE}: the reverse cell was not asked", tuple(failed), checked)
    if failed:
        names = "; ".join(gate.gate for gate in checked if not gate.passed)
        return Part(INCONCLUSIVE, f"{INCONCLUSIVE}: gates failed ({names})", (*failed, *told), checked)
    taught = evidence.taught.get(variant, cells.CELLS)
    name, said = _bound(ours, untrained, taught, format)
    if not name:
        name, said = _over_orders({of.cell: reading(of) for of in measured}, measured)
    return Part(name, f"{name}: {said}", tuple(told), checked)


def _measured(
    ours: Mapping[str, cells.Cell],
    untrained: Mapping[str, cells.Cell],
    learnable: Mapping[str, cells.Cell],
    cell: str,
    version: int,
) -> Found:
    """What a verdict on one reverse cell needs."""
    level, gap = ours[cell], intervals.NOT_MEASURED
    if _forward(cell) in ours:
        gap = pairs.gap(ours[_forward(cell)].rows, level.rows, cells.measure)
    lead = intervals.difference(level.read, cells.read(untrained, cell))
    # A written answer can be wrong more often than a guess, so only too many right ones speak against chance.
    written, safe = level.format == "free", version >= 4
    at_chance = intervals.equivalence(level.read, level.chance, floor=written, safe=safe)
    no_gap = intervals.equivalence(gap, 0.0, safe=safe)
    return Found(cell, level.read, gap, lead, at_chance, no_gap, cells.read(learnable, cell), version)


def reading(of: Found) -> tuple[str, list[str]]:
    """The verdict that one reverse cell allows when all gates pass, and what stands in the way of another."""
    level, gap, chance = of.level, of.gap, of.at_chance.target
    if len(level.seeds) < SEEDS:
        return INCONCLUSIVE, [f"{len(level.seeds)} of the {SEEDS} seeds that a verdict needs"]
    lacks: list[str] = []
    if of.at_chance.shown and of.gap_low > LARGE:
        lacks = list(_lacks_of_a_curse(of))
        if not lacks:
            return CURSE, []
    elif of.no_gap.shown:
        if _near(gap.seeds, 0.0):
            return NONE, []
        lacks.append(f"seeds disagree: gaps of {_listed(gap.seeds)} points")
    if of.above_chance and of.gap_low > 0:
        if min(gap.seeds) > 0 and min(level.seeds) > chance:
            return GAP, []
        lacks.append(f"seeds disagree: reverse {_listed(level.seeds)} %, gaps {_listed(gap.seeds)} points")
    return INCONCLUSIVE, lacks or list(_lacks_of_any(of))


def _lacks_of_a_curse(of: Found) -> Iterable[str]:
    """What a reverse cell at chance with a large gap still needs to be called cursed."""
    below = -np.inf if of.cell.endswith("/free") else -MARGIN
    if not all(below <= value - of.at_chance.target <= MARGIN for value in of.level.seeds):
        yield f"seeds disagree: reverse {_listed(of.level.seeds)} %"
    if np.isnan(of.learnable.value):
        yield "no evaluated variant for report.learnable shows that the cell can be learned"
    elif of.learnable.value < LEARNABLE:
        yield f"taught both ways the cell reaches only {of.learnable.told}, not {percent(LEARNABLE)}"


def _lacks_of_any(of: Found) -> Iterable[str]:
    """Why neither level nor gap can be read."""
    level, gap, chance = of.level, of.gap, of.at_chance.target
    if gap.high < 0:
        yield f"the reverse is better than the forward cell: gap {points(gap)}"
        return
    if not of.at_chance.shown and not of.above_chance:
        sure = power.equivalence_power(level.groups, chance)
        few = f"; missing power: {level.groups} people show a true chance with {percent(sure)}"
        said = f"the level {level.told} is neither above chance {percent(chance)} nor equivalent to it"
        if level.low > chance and not of.over_untrained.low > 0:
            said = f"the level {level.told} is not above the untrained model: {points(of.over_untrained)}"
        yield said + (few if sure < 0.8 else "")
    if of.at_chance.shown and not of.gap_low > LARGE:
        yield f"the gap {points(gap)} is not wholly above {100 * LARGE:.0f} points"
    if not of.gap_low > 0 and not of.no_gap.shown:
        yield f"the gap {points(gap)} is neither above 0 nor equivalent to it"
    for name, estimate in (("reverse", level), ("gaps", gap)):
        if estimate.seeds_differ:
            p = f"(p = {estimate.p_seeds:.2g})"
            yield f"seeds differ by more than chance: {name} {_listed(estimate.seeds)} {p}"


def _over_orders(readings: Mapping[str, tuple[str, list[str]]], found: list[Found]) -> tuple[str, str]:
    """One verdict from the orders in which a choice is asked. A curse in one order and a gap in the other are
    a gap: both lie wholly below the forward cell, and what is found in one order is not out of reach. Other
    orders that disagree are inconclusive."""
    names = {name for name, _ in readings.values()}
    lacks = [f"{cells.words_of(cell)}: {lack}" for cell, (_, lacking) in readings.items() for lack in lacking]
    if len(names) > 1 and not lacks and names != {CURSE, GAP}:
        told = ", ".join(f"{cells.words_of(cell)} {name}" for cell, (name, _) in readings.items())
        lacks = [f"the orders disagree: {told}"]
    if lacks:
        return INCONCLUSIVE, "; ".join(lacks)
    name = GAP if len(names) > 1 else names.pop()
    return name, "; ".join(_said(name, of) for of in found)


def _said(name: str, of: Found) -> str:
    """One reverse cell in words, for a sentence."""
    at = ""
    if name != NONE and of.at_chance.shown:
        at = " within 10 points of chance" if of.level.low > of.at_chance.target else " at chance"
    level = f"{cells.words_of(of.cell)} {of.level.told}{at}"
    learned = f" ({of.learnable.told} where taught both ways)" if name == CURSE else ""
    small = ", which is certain and small" if name == NONE and of.gap_low > 0 else ""
    return f"{level}{learned}, {points(of.gap)} below {cells.words_of(_forward(of.cell))}{small}"


def _bound(
    ours: Mapping[str, cells.Cell], untrained: Mapping[str, cells.Cell], taught: Sequence[str], format: str
) -> tuple[str, str]:
    """Whether what was learned stays in its format: the variant was not taught in this one, and answers the
    trained direction in it like the untrained model. Nothing is said if it was taught, or knows it anyway."""
    cell = f"forward/{format}"
    forward, before = cells.read(ours, cell), cells.read(untrained, cell)
    if cell in taught or forward.value >= gates.LEARNED:
        return "", ""
    change = intervals.difference(forward, before)
    said = f"{cells.words_of(cell)} {forward.told} against {before.told} untrained, {points(change)}"
    if len(forward.seeds) < SEEDS:
        return INCONCLUSIVE, f"{len(forward.seeds)} of the {SEEDS} seeds that a verdict needs; {said}"
    if intervals.equivalence(change, 0.0).shown and _near(forward.seeds, before.value):
        return BOUND, f"{said}, equivalent"
    return INCONCLUSIVE, f"not taught in this format, neither learned nor equivalent to untrained: {said}"


def _near(seeds: Iterable[float], target: float) -> bool:
    return all(abs(value - target) <= MARGIN for value in seeds)


def _short(parts: Mapping[str, Part]) -> str:
    names = {found.verdict for found in parts.values()}
    if len(names) == 1:
        return names.pop()
    return "; ".join(f"{format}: {found.verdict}" for format, found in parts.items())


def _notes(evidence: Evidence, found: cells.Split) -> dict[str, str]:
    """Contrasts of what is read and what stands beside it, and the power of the reverse cells as run."""
    read, beside = (evidence.report.get(name, "") for name in ("read", "beside"))
    notes = {
        f"{row.variant} against {row.against}, {cells.words_of(row.cell)}": accuracy.told_of(row)
        for row in tables.contrasts(evidence, found).itertuples()
        if row.variant in (read, beside)
    }
    for row in tables.power_table(evidence).itertuples():
        if row.variant == read:
            told = f"{percent(row.detectable)} told from chance {percent(row.chance)} with 80 % power"
            shown = f"chance itself shown with {percent(row.equivalence_power)}"
            name = f"power as run, {cells.words_of(row.cell)}"
            notes[name] = f"{row.people} people in {row.seeds} seeds, seeds taken as alike: {told}; {shown}"
    return notes


def _sentence(evidence: Evidence, read: str, parts: Mapping[str, Part]) -> str:
    """The one sentence for all formats."""
    told = "; ".join(f"{format}, {_briefly(found)}" for format, found in parts.items())
    return f"Of novel people taught {_taught(evidence, read)} (variant {read}): {told}."


def _briefly(found: Part) -> str:
    """What is said of one format; many failed gates are counted, and named in the reasons."""
    failed = sum(not gate.passed for gate in found.gates)
    return f"{INCONCLUSIVE}: {failed} gates failed" if failed > 2 else found.sentence


def _taught(evidence: Evidence, variant: str) -> str:
    names = [cell.replace("/", " ") for cell in evidence.taught.get(variant, ())]
    return ", ".join(names) or "nothing that the study names"


def _forward(cell: str) -> str:
    return f"forward/{cells.format_of(cell)}"


def _listed(seeds: Iterable[float]) -> str:
    return " / ".join(f"{100 * value:.0f}" for value in seeds)
