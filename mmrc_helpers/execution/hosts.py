"""Several hosts, as DeepSpeed's hostfile names them: `HOST slots=GPUS`, a line each. What is wrong with them
is said before any work, because DeepSpeed would say it after the data are made."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError, listed
from mmrc_helpers.store import files

LINE = re.compile(r"(\S+)\s+slots=(\d+)(?:\s+#.*)?")
SHAPE = "its lines are `HOST slots=GPUS`"
HERE = ("localhost", "127.0.0.1", "::1")
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
        if host in found:
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
    for host, slots in found.items():
        if _is_here(host) and gpus is not None and slots > gpus:
            yield f"machine.hostfile: {host} has slots={slots}, but there are {gpus} visible GPUs here"
    needed = ("ssh", "pdsh") if len(found) > 1 else ("ssh",)
    if lacking := [name for name in needed if not shutil.which(name)]:
        yield (
            f"machine.hostfile: DeepSpeed reaches hosts by {listed(lacking)}, which is not here; install it"
            + ('; for this host alone write hostfile: "" and processes' if len(found) == 1 else "")
        )
    elif away := [host for host in found if subprocess.run(
            [*REACHED, host, "true"], stdin=subprocess.DEVNULL, capture_output=True).returncode]:  # fmt: skip
        yield (
            f"machine.hostfile: no answer by ssh without a password from {listed(away)}; try `ssh HOST "
            "hostname`, and set up keys, or leave the host out"
        )


def _is_here(host: str) -> bool:
    return host in (*HERE, socket.gethostname())
