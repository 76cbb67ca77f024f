"""Sizes of a new model that do not fit each other, found when a study is read; no torch here."""

from collections.abc import Iterator, Mapping


def problems(scratch: Mapping, image_size: int) -> Iterator[str]:
    """What is wrong with the sizes of models/scratch.py, a sentence each. image_size: of the world's square
    pictures, pixels; 0 if it has none."""
    parts = [("hidden_size", "heads", 2)]  # rotary positions turn pairs of a head's numbers
    if scratch["kind"] == "qwen3_vl":
        parts.append(("vision_width", "vision_heads", 4))  # in pictures half of them by row, half by column
        if image_size % (2 * scratch["patch_size"]):
            yield (
                f"image_size: {image_size} is no multiple of 2 x model.scratch.patch_size "
                f"({2 * scratch['patch_size']})"
            )
    for width, heads, step in parts:
        if scratch[width] % (step * scratch[heads]):
            yield (
                f"model.scratch.{width}: {scratch[width]} is no multiple of {step} x {heads} "
                f"({step * scratch[heads]})"
            )
