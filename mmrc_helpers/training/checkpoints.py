"""Checkpoints that can be trusted: one counts only with its manifest, which is written last and holds every
file's size and sum. One that is unfinished, damaged or without its states is passed over, with a warning."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.execution.machine import sharding
from mmrc_helpers.store import disk, files

MANIFEST = "manifest.json"
# How the file ends that holds the optimizer's state, by sharding (transformers 5.23, deepspeed 0.19.8).
OPTIMIZER = {"none": "optimizer.pt", "0": "model_states.pt", "2": "optim_states.pt", "3": "optim_states.pt",
             "fsdp": "optimizer.bin"}  # fmt: skip


def layout_of(machine: Mapping, processes: int) -> dict:
    """How the processes share a checkpoint: it can only be read as it was written."""
    sharded = machine["deepspeed"] or machine["fsdp"]
    return {"processes": processes, "zero": sharding(machine) if sharded else "none"}


def seal(folder: Path, layout: Mapping) -> None:
    """Writes the manifest of a checkpoint whose files are all written; only then does it count."""
    sums = disk.sizes_and_sums(folder)
    disk.sync(folder)
    files.write_json(folder / MANIFEST, {"layout": layout, "files": sums})


def newest_whole(folder: Path, layout: Mapping, warn: Callable[[str], None]) -> Path | None:
    """The checkpoint with the most steps that is whole, or None; `warn` hears why others are passed over.
    Raises UserError if it was written by processes of another layout, which could not read all of it."""
    for path in sorted(_checkpoints(folder), key=step_of, reverse=True):
        if problem := _problem(path):
            warn(f"the checkpoint {show(path)} is passed over: {problem}")
            continue
        written = files.read_json(path / MANIFEST)["layout"]
        if written != layout:
            raise UserError(
                f"{show(path)} was written with {_said(written)}, and now the study has {_said(layout)}; set "
                f"them back to go on from it, or rm -r {show(folder)} to train from the start"
            )
        return path
    return None


def _said(layout: Mapping) -> str:
    """A layout as the parameters that make it."""
    sharded = "machine.fsdp: true" if layout["zero"] == "fsdp" else f"machine.zero: {layout['zero']}"
    return f"machine.processes: {layout['processes']} and {sharded}"


def keep_newest(folder: Path, step: int, count: int) -> None:
    """Removes all checkpoints but the `count` newest up to `step`; later ones are of an earlier attempt."""
    valid = sorted((path for path in _checkpoints(folder) if step_of(path) <= step), key=step_of)
    for path in set(_checkpoints(folder)) - set(valid[-count:]):
        shutil.rmtree(path)


def step_of(checkpoint: Path | None) -> int:
    """The number of steps done at a checkpoint; 0 for none."""
    return int(checkpoint.name.split("-")[1]) if checkpoint else 0


def _checkpoints(folder: Path) -> list[Path]:
    return list(folder.glob("checkpoint-*"))


def _problem(path: Path) -> str:
    """Why a checkpoint is not whole; empty if it is."""
    if not (path / MANIFEST).is_file():
        return "it was not finished"
    try:
        content = files.read_json(path / MANIFEST)
    except UserError:
        return "its manifest is damaged"
    return "; ".join(disk.unlike(path, content["files"])[:1]) or _lacking(content["files"], content["layout"])


def _lacking(names: Iterable[str], layout: Mapping) -> str:
    """Which state it was written without: trainers resume without one silently, and differently."""
    processes = layout["processes"]
    rng = [f"rng_state_{rank}.pth" for rank in range(processes)] if processes > 1 else ["rng_state.pth"]
    wanted = {"optimizer": [OPTIMIZER[layout["zero"]]], "scheduler": ["scheduler.pt"], "random number": rng}
    for state, ends in wanted.items():
        if not all(any(name.endswith(end) for name in names) for end in ends):
            return f"it lacks the {state} state"
    return ""
