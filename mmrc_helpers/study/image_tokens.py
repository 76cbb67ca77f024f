"""How many tokens a picture takes in each family, told from its size and the processor's settings alone."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.models.folder import content_of

MOST_SIDE = 4096  # pixels to which Idefics3's processor enlarges at most


@dataclass(frozen=True)
class Cut:
    """What a picture becomes: tokens in the text, keys that cross-attention layers read beside it, and
    patches that the vision tower reads."""

    tokens: int
    keys: int
    patches: int


def cut(family: str, settings: Mapping, size: tuple[int, int]) -> Cut:
    """What a picture of this width and height (pixels) becomes. settings: of `read_settings`."""
    if family not in FAMILIES:
        raise UserError(f"how a {family} cuts pictures is not known here")
    return FAMILIES[family](settings, *size)


def _qwen(of: Mapping, width: int, height: int) -> Cut:
    """A token for each square of 2 x 2 patches; enlarged or reduced until the area is within limits."""
    unit = of["unit"]
    high, wide = round(height / unit) * unit, round(width / unit) * unit
    if high * wide > of["most"]:
        by = math.sqrt(height * width / of["most"])
        high, wide = (max(unit, math.floor(side / by / unit) * unit) for side in (height, width))
    elif high * wide < of["least"]:
        by = math.sqrt(of["least"] / (height * width))
        high, wide = (math.ceil(side * by / unit) * unit for side in (height, width))
    tokens = (high // unit) * (wide // unit)
    return Cut(tokens, 0, 4 * tokens)


def _tiled(of: Mapping, width: int, height: int) -> Cut:
    """Enlarged to the longest edge and cut into tiles, and once more as a whole; each in a few marks."""
    tile, tokens = of["tile"], of["tokens"]
    rows = columns = 0
    if of.get("split", True):
        long = min(of["longest"], MOST_SIDE)
        short = int(long / (max(width, height) / min(width, height)))
        short = min(long, short + short % 2)
        wide, high = (long, short) if width >= height else (short, long)
        columns, rows = math.ceil(wide / tile), math.ceil(high / tile)
        if rows * columns == 1:
            rows = columns = 0
    tiles = rows * columns
    marks = 2 * tiles + rows + 3 if tiles else 3  # where each tile lies, line ends, around the whole picture
    return Cut((tiles + 1) * tokens + marks, 0, (tiles + 1) * tokens * of.get("joined", 4))


def _llava_next(of: Mapping, width: int, height: int) -> Cut:
    """The whole picture, then the tiles of the best grid without its border, a line end after every row."""
    side, patch = of["side"], of["patch"]
    own = side // patch
    high, wide = _best_grid(of["grids"], width, height)
    rows, columns = own * (high // side), own * (wide // side)
    tiles = (high // side) * (wide // side) + 1
    if width / height > columns / rows:
        rows -= 2 * ((rows - int(round(height * (columns / width), 7))) // 2)
    else:
        columns -= 2 * ((columns - int(round(width * (rows / height), 7))) // 2)
    return Cut(own * own + rows * columns + rows, 0, tiles * own * own)


def _best_grid(grids: list, width: int, height: int) -> tuple[int, int]:
    """Height and width of the grid that keeps most of the picture, then wastes least of itself."""

    def worth(grid) -> tuple[int, int]:
        high, wide = grid
        scale = min(wide / width, high / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - wide * high

    return tuple(max(grids, key=worth))


def _llava(of: Mapping, width: int, height: int) -> Cut:
    """Every picture is brought to one size."""
    tokens = (of["side"] // of["patch"]) ** 2
    return Cut(tokens, 0, tokens)


def _mllama(of: Mapping, width: int, height: int) -> Cut:
    """One token in the text; beside it tiles, of which the empty ones take as much room as the others."""
    patches = of["tiles"] * ((of["side"] // of["patch"]) ** 2 + 1)
    return Cut(1, patches, patches)


FAMILIES: dict[str, Callable[[Mapping, int, int], Cut]] = {
    "qwen2_5_vl": _qwen,
    "qwen3_vl": _qwen,
    "idefics3": _tiled,
    "smolvlm": _tiled,
    "llava": _llava,
    "llava_next": _llava_next,
    "mllama": _mllama,
}


def read_settings(folder: Path, config: Mapping, changes: Mapping) -> dict:
    """The settings of a downloaded model's processor that `cut` reads; none for a model that reads only text.
    What a file leaves out is the default of its class. changes: the study's `model.image_processor`. Raises
    UserError for files that are damaged or hold something else."""
    family, vision = config["model_type"], config.get("vision_config")
    if vision is None or family not in FAMILIES:
        return {}
    own = _read(folder / "processor_config.json")
    beside = _read(folder / "preprocessor_config.json")
    try:
        images = {**beside, **own.get("image_processor", {}), **changes}
        found = READERS[FAMILIES[family]](images, own, vision, config)
        cut(family, found, (256, 256))  # what is no number is found out here
    except (TypeError, ValueError, AttributeError, KeyError, ArithmeticError) as error:
        raise UserError(
            f"model.name: what the processor in {show(folder)} does to pictures cannot be read ({error}); "
            "download it again"
        ) from error
    return found


def _read(path: Path) -> dict:
    """A file of a downloaded model's processor; {} where it has none."""
    if not path.is_file():
        return {}
    content = content_of(path)
    if isinstance(content, str):
        raise UserError(f"model.name: {content}")
    return content


def _read_qwen(images: Mapping, own: Mapping, vision: Mapping, config: Mapping) -> dict:
    size = images.get("size", {})
    patch = images.get("patch_size", vision.get("patch_size", 14))
    return {
        "unit": patch * images.get("merge_size", 2),
        "least": size.get("shortest_edge", images.get("min_pixels", 56 * 56)),
        "most": size.get("longest_edge", images.get("max_pixels", 28 * 28 * 1280)),
    }


def _read_tiled(images: Mapping, own: Mapping, vision: Mapping, config: Mapping) -> dict:
    tile = images.get("max_image_size", {}).get("longest_edge", vision.get("image_size", 364))
    scale = config.get("scale_factor", 2)
    return {
        "longest": images.get("size", {}).get("longest_edge", 4 * tile),
        "tile": tile,
        "tokens": own.get("image_seq_len", (tile // vision.get("patch_size", 14)) ** 2 // scale**2),
        "split": images.get("do_image_splitting", True),
        "joined": scale**2,
    }


def _read_llava_next(images: Mapping, own: Mapping, vision: Mapping, config: Mapping) -> dict:
    side = images.get("crop_size", {}).get("height", vision.get("image_size", 336))
    default = [[side, 2 * side], [2 * side, side], [2 * side, 2 * side], [3 * side, side], [side, 3 * side]]
    grids = images.get("image_grid_pinpoints", default)
    return {"side": side, "patch": own.get("patch_size", vision.get("patch_size", 14)), "grids": grids}


def _read_llava(images: Mapping, own: Mapping, vision: Mapping, config: Mapping) -> dict:
    side = images.get("crop_size", {}).get("height", vision.get("image_size", 336))
    return {"side": side, "patch": own.get("patch_size", vision.get("patch_size", 14))}


def _read_mllama(images: Mapping, own: Mapping, vision: Mapping, config: Mapping) -> dict:
    side = images.get("size", {}).get("height", vision.get("image_size", 560))
    tiles = images.get("max_image_tiles", 4)
    return {"side": side, "patch": vision.get("patch_size", 14), "tiles": tiles}


READERS = {
    _qwen: _read_qwen,
    _tiled: _read_tiled,
    _llava: _read_llava,
    _llava_next: _read_llava_next,
    _mllama: _read_mllama,
}
