"""Alignment: a picture's tokens are pulled to the embeddings of the words that are said about it, so that the
language part finds words where it is shown pictures. None of its layers runs, and none of its weights moves.

Letters: H width of the language part, K tokens of a picture, N things said about it, T tokens of a pass.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch
from datasets import Dataset
from torch.nn.functional import cosine_similarity
from transformers import Trainer as Stock
from transformers import TrainingArguments

from mmrc_helpers.errors import UserError
from mmrc_helpers.models.load import base_model
from mmrc_helpers.tasks.example import answers_in
from mmrc_helpers.tasks.rows import Chat
from mmrc_helpers.training.phase import Ours, Phase, whole

Unit = tuple[int, ...]  # the tokens of one thing that is said


class Trainer(Ours, Stock):
    """Transformers' trainer over pictures. The loss is the mean over the pictures of the *global* batch of
    the mean over a picture's tokens, however the batch is split over passes and processes."""

    def __init__(self, phase: Phase, **kwargs):
        self.phase = phase
        super().__init__(**kwargs)
        self.model_accepts_loss_kwargs = False  # all passes hold equally many pictures: a mean of means

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = model(**inputs)
        return (loss, {}) if return_outputs else loss


def trainer(phase: Phase) -> Trainer:
    """The trainer of an alignment, over chats that show one picture each. Raises UserError for others."""
    encoder = phase.encoder
    if encoder.layout == "crossed":
        raise UserError("align: this model reads pictures beside its words, not among them; use sft")
    said = [units(chat, encoder.tokenizer) for chat in phase.rows]
    shown = [len(tokens.pictures) for (tokens,) in phase.tokens]
    if other := sum(count != 1 or not own for count, own in zip(shown, said, strict=True)):
        raise UserError(
            f"align: {other} of {len(said)} rows show no picture, or several, or say nothing; teach rows "
            "about one picture alone, of people by train.teach.replay_mix: {caption: 1.0}"
        )
    known, variance = embedded(phase.model, (unit for row in said for unit in row))
    counts = [int((tokens.ids_T == encoder.image).sum()) for (tokens,) in phase.tokens]

    def collated(batch: Sequence[dict]) -> dict:
        """The pictures of a pass, what their tokens are to be (T, H), and what each of these weighs (T)."""
        rows = [item["row"] for item in batch]
        words = [torch.stack([known[unit] for unit in said[row]]) for row in rows]
        wanted = [shares(counts[row], len(said[row])) @ own for row, own in zip(rows, words, strict=True)]
        weights = [torch.full((counts[row],), 1 / (counts[row] * len(rows))) for row in rows]
        pictures = encoder.pictures.inputs([phase.tokens[row][0].pictures for row in rows])
        return {**pictures, "wanted_TH": torch.cat(wanted), "weights_T": torch.cat(weights)}

    model = base_model(phase.model)
    forward = model.forward  # which whatever probes the model still calls

    def aligned(*args, wanted_TH=None, weights_T=None, **inputs):
        """The loss of a pass; without what is wanted, what the model itself says."""
        if wanted_TH is None:
            return forward(*args, **inputs)
        seen_TH = torch.cat(list(model.get_image_features(**inputs, return_dict=True).pooler_output)).float()
        if phase.method["distance"] == "cosine":
            return (1 - cosine_similarity(seen_TH, wanted_TH, dim=1)) @ weights_T
        return (seen_TH - wanted_TH).square().mean(1) @ weights_T / variance

    model.forward = aligned
    return Trainer(
        phase,
        model=phase.model,
        args=TrainingArguments(**phase.arguments),
        train_dataset=Dataset.from_dict({"row": range(len(phase.rows))}),
        data_collator=collated,
        processing_class=encoder.tokenizer,
        callbacks=list(phase.callbacks),
    )


def units(chat: Chat, tokenizer) -> list[Unit]:
    """What is said about a picture, in an order that is the same for all: of several answers each, ordered by
    what they are `about` where the world's truth says so; of one its tokens."""
    said = answers_in(chat.turns)
    about = [str(example.truth.get("about", "")) for example in chat.examples]
    if len(about) == len(said):
        said = [text for _, text in sorted(zip(about, said, strict=True), key=lambda pair: pair[0])]
    found = [own for text in said if (own := _ids(text, tokenizer))]
    return found if len(said) > 1 else [(token,) for own in found for token in own]


@lru_cache(maxsize=1 << 16)  # rows are many, what is said in them is mostly the same
def _ids(text: str, tokenizer) -> Unit:
    """The tokens of a text as it would stand inside a sentence, where most of what a language part has read
    stood; none for one of full stops alone."""
    words = text.strip(" .")
    return tuple(tokenizer(f" {words}", add_special_tokens=False)["input_ids"]) if words else ()


def embedded(model, said: Iterable[Unit]) -> tuple[dict[Unit, torch.Tensor], float]:
    """The mean word embedding (H) of everything that is said, and the variance of all word embeddings."""
    table = base_model(model).get_input_embeddings()
    with torch.no_grad(), whole(table):
        words = table.weight.detach().float().cpu()
        return {unit: words[list(unit)].mean(0) for unit in set(said)}, float(words.var())


@lru_cache
def shares(tokens: int, said: int) -> torch.Tensor:
    """How much of each of N things that are said is in each of a picture's K tokens, (K, N): both in order,
    so that a token is the mean of the things at its place."""
    starts = torch.arange(tokens) * said // tokens
    ends = torch.maximum(torch.arange(1, tokens + 1) * said // tokens, starts + 1)
    places = torch.arange(said)
    held = ((places >= starts[:, None]) & (places < ends[:, None])).float()
    return held / held.sum(1, keepdim=True)
