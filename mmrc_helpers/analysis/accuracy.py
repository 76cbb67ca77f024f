"""The finding of any world: accuracy in the cells that its facets span, variants against the untrained one,
drops and declared controls at chance. It concludes nothing about directions or difficulties."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmrc_helpers.analysis import cells, intervals, scores
from mmrc_helpers.analysis.evidence import Evidence, Verdict
from mmrc_helpers.figures import accuracy, checks

VERSION = 2  # of 2026-11-28: variants are compared over the seeds that both have, paired
BETTER, WORSE, ALIKE, OPEN = "better", "worse", "alike within 10 points", "not told apart"


def asked(evidence: Evidence, whole: bool = True) -> pd.DataFrame:
    """The graded answers with `cell`, `section` (the value of the world's first facet) and `tick` (the values
    of the others), worlds in order. whole: without those whose pictures or texts were destroyed, else only
    those. Cells of further worlds begin with the world's name."""
    answers, parts = evidence.answers, []
    answers = answers[answers["correct"].notna()]
    if "drop" in answers:
        dropped = answers["drop"].fillna("none") != "none"
        answers = answers[~dropped if whole else dropped]
    elif not whole:
        answers = answers.iloc[:0]
    worlds = evidence.facets or {"": tuple(scores.facets(answers)[:2])}
    for world, names in worlds.items():
        rows = answers[answers["world"] == world] if "world" in answers and world else answers
        if len(rows):
            first, *rest = (rows[name].astype(str) for name in names or ("group",))
            tick = rest[0].str.cat(rest[1:], sep="/") if rest else first
            section = first if world in ("", next(iter(worlds))) else world + " " + first
            parts.append(rows.assign(section=section, tick=tick, cell=section.str.cat(rest, sep="/")))
    return pd.concat(parts) if parts else answers.assign(section="", tick="", cell="")


def scored(evidence: Evidence) -> pd.DataFrame:
    """`scores.score` per variant and cell, variants in the study's order, cells in that of their
    sections' and ticks' names."""
    rows = asked(evidence)
    table = scores.score(rows, ["variant", "section", "tick", "cell"])
    order = list(dict.fromkeys(rows.sort_values(["section", "tick"], kind="stable")["cell"]))
    places = [(evidence.variants.index(r.variant), order.index(r.cell)) for r in table.itertuples()]
    return table.iloc[sorted(range(len(table)), key=places.__getitem__)].reset_index(drop=True)


def contrasts(evidence: Evidence) -> pd.DataFrame:
    """Every variant against the untrained one, and the one that is read against the one beside it."""
    pairs = [(name, evidence.untrained) for name in evidence.variants if name != evidence.untrained]
    pairs = [pair for pair in pairs if evidence.untrained]
    pairs.append((evidence.report.get("read", ""), evidence.report.get("beside", "")))
    return cells.contrasts(asked(evidence), pairs, ["cell"])


def word_of(row) -> str:
    """What a row of `contrasts` shows; "alike" only if that was shown."""
    if row.p_holm <= 0.05 and not row.low <= 0 <= row.high:
        return BETTER if row.difference > 0 else WORSE
    return ALIKE if row.p_equivalent <= 0.05 else OPEN


def numbers_of(table: pd.DataFrame) -> tuple[dict, ...]:
    """The rows of `scored` as a verdict keeps them, with `value`, the accuracy."""
    return tuple(table.assign(value=table["accuracy"]).to_dict("records"))


def verdict(evidence: Evidence) -> Verdict:
    """In how many cells the variant that is read is better or worse than the untrained one."""
    table = scored(evidence)
    numbers = numbers_of(table)
    found, read = contrasts(evidence), evidence.report.get("read", "")
    against = evidence.untrained or evidence.report.get("beside", "")
    ours = found[(found["variant"] == read) & (found["against"] == against)] if len(found) else found
    if ours.empty:
        lacking = f"no evaluated variant `{read or 'report.read'}` beside an untrained one to compare it with"
        return Verdict(
            "not compared", f"Not compared: {lacking}.", VERSION, reasons=(lacking,), numbers=numbers
        )
    words = [word_of(row) for row in ours.itertuples()]
    told = [f"{words.count(word)} {word}" for word in (BETTER, WORSE, ALIKE, OPEN) if word in words]
    reasons = tuple(
        f"{row.cell}: {intervals.percent(row.value)} against {intervals.percent(row.other)}, {told_of(row)}"
        for row in ours.itertuples()
    )
    short = f"{', '.join(told)} (cells, against {against})"
    sentence = f"{read.capitalize()} against {against} in {len(words)} cells: {', '.join(told)}."
    return Verdict(short, sentence, VERSION, reasons=reasons, numbers=numbers)


def told_of(row) -> str:
    """A row of `contrasts` in words."""
    change = f"{100 * row.difference:+z.0f} [{100 * row.low:z.0f}, {100 * row.high:z.0f}]"
    p = "< 0.001" if row.p_holm < 0.001 else f"= {row.p_holm:.2g}"
    h = "" if np.isnan(row.h) else f", h = {row.h:.2f}"
    seeds = "" if row.seeds > 1 else ", one seed"
    return f"{change} points, {word_of(row)} (Holm p {p}{h}{seeds})"


def everything(evidence: Evidence) -> pd.DataFrame:
    """Percent with intervals: rows variant × condition, columns the cells. Conditions: accuracy; by seed; the
    parts of the grade; valid; other scoring; minus untrained; dropped."""
    rows = pd.DataFrame(list(_rows(evidence)), columns=["variant", "condition", "cell", "shown"])
    table = rows.pivot_table(
        index=["variant", "condition"], columns="cell", values="shown", aggfunc="first", sort=False
    )
    table = table.reindex(columns=list(dict.fromkeys(rows["cell"]))).fillna("")
    places = [evidence.variants.index(variant) for variant, _ in table.index]
    return table.iloc[np.argsort(places, kind="stable")].reset_index()


def _rows(evidence: Evidence) -> Iterator[tuple[str, str, str, str]]:
    for r in scored(evidence).itertuples():
        yield r.variant, "accuracy", r.cell, shown(r.accuracy, r.low, r.high)
        if r.seeds > 1:
            yield r.variant, "by seed", r.cell, " / ".join(f"{100 * v:.0f}" for v in r.by_seed)
        yield r.variant, "valid", r.cell, f"{100 * r.validity:.1f}"
        if not np.isnan(r.logprob):
            yield r.variant, "by log-probability", r.cell, f"{100 * r.logprob:.1f}"
    for r in scores.part_means(asked(evidence), ["variant", "cell"]).itertuples():
        yield r.variant, f"part: {r.part}", r.cell, shown(r.value, r.low, r.high)
    for r in scores.margins(asked(evidence), ["variant", "cell"]).itertuples():
        told = f"{r.value:+.2f}\u00a0[{r.low:.2f},\u00a0{r.high:.2f}]"
        yield r.variant, "right over wrong option, nats", r.cell, told
    for r in contrasts(evidence).itertuples():
        yield r.variant, f"minus {r.against}", r.cell, shown(r.difference, r.low, r.high, "+")
    for r in _dropped(evidence).itertuples():
        yield r.variant, f"{r.drop} dropped", r.cell, shown(r.accuracy, r.low, r.high)


def _dropped(evidence: Evidence) -> pd.DataFrame:
    rows = asked(evidence, whole=False)
    return scores.score(rows, ["variant", "drop", "section", "tick", "cell"]) if len(rows) else rows


def shown(value: float, low: float, high: float, sign: str = "") -> str:
    """A share with its interval for a table, in percent."""
    return f"{100 * value:{sign}z.1f}\u00a0[{100 * low:z.0f},\u00a0{100 * high:z.0f}]"


def plot_scores(evidence: Evidence) -> Figure:
    """Every cell of every variant."""
    table = scored(evidence).rename(columns={"accuracy": "value"}).assign(series="accuracy")
    return accuracy.cells(table, list(dict.fromkeys(table["section"])))


def plot_transfer(evidence: Evidence) -> Figure:
    """Variants × tested cells; framed: what a variant was taught in."""
    table = scored(evidence).rename(columns={"accuracy": "value"})
    table = table.assign(taught=[r.cell in evidence.taught.get(r.variant, ()) for r in table.itertuples()])
    return accuracy.matrices({"accuracy, %": cells.transfer(table)}, cells.transfer(table, "taught"))


def plot_gates(evidence: Evidence) -> str:
    """This finding has no gates."""
    return "This finding has no gates; read the accuracy beside its controls and its share of valid answers."


def plot_controls(evidence: Evidence) -> Figure | str:
    """Declared controls and drops against chance, cell by cell."""
    declared = evidence.report.get("controls", ())
    table = scored(evidence)
    table = table[table["variant"].isin(declared)].assign(control=lambda t: "variant " + t["variant"])
    dropped = _dropped(evidence)
    if len(dropped):
        read = evidence.report.get("read", "") or dropped["variant"].iloc[0]
        dropped = dropped[dropped["variant"] == read]
        table = pd.concat([table, dropped.assign(control=dropped["drop"] + " dropped")])
    if table.empty:
        return "No control was run: the study declares none in report.controls, and nothing was dropped."
    return checks.controls(table.rename(columns={"accuracy": "value"}), intervals.MARGIN)


def plot_answers(evidence: Evidence) -> Figure | str:
    """How often each letter was favoured."""
    shares = scores.answer_shares(asked(evidence), ["variant", "cell"])
    return checks.answers(shares.assign(panel=shares["cell"])) if len(shares) else "No options were compared."


def plot_calibration(evidence: Evidence) -> Figure | str:
    """Calibration of the answers whose options were compared, a line per section."""
    rows = asked(evidence)
    rows = rows[rows["logprobs"].map(len) > 0]
    if rows.empty:
        return "No options were compared."
    return checks.calibration(scores.calibration(rows.assign(line=rows["section"]), ["variant", "line"]))
