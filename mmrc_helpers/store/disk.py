"""What every file needs of the disk: space before it is written, a sync behind it, and its size and sum to
know it again."""

import contextlib
import ctypes
import errno
import hashlib
import os
import pwd
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from mmrc_helpers.errors import UserError, show

FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
NOT_OFFERED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # some network and user-space file systems


def sizes_and_sums(folder: Path) -> dict[str, list]:
    """{file: [bytes, SHA-256]} of all files below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): _size_and_sum(path) for path in paths}


def unlike(folder: Path, files: Mapping[str, Sequence]) -> list[str]:
    """One sentence for every file of `sizes_and_sums` that is missing or has changed since."""
    problems = []
    for name, (size, written) in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{show(path)} is missing")
        elif path.stat().st_size != size or checksum(path) != written:
            problems.append(f"{show(path)} is not what was written{_line_ends(path, written)}")
    return problems


def _line_ends(path: Path, written: str) -> str:
    """The cause, if a text went through a tool for Windows: its line ends are others, and nothing else is."""
    content = path.read_bytes() if path.stat().st_size < 1e8 else b""
    if hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest() != written:
        return ""
    return ": its line ends were changed (git's core.autocrlf, or an editor)"


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size_and_sum(path: Path) -> list:
    return [path.stat().st_size, checksum(path)]


def sync(folder: Path) -> None:
    """Returns when what was written below `folder` has reached the disk. Linux syncs the file system at once:
    fsync for each of 2,320 pictures took 8.5 s where this takes 0.03 s."""
    if sys.platform != "linux":
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) and ctypes.get_errno() not in NOT_OFFERED:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)


def sync_file(file: IO) -> None:
    """Returns when what was written to an open file has reached the disk."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise


def size(folder: Path) -> int:
    """Bytes in all files below a folder; 0 if there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def require(folder: Path, needed: int) -> None:
    """Raises UserError, with the numbers and the cure, unless `needed` bytes are free where `folder` is."""
    free = shutil.disk_usage(_existing(folder)).free
    if free < needed:
        raise UserError(
            f"{show(folder)} needs about {needed / 1e9:.3g} GB of disk, and {free / 1e9:.3g} GB are free; "
            f"{_CURE}"
        )


def is_full(folder: Path) -> bool:
    """Whether the disk under `folder` has no megabyte left."""
    return shutil.disk_usage(_existing(folder)).free < 1e6


def full(folder: Path) -> UserError:
    """The error that says that writing into `folder` has filled its disk."""
    return UserError(f"the disk is full, so {show(folder)} is unfinished; {_CURE}; it then goes on from here")


@contextlib.contextmanager
def writing_into(folder: Path) -> Iterator[None]:
    """Turns the system's word about a full disk, or about files that are somebody else's, into a UserError
    that names the file and the cure."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise full(folder) from error
        if error.errno in DENIED:
            raise _denied(folder / (error.filename or ""), error.strerror) from error
        raise


def _denied(path: Path, why: str) -> UserError:
    """The error that says whose a file is that we may not use."""
    place = next(place for place in (path, *path.parents) if os.access(place, os.F_OK))
    owner = name = place.stat().st_uid
    with contextlib.suppress(KeyError):  # in a container, a user may have no name
        name = pwd.getpwuid(owner).pw_name
    whose = "" if owner == os.geteuid() else f"; it is user {name}'s"
    return UserError(
        f"cannot use {show(path)} ({why}{whose}); have it opened to you (chmod -R g+rwX, and umask 002 from "
        "then on), or set MMRC_ARTIFACTS to a folder of yours"
    )


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


_CURE = (
    "free some (`python -m mmrc_helpers.run --clean` shows what no study uses) or set MMRC_ARTIFACTS to a "
    "folder on a larger disk"
)
