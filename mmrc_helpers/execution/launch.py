"""Starts a module of the package in processes of its own, watches them and ends them: the desk's side of a
launch (worker.py is the other). Each has its own session, guard and port, so studies run side by side."""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.execution import guard
from mmrc_helpers.execution.machine import count_ranks, devices, environment, require_loopback
from mmrc_helpers.execution.worker import done_mark, heartbeat_file
from mmrc_helpers.store import disk, files, locks

POLL_SECONDS = 0.1
CACHED = 60  # seconds for which file systems that hosts share may show an older time of a file
TAIL_LINES = 30
LINE = 72  # columns of a progress line, so that a shorter one covers a longer one


class StageFailed(Exception):
    """A module ended without its completion mark; the message ends with the log's tail. Exit status 1."""


def run_module(module: str, folder: Path, machine: Mapping, echo: Callable[..., None] = print) -> dict:
    """Runs a module on `folder` as the `machine` section says; returns what its first rank left in
    done.json. Output goes to folder/log.txt; progress is echoed, ever more
    rarely, as one line that is written over itself (`echo` is called as `print` is). Nothing it started
    outlives this call or this process, however either ends.

    Raises UserError if the module blames its input or fills the disk, StageFailed if it ends, dies or hangs
    unfinished."""
    folder = Path(folder).absolute()
    ranks = count_ranks(machine)
    if not _all_done(folder, ranks):  # else the last caller died after the module's end
        _clear(folder)
        start = _write_header(folder / "log.txt", module)
        process = _start(module, folder, machine)
        relay = _relay(folder / "log.txt", start, echo)
        try:
            reason = _watch(process, folder, machine, relay)
        finally:
            end(process)
        next(relay)
        relay.close()
        if (folder / "error.json").exists():
            raise UserError(files.read_json(folder / "error.json")["message"])
        if not _all_done(folder, ranks):
            tail = "\n".join(_tail(folder / "log.txt", start))
            if disk.is_full(folder) or re.search("No space left on device|Disk quota exceeded", tail):
                raise disk.full(folder)
            raise StageFailed(f"{module}: {reason}\nThe end of {show(folder / 'log.txt')}:\n{tail}")
    for path in folder.glob("heartbeat-*"):
        path.unlink()
    return files.read_json(folder / "done.json")


def _start(name: str, folder: Path, machine: Mapping) -> subprocess.Popen:
    """The guard process, in a session of its own, with the launcher and the ranks below it."""
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            guarded(_command(name, folder, machine)),
            env=environment(folder, machine),
            cwd=files.REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def guarded(command: Sequence[str]) -> list[str]:
    """A command below a guard, which lets nothing of it outlive this process."""
    return [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), *command]


def _command(name: str, folder: Path, machine: Mapping) -> list[str]:
    python, module = [sys.executable, "-u"], ["-m", name, str(folder)]
    count = machine["processes"]
    if machine["launcher"] == "python":
        return [*python, *module]
    require_loopback(machine)
    if machine["launcher"] == "torchrun":
        here = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
        return [*python, "-m", "torch.distributed.run", f"--nproc-per-node={count}", *here, *module]
    if machine["launcher"] == "accelerate":
        several = ["--multi_gpu"] if count > 1 else []  # which on CPUs, too, starts a process for each rank
        here = ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
        here += [f"--num_processes={count}", f"--main_process_port={_free_port()}"]
        return [*python, "-m", "accelerate.commands.launch", *several, *here, "--module", name, str(folder)]
    port = f"--master_port={_free_port()}"
    module = ["--module", name, str(folder)]
    if machine["hostfile"]:
        hosts = str(files.meant(machine["hostfile"], "machine.hostfile"))
        return [*python, "-m", "deepspeed.launcher.runner", "--hostfile", hosts, port, *module]
    # DeepSpeed's launcher for one host, without its runner for many, which costs two more seconds, orphans
    # the ranks on SIGTERM and takes this launcher's death for success (deepspeed 0.19.8, launcher/runner.py).
    hosts = base64.urlsafe_b64encode(json.dumps({"localhost": devices(machine)}).encode()).decode()
    here = [f"--world_info={hosts}", "--master_addr=127.0.0.1", port, "--log_level=warning"]
    return [*python, "-m", "deepspeed.launcher.launch", *here, *module]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _all_done(folder: Path, ranks: int) -> bool:
    return all(done_mark(folder, number).exists() for number in range(ranks))


def _clear(folder: Path) -> None:
    """Waits for ranks of an earlier attempt that are still dying, then removes their marks."""
    for path in folder.glob("heartbeat-*"):
        try:
            with locks.locked(path, seconds=60):
                path.unlink()
        except BlockingIOError:
            raise StageFailed(
                f"process {path.read_text()} of an earlier attempt still works in {show(folder)}"
            ) from None
    for path in (folder / "error.json", *folder.glob("done*.json")):
        path.unlink(missing_ok=True)


def _watch(process: subprocess.Popen, folder: Path, machine: Mapping, relay: Iterator[None]) -> str:
    """Waits until all ranks are done, the launcher has ended or a rank is silent too long; returns which."""
    ranks, patience = count_ranks(machine), machine["heartbeat_seconds"]
    elsewhere = bool(machine["hostfile"])
    silence = _changes(folder) if elsewhere else _times(folder)
    while process.poll() is None:
        next(relay)
        if _all_done(folder, ranks):
            return "it is done"
        for number in range(ranks):
            lasting = silence(number) > patience + (CACHED if elsewhere else 0)
            if lasting and not done_mark(folder, number).exists():
                if not elsewhere:  # process ids of other hosts are somebody else's here
                    _dump_stacks(folder)
                shown = "" if elsewhere else "; its stack is in the log"
                return f"rank {number} of {ranks} was silent for {patience} s{shown}"
        time.sleep(POLL_SECONDS)
    killed = " (killed; out of memory?)" if process.returncode in (137, 247) else ""
    return f"it ended unfinished, with exit status {process.returncode}{killed}"


def _times(folder: Path) -> Callable[[int], float]:
    """Seconds since a rank's last sign of life: its heartbeat's time, on this host's monotonic clock."""
    began = time.monotonic()
    return lambda number: time.monotonic() - max(began, _last_beat(folder, number))


def _changes(folder: Path) -> Callable[[int], float]:
    """The same for ranks of several hosts, whose clocks say nothing here: since its heartbeat's time was seen
    to change."""
    began, seen = time.monotonic(), {}

    def silence(number: int) -> float:
        now, beat = time.monotonic(), _last_beat(folder, number)
        before, since = seen.setdefault(number, (beat, began))
        if beat != before:
            since = now
            seen[number] = beat, now
        return now - since

    return silence


def _last_beat(folder: Path, number: int) -> float:
    """The time of a rank's heartbeat, of its host's monotonic clock; 0 before the first."""
    path = heartbeat_file(folder, number)
    return path.stat().st_mtime if path.exists() else 0.0


def _dump_stacks(folder: Path) -> None:
    """Makes every rank write the stacks of its threads to the log."""
    for path in folder.glob("heartbeat-*"):
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(int(path.read_text()), signal.SIGUSR1)
    time.sleep(1.0)


def end(process: subprocess.Popen) -> None:
    """Ends everything below a guard: it does so itself, or we do if it was killed."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    guard.kill_marked(process.pid)


def _relay(log_path: Path, start: int, echo: Callable[..., None]) -> Iterator[None]:
    """Each step echoes the warnings since byte `start` of the log and the newest progress line, but none
    within 5 s, or 5 % of the time so far, of another, and lets the next one be written over it; closing it
    echoes the last one to stay."""
    began = said = time.monotonic()
    rest, last, shown = b"", "", ""
    with log_path.open("rb") as log:
        log.seek(start)
        try:
            while True:
                *lines, rest = (rest + log.read()).split(b"\n")
                for line in lines:
                    if line.startswith(b"warning: "):
                        echo(line.decode(errors="replace"))
                last = next(
                    (x.decode(errors="replace") for x in reversed(lines) if x.startswith(b"progress ")), last
                )
                now = time.monotonic()
                if last != shown and now - said > max(5.0, 0.05 * (now - began)):
                    echo(f"{last.removeprefix('progress '):<{LINE}}", end="\r")
                    shown, said = last, now
                yield
        finally:
            if last:
                echo(f"{last.removeprefix('progress '):<{LINE}}")


def _write_header(log_path: Path, name: str) -> int:
    """Begins an attempt's part of the log; returns where it starts, in bytes."""
    with log_path.open("a", encoding="utf-8") as log:
        start = log.tell()
        log.write(f"--- {time.strftime('%F %T')} {name}\n")
    return start


def _tail(log_path: Path, start: int) -> list[str]:
    """The last lines of this attempt, without progress."""
    with log_path.open("rb") as log:
        log.seek(start)
        lines = log.read().decode(errors="replace").splitlines()
    return [line for line in lines if not line.startswith("progress ")][-TAIL_LINES:]
