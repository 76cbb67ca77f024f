"""Log-probabilities of given answers, many in one forward pass; evaluation and probes share them.

Letters: B rows of a batch, T tokens, K of them kept, R requests in it, D answer tokens (padded on the left),
V words of the vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmrc_helpers.models.encode import Encoder, Tokens
from mmrc_helpers.tasks.example import Turn

PIECE = 1 << 28  # log-probabilities that are made at once: 1 GB
# Neighbours grow from one stem if that is a third of the next, up to a row thrice as long as the longest.
SHARE, LONGER = 3, 3
Request = tuple[tuple[Turn, ...], str]  # a conversation up to the assistant's turn, and what it may say


@dataclass(frozen=True)
class _Fork:
    """A stretch of a tree's row: it sees the stem, itself and some stretches between. place: of its first
    token in its own conversation."""

    start: int
    length: int
    place: int
    sees: tuple[slice, ...]


@dataclass(frozen=True)
class _Tree:
    """Conversations that begin alike, with their answers, in a row. The beginning (stem) is read once. Behind
    it comes the rest of each conversation but for its last token; then, of each, that token and, branching
    off behind it, all but the last token of every answer."""

    row: Tokens
    stem: int  # tokens
    kept: int  # tokens at the end of the row that answers follow, or that are of answers
    forks: tuple[_Fork, ...]
    requests: tuple[int, ...]
    places: tuple[list[int], ...]  # of each request: the tokens whose successors are its answer
    rows: int  # how many rows of its longest conversation alone hold as many tokens


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
    piece of D after the other, each with all requests. A conversation is read once, however many
    answers it gets: they branch off behind it, blind to each other; and so do conversations about the same
    pictures from what they begin with, if that holds all of them. dtype: of the model's weights.
    """
    answers = [encoder.answer_ids(text) + [encoder.end] * ends for _, text in requests]
    asked: dict[tuple[Turn, ...], list[int]] = {}  # a conversation and its requests
    for number, (turns, _) in enumerate(requests):
        asked.setdefault(turns, []).append(number)
    prompts = encoder.tokens(list(asked), complete=False)
    seen: dict[tuple[str, ...], int] = {}  # questions about the same pictures become neighbours
    told = sorted(zip(prompts, asked.values(), strict=True),
                  key=lambda one: seen.setdefault(one[0].pictures, len(seen)))  # fmt: skip
    trees = [_tree(stem, group, answers) for stem, group in _grouped(told, answers, encoder.image, batch)]
    for part in _passes(trees, batch):
        inputs = encoder.batch([tree.row for tree in part], left=True)
        width = inputs["input_ids"].shape[1]
        inputs["attention_mask"] = _branched(part, inputs["position_ids"], width).to(dtype)
        inputs = to_device(inputs, device)
        inputs.pop("labels")
        keep = max(tree.kept for tree in part)
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


Told = tuple[Tokens, Sequence[int]]  # a conversation and its requests


def _grouped(
    told: Sequence[Told], answers: Sequence[Sequence[int]], image: int, most: int
) -> Iterator[tuple[int, list[Told]]]:
    """Neighbours that are read as one tree, at most so many, with the length of their stem: it ends behind
    all pictures, and before the last token of each."""
    group: list[Told] = []
    stem, sizes = 0, []
    for prompt, numbers in told:
        branches = {tuple(answers[number][:-1]) for number in numbers}
        sizes.append(len(prompt.ids_T) + sum(map(len, branches)))
        shared = _shared(group[0][0], prompt, stem, image) if 0 < len(group) < most else 0
        together = shared + sum(size - shared for size in sizes)
        if SHARE * shared >= len(prompt.ids_T) and together <= LONGER * max(sizes):
            stem = shared
        else:
            if group:
                yield stem, group
            group, stem, sizes = [], len(prompt.ids_T) - 1, sizes[-1:]
        group.append((prompt, numbers))
    if group:
        yield stem, group


def _shared(first: Tokens, other: Tokens, most: int, image: int) -> int:
    """With how many tokens, at most so many, both begin; 0 if not all pictures are among them."""
    if first.pictures != other.pictures:
        return 0
    most = min(most, len(other.ids_T) - 1)
    differ = np.flatnonzero(first.ids_T[:most] != other.ids_T[:most])
    shared = int(differ[0]) if len(differ) else most
    return 0 if (first.ids_T[shared:] == image).any() else shared


def _tree(stem: int, group: Sequence[Told], answers: Sequence[Sequence[int]]) -> _Tree:
    """The row that reads a group's conversations and all their answers."""
    pieces, forks, places, end = [group[0][0].ids_T[:stem]], [], {}, stem

    def fork(ids_T: np.ndarray, place: int, *sees: slice) -> slice:
        nonlocal end
        start, end = end, end + len(ids_T)
        pieces.append(ids_T)
        forks.append(_Fork(start, len(ids_T), place, sees))
        return slice(start, end)

    bodies = [fork(prompt.ids_T[stem:-1], stem) for prompt, _ in group]
    kept, longest = end, 0
    for (prompt, numbers), body in zip(group, bodies, strict=True):
        last = fork(prompt.ids_T[-1:], len(prompt.ids_T) - 1, body)
        starts: dict[tuple[int, ...], int] = {}
        for number in numbers:
            branch = tuple(answers[number][:-1])
            if branch not in starts:
                ids_T = np.array(branch, dtype=prompt.ids_T.dtype)
                starts[branch] = fork(ids_T, len(prompt.ids_T), body, last).start
            first = starts[branch]
            places[number] = [last.start, *range(first, first + len(branch))]
        longest = max(longest, len(prompt.ids_T) + sum(map(len, starts)))
    ids_T = np.concatenate(pieces)
    row = Tokens(ids_T, np.zeros(len(ids_T), dtype=bool), group[0][0].pictures)
    own = tuple(fork for fork in forks if fork.length)
    return _Tree(row, stem, end - kept, own, tuple(places), tuple(places.values()), -(-end // longest))


def _passes(trees: Iterable[_Tree], batch: int) -> Iterator[list[_Tree]]:
    """The trees from short to long, so that passes hold little padding, in each the room of at most so many
    rows."""
    part: list[_Tree] = []
    for tree in sorted(trees, key=lambda tree: len(tree.row.ids_T)):
        if part and sum(other.rows for other in part) + tree.rows > batch:
            yield part
            part = []
        part.append(tree)
    if part:
        yield part


def _branched(trees: Sequence[_Tree], positions: torch.Tensor, width: int) -> torch.Tensor:
    """The additive attention mask, (B, 1, T, T), under which a stretch sees its own conversation; moves every
    stretch's positions (BT, or 3BT), in place, to where it stands in that."""
    sees_BTT = np.tri(width, dtype=bool)[None].repeat(len(trees), 0)
    back_BT = np.zeros((len(trees), width), dtype=np.int64)
    for sees_TT, back_T, tree in zip(sees_BTT, back_BT, trees, strict=True):
        padding = width - len(tree.row.ids_T)
        sees_TT[:, :padding] = False
        real_TT = sees_TT[padding:, padding:]
        for fork in tree.forks:
            own = slice(fork.start, fork.start + fork.length)
            real_TT[own, tree.stem : fork.start] = False
            for other in fork.sees:
                real_TT[own, other] = True
            back_T[padding + fork.start : padding + own.stop] = fork.start - fork.place
    positions -= torch.from_numpy(back_BT)
    return torch.where(torch.from_numpy(sees_BTT), 0.0, torch.finfo(torch.float16).min)[:, None]


def of_targets(logp_RDV: torch.Tensor, target_RD: torch.Tensor) -> torch.Tensor:
    """The values of the target tokens, (R, D)."""
    return logp_RDV.gather(2, target_RD[..., None])[..., 0]


def to_device(batch: Mapping, device: torch.device) -> dict:
    """Tensors of a batch on the device; precomputed features are there already."""
    return {
        name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()
    }
