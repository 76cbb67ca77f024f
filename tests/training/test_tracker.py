"""Tracking is off unless a study asks for it, and then stays on this machine, under the stage's name."""

import importlib.util

import pytest
from training.phases import defaults, phase_of, trained

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import machine
from mmrc_helpers.store import files

MACHINE = defaults("base")["machine"]


def test_it_is_off_by_default_and_then_sets_nothing(tmp_path):
    assert MACHINE["tracker"] == "none" and machine.tracking(tmp_path, MACHINE) == {}
    clean = machine.environment(tmp_path, {**MACHINE, "processes": 1})
    assert clean["WANDB_MODE"] == "disabled" and not {"TENSORBOARD_LOGGING_DIR", "TRACKIO_DIR"} & set(clean)


@pytest.mark.parametrize("name", ["tensorboard", "trackio"])
def test_what_it_logs_stays_below_the_artifacts(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    ours = machine.environment(tmp_path / "sft-12.part", {**MACHINE, "processes": 1, "tracker": name})
    set_by_it = machine.tracking(tmp_path / "sft-12.part", {**MACHINE, "tracker": name})
    assert set_by_it.items() <= ours.items() and ours["WANDB_MODE"] == "disabled"
    assert all(place.startswith(str(tmp_path / "artifacts" / "tracking")) for place in set_by_it.values())


def test_a_run_that_was_killed_is_the_same_run_for_wandb(tmp_path, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    found = machine.tracking(tmp_path / "sft-12.part", {**MACHINE, "tracker": "wandb"})
    assert (found["WANDB_RUN_ID"], found["WANDB_RESUME"]) == ("sft-12", "allow")


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_made():
    absent = [name for name in ("wandb", "trackio", "tensorboard") if importlib.util.find_spec(name) is None]
    for name in absent:
        with pytest.raises(UserError, match=f"machine.tracker: {name} is not installed here; `pip install"):
            machine.for_stage("data", {**MACHINE, "tracker": name})
    assert machine.for_stage("data", MACHINE)["tracker"] == "none"


def test_training_writes_its_numbers_for_tensorboard(qwen, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    section = {**MACHINE, "tracker": "tensorboard"}
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    for name, value in machine.tracking(tmp_path / "sft-12.part", section).items():
        monkeypatch.setenv(name, value)
    _, rows = trained(phase_of(qwen, tmp_path / "sft-12.part", "sft", machine={"tracker": "tensorboard"}))
    place = files.artifacts_root() / "tracking" / "tensorboard" / "sft-12"
    read = EventAccumulator(str(place))
    read.Reload()
    assert [event.value for event in read.Scalars("train/loss")] == pytest.approx(
        [row["loss"] for row in rows], rel=1e-5
    )
