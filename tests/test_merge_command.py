"""`python -m mmrc_helpers.merge`: the model of a run with its card, once."""

import preloaded
import pytest
import tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

from mmrc_helpers import merge
from mmrc_helpers.store import files
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import load_study

STUDY = """
question: What is preferred?
model: {source: scratch, scratch: {kind: qwen3, hidden_size: 32, heads: 4, layers: 1, intermediate_size: 32}}
data: {world: reasoning}
reasoning: {families: [kinship], difficulties: [1], train: 24, test: 4}
train: {taught_tokens: 0, batch: 8, lora_r: 0, precision: fp32}
machine: {launcher: python}
report: {finding: accuracy, read: preferring}
variants:
  untrained: {phases: []}
  preferring: {phases: [{steps: 2}, {method: dpo, steps: 2, lora_r: 4, learning_rate: 0.1}]}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    place = tmp_path_factory.mktemp("merge")
    (place / "small.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch, preloaded.stages():
        patch.setenv("MMRC_ARTIFACTS", str(place / "artifacts"))
        yield place / "small.yaml"


def call(study, *arguments) -> int:
    return merge.main([str(study), *map(str, arguments)])


def test_a_run_that_is_not_trained_is_named(study, capsys):
    assert call(study, "--variant", "untrained") == 2
    assert "untrained is not trained" in capsys.readouterr().err
    assert call(study, "--variant", "preferring") == 2
    assert "is not there; run `python -m mmrc_helpers.run small` first" in capsys.readouterr().err


def test_the_model_of_a_run_with_its_card(study, tmp_path, capsys):
    run = load_study(study).runs[1]
    for stage in stages.stages_of(run):
        stages.make(stage, run.params["machine"], tiny.quiet)
    to = tmp_path / "model"
    assert call(study, "--variant", "preferring", "--to", to) == 0
    assert "logits differ from those with the adapter by at most" in capsys.readouterr().out
    assert files.read_json(to / "made.json")["logits_differ"] < 1e-5
    AutoModelForCausalLM.from_pretrained(to), AutoTokenizer.from_pretrained(to)
    card = (to / "README.md").read_text()
    told = ["library_name: transformers", "What is preferred?", "random weights", "| 2 | dpo |", "beta: 0.1"]
    told += ["percent with 95 % intervals", "| preferring | accuracy |", "AutoModelForCausalLM", "torch"]
    assert [words for words in told if words not in card] == []
    before = (to / "made.json").stat().st_mtime_ns
    assert call(study, "--variant", "preferring", "--to", to) == 0
    assert (to / "made.json").stat().st_mtime_ns == before
    assert call(study, "--variant", "preferring", "--to", tmp_path) == 2
    assert "holds something else" in capsys.readouterr().err
