"""One try of a study in an artifacts folder of its own: its processes, a signal at a moment, its end."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults import MOMENTS

from mmrc_helpers.store import files

PATIENCE = 300  # seconds for a run that was disturbed to end by itself, and for one to reach its moment
MARK = "MMRC_CHAOS"  # every process of a trial inherits this variable


@dataclass(frozen=True)
class Study:
    """A finished, undisturbed study and the command that made it; `write` sets its launcher."""

    reference: Path
    command: list[str]
    write: Callable[[str], object] = lambda launcher: None


class Trial:
    """One artifacts folder of a study, and its processes, which are found by a mark in their environment."""

    def __init__(self, study: Study, artifacts: Path, log: Path):
        self.study, self.artifacts, self.log = study, artifacts, log
        self.mark = f"{MARK}={os.getpid()}-{random.randbytes(8).hex()}"

    def begin(self, *more: str) -> subprocess.Popen:
        """Starts the study's command, in a session of its own."""
        name, value = self.mark.split("=")
        own = {name: value, "MMRC_ARTIFACTS": str(self.artifacts), "PYTHONPATH": str(files.REPOSITORY)}
        with self.log.open("w") as log:
            return subprocess.Popen(
                [*self.study.command, *more],
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, runner: subprocess.Popen) -> int | None:
        """The runner's exit status once it has ended by itself; None if it had to be ended."""
        try:
            return runner.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.close()
            runner.wait()
            return None

    def run(self, *more: str) -> tuple[int | None, str]:
        """Runs the command to its end; its exit status and what it said."""
        code = self.end(self.begin(*more))
        return code, self.log.read_text()

    def processes(self) -> dict[int, tuple[str, str, int]]:
        """Process id → command line, RANK and parent, of everything that is alive and ours."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                variables = (path / "environ").read_text(errors="replace").split("\0")
                if self.mark in variables:
                    command = (path / "cmdline").read_text().replace("\0", " ") + (path / "comm").read_text()
                    rank = next((v[5:] for v in variables if v.startswith("RANK=")), "0")
                    state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
                    if state != "Z":
                        found[int(path.name)] = (command, rank, int(parent))
            except OSError:  # it ended while we looked
                continue
        return found

    def find(self, target: str, runner: int) -> int | None:
        """The process that plays this part now: the newest, but a rank and not the workers that it forked."""
        newest_first = not target.startswith("rank")
        for pid, (command, rank, parent) in sorted(self.processes().items(), reverse=newest_first):
            if target == _part_of(command, rank, parent == runner, pid == runner):
                return pid
        return None

    def survivors(self, seconds: float = 5) -> list[str]:
        """Command lines of what is still alive so many seconds from now; those are then killed."""
        deadline = time.monotonic() + seconds
        while (alive := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.close()
        return [command for command, _, _ in alive.values()]

    def close(self) -> None:
        """Kills what is still alive."""
        for pid in self.processes():
            _signal(pid, signal.SIGKILL)


def _part_of(command: str, rank: str, is_child: bool, is_runner: bool) -> str:
    if is_runner:
        return "runner"
    if "guard.py" in command:
        return "guard"
    if "torch.distributed.run" in command or "deepspeed.launcher" in command:
        return "launcher"
    if "mmrc-kernel" in command:
        return "kernel"
    return "papermill" if is_child else f"rank {rank}" if "-m mmrc_helpers.programs." in command else "other"


def send(trial: Trial, target: str, action: str, moment: str, rng: random.Random) -> dict:
    """Sends the signal to the process at the moment."""
    _, pattern, spread = MOMENTS[moment]
    runner, delay, deadline = trial.begin(), rng.uniform(0, spread), time.monotonic() + PATIENCE
    while not any(trial.artifacts.glob(pattern)) and runner.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay)
    pid, deadline = None, time.monotonic() + 3
    while pid is None and runner.poll() is None and time.monotonic() < deadline:
        pid = trial.find(target, runner.pid)
    there = _signal(pid or 0, getattr(signal, f"SIG{action}"))
    hit = f"{target} {delay:.2f} s into {moment}" if there else ""
    if action == "STOP" and target in ("runner", "papermill", "kernel"):
        time.sleep(3)  # nobody watches these: who stops them (Ctrl-Z) also continues them
        _signal(pid or 0, signal.SIGCONT)
    code = trial.end(runner)
    return {"hit": hit, "exit": code, "hung": code is None, "said": last_lines(trial.log)}


def take_snapshot(reference: Path, artifacts: Path, without: list[str]) -> None:
    """Copies a finished study without these."""
    gone = {path for pattern in without for path in reference.glob(pattern) if not path.is_symlink()}

    def left_out(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if Path(folder, name) in gone}

    shutil.copytree(reference, artifacts, symlinks=True, ignore=left_out, dirs_exist_ok=True)


def _signal(pid: int, number: int) -> bool:
    """Whether the process was there to be signalled."""
    try:
        if pid:
            os.kill(pid, number)
        return bool(pid)
    except ProcessLookupError:
        return False


def last_lines(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-4:])[-600:]
