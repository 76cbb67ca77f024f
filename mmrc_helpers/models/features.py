"""Pictures as a model takes them: pixels, or features of a frozen vision part, computed once and kept.

Features are computed in *groups* that depend only on the data: neighbours in a shard, up to a fixed number of
pixels. So a picture's features are the same whoever asks for it, and with whom. A group is a file named by
the content it was made from; runs, stages and processes share it.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from transformers import ProcessorMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mmrc_helpers.execution import worker
from mmrc_helpers.models import kept, mllama, plain, qwen
from mmrc_helpers.models.chat import image_id_of
from mmrc_helpers.models.load import base_model, vision_part
from mmrc_helpers.store import files
from mmrc_helpers.store.pictures import Shards

VERSION = 1  # raised when the meaning of a file of features changes
BUDGET = 20 * 10**9  # bytes of features on disk
IN_MEMORY = 1 << 30  # bytes of processed pictures that a process keeps
PATIENCE = 120  # seconds without a new file after which a process computes what others were to compute


def place_of(machine: Mapping) -> tuple[int, Path]:
    """How many bytes of features are kept, and where, as the machine section says."""
    return int(machine["features_gb"] * 1e9), files.artifacts_root() / "features"


def open_pictures(
    shards: Shards,
    names: Sequence[str],
    processor,
    model=None,
    device: torch.device | None = None,
    budget_bytes: int = BUDGET,
    folder: Path | None = None,
) -> "Pixels | None":
    """A source of pictures for an Encoder: features of `names` if a model with a frozen vision part is given,
    else pixels. With `folder` features are kept there, within `budget_bytes`, else in memory.

    All processes of a launch must call it, for each computes its share. Features that do not fit the budget
    are not made: pixels are, with a warning. None for a model that reads only text.
    """
    if not isinstance(processor, ProcessorMixin):
        return None
    if model is None or not names:
        return Pixels(shards, processor)
    frozen = Frozen(shards, processor, names, base_model(model), device or torch.device("cpu"), folder)
    if (needed := frozen.needed()) > budget_bytes:
        worker.warn(
            f"features of {len(frozen.places)} pictures would take {needed / 1e9:.3g} GB, more than "
            f"machine.features_gb allows ({budget_bytes / 1e9:.3g}); pictures are encoded in every batch"
        )
        return Pixels(shards, processor)
    frozen.fill(budget_bytes)
    return frozen


class Pixels:
    """Pictures as the processor makes them, when they are asked for; as many as fit in IN_MEMORY stay."""

    def __init__(self, shards: Shards, processor):
        self.shards, self.processor, self.layout = shards, processor, plain.layout_of(processor)
        self.ids_of_size = lru_cache(maxsize=1 << 16)(lambda size: plain.picture_ids(processor, size))
        self._made: dict[str, dict[str, torch.Tensor]] = {}
        self._held = 0

    def ids(self, name: str) -> np.ndarray:
        """The tokens that stand for a picture."""
        return self.ids_of_size(self.shards.size(name))

    def grid(self, name: str) -> tuple[int, int]:
        """Rows and columns of a picture's tokens, for Qwen-VL."""
        return qwen.grid(self.processor, self.shards.size(name))

    def tiles(self, name: str) -> int:
        """Into how many tiles a picture is cut, for Llama 3.2 Vision."""
        return mllama.tiles(self.processor, self.shards.size(name))

    def arguments(self, name: str) -> dict[str, torch.Tensor]:
        """The model's arguments for a batch that holds one picture."""
        if name in self._made:
            return self._made[name]
        made = plain.arguments(self.processor, self.shards.read(name))
        size = sum(values.nbytes for values in made.values())
        if self._held + size <= IN_MEMORY:
            self._made[name], self._held = made, self._held + size
        return made

    def inputs(self, rows: Sequence[Sequence[str]]) -> dict:
        """The model's arguments for the pictures of a batch, row by row."""
        return plain.stacked(self.layout, [[self.arguments(name) for name in names] for names in rows])


class Frozen(Pixels):
    """Pictures as features of a model's frozen vision part."""

    def __init__(self, shards: Shards, processor, names: Sequence[str], model, device, folder: Path | None):
        super().__init__(shards, processor)
        if not model.config.to_dict().get("quantization_config"):  # which loads onto its device
            model.to(device)
        self.model, self.device = model, device
        self.groups, self.places = kept.groups(shards, names)
        self.folder = folder / self._key() if folder else None
        self.memory: dict[str, dict[str, torch.Tensor]] = {}
        self._open = lru_cache(maxsize=4096)(self._read)

    def _key(self) -> str:
        """Names the features by what makes them: the processor's settings, the vision part, where it runs."""
        vision = vision_part(self.model)
        settings = json.dumps(self.processor.image_processor.to_dict(), sort_keys=True, default=str)
        attention = self.model.config.vision_config._attn_implementation
        shrunk = f" {self.shards.longest}" if self.shards.longest else ""
        key = hashlib.blake2b(f"{VERSION} {settings} {self.device.type} {attention}{shrunk}".encode())
        for name, weight in sorted(vision.state_dict().items()):
            key.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            key.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return key.hexdigest()[:16]

    def needed(self) -> int:
        """Bytes of all features, a little too many."""
        config = self.model.config
        deep = len(config.vision_config.to_dict().get("deepstack_visual_indexes") or ())
        width = config.get_text_config().hidden_size * (1 + deep) * self.model.dtype.itemsize
        names = [name for group in self.groups.values() for name in group]
        if self.layout == "crossed":
            return sum(map(self.tiles, names)) * self.model.model.vision_model.num_patches * width
        image = image_id_of(self.processor)
        counts = {size: int((self.ids_of_size(size) == image).sum()) for size in map(self.shards.size, names)}
        return sum(counts[self.shards.size(name)] for name in names) * width

    def fill(self, budget_bytes: int) -> None:
        """Computes what is not there yet; every process its share, then it waits for the others'."""
        if self.folder is None:
            for digest in self.groups:
                self.memory[digest] = self._computed(digest)
                worker.beat()
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted = list(self.groups)
        for digest in wanted[worker.rank() :: worker.world_size()]:
            self._make(digest)
        changed, left = time.monotonic(), len(wanted)
        while missing := [digest for digest in wanted if not self._path(digest).is_file()]:
            worker.beat()
            if len(missing) < left:
                changed, left = time.monotonic(), len(missing)
            elif time.monotonic() - changed > PATIENCE:
                for digest in missing:
                    self._make(digest)
            time.sleep(0.1)
        if worker.rank() == 0:
            for digest in wanted:
                with contextlib.suppress(FileNotFoundError):
                    os.utime(self._path(digest))
            kept.remove_oldest(self.folder.parent, budget_bytes, {self._path(digest) for digest in wanted})

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.safetensors"

    def _make(self, digest: str) -> None:
        """Writes a group's features unless they are there whole."""
        worker.beat()
        if not kept.is_whole(self._path(digest)):
            kept.write(self._path(digest), self._computed(digest))

    def _read(self, digest: str) -> dict[str, torch.Tensor]:
        """A group's features; made again if another study needed the room."""
        while self.folder:
            self._make(digest)
            with contextlib.suppress(FileNotFoundError):
                return kept.read(self._path(digest))
        return self.memory[digest]

    @torch.no_grad()
    def _computed(self, digest: str) -> dict[str, torch.Tensor]:
        """The features of a group: values of all pictures one after the other, and where each one's start."""
        names, was_training = self.groups[digest], self.model.training
        self.model.eval()
        try:
            with torch.autocast(self.device.type, enabled=False):
                found = self._together(names) if self.layout == "patches" else map(self._alone, names)
                found = [{key: values.cpu() for key, values in one.items()} for one in found]
        finally:
            self.model.train(was_training)
        whole = {key: torch.cat([one[key] for one in found]).contiguous() for key in found[0]}
        starts = np.cumsum([0, *(len(one["pooled"]) for one in found)])
        return {**whole, "starts": torch.from_numpy(starts)}

    def _together(self, names: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        made = plain.stacked(self.layout, [[plain.arguments(self.processor, self.shards.read(name))
                                            for name in names]])  # fmt: skip
        out = self._encoded(made)
        deep = getattr(out, "deepstack_features", None) or []  # Qwen3-VL has them, Qwen2.5-VL does not
        return [
            {"pooled": pooled, **{f"deep{level}": found[k] for level, found in enumerate(deep)}}
            for k, pooled in enumerate(out.pooler_output)
        ]

    def _alone(self, name: str) -> dict[str, torch.Tensor]:
        made = plain.arguments(self.processor, self.shards.read(name))
        if self.layout == "crossed":
            return {"pooled": mllama.states(self.model, self._moved(made))}
        return {"pooled": torch.cat(list(self._encoded(made).pooler_output))}

    def _encoded(self, made: dict[str, torch.Tensor]):
        return self.model.get_image_features(**self._moved(made), return_dict=True)

    def _moved(self, made: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: values.to(self.device) for name, values in made.items()}

    def features(self, name: str) -> dict[str, torch.Tensor]:
        """A picture's features: "pooled" (tokens, H), for Qwen3-VL also "deep0" …; for Llama 3.2 Vision
        "pooled" is (tiles, patches, H)."""
        digest, row = self.places[name]
        group = self._open(digest)
        first, last = group["starts"][row : row + 2].tolist()
        return {key: values[first:last] for key, values in group.items() if key != "starts"}

    def inputs(self, rows: Sequence[Sequence[str]]) -> dict:
        found = [[self.features(name) for name in names] for names in rows]
        if self.layout == "crossed":
            most = self.processor.image_processor.max_image_tiles
            states = mllama.stacked_states([[one["pooled"] for one in row] for row in found], most)
            return {"cross_attention_states": states.to(self.device)}
        flat = [one for row in found for one in row]
        joined = {key: torch.cat([one[key] for one in flat]).to(self.device) for key in flat[0]}
        given = {"mm_encoder_outputs": {"image": self._output(joined)}}
        if self.layout == "patches":
            merge = self.processor.image_processor.merge_size
            sides = [[1, *(merge * side for side in self.grid(name))] for names in rows for name in names]
            given["image_grid_thw"] = torch.tensor(sides)
        return given

    def _output(self, joined: dict[str, torch.Tensor]):
        """Features as the vision part itself would hand them over."""
        pooled = (joined.pop("pooled"),)
        if self.model.config.model_type != "qwen3_vl":
            return BaseModelOutputWithPooling(pooler_output=pooled)
        from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

        deep = [(joined[f"deep{level}"],) for level in range(len(joined))]
        return BaseModelOutputWithDeepstackFeatures(pooler_output=pooled, deepstack_features=deep)
