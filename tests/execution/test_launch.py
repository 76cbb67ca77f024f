"""Launching: done means done, nothing survives, and a failure says why. Processes are really killed here."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny import is_alive

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import guard, launch
from mmrc_helpers.execution.launch import StageFailed, run_module
from mmrc_helpers.execution.machine import cores
from mmrc_helpers.store import files

MACHINE = {
    "launcher": "python",
    "tracker": "none",
    "accelerator": "cpu",
    "processes": 1,
    "hostfile": "",
    "threads": 0,
    "heartbeat_seconds": 60,
    "environment": {},
}
LAUNCHERS = {"python": 1, "torchrun": 2, "accelerate": 2, "deepspeed": 2}

TINY = '''
"""A module as the launcher starts it; recipe.json says how it behaves."""
import os, sys, time
from mmrc_helpers.store import files, folders
from mmrc_helpers.execution import worker
from mmrc_helpers.errors import UserError

def main(folder):
    what = folders.read_recipe(folder)["do"]
    name = f"{worker.rank()}-of-{worker.world_size()}"
    (folder / name).write_text(" ".join(os.environ.get(k, "") for k in what.get("show", [])))
    (folder / f"pid-{worker.rank()}").write_text(str(os.getpid()))
    for step in range(what.get("steps", 3)):
        worker.progress(step + 1, what.get("steps", 3), loss=0.5)
        time.sleep(what.get("pause", 0))
    if what.get("blame"):
        raise UserError("people.json: no such person")
    if what.get("raise"):
        raise ValueError("the sky fell")
    if what.get("exit") is not None:
        os._exit(what["exit"])
    if what.get("hang") == worker.rank():
        time.sleep(600)
    return {"device": "cpu"}

if __name__ == "__main__":
    from pathlib import Path
    (Path(sys.argv[-1]) / f"loading-{os.getpid()}").touch()
    time.sleep(folders.read_recipe(Path(sys.argv[-1]))["do"].get("loading", 0))  # as slow imports would
    worker.run_main(main)
'''


@pytest.fixture
def folder(tmp_path) -> Path:
    """A part folder, with the module `tiny.work` beside it."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "work.py").write_text(textwrap.dedent(TINY))
    (tmp_path / "stage.part").mkdir()
    return tmp_path / "stage.part"


def run(folder: Path, launcher: str = "python", machine=None, echo=print, **do) -> dict:
    files.write_json(folder / "recipe.json", {"do": do})
    return run_module("tiny.work", folder, machine_of(folder, launcher, machine or {}), echo)


def machine_of(folder: Path, launcher: str, machine: dict) -> dict:
    """The machine section of a launcher, with which the module can be imported."""
    path = {"PYTHONPATH": f"{folder.parent}{os.pathsep}{files.REPOSITORY}"}
    own = {"launcher": launcher, "processes": LAUNCHERS[launcher]}
    return {**MACHINE, **own, **machine, "environment": path | machine.get("environment", {})}


def start_owner(folder: Path, launcher: str, machine=None, at="pid-*", **do) -> subprocess.Popen:
    """Another process that calls `run_module`; returns when all its ranks are at work, or load modules."""
    files.write_json(folder / "recipe.json", {"do": {"steps": 10_000, "pause": 0.05, **do}})
    machine = machine_of(folder, launcher, machine or {})
    called = f"run_module('tiny.work', {str(folder)!r}, {machine!r})"
    code = f"from mmrc_helpers.execution.launch import run_module; {called}"
    owner = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(list(folder.glob(at))) == LAUNCHERS[launcher], 60)
    time.sleep(0.2)
    return owner


def wait_for(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if is_alive(pid)]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_launcher_runs_all_ranks_to_their_mark(folder, launcher):
    said = []
    ranks = LAUNCHERS[launcher]
    done = run(
        folder,
        launcher,
        echo=lambda line, end="\n": said.append(line),
        show=["HF_HUB_OFFLINE", "OMP_NUM_THREADS"],
    )
    assert done["device"] == "cpu" and done["seconds"] >= 0 and done["memory_gb"] > 0
    threads = max(1, cores() // ranks)
    assert [(folder / f"{r}-of-{ranks}").read_text() for r in range(ranks)] == [f"1 {threads}"] * ranks
    assert said[-1].startswith("3/3, ") and "loss 0.5" in said[-1]
    assert not list(folder.glob("heartbeat-*"))


def test_a_finished_module_is_not_started_again(folder):
    first = run(folder)
    assert run(folder) == first
    assert (folder / "log.txt").read_text().count("--- ") == 1


def test_the_environment_of_a_machine_reaches_the_ranks(folder):
    run(
        folder,
        machine={"environment": {"NCCL_DEBUG": "INFO"}, "threads": 3},
        show=["NCCL_DEBUG", "OMP_NUM_THREADS"],
    )
    assert (folder / "0-of-1").read_text() == "INFO 3"


@pytest.fixture
def hosts(tmp_path, monkeypatch) -> str:
    """A hostfile of this host with two processes, which the runner asks for its address by ssh."""
    (tmp_path / "ssh").write_text("#!/bin/sh\necho 127.0.0.1\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "hosts").write_text("localhost slots=2\n")
    return str(tmp_path / "hosts")


def test_a_hostfile_goes_through_the_deepspeed_runner(folder, tmp_path, hosts):
    run(folder, "deepspeed", {"hostfile": hosts}, show=["HF_HUB_OFFLINE"])
    assert (folder / "1-of-2").read_text() == "1"
    with pytest.raises(UserError, match="machine.hostfile: .*nowhere does not exist"):
        run(folder, "deepspeed", {"hostfile": str(tmp_path / "nowhere")})


@pytest.mark.parametrize("launcher", ["python", "torchrun"])
def test_bad_input_comes_back_as_the_users_error(folder, launcher):
    with pytest.raises(UserError, match="^people.json: no such person$"):
        run(folder, launcher, blame=True)


def test_a_failure_shows_the_end_of_the_log(folder):
    with pytest.raises(
        StageFailed, match=r"(?s)tiny.work: it ended unfinished.*log.txt.*ValueError: the sky fell"
    ):
        run(folder, **{"raise": True})
    assert run(folder)["device"] == "cpu"


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_exit_status_zero_without_the_mark_is_a_failure(folder, launcher):
    with pytest.raises(StageFailed, match="ended unfinished"):
        run(folder, launcher, exit=0)


def test_a_gpu_that_is_not_there_is_a_clear_error(folder):
    if list(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("there is one")
    with pytest.raises(UserError, match="machine.accelerator: cuda, but there is no NVIDIA device"):
        run(folder, machine={"accelerator": "cuda"})


def test_a_hung_rank_is_found_by_its_silence_and_its_stack_is_shown(folder):
    with pytest.raises(StageFailed, match=r"(?s)rank 1 of 2 was silent for 10 s.*work.py.* in main"):
        run(folder, "torchrun", {"heartbeat_seconds": 10}, hang=1, steps=4, pause=0.5)
    pids = [int((folder / f"pid-{rank}").read_text()) for rank in range(2)]
    assert alive(pids) == []


PDSH = """#!/bin/bash
# Runs the command for every host here, each in an environment of its own as by ssh; %n: the host's number.
while [ $# -gt 0 ]; do
    case "$1" in -w) hosts="$2"; shift 2;; -f|-l) shift 2;; -*) shift;; *) break;; esac
done
number=0 status=0 command="$*"
for host in ${hosts//,/ }; do
    env -i HOME="$HOME" PATH=/usr/bin:/bin bash -c "${command//%n/$number}" & number=$((number + 1))
done
for job in $(jobs -p); do wait "$job" || status=$?; done
exit $status
"""


def test_two_hosts_share_a_stage_and_get_what_the_machine_section_says(folder, tmp_path, hosts):
    """DeepSpeed's own launcher for several hosts, with two names for this one behind a stand-in for pdsh."""
    (tmp_path / "pdsh").write_text(PDSH)
    (tmp_path / "pdsh").chmod(0o755)
    Path(hosts).write_text("first slots=1\nsecond slots=1\n")
    machine = {"hostfile": hosts, "processes": 0, "threads": 1, "environment": {"NCCL_DEBUG": "INFO"}}
    done = run(folder, "deepspeed", machine, show=["NCCL_DEBUG", "HF_HUB_OFFLINE", "LOCAL_RANK"])
    assert done["device"] == "cpu"
    told = [(folder / f"{rank}-of-2").read_text() for rank in range(2)]
    assert told == ["INFO 1 0", "INFO 1 0"]


def test_silence_on_other_hosts_is_told_by_what_changes_and_not_by_their_clocks(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(launch, "time", clock)
    silence, beat = launch._changes(tmp_path), tmp_path / "heartbeat-1"
    for now, time_there, expected in (
        (110, None, 10),  # it has not started
        (120, 5_000_000, 0),  # its clock is far ahead of ours
        (150, 5_000_000, 30),
        (160, 7, 0),  # or it was started again and counts from 0
        (200, 7, 40),
    ):
        clock.now = now
        if time_there is not None:
            beat.touch()
            os.utime(beat, (time_there, time_there))
        assert silence(1) == expected


@pytest.mark.slow
def test_a_hung_rank_of_a_hostfile_is_found_whatever_its_hosts_clock_says(folder, hosts, monkeypatch):
    """A sign of life is that a heartbeat's time changes; no process of another host is signalled here."""
    monkeypatch.setattr(launch, "CACHED", 0)
    told = []
    monkeypatch.setattr(launch, "_dump_stacks", told.append)
    ahead = SimpleNamespace(**{**vars(time), "monotonic": lambda: time.monotonic() + 1e6})
    monkeypatch.setattr(launch, "time", ahead)
    with pytest.raises(StageFailed, match="rank 1 of 2 was silent for 15 s"):
        run(folder, "deepspeed", {"hostfile": hosts, "heartbeat_seconds": 15}, hang=1, steps=60, pause=0.5)
    assert told == [] and (folder / "done.json").exists()  # and nobody who worked for 30 s was taken for hung
    assert alive([int((folder / f"pid-{rank}").read_text()) for rank in range(2)]) == []


MARKS = {
    "guard": "guard.py",
    "torchrun": "torch.distributed.run",
    "launch.py": "deepspeed.launcher.launch",
}
VICTIMS = [
    *[("python", victim) for victim in ("owner", "guard", "rank")],
    *[("torchrun", victim) for victim in ("owner", "guard", "torchrun", "rank")],
    *[("deepspeed", victim) for victim in ("owner", "guard", "launch.py", "rank")],
]


@pytest.mark.parametrize(("launcher", "victim"), VICTIMS)
def test_whoever_is_killed_nothing_survives_and_it_is_no_success(folder, launcher, victim):
    owner = start_owner(folder, launcher)
    below = guard.descendants(owner.pid)
    ranks = [int(path.read_text()) for path in folder.glob("pid-*")]
    assert set(ranks) <= set(below)
    if victim in ("owner", "rank"):
        pid = owner.pid if victim == "owner" else ranks[-1]
    else:
        # the guard's command line holds the launcher's, and comes first
        pid = [pid for pid in below if MARKS[victim] in command_of(pid)][0 if victim == "guard" else 1]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(below), 5)
    _, said = owner.communicate(timeout=20)
    assert owner.returncode == (-signal.SIGKILL if victim == "owner" else 1)
    assert victim == "owner" or "StageFailed" in said
    assert not (folder / "done.json").exists()


@pytest.mark.parametrize(("victims", "loading"), [(("guard",), 30), (("owner", "guard"), 3)])
def test_ranks_that_still_load_modules_do_not_survive_their_guard(folder, victims, loading):
    owner = start_owner(folder, "torchrun", at="loading-*", loading=loading)
    below = guard.descendants(owner.pid)
    pids = {"owner": owner.pid, "guard": next(pid for pid in below if "guard.py" in command_of(pid))}
    for victim in victims:
        os.kill(pids[victim], signal.SIGKILL)
    wait_for(lambda: not alive(below), 5)
    owner.communicate(timeout=20)
    assert owner.returncode != 0 and not (folder / "done.json").exists()


# By SIGTERM an owner dies, which the guard notices as in VICTIMS with every launcher; Ctrl-C it hears itself.
@pytest.mark.parametrize(("launcher", "number"), [("deepspeed", signal.SIGINT), ("python", signal.SIGTERM)])
def test_a_signal_to_the_owner_ends_everything(folder, launcher, number):
    owner = start_owner(folder, launcher)
    below = guard.descendants(owner.pid)
    owner.send_signal(number)
    wait_for(lambda: not alive(below), 5)
    owner.communicate(timeout=20)
    assert owner.returncode != 0 and not (folder / "done.json").exists()


def test_a_stopped_rank_is_taken_for_hung_and_killed(folder):
    owner = start_owner(folder, "python", machine={"heartbeat_seconds": 5})
    below = guard.descendants(owner.pid)
    os.kill(int((folder / "pid-0").read_text()), signal.SIGSTOP)
    _, said = owner.communicate(timeout=30)
    assert "rank 0 of 1 was silent for 5 s" in said and not alive(below)


def test_a_new_attempt_waits_for_the_ranks_of_the_last_one(folder):
    owner = start_owner(folder, "python")
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    (folder / "pid-0").unlink()
    run(folder)
    assert (folder / "log.txt").read_text().count("--- ") == 2


def test_two_launches_run_side_by_side(folder, tmp_path):
    other = tmp_path / "other.part"
    other.mkdir()
    owners = [start_owner(place, "deepspeed", steps=20, pause=0.2) for place in (folder, other)]
    for owner in owners:
        owner.communicate(timeout=60)
        assert owner.returncode == 0


def test_progress_tells_step_rate_time_left_and_memory(folder):
    run(folder, steps=8, pause=0.5)
    lines = [line for line in (folder / "log.txt").read_text().splitlines() if line.startswith("progress ")]
    assert re.fullmatch(r"progress 8/8, [\d.]+/s, 0:00 left, loss 0.5, [\d.]+ GB", lines[-1])
    assert 3 <= len(lines) <= 4  # throttled: the first, one after more than two seconds, the last
