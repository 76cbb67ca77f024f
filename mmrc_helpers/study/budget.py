"""How much disk a stage takes, so that a full disk is found before the work and not after it. An estimate is
a little more than what was measured; the rules are in the functions."""

import math
from collections.abc import Mapping
from pathlib import Path

from mmrc_helpers.models import folder as model_folder
from mmrc_helpers.worlds import WORLDS

SMALL_FILES = 16_000_000  # logs, metrics, manifests


def estimate(kind: str, params: Mapping, inputs: Mapping[str, Path], machine: Mapping) -> int:
    """Bytes that a stage needs while it is made, its checkpoints included. `inputs` are finished folders."""
    if kind == "data":
        return SMALL_FILES + WORLDS[params["world"]["name"]].size(params["world"]["facts"])
    if kind == "train":
        return SMALL_FILES + _training(params, inputs, machine)
    if kind == "eval":  # rows as written and, at the end, merged: less than twice the questions themselves
        return SMALL_FILES + 2 * (inputs["data"] / "examples.jsonl").stat().st_size
    return SMALL_FILES


def _training(params: Mapping, inputs: Mapping[str, Path], machine: Mapping) -> int:
    """The result, 4 bytes a trained weight, and one checkpoint more than are kept, 20 bytes a trained weight
    each: weights, AdamW's two moments and, under ZeRO, a second copy and the module's state."""
    trained = _trained_weights(params, inputs, machine)
    return trained * (4 + 20 * (machine["keep_checkpoints"] + 1))


def _trained_weights(params: Mapping, inputs: Mapping[str, Path], machine: Mapping) -> int:
    """All weights of the model, or the adapter's: rank x (inputs + outputs) for every adapted layer."""
    model, train = params["model"], params["train"]
    if model["source"] == "scratch" and "model" not in inputs:
        return _new_weights(model["scratch"])
    folder = inputs["model"] / "model" if "model" in inputs else model_folder.where(model, machine)
    shapes = model_folder.shapes(folder)
    if not train["lora_r"]:
        return sum(map(math.prod, shapes.values()))
    targets = set(train["lora_targets"])
    layers = [
        shape for name, shape in shapes.items() if name.endswith(".weight") and name.split(".")[-2] in targets
    ]
    return sum(train["lora_r"] * sum(shape) for shape in layers)


def _new_weights(sizes: Mapping) -> int:
    """Embedding, language layers (attention, gated feed-forward) and vision layers of a model made here."""
    width, vision = sizes["hidden_size"], sizes["vision_width"]
    language = sizes["layers"] * width * (4 * width + 3 * sizes["intermediate_size"])
    return sizes["vocabulary"] * width + language + (sizes["vision_layers"] + 4) * 12 * vision**2
