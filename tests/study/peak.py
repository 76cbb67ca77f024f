"""Measures the most memory that training steps of toys take: `python peak.py FOLDER` reads FOLDER/cases.json
and writes FOLDER/peaks.json, in bytes above what was there before."""

import ctypes
import gc
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3VLConfig, Qwen3VLForConditionalGeneration
from trl.trainer.utils import add_fused_lm_head

from mmrc_helpers.models import load
from mmrc_helpers.training.optimizers import make_optimizer

STEPS = 2  # the optimizer's state is there from the second on


def main(folder: Path) -> None:
    cases = json.loads((folder / "cases.json").read_text())
    measured(folder, {**cases["warm up"], "rows": 1, "tokens": 8})  # what libraries take at first use
    peaks = {name: measured(folder, case) for name, case in cases.items()}
    (folder / "peaks.json").write_text(json.dumps(peaks))


def measured(folder: Path, case: Mapping) -> int:
    """Bytes above the level before the model was loaded."""
    built(folder / case["model"]["name"], case["sizes"])
    before = settled("VmRSS")
    model = load.load_model(folder / case["model"]["name"], case["model"])
    load.choose_attention(model, torch.device("cpu"))
    settled("VmRSS")
    train(model, case)
    peak = status("VmHWM") - before
    del model
    settled("VmRSS")
    return peak


def built(folder: Path, sizes: Mapping) -> None:
    """A model of these sizes with random weights; of Qwen3-VL with the smallest of eyes. What stands for its
    tokenizer and processor is only there to be found."""
    if folder.exists():
        return
    folder.mkdir()
    for name in ("tokenizer.json", "preprocessor_config.json"):
        (folder / name).write_text("{}")
    common = {**sizes, "max_position_embeddings": 2048, "tie_word_embeddings": False}
    if sizes["model_type"] == "llama":
        LlamaForCausalLM(LlamaConfig(**common)).save_pretrained(folder)
        return
    third = sizes["head_dim"] // 6
    sections = [sizes["head_dim"] // 2 - 2 * third, third, third]
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": sections, "mrope_interleaved": True}
    eyes = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "patch_size": 16,
            "out_hidden_size": sizes["hidden_size"], "num_position_embeddings": 16,
            "deepstack_visual_indexes": []}  # fmt: skip
    text = {**common, "model_type": "qwen3_vl_text", "rope_parameters": rope}
    config = Qwen3VLConfig(text_config=text, vision_config=eyes, tie_word_embeddings=False)
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)


def train(model, case: Mapping) -> None:
    """Steps as a trainer takes them: fused head, one loss over all tokens, optimizer."""
    phase = case["train"]
    vision = load.vision_part(model)
    vision.requires_grad_(False)
    whole = load.add_lora(model, phase) if phase["lora_r"] else model
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    if case["checkpointing"]:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    whole.train()
    optimizer, rows, tokens = make_optimizer(whole, phase), case["rows"], case["tokens"]
    for _ in range(STEPS):
        ids = torch.randint(0, 100, (rows, tokens))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=phase["precision"] == "bf16"):
            found = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids, fused_lm_head=True)
        (-found.log_probs.sum() / ids.numel()).backward()
        del found
        optimizer.step()
        optimizer.zero_grad()


def settled(name: str) -> int:
    """A figure of this process after freed memory has gone back; the peak starts anew from here."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return status(name)


def status(name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))
