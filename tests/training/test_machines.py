"""How it is computed does not change what is learned, by any method: recomputed activations, bf16, 4 bits."""

import importlib.util

import pytest
from models.loaded import PLAIN
from training.phases import furthest, learned, phase_of, started, trained

from mmrc_helpers.models import load

OWN = {"sft": {}, "dpo": {}, "adpo": {}, "grpo": {"completions": 4, "max_new_tokens": 6, "beta": 0.1}}


def run(qwen, folder, method, **settings):
    trainer, rows = trained(phase_of(qwen, folder, method, own=OWN[method], batch=2, **settings))
    return learned(trainer), rows


@pytest.mark.parametrize("method", list(OWN))
def test_recomputed_activations_change_nothing(qwen, tmp_path, method):
    whole, rows = run(qwen, tmp_path / "whole", method)
    weights, again = run(qwen, tmp_path / "again", method, machine={"gradient_checkpointing": True})
    assert furthest(whole, weights) < 1e-6
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in again], abs=1e-6)


@pytest.mark.parametrize("method", list(OWN))
def test_bf16_gives_the_same_loss_to_its_rounding(qwen, tmp_path, method):
    _, rows = run(qwen, tmp_path / "fp32", method)
    _, rounded = run(qwen, tmp_path / "bf16", method, precision="bf16")
    if method != "grpo":  # whose answers may differ by a word
        assert rounded[0]["loss"] == pytest.approx(rows[0]["loss"], rel=2e-2)
    assert rounded[0]["entropy"] == pytest.approx(rows[0]["entropy"], rel=2e-2)
    assert rounded[0]["grad_norm"] > 0


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("method", list(OWN))
def test_an_adapter_on_four_bits_learns(qwen, tmp_path, method):
    base = phase_of(qwen, tmp_path, method, own=OWN[method], batch=2, steps=4)
    model = load.load_model(qwen.folder, {**PLAIN, "quantize": "nf4"})
    weights, rows = run(qwen, tmp_path, method, steps=4, model=started(qwen, base.train, model))
    assert all(row["grad_norm"] > 0 for row in rows)
    if method != "grpo":
        assert rows[-1]["loss"] < rows[0]["loss"]
