"""The runs of a study as jobs of a cluster, by submitit: one job for each run, in arrays, and one for the
report when all of them have ended.

A job runs the same command as a person would, for one variant and seed. When its time is up it has a
training write a checkpoint, ends that command and goes back into the queue; the stages go on by themselves.
Nothing that a job started outlives it, and no job on this machine outlives who submitted it. What to ask for
stands in the machine section of a study.
"""

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmrc_helpers.errors import UserError, listed, raise_all, show
from mmrc_helpers.execution import guard, launch, worker
from mmrc_helpers.execution.machine import cores, runs_at_once
from mmrc_helpers.store import files, folders

TOLD_SECONDS = 120  # before its time is up, when a job is told
POLL_SECONDS = 0.5
SHARE = "PYTHON_CPU_COUNT"  # by which a job on this machine is told its cores (machine.CORES_GIVEN)
NAMED = ("partition", "account", "constraint")  # what is asked for by a name of the cluster's


class Command:
    """What a job does: run a command, and be queued again when its time is up. A class because submitit
    pickles one and calls its `checkpoint` when the signal comes. patience: seconds that a training then has
    to write a checkpoint. owner: the process without which a job on this machine is to end. share: how many
    cores it may use."""

    def __init__(
        self, arguments: Sequence[str], patience: float, owner: int | None = None, share: int | None = None
    ):
        self.arguments, self.patience, self.owner, self.share = list(arguments), patience, owner, share
        self.process = None

    def __call__(self) -> None:
        """Runs the command. Raises RuntimeError if it fails, so that the job counts as failed."""
        # SLURM sends its signal to all processes of a job; the command is told by us, so it ignores this one.
        ours = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        self.told = Path(tempfile.mkdtemp(prefix="mmrc-job-")) / "time_is_up"
        environment = {**os.environ, worker.JOB: str(self.told)}
        environment |= {SHARE: str(self.share)} if self.share else {}
        command = launch.guarded(self.arguments)
        self.process = subprocess.Popen(command, env=environment, start_new_session=True)
        signal.signal(signal.SIGUSR2, ours)
        try:
            while self.process.poll() is None:  # `wait` holds a lock that `checkpoint` would wait for
                if self._is_orphan():
                    raise RuntimeError("who submitted this job has ended")
                time.sleep(POLL_SECONDS)
        finally:
            launch.end(self.process)
            shutil.rmtree(self.told.parent, ignore_errors=True)
        if status := self.process.returncode:
            raise RuntimeError(f"{shlex.join(self.arguments)} ended with exit status {status}")

    def checkpoint(self, *_):
        """What the next job does: the same."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            self._let_it_save()
            launch.end(self.process)
        return DelayedSubmission(Command(self.arguments, self.patience, self.owner, self.share))

    def _let_it_save(self) -> None:
        """Tells the command that its time is up. Returns when it has saved its work or ended, or when there
        is no more time; what is no training goes on meanwhile and keeps what it has by itself."""
        self.told.touch()
        until = time.monotonic() + self.patience
        while self.told.exists() and self.process.poll() is None and time.monotonic() < until:
            time.sleep(POLL_SECONDS)

    def _is_orphan(self) -> bool:
        """Whether the owner has died; between it and us is submitit's process, which outlives it."""
        return bool(self.owner) and sys.platform == "linux" and guard.parent(os.getppid()) != self.owner


def is_wanted(machine: Mapping) -> bool:
    """Whether runs are to be submitted: a cluster is named, and this is not one of its jobs."""
    return machine["cluster"] != "none" and worker.JOB not in os.environ


def submit(study: str, runs: Sequence, arguments: Sequence[str], echo: Callable[..., None] = print) -> dict:
    """Submits a job for each run, and one for the report that starts when they have all ended, however they
    did. Returns submitit's jobs by the names of the runs, the report's as "report".

    study: its name. runs: each has variant, seed and params. arguments: the command without variant and seed,
    such as [python, -m, mmrc_helpers.run, reversal]; a run's job adds --variant and --seed, the report's adds
    --report. With machine.cluster: local it returns when all have ended, and a report that would only find
    that a run has failed is not started. Raises UserError if submitit or SLURM is missing, or SLURM
    refuses."""
    check(runs)
    kind, groups = _groups(runs)
    raise_all(_missing(kind))
    folder = folders.study_folder(study) / "jobs"
    files.make_folder(folder)
    start, jobs = (_queued if kind == "slurm" else _started), {}
    for asked, group in groups:
        commands = {f"{run.variant}-s{run.seed}": _of_run(arguments, run) for run in group}
        jobs |= start(folder, commands, {**asked, "name": study}, [], echo)
    if kind == "local" and (lost := failed(jobs)):
        echo(f"the report waits for {listed(lost)}")
        return jobs
    report = {"report": [*arguments, "--report"]}
    return jobs | start(folder, report, _of_report(study, groups[0][0]), list(jobs.values()), echo)


def failed(jobs: Mapping) -> dict[str, Path]:
    """The logs of the jobs that have failed or were killed, by name. All must have ended."""
    return {name: job.paths.stdout for name, job in jobs.items() if not _has_succeeded(job)}


def _has_succeeded(job) -> bool:
    return job.paths.result_pickle.exists() and job.exception() is None  # a job that was killed leaves none


def sbatch_text(study: str, runs: Sequence, arguments: Sequence[str]) -> str:
    """What SLURM would be given for the arrays and the report, with the commands of their jobs."""
    check(runs)
    _, groups = _groups(runs)
    from submitit.slurm.slurm import _make_sbatch_string  # what its executor writes; it needs no SLURM

    folder, texts = folders.study_folder(study) / "jobs", []

    def text_of(commands: Sequence[Sequence[str]], asked: Mapping, after: str) -> None:
        many = {"map_count": len(commands)} if len(commands) > 1 else {}
        program = shlex.join([sys.executable, "-u", "-m", "submitit.core._submit", str(folder)])
        given = _sbatch(asked) | ({"dependency": after} if after else {})
        told = [f"# job {number}: {shlex.join(command)}" for number, command in enumerate(commands)]
        texts.append("\n".join([_make_sbatch_string(program, folder, **given, **many).rstrip(), *told]))

    for asked, group in groups:
        text_of([_of_run(arguments, run) for run in group], {**asked, "name": study}, "")
    text_of([[*arguments, "--report"]], _of_report(study, groups[0][0]), "afterany:THE_ARRAYS_ABOVE")
    return "\n\n".join(texts)


def _of_run(arguments: Sequence[str], run) -> list[str]:
    return [*arguments, "--variant", run.variant, "--seed", str(run.seed)]


def _groups(runs: Sequence) -> tuple[str, list[tuple[dict, list]]]:
    """The cluster's kind, and runs that ask for the same, with what they ask for."""
    groups: list[tuple[dict, list]] = []
    for run in runs:
        asked = _asked(run.params["machine"])
        same = next((group for other, group in groups if other == asked), None)
        if same is None:
            groups.append((asked, [run]))
        else:
            same.append(run)
    return runs[0].params["machine"]["cluster"], groups


def _asked(machine: Mapping) -> dict:
    """What the job of a run asks for."""
    processes = machine["processes"] or 1
    return {
        **machine["slurm"],
        "accelerator": machine["accelerator"],
        "gpus": 0 if machine["accelerator"] == "cpu" else processes,
        "processes": processes,
    }


def _of_report(study: str, asked: Mapping) -> dict:
    """What the report's job asks for: the same as a run's, but no GPU and one process."""
    return {**asked, "name": f"{study}-report", "gpus": 0, "processes": 1, "constraint": ""}


def _sbatch(asked: Mapping) -> dict:
    """What a job asks for in sbatch's words; what is empty is left to the cluster."""
    named = {name: asked[name] for name in NAMED if asked[name]}
    more = {"mem": f"{asked['memory_gb']}GB"} if asked["memory_gb"] else {}
    more |= {"gpus_per_node": asked["gpus"]} if asked["gpus"] else {}
    more |= {"array_parallelism": asked["at_once"]} if asked["at_once"] else {}
    return {
        "job_name": asked["name"],
        "time": asked["minutes"],
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": asked["cores"] * asked["processes"],
        "signal_delay_s": _told(asked),
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True},
        **named,
        **more,
    }


def _told(asked: Mapping) -> int:
    """Seconds before its time is up when a job is told; of a short one half of it."""
    return int(min(TOLD_SECONDS, 30 * asked["minutes"]))


def _queued(folder: Path, commands: Mapping, asked: Mapping, after: Sequence, echo: Callable) -> dict:
    """Jobs of SLURM, in one array."""
    import submitit

    executor = submitit.SlurmExecutor(folder, max_num_timeout=asked["requeues"])
    arrays = dict.fromkeys(job.job_id.partition("_")[0] for job in after)
    dependency = {"dependency": f"afterany:{':'.join(arrays)}"} if after else {}
    executor.update_parameters(**_sbatch(asked), **dependency)
    try:
        jobs = executor.submit_array([Command(command, _told(asked) / 2) for command in commands.values()])
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        said = next((line for line in str(error).splitlines() if "error" in line.lower()), str(error))
        raise UserError(
            f"machine.slurm: SLURM refuses: {said.strip()}; see `sinfo` and `sacctmgr`"
        ) from error
    when = ", when the others have ended" if after else ""
    echo(f"submitted {listed(commands)}: {listed(job.job_id for job in jobs)}{when}; logs in {show(folder)}")
    return dict(zip(commands, jobs, strict=True))


def _started(folder: Path, commands: Mapping, asked: Mapping, after: Sequence, echo: Callable) -> dict:
    """Jobs on this machine, as many at once as asked for and as there are cores, which they share; returns
    when all have ended."""
    import submitit

    executor = submitit.LocalExecutor(folder, max_num_timeout=asked["requeues"])
    executor.update_parameters(
        timeout_min=asked["minutes"],
        signal_delay_s=_told(asked),
        gpus_per_node=asked["gpus"],
        stderr_to_stdout=True,
    )
    lanes = runs_at_once({**asked, "runs_at_once": min(asked["at_once"] or len(commands), len(commands))})
    jobs: dict = {}
    for name, command in commands.items():
        _await(jobs, lanes - 1)
        jobs[name] = job = executor.submit(Command(command, _told(asked) / 2, os.getpid(), cores() // lanes))
        job.paths.result_pickle.unlink(missing_ok=True)  # of an earlier job, because process ids come again
        echo(f"started {name}: job {job.job_id}; its log is {show(job.paths.stdout)}")
    _await(jobs, 0)
    return jobs


def _await(jobs: Mapping, most: int) -> None:
    """Returns when at most so many jobs have yet to end."""
    while sum(not job.done() for job in jobs.values()) > most:
        time.sleep(POLL_SECONDS)


def check(runs: Sequence) -> None:
    """Raises UserError for what in the machine sections stands against jobs of their own."""
    raise_all(_problems(runs))


def _problems(runs: Sequence) -> list[str]:
    """What in the machine sections stands against jobs of their own."""
    found = []
    if not runs:
        found.append("there is no run to submit")
    if any(run.params["machine"]["hostfile"] for run in runs):
        found.append(
            "machine.hostfile: a job has one node, so it cannot be used with machine.cluster; write "
            'hostfile: "" or cluster: none'
        )
    kinds = dict.fromkeys(run.params["machine"]["cluster"] for run in runs)
    if len(kinds) > 1:
        found.append(
            f"machine.cluster: is {listed(kinds)} in runs of one study; write one of them for all, or choose "
            "runs by --variant"
        )
    asked = {(name, run.params["machine"]["slurm"][name]): None for run in runs for name in NAMED}
    found += [
        f"machine.slurm.{name}: {said!r} is no name; write it as `sinfo` or `sacctmgr` do, without spaces, "
        "`;` or a `-` in front"
        for name, said in asked
        if re.search(r"^-|[\s;]", said)
    ]
    if importlib.util.find_spec("submitit") is None:
        found.append(
            "machine.cluster: needs submitit; install it (pip install -e '.[cluster]') or write none"
        )
    return found


def _missing(kind: str) -> list[str]:
    """What of SLURM is not here."""
    lacking = [name for name in ("sbatch", "srun") if kind == "slurm" and not shutil.which(name)]
    if not lacking:
        return []
    return [f"machine.cluster: slurm, but there is no {listed(lacking)} here; start on a login node"]
