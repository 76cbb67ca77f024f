"""What the processor itself makes of a picture: the tokens that stand for it, and the model's arguments.

Every picture is processed alone and only stacked here, so it looks the same in every batch.

Letters: B rows of a batch, I pictures, the most tiles (crops) of one.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from transformers import LlavaProcessor, ProcessorMixin

from mmrc_helpers.errors import UserError, check_known, listed
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
    arguments = processor.image_processor.model_input_names
    for argument in arguments:
        if argument in LAYOUTS:
            return LAYOUTS[argument]
    if isinstance(processor, LlavaProcessor):  # its pixels come alone, as those of many others do
        return "pictures"
    raise UserError(
        f"model.name: {type(processor).__name__} is not a family known here; known are Qwen2.5-VL, Qwen3-VL, "
        "SmolVLM, Idefics3, LLaVA, LLaVA-Next and Llama 3.2 Vision, and models that read only text"
    )


# What the model's own shapes fix, so that the processor alone must not change it.
FIXED = {
    "patches": ("patch_size", "merge_size", "temporal_patch_size"),
    "rows": ("max_image_size",),
    "crossed": ("max_image_tiles", "size"),
    "pictures": ("image_grid_pinpoints", "size", "crop_size"),
}


def change_image_processor(processor: ProcessorMixin, changes: Mapping) -> None:
    """Gives the processor's image part these settings in place of its folder's. Raises UserError for a family
    that is not known, and for settings that it does not have or that the model fixes."""
    layout, own = layout_of(processor), processor.image_processor
    known = own.to_dict()
    for name in changes:
        check_known(name, sorted(known), "model.image_processor:")
    if fixed := sorted(set(changes) & set(FIXED[layout])):
        raise UserError(
            f"model.image_processor: {listed(fixed)} must fit the model's weights and config.json, so it is "
            "left as its folder has it; shrink pictures by model.max_image_size"
            + (", or size" if layout in ("patches", "rows") else "")
        )
    if changes:
        try:
            processor.image_processor = type(own).from_dict({**known, **changes})
        except (TypeError, ValueError) as error:
            raise UserError(f"model.image_processor: {error}") from error


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
