"""What the processor itself makes of a picture: the tokens that stand for it, and the model's arguments.

Every picture is processed alone and only stacked here, so it looks the same in every batch.

Letters: B rows of a batch, I pictures, the most tiles (crops) of one.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from transformers import ProcessorMixin

from mmrc_helpers.errors import UserError
from mmrc_helpers.models import qwen
from mmrc_helpers.models.chat import image_id_of

ARGUMENTS = (
    "pixel_values",
    "image_grid_thw",
    "pixel_attention_mask",
    "image_sizes",
    "aspect_ratio_ids",
    "aspect_ratio_mask",
)

# How a model takes the pictures of a batch, told by an argument that only such models have: all patches in
# one list (Qwen-VL); a row each, its tiles in one list (Idefics3, SmolVLM); a row each, its pictures in a
# list (Mllama); one after the other whatever the row (LLaVA-Next).
LAYOUTS = {
    "image_grid_thw": "patches",
    "pixel_attention_mask": "rows",
    "aspect_ratio_ids": "crossed",
    "image_sizes": "pictures",
}


def layout_of(processor: ProcessorMixin) -> str:
    """How the model wants its pictures, a value of LAYOUTS. Raises UserError for a kind not known here."""
    for argument in processor.image_processor.model_input_names:
        if argument in LAYOUTS:
            return LAYOUTS[argument]
    raise UserError(
        f"model.name: {type(processor).__name__} is not a family known here; known are Qwen2.5-VL, Qwen3-VL, "
        "SmolVLM, Idefics3, LLaVA-Next and Llama 3.2 Vision, and models that read only text"
    )


def picture_ids(processor: ProcessorMixin, size: tuple[int, int]) -> np.ndarray:
    """The tokens that stand for a picture of this width and height, as the processor writes them. Only how
    the picture is cut depends on the size, so a blank one tells."""
    if layout_of(processor) == "patches":
        return qwen.picture_ids(processor, size)
    if layout_of(processor) == "crossed":
        return np.array([image_id_of(processor)])  # its pictures are not in the text
    blank = Image.new("RGB", size)
    made = processor(text=[processor.image_token], images=[[blank]], add_special_tokens=False)
    return np.array(made["input_ids"][0])


def arguments(processor: ProcessorMixin, image: Image.Image) -> dict[str, torch.Tensor]:
    """The model's arguments for a batch that holds one picture."""
    made = processor.image_processor([[image]], return_tensors="pt")
    return {name: torch.as_tensor(np.array(made[name])) if isinstance(made[name], list) else made[name]
            for name in ARGUMENTS if name in made}  # fmt: skip


def stacked(layout: str, rows: Sequence[Sequence[dict[str, torch.Tensor]]]) -> dict[str, torch.Tensor]:
    """The model's arguments for the pictures of a batch, row by row; empty if no row has any."""
    by_row = layout in ("rows", "crossed")
    flat = [made for row in rows for made in row]
    if not flat:
        return {}
    stacks = {}
    for name in flat[0]:
        blank = flat[0][name][:, :0]
        if by_row:
            units = [torch.cat([made[name] for made in row] or [blank], 1) for row in rows]
        else:
            units = [made[name] for made in flat]
        stacks[name] = torch.cat(units if layout == "patches" else _padded(units))
    return stacks


def _padded(parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The tensors with zeros behind, so that all are as long in their second dimension."""
    most = max(part.shape[1] for part in parts)
    return [
        torch.cat([part, part.new_zeros(part.shape[0], most - part.shape[1], *part.shape[2:])], 1)
        for part in parts
    ]
