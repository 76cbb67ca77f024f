"""Quick drawing for the puzzle worlds: words and symbols are drawn once, as tiles; pictures consist of tiles.

A picture is an array of palette indices. A *ramp* is LEVELS neighbouring colours from a paper to an ink; so
a tile, which holds how much ink covers each pixel (0 to INK), becomes indices by adding its ramp's start.
"""

import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmrc_helpers.store.decoding import Drawn

Colour = tuple[int, int, int]

LEVELS = 5  # three ramps of 5 colours fit a palette of 16, four bits a pixel
INK = LEVELS - 1
SMALLEST = 4  # pixels: the least font size
LARGE = 160  # pixels: symbols are drawn so large and then scaled down


def palette(*ramps: tuple[Colour, Colour]) -> bytes:
    """The colours of up to three ramps, each (paper, ink); ramp n starts at index n * LEVELS."""
    mixed = [np.linspace(paper, ink, LEVELS).round().astype(np.uint8).reshape(-1) for paper, ink in ramps]
    return np.concatenate(mixed).tobytes()


def encode(indices: np.ndarray, colours: bytes) -> Drawn:
    """The PNG file of an array (height, width) of palette indices, uint8. Raises ValueError above 16 colours.

    Two indices share a byte, and each line is stored as its difference from the line above: mostly zeros.
    Pillow, which does not filter pictures with a palette, is slower. Source: PNG specification.
    """
    if len(colours) > 3 * 16:
        raise ValueError(f"{len(colours) // 3} colours; four bits a pixel tell 16 apart")
    height, width = indices.shape
    if width % 2:
        indices = np.pad(indices, ((0, 0), (0, 1)))
    packed = indices[:, ::2] << 4
    packed |= indices[:, 1::2]
    lines = np.empty((height, packed.shape[1] + 1), np.uint8)
    lines[:, 0] = 2  # the filter "up"
    lines[0, 1:] = packed[0]
    np.subtract(packed[1:], packed[:-1], out=lines[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)  # 4 bits an index, a palette
    runs = zlib.compressobj(1, strategy=zlib.Z_RLE)
    data = runs.compress(lines) + runs.flush()
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", data), (b"IEND", b""))
    file = [b"\x89PNG\r\n\x1a\n"]
    for name, content in chunks:
        file += [struct.pack(">I", len(content)), name, content]
        file.append(struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))
    return Drawn(b"".join(file))


@lru_cache(maxsize=512)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, `size` pixels; from matplotlib's package, so that no machine needs fonts of its own."""
    package = Path(find_spec("matplotlib").origin).parent  # found without importing matplotlib
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(package / "mpl-data" / "fonts" / "ttf" / name), size)


@lru_cache(maxsize=512)
def fitting(words: tuple[str, ...], width: int, height: int, largest: int, bold: bool = False) -> int:
    """The largest font size up to `largest` at which each of the words fits the box; at least SMALLEST."""
    sizes = range(largest, SMALLEST, -1)
    return next((size for size in sizes if fits(words, width, height, size, bold)), SMALLEST)


def fits(words: tuple[str, ...], width: int, height: int, size: int, bold: bool = False) -> bool:
    """Whether each of the words, in this font size, fits the box."""
    boxes = [font(size, bold).getbbox(word, anchor="ls") for word in words]
    return all(right - left <= width and bottom - top <= height for left, top, right, bottom in boxes)


@lru_cache(maxsize=2048)
def word(text: str, size: int, bold: bool = False) -> np.ndarray:
    """The word's ink as levels (height, width): the height of capitals and of what hangs below the line, so
    words of one size stand on one line when their tiles stand in the middle of equal boxes."""
    face = font(size, bold)
    left, _, right, bottom = face.getbbox(text, anchor="ls")
    capital = -face.getbbox("H", anchor="ls")[1]
    hanging = max(0, bottom)
    tile = Image.new(
        "L", (max(1, right - left), capital + 2 * hanging + 2)
    )  # even above and below the capitals
    ImageDraw.Draw(tile).text((-left, capital + hanging + 1), text, fill=255, font=face, anchor="ls")
    return levels(np.asarray(tile))


@lru_cache(maxsize=2048)
def symbol(text: str, side: int) -> np.ndarray:
    """The symbol as levels, its longer side scaled to `side` pixels."""
    mask = font(LARGE).getmask(text, "L")
    large = Image.frombytes("L", mask.size, bytes(mask))
    large = large.crop(large.getbbox())
    scale = side / max(large.size)
    small = large.resize([max(1, round(length * scale)) for length in large.size], Image.Resampling.BOX)
    return levels(np.asarray(small))


def put(indices: np.ndarray, box: tuple[int, int, int, int], tile: np.ndarray | None, ramp: int) -> None:
    """Fills the box (left, top, right, bottom) with the ramp's paper and sets the tile in its middle, cut off
    where it is too large."""
    left, top, right, bottom = box
    indices[top:bottom, left:right] = ramp
    if tile is None:
        return
    height, width = min(tile.shape[0], bottom - top), min(tile.shape[1], right - left)
    y, x = top + (bottom - top - height) // 2, left + (right - left - width) // 2
    cut_y, cut_x = (tile.shape[0] - height) // 2, (tile.shape[1] - width) // 2
    indices[y : y + height, x : x + width] = tile[cut_y : cut_y + height, cut_x : cut_x + width] + np.uint8(
        ramp
    )


def levels(coverage: np.ndarray) -> np.ndarray:
    """Coverage in 0 to 255 as levels in 0 to INK, uint8, read-only because tiles are kept."""
    tile = ((coverage.astype(np.uint16) * INK + 127) // 255).astype(np.uint8)
    tile.flags.writeable = False
    return tile


def edges(length: int, shares: Sequence[float]) -> list[int]:
    """Where the parts of a length begin and where the last ends, in pixels."""
    ends = np.cumsum([0, *shares]) / sum(shares) * length
    return [int(end) for end in ends.round()]


def draw_lines(indices: np.ndarray, xs: Sequence[int], ys: Sequence[int], line: int, index: int) -> None:
    """Draws a grid of lines, `line` pixels wide: each x from the first y to the last, each y likewise. A line
    begins at its edge; the last ones end there, so that no cell grows."""
    for x in xs:
        start = x - line * (x == xs[-1])
        indices[ys[0] : ys[-1], start : start + line] = index
    for y in ys:
        start = y - line * (y == ys[-1])
        indices[start : start + line, xs[0] : xs[-1]] = index
