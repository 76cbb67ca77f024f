"""Locks of the operating system on files, which end with their owner, however that dies. Where a file system
has none (some NFS, Lustre, FUSE), a name that is the kernel's own stands in: it excludes processes of this
machine, not those of other hosts."""

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from mmrc_helpers.errors import UserError, show

HAS_NONE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
POLL_SECONDS = 0.1


def _silent(*words) -> None:
    """Says nothing."""


@contextlib.contextmanager
def locked(
    path: Path, seconds: float = 0.0, waiting: Callable = _silent, alone: Callable = _silent
) -> Iterator[IO]:
    """The file, made if it is missing, open and locked while the context lasts.

    Raises BlockingIOError if another process holds it for longer than `seconds` (`math.inf` waits for ever).
    `waiting` hears once, before waiting, what is written in the file; `alone` is called if the file system
    has no locks."""
    with path.open("a+", encoding="utf-8") as file, contextlib.ExitStack() as held:
        deadline, has_waited = time.monotonic() + seconds, False
        while not _lock(file, fcntl.LOCK_EX, held, alone):
            if time.monotonic() >= deadline:
                raise BlockingIOError(f"{path} is locked by another process")
            if not has_waited:
                file.seek(0)
                waiting(file.read())
                has_waited = True
            time.sleep(POLL_SECONDS)
        yield file


def is_locked(path: Path) -> bool:
    """Whether a living process holds the file at this moment; needs no more than the right to read it."""
    try:
        with path.open(encoding="utf-8") as file, contextlib.ExitStack() as held:
            return not _lock(file, fcntl.LOCK_SH, held, _silent)
    except FileNotFoundError:
        return False


def _lock(file: IO, kind: int, held: contextlib.ExitStack, alone: Callable) -> bool:
    """Whether the lock is ours now: on the file itself, or on the name that stands in for it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in HAS_NONE:
            raise
    if sys.platform != "linux":
        raise UserError(
            f"{show(Path(file.name))} lies on a file system without locks; set MMRC_ARTIFACTS to another"
        )
    alone()
    return _bind(hashlib.sha256(os.fsencode(os.path.realpath(file.name))).hexdigest(), held)


def _bind(name: str, held: contextlib.ExitStack) -> bool:
    """Whether the name in Linux's abstract namespace of sockets is ours now; it ends with its owner as a lock
    does."""
    with contextlib.ExitStack() as opened:
        holder = opened.enter_context(socket.socket(socket.AF_UNIX))
        try:
            holder.bind(f"\0mmrc-lock-{name}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        held.push(opened.pop_all())
    return True
