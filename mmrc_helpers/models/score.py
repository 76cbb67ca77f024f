"""Log-probabilities of given answers, many in one forward pass; evaluation and probes share them.

Letters: B rows of a batch, T tokens, K of them kept, R requests in it, D answer tokens (padded on the left),
V words of the vocabulary.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmrc_helpers.models.encode import Encoder, Tokens
from mmrc_helpers.tasks.example import Turn

PIECE = 1 << 28  # log-probabilities that are made at once: 1 GB
Request = tuple[tuple[Turn, ...], str]  # a conversation up to the assistant's turn, and what it may say


@dataclass(frozen=True)
class _Tree:
    """A conversation read once, with all but the last token of every answer as branches behind it."""

    row: Tokens
    prompt: int  # tokens of the conversation
    branches: tuple[tuple[int, int], ...]  # first token, behind the prompt, and length
    requests: tuple[int, ...]
    places: tuple[list[int], ...]  # of each request: the tokens whose successors are its answer


@torch.no_grad()
def answer_batches(
    model: Callable,
    dtype: torch.dtype,
    encoder: Encoder,
    requests: Sequence[Request],
    batch: int,
    device: torch.device,
    ends: bool = False,
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Teacher-forced distributions along the answers, with `ends` also at the end of the turn behind them.

    Yields for every forward pass of `batch` rows: the places of its requests in `requests`, logp_RDV in
    float32, target_RD (token ids) and real_RD (false where a shorter answer is padded); of long answers one
    piece of D after the other, each with all requests. A conversation is read once, however many answers it
    gets: they branch off behind it, blind to each other. dtype: of the model's weights.
    """
    answers = [encoder.answer_ids(text) + [encoder.end] * ends for _, text in requests]
    asked: dict[tuple[Turn, ...], list[int]] = {}  # a conversation and its requests
    for number, (turns, _) in enumerate(requests):
        asked.setdefault(turns, []).append(number)
    prompts = encoder.tokens(list(asked), complete=False)
    trees = [_tree(row, numbers, answers) for row, numbers in zip(prompts, asked.values(), strict=True)]
    for first in range(0, len(trees), batch):
        part = trees[first : first + batch]
        inputs = encoder.batch([tree.row for tree in part], left=True)
        width = inputs["input_ids"].shape[1]
        inputs["attention_mask"] = _branched(part, inputs["position_ids"], width).to(dtype)
        inputs = to_device(inputs, device)
        inputs.pop("labels")
        keep = 1 + max(len(tree.row.ids_T) - tree.prompt for tree in part)
        logits_BKV = model(**inputs, logits_to_keep=keep, use_cache=False).logits
        numbers = [number for tree in part for number in tree.requests]
        depth = max(len(answers[number]) for number in numbers)
        target_RD = torch.zeros(len(numbers), depth, dtype=torch.long)
        place_RD = torch.zeros_like(target_RD)
        real_RD = torch.zeros_like(target_RD, dtype=torch.bool)
        places = [
            [place - len(tree.row.ids_T) + keep for place in found] for tree in part for found in tree.places
        ]
        for r, (number, found) in enumerate(zip(numbers, places, strict=True)):
            own = slice(depth - len(found), depth)
            target_RD[r, own], place_RD[r, own] = torch.tensor(answers[number]), torch.tensor(found)
            real_RD[r, own] = True
        row_R1 = torch.tensor([[b] for b, tree in enumerate(part) for _ in tree.requests]).to(device)
        width = max(1, PIECE // (len(numbers) * logits_BKV.shape[2]))
        for start in range(0, depth, width):
            own = slice(start, start + width)
            logp_RDV = logits_BKV[row_R1, place_RD[:, own].to(device)].float().log_softmax(-1)
            yield numbers, logp_RDV, target_RD[:, own].to(device), real_RD[:, own].to(device)


def _tree(prompt: Tokens, numbers: Sequence[int], answers: Sequence[Sequence[int]]) -> _Tree:
    """The row that reads a conversation and all its answers."""
    size, extra, starts, places = len(prompt.ids_T), [], {}, []
    for number in numbers:
        branch = tuple(answers[number][:-1])
        if branch not in starts:
            starts[branch] = len(extra)
            extra += branch
        first = size + starts[branch]
        places.append([size - 1, *range(first, first + len(branch))])
    ids_T = np.concatenate([prompt.ids_T, np.array(extra, dtype=prompt.ids_T.dtype)])
    row = Tokens(ids_T, np.zeros(len(ids_T), dtype=bool), prompt.pictures)
    branches = tuple((start, len(branch)) for branch, start in starts.items() if branch)
    return _Tree(row, size, branches, tuple(numbers), tuple(places))


def _branched(trees: Sequence[_Tree], positions: torch.Tensor, width: int) -> torch.Tensor:
    """The additive attention mask, (B, 1, T, T), under which a branch sees the conversation and itself; moves
    every branch's positions (BT, or 3BT), in place, to right behind the conversation."""
    sees_BTT = torch.ones(len(trees), width, width, dtype=torch.bool).tril()
    for b, tree in enumerate(trees):
        padding = width - len(tree.row.ids_T)
        sees_BTT[b, :, :padding] = False
        behind = padding + tree.prompt
        for start, length in tree.branches:
            own = slice(behind + start, behind + start + length)
            sees_BTT[b, own, behind : behind + start] = False
            positions[..., b, own] -= start
    return torch.where(sees_BTT, 0.0, torch.finfo(torch.float16).min)[:, None]


def of_targets(logp_RDV: torch.Tensor, target_RD: torch.Tensor) -> torch.Tensor:
    """The values of the target tokens, (R, D)."""
    return logp_RDV.gather(2, target_RD[..., None])[..., 0]


def to_device(batch: Mapping, device: torch.device) -> dict:
    """Tensors of a batch on the device; precomputed features are there already."""
    return {
        name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()
    }
