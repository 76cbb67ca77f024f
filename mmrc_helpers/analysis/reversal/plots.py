"""The figures of the reversal study: its tables under the names that a reader knows. Where there is nothing
to draw, a function returns the sentence that says why."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmrc_helpers.analysis import cells as pairs
from mmrc_helpers.analysis import intervals, power, scores
from mmrc_helpers.analysis.evidence import Evidence
from mmrc_helpers.analysis.reversal import cells, gates, tables
from mmrc_helpers.figures import accuracy, checks

WHO = {"novel": "novel people", "two_way": "novel people taught both ways", "background": "background people"}
TICKS = {"judge": "judge (AUC)", f"choice{cells.NAME_FIRST}": "name first"}
RATES = {"naming": "naming probe", "choosing": "chosen forward", "access": "found by name"}
PARTS = {
    "bound_reached": "bound, reached",
    "bound_unreached": "bound, not reached",
    "unbound_reached": "not bound, reached",
    "neither": "neither",
}


def plot_scores(evidence: Evidence) -> Figure:
    """Every cell of every variant; see `cells.main_table`."""
    table = _placed(cells.main_table(evidence))
    table = table.assign(series=table["population"].map(WHO))
    places = [
        (evidence.variants.index(r.variant), cells.POPULATIONS.index(r.population))
        for r in table.itertuples()
    ]
    return accuracy.cells(table.iloc[sorted(range(len(table)), key=places.__getitem__)], cells.DIRECTIONS)


def _placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `section` (the direction) and `tick` (what else the cell is called)."""
    parts = table["cell"].str.split("/", n=1)
    return table.assign(section=parts.str[0], tick=parts.str[1].replace(TICKS))


def plot_transfer(evidence: Evidence) -> Figure:
    """What was taught × what is asked, novel people beside background people, with 95 % intervals; what a
    guesser reaches in the last row."""
    table = cells.main_table(evidence)
    ends = zip(table["low"], table["high"], strict=True)
    table = table.assign(ends=[f"\n{100 * low:.0f}–{100 * high:.0f}" for low, high in ends])
    table["cell"] = table["cell"].str.replace("/judge", "/judge (AUC)", regex=False)
    guessed = table.groupby(["population", "cell"], sort=False)["chance"].mean().rename("value").reset_index()
    table = pd.concat([table, guessed.assign(variant="chance", ends="", taught=False)])
    parts = {f"{WHO[who]}, %": table[table["population"] == who] for who in ("novel", "background")}
    parts = {title: part for title, part in parts.items() if len(part)}
    grids, ranges = (
        {title: pairs.transfer(part, of) for title, part in parts.items()} for of in ("value", "ends")
    )
    return accuracy.matrices(grids, pairs.transfer(next(iter(parts.values())), "taught"), ranges)


def plot_gates(evidence: Evidence) -> Figure | str:
    """The gates of the variant that is read, per format, and the power of its reverse cells as run."""
    variant = evidence.report.get("read", "")
    if evidence.of("read").empty:
        return f"This study has no evaluated variant {variant or '(report.read)'}, from which gates are read."
    found = cells.split(evidence.answers)
    rows = [vars(gate) | {"panel": format} for format in cells.FORMATS
            for gate in gates.gates(found, evidence, variant, format)]  # fmt: skip
    asked = tables.power_table(evidence)
    curves = [pd.DataFrame(columns=["line", "accuracy", "power"])]
    for row in asked[asked["variant"] == variant].itertuples() if len(asked) else ():
        true = np.linspace(row.chance, min(1.0, row.chance + 0.35), 120)
        line = f"{cells.words_of(row.cell)} ({row.people} people)"
        reached = power.power_curve(row.people, row.chance, true)
        curves.append(pd.DataFrame({"line": line, "accuracy": true, "power": reached}))
    return checks.gates(pd.DataFrame(rows), pd.concat(curves[1:] or curves))


def plot_controls(evidence: Evidence) -> Figure | str:
    """What cannot know anything, against chance, cell by cell: the declared controls, and the variant that is
    read with its pictures or texts destroyed."""
    found, read = cells.split(evidence.answers), evidence.report.get("read", "")
    asked = {f"variant {name}": cells.of(found, name) for name in evidence.report.get("controls", ())}
    asked |= {words: cells.of(found, read, drop=drop) for drop, words in gates.DROPS.items()}
    rows = [
        {"control": words, "cell": name, "chance": cell.chance} | scores.columns_of(cell.read)
        for words, by_cell in asked.items()
        for name, cell in by_cell.items()
    ]
    if not rows:
        return "No control was run: the study declares none in report.controls, and nothing was dropped."
    return checks.controls(_placed(pd.DataFrame(rows)), intervals.MARGIN)


def plot_answers(evidence: Evidence, population: str = "novel") -> Figure | str:
    """How often each letter and verdict was favoured."""
    found = cells.split(evidence.answers)
    rows = [
        cell.rows for variant in evidence.variants for cell in cells.of(found, variant, population).values()
    ]
    shares = scores.answer_shares(pd.concat(rows), ["variant", "cell"]) if rows else pd.DataFrame()
    if shares.empty:
        return "Neither choices nor judgements were asked."
    panels = shares["cell"].str.replace("/", " ").str.replace(", ", ",\n")
    order = shares["cell"].map([*cells.CELLS].index)
    shares = shares.assign(panel=panels).iloc[np.argsort(order.to_numpy(), kind="stable")]
    return checks.answers(shares)


def plot_binding(evidence: Evidence) -> Figure | str:
    """What is bound, read by the naming probe and by choosing forward, beside what is found by name."""
    table = tables.binding(evidence)
    table = table[table["population"] == "novel"] if len(table) else table
    if table.empty or table["naming"].isna().all():
        return "The naming probe is off in this study, or no choices were asked."
    return accuracy.binding(table[table["naming"].notna()], RATES, PARTS)


def plot_calibration(evidence: Evidence) -> Figure | str:
    """Calibration of choices about novel people: forward, reverse, and reverse with the name first."""
    found = cells.split(evidence.answers)
    rows = [
        cell.rows.assign(line=name.replace("/choice", ""))
        for variant in evidence.variants
        for name, cell in cells.of(found, variant).items()
        if cell.format == "choice"
    ]
    if not rows:
        return "No choices were asked."
    return checks.calibration(scores.calibration(pd.concat(rows), ["variant", "line"]))
