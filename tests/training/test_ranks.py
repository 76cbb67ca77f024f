"""Training and evaluation in real processes: several ranks, ZeRO, resuming. The model is very small. One of
each kind is started as users start it, by `launched`; the others are forks of a process that has their
modules."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import preloaded
import pytest
import tiny
from safetensors.torch import load_file

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import guard, worker
from mmrc_helpers.execution.machine import for_stage
from mmrc_helpers.store import files, folders
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import find_run, load_study
from mmrc_helpers.training.checkpoints import step_of
from mmrc_helpers.training.phase import arguments_of

STUDY = f"""
question: Do several processes give what one gives?
model:
  source: scratch
  scratch: {{hidden_size: 48, layers: 2, intermediate_size: 64, vision_width: 32, vision_layers: 1}}
{tiny.PEOPLE}
train:
  teach: {{cells: [forward/free, forward/choice], replay_mix: {{text: 0.0}}}}
  steps: 12
  taught_tokens: 0
  batch: 8
  lora_r: 0
evaluate: {{orders: 2, ask: {{background: 4, drops: [image, text]}}}}
machine: {{launcher: python, threads: 1, save_steps: 2, log_steps: 1}}
variants:
  untrained: {{phases: []}}
  whole: {{}}
  adapted:
    phases: [{{}}, {{lora_r: 4}}]
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("params") / "ranks.yaml"
    path.write_text(STUDY)
    return load_study(path)


@pytest.fixture
def artifacts(artifacts_with_base, tiny_data, monkeypatch) -> Path:
    """One folder for the file: the data and the whole model are made once, and what a test harms it makes
    anew."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(artifacts_with_base))
    return artifacts_with_base


def make(stage, run, **machine) -> Path:
    with preloaded.stages():
        return launched(stage, run, **machine)


def launched(stage, run, **machine) -> Path:
    return stages.make(stage, {**run.params["machine"], **machine}, tiny.quiet)


def make_anew(stage, run, **machine) -> Path:
    folders.forget(stage.folder)
    return make(stage, run, **machine)


def test_one_and_two_processes_write_the_same_answers(study, artifacts):
    run = find_run(study, "adapted", 0)
    stage = stages.eval_stage(run)
    one = (make_anew(stage, run) / "answers.jsonl").read_bytes()
    folders.forget(stage.folder)
    two = (launched(stage, run, launcher="torchrun", processes=2) / "answers.jsonl").read_bytes()
    assert one == two and one.count(b"\n") > 100


def test_a_new_model_that_nobody_trained_is_asked(study, artifacts):
    run = find_run(study, "untrained", 0)
    answers = files.read_jsonl(make(stages.eval_stage(run), run) / "answers.jsonl")
    assert all(np.isfinite(row["logprobs"]).all() for row in answers) and len(answers) > 100


def test_an_interrupted_evaluation_goes_on_and_ends_in_the_same_file(study, artifacts):
    run = find_run(study, "adapted", 0)
    stage = stages.eval_stage(run)
    folder = make(stage, run)
    whole = (folder / "answers.jsonl").read_bytes()
    part = folder.rename(folder.with_name(f"{folder.name}.part"))
    lines = whole.splitlines(keepends=True)
    (part / "answers-0.jsonl").write_bytes(b"".join(lines[:70]) + lines[70][:20])
    for name in ("answers.jsonl", "made.json", "done.json"):
        (part / name).unlink()
    assert (make(stage, run) / "answers.jsonl").read_bytes() == whole


def test_killed_training_resumes_from_its_checkpoint_bit_by_bit(study, artifacts):
    run = find_run(study, "whole", 0)
    (stage,) = stages.train_stages(run)
    whole = load_file(make(stage, run) / "model" / "model.safetensors")
    rows = files.read_jsonl(stage.folder / "metrics.jsonl")
    folders.forget(stage.folder)
    part = kill_at_step(6, study, run)
    newest = max((part / "checkpoints").glob("*/manifest.json"), key=lambda path: step_of(path.parent)).parent
    (newest / "optimizer.pt").write_bytes((newest / "optimizer.pt").read_bytes()[:-1])
    said = []
    with preloaded.stages():
        made = stages.make(stage, run.params["machine"], lambda line, end="\n": said.append(line))
    assert [line for line in said if f"{newest.name} is passed over: " in line and "optimizer.pt" in line]
    resumed = load_file(made / "model" / "model.safetensors")
    assert all((whole[name] == resumed[name]).all() for name in whole)
    assert files.read_jsonl(made / "metrics.jsonl") == rows
    assert "checkpoints" not in [path.name for path in stage.folder.iterdir()]


def kill_at_step(step: int, study, run) -> Path:
    """Kills whoever trains the run's last phase when this step's checkpoint is sealed; the part folder, which
    nobody writes to any more: what trains goes on for a moment, until its guard notices."""
    machine = plain(run.params["machine"])
    part = folders.part_of(stages.train_stages(run)[-1].folder)
    code = (
        "import sys; from mmrc_helpers.study import stages;"
        "from mmrc_helpers.study.runs import find_run, load_study;"
        f"run = find_run(load_study(sys.argv[1]), {run.variant!r}, 0);"
        f"stages.make(stages.train_stages(run)[-1], {machine!r})"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(study.path)])
    while not sealed(part, step):
        assert owner.poll() is None
        time.sleep(0.005)
    below = guard.descendants(owner.pid)
    owner.kill()
    owner.wait()
    while any(guard.descendants(pid) for pid in below):
        time.sleep(0.005)
    return part


def kill_ranks_at_step(step: int, stage, run, **machine) -> None:
    """Kills all ranks that train a phase, whose inputs are there, when this step's checkpoint is sealed."""
    machine = for_stage("train", {**run.params["machine"], **machine})
    part = folders.begin(stage.folder, stage.recipe(machine))
    ranks = preloaded.start("mmrc_helpers.programs.train", part, machine)
    while not sealed(part, step):
        assert all(rank.is_alive() for rank in ranks)
        time.sleep(0.005)
    for rank in ranks:
        rank.kill()
    for rank in ranks:
        rank.join()


def sealed(part: Path, step: int) -> bool:
    return (part / "checkpoints" / f"checkpoint-{step}" / "manifest.json").exists()


TWO = {"launcher": "deepspeed", "processes": 2, "micro_batch": 2}


@pytest.fixture(scope="module")
def two_ranks(study, tmp_path_factory):
    """The folder of a run's last phase as two undisturbed ranks train it; made once for each way and kept
    aside."""
    kept, place = {}, tmp_path_factory.mktemp("ranks")

    def of(variant: str, zero: str) -> Path:
        if (variant, zero) not in kept:
            run = find_run(study, variant, 0)
            stage, how = stages.train_stages(run)[-1], launched if zero == "2" else make
            folders.forget(stage.folder)
            made = how(stage, run, **TWO, zero=zero)
            kept[variant, zero] = made.rename(place / f"{variant}-{zero}")
        return kept[variant, zero]

    return of


def trained(folder: Path) -> dict:
    """The weights that a phase has trained."""
    (path,) = [*folder.glob("adapter/adapter_model.safetensors"), *folder.glob("model/model.safetensors")]
    return load_file(path)


@pytest.mark.parametrize(
    ("variant", "zero"),
    [
        ("adapted", "2"),
        *[
            pytest.param(variant, zero, marks=pytest.mark.slow)
            for variant, zero in (("whole", "none"), ("whole", "2"), ("adapted", "3"))
        ],
    ],
)
def test_two_killed_ranks_resume_bit_by_bit(study, artifacts, two_ranks, variant, zero):
    run = find_run(study, variant, 0)
    stage = stages.train_stages(run)[-1]
    whole = trained(two_ranks(variant, zero))
    folders.forget(stage.folder)
    kill_ranks_at_step(4, stage, run, **TWO, zero=zero)
    resumed = trained(make(stage, run, **TWO, zero=zero))
    assert all((whole[name] == resumed[name]).all() for name in whole)


@pytest.mark.slow
def test_two_ranks_save_at_the_same_step_when_the_time_of_a_job_is_up(
    study, artifacts, two_ranks, tmp_path, monkeypatch
):
    told, run = tmp_path / "time_is_up", find_run(study, "adapted", 0)
    monkeypatch.setenv(worker.JOB, str(told))
    told.touch()
    saved = trained(make_anew(stages.train_stages(run)[-1], run, **TWO, zero="2", save_steps=1000))
    assert not told.exists()  # else nothing was saved
    whole = trained(two_ranks("adapted", "2"))
    assert all((whole[name] == saved[name]).all() for name in whole)


@pytest.mark.parametrize("zero", ["none", "2", pytest.param("3", marks=pytest.mark.slow)])
def test_two_ranks_train_under_deepspeed(artifacts, two_ranks, zero):
    folder = two_ranks("adapted", zero)
    assert any(values.abs().sum() > 0 for name, values in trained(folder).items() if "lora_B" in name)
    rows = files.read_jsonl(folder / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 13))


@pytest.mark.parametrize("zero", ["2", pytest.param("3", marks=pytest.mark.slow)])
def test_weights_that_wait_in_the_hosts_memory_become_the_same(study, artifacts, two_ranks, zero):
    run = find_run(study, "adapted", 0)
    waited = trained(make_anew(stages.train_stages(run)[-1], run, **TWO, zero=zero, offload=True))
    whole = trained(two_ranks("adapted", zero))
    assert all((whole[name] - waited[name]).abs().max() < 1e-5 for name in whole)


def test_a_phase_of_few_steps_leaves_metrics(study, tmp_path):
    params = find_run(study, "whole", 0).params
    few = {**params["phases"][0], "steps": 3}
    arguments = arguments_of(tmp_path, few, {**params["machine"], "log_steps": 25, "deepspeed": {}}, 0)
    assert arguments["logging_steps"] == arguments["max_steps"] == 3


def test_an_uneven_batch_is_one_clear_error(study, tmp_path):
    params = find_run(study, "whole", 0).params
    with pytest.raises(UserError, match="train.batch: 8 rows do not divide"):
        arguments_of(tmp_path, params["phases"][0], {**params["machine"], "micro_batch": 3}, 0)
