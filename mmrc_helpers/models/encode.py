"""Chats and pictures as tensors: tokens with their loss mask, vision features computed once, padded batches.

Letters: B rows of a batch, T tokens, N pictures, P patches, V vision tokens, H hidden width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.records import Example, messages, prompt

IGNORED = -100  # label of a token that carries no loss
IMAGE_BATCH = (
    256  # pictures per forward pass of the vision part; fixed, so that features never depend on the task
)


@dataclass(frozen=True)
class Tokens:
    """One conversation: token ids, which of them carry loss, and the names of its pictures in order."""

    ids_T: np.ndarray
    supervised_T: np.ndarray
    pictures: tuple[str, ...]


class Pictures:
    """Pictures of a data folder, ready for a model: image processor output, or features of the frozen vision
    part."""

    def __init__(
        self, folder: Path, names: Sequence[str], processor, drawn: Mapping[str, Image.Image] | None = None
    ):
        """names: files in `folder`; drawn: pictures that are in no file, such as noise, by name."""
        drawn = drawn or {}
        self.index = {name: row for row, name in enumerate([*names, *drawn])}
        self.merge = processor.image_processor.merge_size**2
        images = [*(read_image(folder / name) for name in names), *drawn.values()]
        chunks = [images[i : i + IMAGE_BATCH] for i in range(0, len(images), IMAGE_BATCH)]
        made = [processor.image_processor(chunk, return_tensors="pt") for chunk in chunks]
        self.grid_N3 = (
            torch.cat([m["image_grid_thw"] for m in made]) if made else torch.zeros(0, 3, dtype=torch.long)
        )
        patches_per_image = self.grid_N3.prod(-1).tolist()
        self.patches = torch.cat([m["pixel_values"] for m in made]).split(patches_per_image) if made else []
        self.tokens_N = (self.grid_N3.prod(-1) // self.merge).numpy()
        self.sides_N2 = (self.grid_N3[:, 1:] // processor.image_processor.merge_size).numpy()
        self.features = None

    @torch.no_grad()
    def freeze(self, model, device: torch.device) -> None:
        """Replaces the patches by the vision part's features, computed once in float32 order-fixed
        batches."""
        outputs = []
        for first in range(0, len(self.patches), IMAGE_BATCH):
            patches_PD = torch.cat(self.patches[first : first + IMAGE_BATCH]).to(device)
            grid = self.grid_N3[first : first + IMAGE_BATCH].to(device)
            outputs.append(model.get_image_features(patches_PD, grid, return_dict=True))
        if outputs:
            self.kind = type(outputs[0])
            depth = range(len(getattr(outputs[0], "deepstack_features", [])))
            pooled_VH = torch.cat([feature for out in outputs for feature in out.pooler_output])
            deep_VH = [torch.cat([f for out in outputs for f in out.deepstack_features[d]]) for d in depth]
            self.features, self.starts_N = (pooled_VH, deep_VH), np.cumsum(self.tokens_N) - self.tokens_N
        self.patches = None

    def inputs(self, names: Sequence[str]) -> dict:
        """Model arguments for the pictures of a batch, in order of appearance."""
        if not names:
            return {}
        rows = [self.index[name] for name in names]
        grid = {"image_grid_thw": self.grid_N3[rows]}
        if self.features is None:
            return {"pixel_values": torch.cat([self.patches[r] for r in rows]), **grid}
        where = np.concatenate(
            [np.arange(self.starts_N[r], self.starts_N[r] + self.tokens_N[r]) for r in rows]
        )
        pooled_VH, deep_VH = self.features
        where = torch.from_numpy(where).to(pooled_VH.device)
        extra = (
            {"deepstack_features": [(d[where],) for d in deep_VH]}
            if hasattr(self.kind, "deepstack_features")
            else {}
        )
        return {
            "mm_encoder_outputs": {"image": self.kind(pooler_output=(pooled_VH[where],), **extra)},
            **grid,
        }


def read_image(path: Path) -> Image.Image:
    """An RGB image; anything else is a UserError that names the file."""
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode != "RGB":
                raise UserError(f"{path}: mode {image.mode}, not RGB; convert it with PIL's convert('RGB')")
            return image.copy()
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"{path}: unreadable image ({error}); make the data again: --redo data") from error


@dataclass(frozen=True)
class Encoder:
    """Turns conversations into Tokens and Tokens into batches, for one processor, model and set of
    pictures."""

    processor: object
    pictures: Pictures
    descriptions: Mapping[str, str]  # group -> sentence, for the text twin

    def describe(self, name: str) -> dict:
        """The content part that stands for a picture in the text twin."""
        return {"type": "text", "text": f" {self.descriptions[name.rsplit('-', 1)[0]]}"}

    def tokens(self, chats: Sequence[list[dict]], complete: bool = True) -> list[Tokens]:
        """Conversations as Tokens; `complete` false leaves the last turn open for the assistant."""
        tokenizer, done = self.processor.tokenizer, []
        pad = self.processor.image_token_id
        for first in range(0, len(chats), 512):
            part = chats[first : first + 512]
            encoded = tokenizer.apply_chat_template(
                part,
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=complete,
                add_generation_prompt=not complete,
            )
            masks = (
                encoded["assistant_masks"] if complete else [[0] * len(ids) for ids in encoded["input_ids"]]
            )
            for chat, ids, mask in zip(part, encoded["input_ids"], masks, strict=True):
                names = tuple(
                    p["image"]
                    for turn in chat
                    for p in turn["content"]
                    if isinstance(p, dict) and p["type"] == "image"
                )
                done.append(self._expand(np.array(ids), np.array(mask), names, pad))
        return done

    def _expand(self, ids_T: np.ndarray, mask_T: np.ndarray, names: tuple[str, ...], pad: int) -> Tokens:
        """One placeholder per picture becomes one per vision token."""
        repeats_T = np.ones(len(ids_T), dtype=int)
        repeats_T[ids_T == pad] = [self.pictures.tokens_N[self.pictures.index[name]] for name in names]
        return Tokens(np.repeat(ids_T, repeats_T), np.repeat(mask_T, repeats_T).astype(bool), names)

    def chat(self, examples: Sequence[Example], shift: int = 0, twin: bool = False) -> list[dict]:
        """The whole conversation over the examples of a scene."""
        return messages(examples, shift, self.describe if twin else _picture)

    def question(self, example: Example, shift: int = 0, twin: bool = False) -> list[dict]:
        """The conversation up to the assistant's answer."""
        return prompt(example, shift, self.describe if twin else _picture)

    def batch(self, rows: Sequence[Tokens], left: bool = False) -> dict:
        """Padded tensors for the model: input_ids_BT, attention_mask_BT, labels_BT, mm_token_type_ids_BT and
        pictures.

        left: pad on the left, for generation.
        """
        width, count = max(len(row.ids_T) for row in rows), len(rows)
        ids_BT = np.full((count, width), self.processor.tokenizer.pad_token_id)
        mask_BT = np.zeros((count, width), dtype=np.int64)
        labels_BT = np.full((count, width), IGNORED)
        for b, row in enumerate(rows):
            size = len(row.ids_T)
            span = slice(width - size, width) if left else slice(0, size)
            ids_BT[b, span], mask_BT[b, span] = row.ids_T, 1
            labels_BT[b, span] = np.where(row.supervised_T, row.ids_T, IGNORED)
        made = {"input_ids": ids_BT, "attention_mask": mask_BT, "labels": labels_BT}
        made["mm_token_type_ids"] = (ids_BT == self.processor.image_token_id).astype(np.int32)
        tensors = {name: torch.from_numpy(values) for name, values in made.items()}
        tensors["position_ids"] = self.positions(
            tensors["mm_token_type_ids"], tensors["attention_mask"], rows
        )
        return tensors | self.pictures.inputs([name for row in rows for name in row.pictures])

    def positions(
        self, is_image_BT: torch.Tensor, mask_BT: torch.Tensor, rows: Sequence[Tokens]
    ) -> torch.Tensor:
        """Qwen-VL's three rotary positions of every token, (3, B, T), for the whole batch at once.

        Text advances all three axes by one; a picture keeps its first position on the time axis, spans its
        grid on the other two, and advances the position by the longer side of its grid (arXiv 2409.12191,
        section 2.1).
        """
        positions_3BT = np.zeros((3, *is_image_BT.shape), dtype=np.int64)
        image_BT, real_BT = is_image_BT.numpy().astype(bool), mask_BT.numpy().astype(bool)
        for b, row in enumerate(rows):
            step_T = np.where(image_BT[b, real_BT[b]], 0, 1)
            tokens = np.flatnonzero(step_T == 0)
            first = 0
            patterns = np.zeros((3, len(tokens)), dtype=np.int64)
            for name in row.pictures:
                height, width = self.pictures.sides_N2[self.pictures.index[name]]
                size = height * width
                patterns[1, first : first + size] = np.repeat(np.arange(height), width)
                patterns[2, first : first + size] = np.tile(np.arange(width), height)
                step_T[tokens[first + size - 1]] = max(height, width)
                first += size
            base_T = np.cumsum(step_T) - step_T
            base_3T = np.repeat(base_T[None], 3, 0)
            base_3T[:, tokens] += patterns
            positions_3BT[:, b, real_BT[b]] = base_3T
        return torch.from_numpy(positions_3BT)


def _picture(name: str) -> dict:
    return {"type": "image", "image": name}
