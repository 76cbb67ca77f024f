"""An adapter merged into full weights says what it said beside them, in every family."""

import pytest
import torch
from models import toys
from models.loaded import PLAIN, toy_of
from peft import LoraConfig, PeftModel, get_peft_model

from mmrc_helpers.models import load, merge


@pytest.fixture
def adapter(toy, tmp_path):
    """An adapter that changes what the toy says."""
    torch.manual_seed(0)
    model = load.load_model(toy.folder, PLAIN)
    layers = load.lora_layers(model, {"lora_targets": ["q_proj", "down_proj"], "freeze_vision": True})
    config = LoraConfig(r=3, target_modules=layers, init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@torch.no_grad()
def logits(model, toy) -> torch.Tensor:
    """Of a question with a picture, where the family sees."""
    shown = (("image", "wide.png"),) if toy.family in toys.SEEING else ()
    chats = [(("user", (*shown, ("text", "Who is shown here?"))),), (("user", (("text", "Which one?"),)),)]
    batch = toy.pixels.batch(toy.pixels.tokens(chats, complete=False))
    del batch["labels"]
    load.choose_attention(model, torch.device("cpu"))
    real = batch["attention_mask"].bool()
    return model.eval()(**batch).logits[real]


def test_merged_weights_have_the_same_logits(toy, adapter, tmp_path):
    differ = merge.write_merged(toy.folder, PLAIN, adapter, tmp_path / "merged")
    beside = PeftModel.from_pretrained(load.load_model(toy.folder, PLAIN), adapter)
    wanted = logits(beside, toy)
    found = logits(load.load_model(tmp_path / "merged", PLAIN), toy)
    assert differ < 2e-5 and torch.allclose(found, wanted, atol=2e-5)
    assert not torch.allclose(wanted, logits(load.load_model(toy.folder, PLAIN), toy), atol=1e-2)


def test_what_is_written_loads_like_a_downloaded_model(toy, adapter, tmp_path):
    merge.write_merged(toy.folder, PLAIN, adapter, tmp_path / "merged")
    load.downloaded({**PLAIN, "name": "merged"}, {"models_folder": tmp_path})
    names = {path.name for path in (tmp_path / "merged").iterdir()}
    assert {"config.json", "tokenizer.json"} <= names and any(name.endswith(".safetensors") for name in names)
    assert not any(name.endswith((".bin", ".pt")) or name.startswith("adapter") for name in names)


def test_weights_are_rounded_once(tmp_path):
    toy = toy_of("qwen3_text", tmp_path)
    half = {**PLAIN, "dtype": "bfloat16"}
    merge.write_merged(toy.folder, half, None, tmp_path / "merged")
    assert load.load_model(tmp_path / "merged", half).dtype == torch.bfloat16
