"""A small study whose stages are all finished: real people, pictures and questions, simulated answers and
traces. Notebooks and pages are tried on it without any model."""

import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import synthetic_traces

from mmrc_helpers.execution import machine
from mmrc_helpers.store import files, folders
from mmrc_helpers.store.pictures import write_shards
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Run, load_study
from mmrc_helpers.tasks.example import Example, answer_of, compared, example_line
from mmrc_helpers.worlds import WORLDS
from mmrc_helpers.worlds.folder import read_data

_made = tempfile.TemporaryDirectory(prefix="mmrc-")  # a copy of every stage that was finished here
HOSTILE = "<script>alert(1)</script>"  # the name of one person; it must only ever be seen as text
PROBED = ("forward/free", "reverse/free")
STUDY = """
question: Does face → name also answer name → face?
expected: A gap within the choice format.
model: {source: scratch}
people: {background: 8, novel: 16, image_size: 32, train_views: 2, test_views: 1, train_scenes: 1}
train: {steps: 300, taught_tokens: 0}
dynamics: {probes: 10}
report: {finding: reversal, read: forward, beside: naming, controls: [untrained]}
machine: {launcher: python}
seeds: [0, 1, 2]
variants:
  untrained: {phases: []}
  naming: {train.teach.cells: [forward/free]}
  forward: {train.teach.cells: [forward/free, forward/choice, forward/judge]}
"""


def write(folder: Path, study: str = STUDY) -> Path:
    """Write the study file into `folder` and finish all of its stages below artifacts_root(). Returns the
    file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "finished.yaml"
    path.write_text(study)
    for run in load_study(path).runs:
        _finish(stages.data_stage(run), run, _write_data)
        for stage in (*stages.train_stages(run), stages.eval_stage(run)):
            _finish(stage, run, _write_training if stage.kind == "train" else _write_answers)
    return path


def _finish(stage: stages.Stage, run: Run, fill) -> None:
    """Makes the stage, or copies it where this process has made it before."""
    if folders.is_complete(stage.folder):
        return
    first = Path(_made.name, stage.relative)
    if not first.exists():
        how = machine.for_stage(stage.kind, run.params["machine"])
        part = folders.begin(stage.folder, stage.recipe(how))
        fill(part, run)
        folders.finish(part, {"seconds": 90.0, "device": "cpu, simulated"})
        shutil.copytree(stage.folder, first)
    else:
        shutil.copytree(first, stage.folder)


def _write_data(folder: Path, run: Run) -> None:
    section = run.params["world"]
    made = WORLDS[section["name"]].make(section["facts"], run.seed)
    write_shards(folder, made.pictures, made.draw, 1, lambda done, total: None)
    facts = [dict(row) for row in made.facts]
    next(row for row in facts if row["population"] == "novel")["title"] = HOSTILE
    files.write_jsonl(folder / "facts.jsonl", facts)
    files.write_text(folder / "examples.jsonl", map(example_line, made.examples))


def _write_training(folder: Path, run: Run) -> None:
    steps = range(25, 301, 25)
    rows = [{"step": s, "loss": 2 * 0.99**s, "learning_rate": 1e-3 * (1 - s / 300)} for s in steps]
    files.append_jsonl(folder / "metrics.jsonl", rows)
    counts = {"rows": 9600, "supervised_tokens": 40000, "taught_tokens": 20000, "replay_share": 0.5}
    files.write_json(folder / "exposure.json", counts | {"questions": {}})
    names = (
        "<|im_start|>",
        "user\n",
        *["<|image_pad|>"] * 4,
        "Who is this?",
        "This is ",
        HOSTILE,
        "<|im_end|>",
    )
    picture = next(e for e in _asked(run) if e.pictures).pictures[0]
    row = {"tokens": list(names), "mask": [0] * 7 + [1] * 3, "images": [picture], "replayed": False}
    files.write_json(folder / "batch.json", [row, row])
    cells = run.params["phases"][0]["teach"]["cells"]
    few = {
        "people": 3,
        "steps": (0, 4, 32, 256),
        "cells": PROBED,
    }  # tests/figures draws more
    synthetic_traces.write(folder, synthetic_traces.traces(cells, run.seed, **few))


def _write_answers(folder: Path, run: Run) -> None:
    lessons = [phase["teach"] for phase in run.params["phases"] if not phase["teach"].get("shuffle_names")]
    cells = {cell for teach in lessons for cell in teach["cells"]}
    rng = np.random.default_rng(run.seed)
    rows = []
    for example in _asked(run):
        facets = example.facets
        known = facets["population"] == "background" or example.cell("direction", "format") in cells
        known |= facets["topic"] != "identity"
        share = 0.97 if known and facets["drop"] == "none" else 1 / len(example.options)
        rows.append(_answer(example, bool(rng.random() < share)))
    files.append_jsonl(folder / "answers.jsonl", rows)


def _asked(run: Run) -> tuple[Example, ...]:
    teach = run.params["phases"][-1]["teach"] if run.params["phases"] else run.params["untaught"]
    world, ask = WORLDS[run.params["world"]["name"]], run.params["evaluate"]["ask"]
    return tuple(world.ask(_data(stages.data_stage(run).folder), ask, teach))


@lru_cache
def _data(folder: Path):
    return read_data(folder)


def _answer(example: Example, right: bool) -> dict:
    """A row as mmrc_helpers.programs.evaluate writes it."""
    said, count = compared(example), len(example.options)
    favoured = example.gold if right else (example.gold + 1) % count
    logprobs = np.log([0.85 if k == favoured else 0.15 / (count - 1) for k in range(count)])
    picks = [said[(favoured - shift) % count] for shift in range(count)] if example.how else [said[favoured]]
    text = (answer_of(example) if right else HOSTILE) if answer_of(example) else ""
    return {
        "id": example.id,
        "group": example.group,
        **example.facets,
        "options": example.options,
        "how": example.how,
        "gold": example.gold,
        "truth": example.truth,
        "pictures": example.pictures,
        "question": next((c for kind, c in reversed(example.prompt) if kind == "text"), ""),
        "logprobs": logprobs.tolist(),
        "p_gold": float(np.exp(logprobs[example.gold])),
        "order_logprobs": [logprobs.tolist()] * count if example.how else [],
        "picks": picks,
        "orders": len(picks),
        "all_orders": float(right),
        "answer": answer_of(example),
        "text": text,
        "parsed": said[favoured] if answer_of(example) else "",
        "parts": {"answer": float(right)} if answer_of(example) else {},
        "correct_logprob": right,
        "correct_text": right if answer_of(example) else None,
    }
