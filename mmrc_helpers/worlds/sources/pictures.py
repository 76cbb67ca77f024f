"""A user's pictures: looked at while the rows are read, drawn when they are wanted. Their bytes stay where
they are; what keeps them (`store.pictures`) makes them upright and RGB."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from mmrc_helpers.errors import FILE_NAME, UserError, show
from mmrc_helpers.store.decoding import BROKEN, decoded, thumb, upright, why
from mmrc_helpers.worlds.drops import Noise, draw_noise

POINTER = b"version https://git-lfs"
ALIKE = 0.995  # correlation from which pictures are one, saved again: other views of one thing stay below it
BLOCK = 1024  # pictures that are compared with all before them at once


@dataclass(frozen=True)
class Picture:
    """Where a picture's bytes are: in a file of their own; or, with a column, in a parquet or Arrow table.
    group: row group or record batch; row: in it; place: in the cell's list, -1 if the cell is no list."""

    path: str
    column: str = ""
    group: int = 0
    row: int = 0
    place: int = -1


@dataclass(frozen=True)
class Seen:
    """A picture that was looked at. problem: why it cannot be used, or empty. mode: of its pixels before they
    become RGB. digest: of its pixels upright and in RGB; empty if only its header was read. thumb: what it is
    compared by, where that is wanted."""

    picture: Picture
    problem: str = ""
    mode: str = "RGB"
    digest: str = ""
    thumb: np.ndarray | None = field(default=None, compare=False, repr=False)


Look = Callable[[bytes, Picture], Seen]


def glance(content: bytes, picture: Picture) -> Seen:
    """Reads the header: quick, for many pictures; `draw` finds those that are cut off."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return Seen(picture, mode=image.mode)
    except BROKEN as error:
        return Seen(picture, _problem(error, content))


def inspect(content: bytes, picture: Picture, thumbs: bool = False) -> Seen:
    """Decodes the picture to its end, and digests its pixels, so that equal pictures can have one name.
    thumbs: also makes what it is compared by."""
    try:
        image = decoded(content)
        pixels = upright(image)
        return Seen(picture, "", image.mode, digest_of(pixels), thumb(pixels) if thumbs else None)
    except BROKEN as error:
        return Seen(picture, _problem(error, content))


def digest_of(pixels: Image.Image) -> str:
    """What two pictures share if and only if they show the same."""
    digest = hashlib.blake2b(pixels.tobytes(), digest_size=10)
    digest.update(repr(pixels.size).encode())
    return digest.hexdigest()


def repeated(thumbs: Sequence[np.ndarray]) -> Iterator[tuple[int, int]]:
    """(place, the first place before it whose picture is nearly the same) of each that has one."""
    if not thumbs:
        return
    whole = np.stack(thumbs)
    for start in range(0, len(whole), BLOCK):
        block = whole[start : start + BLOCK]
        alike = np.tril(block @ whole[: start + len(block)].T >= ALIKE, start - 1)
        for place in np.flatnonzero(alike.any(axis=1)):
            yield start + int(place), int(alike[place].argmax())


def _problem(error: BaseException, content: bytes) -> str:
    if content.startswith(POINTER):
        return "is a pointer of git-lfs, not the picture; fetch it with `git lfs pull`"
    is_large = isinstance(error, Image.DecompressionBombError)
    return f"cannot be read ({why(error)}); {'shrink it' if is_large else 'save it again, as PNG or JPEG'}"


def seen_at(path: Path, look: Look | None) -> Seen:
    """The picture in a file. look: None, to know only where it is."""
    picture = Picture(str(path))
    return look(path.read_bytes(), picture) if look else Seen(picture)


def draw(picture: Picture | Noise) -> Image.Image | bytes:
    """The encoded picture as it is, or noise. Raises UserError if it cannot be decoded to its end."""
    if isinstance(picture, Noise):
        return draw_noise(picture)
    content = bytes_of(picture)
    try:
        decoded(content)
    except BROKEN as error:
        place = f", group {picture.group}, row {picture.row + 1} of it" if picture.column else ""
        where = f"{show(Path(picture.path))}{place}"
        raise UserError(f"{where}: the picture is damaged ({why(error)}); replace it") from error
    return content


def bytes_of(picture: Picture) -> bytes:
    """The encoded picture, not looked at."""
    if not picture.column:
        return Path(picture.path).read_bytes()
    cell = _column(picture.path, picture.group, picture.column)[picture.row].as_py()
    stored = cell if picture.place < 0 else cell[picture.place]
    return stored if isinstance(stored, bytes) else stored["bytes"]


@lru_cache(maxsize=2)  # pictures are drawn in the order of the rows, and a group may be large
def _column(path: str, group: int, column: str):
    """One column of a row group or record batch, a pyarrow array."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.endswith(".parquet"):
        with pq.ParquetFile(path) as source:
            return source.read_row_group(group, columns=[column])[column]
    with pa.memory_map(path) as mapped, pa.ipc.open_stream(mapped) as source:
        return next(batch for number, batch in enumerate(source) if number == group)[column]


def plain_name(path: str) -> str:
    """A plain file name for the picture at a path in a user's folder; another path has another name."""
    name = path.replace("/", "+")
    if "+" not in path and FILE_NAME.fullmatch(name):
        return name
    ending = re.sub(r"\W", "", PurePosixPath(path).suffix)[:5]
    return f"{hashlib.sha256(path.encode()).hexdigest()[:16]}{f'.{ending}' if ending else ''}"
