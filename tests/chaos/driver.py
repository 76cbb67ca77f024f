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
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

from faults import DAMAGES, FILES, MOMENTS, SIGNALS, Fault, faults
from results import differences, lies
from trial import Study, Trial, last_lines, send, take_snapshot

from mmrc_helpers.store import files

STUDY = """
question: Is anything lost when things break?
people: {novel: 16, background: 16, train_scenes: 1, text_scenes: 20, train_views: 2, test_views: 2}
train: {taught_tokens: 0, steps: 8, batch: 4}
evaluate: {orders: 1, ask: {background: 0, drops: [], storage: false}}
machine: {launcher: LAUNCHER, processes: 2, save_steps: 2, log_steps: 1, heartbeat_seconds: 45}
variants: {forward: {}}
"""


def make_reference(folder: Path) -> Study:
    """Runs the study of this file once, undisturbed."""
    path, reference = folder / "chaos.yaml", folder / "reference"

    def write(launcher: str) -> None:
        path.write_text(STUDY.replace("LAUNCHER", launcher))

    write("torchrun")
    (reference / "train").mkdir(parents=True)
    for trained in (files.REPOSITORY / "artifacts" / "train").iterdir():
        (reference / "train" / trained.name).symlink_to(trained)
    study = Study(reference, [sys.executable, "-m", "mmrc_helpers.run", str(path)], write)
    code, said = Trial(study, reference, folder / "first.log").run()
    if code or (wrong := lies(reference)):
        sys.exit(f"the undisturbed run failed ({code}):\n{said if code else wrong}")
    return study


def attempt(fault: Fault, rng: random.Random, study: Study, folder: Path) -> dict:
    """Does the fault once. Returns its record; `outcome` is

    same: the same command again ended in the same results; told: it stopped with one sentence that names the
    file and the mending command, after which it did; missed: nothing was there to strike; lost: all else.
    """
    study.write(fault.launcher)
    began = time.monotonic()
    with _place(folder, fault) as artifacts, closing(Trial(study, artifacts, folder / "run.log")) as trial:
        take_snapshot(study.reference, artifacts, MOMENTS[fault.moment][0])
        struck = _strike(trial, fault, rng, study)
        record = asdict(fault) | {"struck": struck, "orphans": trial.survivors(), "lies": []}
        if struck.pop("exit") == 0 and fault.action not in DAMAGES:
            record["lies"] = differences(study.reference, artifacts)  # it said that all was done
        elif fault.action not in DAMAGES:
            record["lies"] = lies(artifacts)
        record |= _judge(trial, fault, struck) if "missed" not in struck else {"outcome": "same"}
    if not struck["hit"] and record["outcome"] == "same":
        record |= {"outcome": "missed", "detail": struck.get("missed", "it was over before")}
    return record | {"seconds": round(time.monotonic() - began, 1)}


def _strike(trial: Trial, fault: Fault, rng: random.Random, study: Study) -> dict:
    """Brings the study to the fault's moment and does it: what was hit, and how the disturbed run ended."""
    if fault.action == "fill":
        return _fill(trial, fault, rng, study)
    if fault.action in SIGNALS:
        return send(trial, fault.target, fault.action, fault.moment, rng)
    if "partial" in fault.target or "checkpoint" in fault.target:
        send(trial, "runner", "KILL", fault.moment, rng)
        trial.survivors()
    pattern = FILES[fault.target][1]
    paths = [
        path
        for path in sorted(trial.artifacts.glob(pattern))
        if path.is_file()
        and not _is_linked(path, trial.artifacts)
        and _is_part(path) == (".part/" in pattern)
    ]
    if "checkpoint" in fault.target and paths:
        newest = max(paths, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0)).parent
        paths = [path for path in paths if path.parent == newest]
    if not paths:
        return {"hit": "", "exit": None}
    path = rng.choice(paths)
    DAMAGES[fault.action](path)
    return {"hit": str(path.relative_to(trial.artifacts)), "exit": None}


def _fill(trial: Trial, fault: Fault, rng: random.Random, study: Study) -> dict:
    """Leaves room for a share of what is missing, so that the disk is full at a random moment."""
    if not os.path.ismount(trial.artifacts):
        return {"hit": "", "exit": None, "missed": "a small disk could not be mounted here"}
    needed = _size(study.reference) - _size(trial.artifacts)
    room = int(rng.uniform(0.02, 1.0) * max(needed, 100_000))
    filler, space = trial.artifacts / ".filler", shutil.disk_usage(trial.artifacts).free
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, space - room))
    code, said = trial.run()
    filler.unlink()
    return {"hit": f"{room} bytes of {needed} left", "exit": code, "said": last_lines(trial.log)}


def _judge(trial: Trial, fault: Fault, struck: dict) -> dict:
    """Runs the same command again, and the mending command if it asks for one; compares."""
    if struck.get("hung", False):
        return {"outcome": "lost", "detail": "the disturbed run did not end"}
    code, said = trial.run()
    again = trial.survivors()
    found = differences(trial.study.reference, trial.artifacts)
    if code == 0 and not found and not again:
        return {"outcome": "same"}
    hit = Path(struck["hit"])
    name = hit.name if fault.action in DAMAGES else ""
    if name == "made.json":  # its sums against the files: nobody can know which of the two was damaged
        name = hit.parent.name
    if code and name and name in said and (mend := _mending_command(said)) is not None:
        told, code, said = _sentence(said, name), *_mend(trial, mend)
        found = differences(trial.study.reference, trial.artifacts)
        if code == 0 and not found:
            return {"outcome": "told", "detail": told}
    return {"outcome": "lost", "detail": f"exit {code}; {found[:5]}; {again}; {last_lines(trial.log)}"}


def _mending_command(said: str) -> list[str] | None:
    """`rm -r PATH` or `--redo KIND`, whichever the message names."""
    if removed := re.search(r"rm -r (\S+?)(?:,|$)", said, re.MULTILINE):
        return ["rm", "-r", removed[1]]
    redo = re.search(r"--redo (\w+)", said)
    return ["--redo", redo[1]] if redo else None


def _mend(trial: Trial, mend: list[str]) -> tuple[int | None, str]:
    if mend[0] == "rm":
        path = Path(shlex.split(mend[2])[0])
        path = path if path.is_absolute() else files.REPOSITORY / path
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


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not _is_linked(p, folder))


def _is_linked(path: Path, root: Path) -> bool:
    return not path.resolve().is_relative_to(root.resolve())


def _is_part(path: Path) -> bool:
    return any(parent.name.endswith(".part") for parent in path.parents)


def _sentence(said: str, name: str) -> str:
    return next(line for line in said.splitlines() if name in line)[:300]


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
    for number in (signal.SIGINT, signal.SIGTERM):  # shells start background jobs with SIGINT ignored
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    results = options.results or files.REPOSITORY / "artifacts" / f"chaos-{options.seed}.jsonl"
    records = campaign(options.count, options.seed, results)
    print(table(records))
    return int(any(r["outcome"] == "lost" or r["orphans"] or r["lies"] for r in records))


if __name__ == "__main__":
    sys.exit(main())
