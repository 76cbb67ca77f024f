"""How far a training step of a supervision also serves HARD images, from the gradients of single cells.

What is stored are inner products of the gradients of cells; a supervision's gradient is a weighted sum of its
lessons', so its products are exact sums of those, at every probe, whatever the model was trained with."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mmrc_helpers.analysis.evidence import Evidence

TARGET = "hard image"
RUN = ["variant", "seed", "phase", "step", "supervised_tokens"]
COLUMNS = [*RUN, "preconditioner", "inner", "cosine", "transfer"]


def weights(mix: Mapping[str, float], tokens: Mapping[str, float]) -> dict[str, float]:
    """Cell → its share of the loss of a mix. mix: lesson (difficulty/view) → rows. tokens: cell → tokens of
    an answer; the loss is a mean over tokens, so a row counts as many times as it has tokens."""
    named = {lesson.replace("/", " "): rows for lesson, rows in mix.items() if rows}
    parts = {cell: rows * tokens[cell] for cell, rows in named.items()}
    return {cell: part / sum(parts.values()) for cell, part in parts.items()}


def mixed(products: pd.DataFrame, shares: Mapping[str, float], target: str = TARGET) -> dict[str, float]:
    """inner, cosine and transfer of the gradient Σ shares · g with that of the target.

    products: inner products, cells × cells. transfer = <g_S, g_H> / <g_H, g_H> (arXiv 2501.02669): of the
    drop in H's loss that a small step on H brings, the share that an equal step on S brings. nan without
    a gradient.
    """
    names, share = list(shares), np.array(list(shares.values()))
    inner = float(share @ products.loc[names, target])
    own = float(share @ products.loc[names, names].to_numpy() @ share)
    goal = float(products.loc[target, target])
    cosine = inner / np.sqrt(own * goal) if own > 0 and goal > 0 else np.nan
    return {"inner": inner, "cosine": cosine, "transfer": inner / goal if goal > 0 else np.nan}


def of_supervisions(evidence: Evidence, target: str = TARGET) -> pd.DataFrame:
    """Alignment of what every variant is taught with HARD images at every probe of its own training: columns
    COLUMNS. A phase whose lessons were not all probed is left out: the rest of its mix is not known. So is a
    variant that was taught shuffled answers: the gradients are those of right ones."""
    gradients, logprobs = evidence.traced("gradients"), evidence.traced("logprobs")
    rows: list[dict] = []
    if gradients.empty or not {"difficulty", "view"} <= set(logprobs):
        return pd.DataFrame(rows, columns=COLUMNS)
    tokens = _tokens(logprobs)
    whole = gradients[gradients["layer"] == "all"]
    for key, part in whole.groupby([*RUN, "preconditioner"], sort=False):
        point = dict(zip(COLUMNS, key, strict=False))
        phases = evidence.lessons.get(point["variant"], ())
        if any(teach.get("shuffle_answers") for teach in phases):
            continue
        mix = phases[int(point["phase"]) - 1].get("mix", {}) if point["phase"] <= len(phases) else {}
        products = part.pivot_table(index="left", columns="right", values="inner", dropna=False)
        cells = {lesson.replace("/", " ") for lesson, count in mix.items() if count}
        if cells and {*cells, target} <= set(products.index) & set(tokens):
            rows.append(point | mixed(products, weights(mix, tokens), target))
    return pd.DataFrame(rows, columns=COLUMNS)


def _tokens(logprobs: pd.DataFrame) -> dict[str, float]:
    """Cell → mean tokens of its right answers."""
    right = logprobs[logprobs["candidate"] == "right"]
    return right.groupby(right["difficulty"] + " " + right["view"])["tokens"].mean().to_dict()


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """Cosine and transfer at the first and the last probe of every run, without a preconditioner: columns
    variant, seed, cosine_first, cosine_last, transfer_first, transfer_last."""
    plain = table[table["preconditioner"] == "none"].sort_values(["phase", "step"])
    grouped = plain.groupby(["variant", "seed"], sort=False)[["cosine", "transfer"]]
    found = grouped.agg(["first", "last"])
    found.columns = ["_".join(names) for names in found.columns]
    return found.reset_index()
