"""What a later phase needs is looked for before the first one computes."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from safetensors.numpy import save_file

from mmrc_helpers.errors import UserError
from mmrc_helpers.study import preflight
from mmrc_helpers.study.runs import load_study

STUDY = """
data: {world: scenes}
model: {source: scratch}
train: {taught_tokens: 0, steps: 1, batch: 8, lora_r: 0}
machine: {launcher: python}
phases: [{}, {method: grpo, grpo: {vllm: true}}]
variants: {chain: {}}
"""


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_vllm_that_is_not_installed_is_said_before_the_phases_in_front_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "mine.yaml").write_text(STUDY)
    with pytest.raises(UserError, match="grpo.vllm: vllm is not installed here; install it, or set"):
        preflight.check(load_study(tmp_path / "mine.yaml").runs)
    elsewhere = STUDY.replace("launcher: python", "launcher: python, cluster: slurm")
    (tmp_path / "mine.yaml").write_text(elsewhere)
    preflight.check(load_study(tmp_path / "mine.yaml").runs)


def text_model(folder):
    """A whole folder of a model that reads only text."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "tokenizer.json").write_text("{}")
    save_file({"lm_head.weight": np.zeros((2, 2), np.float32)}, folder / "model.safetensors")


def runs_of(folder, text):
    (folder / "mine.yaml").write_text(
        f"{text}\nmachine: {{models_folder: {folder / 'models'}, accelerator: cpu, launcher: python}}\n"
        "report: {read: chain, beside: '', learnable: '', controls: []}"
    )
    return load_study(folder / "mine.yaml").runs


OF_TEXT = "model: {source: folder, name: Words}\nvariants: {chain: {}}\n"
BLIND = {  # what a study says → what is refused of it where the model reads only text
    "": "chain shows the pictures of people; .* sees, or write train: {teach: {text_twin: true}}",
    "phases: []": "chain shows the pictures of people; choose a model that sees$",
    "data: {world: scenes}": "chain shows the pictures of scenes; choose a model that sees$",
    "data: {world: tables}\nphases: []": (
        "chain shows the pictures of tables; .* sees, or write evaluate: {ask: {views: \\[text\\]}}"
    ),
}


@pytest.mark.parametrize("says", BLIND)
def test_a_model_that_reads_only_text_is_refused_before_pictures_are_made(tmp_path, monkeypatch, says):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    text_model(tmp_path / "models" / "Words")
    with pytest.raises(UserError, match=f"^model.name: .*Words reads only text, and {BLIND[says]}"):
        preflight.check(runs_of(tmp_path, f"{OF_TEXT}{says}"))


@pytest.mark.parametrize(
    "says",
    [
        "train: {teach: {text_twin: true}}",
        "data: {world: reasoning}",
        "data: {world: tables}\nphases: []\nevaluate: {ask: {views: [text]}}",
    ],
)
def test_a_model_that_reads_only_text_may_be_asked_in_words(tmp_path, monkeypatch, says):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    text_model(tmp_path / "models" / "Words")
    assert preflight._sight_problems(runs_of(tmp_path, f"{OF_TEXT}{says}")) == []


@pytest.mark.parametrize("name", ["text_curse_smollm2", "reasoning_dpo_7b"])
def test_studies_of_text_models_show_no_pictures(tmp_path, name):
    for model in {run.params["model"]["name"] for run in load_study(name).runs}:
        text_model(tmp_path / "models" / model)
    (tmp_path / "mine.yaml").write_text(
        f"extends: {name}\nmachine: {{models_folder: {tmp_path / 'models'}}}\n"
    )
    runs = load_study(tmp_path / "mine.yaml").runs
    assert all(map(preflight._reads_only_text, runs)) and preflight._sight_problems(runs) == []
