"""What is quick about Qwen-VL: how many tokens a picture takes and where every token stands, in closed form;
and its patches read by a matrix product.

Letters: B rows of a batch, T tokens.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import ProcessorMixin
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize


def grid(processor: ProcessorMixin, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of tokens of a picture of this width and height in pixels."""
    images = processor.image_processor
    unit = images.patch_size * images.merge_size
    width, height = size
    if images.do_resize:
        least, most = images.size["shortest_edge"], images.size["longest_edge"]
        height, width = smart_resize(height, width, unit, min_pixels=least, max_pixels=most)
    return height // unit, width // unit


def picture_ids(processor: ProcessorMixin, size: tuple[int, int]) -> np.ndarray:
    """The tokens that stand for a picture: the same one for each cell of its grid."""
    height, width = grid(processor, size)
    return np.full(height * width, processor.image_token_id)


def positions(
    image_BT: np.ndarray, real_BT: np.ndarray, grids: Sequence[Sequence[tuple[int, int]]]
) -> np.ndarray:
    """The three rotary positions of every token, (3, B, T), for the whole batch at once.

    image_BT: which tokens are of pictures. real_BT: which are not padding. grids: of each row's pictures.
    Text advances all three axes by one; a picture keeps its first position on the time axis, spans its
    grid on the other two, and advances the position by the longer side of its grid (arXiv 2409.12191,
    section 2.1).
    """
    positions_3BT = np.zeros((3, *image_BT.shape), dtype=np.int64)
    for b, pictures in enumerate(grids):
        step_T = np.where(image_BT[b, real_BT[b]], 0, 1)
        tokens = np.flatnonzero(step_T == 0)
        first = 0
        patterns = np.zeros((3, len(tokens)), dtype=np.int64)
        for height, width in pictures:
            size = height * width
            patterns[1, first : first + size] = np.repeat(np.arange(height), width)
            patterns[2, first : first + size] = np.tile(np.arange(width), height)
            step_T[tokens[first + size - 1]] = max(height, width)
            first += size
        base_T = np.cumsum(step_T) - step_T
        base_3T = np.repeat(base_T[None], 3, 0)
        base_3T[:, tokens] += patterns
        positions_3BT[:, b, real_BT[b]] = base_3T
    return positions_3BT


class _Patches(torch.nn.Conv3d):
    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)


def read_patches_quickly(convolution: torch.nn.Conv3d) -> None:
    """Makes a convolution that sees each patch once a matrix product, which it is: on CPUs it is slow. Weight
    and bias stay where they are, so that saving, sharding, copying and training go on as before."""
    convolution.__class__ = _Patches
