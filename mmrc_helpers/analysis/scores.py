"""Answers become tidy tables: one row per cell of the experiment, with intervals over persons.

Persons are the unit: several answers of one person are one cluster. Novel people differ between seeds, so
their cluster is (seed, group); background people are the same in every seed, so theirs is the group alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from mmrc_helpers.analysis import intervals
from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files
from mmrc_helpers.tasks.records import CELLS

DIRECTIONS = ("forward", "reverse")
POPULATIONS = ("novel", "two_way", "background")  # two_way: novel people taught in every cell
CELL = ["population", "topic", "direction", "format", "order", "distractors", "drop"]


def read_answers(folder: Path, variant: str, seed: int) -> pd.DataFrame:
    """The answers of one evaluation folder, one row per question and drop, with `variant`, `seed`, `person`
    (the cluster) and `correct` (the primary score: text for free answers, log-probability otherwise) added.

    Raises UserError if the folder holds no answers.
    """
    answers = pd.DataFrame(files.read_jsonl(Path(folder) / "answers.jsonl"))
    if answers.empty:
        raise UserError(f"{folder}: no answers in answers.jsonl; evaluate again: --redo eval")
    return prepare(answers, variant, seed)


def prepare(answers: pd.DataFrame, variant: str, seed: int) -> pd.DataFrame:
    """Answers as evaluation wrote them, with the columns that every table needs."""
    novel = answers["population"] == "novel"
    both_ways = novel & answers["two_way"].astype(bool)
    population = answers["population"].mask(both_ways, "two_way")
    person = np.where(novel, f"{seed}/" + answers["group"], answers["group"])
    correct = np.where(
        answers["format"] == "free", answers["correct_text"], answers["correct_logprob"]
    ).astype(float)
    return answers.assign(variant=variant, seed=seed, population=population, person=person, correct=correct)


def pick(answers: pd.DataFrame, **wanted) -> pd.DataFrame:
    """Rows whose columns equal the wanted values; without a wanted `drop` or `topic`, undropped questions of
    identity.

    order and distractors left out mean the primary condition: the first of image_first, name_first and of
    random, matched that was asked.
    """
    wanted = {"drop": "none", "topic": "identity"} | wanted
    found = answers
    for column, value in wanted.items():
        found = found[found[column] == value]
    for column, first in (("order", "image_first"), ("distractors", "random")):
        choice = found["format"] == "choice"
        if column not in wanted and (found.loc[choice, column] == first).any():
            found = found[~choice | (found[column] == first)]
    return found


def score(answers: pd.DataFrame, by_seed: bool = False) -> pd.DataFrame:
    """Accuracy of every cell with its 95 % interval over persons, seeds pooled unless by_seed.

    Columns: variant, (seed,) the cell, n, people, accuracy, low, high, accuracy_text, accuracy_logprob,
    validity, chance, largest_share (of one letter, verdict or free answer), gold_probability.
    """
    keys = ["variant", *(["seed"] if by_seed else []), *CELL]
    rows = []
    for key, cell in answers.groupby(keys, sort=False, dropna=False):
        accuracy, low, high = intervals.mean_interval(cell["correct"], cell["person"])
        rows.append(
            dict(zip(keys, key, strict=True))
            | {
                "n": len(cell),
                "people": cell["person"].nunique(),
                "accuracy": accuracy,
                "low": low,
                "high": high,
                "accuracy_text": cell["correct_text"].mean(),
                "accuracy_logprob": cell["correct_logprob"].mean(),
                "validity": (cell["parsed"] != "invalid").mean(),
                "chance": chance(cell),
                "largest_share": picked_shares(cell).max(),
                "gold_probability": cell["p_gold"].mean(),
            }
        )
    return pd.DataFrame(rows, columns=None if rows else [*keys, "n", "people", "accuracy", "low", "high"])


def chance(cell: pd.DataFrame) -> float:
    """Accuracy of a guesser: one of the options shown; for a free name, one of the names asked for."""
    if cell.empty:
        return np.nan
    first = cell.iloc[0]
    if first["direction"] == "forward" and first["format"] == "free":
        return 1 / cell["answer"].nunique()
    return float((1 / cell["choices"].map(len)).mean())


def picked_shares(cell: pd.DataFrame) -> pd.Series:
    """Share of each letter, verdict or free answer among all that the model favoured, over all option
    orders."""
    favoured = cell["parsed"] if cell.empty or cell.iloc[0]["format"] == "free" else cell["picks"].explode()
    return favoured.value_counts(normalize=True)


def answer_shares(answers: pd.DataFrame) -> pd.DataFrame:
    """How often each letter and verdict was favoured, per variant, population, direction and format: columns
    pick, share, even (the share of each when all are favoured alike)."""
    asked = answers[(answers["drop"] == "none") & (answers["topic"] == "identity")]
    keys = ["variant", "population", "direction", "format"]
    rows = [
        dict(zip(keys, key, strict=True)) | {"pick": name, "share": share, "even": chance(cell)}
        for key, cell in asked[asked["format"] != "free"].groupby(keys, sort=False)
        for name, share in picked_shares(cell).sort_index().items()
    ]
    return pd.DataFrame(rows, columns=[*keys, "pick", "share", "even"])


def judges(answers: pd.DataFrame) -> pd.DataFrame:
    """Judging as detection: tpr, fpr, separation (tpr − fpr), auc, share_right, accuracy with interval, per
    cell."""
    asked = answers[(answers["drop"] == "none") & (answers["format"] == "judge")]
    keys = ["variant", "population", "direction"]
    rows = []
    for key, cell in asked.groupby(keys, sort=False):
        right = np.exp(cell["logprobs"].map(lambda pair: pair[0]).to_numpy(float))
        match = (cell["gold"] == 0).to_numpy()
        says = right > 0.5
        tpr, fpr = (says[part].mean() if part.any() else np.nan for part in (match, ~match))
        accuracy, low, high = intervals.mean_interval(cell["correct"], cell["person"])
        rows.append(
            dict(zip(keys, key, strict=True))
            | {
                "n": len(cell),
                "people": cell["person"].nunique(),
                "accuracy": accuracy,
                "low": low,
                "high": high,
            }
            | {
                "tpr": tpr,
                "fpr": fpr,
                "separation": tpr - fpr,
                "auc": auc(right, match),
                "share_right": says.mean(),
            }
        )
    columns = [
        *keys,
        "n",
        "people",
        "accuracy",
        "low",
        "high",
        "tpr",
        "fpr",
        "separation",
        "auc",
        "share_right",
    ]
    return pd.DataFrame(rows, columns=columns)


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Chance that a positive outscores a negative, ties counting half (Mann and Whitney 1947); nan without
    both."""
    positive = np.asarray(positive, dtype=bool)
    yes, no = positive.sum(), (~positive).sum()
    if not yes or not no:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def storage(answers: pd.DataFrame) -> pd.DataFrame:
    """Stored against reachable on the very same reverse choices, per variant and population.

    storage: the right picture gives the name its highest prior-corrected log-probability. access: the choice
    is right. The four shares (stored_reached … neither) are of the questions; they sum to 1. Intervals are
    over persons.
    """
    asked = pick(answers, direction="reverse", format="choice")
    asked = asked[asked["storage_correct"].notna()]
    rows = []
    for (variant, population), cell in asked.groupby(["variant", "population"], sort=False):
        stored, reached = cell["storage_correct"].astype(bool), cell["correct"] > 0
        row = {
            "variant": variant,
            "population": population,
            "n": len(cell),
            "people": cell["person"].nunique(),
        }
        for name, values in (
            ("storage", stored),
            ("access", reached),
            ("stored_unreached", stored & ~reached),
        ):
            row[name], row[f"{name}_low"], row[f"{name}_high"] = intervals.mean_interval(
                values, cell["person"]
            )
        row["stored_reached"] = (stored & reached).mean()
        row["unstored_reached"] = (~stored & reached).mean()
        row["neither"] = (~stored & ~reached).mean()
        rows.append(row | {"chance": chance(cell)})
    return pd.DataFrame(rows)


def per_person(answers: pd.DataFrame) -> pd.DataFrame:
    """Mean score of each person in each primary cell: index (variant, population, person), columns
    direction/format."""
    asked = pick(answers)
    cell = asked["direction"] + "/" + asked["format"]
    table = asked.assign(cell=cell).pivot_table(
        index=["variant", "population", "person"], columns="cell", values="correct", aggfunc="mean"
    )
    return table.reindex(columns=[c for c in CELLS if c in table.columns])


def consistency(answers: pd.DataFrame, format: str = "choice") -> pd.DataFrame:
    """Persons right in both directions of a format, in one only, or in none (shares per variant, population).

    A person is right in a cell when at least half of the answers are.
    """
    right = _both_directions(answers, format) >= 0.5
    f, r = right["forward"], right["reverse"]
    sides = {"both": f & r, "forward_only": f & ~r, "reverse_only": ~f & r, "neither": ~f & ~r}
    grouped = pd.DataFrame(sides, index=right.index).groupby(["variant", "population"], sort=False)
    return grouped.mean().assign(people=grouped.size()).reset_index()


def gaps(answers: pd.DataFrame, format: str = "choice") -> pd.DataFrame:
    """Forward minus reverse accuracy within a format, paired by person: gap, low, high per variant,
    population."""
    both = _both_directions(answers, format)
    rows = []
    for (variant, population), part in both.groupby(["variant", "population"], sort=False):
        gap, low, high = intervals.paired_interval(part["forward"] - part["reverse"])
        row = {"variant": variant, "population": population, "people": len(part)}
        rows.append(row | {"gap": gap, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["variant", "population", "people", "gap", "low", "high"])


def _both_directions(answers: pd.DataFrame, format: str) -> pd.DataFrame:
    """Mean scores `forward` and `reverse` of each person who was asked in both directions of a format."""
    people = per_person(answers).reindex(columns=[f"{direction}/{format}" for direction in DIRECTIONS])
    return people.set_axis(DIRECTIONS, axis=1).dropna()


def drops(scores: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of novel people in the primary cells, whole and with a part destroyed: columns none, image,
    text, chance. Empty when nothing was dropped."""
    kinds = [kind for kind in ("none", "image", "text") if (scores["drop"] == kind).any()]
    asked = pd.concat([pick(scores, population="novel", drop=kind) for kind in kinds])
    keys = ["variant", "direction", "format"]
    table = asked.pivot_table(index=keys, columns="drop", values="accuracy", sort=False).reindex(
        columns=kinds
    )
    whole = table.join(asked[asked["drop"] == "none"].set_index(keys)["chance"]).reset_index()
    return whole if len(kinds) > 1 else whole.iloc[:0]


def matrix(scores: pd.DataFrame, trained: Mapping[str, str], population: str = "novel") -> pd.DataFrame:
    """Transfer: rows trained cells (`trained` maps variant → what it was taught), columns tested cells,
    accuracies."""
    asked = primary(scores)
    asked = asked[(asked["population"] == population) & asked["variant"].isin(trained)]
    table = asked.assign(
        trained=asked["variant"].map(dict(trained)), cell=asked["direction"] + "/" + asked["format"]
    )
    table = table.pivot_table(index="trained", columns="cell", values="accuracy", sort=False)
    return table.reindex(
        index=list(dict.fromkeys(trained.values())), columns=[c for c in CELLS if c in table.columns]
    )


def primary(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores that the main figure shows: identity questions, undropped, primary order and distractors."""
    return pick(scores).reset_index(drop=True)


def exposure(records: Iterable[Mapping]) -> pd.DataFrame:
    """Training exposure per variant (means over seeds): rows, supervised tokens, of them novel, replay share.

    records: the contents of exposure.json with `variant` and `seed` added. Phases of one run are summed.
    """
    table = pd.DataFrame(records)
    if table.empty:
        return table
    counts = ["rows", "supervised_tokens", "novel_supervised_tokens"]
    table["replayed"] = table["replay_share"] * table["rows"]
    runs = table.groupby(["variant", "seed"], sort=False)[[*counts, "replayed"]].sum()
    means = runs.groupby("variant", sort=False).mean()
    replay_share = means.pop("replayed") / means["rows"]
    return means.round().astype(int).assign(replay_share=replay_share).reset_index()
