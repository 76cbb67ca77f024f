"""The machine's side of a launch, for modules that are started with a folder as their one argument:

    def main(folder: Path) -> dict | None:      # everything it needs is in folder/recipe.json
        for step in range(total):
            ...
            worker.progress(step + 1, total, loss=loss)     # every rank, every step: it is the heartbeat

    if __name__ == "__main__":
        worker.run_main(main)

Success is the module's own mark, done.json, which `run_main` writes when `main` has returned; never an exit
status. A rank that calls neither `progress` nor `beat` for machine.heartbeat_seconds is taken for hung."""

import contextlib
import faulthandler
import gc
import os
import platform
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import guard
from mmrc_helpers.store import disk, files, locks

JOB = "MMRC_JOB"  # in the environment of what a cluster's job starts: where `time_is_up` looks


def run_main(main: Callable[[Path], Mapping | None]) -> None:
    """The command line of a module: calls `main(folder)` with the one folder given, then writes done.json
    (seconds, memory, device, what `main` gave). A UserError becomes error.json and exit status 2. Dies with
    its launcher; on SIGUSR1 it writes the stack of every thread to the log."""
    folder = Path(sys.argv[-1]).absolute()
    if not (folder / "recipe.json").is_file():
        sys.exit(f"usage: python -m {main.__module__} FOLDER   (a folder that holds recipe.json)")
    gc.freeze()  # the modules stay, so that no collection looks at them
    gc.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    guard.die_with_parent()
    began = time.monotonic()
    with _heartbeat(heartbeat_file(folder, rank())):
        try:
            facts = main(folder) or {}
        except UserError as error:
            files.write_json(folder / "error.json", {"message": str(error)})
            sys.exit(2)
        sys.stdout.flush()
        if rank() == 0:
            disk.sync(folder)
        seconds = round(time.monotonic() - began, 2)
        taken = {"seconds": seconds, "memory_gb": _memory_gb(), "device": _device()}
        files.write_json(done_mark(folder, rank()), {**taken, **facts})


def rank() -> int:
    """This process's number among `world_size`, from 0."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes share the work."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def wait_for_all() -> None:
    """Returns when every process is here; for modules that exchange nothing else."""
    if world_size() > 1:
        from torch import distributed

        if not distributed.is_initialized():
            distributed.init_process_group("gloo")
        distributed.barrier()
        distributed.destroy_process_group()


def progress(step: int, total: int, **facts: float | str) -> None:
    """Says on rank 0, now and then, how far it is: step, rate, time left, facts, memory. A heartbeat."""
    beat()
    now = time.monotonic()
    first_step, first_time, said = _this_rank.setdefault("progress", (step, now, -1e9))
    due = now - said > max(2.0, 0.02 * (now - first_time)) or step >= total
    if due and rank() == 0:
        _this_rank["progress"] = (first_step, first_time, now)
        words = [f"progress {step}/{total}"]
        if step > first_step and now > first_time:
            rate = (step - first_step) / (now - first_time)
            words.append(f"{rate:.3g}/s, {_clock((total - step) / rate)} left")
        words += [
            f"{key} {fact:.4g}" if isinstance(fact, float) else f"{key} {fact}" for key, fact in facts.items()
        ]
        sys.stdout.write(", ".join([*words, f"{_memory_gb():.1f} GB"]) + "\n")
        sys.stdout.flush()


def warn(text: str) -> None:
    """Writes a warning to the log; whoever started the stage sees it at once."""
    print(f"warning: {text}", flush=True)


def time_is_up() -> Path | None:
    """The file that a cluster's job writes when its time is nearly up, and that goes once its work is saved;
    None as long as there is time."""
    told = os.environ.get(JOB)
    return Path(told) if told and os.path.exists(told) else None


def beat() -> None:
    """A sign of life, for work without steps such as loading. It must come from the working thread."""
    if heartbeat := _this_rank.get("heartbeat"):
        # This clock stands still while the machine sleeps, so that sleep is not taken for silence.
        os.utime(heartbeat, (time.monotonic(), time.monotonic()))


_this_rank: dict = {}  # a rank's own state: its heartbeat file, and when it last spoke


def heartbeat_file(folder: Path, rank: int) -> Path:
    """Holds the process id of the rank; its time is the last sign of life on the monotonic clock."""
    return folder / f"heartbeat-{rank}"


def done_mark(folder: Path, rank: int) -> Path:
    """Exists when the rank has finished; rank 0's is done.json."""
    return folder / (f"done-{rank}.json" if rank else "done.json")


@contextlib.contextmanager
def _heartbeat(path: Path) -> Iterator[None]:
    """Holds the file, with our process id in it, locked while we live."""
    with contextlib.ExitStack() as held:
        try:
            file = held.enter_context(locks.locked(path))
        except BlockingIOError:
            sys.exit(f"another process is at work in {path.parent}")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _this_rank["heartbeat"] = path
        beat()
        yield


def _memory_gb() -> float:
    """The most memory this process has held: of its GPU if it has one, else of the machine."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return round(torch.cuda.max_memory_reserved() / 1e9, 2)
    if sys.platform != "linux":
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9, 2)
    # Linux's ru_maxrss also counts the launcher that we were forked from.
    kilobytes = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
    return round(int(kilobytes) * 1024 / 1e9, 2)


def _device() -> str:
    """What computes here: its kind and, because digits depend on it, the instructions torch uses on a CPU."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    with_ = f", {torch.backends.cpu.get_cpu_capability()}" if torch is not None else ""
    return f"CPU ({platform.machine()}{with_})"


def _clock(seconds: float) -> str:
    """90 → 1:30; 3700 → 1:01:40."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
