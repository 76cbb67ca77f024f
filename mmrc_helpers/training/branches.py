"""Answers scored behind their prompts. A prompt that several answers share is read once: they branch off
behind it, blind to each other, each at the positions it would have alone.

Letters: B rows of a forward pass, T tokens, R answers, L tokens of the longest one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from trl.trainer.utils import FusedCausalLMOutput

from mmrc_helpers.models.encode import IGNORED, Encoder, Tokens

# What TRL's head gives for every place of a row.
PER_TOKEN = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")


@dataclass(frozen=True)
class Answer:
    """The tokens of a conversation up to its last answer, those of the answer with the end of its turn, and
    the pictures."""

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    pictures: tuple[str, ...]


def last_answer(tokens: Tokens) -> Answer:
    """The last answer of a whole conversation; what a template writes behind it is left out."""
    places = np.flatnonzero(tokens.supervised_T)
    end = int(places[-1]) + 1
    gaps = np.flatnonzero(np.diff(places) > 1)
    start = int(places[gaps[-1] + 1] if len(gaps) else places[0])
    ids = tokens.ids_T.tolist()
    return Answer(tuple(ids[:start]), tuple(ids[start:end]), tokens.pictures)


def can_branch(model: torch.nn.Module) -> bool:
    """Whether every layer attends to all tokens that its mask allows, so that branches are exact. Layers with
    a window or a state would take the branch before for what was said."""
    config = model.config.get_text_config().to_dict()
    kinds = set(config.get("layer_types") or ())
    windowed = config.get("sliding_window") and config.get("use_sliding_window", True)
    return kinds <= {"full_attention"} and not (windowed and not kinds)


def reading(encoder: Encoder, answers: Sequence[Answer], share: bool, attention: str) -> dict:
    """A batch for `scored`: `forward`, the arguments of the forward pass, and `source_RL`, where in its rows
    (counted through) each token of each answer is predicted, -1 behind the end.

    share: whether answers with one prompt branch off behind it. attention: the model's implementation.
    """
    groups: dict[object, list[int]] = {}
    for number, answer in enumerate(answers):
        prompt = (answer.prompt_ids, answer.pictures)
        groups.setdefault(prompt if share else number, []).append(number)
    trees = [[answers[number] for number in group] for group in groups.values()]
    forward = encoder.batch([_row(tree) for tree in trees])
    labels_BT = torch.full_like(forward.pop("labels"), IGNORED)
    if any(len(tree) > 1 for tree in trees):
        forward["attention_mask"] = _branched(trees, forward["position_ids"], labels_BT.shape[1], attention)
    longest = max(1, *(len(answer.ids) for answer in answers))
    source_RL = torch.full((len(answers), longest), -1)
    for b, (group, tree) in enumerate(zip(groups.values(), trees, strict=True)):
        for number, answer, first in zip(group, tree, _starts(tree), strict=True):
            own = slice(first, first + len(answer.ids))
            labels_BT[b, own] = torch.tensor(answer.ids, dtype=torch.long)
            source_RL[number, : len(answer.ids)] = torch.arange(own.start, own.stop) + b * labels_BT.shape[1]
    return {"forward": {**forward, "shift_labels": labels_BT}, "source_RL": source_RL}


def _row(tree: Sequence[Answer]) -> Tokens:
    """Prompt and first answer; then, for every further one, the prompt's last token again and the answer. The
    last token of an answer predicts nothing that counts, so it is left out."""
    prompt = tree[0].prompt_ids
    behind = [token for k, answer in enumerate(tree) for token in (*prompt[-1:], *answer.ids[:-1])[k == 0 :]]
    ids = np.array([*prompt, *behind])
    return Tokens(ids, np.zeros(len(ids), dtype=bool), tree[0].pictures)


def _starts(tree: Sequence[Answer]) -> list[int]:
    """Where in its row the first token of each answer is predicted: at the prompt's last token, or at its
    copy."""
    starts, place = [], len(tree[0].prompt_ids) - 1
    for answer in tree:
        starts.append(place)
        place += max(1, len(answer.ids))
    return starts


def _branched(
    trees: Sequence[Sequence[Answer]], positions: torch.Tensor, width: int, attention: str
) -> torch.Tensor:
    """The attention mask, (B, 1, T, T), under which a branch sees the prompt and itself; moves the positions
    of every branch (BT, or 3BT), in place, to where they would be behind the prompt."""
    sees_BTT = torch.ones(len(trees), width, width, dtype=torch.bool).tril()
    for b, tree in enumerate(trees):
        first, *others = _starts(tree)
        for start, answer in zip(others, tree[1:], strict=True):
            own = slice(start, start + max(1, len(answer.ids)))
            sees_BTT[b, own, first:start] = False
            positions[..., b, own] -= start - first
    if attention == "sdpa":
        return sees_BTT[:, None]
    return torch.where(sees_BTT, 0.0, torch.finfo(torch.float16).min)[:, None]


def scored(model: Callable, forward: dict, source_RL: torch.Tensor) -> FusedCausalLMOutput:
    """What TRL's head says of every token of every answer, each (R, L), zero behind the end of an answer."""
    found = model(**forward, fused_lm_head=True)
    real_RL = source_RL >= 0
    picked = {
        name: values.flatten()[source_RL.clamp(min=0)].masked_fill(~real_RL, 0)
        for name in PER_TOKEN
        if (values := getattr(found, name)) is not None
    }
    return FusedCausalLMOutput(label_mask=real_RL, **picked)
