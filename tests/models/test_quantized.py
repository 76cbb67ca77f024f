"""Four-bit weights: the language part only, gradients that stay right, one sentence where it cannot be."""

import importlib.util

import pytest
import torch
from models.loaded import CPU, PLAIN
from models.test_families import CHATS, fitting
from models.test_traps import LORA

from mmrc_helpers.errors import UserError
from mmrc_helpers.models import load
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.models.features import Frozen, open_pictures

FOUR_BIT = {**PLAIN, "quantize": "nf4"}
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed (extra qlora)"
)


@pytest.fixture(scope="module")
def quantized():
    """Loads a toy in four bits."""
    known: dict = {}

    def loaded(toy):
        if toy.family not in known:
            known[toy.family] = load.load_model(toy.folder, FOUR_BIT).eval()
            load.choose_attention(known[toy.family], CPU)
        return known[toy.family]

    return loaded


@needs_bitsandbytes
def test_only_layers_of_the_language_part_are_held_in_four_bits(toy, quantized):
    model = quantized(toy)
    linear = {name: type(module).__name__ for name, module in model.named_modules()
              if isinstance(module, torch.nn.Linear)}  # fmt: skip
    assert {load.part_of(name) for name, kind in linear.items() if kind == "Linear4bit"} == {"language"}
    assert all(kind == "Linear4bit" for name, kind in linear.items() if load.part_of(name) == "language")


@needs_bitsandbytes
def test_pictures_are_seen_as_by_the_whole_model(seeing, quantized):
    model = quantized(seeing)
    source = open_pictures(seeing.shards, seeing.shards.names, seeing.processor, model, CPU)
    assert isinstance(source, Frozen)
    for name in seeing.shards.names:
        whole = seeing.frozen.pictures.features(name)
        assert all(torch.equal(values, whole[key]) for key, values in source.features(name).items())


@needs_bitsandbytes
def test_a_look_does_not_change_later_gradients(toy):
    """bitsandbytes packs its weights at the first look without gradients where the CPU has AVX-512 BF16."""
    model = load.add_lora(load.load_model(toy.folder, FOUR_BIT), LORA)
    load.choose_attention(model, CPU)
    encoder = Encoder(toy.processor, toy.pixels.pictures)
    batch = encoder.batch(encoder.tokens(fitting(toy, "text", "one")))

    def gradients():
        model.zero_grad()
        model.train()
        model(**batch).loss.backward()
        return {
            name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad
        }

    before = gradients()
    model.eval()
    with torch.no_grad():
        model(**batch)
    after = gradients()
    assert before and all(torch.allclose(before[name], after[name], atol=1e-7) for name in before)
    linear = [module for module in model.modules() if hasattr(module, "support_avx512bf16_for_cpu")]
    assert linear and not any(module.support_avx512bf16_for_cpu for module in linear)


@needs_bitsandbytes
def test_gradients_are_those_of_the_rounded_weights(named_toy):
    """Against a model that holds in whole numbers what four bits stand for."""
    import bitsandbytes as bnb

    toy = named_toy("qwen3_vl")
    rounded, plain = load.load_model(toy.folder, FOUR_BIT), load.load_model(toy.folder, PLAIN)
    for name, module in rounded.named_modules():
        if type(module).__name__ == "Linear4bit":
            values = bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            plain.get_submodule(name).weight.data.copy_(values.reshape(module.out_features, -1))
    found = []
    for model in (rounded, plain):
        torch.manual_seed(0)
        model = load.add_lora(model, LORA)
        load.choose_attention(model, CPU)
        batch = toy.pixels.batch(toy.pixels.tokens([CHATS["several"]]))
        model(**batch).loss.backward()
        found.append({name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], atol=1e-5), name


def test_four_bits_without_bitsandbytes_are_refused(named_toy, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="nf4 needs bitsandbytes; install it .*qlora.* or write none"):
        load.load_model(named_toy("qwen3_vl").folder, FOUR_BIT)
