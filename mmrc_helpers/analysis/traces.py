"""The traces that probing leaves in `dynamics/`, as tables, and the squeezing index read from them.

On disk `step` and `supervised_tokens` (of novel facts) count from the beginning of the phase; `read_run` lets
them go on. The last probe of a phase and the first of the next are the same model.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

POINT = ("step", "supervised_tokens", "phase")
COLUMNS = {
    "logprobs": (*POINT, "id", "group", "population", "topic", "direction", "format", "order", "candidate",
                 "tokens", "logp_sum", "logp_mean", "logp_peak", "argmax_logp_sum", "log1m_argmax_sum",
                 "entropy_mean", "one_minus_p_mean", "residual_norm_mean"),
    "storage": (*POINT, "id", "group", "population", "correct", "margin"),
    "gradients": (*POINT, "layer", "preconditioner", "left", "right", "inner", "cosine", "transfer"),
}  # fmt: skip
CELL = ["population", "direction", "format"]


def read_traces(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables "logprobs", "storage" and "gradients" of one folder of `stages.traces_folders`; a table that
    was not made is empty, with its columns."""
    return {
        name: pd.read_parquet(path) if (path := table_path(folder, name)).is_file() else _empty(name)
        for name in COLUMNS
    }


def read_run(folders: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """The tables of all phases of a run, one below the other; steps and tokens of a later phase go on where
    the one before ended, which its last probe point tells. folders: `stages.traces_folders`."""
    ended = {"step": 0, "supervised_tokens": 0}
    found: dict[str, list] = {name: [] for name in COLUMNS}
    for folder in folders:
        tables = read_traces(folder)
        for name, table in tables.items():
            if len(table):
                found[name].append(table.assign(**{count: table[count] + ended[count] for count in ended}))
        ended = {count: ended[count] + int(tables["logprobs"][count].max()) for count in ended}
    return {
        name: pd.concat(parts, ignore_index=True) if parts else _empty(name) for name, parts in found.items()
    }


def table_path(folder: Path, name: str) -> Path:
    """Where the table of this name lies in a stage folder."""
    return folder / "dynamics" / f"{name}.parquet"


def squeezing(logprobs: pd.DataFrame) -> pd.DataFrame:
    """The squeezing index of every probe point and cell, from the table "logprobs".

    Ren and Sutherland (arXiv 2407.10490, section 4) find under preference training that the chosen answer y+
    and the rejected one y- both lose probability while the most likely token gains: the softmax squeezes what
    a negative gradient takes from y- into its peak. With D(t) the change, per answer token, since the first
    probe of the same phase,

        index = mean over examples of max(0, min(D argmax, -D right, -D wrong_person))      [nats per token]

    where D argmax follows the sum of log p(argmax) along the teacher-forced right answer. It is above zero
    only for examples that show the whole signature, and never larger than its weakest part.

    Columns: those of the probe point (and variant and seed, if there), population, direction, format,
    examples, argmax, right, wrong_person (mean D), index, share (of examples with the signature).
    """
    run = [name for name in ("variant", "seed") if name in logprobs]
    point, example = [*run, *POINT], [*CELL, "id"]
    right = logprobs[logprobs["candidate"] == "right"]
    table = right.set_index([*point, *example])[["logp_mean"]].rename(columns={"logp_mean": "right"})
    table["argmax"] = (right["argmax_logp_sum"] / right["tokens"]).to_numpy(dtype=float)
    wrong = logprobs[logprobs["candidate"] == "wrong_person"].set_index([*point, *example])["logp_mean"]
    table = table.join(wrong.rename("wrong_person"), how="inner").astype(float).sort_index()
    since = table - table.groupby([*run, "phase", *example]).transform("first")
    signature = np.minimum(since["argmax"], np.minimum(-since["right"], -since["wrong_person"]))
    since["index"] = signature.clip(lower=0)
    since["share"] = (signature > 0).astype(float)
    grouped = since.groupby([*point, *CELL])
    counts = grouped.size().rename("examples")
    return pd.concat([counts, grouped.mean()], axis=1).reset_index()


def _empty(name: str) -> pd.DataFrame:
    return pd.DataFrame(columns=list(COLUMNS[name]))
