"""Chats and pictures as tensors: tokens with their loss mask, and padded batches, for every family.

What a picture is in tokens is what the processor writes for a lone placeholder; what it is to the model comes
from `models.features`. What carries loss is what follows the prompt's tokens, up to the end of the turn.

Letters: B rows of a batch, T tokens.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

from mmrc_helpers.errors import UserError
from mmrc_helpers.models import chat, mllama, qwen
from mmrc_helpers.models.features import Pixels
from mmrc_helpers.models.plain import layout_of
from mmrc_helpers.tasks.example import Turn, answers_in, pictures_of

IGNORED = -100  # label of a token that carries no loss
PIECE = 512  # conversations that are turned into tokens at once

Chat = tuple[Turn, ...]


@dataclass(frozen=True)
class Tokens:
    """One conversation: token ids, which of them carry loss, and the names of its pictures in order."""

    ids_T: np.ndarray
    supervised_T: np.ndarray
    pictures: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Encoder:
    """Turns conversations into Tokens and Tokens into batches, for one processor and a source of pictures."""

    processor: object  # of a vision-language model, or the tokenizer of one that reads only text
    pictures: Pixels | None = None  # what `features.open_pictures` gives; None where none are shown

    @cached_property
    def tokenizer(self):
        return chat.tokenizer_of(self.processor)

    @cached_property
    def layout(self) -> str:
        """How the model takes pictures: a value of `plain.LAYOUTS`, or nothing."""
        return layout_of(self.processor) if self.image >= 0 else ""

    @cached_property
    def image(self) -> int:
        """The token that stands for a picture."""
        return chat.image_id_of(self.processor)

    @cached_property
    def form(self) -> str:
        return chat.form_of(self.processor)

    @cached_property
    def end(self) -> int:
        """The token at which an answer ends."""
        return chat.end_of_turn(self.tokenizer, self.form)

    @cached_property
    def _controls(self) -> re.Pattern:
        """Finds control tokens in words."""
        decoded = self.tokenizer.added_tokens_decoder
        return re.compile("|".join(re.escape(decoded[n].content) for n in sorted(decoded)
                                   if decoded[n].special) or "(?!)")  # fmt: skip

    def tokens(self, chats: Sequence[Chat], complete: bool = True) -> list[Tokens]:
        """Conversations as Tokens: whole ones, every answer and its end of turn with loss; with `complete`
        false, ones that end with a question, open for the assistant. Raises UserError for words that hold a
        control token, and for a template that rewrites what it wrote before."""
        done = []
        for first in range(0, len(chats), PIECE):
            part = chats[first : first + PIECE]
            for turns in part:
                self._check(turns)
            ids = self._ids(part, opened=not complete)
            for turns, ids_T in zip(part, ids, strict=True):
                mask_T = self._answers(turns, ids_T) if complete else np.zeros(len(ids_T), bool)
                done.append(self._expanded(ids_T, mask_T, pictures_of(turns)))
        return done

    def answer_ids(self, text: str) -> list[int]:
        """The tokens of an answer as they stand in a conversation, without the end of the turn."""
        return list(self._answer_ids(text))

    @cached_property
    def _answer_ids(self):
        asked: Chat = (("user", (("text", "?"),)),)

        @lru_cache(maxsize=1 << 16)
        def found(text: str) -> tuple[int, ...]:
            turns: Chat = (*asked, ("assistant", (("text", text),)))
            self._check(turns)
            (ids_T,) = self._ids([turns], opened=False)
            return tuple(ids_T[self._exact(turns, ids_T)][:-1].tolist())

        return found

    @cached_property
    def _ends(self):
        """Number of questions → how many end tokens a conversation of so many has, and which are answers'."""

        @lru_cache
        def found(count: int) -> tuple[int, list[int]]:
            turns: Chat = (("user", (("text", "?"),)), ("assistant", (("text", "yes"),))) * count
            (ids_T,) = self._ids([turns], opened=False)
            ends = np.flatnonzero(ids_T == self.end)
            mask_T = self._exact(turns, ids_T)
            return len(ends), [k for k, place in enumerate(ends) if mask_T[place]]

        return found

    def _check(self, turns: Chat) -> None:
        for _, parts in turns:
            for kind, content in parts:
                if kind == "text" and (found := self._controls.search(content)):
                    raise UserError(
                        f"a text of the data holds {found[0]!r}, which steers this model: {content[:80]!r}; "
                        "reword it"
                    )
                if kind == "image" and self.image < 0:
                    raise UserError(
                        f"this model reads only text, and a conversation shows {content}; train and ask it "
                        "over descriptions (text_twin: true) or choose a vision-language model"
                    )

    def _ids(self, chats: Sequence[Chat], opened: bool) -> list[np.ndarray]:
        if not chats:
            return []
        texts = chat.render(self.tokenizer, chats, self.form, opened)
        return [np.array(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def _answers(self, turns: Chat, ids_T: np.ndarray) -> np.ndarray:
        """What `_exact` finds, in a conversation of questions and answers without reading its prompts again:
        the answers' tokens are known, and so is at which of the end tokens each ends."""
        said = answers_in(turns)
        ends = np.flatnonzero(ids_T == self.end)
        count, own = self._ends(len(said))
        mask_T = np.zeros(len(ids_T), bool)
        if [role for role, _ in turns] != ["user", "assistant"] * len(said) or count != len(ends):
            return self._exact(turns, ids_T)
        for text, end in zip(said, ends[own], strict=True):
            answer = self._answer_ids(text)
            if tuple(ids_T[end - len(answer) : end].tolist()) != answer:
                return self._exact(turns, ids_T)
            mask_T[end - len(answer) : end + 1] = True
        return mask_T

    def _exact(self, turns: Chat, ids_T: np.ndarray) -> np.ndarray:
        """Which tokens of a whole conversation follow the tokens of a prompt, up to the end of their turn."""
        mask_T = np.zeros(len(ids_T), bool)
        opened = [turns[:k] for k, (role, _) in enumerate(turns) if role == "assistant"]
        for prompt in self._ids(opened, opened=True):
            start = len(prompt)
            ends = np.flatnonzero(ids_T[start:] == self.end)
            if not np.array_equal(ids_T[:start], prompt) or not len(ends):
                raise UserError(
                    "model.name: its chat template writes a question in another way once the conversation "
                    "goes on, so that its answers cannot be found; ask one question a conversation "
                    "(turns: 1) or mend chat_template.jinja"
                )
            mask_T[start : start + ends[0] + 1] = True
        return mask_T

    def _expanded(self, ids_T: np.ndarray, mask_T: np.ndarray, names: tuple[str, ...]) -> Tokens:
        """One placeholder per picture becomes the tokens that stand for it."""
        places = np.flatnonzero(ids_T == self.image)
        own = [self.pictures.ids(name) for name in names]
        counts_T = np.ones(len(ids_T), int)
        counts_T[places] = [len(ids) for ids in own]
        whole_T = np.repeat(ids_T, counts_T)
        starts_T = np.cumsum(counts_T) - counts_T
        for place, ids in zip(places, own, strict=True):
            whole_T[starts_T[place] : starts_T[place] + len(ids)] = ids
        return Tokens(whole_T, np.repeat(mask_T, counts_T), names)

    def batch(self, rows: Sequence[Tokens], left: bool = False) -> dict:
        """Padded tensors for the model: input_ids_BT, attention_mask_BT, labels_BT, position_ids (BT, or 3BT
        for Qwen-VL) and the arguments for the pictures.

        left: pad on the left, for generation.
        """
        width, count = max(len(row.ids_T) for row in rows), len(rows)
        ids_BT = np.full((count, width), self.tokenizer.pad_token_id)
        mask_BT = np.zeros((count, width), dtype=np.int64)
        labels_BT = np.full((count, width), IGNORED)
        for b, row in enumerate(rows):
            size = len(row.ids_T)
            span = slice(width - size, width) if left else slice(0, size)
            ids_BT[b, span], mask_BT[b, span] = row.ids_T, 1
            labels_BT[b, span] = np.where(row.supervised_T, row.ids_T, IGNORED)
        made = {"input_ids": ids_BT, "attention_mask": mask_BT, "labels": labels_BT}
        if self.layout == "patches":
            image_BT, grids = (
                ids_BT == self.image,
                [[self.pictures.grid(n) for n in r.pictures] for r in rows],
            )
            made["mm_token_type_ids"] = image_BT.astype(np.int32)
            made["position_ids"] = qwen.positions(image_BT, mask_BT.astype(bool), grids)
        else:
            made["position_ids"] = (mask_BT.cumsum(1) - 1).clip(min=0)
        tensors = {name: torch.from_numpy(values) for name, values in made.items()}
        shown = [row.pictures for row in rows]
        if not any(shown):
            return tensors
        tensors |= self.pictures.inputs(shown)
        if self.layout == "crossed":
            tiles = [[self.pictures.tiles(name) for name in names] for names in shown]
            most = self.processor.image_processor.max_image_tiles
            tensors["cross_attention_mask"] = mllama.cross_mask(ids_BT == self.image, tiles, most)
        return tensors
