"""The gates and the verdict of the study. A gate says whether a number may be interpreted at all; the verdict
is read from the `forward` arm with `naming` beside it, and every reason carries its numbers and intervals."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import intervals, scores
from mmrc_helpers.analysis.intervals import percent

CONFIRMED, FORMAT_BOUND = "reversal curse confirmed", "format-bound only"
REFUTED, INCONCLUSIVE = "refuted", "inconclusive"

READ = ("forward/free", "forward/choice", "reverse/choice")  # cells that the verdict is read from
SEEDS = 3  # fewest seeds a confirmation may rest on
MARGIN = 0.10  # "at chance" and "no gap" mean within ten points
GAP = 0.30  # a direction effect worth the name: the whole interval of the gap above thirty points
RECOVERED = 0.50  # the whole interval of reverse choice above this refutes the curse


@dataclass(frozen=True)
class Gate:
    """One condition for reading a verdict. `passed` compares the value; the interval says how sure that
    is."""

    gate: str
    value: float
    low: float
    high: float
    threshold: float
    at_least: bool
    passed: bool
    people: int
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What the study shows, why, and what prior work's rule would have said. `numbers`: tidy, for the
    report."""

    verdict: str
    reasons: tuple[str, ...]
    prior_rule: str
    gates: tuple[Gate, ...]
    numbers: tuple[dict, ...]

    def as_dict(self) -> dict:
        """Plain values that JSON can hold; nan becomes null."""
        return _without_nan(asdict(self))


def gates(answers: pd.DataFrame) -> tuple[Gate, ...]:
    """The five gates on the answers of one variant, seeds pooled; format competence is asked in each
    direction, validity in the cells that the verdict is read from.

    A gate whose questions were never asked fails, and says so.
    """
    answers = answers.reset_index(drop=True)
    undropped, pick = answers[answers["drop"] == "none"], scores.pick
    in_context = pick(answers, topic="in_context", **_cell("reverse/choice"))
    cells = undropped["direction"] + "/" + undropped["format"]
    parsed = undropped[undropped["topic"].isin(["identity", "in_context"]) & cells.isin(READ)]
    learned = pick(answers, population="novel", **_cell("forward/free"))
    known = [pick(answers, population="background", **_cell(f"{d}/choice")) for d in scores.DIRECTIONS]
    return (
        _accuracy_gate("1 learned: forward free", learned, 0.90),
        *(
            _accuracy_gate(f"2 format competence: {d} choice, background people", cell, 0.90)
            for d, cell in zip(scores.DIRECTIONS, known, strict=True)
        ),
        _lowest_gate("3 in context: reverse choice", in_context, ["population"], in_context["correct"], 0.95),
        _lowest_gate(
            "4 strict validity", parsed, ["direction", "format"], parsed["parsed"] != "invalid", 0.99
        ),
        _collapse_gate("5 no collapse: letters", undropped, "choice", 0.40),
        _collapse_gate("5 no collapse: right or wrong", undropped, "judge", 0.65),
    )


def gate_table(answers: pd.DataFrame) -> pd.DataFrame:
    """The gates of every variant, one row each."""
    rows = [
        {"variant": variant} | asdict(gate)
        for variant, part in answers.groupby("variant", sort=False)
        for gate in gates(part)
    ]
    return pd.DataFrame(rows)


def verdict(answers: pd.DataFrame) -> Verdict:
    """The verdict of a study from the answers of all its variants and seeds."""
    arms = dict(tuple(answers.groupby("variant", sort=False)))
    if "forward" not in arms:
        lacking = "the study has no variant `forward`, from which the verdict is read"
        return Verdict(INCONCLUSIVE, (lacking,), "not applicable", (), tuple(_numbers(arms)))
    checked, found = gates(arms["forward"]), _findings(arms["forward"])
    failed = [f"gate failed: {gate.reason}" for gate in checked if not gate.passed]
    bound, beside = _format_bound(arms.get("naming"))
    name = INCONCLUSIVE if failed else _name(found, bound)
    lacking = [*failed, *_missing(found)] if name == INCONCLUSIVE else []
    reasons = (*lacking, found.reverse_text, found.chance_text, found.gap_text, beside)
    return Verdict(name, reasons, prior_rule(arms["forward"]), checked, tuple(_numbers(arms)))


def _name(found: "_Findings", bound: bool) -> str:
    """The verdict when all gates pass."""
    if found.at_chance.shown and found.gap[1] > GAP and len(found.seeds) >= SEEDS:
        return CONFIRMED
    if bound and found.gap[2] < MARGIN:
        return FORMAT_BOUND
    return REFUTED if found.reverse[1] > RECOVERED else INCONCLUSIVE


def prior_rule(answers: pd.DataFrame) -> str:
    """The threshold rule of the earlier study, on forward free and reverse choice, without intervals or
    controls."""
    forward = scores.pick(answers, population="novel", **_cell("forward/free"))["correct"].mean()
    reverse = scores.pick(answers, population="novel", **_cell("reverse/choice"))["correct"].mean()
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


def power_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Power of reverse choice on novel people as run: the detectable accuracy at 80 %, and the power to show
    chance."""
    asked = scores.pick(answers, population="novel", **_cell("reverse/choice"))
    rows = []
    for variant, cell in asked.groupby("variant", sort=False):
        people, chance = cell["person"].nunique(), scores.chance(cell)
        row = {"variant": variant, "seeds": cell["seed"].nunique(), "people": people, "chance": chance}
        row["detectable"] = intervals.detectable(people, chance)
        rows.append(row | {"equivalence_power": intervals.equivalence_power(people, chance, MARGIN)})
    return pd.DataFrame(rows)


# --- parts of the verdict ------------------------------------------------------------


@dataclass(frozen=True)
class _Findings:
    """Reverse choice on novel people in the `forward` arm, and its paired distance from forward choice."""

    seeds: tuple[float, ...]  # reverse choice of each seed
    people: int
    reverse: tuple[float, float, float]
    gap: tuple[float, float, float]
    at_chance: intervals.Equivalence

    @property
    def reverse_text(self) -> str:
        seeds = ", ".join(percent(share) for share in self.seeds)
        told = f"reverse choice on novel people {percent(*self.reverse)}, {self.people} people"
        return f"{told} (by seed: {seeds})"

    @property
    def chance_text(self) -> str:
        test, word = self.at_chance, "equivalent" if self.at_chance.shown else "not shown equivalent"
        span = percent(test.mean, test.low, test.high)
        return f"{word} to chance {percent(test.chance)} ± 10 points (90 % interval {span}, p = {test.p:.2g})"

    @property
    def gap_text(self) -> str:
        return f"forward − reverse within the choice format {percent(*self.gap)}"


def _findings(arm: pd.DataFrame) -> _Findings:
    novel = arm[arm["population"] == "novel"]
    cell = scores.pick(novel, **_cell("reverse/choice"))
    gap = scores.gaps(novel)[["gap", "low", "high"]].to_numpy(float)
    return _Findings(
        seeds=tuple(cell.groupby("seed")["correct"].mean()),
        people=cell["person"].nunique(),
        reverse=intervals.mean_interval(cell["correct"], cell["person"]),
        gap=tuple(gap[0]) if len(gap) else (np.nan, np.nan, np.nan),
        at_chance=intervals.equivalence(cell["correct"], cell["person"], scores.chance(cell), MARGIN),
    )


def _format_bound(naming: pd.DataFrame | None) -> tuple[bool, str]:
    """Whether naming succeeds while its own direction fails as a choice, and the sentence that says so."""
    if naming is None:
        return (
            False,
            "the study has no variant `naming`, so format-bound knowledge cannot be told from the rest",
        )
    cells = [
        scores.pick(naming, population="novel", **_cell(f"forward/{format}")) for format in ("free", "choice")
    ]
    free, choice = (intervals.mean_interval(cell["correct"], cell["person"]) for cell in cells)
    bound = free[0] >= 0.90 and choice[2] < RECOVERED
    said = "reaches its own direction as a choice no better than" if bound else "next to forward choice"
    return bool(bound), f"naming arm: forward free {percent(*free)} {said} {percent(*choice)}"


def _missing(found: _Findings) -> Iterable[str]:
    """What a confirmation lacks."""
    if not found.gap[1] > GAP:
        yield f"the gap within the choice format is not wholly above {percent(GAP)}"
    if len(found.seeds) < SEEDS:
        yield f"{len(found.seeds)} of the {SEEDS} seeds that a confirmation needs"
    if not found.at_chance.shown:
        yield "reverse choice is not shown to be at chance"
    power = intervals.equivalence_power(found.people, found.at_chance.chance, MARGIN) if found.people else 0.0
    if not found.at_chance.shown and power < 0.80:
        yield f"missing power: {found.people} people show a true chance with probability {percent(power)}"


def _numbers(arms: dict[str, pd.DataFrame]) -> Iterable[dict]:
    """Novel people's accuracy in each primary cell of each arm."""
    scored = scores.primary(scores.score(pd.concat(arms.values())))
    columns = ["variant", "population", "direction", "format", "people", "accuracy", "low", "high", "chance"]
    return scored[columns].to_dict("records")


def _cell(cell: str) -> dict[str, str]:
    return dict(zip(("direction", "format"), cell.split("/"), strict=True))


def _accuracy_gate(name: str, cell: pd.DataFrame, threshold: float) -> Gate:
    value, low, high = intervals.mean_interval(cell["correct"], cell["person"])
    return _gate(name, value, low, high, threshold, True, cell)


def _lowest_gate(name: str, asked: pd.DataFrame, by: list[str], values: pd.Series, threshold: float) -> Gate:
    """The lowest mean of the values among the groups of `by`: five good cells must not hide the sixth."""
    groups = [
        (intervals.mean_interval(values[cell.index], cell["person"]), key, cell)
        for key, cell in asked.groupby(by, sort=False)
    ]
    if not groups:
        return _gate(name, np.nan, np.nan, np.nan, threshold, True, asked)
    found, key, cell = min(groups, key=lambda group: group[0][0])
    return _gate(name, *found, threshold, True, cell, f" (lowest in {' '.join(key)})")


def _collapse_gate(name: str, asked: pd.DataFrame, format: str, threshold: float) -> Gate:
    """The largest share of one letter or verdict in any direction and population. "Wrong" counts for
    background people only: of novel people it is also the cautious answer of a model that cannot reach what
    it stores."""
    asked = asked[(asked["format"] == format) & (asked["topic"] == "identity")]
    worst = None
    for key, cell in asked.groupby(["direction", "population"], sort=False):
        shares = scores.picked_shares(cell)
        if key[1] == "novel":
            shares = shares.drop("Wrong", errors="ignore")
        if shares.empty:
            continue
        if worst is None or shares.max() > worst[0]:
            worst = (shares.max(), shares.idxmax(), key, cell)
    if worst is None:
        return _gate(name, np.nan, np.nan, np.nan, threshold, False, asked)
    _, letter, key, cell = worst
    share = cell["picks"].map(lambda picks: np.mean([p == letter for p in picks]))
    found = intervals.mean_interval(share, cell["person"])
    return _gate(name, *found, threshold, False, cell, f" (largest share, {letter} in {' '.join(key)})")


def _gate(name, value, low, high, threshold, at_least, cell, where="") -> Gate:
    passed = bool(value >= threshold if at_least else value <= threshold)
    rule = f"{'at least' if at_least else 'at most'} {percent(threshold)}"
    reason = f"{name}{where}: {percent(value, low, high)}, must be {rule}"
    people = cell["person"].nunique()
    return Gate(name, float(value), float(low), float(high), threshold, at_least, passed, people, reason)


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value
