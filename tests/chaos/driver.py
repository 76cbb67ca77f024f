"""Breaks a very small study in one way, runs the same command again and compares with an undisturbed run:
`python tests/chaos/driver.py --count 100 --seed 0 --results FILE`. The faults are data; a campaign goes
through all of them in an order drawn from its seed and can itself be interrupted and continued."""

import argparse
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from results import differences, lies

from mmrc_helpers import store

STUDY = """
question: Is anything lost when things break?
data: {novel: 16, background: 16, train_scenes: 1, text_scenes: 20, train_views: 2, test_views: 2}
train: {cells: [forward/free], novel_tokens: 0, steps: 8, batch: 4}
evaluate: {background: 0, orders: 1, drops: [], storage: false}
machine: {launcher: LAUNCHER, processes: 2, save_steps: 2, log_steps: 1, heartbeat_seconds: 20}
variants: {forward: {}}
"""
PATIENCE = 300  # seconds for a run that was disturbed to end by itself, and for one to reach its moment
MARK = "MMRC_CHAOS"  # every process of a trial inherits this variable

# moment: what is taken away from a finished study, the file that shows that the moment has come, and for how
# many seconds after that the fault may strike
REPORT = ["studies/*/*.*"]
LATER = {"eval": ["eval/*", *REPORT], "train": ["train/*", "eval/*", *REPORT]}
MOMENTS = {
    "data": (["data/*", *LATER["train"]], "data/*.part/images/*.png", 0.4),
    "loading": (LATER["train"], "train/*.part/log.txt", 8.0),
    "training": (LATER["train"], "train/*.part/metrics.jsonl", 0.8),
    "checkpoint": (LATER["train"], "train/*.part/checkpoints/*", 0.5),
    "evaluation": (LATER["eval"], "eval/*.part/answers-*.jsonl", 1.0),
    "notebook": (["studies/*"], "studies/*/*/0?_*.part.ipynb", 3.0),
    "html": (["studies/*"], "studies/*/*/0?_*[!t].ipynb", 0.5),
    "report": (REPORT, "studies/*/report.part.ipynb", 2.0),
    "finished": ([], "studies/*/report.json", 0.0),
}
PROCESSES = {  # who can be hit when
    **dict.fromkeys(("runner", "papermill", "kernel"), tuple(MOMENTS)[:-1]),
    **dict.fromkeys(("guard", "rank 0"), ("data", "loading", "training", "checkpoint", "evaluation")),
    **dict.fromkeys(("launcher", "rank 1"), ("loading", "training", "checkpoint", "evaluation")),
}
SIGNALS = ("INT", "TERM", "KILL", "STOP")
FILES = {  # what is damaged: at which moment, and where; at the first three the runner is killed before
    "newest checkpoint": ("checkpoint", "train/*.part/checkpoints/*/*"),
    "partial answers": ("evaluation", "eval/*.part/answers-*.jsonl"),
    "partial image": ("data", "data/*.part/images/*.png"),
    "image": ("loading", "data/*/images/novel-*.png"),
    "examples.jsonl": ("loading", "data/*/examples.jsonl"),
    "data recipe.json": ("loading", "data/*/recipe.json"),
    "data made.json": ("loading", "data/*/made.json"),
    "adapter": ("evaluation", "train/*/adapter/adapter_model.safetensors"),
    "metrics.jsonl": ("notebook", "train/*/metrics.jsonl"),
    "train made.json": ("evaluation", "train/*/made.json"),
    "answers.jsonl": ("notebook", "eval/*/answers.jsonl"),
    "eval recipe.json": ("notebook", "eval/*/recipe.json"),
    "eval made.json": ("notebook", "eval/*/made.json"),
    "notebook's mark": ("finished", "studies/*/*/02_train.json"),
    "executed notebook": ("finished", "studies/*/*/03_evaluate.ipynb"),
    "page": ("finished", "studies/*/*/03_evaluate.html"),
}
DAMAGES: dict[str, Callable[[Path], object]] = {
    "delete": Path.unlink,
    "truncate": lambda path: os.truncate(path, path.stat().st_size // 2),
    "flip": lambda path: _flip(path),
}


@dataclass(frozen=True)
class Fault:
    """What is done (a signal, a kind of damage, or `fill` for a full disk), to what, and when."""

    action: str
    target: str
    moment: str
    launcher: str = "torchrun"


SIGNALLED = [
    Fault(action, target, moment, launcher)
    for target, moments in PROCESSES.items()
    for moment in moments
    for action in SIGNALS
    for launcher in (
        ("torchrun", "deepspeed") if target in ("launcher", "rank 0", "rank 1") else ("torchrun",)
    )
]
DAMAGED = [Fault(action, target, moment) for target, (moment, _) in FILES.items() for action in DAMAGES]
FILLED = [
    Fault("fill", "disk", moment) for moment in ("data", "training", "evaluation", "notebook", "report")
]


@dataclass(frozen=True)
class Study:
    """A finished, undisturbed study and the command that made it; `write` sets its launcher."""

    reference: Path
    command: list[str]
    write: Callable[[str], object] = lambda launcher: None


def make_reference(folder: Path) -> Study:
    """Runs the study of this file once, undisturbed."""
    path, reference = folder / "chaos.yaml", folder / "reference"

    def write(launcher: str) -> None:
        path.write_text(STUDY.replace("LAUNCHER", launcher))

    write("torchrun")
    (reference / "train").mkdir(parents=True)
    for trained in (store.REPOSITORY / "artifacts" / "train").iterdir():
        (reference / "train" / trained.name).symlink_to(trained)
    study = Study(reference, [sys.executable, "-m", "mmrc_helpers.run", str(path)], write)
    code, said = Trial(study, reference, folder / "first.log").run()
    if code or (wrong := lies(reference)):
        sys.exit(f"the undisturbed run failed ({code}):\n{said if code else wrong}")
    return study


class Trial:
    """One artifacts folder of a study, and its processes, which are found by a mark in their environment."""

    def __init__(self, study: Study, artifacts: Path, log: Path):
        self.study, self.artifacts, self.log = study, artifacts, log
        self.mark = f"{MARK}={os.getpid()}-{random.randbytes(8).hex()}"

    def begin(self, *more: str) -> subprocess.Popen:
        """Starts the study's command, in a session of its own."""
        name, value = self.mark.split("=")
        own = {name: value, "MMRC_ARTIFACTS": str(self.artifacts), "PYTHONPATH": str(store.REPOSITORY)}
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
            self.kill_all()
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
                    command = (path / "cmdline").read_text().replace("\0", " ")
                    rank = next((v[5:] for v in variables if v.startswith("RANK=")), "0")
                    state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
                    if state != "Z":
                        found[int(path.name)] = (command, rank, int(parent))
            except OSError:  # it ended while we looked
                continue
        return found

    def find(self, target: str, runner: int) -> int | None:
        """The process that plays this part now."""
        for pid, (command, rank, parent) in sorted(self.processes().items(), reverse=True):
            if target == _part_of(command, rank, parent == runner, pid == runner):
                return pid
        return None

    def survivors(self, seconds: float = 5) -> list[str]:
        """Command lines of what is still alive so many seconds from now; those are then killed."""
        deadline = time.monotonic() + seconds
        while (alive := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.kill_all()
        return [command for command, _, _ in alive.values()]

    def kill_all(self) -> None:
        for pid in self.processes():
            _signal(pid, signal.SIGKILL)


def _part_of(command: str, rank: str, is_child: bool, is_runner: bool) -> str:
    if is_runner:
        return "runner"
    if "guard.py" in command:
        return "guard"
    if "torch.distributed.run" in command or "deepspeed.launcher" in command:
        return "launcher"
    if "ipykernel_launcher" in command:
        return "kernel"
    return "papermill" if is_child else f"rank {rank}" if "-m mmrc_helpers." in command else "other"


def attempt(fault: Fault, rng: random.Random, study: Study, folder: Path) -> dict:
    """Does the fault once. Returns its record; `outcome` is

    same: the same command again ended in the same results; told: it stopped with one sentence that names the
    file and the mending command, after which it did; missed: nothing was there to strike; lost: all else.
    """
    study.write(fault.launcher)
    began = time.monotonic()
    with _place(folder, fault) as artifacts:
        trial = Trial(study, artifacts, folder / "run.log")
        _take_snapshot(study.reference, artifacts, MOMENTS[fault.moment][0])
        struck = _strike(trial, fault, rng, study)
        record = asdict(fault) | {"struck": struck, "orphans": trial.survivors(), "lies": []}
        if struck.pop("exit") == 0 and fault.action not in DAMAGES:
            record["lies"] = differences(study.reference, artifacts)  # it said that all was done
        elif fault.action not in DAMAGES:
            record["lies"] = lies(artifacts)
        record |= _judge(trial, fault, struck)
    if not struck["hit"] and record["outcome"] == "same":
        record["outcome"] = "missed"
    return record | {"seconds": round(time.monotonic() - began, 1)}


def _strike(trial: Trial, fault: Fault, rng: random.Random, study: Study) -> dict:
    """Brings the study to the fault's moment and does it: what was hit, and how the disturbed run ended."""
    if fault.action == "fill":
        return _fill(trial, fault, rng, study)
    if fault.action in SIGNALS:
        return _send(trial, fault.target, fault.action, fault.moment, rng)
    if "partial" in fault.target or "checkpoint" in fault.target:
        _send(trial, "runner", "KILL", fault.moment, rng)
        trial.survivors()
    files = sorted(
        p for p in trial.artifacts.glob(FILES[fault.target][1]) if not _is_linked(p, trial.artifacts)
    )
    files = [
        path
        for path in files
        if path.is_file() and (".part" in str(path)) == (".part/" in FILES[fault.target][1])
    ]
    if "checkpoint" in fault.target and files:
        newest = max(files, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0)).parent
        files = [path for path in files if path.parent == newest]
    if not files:
        return {"hit": "", "exit": None}
    path = rng.choice(files)
    DAMAGES[fault.action](path)
    return {"hit": str(path.relative_to(trial.artifacts)), "exit": None}


def _send(trial: Trial, target: str, action: str, moment: str, rng: random.Random) -> dict:
    """Sends the signal to the process at the moment."""
    _, pattern, spread = MOMENTS[moment]
    runner, delay, deadline = trial.begin(), rng.uniform(0, spread), time.monotonic() + PATIENCE
    while not any(trial.artifacts.glob(pattern)) and runner.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay)
    pid = None
    while pid is None and runner.poll() is None:
        pid = trial.find(target, runner.pid)
    hit = (
        f"{target} {delay:.2f} s into {moment}"
        if pid and _signal(pid, getattr(signal, f"SIG{action}"))
        else ""
    )
    if action == "STOP" and target in ("runner", "papermill", "kernel"):
        time.sleep(3)  # nobody watches these: who stops them (Ctrl-Z) also continues them
        _signal(pid or 0, signal.SIGCONT)
    code = trial.end(runner)
    return {
        "hit": hit,
        "exit": code,
        "said": _last_lines(trial.log),
        **({"hung": True} if code is None else {}),
    }


def _fill(trial: Trial, fault: Fault, rng: random.Random, study: Study) -> dict:
    """Leaves room for a share of what is missing, so that the disk is full at a random moment."""
    if not os.path.ismount(trial.artifacts):
        return {"hit": "", "exit": None}
    needed = _size(study.reference) - _size(trial.artifacts)
    room = int(rng.uniform(0.02, 1.0) * max(needed, 100_000))
    filler, space = trial.artifacts / ".filler", shutil.disk_usage(trial.artifacts).free
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, space - room))
    code, said = trial.run()
    filler.unlink()
    return {"hit": f"{room} bytes of {needed} left", "exit": code, "said": _last_lines(trial.log)}


def _judge(trial: Trial, fault: Fault, struck: dict) -> dict:
    """Runs the same command again, and the mending command if it asks for one; compares."""
    if struck.get("hung"):
        return {"outcome": "lost", "detail": "the disturbed run did not end"}
    code, said = trial.run()
    again = trial.survivors()
    found = differences(trial.study.reference, trial.artifacts)
    if code == 0 and not found and not again:
        return {"outcome": "same"}
    name = Path(struck["hit"]).name if fault.action in DAMAGES else ""
    if code and name and name in said and (mend := _mending_command(said)) is not None:
        told, code, said = _sentence(said, name), *_mend(trial, mend)
        found = differences(trial.study.reference, trial.artifacts)
        if code == 0 and not found:
            return {"outcome": "told", "detail": told}
    return {"outcome": "lost", "detail": f"exit {code}; {found[:5]}; {again}; {_last_lines(trial.log)}"}


def _mending_command(said: str) -> list[str] | None:
    """`rm -r PATH` or `--redo KIND`, whichever the message names."""
    if removed := re.search(r"rm -r (\S+?)(?:,|$)", said, re.MULTILINE):
        return ["rm", "-r", removed[1]]
    redo = re.search(r"--redo (\w+)", said)
    return ["--redo", redo[1]] if redo else None


def _mend(trial: Trial, mend: list[str]) -> tuple[int | None, str]:
    if mend[0] == "rm":
        path = Path(shlex.split(mend[2])[0])
        path = path if path.is_absolute() else store.REPOSITORY / path
        if not path.is_relative_to(trial.artifacts):
            return 1, f"{path} is not ours to remove"
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return trial.run()
    return trial.run(*mend)


@contextmanager
def _place(folder: Path, fault: Fault) -> Iterator[Path]:
    """An empty artifacts folder; for a disk that fills up, a small one of its own where that is permitted."""
    artifacts = folder / "trial"
    shutil.rmtree(artifacts, ignore_errors=True)
    artifacts.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "none", str(artifacts)]
    mounted = fault.action == "fill" and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield artifacts
    finally:
        if mounted:
            subprocess.run(["umount", str(artifacts)], check=True)
        shutil.rmtree(artifacts, ignore_errors=True)


def _take_snapshot(reference: Path, artifacts: Path, without: list[str]) -> None:
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


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not _is_linked(p, folder))


def _is_linked(path: Path, root: Path) -> bool:
    return not path.resolve().is_relative_to(root.resolve())


def _last_lines(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-4:])[-600:]


def _sentence(said: str, name: str) -> str:
    return next(line for line in said.splitlines() if name in line)[:300]


def faults(seed: int) -> Iterator[Fault]:
    """All faults in an order drawn from the seed, kinds evenly mixed, again and again."""
    rng = random.Random(seed)
    while True:
        kinds = [rng.sample(kind, len(kind)) for kind in (SIGNALLED, DAMAGED, FILLED)]
        placed = [((i + rng.random()) / len(kind), f) for kind in kinds for i, f in enumerate(kind)]
        yield from (fault for _, fault in sorted(placed, key=lambda pair: pair[0]))


def campaign(count: int, seed: int, results: Path) -> list[dict]:
    """Does the first `count` faults of the seed that `results` does not hold yet, one line for each."""
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    numbers = {record["number"] for record in done}
    with tempfile.TemporaryDirectory(prefix="mmrc-chaos-") as name:
        study = None
        for number, fault in zip(range(count), faults(seed), strict=False):
            if number in numbers:
                continue
            study = study or make_reference(Path(name))
            record = {"number": number} | attempt(fault, random.Random(f"{seed}/{number}"), study, Path(name))
            with results.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(
                number, *asdict(fault).values(), "→", record["outcome"], record.get("detail", ""), flush=True
            )
            done.append(record)
    return done


def table(records: list[dict]) -> str:
    """fault × count × outcomes, as Markdown."""
    heads = ("fault", "count", "same", "told", "missed", "lost", "orphans", "wrong complete")
    rows: dict[str, Counter] = {}
    for record in records:
        who = (
            record["target"]
            if record["action"] in SIGNALS
            else "file"
            if record["action"] in DAMAGES
            else "disk"
        )
        for name in (f"{record['action']} {who}", f"at {record['moment']}", "all"):
            row = rows.setdefault(name, Counter())
            row.update(["count", record["outcome"]])
            row.update({"orphans": bool(record["orphans"]), "wrong complete": bool(record["lies"])})
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, row in sorted(
        rows.items(), key=lambda item: (item[0] == "all", item[0].startswith("at "), item)
    ):
        lines.append("| " + " | ".join([name, *(str(row[head]) for head in heads[1:])]) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="faults to have done in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--results", type=Path, help="JSONL to go on from (default: artifacts/chaos-SEED.jsonl)"
    )
    options = parser.parse_args()
    results = options.results or store.REPOSITORY / "artifacts" / f"chaos-{options.seed}.jsonl"
    records = campaign(options.count, options.seed, results)
    print(table(records))
    return int(any(r["outcome"] == "lost" or r["orphans"] or r["lies"] for r in records))


if __name__ == "__main__":
    sys.exit(main())
