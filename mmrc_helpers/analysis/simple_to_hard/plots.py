"""The figures of the simple-to-hard study: its tables under the names that a reader knows. Where there is
nothing to draw, a function returns the sentence that says why."""

import pandas as pd
from matplotlib.figure import Figure

from mmrc_helpers.analysis import accuracy as scored
from mmrc_helpers.analysis import traces
from mmrc_helpers.analysis.evidence import Evidence
from mmrc_helpers.analysis.simple_to_hard import alignment, gates, tables
from mmrc_helpers.figures import accuracy, checks, curves, gradients, lines

RATES = {"reading": "read without a mistake", "reasoning": "right, of those read so", "text": "right as text"}
PARTS = {
    "read_right": "read, right",
    "read_wrong": "read, wrong",
    "misread_right": "misread, right",
    "misread_wrong": "misread, wrong",
}
CELLS = tuple(f"{difficulty}/{view}" for difficulty in tables.DIFFICULTIES for view in tables.VIEWS)
NO_PUZZLES = "No puzzles were asked: this world has no difficulties and views."
NO_GATES = "No gates here: they are looked at where something is taught, and not in controls alone."
NO_SIZES = "No supervision was taught in several sizes: teach.thousands is the same, or not said."
NO_GRADIENTS = (
    "No gradients of what is taught and of HARD images: set dynamics.probes and dynamics.gradients, and ask "
    "every view that is taught."
)


def plot_scores(evidence: Evidence) -> Figure | str:
    """Every cell of every variant, SIMPLE first."""
    table = scored.scored(evidence).rename(columns={"accuracy": "value"}).assign(series="accuracy")
    table = table[table["cell"].isin(CELLS)].sort_values(
        "cell", key=lambda c: c.map(CELLS.index), kind="stable"
    )
    if table.empty:
        return NO_PUZZLES
    order = {name: place for place, name in enumerate(evidence.variants)}
    table = table.sort_values("variant", key=lambda names: names.map(order), kind="stable")
    table["tick"] = table["tick"].replace("image_via_text", "via text")
    table["taught"] = [row.cell in tables.lessons_of(evidence, row.variant) for row in table.itertuples()]
    return accuracy.cells(table, [name for name in tables.DIFFICULTIES if name in set(table["section"])])


def plot_gates(evidence: Evidence) -> Figure | str:
    """The gates of every variant that was taught something."""
    found = tables.of_cells(tables.asked(evidence))
    dropped = tables.of_cells(tables.asked(evidence, whole=False))
    taught = tables.supervised(evidence)
    rows = [
        vars(gate) | {"panel": name}
        for name in taught
        for gate in gates.gates(evidence, name, found, dropped)
    ]
    if not found:
        return NO_PUZZLES
    if not rows:
        return NO_GATES
    return checks.gates(pd.DataFrame(rows), pd.DataFrame(columns=["line", "accuracy", "power"]))


def plot_gaps(evidence: Evidence) -> Figure | str:
    """Both gaps of every variant: SIMPLE − HARD per view, and text − picture per difficulty."""
    rows = tables.asked(evidence)
    first = tables.difficulty_gaps(rows).assign(panel="SIMPLE − HARD (S2H gap)")
    second = tables.view_gaps(rows).assign(panel="text − picture (modality imbalance)")
    first["line"] = first["view"].str.replace("_", " ")
    second["line"] = second["difficulty"].str.upper() + ", " + second["view"].str.replace("_", " ")
    table = pd.concat([first, second])
    return accuracy.gaps(table, evidence.variants) if len(table) else NO_PUZZLES


def plot_reading(evidence: Evidence) -> Figure | str:
    """Reading against reasoning in answers about pictures, a row per variant and cell."""
    rows = tables.asked(evidence)
    table = tables.reading_and_reasoning(rows[rows["variant"].isin(tables.supervised(evidence))])
    if table.empty:
        return "No grade of an answer about a picture says what was read."
    order = {name: place for place, name in enumerate(evidence.variants)}
    table = table.sort_values("variant", key=lambda names: names.map(order), kind="stable")
    names = table["variant"] + ", " + table["difficulty"] + " " + table["view"].str.replace("_", " ")
    title, unit = "What is read and what is reasoned", "share of the answers"
    return accuracy.binding(table.assign(variant=names), RATES, PARTS, title, unit)


def plot_sizes(evidence: Evidence) -> Figure | str:
    """Accuracy over the size of the data, a panel per cell, a line per supervision."""
    table = tables.over_sizes(evidence)
    if table.empty:
        return NO_SIZES
    supervisions = list(dict.fromkeys(tables.sizes(evidence)["supervision"]))
    table = table.sort_values("cell", key=lambda cells: cells.map(CELLS.index), kind="stable")
    table = table.assign(panel=table["cell"].str.replace("/", " "), line=table["supervision"], phase=1)
    table["seeds"] = 1  # bands are intervals, not the range of the seeds
    table = table.rename(columns={"value": "mean"})
    panels = list(dict.fromkeys(table["panel"]))
    title, looks = "Accuracy per cell", lines.looks(supervisions)
    shape = {"shares": panels, "limits": dict.fromkeys(panels, (0.0, 1.03)), "time": "thousands"}
    return curves.figure_of(table, title, looks, units="accuracy", **shape)


def plot_alignment(evidence: Evidence) -> Figure | str:
    """Over the training of every supervision, how far a step on it serves HARD images: the cosine, and the
    share of what a step on HARD images themselves would bring."""
    table = alignment.of_supervisions(evidence)
    if table.empty:
        return NO_GRADIENTS
    panels = {
        "cosine": ("none", "cosine"),
        "transfer": ("none", "transfer"),
        "transfer of an Adam step": ("adam", "transfer"),
    }
    parts = []
    for title, (kind, value) in panels.items():
        here = table[table["preconditioner"] == kind]
        found = traces.over_time(here, value, ["variant"]).rename(columns={"variant": "line"})
        parts.append(found.assign(panel=title))
    drawn = pd.concat(parts, ignore_index=True)
    levels = {title: [(0.0, "no effect"), (1.0, "HARD images")] for title in panels if title != "cosine"}
    levels["cosine"] = [(0.0, "orthogonal")]
    ends = min(-0.1, drawn["low"].min()), 1.1 * max(1.0, drawn["high"].max())
    limits = dict.fromkeys(panels, ends) | {"cosine": gradients.cosine_limits(table["cosine"].dropna())}
    units = {title: "cosine of gradients" if title == "cosine" else "⟨g, h⟩ / ⟨h, h⟩" for title in panels}
    title = "Gradients of what is taught with those of HARD images,"
    looks = lines.looks(evidence.variants)
    return curves.figure_of(drawn, title, looks, units=units, levels=levels, limits=limits)
