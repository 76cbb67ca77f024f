"""An adapter merged into full weights: a folder that any program loads as it loads the model it came from."""

from collections.abc import Mapping
from pathlib import Path

import torch

from mmrc_helpers.models import load
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.tasks.example import Turn

ASKED: tuple[Turn, ...] = (("user", (("text", "Which of them is it, and how do you know?"),)),)


def write_merged(weights: Path, model: Mapping, adapter: Path | None, to: Path) -> float:
    """Writes the model in `weights` with its adapter, if there is one, merged into it to `to`: safetensors,
    configuration, and its processor or tokenizer. Returns by how much logits of a short question differ
    between the two at most.

    Merged in float32 and rounded once to `model.dtype`. Weights that a study held in 4 bits are merged as
    they were before that.
    """
    whole = {**model, "dtype": "float32", "quantize": "none"}
    loaded = load.load_model(weights, whole, adapter).eval()
    load.choose_attention(loaded, torch.device("cpu"))
    processor = load.load_processor(weights, whole)
    before = _logits(loaded, processor)
    merged = loaded.merge_and_unload(safe_merge=True) if adapter else loaded
    merged = merged.to(load.DTYPES[model["dtype"]])
    merged.save_pretrained(to)
    processor.save_pretrained(to)
    again = load.load_model(to, model | {"quantize": "none"}).eval()
    load.choose_attention(again, torch.device("cpu"))
    return float((_logits(again, processor) - before).abs().max())


@torch.no_grad()
def _logits(model, processor) -> torch.Tensor:
    """The logits of a short question."""
    encoder = Encoder(processor)
    inputs = encoder.batch(encoder.tokens([ASKED], complete=False))
    del inputs["labels"]
    return model(**inputs).logits.float()
