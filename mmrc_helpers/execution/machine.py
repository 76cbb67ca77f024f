"""What the machine section means here: how many processes and threads, on which devices, in which
environment. What it leaves open follows from what this process was given (cores, memory, network), not from
what the machine has."""

import importlib.util
import os
import re
import resource
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import hosts, surroundings
from mmrc_helpers.store import files

NO_NETWORK = {  # the libraries' telemetry and hub look-ups stay off
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_OFFLINE": "1",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
}
PROJECT = "mmrc_helpers"  # what trackers file the runs under
# How schedulers, JupyterHub and Python (from 3.13 on) say how many cores of this machine are ours.
CORES_GIVEN = (
    "SLURM_CPUS_PER_TASK",
    "SLURM_CPUS_ON_NODE",
    "PBS_NCPUS",
    "NCPUS",
    "NSLOTS",
    "LSB_DJOB_NUMPROC",
    "CPU_LIMIT",
    "PYTHON_CPU_COUNT",
)
# How they say how much memory is ours, and in which unit.
MEMORY_GIVEN = {"SLURM_MEM_PER_NODE": 1 << 20, "MEM_LIMIT": 1}
CGROUPS = Path("/sys/fs/cgroup")
LIBRARIES = (
    1_500_000_000  # bytes of a process that answers questions, before its model (measured: 0.6 to 1.4 GB)
)
COPIES = 3  # of a model's weights, while it is loaded and asked


def for_stage(kind: str, machine: Mapping, weights: int = 0) -> dict:
    """The machine section with every number that it leaves open: one plain process for data that code draws
    ("data"; "paint" is what a model paints, in as many processes as training has), the ZeRO settings for
    training and, if `processes` is 0, on CPUs as many processes for evaluation and traces as cores and memory
    allow; their results do not depend on it. `weights`: bytes of the model on disk."""
    check_tracker(machine)
    settings = zero_settings(machine) if kind == "train" else {}
    processes = machine["processes"] or 1
    if kind == "data":
        machine = {**machine, "launcher": "python", "hostfile": ""}
    elif not machine["processes"] and kind in ("eval", "dynamics") and not uses_cuda(machine):
        processes = _fitting(weights) if has_loopback() and machine["launcher"] != "python" else 1
    if machine["launcher"] == "python":
        processes = 1
    alone = (
        processes == 1 and not machine["hostfile"] and not settings
    )  # then a launcher only costs time and sockets
    return {
        **machine,
        "launcher": "python" if alone else machine["launcher"],
        "processes": processes,
        "threads": machine["threads"] or max(1, cores() // _on_a_host(machine, processes)),
        "deepspeed": settings,
    }


def _on_a_host(machine: Mapping, processes: int) -> int:
    """How many processes share the cores of a host, at most."""
    several = machine["launcher"] == "deepspeed" and machine["hostfile"]
    return max(hosts.read(machine).values()) if several else processes


def check_tracker(machine: Mapping) -> None:
    """Raises UserError if what training is to be tracked by is not installed."""
    name = machine["tracker"]
    if name != "none" and importlib.util.find_spec(name) is None:
        raise UserError(
            f"machine.tracker: {name} is not installed here; `pip install {name}`, or write tracker: none"
        )


def tracking(folder: Path, machine: Mapping) -> dict[str, str]:
    """The environment in which a stage's tracker keeps what it logs in artifacts/tracking, under the stage's
    name, and goes on with that run after a crash. Of the three only wandb sends anything anywhere."""
    name, run = machine["tracker"], folder.name.removesuffix(".part")
    place = files.artifacts_root().resolve() / "tracking" / name
    if name != "none":
        files.make_folder(place)  # wandb writes elsewhere where it is missing
    return {
        "none": {},
        "tensorboard": {"TENSORBOARD_LOGGING_DIR": str(place / run)},
        "trackio": {"TRACKIO_DIR": str(place)},
        "wandb": {"WANDB_DIR": str(place), "WANDB_PROJECT": PROJECT, "WANDB_MODE": "online",
                  "WANDB_RUN_ID": run, "WANDB_RESUME": "allow"},
    }[name]  # fmt: skip


def sharding(machine: Mapping) -> str:
    """How training is sharded over processes: the ZeRO stage, "fsdp", or "none"."""
    return "fsdp" if machine["fsdp"] else machine["zero"]


def shards_weights(machine: Mapping) -> str:
    """The parameter by which no process holds all weights while training, as one says it; else empty."""
    return {"3": "machine.zero 3", "fsdp": "machine.fsdp"}.get(sharding(machine), "")


def runs_at_once(machine: Mapping) -> int:
    """How many runs of a study are computed side by side: as asked for, on the cores that there are; on GPUs
    one run has them all."""
    return 1 if uses_cuda(machine) else max(1, min(machine["runs_at_once"], cores()))


def zero_settings(machine: Mapping) -> dict:
    """DeepSpeed's settings for the section's ZeRO stage; none without one."""
    if machine["zero"] == "none":
        return {}
    settings = files.read_json(files.REPOSITORY / "params" / f"zero{machine['zero']}.json")
    if machine["offload"]:
        place = {"device": "cpu", "pin_memory": uses_cuda(machine)}
        kept = ("offload_optimizer", "offload_param") if machine["zero"] == "3" else ("offload_optimizer",)
        settings["zero_optimization"] |= dict.fromkeys(kept, place)
        settings["zero_force_ds_cpu_optimizer"] = False  # our optimizer steps there as well
    return settings


def _fitting(weights: int) -> int:
    return max(1, min(cores(), memory() // (LIBRARIES + COPIES * weights)))


def micro_batch(batch: int, processes: int, most: int, where: str = "", over: str = "processes") -> int:
    """Rows of one process and forward pass, at most `most`; 0 processes are one. Raises UserError unless the
    global batch divides into them evenly. over: the parameter of the machine section that says how many."""
    processes = processes or 1
    rows, rest = divmod(batch, processes)
    micro = min(most, rows)
    if rest or not rows:  # then no micro_batch helps
        raise UserError(
            f"{where}train.batch: {batch} rows do not divide into the {processes} processes of "
            f"machine.{over}; change one of them"
        )
    if rows % micro:
        raise UserError(
            f"{where}train.batch: {batch} rows do not divide into machine.{over}: {processes} x "
            f"machine.micro_batch: {micro}; change one of them"
        )
    return micro


def environment(folder: Path, machine: Mapping) -> dict[str, str]:
    """The environment of a stage's processes. It is ours: of the outer one's launchers, threads and settings
    of Python nothing gets through but what `machine.environment` names; paths, devices and credentials do."""
    threads = machine["threads"] or max(1, cores() // machine["processes"])
    ours = {**NO_NETWORK, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": str(threads)}
    if not uses_cuda(machine):
        ours |= {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    if not machine["hostfile"]:  # else gloo goes by what the host's name resolves to, if it does
        ours["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"
    ours |= tracking(folder, machine)
    ours |= {name: str(value) for name, value in machine["environment"].items()}
    if machine["hostfile"]:  # DeepSpeed hands only the variables in this file to other hosts
        ours["DS_ENV_FILE"] = str(folder / "environment")
        lines = "".join(f"{name}={value}\n" for name, value in ours.items())
        (folder / "environment").write_text(lines, encoding="utf-8")
    return {**surroundings.without_launchers(surroundings.own(os.environ)), **ours}


def uses_cuda(machine: Mapping) -> bool:
    """Whether stages run on NVIDIA devices. Raises UserError if they have to and there is none."""
    present = any(Path("/dev").glob("nvidia[0-9]*")) and os.environ.get("CUDA_VISIBLE_DEVICES") != ""
    if machine["accelerator"] == "cuda" and not present:
        raise UserError("machine.accelerator: cuda, but there is no NVIDIA device here; write auto or cpu")
    return present and machine["accelerator"] != "cpu"


def devices(machine: Mapping) -> list:
    """The devices of the ranks: those of CUDA_VISIBLE_DEVICES if it is set, else 0, 1, …; -1 is none."""
    count = machine["processes"]
    if not uses_cuda(machine):
        return [-1] * count
    found = _gpus()
    if len(found) < count:
        raise UserError(f"machine.processes: {count}, but there are {len(found)} visible GPUs")
    return found[:count]


def _gpus() -> list:
    """The GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else list(range(len(list(Path("/dev").glob("nvidia[0-9]*")))))


def host_problems(machine: Mapping) -> list[str]:
    """What stands against the hosts of machine.hostfile, a sentence each; nothing without one."""
    if not machine["hostfile"]:
        return []
    return list(hosts.problems(machine, len(_gpus()) if uses_cuda(machine) else None))


def count_ranks(machine: Mapping) -> int:
    """How many processes share a stage, on all hosts. Raises UserError without the hostfile that says so."""
    if machine["launcher"] == "python":
        return 1
    if machine["launcher"] == "deepspeed" and machine["hostfile"]:
        return sum(hosts.read(machine).values())
    return machine["processes"]


# --- what this process was given ----------------------------------------------------------------------------


def cores() -> int:
    """How many cores this process may keep busy: the least of its affinity, its cgroup's quota and what the
    scheduler said; a machine has more."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    said = [re.match(r"\d+(\.\d+)?", os.environ.get(name, "")) for name in CORES_GIVEN]
    limits = [float(found[0]) for found in said if found] + _quotas(_own_cgroups(), CGROUPS)
    return max(1, int(min([usable, *limits])) // (_sharers.value if _sharers else 1))


def share_cores(sharers) -> None:
    """From now on this process, and what it forks, has its share of the cores. sharers: a multiprocessing
    Value, how many processes share them at this moment."""
    global _sharers
    _sharers = sharers


_sharers = None


def memory() -> int:
    """How many more bytes of memory this process may use: what is free on the machine, in its cgroup and
    under its own limit, and no more than the scheduler said."""
    said = {unit: os.environ.get(name, "") for name, unit in MEMORY_GIVEN.items()}
    given = [int(text) * unit for unit, text in said.items() if text.isdecimal() and int(text)]
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    if sys.platform == "linux":
        kilobytes = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())
        free += [int(kilobytes[1]) * 1024] if kilobytes else []
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    free += [limit] if limit != resource.RLIM_INFINITY else []
    return max(0, min(free + given + _rooms(_own_cgroups(), CGROUPS)))


def has_loopback() -> bool:
    """Whether processes of this machine can reach each other by its loopback interface, as launchers have
    them."""
    try:
        with socket.socket() as listener, socket.socket() as caller:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            caller.settimeout(5)
            caller.connect(listener.getsockname())
    except OSError:
        return False
    return True


def require_loopback(machine: Mapping) -> None:
    """Raises UserError if several processes are asked for where they could not reach each other."""
    if not machine["hostfile"] and not has_loopback():
        raise UserError(
            f"machine.launcher: {machine['launcher']}: processes talk over the loopback interface, which "
            "is down here; bring it up (`ip link set lo up`), or write processes: 1 and zero: none"
        )


def _own_cgroups() -> str:
    path = Path("/proc/self/cgroup")
    return path.read_text() if path.exists() else ""


def _quotas(own: str, mounted: Path) -> list[float]:
    """The cores that the process's cgroups and all above them leave it."""
    found = []
    for folder in _places(own, mounted, "cpu"):
        if words := _words(folder / "cpu.max"):  # version 2: "QUOTA PERIOD" in microseconds, or "max PERIOD"
            found.append(words)
        if (quota := _words(folder / "cpu.cfs_quota_us")) and quota != ["-1"]:  # version 1
            found.append(quota + _words(folder / "cpu.cfs_period_us"))
    return [int(quota) / int(period) for quota, period in found if quota != "max"]


def _rooms(own: str, mounted: Path) -> list[int]:
    """The bytes that are free in the process's cgroups and all above them; file caches count as free."""
    found = []
    for folder in _places(own, mounted, "memory"):
        for limit, used, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            if (most := _words(folder / limit)) and most != ["max"]:
                words = _words(folder / "memory.stat")
                counts = dict(zip(words[::2], words[1::2], strict=False))
                found.append(int(most[0]) - int(_words(folder / used)[0]) + int(counts.get(cache, 0)))
    return found


def _places(own: str, mounted: Path, controller: str) -> list[Path]:
    """The folders of the process's cgroups and of all above them, by the lines of /proc/self/cgroup; in a
    container they may be seen from its own root only."""
    found = []
    for number, controllers, path in (line.split(":", 2) for line in own.splitlines()):
        if number == "0" or controller in controllers.split(","):
            root = mounted / controllers if number != "0" else mounted
            inner = Path(path.strip("/"))
            found += [root / place for place in (inner, *inner.parents)] + [root]
    return list(dict.fromkeys(found))


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.is_file() else []
