"""Answers become tidy tables: one row per cell with its estimate. A *cell* is a combination of facets; which
facets, and what they are called, says the finding or the world.

The clusters of all intervals are groups (facts). A group that is asked the very same in several seeds is one
cluster; one that differs from seed to seed is a cluster in each.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import intervals
from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files
from mmrc_helpers.tasks.example import shared

# The columns of answers.jsonl that are no facets, and those that are added here.
FIXED = (
    "id group split world phase two_way options how gold truth pictures question logprobs p_gold "
    "order_logprobs picks orders all_orders answer text parsed parts correct_logprob correct_text variant "
    "seed cluster correct cell"
).split()
INVALID = "invalid"


def read_answers(folder: Path, variant: str, seed: int) -> pd.DataFrame:
    """The answers of one evaluation folder, one row per question; see `prepare`.

    Raises UserError if the folder holds no answers.
    """
    each = partial(shared, known={})
    answers = pd.DataFrame(files.read_jsonl(Path(folder) / "answers.jsonl", each))
    if answers.empty:
        raise UserError(f"{folder}: no answers in answers.jsonl; evaluate again: --redo eval")
    return prepare(answers, variant, seed)


def prepare(answers: pd.DataFrame, variant: str, seed: int) -> pd.DataFrame:
    """Answers as evaluation wrote them with `variant`, `seed` and `correct`, the score that counts: lettered
    options and judgements by their log-probabilities, written answers by their text."""
    correct = np.where(written(answers), answers["correct_text"], answers["correct_logprob"]).astype(float)
    return answers.assign(variant=variant, seed=seed, correct=correct)


def written(answers: pd.DataFrame) -> pd.Series:
    """Whether each answer counts by its text: the format "free" where the world has formats, and elsewhere
    whatever has no lettered options."""
    if "format" in answers and answers["format"].notna().all():
        return answers["format"] == "free"
    unlettered = (answers["how"] == "") & (answers["answer"] != "")  # without an answer it is only compared
    if "format" not in answers:
        return unlettered
    return unlettered.where(answers["format"].isna(), answers["format"] == "free")


def join(runs: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The prepared answers of several runs below each other, with `cluster`: the group, and the seed where
    the group is asked something else in another seed."""
    answers = pd.concat(list(runs), ignore_index=True)
    asked = answers["id"] + "\n" + answers["question"] + "\n" + answers["answer"]
    columns = {"group": answers["group"], "seed": answers["seed"], "asked": asked}
    codes = pd.DataFrame({name: pd.factorize(column)[0] for name, column in columns.items()})
    found = codes.drop_duplicates().groupby("group")
    alike = found.size() == found["seed"].nunique() * found["asked"].nunique()  # everything in every seed
    own = answers["seed"].astype(str) + "/" + answers["group"]
    return answers.assign(cluster=answers["group"].where(alike.to_numpy()[codes["group"]], own))


def last_phase(answers: pd.DataFrame) -> pd.DataFrame:
    """The answers after the last phase of every run."""
    if "phase" not in answers or answers["phase"].nunique() < 2:
        return answers
    return answers[answers["phase"] == answers.groupby(["variant", "seed"])["phase"].transform("max")]


def facets(answers: pd.DataFrame) -> list[str]:
    """The columns that the world counts its answers under, in its order; those of one value are left out."""
    return [name for name in answers if name not in FIXED and answers[name].nunique(dropna=False) > 1]


def is_valid(answers: pd.DataFrame) -> pd.Series:
    """Whether each answer was parsed, and its log-probabilities are numbers: a model that overflows gives
    nan, which no option wins or loses against."""
    return (answers["parsed"] != INVALID) & answers["logprobs"].map(lambda of: not math.isnan(sum(of)))


def pick(answers: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """The rows whose columns have these values."""
    chosen = np.ones(len(answers), dtype=bool)
    for column, value in wanted.items():
        chosen &= (answers[column] == value).to_numpy()
    return answers[chosen]


def accuracy(cell: pd.DataFrame, column: str = "correct") -> intervals.Estimate:
    """The mean of a column over the rows of a cell."""
    return intervals.mean(cell[column], cell["cluster"], cell["seed"])


def detection(cell: pd.DataFrame) -> intervals.Estimate:
    """Judging as detection: the area under the curve of p(first option), which affirms. nan without options
    or without both kinds of questions."""
    affirmed = np.exp(cell["logprobs"].map(lambda logprobs: logprobs[0]).to_numpy(float))
    return intervals.auc(affirmed, cell["gold"] == 0, cell["cluster"], cell["seed"])


def score(answers: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """One row per combination of the columns `by`: how many rows, groups and seeds, accuracy with its
    intervals over seeds and groups (low, high) and over seeds alone (t_low, t_high), the seeds' values, both
    ways of scoring, how often every order of the options was right, strict validity, the chance of a guesser,
    and the largest share of one answer."""
    rows = []
    for key, cell in answers.groupby(list(by), sort=False, dropna=False):
        found = accuracy(cell)
        row = dict(zip(by, key, strict=True)) | columns_of(found, "accuracy") | {"n": len(cell)}
        row |= {name: cell[f"correct_{name}"].astype(float).mean() for name in ("text", "logprob")}
        row |= {
            "all_orders": (cell["all_orders"] == 1).mean() if (cell["orders"] > 1).any() else np.nan,
            "validity": is_valid(cell).mean(),
            "chance": chance(cell),
            "largest_share": shares(cell).max(),
        }
        rows.append(row)
    empty = [*by, *columns_of(intervals.NOT_MEASURED, "accuracy")]
    return pd.DataFrame(rows, columns=None if rows else empty)


def columns_of(found: intervals.Estimate, name: str = "value") -> dict:
    """An estimate as columns of a table."""
    return {name: found.value, "low": found.low, "high": found.high, "groups": found.groups,
            "seeds": len(found.seeds), "by_seed": found.seeds, "t_low": found.t_low, "t_high": found.t_high,
            "p_seeds": found.p_seeds}  # fmt: skip


def chance(cell: pd.DataFrame) -> float:
    """The accuracy of a guesser: one of the options that the question shows or that the answer must be one
    of; for written answers, whoever always gives the commonest right answer to such a question (`about` in
    the question's truth tells what is asked; without it all questions of the cell are alike)."""
    if cell.empty:
        return np.nan
    by_text = written(cell).to_numpy()
    told = cell[["seed", "id", "truth", "answer"]][by_text]  # few columns, of many
    options = cell["options"][~by_text]
    parts = [(_commonest(told), len(told))] if len(told) else []
    parts += [(float((1 / options.map(len)).mean()), len(options))] if len(options) else []
    return sum(share * count for share, count in parts) / len(cell)


def _commonest(told: pd.DataFrame) -> float:
    columns = (told[name].to_list() for name in ("seed", "id", "truth", "answer"))
    asked: dict[tuple, tuple] = {}
    for seed, id, truth, answer in zip(*columns, strict=True):
        asked.setdefault((seed, id), (truth, answer))
    given: dict[tuple, Counter] = {}
    for (seed, _), (truth, answer) in asked.items():
        given.setdefault((seed, truth.get("about", "")), Counter())[answer] += 1
    return sum(max(counts.values()) for counts in given.values()) / len(asked)


def shares(cell: pd.DataFrame) -> pd.Series:
    """Share of each letter, verdict or written answer among all that the model favoured, over all option
    orders."""
    favoured = cell["parsed"] if cell.empty or written(cell).iloc[0] else cell["picks"].explode()
    return favoured.value_counts(normalize=True)


def answer_shares(answers: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """How often each letter or verdict was favoured per combination of `by`: columns pick, share, even (the
    share of each when all are favoured alike)."""
    rows = [
        dict(zip(by, key, strict=True)) | {"pick": name, "share": share, "even": chance(cell)}
        for key, cell in answers.groupby(list(by), sort=False)
        if cell["answer"].iloc[0] and not written(cell).iloc[0]  # what is only compared has no letters
        for name, share in shares(cell).sort_index().items()
    ]
    return pd.DataFrame(rows, columns=[*by, "pick", "share", "even"])


def part_means(answers: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The mean of every part of the grade per combination of `by`: columns part, value, low, high, …"""
    long = answers.assign(part=answers["parts"].map(lambda parts: list(parts.items()))).explode("part")
    long = long[long["part"].notna()]
    long = long.assign(value=long["part"].str[1].astype(float), part=long["part"].str[0])
    rows = [
        dict(zip([*by, "part"], key, strict=True)) | columns_of(accuracy(cell, "value"))
        for key, cell in long.groupby([*by, "part"], sort=False, dropna=False)
    ]
    return pd.DataFrame(rows, columns=[*by, "part", *columns_of(intervals.NOT_MEASURED)])


def margins(answers: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """By how many nats the right option is more probable than the best wrong one, where options are compared,
    per combination of `by`: columns value, low, high, …"""
    known = answers[answers["logprobs"].map(len) > 1]
    wrong = [max(np.delete(of, gold)) for of, gold in zip(known["logprobs"], known["gold"], strict=True)]
    right = [of[gold] for of, gold in zip(known["logprobs"], known["gold"], strict=True)]
    known = known.assign(margin=np.subtract(right, wrong))
    rows = []
    for key, cell in known.groupby(list(by), sort=False):
        found = intervals.mean(cell["margin"], cell["cluster"], cell["seed"], share=False)
        rows.append(dict(zip(by, key, strict=True)) | columns_of(found))
    return pd.DataFrame(rows, columns=[*by, *columns_of(intervals.NOT_MEASURED)])


def calibration(answers: pd.DataFrame, by: Sequence[str], bins: int = 8) -> pd.DataFrame:
    """Whether the probability of the favoured option is the share of the right ones. One row per combination
    of `by` and bin of as many answers as any other: confidence, accuracy, low, high, n; and of the whole
    combination `ece` (the mean distance of both, weighted by n; equal bins as Nguyen and O'Connor 2015) and
    `excess` (confidence − accuracy)."""
    confidence = answers["logprobs"].map(lambda logprobs: float(np.exp(max(logprobs))))
    answers = answers.assign(confidence=confidence, right=answers["correct_logprob"].astype(float))
    rows = []
    for key, cell in answers.groupby(list(by), sort=False):
        place = ((cell["confidence"].rank() - 0.5) / len(cell) * bins).astype(int)
        part = []
        for _, found in cell.groupby(place):
            right = accuracy(found, "right")
            part.append({"confidence": found["confidence"].mean(), "accuracy": right.value, "low": right.low,
                         "high": right.high, "n": len(found)})  # fmt: skip
        ece = sum(row["n"] * abs(row["confidence"] - row["accuracy"]) for row in part) / len(cell)
        whole = {"ece": ece, "excess": cell["confidence"].mean() - cell["right"].mean()}
        rows += [dict(zip(by, key, strict=True)) | row | whole for row in part]
    return pd.DataFrame(rows, columns=[*by, "confidence", "accuracy", "low", "high", "n", "ece", "excess"])


def matched(table: pd.DataFrame, within: float = 0.02) -> str:
    """One sentence on a table of exposure: in which counts the variants are equal, and in which not."""
    counts = {"rows": "rows", "supervised_tokens": "supervised tokens", "taught_tokens": "taught tokens"}
    ends = {told: (table[name].min(), table[name].max()) for name, told in counts.items()}
    equal = [told for told, (low, high) in ends.items() if high <= low * (1 + within)]
    other = [f"{told} ({low:,} to {high:,})" for told, (low, high) in ends.items() if told not in equal]
    if not equal:
        return f"Variants differ in {' and '.join(other)}."
    told = f"Variants are equal in {' and '.join(equal)} (within {100 * within:.0f} %)"
    return f"{told}; they differ in {' and '.join(other)}." if other else f"{told}."
