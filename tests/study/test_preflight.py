"""What a later phase needs is looked for before the first one computes."""

from importlib.util import find_spec

import pytest

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
