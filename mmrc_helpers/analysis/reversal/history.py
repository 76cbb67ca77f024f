"""What earlier rules would have said of the same answers: versions 1 and 2 of ours, which gave one verdict on
all formats, and the threshold rule of the work that this study repeats. They are kept so that a reader can
see what a change of rules did."""

from collections.abc import Mapping

import numpy as np

from mmrc_helpers.analysis import cells as pairs
from mmrc_helpers.analysis import intervals
from mmrc_helpers.analysis.evidence import Evidence
from mmrc_helpers.analysis.intervals import percent
from mmrc_helpers.analysis.reversal import cells, gates
from mmrc_helpers.analysis.reversal.rules import RULES

RECOVERED = 0.50  # under rules 1 and 2, the whole interval of reverse choice above this refuted the curse


def verdicts(evidence: Evidence) -> dict[str, str]:
    """Rules 1 and 2 → their verdict on the variant that is read."""
    pooled = _pooled(evidence)
    return {rule.name: earlier(pooled, evidence, rule.version) for rule in RULES[:2]}


def _pooled(evidence: Evidence) -> cells.Split:
    """The answers, people of all seeds as if of one."""
    return cells.split(evidence.answers.assign(seed=0))


def earlier(pooled: cells.Split, evidence: Evidence, version: int) -> str:
    """The verdict of rules 1 or 2, which read reverse choice with the pictures first and no control, with
    what stood in its way."""
    read, seeds = evidence.report["read"], evidence.of("read")["seed"].nunique()
    failed = [gate for gate in gates.earlier_gates(pooled, read, version) if not gate.passed]
    novel = cells.of(pooled, read)
    if not {"forward/choice", "reverse/choice"} <= set(novel):
        return "inconclusive (choices were not asked)"
    level, chance = novel["reverse/choice"].read, novel["reverse/choice"].chance
    gap = pairs.gap(novel["forward/choice"].rows, novel["reverse/choice"].rows)
    at_chance = intervals.equivalence(level, chance).shown
    shown = f"reverse choice {level.told}, gap {percent(gap.value, gap.low, gap.high)}"
    if failed:
        return f"inconclusive (failed: {'; '.join(gate.reason for gate in failed)}; {shown})"
    if at_chance and gap.low > 0.30 and seeds >= 3:
        return f"reversal curse confirmed ({shown})"
    if _is_bound(cells.of(pooled, evidence.report.get("beside", ""))) and gap.high < 0.10:
        return f"format-bound only ({shown})"
    return f"refuted ({shown})" if level.low > RECOVERED else f"inconclusive ({shown})"


def _is_bound(beside: Mapping[str, cells.Cell]) -> bool:
    """Under rules 1 and 2: the variant beside names novel people and does not choose their names."""
    free, choice = cells.read(beside, cells.FREE), cells.read(beside, "forward/choice")
    return bool(free.value >= 0.90 and choice.high < RECOVERED)


def threshold_rule(evidence: Evidence) -> str:
    """The rule of the earlier study, on forward free and reverse choice of the variant that is read, without
    intervals or controls."""
    novel = cells.of(_pooled(evidence), evidence.report["read"])
    forward, reverse = cells.read(novel, cells.FREE).value, cells.read(novel, "reverse/choice").value
    shown = f"forward {percent(forward)}, reverse {percent(reverse)}"
    if np.isnan(forward) or np.isnan(reverse):
        return f"not applicable ({shown})"
    if forward < 0.50:
        return f"forward failed ({shown})"
    if forward > 0.90 and reverse < 0.35:
        return f"reversal curse confirmed ({shown})"
    if forward > 0.90 and reverse > 0.50:
        return f"refuted ({shown})"
    return f"undecided ({shown})"
