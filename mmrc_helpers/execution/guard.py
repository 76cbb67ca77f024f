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
SET_PDEATHSIG, SET_NAME, SET_CHILD_SUBREAPER = 1, 15, 36  # linux/prctl.h
MARK = "MMRC_GUARD"  # in the environment of everything that a guard started: its process id


def prctl(option: int, value: int | bytes) -> None:
    """Linux's prctl(2); does nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def guard(owner: int, command: list[str]) -> int:
    """Runs `command` until it ends or our parent `owner` dies; returns its exit status as shells give it."""
    os.environ[MARK] = str(os.getpid())
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
        _kill(alive)
        time.sleep(0.01)
        _ended_children()


def _kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def die_with_parent() -> None:
    """Ends a process below a guard the moment its parent dies, and now if the guard is dead already: nothing
    tied the process to them while it loaded its modules. Started by hand, it may outlive its shell."""
    if sys.platform == "linux" and MARK in os.environ:
        prctl(SET_PDEATHSIG, signal.SIGKILL)
        if parent(int(os.environ[MARK])) is None:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_marked(guard: int) -> None:
    """Kills what a guard that was killed itself has left, wherever it hangs in the tree of processes."""
    mark, deadline = f"{MARK}={guard}".encode(), time.monotonic() + 5
    while (alive := _having(mark)) and time.monotonic() < deadline:
        _kill(alive)
        time.sleep(0.01)


def _having(mark: bytes) -> list[int]:
    """Processes of ours with this variable in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:  # it ended while we looked, or is somebody else's
            continue
    return found


def parent(pid: int) -> int | None:
    """The parent of a living process; None if there is no such process, or only its zombie."""
    try:
        # Bytes: the name of somebody's process may be in any encoding, or cut off within a letter.
        state, parent = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:2]
    except OSError:
        return None
    return None if state == b"Z" else int(parent)


def descendants(ancestor: int) -> list[int]:
    """The living processes that `ancestor` started, directly or not."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        if (of := parent(pid)) is not None:
            children.setdefault(of, []).append(pid)
    found, todo = [], [ancestor]
    while todo:
        new = children.get(todo.pop(), [])
        found += new
        todo += new
    return found


if __name__ == "__main__":
    sys.exit(guard(int(sys.argv[1]), sys.argv[2:]))
