"""The tables that probing leaves in a stage folder: their names, their fixed columns and where they lie."""

from pathlib import Path

POINT = ("step", "supervised_tokens", "phase")
# What every row has; rows of logprobs and storage have the facets of their world as well.
COLUMNS = {
    "logprobs": (*POINT, "id", "group", "candidate", "tokens", "logp_sum", "logp_mean", "logp_peak",
                 "argmax_logp_sum", "log1m_argmax_sum", "entropy_mean", "one_minus_p_mean",
                 "residual_norm_mean"),
    "storage": (*POINT, "id", "group", "correct", "margin"),
    "gradients": (*POINT, "layer", "preconditioner", "left", "right", "inner", "cosine", "transfer"),
}  # fmt: skip


def table_path(folder: Path, name: str) -> Path:
    """Where the table of this name lies in a stage folder."""
    return folder / "dynamics" / f"{name}.parquet"
