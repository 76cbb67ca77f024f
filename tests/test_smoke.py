"""The smoke study, whole: data, training, evaluation, notebooks, report; then again; then with one change."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from mmrc_helpers.store import files, folders
from mmrc_helpers.study import runs, stages


def run_study(artifacts: Path, *arguments: str, status: int = 0) -> str:
    environment = {**os.environ, "MMRC_ARTIFACTS": str(artifacts)}
    command = [sys.executable, "-m", "mmrc_helpers.run", *arguments]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == status, run.stdout + run.stderr
    return run.stdout


def seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_study_ends_with_a_verdict_and_the_path_of_its_report(smoke_study):
    assert "\nverdict: " in smoke_study.said and "report.html\n" in smoke_study.said
    folder = smoke_study.artifacts / "studies" / "smoke"
    assert (folder / "report.html").stat().st_size < 5e6 and (folder / "index.html").exists()
    assert (folder / "answers.html").stat().st_size < 15e6 and "smoke/answers\n" in smoke_study.said
    assert not list(smoke_study.artifacts.glob("*/*.part"))


def test_every_stage_is_as_its_manifest_says(finished_smoke):
    made = set()
    for run in runs.load_study("smoke").runs:
        made |= {
            s.folder for s in (stages.data_stage(run), *stages.train_stages(run), stages.eval_stage(run))
        }
    assert len(made) == 4  # data, one training, two evaluations
    assert not [problem for folder in made for problem in folders.damage(folder)]


def test_the_second_time_executes_nothing_and_takes_seconds(smoke_study):
    before = [files.read_json(path) for path in sorted(smoke_study.artifacts.glob("*/*/made.json"))]
    began = seconds_of_children()
    said = run_study(smoke_study.artifacts, "smoke")
    assert seconds_of_children() - began < 8  # of the processor
    assert "making" not in said and "01_data" not in said and "verdict: " in said
    assert before == [files.read_json(path) for path in sorted(smoke_study.artifacts.glob("*/*/made.json"))]


def test_changing_one_training_parameter_reuses_the_data(smoke_study, tmp_path):
    text = (runs.PARAMS_FOLDER / "smoke.yaml").read_text()
    (tmp_path / "smoke_faster.yaml").write_text(
        f"{text}\n".replace("train: {", "train: {learning_rate: 0.002, ")
    )
    plan = run_study(
        smoke_study.artifacts, str(tmp_path / "smoke_faster.yaml"), "--variant", "forward", "--dry-run"
    )
    there = [line.split()[-1] for line in plan.splitlines() if line.strip().startswith("there")]
    to_make = [line.split()[-1] for line in plan.splitlines() if line.strip().startswith("to make")]
    assert there[0].startswith("train/sft-") and [name.split("/")[0] for name in there[1:]] == ["data"]
    assert [name.split("/")[0] for name in to_make] == ["train", "eval"]


@pytest.mark.slow  # tests/chaos asserts it of a training and its answers that are made again, and interrupted
def test_the_same_seed_gives_the_same_answers_byte_for_byte(smoke_study, tmp_path, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    tiny.link_base(tmp_path / "artifacts")
    run = runs.find_run(runs.load_study("smoke"), "forward", 0)
    answers = stages.make(stages.eval_stage(run), run.params["machine"], tiny.quiet) / "answers.jsonl"
    first = smoke_study.artifacts / answers.relative_to(tmp_path / "artifacts")
    assert first.read_bytes() == answers.read_bytes()
