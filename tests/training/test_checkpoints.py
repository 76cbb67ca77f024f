"""Checkpoints: whole ones are found, others passed over aloud, and none is read by the wrong processes."""

from pathlib import Path

import pytest

from mmrc_helpers.errors import UserError
from mmrc_helpers.training import checkpoints

ONE = {"processes": 1, "zero": "none"}
FILES = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")


def write(folder: Path, step: int, layout=ONE, without: str = "", files=FILES) -> Path:
    """A sealed checkpoint with a few bytes in every file."""
    made = folder / f"checkpoint-{step}"
    for name in files:
        if name != without:
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_text(f"{name} {step}")
    checkpoints.seal(made, layout)
    return made


def newest(folder: Path, layout=ONE) -> tuple[str | None, list[str]]:
    warnings: list[str] = []
    found = checkpoints.newest_whole(folder, layout, warnings.append)
    return found and found.name, warnings


def test_the_newest_sealed_checkpoint_is_found(tmp_path):
    assert newest(tmp_path / "none") == (None, [])
    for step in (100, 20, 3):
        write(tmp_path, step)
    assert newest(tmp_path) == ("checkpoint-100", [])


def test_a_checkpoint_without_its_manifest_does_not_count(tmp_path):
    write(tmp_path, 5)
    (write(tmp_path, 10) / checkpoints.MANIFEST).unlink()
    found, (warning,) = newest(tmp_path)
    assert found == "checkpoint-5"
    assert "checkpoint-10 is passed over: it was not finished" in warning


@pytest.mark.parametrize("name", [*FILES, checkpoints.MANIFEST])
@pytest.mark.parametrize("harm", ["emptied", "changed", "removed"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path, name, harm):
    write(tmp_path, 5)
    path = write(tmp_path, 10) / name
    content = path.read_bytes()
    path.unlink() if harm == "removed" else path.write_bytes(
        content[:-1] + b"!" if harm == "changed" else b""
    )
    found, (warning,) = newest(tmp_path)
    assert found == "checkpoint-5" and "checkpoint-10 is passed over: " in warning


@pytest.mark.parametrize(
    ("name", "state"),
    [("optimizer.pt", "optimizer"), ("scheduler.pt", "scheduler"), ("rng_state.pth", "random number")],
)
def test_a_checkpoint_without_one_of_its_states_is_not_resumed_silently(tmp_path, name, state):
    write(tmp_path, 5, without=name)
    found, (warning,) = newest(tmp_path)
    assert found is None and warning.endswith(f"it lacks the {state} state")


def test_under_zero_every_rank_must_have_written_its_states(tmp_path):
    layout = {"processes": 2, "zero": "2"}
    shards = [f"global_step5/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in (0, 1)]
    files = ["scheduler.pt", "rng_state_0.pth", "rng_state_1.pth", *shards]
    write(tmp_path, 5, layout, files=files)
    assert newest(tmp_path, layout) == ("checkpoint-5", [])
    write(tmp_path, 10, layout, files=files, without="rng_state_1.pth")
    assert newest(tmp_path, layout)[0] == "checkpoint-5"


def test_a_checkpoint_of_other_processes_is_one_clear_error(tmp_path):
    write(tmp_path, 5)
    for zero, told in (("2", "machine.zero: 2"), ("fsdp", "machine.fsdp: true")):
        said = f"processes: 1 and machine.zero: none, .*processes: 2 and {told}; set them back .* or rm -r"
        with pytest.raises(UserError, match=said):
            newest(tmp_path, {"processes": 2, "zero": zero})


def test_the_newest_are_kept_and_those_of_an_earlier_attempt_go(tmp_path):
    for step in (5, 10, 15, 20):
        write(tmp_path, step)
    checkpoints.keep_newest(tmp_path, step=15, count=2)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-10", "checkpoint-15"}
