"""A text model that gets a new vision tower: what is kept, what is drawn, and that a study teaches it."""

import re

import pytest
import tiny
import torch
import transformers as hf
from models import toys
from models.loaded import PLAIN
from preloaded import stages as quickly
from safetensors.torch import load_file

from mmrc_helpers import assemble
from mmrc_helpers import run as command
from mmrc_helpers.errors import UserError
from mmrc_helpers.models import load, new_tower
from mmrc_helpers.store import files
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import load_study

SIZES = ["--patch-size", "16", "--width", "32", "--layers", "1", "--heads", "2"]  # 4 tokens a picture

# The study of the real one: its model a toy, its phases of two steps each.
STUDY = f"""
extends: smollm2_base
model: {{name: seeing}}
{tiny.PEOPLE}
train: {{batch: 4, steps: 2, warmup_steps: 0, max_length: 8192, precision: fp32, teach: {{turns: 1}}}}
phases:
  - {{method: align, learns: vision, teach: {{turns: 6, replay_mix: {{caption: 1.0}}}}}}
  - {{teach: {{replay_mix: {{portrait: 0.5, lineup: 0.5}}}}}}
evaluate: {{orders: 1, max_new_tokens: 2, ask: {{background: 2, drops: [], storage: false}}}}
machine: {{launcher: python, accelerator: cpu, processes: 1, micro_batch: 4, models_folder: MODELS}}
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A small Llama as it would be downloaded; its tokenizer has other turns, and no marks of pictures."""
    place = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    tokenizer = toys.llama_tokenizer()
    language = hf.LlamaConfig(**toys.LANGUAGE, **toys._ends(tokenizer), tie_word_embeddings=True)
    hf.LlamaForCausalLM(language).save_pretrained(place / "llama")
    tokenizer.save_pretrained(place / "llama")
    with quickly():
        assert call(place, "seeing") == 0
    return place


def call(models, name, *more) -> int:
    given = [name, "--vision", "new", "--language", "llama", *SIZES, "--models-folder", str(models)]
    return assemble.main([*given, *more])


def test_the_words_are_kept_and_new_tokens_begin_as_their_mean(models):
    made = load.load_model(models / "seeing", PLAIN)
    kept = hf.LlamaForCausalLM.from_pretrained(models / "llama").model.state_dict()
    own = made.model.text_model.state_dict()
    words, old = own.pop("embed_tokens.weight"), kept.pop("embed_tokens.weight")
    assert own.keys() == kept.keys() and all(torch.equal(own[name], kept[name]) for name in own)
    assert torch.equal(words[: len(old)], old)
    added = len(new_tower.MARKS) + 2  # and the turns
    assert len(words) == len(old) + added
    assert torch.allclose(words[len(old) :], old.mean(0).expand(added, -1), atol=1e-4)
    assert made.lm_head.weight.data_ptr() == made.model.text_model.embed_tokens.weight.data_ptr()


def test_what_is_made_again_is_the_same_and_another_seed_is_not(models, capsys):
    before = (models / "seeing" / "made.json").stat().st_mtime_ns
    assert call(models, "seeing") == 0 and (models / "seeing" / "made.json").stat().st_mtime_ns == before
    assert call(models, "seeing", "--seed", "1") == 2
    assert "holds something else; take another name" in capsys.readouterr().err


def test_everything_that_is_missing_or_does_not_fit_is_said_at_once(models, capsys):
    assert call(models, "other", "--language", "nowhere", "--image-size", "40", "--heads", "3") == 2
    said = capsys.readouterr().err
    assert f"--language: no model at {models / 'nowhere'}" in said and "data unpack smollm2_135m" in said
    assert "--image-size: 40 is no multiple" in said and "--width: 32 is no multiple of --heads (3)" in said


def test_a_language_part_of_another_kind_is_named(named_toy, tmp_path):
    sizes = {"image_size": 32, "patch_size": 8, "joined": 2, "width": 32, "layers": 1, "heads": 2}
    with pytest.raises(UserError, match="--language: .*is a model of the kind qwen3, not llama"):
        new_tower.write_assembled(named_toy("qwen3_text").folder, tmp_path, sizes, 0)


def test_a_study_teaches_it_to_see_before_everything(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    path = tmp_path / "small.yaml"
    path.write_text(STUDY.replace("MODELS", str(models)))
    assert command.main([str(path), "--plan"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "as written" in line]
    aligned, supervised, _ = (float(re.split(r" {2,}", line)[-3]) for line in told)
    assert aligned < supervised / 2, "no language layer runs"
    (run,) = load_study(str(path)).runs
    with quickly():
        for stage in stages.stages_of(run):
            stages.make(stage, run.params["machine"], tiny.quiet)
    trained = [stage.folder / "model" for stage in stages.train_stages(run)]
    start, eyes, all_of_it = (
        load_file(folder / "model.safetensors") for folder in (models / "seeing", *trained)
    )
    assert moved(start, eyes) == {"vision", "projector"}
    assert moved(eyes, all_of_it) == {"vision", "projector", "language"}
    answers = files.read_jsonl(stages.eval_stage(run).folder / "answers.jsonl")
    assert {row["format"] for row in answers} == {"free", "choice", "judge"}


def moved(before: dict, after: dict) -> set[str]:
    """The parts of a model in which a weight differs."""
    return {load.part_of(name) for name, weight in after.items() if not torch.equal(weight, before[name])}
