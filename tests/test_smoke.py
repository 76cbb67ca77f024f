"""The smoke study, whole: data, training, evaluation, notebooks, report; then again; then with one change."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmrc_helpers.store import files, folders
from mmrc_helpers.study import runs, stages


@dataclass(frozen=True)
class Done:
    """What a finished smoke study left: its artifacts and what it said."""

    artifacts: Path
    said: str

    def stages(self, kind: str) -> set[str]:
        return {path.name for path in (self.artifacts / kind).iterdir() if not path.is_symlink()}


@pytest.fixture(scope="module")
def done(artifacts_with_base) -> Done:
    return Done(artifacts_with_base, run_study(artifacts_with_base, "smoke"))


def run_study(artifacts: Path, *arguments: str, status: int = 0) -> str:
    environment = {**os.environ, "MMRC_ARTIFACTS": str(artifacts)}
    command = [sys.executable, "-m", "mmrc_helpers.run", *arguments]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == status, run.stdout + run.stderr
    return run.stdout


def test_the_study_ends_with_a_verdict_and_the_path_of_its_report(done):
    assert "\nverdict: " in done.said and "report.html\n" in done.said
    folder = done.artifacts / "studies" / "smoke"
    assert (folder / "report.html").stat().st_size < 5e6 and (folder / "index.html").exists()
    assert not list(done.artifacts.glob("*/*.part"))


def test_every_stage_is_as_its_manifest_says(done, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(done.artifacts))
    made = set()
    for run in runs.load_study("smoke").runs:
        made |= {
            s.folder for s in (stages.data_stage(run), *stages.train_stages(run), stages.eval_stage(run))
        }
    assert len(made) == 4  # data, one training, two evaluations
    assert not [problem for folder in made for problem in folders.damage(folder)]


def test_the_second_time_executes_nothing_and_takes_seconds(done):
    before = [files.read_json(path) for path in sorted(done.artifacts.glob("*/*/made.json"))]
    began = time.monotonic()
    said = run_study(done.artifacts, "smoke")
    assert time.monotonic() - began < 15
    assert "making" not in said and "01_data" not in said and "verdict: " in said
    assert before == [files.read_json(path) for path in sorted(done.artifacts.glob("*/*/made.json"))]


def test_changing_one_training_parameter_reuses_the_data(done, tmp_path):
    text = (runs.PARAMS_FOLDER / "smoke.yaml").read_text()
    (tmp_path / "smoke_faster.yaml").write_text(
        f"{text}\n".replace("train: {", "train: {learning_rate: 0.002, ")
    )
    plan = run_study(done.artifacts, str(tmp_path / "smoke_faster.yaml"), "--variant", "forward", "--dry-run")
    there = [line.split()[-1] for line in plan.splitlines() if line.strip().startswith("there")]
    to_make = [line.split()[-1] for line in plan.splitlines() if line.strip().startswith("to make")]
    assert [name.split("/")[0] for name in there] == ["data"]
    assert [name.split("/")[0] for name in to_make] == ["train", "eval"]


def test_the_same_seed_gives_the_same_answers_byte_for_byte(done, tmp_path):
    again = tmp_path / "artifacts"
    (again / "train").mkdir(parents=True)
    for path in (done.artifacts / "train").iterdir():
        if path.is_symlink():
            (again / "train" / path.name).symlink_to(path.resolve())
    run_study(again, "smoke", "--variant", "forward")
    (answers,) = (again / "eval").glob("*/answers.jsonl")
    first = done.artifacts / answers.relative_to(again)
    assert first.read_bytes() == answers.read_bytes()
