"""A small study whose stages are all finished: real people, pictures and questions, simulated answers and
traces. Notebooks and pages are tried on it without any model."""

import random
from pathlib import Path

import numpy as np
import synthetic_traces

from mmrc_helpers.store import files, folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Run, load_study
from mmrc_helpers.tasks.records import LETTERS, VERDICTS, answer_text, example_line
from mmrc_helpers.worlds.people import cast as world
from mmrc_helpers.worlds.people.portraits.portrait import render
from mmrc_helpers.worlds.people.questions import examples as questions

HOSTILE = "<script>alert(1)</script>"  # the name of one person; it must only ever be seen as text
STUDY = """
question: Does face → name also answer name → face?
expected: A gap within the choice format.
model: {source: scratch}
data: {background: 8, novel: 16, image_size: 32, train_views: 2, test_views: 1, train_scenes: 1}
train: {steps: 300, novel_tokens: 0}
dynamics: {probes: 10}
report: {matrix: true}
machine: {launcher: python}
seeds: [0, 1, 2]
variants:
  untrained: {phases: []}
  naming: {train.cells: [forward/free]}
  forward: {train.cells: [forward/free, forward/choice, forward/judge]}
"""
COPIED = (
    "id group population topic direction format order distractors images choices choice_groups gold question"
)


def write(folder: Path) -> Path:
    """Write the study file into `folder` and finish all of its stages below artifacts_root(). Returns the
    file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "finished.yaml"
    path.write_text(STUDY)
    for run in load_study(path).runs:
        if not folders.is_complete(stages.data_stage(run).folder):
            _finish(stages.data_stage(run), run, _write_data)
        for stage in (*stages.train_stages(run), stages.eval_stage(run)):
            _finish(stage, run, _write_training if stage.kind == "train" else _write_answers)
    return path


def _finish(stage: stages.Stage, run: Run, fill) -> None:
    part = folders.begin(stage.folder, stage.recipe(run.params["machine"]))
    fill(part, run)
    folders.finish(part, {"seconds": 90.0, "device": "cpu, simulated"})


def _write_data(folder: Path, run: Run) -> None:
    data = run.params["data"]
    cast = world.cast(data, run.seed)
    (folder / "images").mkdir()
    for person in cast:
        for split in ("train", "test"):
            for name in world.image_names(person, split, data):
                picture = render(person.attributes, random.Random(name), data["image_size"])
                picture.save(folder / "images" / name)
    people = [world.record(person, data) for person in cast]
    next(person for person in people if person["population"] == "novel")["name"] = HOSTILE
    files.write_json(folder / "people.json", people)
    files.write_text(folder / "examples.jsonl", "".join(map(example_line, questions(cast, data, run.seed))))


def _write_training(folder: Path, run: Run) -> None:
    steps = range(25, 301, 25)
    rows = [{"step": s, "loss": 2 * 0.99**s, "learning_rate": 1e-3 * (1 - s / 300)} for s in steps]
    files.append_jsonl(folder / "metrics.jsonl", rows)
    counts = {"rows": 9600, "supervised_tokens": 40000, "novel_supervised_tokens": 20000, "replay_share": 0.5}
    files.write_json(folder / "exposure.json", counts | {"questions": {}})
    tokens = [
        "<|im_start|>",
        "user\n",
        *["<|image_pad|>"] * 4,
        "Who is this?",
        "This is ",
        HOSTILE,
        "<|im_end|>",
    ]
    picture = next(name for name in _test_examples(run) if name.images).images[0]
    row = {"tokens": tokens, "mask": [0] * 7 + [1] * 3, "images": [picture], "replayed": False}
    files.write_json(folder / "batch.json", [row, row])
    cells = run.params["phases"][0]["cells"]
    synthetic_traces.write(folder, synthetic_traces.traces(cells, run.seed, people=3))


def _write_answers(folder: Path, run: Run) -> None:
    cells = {cell for phase in run.params["phases"] for cell in phase["cells"]}
    rng = np.random.default_rng(run.seed)
    rows = []
    for example in _test_examples(run):
        known = example.population == "background" or example.cell in cells or example.topic != "identity"
        for drop in ("none", "image", "text") if example.population == "novel" else ("none",):
            share = 0.97 if known and drop == "none" else 1 / len(example.choices)
            rows.append(_answer(example, drop, bool(rng.random() < share)))
    files.append_jsonl(folder / "answers.jsonl", rows)


def _test_examples(run: Run) -> list:
    data = run.params["data"]
    return [e for e in questions(world.cast(data, run.seed), data, run.seed) if e.split == "test"]


def _answer(example, drop: str, right: bool) -> dict:
    count = len(example.choices)
    favoured = example.gold if right else (example.gold + 1) % count
    logprobs = np.log([0.85 if k == favoured else 0.15 / (count - 1) for k in range(count)])
    said = LETTERS[favoured] if example.format == "choice" else example.choices[favoured]
    picks = [LETTERS[(favoured - shift) % count] for shift in range(count)]
    probed = drop == "none" and example.topic == "identity" and example.cell == "reverse/choice"
    return {
        **{name: getattr(example, name) for name in COPIED.split()},
        "two_way": False,
        "drop": drop,
        "logprobs": logprobs.tolist(),
        "p_gold": float(np.exp(logprobs[example.gold])),
        "picks": picks if example.format == "choice" else [said] if example.choices == VERDICTS else [],
        "orders": count if example.format == "choice" else 1,
        "answer": answer_text(example),
        "text": said if right else HOSTILE,
        "parsed": said,
        "correct_logprob": right,
        "correct_text": right,
        "storage": [0.0] * count if probed else None,
        "storage_correct": right if probed else None,
    }
