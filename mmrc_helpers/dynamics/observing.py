"""What is seen along an answer: how probable its tokens are, what is likeliest instead, how sure a model is.
Long answers are seen in pieces, so that their distributions are never all in memory."""

from collections.abc import Callable, Sequence

import torch

from mmrc_helpers.models import score
from mmrc_helpers.models.encode import Encoder


def observed(
    forward: Callable,
    dtype: torch.dtype,
    encoder: Encoder,
    requests: Sequence[score.Request],
    batch: int,
    device: torch.device,
) -> list[dict]:
    """`observe` of every request; arguments as of `score.answer_batches`."""
    pieces: list[list[dict]] = [[] for _ in requests]
    for numbers, *tensors in score.answer_batches(forward, dtype, encoder, requests, batch, device):
        for number, row in zip(numbers, observe(*tensors), strict=True):
            if row["tokens"]:  # else the answer does not reach into this piece
                pieces[number].append(row)
    return [_joined(rows) for rows in pieces]


def _joined(pieces: Sequence[dict]) -> dict:
    """The row of a whole answer from those of its pieces: sums add up, means count by their tokens."""
    if len(pieces) == 1:
        return pieces[0]
    tokens = sum(row["tokens"] for row in pieces)

    def of(name: str) -> float:
        if name == "logp_peak":
            return max(row[name] for row in pieces)
        if name.endswith("_mean"):
            return sum(row[name] * row["tokens"] for row in pieces) / tokens
        return sum(row[name] for row in pieces)

    return {name: of(name) for name in pieces[0]}


def observe(logp_RDV: torch.Tensor, target_RD: torch.Tensor, real_RD: torch.Tensor) -> list[dict]:
    """What the table "logprobs" says about every request, from the distributions along its answer.

    With pi the distribution before an answer token y and e its one-hot vector: sum, mean and highest of
    log pi(y); sums of log pi(argmax) and of log(1 - pi(argmax)); means of the entropy (nats), of 1 - pi(y)
    and of |pi - e|, the length of the loss's residual (Ren and Sutherland, arXiv 2407.10490).
    """
    logp_RD = score.of_targets(logp_RDV, target_RD)
    top_RD, argmax_RD = logp_RDV.max(-1)
    others_RDV = logp_RDV.scatter(2, argmax_RD[..., None], -torch.inf)
    pi_RDV = logp_RDV.exp()
    entropy_RD = -(pi_RDV * logp_RDV).sum(-1)
    one_R1D = torch.ones_like(target_RD[..., None], dtype=pi_RDV.dtype)
    residual_RD = pi_RDV.scatter_add(2, target_RD[..., None], -one_R1D).norm(dim=-1)
    tokens_R = real_RD.sum(1)

    def total(values_RD):
        return torch.where(real_RD, values_RD, 0.0).double().sum(1)

    columns = {
        "tokens": tokens_R,
        "logp_sum": total(logp_RD),
        "logp_mean": total(logp_RD) / tokens_R,
        "logp_peak": logp_RD.masked_fill(~real_RD, -torch.inf).max(1).values,
        "argmax_logp_sum": total(top_RD),
        "log1m_argmax_sum": total(others_RDV.logsumexp(-1)),  # exact where pi(argmax) rounds to one
        "entropy_mean": total(entropy_RD) / tokens_R,
        "one_minus_p_mean": total(-torch.expm1(logp_RD)) / tokens_R,
        "residual_norm_mean": total(residual_RD) / tokens_R,
    }
    lists = [values.tolist() for values in columns.values()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]
