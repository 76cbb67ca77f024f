"""Disk space: too little is said before the work, a full disk in the middle is one clear sentence, and the
stage goes on afterwards. A small tmpfs is really mounted and filled."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import tiny

from mmrc_helpers import run
from mmrc_helpers.errors import UserError
from mmrc_helpers.execution.launch import run_module
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.study import budget, stages
from mmrc_helpers.study.runs import load_study

STUDY = f"""
model: {{source: scratch}}
phases: []
{tiny.PEOPLE}
machine: {{launcher: python}}
"""
WRITER = '''
"""Writes ever more of four files, as training writes checkpoints; keeps those that are there."""
import sys
import torch
from mmrc_helpers.execution import worker

def main(folder):
    for number in range(4):
        worker.progress(number + 1, 4)
        path = folder / f"{number}.pt"
        if not path.exists():
            torch.save(torch.zeros(500_000), path.with_suffix(".beside"))
            path.with_suffix(".beside").rename(path)

if __name__ == "__main__":
    worker.run_main(main)
'''


@pytest.fixture
def small(tmp_path, monkeypatch):
    """An artifacts folder on a file system of 5 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    monkeypatch.setenv("MMRC_ARTIFACTS", str(place / "artifacts"))
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def study(tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mini.yaml").write_text(STUDY)
    return load_study(tmp_path / "params" / "mini.yaml")


def test_too_little_space_is_said_before_the_work_with_both_numbers_and_the_cure(small, study):
    (chosen,) = study.runs
    stage = stages.data_stage(chosen)
    said = r"people-\w+ needs about 0.0\d+ GB of disk, and 0.005\d* GB are free; free some .* MMRC_ARTIFACTS"
    with pytest.raises(UserError, match=said):
        stages.make(stage, chosen.params["machine"])
    assert not folders.part_of(stage.folder).exists()


def test_a_disk_that_fills_in_the_middle_is_one_sentence_and_the_stage_goes_on(small, tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "writer.py").write_text(textwrap.dedent(WRITER))
    part = folders.begin(folders.folder_of("train", "sft", "00000000"), {})
    machine = {"launcher": "python", "accelerator": "cpu", "processes": 1, "hostfile": "", "threads": 1}
    machine |= {
        "heartbeat_seconds": 60,
        "tracker": "none",
        "environment": {"PYTHONPATH": f"{tmp_path}{os.pathsep}{files.REPOSITORY}"},
    }
    with pytest.raises(UserError, match="^the disk is full, so .*sft-00000000.part is unfinished; free some"):
        run_module("tiny.writer", part, machine)
    assert (part / "0.pt").exists() and not (part / "done.json").exists()
    subprocess.run(["mount", "-o", "remount,size=20m", small], check=True)
    assert run_module("tiny.writer", part, machine)["seconds"] >= 0
    assert (part / "3.pt").exists()


def test_a_full_disk_under_the_runner_is_one_sentence_and_status_2(small, study, capfd):
    files.make_folder(small / "artifacts")
    with (small / "ballast").open("wb") as file, pytest.raises(OSError):
        while True:
            file.write(bytes(100_000))
            file.flush()
    assert run.main([str(study.path)]) == 2
    assert capfd.readouterr().err.startswith("error: the disk is full, so ")


def test_other_errors_of_the_system_are_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(FileNotFoundError), disk.writing_into(tmp_path):
        (tmp_path / "missing").read_text()


def test_estimates_are_no_less_than_what_a_stage_takes(artifacts_with_base, study, tiny_data, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(artifacts_with_base))
    (chosen,) = study.runs
    stage = stages.data_stage(chosen)
    assert disk.size(tiny_data) < budget.estimate("data", stage.params, {}, {}) < 50e6
    embedded = tiny.base_model()
    weights = embedded / "model" / "model.safetensors"
    recipe, machine = folders.read_recipe(embedded), {"keep_checkpoints": 2}
    assert disk.size(weights.parent) < budget.estimate("train", recipe["params"], {}, machine)
    train = {**recipe["params"]["train"], "lora_r": 8, "lora_targets": ["q_proj"]}
    params = {"model": {"source": "study"}, "train": train}
    layers = 4 * 8 * (192 + 192)  # four layers, rank 8, square projections
    expected = budget.SMALL_FILES + layers * (4 + 20 * 3)
    assert budget.estimate("train", params, {"model": embedded}, machine) == expected


def test_a_stage_with_a_damaged_input_is_not_begun(tiny_data, tmp_path, study, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    (chosen,) = study.runs
    stage, folder = stages.eval_stage(chosen), stages.data_stage(chosen).folder
    shutil.copytree(tiny_data, folder)
    shard = min((folder / "pictures").iterdir())
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard.name} is missing; to make it again: rm -r .*, then run"):
        stages.make(stage, chosen.params["machine"])
    assert not folders.part_of(stage.folder).exists()


@pytest.mark.parametrize("torn", ["whole name", "begun"])
def test_a_torn_shard_of_an_earlier_attempt_is_drawn_again(tmp_path, tiny_data, torn):
    part = Path(shutil.copytree(tiny_data, tmp_path / f"{tiny_data.name}.part"))
    for name in ("made.json", "done.json"):
        (part / name).unlink()
    (shard,) = (part / "pictures").iterdir()
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    if torn == "begun":
        shard.rename(shard.with_suffix(".part"))
    command = [sys.executable, "-m", "mmrc_helpers.programs.generate", str(part)]
    subprocess.run(command, check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in (part / "pictures").iterdir()} == {shard.name: whole}
