"""Log-probabilities of given answers, many in one forward pass; evaluation and probes share them.

Letters: B rows of a batch, R requests in it, D answer tokens (padded on the left), V words of the vocabulary.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from mmrc_helpers.batches import Encoder, Tokens
from mmrc_helpers.records import Example

Request = tuple[list[dict], str]  # a conversation up to the assistant's turn, and what the assistant may say


@torch.no_grad()
def answer_batches(
    model: Callable, encoder: Encoder, requests: Sequence[Request], batch: int, device: torch.device
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Teacher-forced distributions along the answers, without the end of the turn.

    Yields for every forward pass of `batch` rows: the places of its requests in `requests`, logp_RDV in
    float32, target_RD (token ids) and real_RD (false where a shorter answer is padded). Requests that share a
    conversation and all answer tokens but the last share one row.
    """
    encode = encoder.processor.tokenizer.encode
    answers = [encode(text, add_special_tokens=False) for _, text in requests]
    rows: dict[str, tuple[list, list]] = {}  # what is read → the conversation and its requests
    for number, ((chat, _), answer) in enumerate(zip(requests, answers, strict=True)):
        rows.setdefault(repr((chat, answer[:-1])), (chat, []))[1].append(number)
    prompts = encoder.tokens([chat for chat, _ in rows.values()], complete=False)
    owners = [numbers for _, numbers in rows.values()]
    read = [_extended(row, answers[numbers[0]][:-1]) for row, numbers in zip(prompts, owners, strict=True)]
    for first in range(0, len(read), batch):
        part = slice(first, first + batch)
        numbers = [number for owned in owners[part] for number in owned]
        depth = max(len(answers[number]) for number in numbers)
        target_RD = torch.zeros(len(numbers), depth, dtype=torch.long)
        real_RD = torch.zeros(len(numbers), depth, dtype=torch.bool)
        for r, number in enumerate(numbers):
            target_RD[r, depth - len(answers[number]) :] = torch.tensor(answers[number])
            real_RD[r, depth - len(answers[number]) :] = True
        inputs = to_device(encoder.batch(read[part], left=True), device)
        inputs.pop("labels")
        logits_BDV = model(**inputs, logits_to_keep=depth, use_cache=False).logits
        row_R = torch.tensor([b for b, owned in enumerate(owners[part]) for _ in owned], device=device)
        logp_RDV = logits_BDV.float().log_softmax(-1)[row_R]
        yield numbers, logp_RDV, target_RD.to(device), real_RD.to(device)


def of_targets(logp_RDV: torch.Tensor, target_RD: torch.Tensor) -> torch.Tensor:
    """The values of the target tokens, (R, D)."""
    return logp_RDV.gather(2, target_RD[..., None])[..., 0]


def is_lineup(example: Example) -> bool:
    """Whether the example asks which of several pictures shows a named person."""
    return example.topic == "identity" and example.cell == "reverse/choice"


def lineup_requests(
    encoder: Encoder, example: Example, question: str, called: Callable[[str], str], twin: bool
) -> list[Request]:
    """The storage probe of a line-up: every picture is asked who it shows, answered by every name.

    question: asks a picture for its name. called: the name of a group. Pictures vary slowest.
    """
    requests = []
    for name in example.images:
        part = encoder.describe(name) if twin else {"type": "image", "image": name}
        chat = [{"role": "user", "content": [part, {"type": "text", "text": question}]}]
        requests += [(chat, f"This is {called(group)}.") for group in example.choice_groups]
    return requests


def bindings(logprobs: Sequence[float], example: Example) -> np.ndarray:
    """log p(name | picture k), less its mean over the names in the line-up, for the example's own name.

    logprobs: of `lineup_requests`. The subtraction removes what a picture does to every name, so that the
    largest value says which picture the model binds to the name.
    """
    table = np.reshape(logprobs, (len(example.images), -1))  # picture x name
    return table[:, example.choice_groups.index(example.group)] - np.log(np.exp(table).mean(1))


def to_device(batch: Mapping, device: torch.device) -> dict:
    """Tensors of a batch on the device; precomputed features are there already."""
    return {
        name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()
    }


def _extended(row: Tokens, extra: Sequence[int]) -> Tokens:
    ids = np.concatenate([row.ids_T, np.array(extra, dtype=row.ids_T.dtype)])
    return Tokens(ids, np.zeros(len(ids), dtype=bool), row.pictures)
