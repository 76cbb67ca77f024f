"""A GGUF file becomes a folder that loads like a downloaded model. The file is a very small Llama of 8-bit
blocks."""

import numpy as np
import pytest
import torch
from training.phases import defaults

from mmrc_helpers.models import load
from mmrc_helpers.models.unpack import write_unpacked

gguf = pytest.importorskip("gguf", reason="the extra smollm is not installed")
WIDTH, INNER, HEADS = 64, 96, 2
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", "Ċ", "ab"]
CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
)


def write(path) -> dict[str, np.ndarray]:
    """Writes the file; its weights by their names there, as the blocks say them."""
    writer, rng = gguf.GGUFWriter(path, "llama"), np.random.default_rng(0)
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * 3 + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template(CHAT)
    shapes = {"token_embd": (len(TOKENS), WIDTH), "blk.0.ffn_down": (WIDTH, INNER)}
    shapes |= dict.fromkeys(("blk.0.ffn_gate", "blk.0.ffn_up"), (INNER, WIDTH))
    shapes |= dict.fromkeys((f"blk.0.attn_{name}" for name in ("q", "k", "v", "output")), (WIDTH, WIDTH))
    written = {}
    for name, shape in shapes.items():
        blocks = gguf.quantize(rng.normal(0, 0.1, shape).astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(f"{name}.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        written[name] = gguf.dequantize(blocks, gguf.GGMLQuantizationType.Q8_0)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return written


def test_a_file_of_blocks_becomes_a_folder_of_plain_numbers(tmp_path):
    written = write(tmp_path / "small.gguf")
    model = defaults("base")["model"]
    write_unpacked(tmp_path / "small.gguf", model, tmp_path / "made")
    assert {path.suffix for path in (tmp_path / "made").iterdir()} >= {".json", ".safetensors"}
    loaded = load.load_model(tmp_path / "made", model)
    named = dict(loaded.named_parameters())
    for name, here in (("token_embd", "embed_tokens"), ("blk.0.ffn_up", "layers.0.mlp.up_proj")):
        assert torch.equal(named[f"model.{here}.weight"], torch.from_numpy(written[name]))
    processor = load.load_processor(tmp_path / "made", model)
    said = processor.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)
    assert said == "<|im_start|>user\nhello<|im_end|>\n"
