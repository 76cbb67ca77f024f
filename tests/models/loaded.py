"""Toys of every family, loaded, with encoders over pixels and features, and pictures of several sizes."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from models import toys
from PIL import Image

from mmrc_helpers.models import features, load
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.store.pictures import Shards, write_shards

CPU = torch.device("cpu")
PLAIN = {"dtype": "float32", "trust_remote_code": False, "quantize": "none"}
SIZES = {"small.png": (64, 64), "wide.png": (150, 100), "tall.png": (80, 140), "other.png": (64, 64)}


def drawn(wanted: tuple[int, int, int]) -> Image.Image:
    """A picture with coarse structure, so that it survives resizing."""
    seed, width, height = wanted
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class Toy:
    """A family's toy in a folder, pictures of several sizes, and the device it is on."""

    family: str
    folder: Path
    shards: Shards
    device: torch.device = CPU

    @cached_property
    def model(self):
        model = load.load_model(self.folder, PLAIN).eval()
        load.choose_attention(model, self.device)
        return model

    @cached_property
    def processor(self):
        return load.load_processor(self.folder, PLAIN)

    @cached_property
    def pixels(self) -> Encoder:
        sees = self.family in toys.SEEING
        return Encoder(
            self.processor, features.open_pictures(self.shards, [], self.processor) if sees else None
        )

    @cached_property
    def frozen(self) -> Encoder:
        """With features in place of pixels."""
        if self.family not in toys.SEEING:
            return self.pixels
        shown = self.shards, self.shards.names, self.processor
        return Encoder(self.processor, features.open_pictures(*shown, self.model, self.device))


_built: dict[str, Toy] = {}


def toy_of(family: str, root: Path) -> Toy:
    """The toy of a family; every family is built and loaded once in a test run."""
    if family not in _built:
        if not (root / "pictures").exists():
            wanted = {name: (seed, *size) for seed, (name, size) in enumerate(SIZES.items())}
            write_shards(root, wanted, drawn, 1, lambda done, total: None)
        _built[family] = Toy(family, toys.build(family, root / family), Shards(root))
    return _built[family]
