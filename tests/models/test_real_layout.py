"""A folder as Qwen3-VL-8B-Instruct is published goes through everything a user does with it."""

import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from models import real_layout

from mmrc_helpers.models import folder as model_folder
from mmrc_helpers.models import load, plain
from mmrc_helpers.store import files
from mmrc_helpers.study import memory, weights
from mmrc_helpers.study.image_tokens import cut
from mmrc_helpers.study.runs import load_study
from mmrc_helpers.study.yaml_files import read_yaml

PUBLISHED = read_yaml(model_folder.PUBLISHED)["qwen3_vl_8b"]


def test_the_layout_at_full_depth_has_the_published_sizes():
    shapes = real_layout.shapes_of(real_layout.config_of({}))
    told = weights.Weights("qwen3_vl", {name: tuple(shape) for name, shape in shapes.items()}, 32, {})
    assert weights.count(told, "vision", "projector") == PUBLISHED["shape"]["vision"]
    assert 2 * weights.count(told) / 1e9 == pytest.approx(PUBLISHED["gb"], rel=0.005)
    of = weights.layers_of(told)
    assert (of.count, of.width, of.queries, of.keys, of.inner) == (36, 4096, 4096, 1024, 12288)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """The layout with every file, and weights of toy widths."""
    return real_layout.write(tmp_path_factory.mktemp("models") / "narrow", real_layout.NARROW, 8 << 20)


def test_a_folder_as_published_is_loaded_and_planned_for(narrow):
    model = {"name": narrow.name, "dtype": "bfloat16", "trust_remote_code": False, "quantize": "none"}
    assert len(list(narrow.glob("model-*-of-*.safetensors"))) > 2
    assert load.downloaded(model, {"models_folder": str(narrow.parent)}) == narrow
    told, loaded = weights.of_folder(narrow), load.load_model(narrow, model)
    assert weights.count(told) == sum(weight.numel() for weight in loaded.parameters())
    assert loaded.config.text_config.rope_parameters["rope_theta"] == 5e6
    assert told.settings == PUBLISHED["image"]
    processor, rng = load.load_processor(narrow, model), random.Random(5)
    for size in [(64, 64), (640, 360), *((rng.randint(20, 900), rng.randint(20, 900)) for _ in range(8))]:
        assert cut(told.family, told.settings, size).tokens == len(plain.picture_ids(processor, size))


# What a user without a GPU changes: the machine, and fewer people, rows and questions.
STUDY = """
extends: qwen3vl_8b
model: {{name: {name}}}
people:
  {{novel: 8, background: 8, options: 2, train_views: 2, test_views: 1, train_scenes: 1, text_scenes: 8,
    matched_distractors: false}}
train: {{steps: 3, taught_tokens: 0, batch: 4}}
evaluate: {{batch: 8, orders: 1, max_new_tokens: 4, ask: {{background: 2, drops: [], storage: false}}}}
dynamics: {{probes: 2, examples: 1, gradients: 0}}
report: {{read: forward, beside: "", learnable: "", controls: []}}
variants:
  forward: {{train.teach.cells: [forward/free, forward/choice, forward/judge]}}
machine:
  {{accelerator: cpu, launcher: python, processes: 1, zero: none, log_steps: 1, models_folder: "{models}"}}
"""


def command(place: Path, *arguments: str) -> str:
    """What the run of the study in `place` says."""
    environment = {**os.environ, "MMRC_ARTIFACTS": str(place / "artifacts"), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-m", "mmrc_helpers.run", str(place / "real.yaml"), *arguments],
                         env=environment, capture_output=True, text=True)  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.slow
def test_a_model_of_the_published_widths_goes_from_plan_to_report(tmp_path):
    folder = real_layout.write(tmp_path / "models" / "Qwen3-VL-8B-Instruct")
    study = STUDY.format(name=folder.name, models=folder.parent)
    (tmp_path / "real.yaml").write_text(study)
    planned = memory.plan(load_study(tmp_path / "real.yaml").runs[0])
    said = command(tmp_path, "--plan")
    assert (
        "train 1, sft  as written" in said
        and "A picture takes 64 tokens; 2 in a row 128 of its 2048." in said
    )
    said = command(tmp_path)
    assert "\nverdict: " in said and "report.html\n" in said and "0 failed" in said
    (trained,) = (tmp_path / "artifacts" / "train").glob("sft-*")
    losses = [row["loss"] for row in files.read_jsonl(trained / "metrics.jsonl") if "loss" in row]
    assert len(losses) == 3 and all(map(math.isfinite, losses))
    (asked,) = (tmp_path / "artifacts" / "eval").glob("answers-*")
    graded = files.read_jsonl(asked / "answers.jsonl")
    assert {row["format"] for row in graded} == {"free", "choice", "judge"}
    for folder, row in ((trained, planned[0]), (asked, planned[-1])):
        held = files.read_json(folder / "made.json")["memory_gb"]
        assert held < 1.2 * row["total"], (folder.name, row, held)
