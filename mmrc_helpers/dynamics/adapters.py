"""A folder of adapters on one model, one after the other; what each makes of both sides of every row."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import safe_open

from mmrc_helpers.dynamics.observing import observed
from mmrc_helpers.errors import UserError, show
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.models.load import part_of
from mmrc_helpers.models.score import Request
from mmrc_helpers.tasks.example import Example, as_turns, question

WEIGHTS = "adapter_model.safetensors"


def sides(example: Example) -> dict[str, Request]:
    """The right side of a row and, if it has one, the rejected: a worse answer, or the worse context of its
    answer."""
    found = {"right": (question(example), example.answer)}
    if "rejected" in example.truth:
        found["rejected"] = (question(example), example.truth["rejected"])
    elif "other" in example.truth:
        found["rejected"] = (as_turns(example.truth["other"]), example.answer)
    return found


def rows_of(
    model, encoder: Encoder, examples: Sequence[Example], batch: int, device: torch.device
) -> list[dict]:
    """Rows of the table "logprobs", without the probe point: both sides of every example."""
    asked = [(e, side, request) for e in examples for side, request in sides(e).items()]
    seen = observed(model, model.dtype, encoder, [request for *_, request in asked], batch, device)
    return [
        {"id": e.id, "group": e.group, **e.facets, "candidate": side, **row}
        for (e, side, _), row in zip(asked, seen, strict=True)
    ]


def put_on(model, folder: Path):
    """The model with this adapter in place of the one it had. Raises UserError if it does not fit."""
    name = folder.name.replace(".", "_")  # a module's name holds no dot
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Found missing adapter keys")
            if not isinstance(model, PeftModel):
                return PeftModel.from_pretrained(model, folder, adapter_name=name).eval()
            before = model.active_adapter
            model.load_adapter(folder, name)
            model.set_adapter(name)
            model.delete_adapter(before)
    except (RuntimeError, ValueError, UserWarning) as error:  # peft's words for a shape, a layer, a weight
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{show(folder)} does not fit the model ({reason}); name the one it was made for"
        ) from error
    return model.eval()


def touch_vision(adapters: Mapping[str, Path]) -> bool:
    """Whether any of the adapters changes how pictures are read."""
    for folder in adapters.values():
        with safe_open(folder / WEIGHTS, "pt") as file:
            if any(part_of(name) in ("vision", "projector") for name in file.keys()):  # noqa: SIM118  (no mapping)
                return True
    return False
