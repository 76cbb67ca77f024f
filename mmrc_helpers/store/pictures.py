"""Pictures in shards: parquet files of 512 pictures, drawn in parallel and read by name, a few at a time.

A shard is an ordinary data set of the `datasets` library (column `image`), so other tools can open it too.
"""

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.store import disk
from mmrc_helpers.store.decoding import BROKEN, Drawn, decoded, is_upright, upright, why

SHARD = 512  # pictures of a shard
GROUP = 1 << 18  # bytes of encoded pictures after which a row group ends: what one reading holds in memory
REDO = "make the data again: --redo data"
FEATURES = {
    "name": {"dtype": "string", "_type": "Value"},
    "image": {"_type": "Image"},
    "width": {"dtype": "int32", "_type": "Value"},
    "height": {"dtype": "int32", "_type": "Value"},
    "sum": {"dtype": "string", "_type": "Value"},
}
SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "width": pa.int32(),
        "height": pa.int32(),
        "sum": pa.string(),  # SHA-256 of the bytes
    },
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


def write_shards(
    folder: Path,
    pictures: Mapping[str, object],
    draw: Callable[[object], Image.Image | bytes],
    workers: int,
    progress: Callable[[int, int], None],
) -> None:
    """Draws all pictures, in `workers` processes, into folder/pictures. Shards that are there whole are kept.

    pictures: name → what `draw` needs; asked for one value after the other. draw: a function of a module.
    progress: hears how many pictures of how many are there. Raises UserError for bytes that are no picture
    and for a drawing process that is killed.
    """
    shards = folder / "pictures"
    shards.mkdir(exist_ok=True)
    for torn in shards.glob("*.part"):
        torn.unlink()
    done, total, running = 0, len(pictures), {}
    progress(done, total)
    try:
        with _pool(max(1, workers)) as pool:
            for number, names in enumerate(_pieces(pictures)):
                path = shards / f"{number:05}.parquet"
                if _holds(path, names):
                    done += len(names)
                    progress(done, total)
                    continue
                if len(running) > 2 * workers:  # so that values of a lazy mapping do not pile up
                    done += _finished(running)
                    progress(done, total)
                jobs = [(name, pictures[name]) for name in names]
                running[pool.submit(_write_shard, path, jobs, draw)] = len(names)
            while running:
                done += _finished(running)
                progress(done, total)
    except BrokenProcessPool as error:
        raise UserError(
            "a process that draws pictures was killed, perhaps for want of memory; lower machine.threads; "
            "what is drawn is kept"
        ) from error


def _pool(workers: int) -> Executor:
    """Processes (which, unlike those of Pool, are noticed when they are killed); where they cannot share
    memory, as in containers without /dev/shm, one thread."""
    try:
        return ProcessPoolExecutor(workers)
    except (OSError, NotImplementedError, ImportError):
        return ThreadPoolExecutor(1)


def _pieces(pictures: Mapping[str, object]) -> Iterator[list[str]]:
    """The names in pieces of one shard each."""
    names = iter(pictures)
    while piece := list(islice(names, SHARD)):
        yield piece


def _finished(running: dict) -> int:
    """Waits for a shard, takes those that are finished out of `running` and counts their pictures."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return sum(running.pop(future) for future in done)


def _holds(path: Path, names: Sequence[str]) -> bool:
    """Whether a shard is there whole with these pictures, every page as it was written."""
    try:
        with _open(path) as file:
            groups = (file.read_row_group(group)["name"] for group in range(file.num_row_groups))
            return [name for group in groups for name in group.to_pylist()] == list(names)
    except (OSError, pa.ArrowException, KeyError):  # not there, cut off or changed
        return False


def _write_shard(path: Path, jobs: Sequence[tuple[str, object]], draw: Callable) -> None:
    """Draws the pictures of a shard and writes it: beside it, then synced and renamed."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        with pq.ParquetWriter(file, SCHEMA, compression="none", write_page_checksum=True) as writer:
            rows, held = [], 0
            for name, wanted in jobs:
                rows.append(_row(name, _drawn(name, wanted, draw)))
                held += len(rows[-1]["image"]["bytes"])
                if held >= GROUP:
                    writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                    rows, held = [], 0
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
        disk.sync_file(file)
    part.replace(path)


def _drawn(name: str, wanted: object, draw: Callable) -> Image.Image | bytes:
    try:
        return draw(wanted)
    except Exception as error:  # whatever a world raises, only the picture's name is added
        error.add_note(f"while the picture {name} was drawn")
        raise


def _row(name: str, drawn: Image.Image | bytes) -> dict:
    """A row of a shard. Pictures are upright and opaque when they are kept, so that a reader needs only
    `convert("RGB")`; a palette stays one, which is quicker by far and several times smaller."""
    encoded = drawn if isinstance(drawn, bytes) else None
    image = _decoded(name, encoded) if encoded is not None else drawn
    if encoded is None or not (isinstance(drawn, Drawn) or is_upright(image)):
        image = upright(image)
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", compress_level=1)
        encoded = buffer.getvalue()
    width, height = image.size
    return {
        "name": name,
        "image": {"bytes": encoded, "path": name},
        "width": width,
        "height": height,
        "sum": sha256(encoded).hexdigest(),
    }


def _decoded(name: str, encoded: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(encoded)) if isinstance(encoded, Drawn) else decoded(encoded)
    except BROKEN as error:
        raise UserError(f"the picture {name} cannot be read ({why(error)}); replace its file") from error


class Shards:
    """The pictures of a data folder by name. Only an index is in memory; bytes are read when asked for."""

    def __init__(self, folder: Path, longest: int = 0):
        """folder: the finished data stage; without pictures in it, there are none. longest: pixels; a picture
        with a longer side is shrunk to it when it is read; 0: none is."""
        self.longest = longest
        self.paths = sorted((folder / "pictures").glob("*.parquet"))
        self._places: dict[str, tuple[int, int, int]] = {}  # name → shard, row group, row in it
        self._facts: dict[str, tuple[int, int, str]] = {}  # name → width, height, sum
        for number in range(len(self.paths)):
            self._take_in(number)
        self._file = lru_cache(maxsize=32)(lambda number: _open(self.paths[number]))
        self._images = lru_cache(maxsize=16)(self._read_group)

    def _take_in(self, number: int) -> None:
        with _naming(self.paths[number]), _open(self.paths[number]) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["name", "width", "height", "sum"])
                for row, (name, *facts) in enumerate(zip(*table.to_pydict().values(), strict=True)):
                    self._places[name], self._facts[name] = (number, group, row), tuple(facts)

    def _read_group(self, number: int, group: int) -> pa.ChunkedArray:
        with _naming(self.paths[number]):
            return self._file(number).read_row_group(group, columns=["image"])["image"]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order in which the pictures were made."""
        return tuple(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def shard_of(self, name: str) -> int:
        """The number of the shard that holds a picture."""
        return self._places[self._known(name)][0]

    def size(self, name: str) -> tuple[int, int]:
        """Width and height in pixels, as it is read."""
        return fitted(self._facts[self._known(name)][:2], self.longest)

    def sum(self, name: str) -> str:
        """SHA-256 of the picture's bytes."""
        return self._facts[self._known(name)][2]

    def bytes(self, name: str) -> bytes:
        """The encoded picture, a PNG or a JPEG."""
        number, group, row = self._places[self._known(name)]
        return self._images(number, group)[row]["bytes"].as_py()

    def read(self, name: str) -> Image.Image:
        """The picture in RGB. Raises UserError naming picture and shard where it is missing or broken."""
        encoded = self.bytes(name)
        try:
            with Image.open(io.BytesIO(encoded)) as image:
                whole = image.convert("RGB")
        except BROKEN as error:
            path = self.paths[self._places[name][0]]
            raise UserError(f"the picture {name} in {show(path)} is broken ({why(error)}); {REDO}") from error
        size = fitted(whole.size, self.longest)
        return whole if size == whole.size else whole.resize(size, Image.Resampling.LANCZOS)

    def _known(self, name: str) -> str:
        if name not in self._places:
            where = show(self.paths[0].parent) if self.paths else "the data folder, which holds no pictures"
            raise UserError(f"there is no picture {name} in {where}; {REDO}")
        return name


def fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Width and height, shrunk in proportion where a side is longer than `longest` pixels (0: never)."""
    by = max(size) / longest if longest else 1.0
    return size if by <= 1.0 else tuple(max(1, round(side / by)) for side in size)


def _open(path: Path) -> pq.ParquetFile:
    return pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turns what parquet says about a damaged file into a UserError that names it and the fix."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        raise UserError(f"the pictures in {show(path)} are damaged ({error}); {REDO}") from error
