"""Runs a command and lets nothing of it survive: `python guard.py OWNER_PID COMMAND …`. When its owner dies,
the command ends or it is told to stop itself, it kills every process that the command started. It uses the
standard library only, for a quick start. Complete on Linux; elsewhere the process group must do."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

POLL_SECONDS = 0.1
SET_PDEATHSIG, SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2); does nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def guard(owner: int, command: list[str]) -> int:
    """Runs `command` until it ends or our parent `owner` dies; returns its exit status as shells give it."""
    prctl(SET_CHILD_SUBREAPER, 1)  # orphans of the command become our children, so they can be found
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    launcher = os.fork()
    if launcher == 0:
        prctl(SET_PDEATHSIG, signal.SIGKILL)
        os.execvp(command[0], command)
    try:
        while os.getppid() == owner:
            for pid, status in _ended_children():
                if pid == launcher:
                    code = os.waitstatus_to_exitcode(status)
                    return code if code >= 0 else 128 - code
            time.sleep(POLL_SECONDS)
        return 1
    finally:
        _kill_all_below(os.getpid())


def _ended_children() -> list[tuple[int, int]]:
    """Process id and status of each child that has ended since the last call."""
    ended = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:  # there are no children at all
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def _kill_all_below(ancestor: int) -> None:
    """Kills the descendants until there are none: one may start another while we look."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while alive := descendants(ancestor):
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
        _ended_children()


def descendants(ancestor: int) -> list[int]:
    """The living processes that `ancestor` started, directly or not."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended while we looked
            continue
        if state != "Z":
            children.setdefault(int(parent), []).append(int(path.parent.name))
    found, todo = [], [ancestor]
    while todo:
        new = children.get(todo.pop(), [])
        found += new
        todo += new
    return found


if __name__ == "__main__":
    sys.exit(guard(int(sys.argv[1]), sys.argv[2:]))
