"""Runs as jobs: on this machine, and as SLURM would be asked, by two of its commands in a small stand-in."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny import is_alive, quiet

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import cluster, guard, worker
from mmrc_helpers.store import files
from mmrc_helpers.study.runs import load_study

pytest.importorskip("submitit")

START = 300  # seconds in which a job gets to work, or is seen to have ended, on a busy machine
END = 15  # and in which its processes are gone

# A run in small: adds a line now and then, goes on behind those that are there, and ends in order when asked.
RUN = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
folder, lines = Path(sys.argv[1]), int(sys.argv[2])
if "--report" in sys.argv:
    done = sorted(path.name for path in folder.glob("*.txt"))
    (folder / "report").write_text(" ".join(done)); sys.exit()
told = Path(os.environ["MMRC_JOB"])  # is there when the time is up, until the work is saved
path = folder / f"{sys.argv[4]}-{sys.argv[6]}.txt"
with (folder / "starts").open("a") as file: file.write(path.name + "\\n")
with (folder / "cores").open("a") as file: file.write(os.environ.get("PYTHON_CPU_COUNT", "all") + "\\n")
if sys.argv[4] == "broken": sys.exit(3)
while len(path.read_text().splitlines() if path.exists() else []) < lines:
    with path.open("a") as file: file.write(f"{time.time()}\\n")
    if told.exists():
        (folder / "saved").write_text(path.name); told.unlink()
    time.sleep(0.1)
"""

SBATCH = """#!/bin/bash
[ -f refuse ] && { echo "sbatch: error: invalid partition specified" >&2; exit 1; }
n=$(($(cat ids 2>/dev/null || echo 6) + 1)); echo $n > ids
cp "${@: -1}" "job-$n.sh"
echo "Submitted batch job $n"
"""
SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do case "$1" in --output|--error) shift 2;; *) shift;; esac; done
exec "$@"
"""


@dataclass(frozen=True)
class Run:
    """What of a run a cluster needs."""

    variant: str
    seed: int
    params: dict


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    paths = os.pathsep.join([str(files.REPOSITORY), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", paths)  # a job's process imports what it was given
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.py").write_text(RUN)
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.fixture
def slurm(place, monkeypatch) -> Path:
    """A machine on which sbatch keeps what it is given and srun runs it."""
    (place / "bin").mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN)):
        (place / "bin" / name).write_text(text)
        (place / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return place


def machine(kind: str, **asked) -> dict:
    """The machine section as base.yaml has it, with a cluster."""
    section = dict(load_study("smoke").runs[0].params["machine"])
    return {**section, "cluster": kind, "accelerator": "cpu", "slurm": {**section["slurm"], **asked}}


def runs(of: dict, *names: str) -> list[Run]:
    return [Run(name, seed, {"machine": of}) for name in names for seed in (0, 1)]


def command(place: Path, lines: int) -> list[str]:
    return [sys.executable, str(place / "run.py"), str(place / "out"), str(lines)]


def written(place: Path) -> dict[str, int]:
    return {path.name: len(path.read_text().splitlines()) for path in (place / "out").glob("*.txt")}


def starts(place: Path) -> list[str]:
    return sorted((place / "out" / "starts").read_text().split())


def cores(place: Path) -> list[str]:
    """What each job was told of its cores."""
    return (place / "out" / "cores").read_text().split()


def test_jobs_that_run_out_of_time_go_on_and_the_report_comes_last(place):
    asked = machine("local", minutes=0.15, requeues=5)  # told after half of nine seconds
    jobs = cluster.submit("mine", runs(asked, "forward")[:1], command(place, 70), quiet)
    assert [job.result() for job in jobs.values()] == [None, None]
    assert written(place) == {"forward-0.txt": 70}
    assert len(starts(place)) > 1  # in more than one job
    assert (place / "out" / "saved").read_text() == "forward-0.txt"  # before the first of them was ended
    assert (place / "out" / "report").read_text() == "forward-0.txt"


def test_a_run_that_fails_leaves_the_others_alone_and_is_told_and_the_report_waits(place, monkeypatch):
    monkeypatch.setenv("PYTHON_CPU_COUNT", "2")
    asked, said = machine("local", at_once=2), []
    jobs = cluster.submit("mine", runs(asked, "broken", "forward"), command(place, 2), said.append)
    lost = cluster.failed(jobs)
    assert list(lost) == ["broken-s0", "broken-s1"] and "exit status 3" in lost["broken-s0"].read_text()
    assert written(place) == {"forward-0.txt": 2, "forward-1.txt": 2}
    assert cores(place) == ["1"] * 4  # which jobs at once share
    assert said[-1] == "the report waits for broken-s0, broken-s1" and not (place / "out" / "report").exists()


def test_a_report_that_fails_is_told(place):
    (place / "out" / "report").mkdir()
    jobs = cluster.submit("mine", runs(machine("local"), "forward")[:1], command(place, 1), quiet)
    (log,) = cluster.failed(jobs).values()
    assert list(jobs) == ["forward-s0", "report"] and "IsADirectoryError" in log.read_text()


# Submits as the runner does: each job is said when it has started.
SUBMIT = """
import sys
from functools import partial
from test_cluster import cluster, command, machine, runs, Path
jobs = cluster.submit("mine", runs(machine("local"), "forward")[:1], command(Path.cwd(), 10**6),
                      partial(print, flush=True))
print("failed:", *cluster.failed(jobs))
"""


@pytest.fixture
def submitted(place):
    """A process that has submitted a job which is at work, and all processes below it."""
    paths = os.pathsep.join(
        [str(Path(__file__).parent), str(Path(__file__).parent.parent), os.environ["PYTHONPATH"]]
    )
    runner = subprocess.Popen([sys.executable, "-c", SUBMIT], env={**os.environ, "PYTHONPATH": paths},
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert runner.stdout.readline().startswith("started forward-s0: job ")
    while not written(place):
        time.sleep(0.1)
    below = guard.descendants(runner.pid)
    assert len(below) == 4  # submitit's two, the guard and the run
    yield runner, below
    runner.kill()
    runner.communicate()


def test_nothing_of_a_job_that_is_killed_lives_on_and_it_is_told(submitted):
    runner, below = submitted
    os.kill(below[1], signal.SIGKILL)
    said, _ = runner.communicate(timeout=START)
    assert said == "the report waits for forward-s0\nfailed: forward-s0\n"
    assert_dead(below)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_on_this_machine_outlives_the_runner(submitted, how):
    runner, below = submitted
    runner.send_signal(how)
    runner.communicate(timeout=START)  # until nobody has its standard output
    assert_dead(below)


def assert_dead(pids: list[int]) -> None:
    deadline = time.monotonic() + END
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_as_many_jobs_at_once_as_asked_for_and_a_single_one_has_all_cores(place, monkeypatch):
    monkeypatch.setenv("PYTHON_CPU_COUNT", "2")
    asked = machine("local", at_once=1)
    cluster.submit("mine", runs(asked, "forward"), command(place, 4), quiet)
    first, second = ((place / "out" / f"forward-{seed}.txt").read_text().split() for seed in (0, 1))
    assert float(first[-1]) < float(second[0]) and cores(place) == ["2", "2"]


def test_slurm_gets_an_array_and_a_report_behind_it_and_they_run(slurm):
    asked = machine("slurm", partition="gpu", account="lab", constraint="h100", minutes=90, requeues=2,
                    memory_gb=64, at_once=3)  # fmt: skip
    asked |= {"accelerator": "cuda", "processes": 4}
    jobs = cluster.submit("mine", runs(asked, "forward", "both"), command(slurm, 2), quiet)
    assert [job.job_id for job in jobs.values()] == ["7_0", "7_1", "7_2", "7_3", "8"]
    array, report = ((slurm / f"job-{n}.sh").read_text() for n in (7, 8))
    wanted = ["array=0-3%3", "partition=gpu", "account=lab", "constraint=h100", "time=90", "mem=64GB",
              "gpus-per-node=4", "cpus-per-task=32", "requeue", "signal=USR2@120"]  # fmt: skip
    assert [line for line in wanted if f"#SBATCH --{line}\n" not in array] == []
    assert "#SBATCH --dependency=afterany:7\n" in report
    assert not [word for word in ("--gpus", "--array", "--constraint") if f"#SBATCH {word}" in report]
    for number in range(4):
        start(slurm, 7, number)
    start(slurm, 8, None)
    assert written(slurm) == {f"{name}-{seed}.txt": 2 for name in ("both", "forward") for seed in (0, 1)}
    assert len((slurm / "out" / "report").read_text().split()) == 4


def start(place: Path, job: int, task: int | None) -> None:
    """Runs what was submitted as SLURM would, with the variables that it sets."""
    ours = {"SLURM_JOB_ID": str(job), "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}
    if task is not None:
        ours |= {"SLURM_ARRAY_JOB_ID": str(job), "SLURM_ARRAY_TASK_ID": str(task)}
    subprocess.run(["bash", str(place / f"job-{job}.sh")], env={**os.environ, **ours}, check=True,
                   capture_output=True)  # fmt: skip


def test_a_dry_run_shows_the_files_that_slurm_would_get(place):
    asked = machine("slurm", partition="gpu", constraint="[h100&ib*2|a100]")
    text = cluster.sbatch_text("mine", runs(asked, "forward"), command(place, 2))
    assert "#SBATCH --array=0-1%2" in text and "#SBATCH --partition=gpu" in text
    assert "#SBATCH --constraint='[h100&ib*2|a100]'\n" in text
    assert f"{sys.executable} -u -m submitit.core._submit " in text
    assert "run.py" in text and "--variant forward --seed 1" in text and text.endswith("--report")
    assert "#SBATCH --dependency=afterany:THE_ARRAYS_ABOVE" in text
    assert not (place / "artifacts").exists()


def test_runs_that_ask_for_other_machines_are_arrays_of_their_own(slurm):
    small, large = machine("slurm", minutes=10), machine("slurm", minutes=500)
    asked = [*runs(small, "forward"), *runs(large, "both")]
    jobs = cluster.submit("mine", asked, command(slurm, 1), quiet)
    assert [job.job_id for job in jobs.values()] == ["7_0", "7_1", "8_0", "8_1", "9"]
    assert "--dependency=afterany:7:8\n" in (slurm / "job-9.sh").read_text()


def another_kind(place, monkeypatch):
    return [*runs(machine("slurm"), "forward"), *runs(machine("none"), "both")]


def without(name: str):
    """Where there is sbatch or srun, but not both, or no submitit."""

    def prepared(place, monkeypatch):
        if name == "submitit":
            monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda asked: None)
        for other in {"sbatch", "srun"} - {name}:
            (place / other).write_text("#!/bin/sh")
            (place / other).chmod(0o755)
        return runs(machine("slurm"), "forward")

    return prepared


def asking(change: dict | None = None, **asked):
    return lambda place, monkeypatch: runs(machine("slurm", **asked) | (change or {}), "forward")


WRONG = {  # the runs → what is said
    "hosts": (asking({"hostfile": "hosts"}), "machine.hostfile: a job has one node"),
    "no SLURM": (
        asking(),
        "machine.cluster: slurm, but there is no sbatch, srun here; start on a login node",
    ),
    "no sbatch": (without("sbatch"), "there is no sbatch here; start on a login node"),
    "no srun": (without("srun"), "there is no srun here; start on a login node"),
    "no submitit": (without("submitit"), "machine.cluster: needs submitit; install it .*or write none"),
    "no runs": (lambda *_: [], "there is no run to submit"),
    "two kinds": (another_kind, "machine.cluster: is slurm, none in runs of one study; write one of them"),
    "two partitions": (asking(partition="gpu h100"), "machine.slurm.partition: 'gpu h100' is no name; write"),
    "a line in an account": (asking(account="lab\n#SBATCH --nice"), "machine.slurm.account: .* is no name"),
    "an option for a partition": (asking(partition="--help"), "machine.slurm.partition: '--help' is no name"),
    "a command in an account": (asking(account="a;rm"), "machine.slurm.account: 'a;rm' is no name"),
    "words for a constraint": (asking(constraint="h100 or a100"), "machine.slurm.constraint: .* is no name"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_stands_against_a_cluster_is_said(place, monkeypatch, kind):
    monkeypatch.setenv("PATH", str(place))
    prepared, says = WRONG[kind]
    wanted = prepared(place, monkeypatch)
    with pytest.raises(UserError, match=says):
        cluster.submit("mine", wanted, command(place, 1))
    assert not (place / "artifacts").exists()


ASKED = {  # what a study's file says of a job → what is said when it is read
    "minutes: 0": "machine.slurm.minutes: must be at least 1; got 0",
    "minutes: -5": "machine.slurm.minutes: must be at least 1; got -5",
    "minutes: 24:00:00": "YAML reads 24:00:00 as another number than it seems",
    "minutes: 24h": "machine.slurm.minutes: expected a whole number such as 1440; got '24h'",
    "memory_gb: -64": "machine.slurm.memory_gb: must be at least 0; got -64",
    "memory_gb: 64GB": "machine.slurm.memory_gb: expected a whole number such as 0; got '64GB'",
    "cores: 0": "machine.slurm.cores: must be at least 1; got 0",
    "at_once: -1": "machine.slurm.at_once: must be at least 0; got -1",
    "requeues: many": "machine.slurm.requeues: expected a whole number such as 3; got 'many'",
    "partition: [gpu, h100]": "machine.slurm.partition: expected text; got ['gpu', 'h100']",
    "partitions: gpu": "machine.slurm.partitions: no such parameter; did you mean partition?",
    "time: 90": "machine.slurm.time: no such parameter",
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_a_job_cannot_ask_for_is_said_when_the_study_is_read(tmp_path, asked):
    (tmp_path / "mine.yaml").write_text(f"machine: {{cluster: slurm, slurm: {{{asked}}}}}")
    with pytest.raises(UserError) as error:
        load_study(tmp_path / "mine.yaml")
    assert ASKED[asked] in str(error.value)


def test_what_slurm_refuses_is_said(slurm):
    (slurm / "refuse").touch()
    with pytest.raises(UserError, match="SLURM refuses: .*invalid partition"):
        cluster.submit("mine", runs(machine("slurm"), "forward"), command(slurm, 1), quiet)


def test_inside_a_job_nothing_is_submitted(monkeypatch):
    assert cluster.is_wanted(machine("slurm"))
    assert not cluster.is_wanted(machine("none"))
    monkeypatch.setenv(worker.JOB, "1")
    assert not cluster.is_wanted(machine("slurm"))
