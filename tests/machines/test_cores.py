"""How many cores, how much memory and how many processes: what this process was given, not what the machine
has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import machine
from mmrc_helpers.execution.machine import for_stage, micro_batch

HERE = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
MACHINE = {
    "launcher": "deepspeed",
    "tracker": "none",
    "accelerator": "cpu",
    "processes": 0,
    "hostfile": "",
    "zero": "none",
    "fsdp": False,
    "offload": False,
    "threads": 0,
    "environment": {},
}
GB = 10**9


@pytest.fixture(autouse=True)
def unscheduled(monkeypatch):
    for name in (*machine.CORES_GIVEN, *machine.MEMORY_GIVEN):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", machine.CORES_GIVEN)
def test_what_a_scheduler_gives_is_a_limit(monkeypatch, name):
    for said, cores in {
        "1": 1,
        "1.5": 1,
        "1(x3)": 1,
        "0": 1,
        "4096": HERE,
        "default": HERE,
        "": HERE,
    }.items():
        monkeypatch.setenv(name, said)
        assert machine.cores() == min(HERE, cores), said


def test_the_affinity_mask_is_a_limit():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); \
from mmrc_helpers.execution.machine import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"


CGROUPS = {  # /proc/self/cgroup, files below /sys/fs/cgroup: cores, bytes of memory
    "none": ("", {}, [], []),
    "version 2, unlimited": ("0::/user\n", {"user/cpu.max": "max 100000"}, [], []),
    "version 2": ("0::/job/step\n", {"job/step/cpu.max": "250000 100000"}, [2.5], []),
    "version 2, the job's limit above the step's": (
        "0::/job/step\n",
        {"job/step/cpu.max": "max 100000", "job/cpu.max": "200000 100000"},
        [2.0],
        [],
    ),
    "version 2 in a container, which sees its own root": ("0::/\n", {"cpu.max": "50000 100000"}, [0.5], []),
    "version 1": (
        "4:memory:/job\n3:cpu,cpuacct:/job\n",
        {"cpu,cpuacct/job/cpu.cfs_quota_us": "150000", "cpu,cpuacct/job/cpu.cfs_period_us": "50000"},
        [3.0],
        [],
    ),
    "version 1, unlimited": (
        "3:cpu,cpuacct:/\n",
        {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
        [],
        [],
    ),
    "version 1 in a container, whose path is the host's": (
        "3:cpu,cpuacct:/docker/4711\n",
        {"cpu,cpuacct/cpu.cfs_quota_us": "100000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
        [1.0],
        [],
    ),
    "memory of version 2": (
        "0::/job\n",
        {
            "job/memory.max": "4000",
            "job/memory.current": "3000",
            "job/memory.stat": "anon 1\ninactive_file 500",
        },
        [],
        [1500],
    ),
    "memory of version 2, unlimited": ("0::/job\n", {"job/memory.max": "max"}, [], []),
    "memory of version 1": (
        "4:memory:/job\n",
        {
            "memory/job/memory.limit_in_bytes": "4000",
            "memory/job/memory.usage_in_bytes": "1000",
            "memory/job/memory.stat": "cache 9\ntotal_inactive_file 100",
        },
        [],
        [3100],
    ),
}


@pytest.mark.parametrize(("own", "files", "cores", "memory"), CGROUPS.values(), ids=CGROUPS)
def test_the_limits_of_cgroups_are_found(tmp_path, own, files, cores, memory):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert machine._quotas(own, tmp_path) == cores and machine._rooms(own, tmp_path) == memory


@pytest.mark.parametrize(("name", "said"), [("SLURM_MEM_PER_NODE", "100"), ("MEM_LIMIT", "104857600")])
def test_the_memory_that_a_scheduler_gives_is_a_limit(monkeypatch, name, said):
    before = machine.memory()
    for nothing in ("", "0", "all", "-1"):  # 0 is Slurm's word for all of a node
        monkeypatch.setenv(name, nothing)
        assert machine.memory() > min(before, 104857600)
    monkeypatch.setenv(name, said)
    assert machine.memory() == 104857600


def test_a_limit_of_the_process_bounds_its_memory():
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 * 10**9, 3 * 10**9)); \
from mmrc_helpers.execution.machine import memory; print(memory() <= 3 * 10**9)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"
    assert machine.memory() > 0


PROCESSES = {  # kind, of the section, cores, memory: launcher, processes, threads
    "data is made by one": ("data", {"processes": 4}, 8, 64 * GB, "python", 1, 8),
    "training by one": ("train", {}, 8, 64 * GB, "python", 1, 8),
    "training as asked": ("train", {"processes": 4}, 8, 64 * GB, "deepspeed", 4, 2),
    "evaluation by one a core": ("eval", {}, 8, 64 * GB, "deepspeed", 8, 1),
    "a laptop of 16 GB and 16 threads": ("eval", {}, 16, 13 * GB, "deepspeed", 8, 2),
    "traces too": ("dynamics", {"launcher": "torchrun"}, 8, 64 * GB, "torchrun", 8, 1),
    "evaluation, lowered": ("eval", {"processes": 1}, 8, 64 * GB, "python", 1, 8),
    "evaluation, raised": ("eval", {"processes": 3}, 2, 64 * GB, "deepspeed", 3, 1),
    "evaluation in little memory": ("eval", {}, 16, 4 * GB, "deepspeed", 2, 8),
    "evaluation in hardly any": ("eval", {}, 16, 10**6, "python", 1, 16),
    "evaluation on one core": ("eval", {}, 1, 64 * GB, "python", 1, 1),
    "evaluation by python": ("eval", {"launcher": "python"}, 8, 64 * GB, "python", 1, 8),
    "threads as asked": ("train", {"threads": 3}, 8, 64 * GB, "python", 1, 3),
    "ZeRO needs its launcher": ("train", {"zero": "2"}, 8, 64 * GB, "deepspeed", 1, 8),
    "no ZeRO in evaluation": ("eval", {"zero": "2", "processes": 1}, 8, 64 * GB, "python", 1, 8),
}


@pytest.mark.parametrize(
    ("kind", "given", "cores", "memory", "launcher", "processes", "threads"),
    PROCESSES.values(),
    ids=PROCESSES,
)
def test_a_stage_gets_what_fits(monkeypatch, kind, given, cores, memory, launcher, processes, threads):
    monkeypatch.setattr(machine, "cores", lambda: cores)  # a machine of this size
    monkeypatch.setattr(machine, "memory", lambda: memory)
    made = for_stage(kind, {**MACHINE, **given})
    assert (made["launcher"], made["processes"], made["threads"]) == (launcher, processes, threads)
    assert bool(made["deepspeed"]) == (kind == "train" and "zero" in given)


def test_a_large_model_is_asked_by_fewer(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 16)
    monkeypatch.setattr(machine, "memory", lambda: 64 * GB)
    assert for_stage("eval", MACHINE, weights=16 * GB)["processes"] == 1


def test_a_batch_divides_or_says_what_to_change():
    assert micro_batch(64, 0, 32) == micro_batch(64, 1, 32) == 32 and micro_batch(64, 8, 32) == 8
    for batch, processes in ((64, 3), (8, 5), (2, 4)):  # whatever micro_batch says
        says = f"{batch} rows do not divide into the {processes} processes of machine.hostfile; change one"
        with pytest.raises(UserError, match=says):
            micro_batch(batch, processes, 4, over="hostfile")
    with pytest.raises(UserError, match="12 rows do not divide into machine.processes: 2 x .*micro_batch: 4"):
        micro_batch(12, 2, 4)


def test_a_hostfile_is_read_or_missed(tmp_path):
    hosts = Path(tmp_path / "hosts")
    section = {**MACHINE, "hostfile": str(hosts)}
    with pytest.raises(
        UserError, match="machine.hostfile: .* does not exist; its lines are `HOST slots=GPUS`"
    ):
        machine.count_ranks(section)
    hosts.write_text("# two\nfirst slots=4\nsecond slots=2\n")
    assert machine.count_ranks(section) == 6


def test_offload_moves_what_a_zero_stage_shards():
    plain = for_stage("train", {**MACHINE, "zero": "2"})["deepspeed"]
    assert "offload_optimizer" not in plain["zero_optimization"]
    for zero, kept in (("2", {"offload_optimizer"}), ("3", {"offload_optimizer", "offload_param"})):
        found = for_stage("train", {**MACHINE, "zero": zero, "offload": True})["deepspeed"]
        assert {name for name in found["zero_optimization"] if name.startswith("offload")} == kept
        assert found["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
        assert found["zero_force_ds_cpu_optimizer"] is False
