"""The simple-to-hard studies of real models, from their files to their answers, at toy size and offline."""

import pytest
import tiny
import torch
import yaml
from models import toys
from safetensors.torch import load_file

from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files
from mmrc_helpers.study import preflight, stages
from mmrc_helpers.study.runs import PARAMS_FOLDER, load_study

MODELS = {"s2h_qwen25vl": "qwen2_5_vl", "s2h_eagle": "clip_and_convnext"}
SMALL = {
    "tables": {
        "train": {"simple": 24, "medium": 0, "hard": 24}, "test": {"simple": 2, "hard": 2},
        "picture": [64, 64], "labels": "letters", "numbers": "digits", "style": "terse", "products": 12,
        "readout": {"rows": [4, 5], "columns": [4, 5], "simple": {"random": [1, 2], "sine": [], "spiral": []},
                    "hard": {"sine": [5], "spiral": [], "compose": []}},
    },
    "evaluate": {"max_new_tokens": 4},
    "dynamics": {"probes": 0},
    "machine": {"launcher": "python", "accelerator": "cpu", "processes": 1, "zero": "none", "fsdp": False,
                "offload": False, "gradient_checkpointing": False, "micro_batch": 6},
    "seeds": [0],
}  # fmt: skip
PLUS = {"simple/text": 1, "simple/image": 1, "simple/image_via_text": 1, "hard/text": 3}


def small(name: str, place) -> str:
    """A study file that extends the published one: its model a toy, its phases of twelve rows each."""
    toys.build(MODELS[name], place / "models" / "toy")
    study = {**SMALL, "extends": name, "model": {"name": "toy", "dtype": "float32", "image_processor": {}}}
    study["machine"] = {**SMALL["machine"], "models_folder": str(place / "models")}
    study["train"] = {"batch": 6, "teach": {"mix": PLUS, "thousands": 0.012}, "warmup_steps": 1}
    own = yaml.safe_load((PARAMS_FOLDER / f"{name}.yaml").read_text())
    shrunk = {"teach.thousands": 0.012, "batch": 6, "warmup_steps": 1}
    study["phases"] = [{**_flat(phase), **shrunk} for phase in own.get("phases", [{}])]
    study["report"] = {"read": "plus", "beside": "", "learnable": "", "controls": []}
    study["variants"] = {"plus": {}}
    (place / "params").mkdir()
    (place / "params" / f"small_{name}.yaml").write_text(yaml.safe_dump(study))
    return str(place / "params" / f"small_{name}.yaml")


def _flat(phase: dict) -> dict:
    teach = {f"teach.{key}": value for key, value in phase.get("teach", {}).items()}
    return {**{key: value for key, value in phase.items() if key != "teach"}, **teach}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path


def moved(before: dict, after: dict) -> set[str]:
    """The parts of a model in which a weight differs."""
    names = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    return {next((p for p in ("vision_tower", "projector", "language") if p in n), "head") for n in names}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_study_of_a_real_model_runs_at_toy_size(name, place):
    (run,) = load_study(small(name, place)).runs
    for stage in stages.stages_of(run):
        stages.make(stage, run.params["machine"], tiny.quiet)
    answers = files.read_jsonl(stages.eval_stage(run).folder / "answers.jsonl")
    views = {(row["difficulty"], row["view"], row["drop"]) for row in answers}
    assert {("hard", "image", "none"), ("simple", "image", "image"), ("hard", "text", "none")} <= views
    if name == "s2h_eagle":
        folders = [stage.folder / "model" for stage in stages.train_stages(run)]
        start, *trained = (load_file(folder / "model.safetensors") for folder in
                           (place / "models" / "toy", *folders))  # fmt: skip
        assert moved(start, trained[0]) == {"projector"}
        assert moved(trained[0], trained[1]) >= {"vision_tower", "projector", "language"}


def test_every_supervision_of_the_published_study_shows_as_many_rows():
    for run in load_study("s2h_qwen25vl").runs:
        phases = [phase["teach"] for phase in run.params["phases"]]
        size = int(run.variant.rpartition("_")[2]) if run.variant[-1] == "0" else 60
        assert all(1000 * teach["thousands"] * teach["epochs"] == 1000 * size for teach in phases), run.name


def test_a_model_that_is_not_assembled_is_named_with_what_to_do(place):
    (run, *_) = load_study("s2h_eagle").runs
    with pytest.raises(UserError, match="Eagle-Llama3-8B.*mmrc_helpers.assemble"):
        preflight.check([run])


def test_projector_alone_needs_whole_weights(place):
    (place / "params").mkdir()
    path = place / "params" / "wrong.yaml"
    path.write_text("train: {learns: projector, lora_r: 0}\n")
    with pytest.raises(UserError, match="train.learns: projector .* freeze_vision: false"):
        load_study(str(path))
    path.write_text("train: {lora_r: 0}\n")
    assert "learns" not in load_study(str(path)).runs[0].params["phases"][0], "keys stay as they were"
