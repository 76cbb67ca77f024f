"""`--debug`: runs cut short, in a folder that goes: whether rows, model and machine fit each other is seen in
minutes, and nothing is saved."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mmrc_helpers.execution.launch import StageFailed
from mmrc_helpers.store import files, folders
from mmrc_helpers.store.keys import freeze, plain
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Run

STEPS = 2  # optimizer steps of a phase


def rehearse(runs: Sequence[Run], echo: Callable[..., None] = print) -> int:
    """Makes the data, trains STEPS steps of each phase and asks all test questions, of the first seed of
    every variant; says what came out of each. Returns the exit status: 0, or 1 if a stage failed."""
    first = {run.variant: run for run in reversed(runs)}
    with _own_artifacts(list(first.values())):
        for run in map(shortened, reversed(first.values())):
            try:
                for stage in stages.stages_of(run):
                    stages.make(stage, run.params["machine"], echo)
            except StageFailed as failure:
                echo(f"\nFAILED {run.variant}: {failure}")
                return 1
            echo(f"{run.variant}: {'; '.join(_told(run))}")
    echo(f"nothing was kept; without --debug every phase takes more than its {STEPS} steps")
    return 0


def shortened(run: Run) -> Run:
    """The run with STEPS steps in every phase and nothing on the way: no checkpoints, no probes."""
    params = plain(run.params)
    short = {"steps": STEPS, "taught_tokens": 0, "warmup_steps": min(1, STEPS)}
    params["phases"] = [{**phase, **short} for phase in params["phases"]]
    params["dynamics"]["probes"] = 0
    params["machine"] |= {"log_steps": 1, "save_steps": 10**9}
    return replace(run, params=freeze(params))


@contextmanager
def _own_artifacts(runs: Sequence[Run]) -> Iterator[None]:
    """An artifacts folder that goes, with the base models that are finished in the other one."""
    models = {stage.folder for run in runs if (stage := stages.base_stage(run))}
    bases = [folder for folder in models if folders.is_complete(folder)]
    outside = os.environ.get("MMRC_ARTIFACTS")
    with tempfile.TemporaryDirectory(prefix="mmrc-debug-") as place:
        for folder in bases:
            link = Path(place) / folder.parent.name / folder.name
            files.make_folder(link.parent)
            link.symlink_to(folder)
        os.environ["MMRC_ARTIFACTS"] = place
        try:
            yield
        finally:
            os.environ.pop("MMRC_ARTIFACTS")
            os.environ.update({} if outside is None else {"MMRC_ARTIFACTS": outside})


def _told(run: Run) -> Iterator[str]:
    """What came out of each stage, in words."""
    for number, stage in enumerate(stages.train_stages(run), 1):
        rows = files.read_jsonl(stage.folder / "metrics.jsonl")
        losses = " → ".join(f"{row['loss']:.4g}" for row in rows)
        yield f"phase {number} ({_method(stage.params)}), loss {losses}"
    for _, world, stage in stages.eval_stages(run):
        yield f"{len(files.read_jsonl(stage.folder / 'answers.jsonl'))} answers about {world}"


def _method(params: Mapping) -> str:
    return params["train"]["method"]["name"]
