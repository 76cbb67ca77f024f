"""Whether stored answers are what the stored model says: a sample of the questions is asked again, in the
same batches, and compared row by row. On the same machine all digits are the same; elsewhere they are close.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrc_helpers.errors import raise_all
from mmrc_helpers.execution import launch, terminal
from mmrc_helpers.execution.machine import for_stage
from mmrc_helpers.execution.notebooks import private_folder
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Run

TOLERANCE = 0.05  # nats by which log-probabilities may differ between machines


@dataclass(frozen=True)
class Agreement:
    """What came of asking again. differing: ids of the answers that are graded otherwise or whose
    log-probabilities are further off than TOLERANCE. texts: answers that are written otherwise, right or
    wrong alike. largest: the largest difference of a log-probability. why: why nothing was asked, if so."""

    asked: int = 0
    of: int = 0
    differing: tuple[str, ...] = ()
    texts: int = 0
    largest: float = 0.0
    why: str = ""


def _say(text: str, end: str = "\n") -> None:
    """Prints; what is to be written over only on a terminal."""
    if end == "\n" or sys.stdout.isatty():
        print(text, end=end, flush=True)


def verify(runs: Sequence[Run], sample: int, echo: Callable[..., None] = _say) -> bool:
    """Checks every stage of the runs against its sums, asks about `sample` questions of each evaluation again
    and says what agrees. Returns whether nothing disagrees. Raises UserError if a file is not as written."""
    needed = {stage.folder: stage for run in runs for stage in stages.stages_of(run)}
    made = [folder for folder in needed if folders.is_complete(folder)]
    raise_all(problem for folder in made for problem in folders.damage(folder))
    echo(f"{len(made)} of {len(needed)} stages are made, and all their files are as written")
    agrees, asked = True, set()
    for run in runs:
        for _, _, stage in stages.eval_stages(run):
            if stage.folder not in asked and folders.is_complete(stage.folder):
                asked.add(stage.folder)
                echo(f"asking {run.name} again")
                try:
                    found = ask_again(stage, run, sample, echo)
                except launch.StageFailed as error:
                    echo(f"{run.name}: {error}")
                    agrees = False
                    continue
                echo(terminal.paragraph(told(found), "  ", f"{run.name}: "))
                agrees &= not found.differing
    return agrees


def ask_again(stage: stages.Stage, run: Run, sample: int, echo: Callable[..., None]) -> Agreement:
    """About `sample` questions of a finished evaluation, asked again."""
    stored = files.read_jsonl(folders.check(stage.folder, "answers.jsonl") / "answers.jsonl")
    if why := _cannot(stage):
        return Agreement(of=len(stored), why=why)
    inputs = {name: folders.check(needed.folder) for name, needed in stage.inputs.items()}
    weights = sum(disk.size(folder / "model") for folder in inputs.values() if (folder / "model").is_dir())
    machine = for_stage("eval", run.params["machine"], weights)
    place = files.artifacts_root() / ".verify"  # beside the stages, where the inputs of a recipe are found
    files.make_folder(place)
    with private_folder(str(place)) as name:
        folder = Path(name)
        recipe = {**folders.read_recipe(stage.folder), "machine": machine, "sample": sample}
        files.write_json(folder / "recipe.json", recipe)
        launch.run_module("mmrc_helpers.programs.evaluate", folder, machine, echo)
        return compared(stored, files.read_jsonl(folder / "answers.jsonl"))


def compared(stored: Sequence[dict], again: Sequence[dict]) -> Agreement:
    """The answers that were asked again, beside those that were stored; rows of answers.jsonl."""
    rows = {row["id"]: row for row in stored}
    pairs = [(rows.get(row["id"], {}), row) for row in again]
    distances = [_distance(*pair) for pair in pairs]
    graded = ("correct_text", "correct_logprob")
    differing = [
        new["id"]
        for (old, new), distance in zip(pairs, distances, strict=True)
        if distance > TOLERANCE or any(old.get(name) != new[name] for name in graded)
    ]
    texts = sum(old.get("text") != new["text"] for old, new in pairs)
    return Agreement(len(again), len(stored), tuple(differing), texts, max(distances, default=0.0))


def _distance(old: dict, new: dict) -> float:
    """The largest difference between two rows' log-probabilities; without bound if they are not of the same
    options."""
    before, after = old.get("logprobs"), new["logprobs"]
    if before is None or len(before) != len(after):
        return float("inf")
    return max((abs(a - b) for a, b in zip(before, after, strict=True)), default=0.0)


def _cannot(stage: stages.Stage) -> str:
    """Why the model of an evaluation cannot be asked, if it cannot."""
    for name, needed in stage.inputs.items():
        if not folders.is_complete(needed.folder):
            return f"{needed.relative} is not here"
        if name != "data" and files.read_json(needed.folder / "made.json").get("left_out"):
            return f"the weights of {needed.relative} were left out of the export"
    return ""


def told(found: Agreement) -> str:
    """What came of it, in a sentence."""
    if found.why:
        return f"none of {found.of:,} answers asked again: {found.why}"
    agree = found.asked - len(found.differing)
    words = f"{found.asked:,} of {found.of:,} answers asked again, {agree:,} agree"
    words += f"; log-probabilities differ by at most {found.largest:.4f}"
    words += f", {found.texts} texts are written otherwise" if found.texts else ""
    return words + (f"; first to differ: {found.differing[0]}" if found.differing else "")
