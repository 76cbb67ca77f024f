"""The cells of the reversal study: direction × format, and for choices the order, because pictures first and
name first both count. What a cell is read by: judging by the area under the curve, all else by accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import scores
from mmrc_helpers.analysis.evidence import Axes, Evidence
from mmrc_helpers.analysis.intervals import NOT_MEASURED, Estimate

AXES = Axes(
    {"direction": ("forward", "reverse"), "format": ("free", "choice", "judge")},
    about={"topic": "identity"},
    taught={"population": "novel"},
    wrong="wrong_person",
)
DIRECTIONS, FORMATS = AXES.values.values()
FREE, NAME_FIRST = "forward/free", ", name first"
# Forward cells, then reverse ones; a choice with the name first beside the one with the pictures first.
CELLS = tuple(
    f"{direction}/{format}{order}"
    for direction in DIRECTIONS
    for format in FORMATS
    for order in (("", NAME_FIRST) if format == "choice" else ("",))
)
POPULATIONS = ("novel", "two_way", "background")  # two_way: novel people taught in every cell


@dataclass(frozen=True, eq=False)
class Cell:
    """The answers of one cell, and what is read from them."""

    name: str
    rows: pd.DataFrame

    @cached_property
    def read(self) -> Estimate:
        return measure(self.rows)

    @cached_property
    def chance(self) -> float:
        """What a guesser reaches."""
        return 0.5 if self.format == "judge" else scores.chance(self.rows)

    @cached_property
    def valid(self) -> pd.DataFrame:
        """Whether each answer is valid (1.0 or 0.0), with its cluster and seed."""
        return self.rows[["cluster", "seed"]].assign(valid=scores.is_valid(self.rows).astype(float))

    @property
    def format(self) -> str:
        return format_of(self.name)

    @property
    def words(self) -> str:
        return words_of(self.name)


Split = Mapping[tuple[str, str, str, str, str], Cell]  # variant, population, topic, drop, cell


def split(answers: pd.DataFrame) -> Split:
    """The answers about people by variant, population, topic, drop and cell; choices with the easier
    distractors."""
    answers = celled(answers[answers["direction"].isin(DIRECTIONS)])
    if (answers["distractors"] == "random").any():
        answers = answers[answers["distractors"] != "matched"]
    keys = ["variant", "population", "topic", "drop", "cell"]
    return {key: Cell(key[-1], rows) for key, rows in answers.groupby(keys, sort=False)}


def celled(answers: pd.DataFrame) -> pd.DataFrame:
    """The answers with `cell`, one of CELLS."""
    order = np.where((answers["format"] == "choice") & (answers["order"] == "name_first"), NAME_FIRST, "")
    return answers.assign(cell=answers["direction"] + "/" + answers["format"] + order)


def of(
    found: Split, variant: str, population: str = "novel", topic: str = "identity", drop: str = "none"
) -> dict[str, Cell]:
    """The cells of one variant that were asked, in their order."""
    keys = {cell: (variant, population, topic, drop, cell) for cell in CELLS}
    return {cell: found[key] for cell, key in keys.items() if key in found}


def asked(evidence: Evidence, found: Split | None = None) -> pd.DataFrame:
    """The answers about novel people in the primary cells of all variants."""
    found = split(evidence.answers) if found is None else found
    return pd.concat([cell.rows for variant in evidence.variants for cell in of(found, variant).values()])


def measure(rows: pd.DataFrame) -> Estimate:
    """What is read from the rows of one cell."""
    return scores.detection(rows) if rows["format"].iloc[0] == "judge" else scores.accuracy(rows)


def read(cells: Mapping[str, Cell], cell: str) -> Estimate:
    """What is read from a cell; nan if it was not asked."""
    return cells[cell].read if cell in cells else NOT_MEASURED


def format_of(cell: str) -> str:
    return cell.split("/")[1].removesuffix(NAME_FIRST)


def words_of(cell: str) -> str:
    """forward/choice as words; judging with what it is read by."""
    return cell.replace("/judge", " judge (AUC)").replace("/", " ")


def reverse_of(cells: Mapping[str, Cell], format: str) -> list[str]:
    """The reverse cells of a format that were asked."""
    return [cell for cell in cells if cell.startswith("reverse/") and format_of(cell) == format]


def main_table(evidence: Evidence, populations: Sequence[str] = POPULATIONS) -> pd.DataFrame:
    """One row per variant, population and primary cell, in order: value (what the cell is read by) with its
    intervals, accuracy, share right in every order of the options, chance, taught (whether the variant's
    novel people are taught in it)."""
    return table_of(split(evidence.answers), evidence, populations)


def table_of(found: Split, evidence: Evidence, populations: Sequence[str] = POPULATIONS) -> pd.DataFrame:
    """`main_table` of answers that are split already."""
    rows = []
    for variant in evidence.variants:
        for population in populations:
            for name, cell in of(found, variant, population).items():
                row = {"variant": variant, "population": population, "cell": name}
                row |= scores.columns_of(cell.read) | {"chance": cell.chance}
                row["accuracy"] = cell.rows["correct"].mean()
                every = (cell.rows["all_orders"] == 1).mean() if cell.format == "choice" else np.nan
                rows.append(row | {"all_orders": every, "taught": _is_taught(evidence, variant, name)})
    return pd.DataFrame(rows)


def _is_taught(evidence: Evidence, variant: str, cell: str) -> bool:
    """Whether the variant's novel people are taught in the cell: in a forward choice in one of its orders, in
    a reverse one in both."""
    name = cell.removesuffix(NAME_FIRST)
    names_first = bool(evidence.lesson(variant).get("names_first"))
    own_order = name != "forward/choice" or (name != cell) == names_first
    return own_order and name in evidence.taught.get(variant, ())
