"""Llama 3.2 Vision reads pictures through cross-attention layers beside the text, not in it: masks and states
for these, and two mends without which rows depend on what stands behind them or beside them in a batch.

Letters: B rows of a batch, T tokens, I pictures of a row, C tiles (crops) of a picture, P patches of a tile,
H hidden width.
"""

import functools
from collections.abc import Sequence

import numpy as np
import torch
from transformers.models.mllama.image_processing_mllama import get_optimal_tiled_canvas


def tiles(processor, size: tuple[int, int]) -> int:
    """Into how many tiles a picture of this width and height is cut."""
    images, (width, height) = processor.image_processor, size
    side = images.size["height"]
    rows, columns = get_optimal_tiled_canvas(height, width, images.max_image_tiles, side)
    return (rows // side) * (columns // side)


def cross_mask(image_BT: np.ndarray, tiles: Sequence[Sequence[int]], most: int) -> torch.Tensor:
    """Which tiles each token sees, (B, T, I, C): those of all pictures up to it.

    image_BT: the placeholders. tiles: of each row's pictures. most: C. For one picture, or several side by
    side, this is the processor's own mask; between words, where its own shows a token only the last picture,
    a question behind a line-up sees all of it and every letter still what stands beside it.
    """
    seen_BTIC = np.zeros((*image_BT.shape, max(map(len, tiles)), most), dtype=np.int64)
    for b, counts in enumerate(tiles):
        for i, (place, count) in enumerate(zip(np.flatnonzero(image_BT[b]), counts, strict=True)):
            seen_BTIC[b, place:, i, :count] = 1
    return torch.from_numpy(seen_BTIC)


@torch.no_grad()
def states(model, arguments: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the cross-attention layers read of one picture: (its tiles, P, H)."""
    core = model.model
    found = core.multi_modal_projector(core.vision_model(**arguments).last_hidden_state)[0, 0]
    return found[: int(arguments["aspect_ratio_mask"].sum())]


def stacked_states(rows: Sequence[Sequence[torch.Tensor]], most: int) -> torch.Tensor:
    """`states` of a batch as the model takes them, (B I C, P, H). Where a row has fewer pictures, or one of
    them fewer tiles than `most`, stand zeros, which nothing attends to."""
    pictures = max(map(len, rows))
    like = next(found for row in rows for found in row)
    whole = like.new_zeros(len(rows), pictures, most, *like.shape[1:])
    for b, row in enumerate(rows):
        for i, found in enumerate(row):
            whole[b, i, : len(found)] = found
    return whole.flatten(0, 2)


def mend(model) -> None:
    """Mends a freshly loaded model, in place."""
    _states_once(model)
    for layer in model.model.language_model.layers:
        if hasattr(layer, "cross_attn"):
            _blind_before_pictures(layer)


def _blind_before_pictures(layer) -> None:
    """What stands before the first picture of a row sees none of them; without this it sees all
    (huggingface/transformers#39379)."""
    seen: dict = {}

    def before(module, args, kwargs):
        seen["rows"] = kwargs["full_text_row_masked_out_mask"]  # (B, 1, T, 1): 0 where no picture is seen

    def after(module, args, output):
        return output if seen["rows"] is None else (output[0] * seen["rows"][:, 0], *output[1:])

    layer.register_forward_pre_hook(before, with_kwargs=True)
    layer.cross_attn.register_forward_hook(after)


def _states_once(model) -> None:
    """Lets `generate` read states only in its first step; the cache would grow by them in every other."""
    own = model.prepare_inputs_for_generation

    @functools.wraps(own)  # generate looks at its arguments
    def prepare(*args, is_first_iteration=False, **kwargs):
        made = own(*args, is_first_iteration=is_first_iteration, **kwargs)
        return made if is_first_iteration else {**made, "cross_attention_states": None}

    model.prepare_inputs_for_generation = prepare
