"""Several hosts, as DeepSpeed's hostfile names them: `HOST slots=GPUS`, a line each. What is wrong with them
is said before any work, because DeepSpeed would say it after the data are made."""

import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError, listed
from mmrc_helpers.store import files

LINE = re.compile(r"(\S+)\s+slots=(\d+)(?:\s+#.*)?")
SHAPE = "its lines are `HOST slots=GPUS`"
HERE = ("localhost", "127.0.0.1", "::1")
UNREACHED = 255  # ssh's own exit status
REACHED = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")


def read(machine: Mapping) -> dict[str, int]:
    """The processes of each host in machine.hostfile. Raises UserError for what DeepSpeed refuses."""
    place = files.meant(machine["hostfile"], "machine.hostfile")
    if not place.is_file():
        raise UserError(f"machine.hostfile: {place} {_missing(place)}; {SHAPE}")
    try:
        lines = place.read_text(encoding="utf-8-sig").splitlines()
    except ValueError:
        raise UserError(f"machine.hostfile: {place} is no text; {SHAPE}") from None
    found: dict[str, int] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        where, said = f"machine.hostfile: {place}, line {number}:", LINE.fullmatch(line)
        if not said:
            raise UserError(f"{where} {line!r} is not understood; {SHAPE}")
        host, slots = said[1], int(said[2])
        if not slots:
            raise UserError(f"{where} {host} has slots=0; write how many of its GPUs to use, or leave it out")
        if host.startswith("-"):
            raise UserError(f"{where} {host!r} would be an option of ssh; write a host's name")
        if host.lower() in map(str.lower, found):  # names of hosts ignore case
            raise UserError(f"{where} {host} is there twice; write it once, with all its GPUs")
        found[host] = slots
    if not found:
        raise UserError(f"machine.hostfile: {place} names no host; {SHAPE}")
    return found


def _missing(place: Path) -> str:
    return "is a folder" if place.is_dir() else "does not exist"


def problems(machine: Mapping, gpus: int | None) -> Iterator[str]:
    """What stands against the hosts of a machine section that has a hostfile, a sentence each with its fix.
    gpus: how many there are here; None on CPUs."""
    if machine["launcher"] != "deepspeed":
        yield (
            f"machine.hostfile: machine.launcher {machine['launcher']} starts processes on this host alone; "
            'write launcher: deepspeed, or hostfile: ""'
        )
        return
    try:
        found = read(machine)
    except UserError as error:
        yield str(error)
        return
    if len(here := [host for host in found if _is_here(host)]) > 1:
        yield f"machine.hostfile: {listed(here)} are all this host; write one of them, with all its GPUs"
    for host, slots in found.items():
        if _is_here(host) and gpus is not None and slots > gpus:
            yield f"machine.hostfile: {host} has slots={slots}, but there are {gpus} visible GPUs here"
    needed = ("ssh", "pdsh") if len(found) > 1 else ("ssh",)
    if lacking := [name for name in needed if not shutil.which(name)]:
        yield (
            f"machine.hostfile: DeepSpeed reaches hosts by {listed(lacking)}, which is not here; install it"
            + ('; for this host alone write hostfile: "" and processes' if len(found) == 1 else "")
        )
        return
    yield from _unreached(found)


def _unreached(hosts: Iterable[str]) -> Iterator[str]:
    """Hosts that do not answer, or do not have what processes are started with."""
    wanted = {sys.executable: "-x", str(files.REPOSITORY): "-d", str(_artifacts()): "-d"}
    look = " && ".join(f"test {kind} {shlex.quote(place)}" for place, kind in wanted.items())
    said = {host: subprocess.run([*REACHED, host, look], stdin=subprocess.DEVNULL, capture_output=True)
            .returncode for host in hosts}  # fmt: skip
    if away := [host for host, status in said.items() if status == UNREACHED]:
        yield (
            f"machine.hostfile: no answer by ssh without a password from {listed(away)}; try `ssh HOST "
            "hostname`, and set up keys, or leave the host out"
        )
    if other := [host for host, status in said.items() if status not in (0, UNREACHED)]:
        yield (
            f"machine.hostfile: {listed(other)} has not all of {listed(wanted)}; hosts need the same "
            "environment and a file system that they share, at the same paths"
        )


def _artifacts() -> Path:
    """The artifacts folder, or what is there of it."""
    root = files.artifacts_root().absolute()
    return next(place for place in (root, *root.parents) if place.is_dir())


def _is_here(host: str) -> bool:
    return host.lower() in (*HERE, socket.gethostname().lower())
