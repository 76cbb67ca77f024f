"""Files of features: which pictures go together in one, each whole or not there at all, within a budget."""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mmrc_helpers.store import disk
from mmrc_helpers.store.pictures import Shards

PIXELS = 1 << 20  # of a group: 256 portraits of 64 x 64
SUM = "sha256"  # of the numbers, in the header
DAY = 86400  # seconds; what a killed process left half done and is older goes


def groups(
    shards: Shards, names: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, int]]]:
    """{name of a group: its pictures} of all groups that hold one of `names`, and each picture's place."""
    wanted = {shards.shard_of(name) for name in names}
    pieces: list[list[str]] = []
    last, pixels = -1, 0
    for name in shards.names:
        shard, (width, height) = shards.shard_of(name), shards.size(name)
        if shard not in wanted:
            continue
        if shard != last or pixels + width * height > PIXELS:
            pieces.append([])
            last, pixels = shard, 0
        pieces[-1].append(name)
        pixels += width * height
    asked, found, places = set(names), {}, {}
    for piece in pieces:
        if asked.isdisjoint(piece):
            continue
        digest = hashlib.sha256(" ".join(map(shards.sum, piece)).encode()).hexdigest()[:32]
        found[digest] = tuple(piece)
        places |= {name: (digest, row) for row, name in enumerate(piece)}
    return found, places


def write(path: Path, features: Mapping[str, torch.Tensor]) -> None:
    """Writes a file with the sum of its numbers: beside it, then synced and renamed. Raises UserError on a
    full disk."""
    plain = save(dict(features))
    content = save(dict(features), {SUM: hashlib.sha256(plain[_start(plain) :]).hexdigest()})
    part = path.with_name(f".{path.stem}.{os.getpid()}")
    try:
        with disk.writing_into(path.parent), part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read(path: Path) -> dict[str, torch.Tensor]:
    """The features in a file, where they stay until they are used."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)


def is_whole(path: Path) -> bool:
    """Whether a file of features is there to its last byte and every number is the one that was written."""
    try:
        with safe_open(path, "pt") as file:
            wanted = (file.metadata() or {}).get(SUM)
        with path.open("rb") as content:
            content.seek(_start(content.read(8)))
            return hashlib.file_digest(content, "sha256").hexdigest() == wanted
    except (FileNotFoundError, SafetensorError):
        return False


def _start(content: bytes) -> int:
    """Where the numbers of a file of safetensors begin: behind eight bytes of length and so long a header."""
    return 8 + int.from_bytes(content[:8], "little")


def remove_oldest(root: Path, budget_bytes: int, needed: set[Path]) -> None:
    """Removes the files that were not used for longest until the rest fits the budget, never those needed;
    and what killed processes left yesterday or before."""
    for torn in root.glob("*/.*"):
        if time.time() - torn.stat().st_mtime > DAY:
            torn.unlink(missing_ok=True)
    found = [(path, path.stat()) for path in root.glob("*/*.safetensors")]
    total = sum(stat.st_size for _, stat in found)
    for path, stat in sorted(found, key=lambda item: item[1].st_mtime):
        if total <= budget_bytes:
            return
        if path not in needed:
            path.unlink(missing_ok=True)
            total -= stat.st_size
