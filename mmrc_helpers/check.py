"""`python -m mmrc_helpers.check STUDY`: what a study would ask, teach, prefer and reward, looked at before
anything is trained. Every item is passed, a warning, failed or skipped; a failure makes the exit status 1.

`--backend torch` then takes two steps of every phase, as `run --debug` does; `--backend mlx` lets a model of
Apple's MLX answer test questions (extra `mlx`).
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mmrc_helpers.errors import UserError, listed, near_miss
from mmrc_helpers.execution import surroundings, terminal
from mmrc_helpers.models import folder as model_folder
from mmrc_helpers.models import mlx
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study import rehearsal, stages
from mmrc_helpers.study.runs import Run, load_study
from mmrc_helpers.tasks.example import Example, answer_of, compared, pictures_of
from mmrc_helpers.tasks.rows import Task, chats_of
from mmrc_helpers.training import METHODS, rows_of_a_step
from mmrc_helpers.worlds import INVALID, WORLDS, Data, World
from mmrc_helpers.worlds.folder import read_data

PASSED, WARNING, FAILED, SKIPPED = "passed", "warning", "failed", "skipped"
LOOKED_AT = 256  # rows of a phase, and test questions, that are looked at
TOKENS_PER_WORD = 1.3  # of English in usual vocabularies; a picture counts for PICTURE
PICTURE = 256
FEWEST = 8  # rows of a step below which gradients are noisy
SAMPLED = 4  # answers to one question by MLX
BETAS = (0.01, 1.0)  # outside of them DPO hardly moves, or hardly holds


@dataclass(frozen=True)
class Item:
    """One thing that was looked at. status: one of those above; said: what was found."""

    status: str
    name: str
    said: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 nothing failed, 1 something did, 2 wrong input."""
    parser = argparse.ArgumentParser(prog="python -m mmrc_helpers.check", description=__doc__)
    parser.add_argument("study", help="a name in params/, or a YAML file")
    parser.add_argument("--backend", choices=("none", "torch", "mlx"), default="none")
    parser.add_argument("--model", default="", help=f"with mlx: a folder, or {listed(mlx.MODELS)}")
    options = parser.parse_args(arguments)
    return terminal.status(lambda: _check(options))


def _check(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    first = list({run.variant: run for run in reversed(study.runs)}.values())[::-1]
    found = Tally(print)
    found.add(Item(PASSED, "study", f"{len(study.variants)} variants, {len(study.runs)} runs"))
    for item in (*_all(first), *_backend(options.backend, first, options.model)):
        found.add(item)
    print(found.told())
    return int(found.counts[FAILED] > 0)


class Tally:
    """Says items as they come, and counts them."""

    def __init__(self, echo: Callable[[str], None]):
        self.echo, self.counts = echo, dict.fromkeys((PASSED, WARNING, FAILED, SKIPPED), 0)

    def add(self, item: Item) -> None:
        self.counts[item.status] += 1
        self.echo(f"{item.status:8}{item.name}{': ' if item.said else ''}{item.said}")

    def told(self) -> str:
        return ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)


def _all(runs: Sequence[Run]) -> Iterator[Item]:
    """Everything but the backend; what several variants have in common is looked at once."""
    seen: list = []
    for run in runs:
        stage = stages.data_stage(run)
        world = WORLDS[run.params["world"]["name"]]
        folder = stages.make(stage, run.params["machine"], lambda *_, **__: None)
        data = read_data(folder)
        if stage.key not in seen:
            seen.append(stage.key)
            yield from data_items(world, data)
        asked = {"data": stage.key, "ask": plain(run.params["evaluate"]["ask"])}
        if asked not in seen:
            seen.append(asked)
            yield from asked_items(run, world, data)
        train = Data([example for example in data.examples if example.split == "train"], data.facts)
        for number, phase in enumerate(run.params["phases"], 1):
            rows = {"data": stage.key, "phase": plain(phase)}
            if rows not in seen:
                seen.append(rows)
                where = f"{run.variant}, phase {number} ({phase['method']['name']})"
                yield from phase_items(where, world, train, phase, run.seed)


# --- data and questions ------------------------------------------------------------------------------------


def data_items(world: World, data: Data) -> Iterator[Item]:
    """Whether there is something to learn from and to ask, and every promise of the world."""
    count = {split: sum(e.split == split for e in data.examples) for split in ("train", "test")}
    said = f"{count['train']:,} training and {count['test']:,} test questions"
    yield Item(PASSED if data.examples else FAILED, "data", said)
    for name, found, wanted in world.promises(data):
        yield Item(PASSED if found == wanted else FAILED, name, f"{found:,} of {wanted:,}")


def asked_items(run: Run, world: World, data: Data) -> Iterator[Item]:
    """Whether test questions are there, their right answers are graded right, and no other option is."""
    try:
        asked = world.ask(data, run.params["evaluate"]["ask"], run.params["untaught"]) if world.ask else []
    except UserError as error:
        yield Item(FAILED, "test questions", str(error))
        return
    yield Item(PASSED if asked else FAILED, "test questions", f"{len(asked):,}")
    yield from graded_items("formats of the test", world, _spread(asked))


def _spread(examples: Sequence[Example], count: int = LOOKED_AT) -> list[Example]:
    """So many of them, evenly spread, without those that cannot be answered: compared only, or without their
    picture."""
    kept = [e for e in examples if e.answer and "missing" not in e.truth]
    return list(kept[:: max(1, len(kept) // count)])[:count]


def graded_items(name: str, world: World, examples: Sequence[Example]) -> Iterator[Item]:
    """Whether right answers are right and the other options are not."""
    right = [e for e in examples if world.grade(e, answer_of(e)).right]
    if lost := [e.id for e in examples if e not in right]:
        yield Item(
            FAILED, name, f"{len(lost)} of {len(examples)} right answers count as wrong: {listed(lost[:3])}"
        )
    elif examples:
        yield Item(PASSED, name, f"all of {len(examples)} right answers count as right")
    wrong = [
        (example, text)
        for example in examples
        for place, text in enumerate(compared(example))
        if place != example.gold and not example.contexts
    ]
    if taken := [f"{text!r} to {e.id}" for e, text in wrong if world.grade(e, text).right]:
        yield Item(FAILED, name, f"{len(taken)} of {len(wrong)} wrong ones do as well: {listed(taken[:3])}")
    elif wrong:
        yield Item(PASSED, name, f"none of {len(wrong)} wrong ones does")


# --- phases ------------------------------------------------------------------------------------------------


def phase_items(where: str, world: World, data: Data, phase: Mapping, seed: int) -> Iterator[Item]:
    """The first rows of a phase: whether they are there, fit, and say what its method learns from."""
    kind = METHODS[phase["method"]["name"]].rows
    try:
        if kind in ("chats", "tasks"):
            stream = world.teach(data, phase["teach"], seed)
        else:
            stream = world.pairs(data, phase["teach"], seed, kind.removesuffix("s"))
        rows = list(islice(stream, LOOKED_AT))
    except UserError as error:
        yield Item(FAILED, where, str(error))
        return
    yield Item(PASSED if rows else FAILED, where, f"{len(rows)} rows looked at")
    yield from _fitting(where, rows, phase)
    if kind == "tasks":
        tasks = [Task(chat.turns[:-1], chat.examples[-1], chat.replayed) for chat in rows]
        yield from reward_items(where, world, tasks, phase)
    elif kind != "chats":
        yield from pair_items(where, rows, phase, kind)
    elif not METHODS[phase["method"]["name"]].reads:
        other = sum(len(pictures_of(chat.turns)) != 1 for chat in rows)
        said = f"{other} of {len(rows)} rows show no picture or several" if other else "one in each row"
        yield Item(FAILED if other else PASSED, f"{where}: pictures", said)


def _fitting(where: str, rows: Sequence, phase: Mapping) -> Iterator[Item]:
    longest = max((_length(chat.turns) for row in rows for chat in chats_of(row)), default=0)
    said = f"about {longest} tokens in the longest row, {phase['max_length']} allowed"
    yield Item(PASSED if longest <= phase["max_length"] else WARNING, f"{where}: lengths", said)
    if (step := rows_of_a_step(phase)) < FEWEST:
        yield Item(WARNING, f"{where}: batch", f"{step} rows a step; fewer than {FEWEST} are noisy")


def _length(turns: Sequence) -> int:
    """Tokens of a conversation, estimated from its words."""
    parts = [part for _, of in turns for part in of]
    words = sum(len(content.split()) for kind, content in parts if kind == "text")
    return round(TOKENS_PER_WORD * words) + PICTURE * sum(kind == "image" for kind, _ in parts)


def pair_items(where: str, pairs: Sequence, phase: Mapping, kind: str) -> Iterator[Item]:
    """Whether both sides say something, and differ where the method looks: in answers or in contexts."""
    sides = [(pair.chosen.turns, pair.rejected.turns) for pair in pairs]
    empty = sum(not all(_said(turns).strip() for turns in both) for both in sides)
    alike = sum(one == other for one, other in sides)
    if kind == "contexts":
        mixed, what = sum(_said(one) != _said(other) for one, other in sides), "two answers"
    else:
        mixed, what = sum(one[:-1] != other[:-1] for one, other in sides), "two questions"
    found = {"an empty side": empty, "two equal sides": alike, what: mixed}
    wrong = [f"{count} with {name}" for name, count in found.items() if count]
    said = listed(wrong) if wrong else f"all of {len(pairs)} differ in their {kind} alone"
    yield Item(FAILED if wrong else PASSED, f"{where}: pairs", said)
    beta = phase["method"]["beta"]
    if not BETAS[0] <= beta <= BETAS[1]:
        yield Item(WARNING, f"{where}: beta", f"{beta:g}; usual are {BETAS[0]:g} to {BETAS[1]:g}")


def _said(turns: Sequence) -> str:
    """The text of the last turn."""
    return " ".join(content for kind, content in turns[-1][1] if kind == "text")


def reward_items(where: str, world: World, tasks: Sequence[Task], phase: Mapping) -> Iterator[Item]:
    """Whether the truth reaches the reward: it earns the most, an empty answer the least, and parts lie
    between 0 and 1. A reward that is blind on purpose gives a warning in place of a failure."""
    weights = dict(phase["method"]["weights"]) or {"right": 1.0}
    parts = {name for task in tasks for name in world.grade(task.example, answer_of(task.example)).parts}
    for name in sorted(weights.keys() - parts - {"right"}):
        near = near_miss(name, parts) or f"; there are {listed(sorted({'right', *parts}))}"
        yield Item(FAILED, f"{where}: grpo.weights", f"no grade has a part {name}{near}")
    earned, beyond = {"the truth": [], "nothing": [], "others": []}, 0
    for task in tasks:
        texts = {"the truth": [answer_of(task.example)], "nothing": [""]}
        texts["others"] = [text for text in compared(task.example) if text != texts["the truth"][0]]
        for name, of in texts.items():
            grades = [world.grade(task.example, text) for text in of]
            beyond += sum(not 0 <= worth <= 1 for grade in grades for worth in grade.parts.values())
            earned[name].append([_reward(grade, weights) for grade in grades])
    if beyond:
        yield Item(FAILED, f"{where}: parts of the reward", f"{beyond} are not between 0 and 1")
    rows = list(zip(*earned.values(), strict=True))
    lost = sum(true[0] < max(others, default=true[0]) for true, _, others in rows)
    idle = sum(true[0] <= nothing[0] for true, nothing, _ in rows)
    told = sum(true[0] > max(others) for true, _, others in rows if others)
    means = (f"{name} {sum(map(sum, of)) / max(1, sum(map(len, of))):.2f}" for name, of in earned.items())
    said = [f"mean of {', '.join(means)}"]
    said += [f"{lost} wrong answers earn more than the truth"] * (lost > 0)
    said += [f"{idle} empty ones as much"] * (idle > 0)
    said += ["no wrong answer earns less"] * (not told and any(others for *_, others in rows))
    blind = any(task.example.truth.get("blind") for task in tasks)
    status = PASSED if len(said) == 1 else WARNING if blind else FAILED
    yield Item(status, f"{where}: reward", "; ".join([*said, *["blind on purpose"] * blind]))


def _reward(grade, weights: Mapping[str, float]) -> float:
    parts = {"right": float(grade.right), **grade.parts}
    return sum(weight * parts.get(name, 0.0) for name, weight in weights.items())


# --- backends ----------------------------------------------------------------------------------------------


def _backend(name: str, runs: Sequence[Run], model: str) -> Iterator[Item]:
    if name == "torch":
        yield from _rehearsed(runs)
    if name == "mlx":
        yield from _mlx(runs[-1], model)


def _rehearsed(runs: Sequence[Run]) -> Iterator[Item]:
    """What `run --debug` says of every variant; it ends with the first that fails."""
    lines: list[str] = []
    rehearsal.rehearse(runs, lambda *texts, **_: lines.extend(str(text).strip() for text in texts))
    for run in runs:
        names = {PASSED: f"{run.variant}: ", FAILED: f"FAILED {run.variant}: "}
        found = [(status, line.removeprefix(start)) for line in lines for status, start in names.items()
                 if line.startswith(start)]  # fmt: skip
        status, said = found[-1] if found else (SKIPPED, "an earlier variant failed")
        yield Item(status, f"{run.variant}: two steps of every phase", said)


def _mlx(run: Run, name: str) -> Iterator[Item]:
    """A model of MLX answers some test questions."""
    where = "backend mlx"
    if lacking := mlx.why_absent():
        yield Item(FAILED, where, lacking)
        return
    world, stage = WORLDS[run.params["world"]["name"]], stages.data_stage(run)
    data = read_data(stage.folder, "test")
    asked = world.ask(data, run.params["evaluate"]["ask"], run.params["untaught"])
    asked = _spread(asked, mlx.QUESTIONS)
    folder = mlx.folder_of(name, run.params["machine"]["models_folder"]) if name else _own_model(run)
    settings = (stages.data_stage(run).folder, run.params["evaluate"]["max_new_tokens"])
    said = [
        (world.grade(example, text), took) for example, text, took in mlx.answers(folder, asked, *settings)
    ]
    valid, right = sum(grade.answer != INVALID for grade, _ in said), sum(grade.right for grade, _ in said)
    told = f"{len(said)} answers in {sum(took for _, took in said):.1f} s, {valid} in a form that is read, "
    yield Item(
        PASSED if valid else WARNING, f"{where}: {folder.parent.name}/{folder.name}", f"{told}{right} right"
    )
    sampled = {text for _, text, _ in mlx.answers(folder, asked[:1] * SAMPLED, *settings, temperature=1.0)}
    told = f"{len(sampled)} of {SAMPLED} differ; where all are alike GRPO has nothing to compare"
    yield Item(PASSED if len(sampled) > 1 else WARNING, f"{where}: sampled answers to one question", told)


def _own_model(run: Run) -> Path:
    """The model that a run starts from. Raises UserError if it is none of a folder's."""
    if base := stages.base_stage(run):
        return stages.make(base, run.params["machine"]) / "model"
    if run.params["model"]["source"] == "folder":
        return model_folder.where(run.params["model"], run.params["machine"])
    raise UserError(f"the study makes its model itself; name one for MLX by --model: {listed(mlx.MODELS)}")


if __name__ == "__main__":
    surroundings.enter("mmrc_helpers.check")
    sys.exit(main())
