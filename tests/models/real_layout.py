"""A folder laid out as Qwen3-VL-8B-Instruct is published: the same files with the same names and settings,
and random weights of the published widths in shards. Only the depth is less, unless `sizes` say more.

The vocabulary is the real one where the package that ships it is installed (pip install --no-deps
dashscope==2.0.2); without it every byte is a token, and the other tokens are there but never used.
"""

import base64
import importlib.util
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
import transformers as hf
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from trl.chat_template_utils import qwen3_vl_chat_template

WORDS = 151643  # tokens of the vocabulary before the special ones
SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
ADDED = (
    *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
    *("<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
)
TEXT = {
    "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 151643, "dtype": "bfloat16",
    "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096,
    "initializer_range": 0.02, "intermediate_size": 12288, "max_position_embeddings": 262144,
    "model_type": "qwen3_vl_text", "num_attention_heads": 32, "num_hidden_layers": 36,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_theta": 5000000, "use_cache": True,
    "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
    "vocab_size": 151936}  # fmt: skip
VISION = {
    "deepstack_visual_indexes": [8, 16, 24], "depth": 27, "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 1152, "in_channels": 3, "initializer_range": 0.02, "intermediate_size": 4304,
    "model_type": "qwen3_vl", "num_heads": 16, "num_position_embeddings": 2304, "out_hidden_size": 4096,
    "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2}  # fmt: skip
# Three language layers, because the features of three vision layers are added to the first three.
SHALLOW = {"text": {"num_hidden_layers": 3}, "vision": {"depth": 4, "deepstack_visual_indexes": [0, 1, 2]}}
NARROW = {
    "text": {**SHALLOW["text"], "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2,
             "num_key_value_heads": 1},
    "vision": {**SHALLOW["vision"], "hidden_size": 48, "intermediate_size": 64, "num_heads": 4,
               "out_hidden_size": 64}}  # fmt: skip


def write(folder: Path, sizes: Mapping = SHALLOW, shard: int = 1 << 30) -> Path:
    """Writes the folder and returns it. sizes: what differs from the published text and vision sections.
    shard: bytes of a file of weights."""
    folder.mkdir(parents=True)
    config = config_of(sizes)
    for name, content in _settings().items():
        (folder / name).write_text(json.dumps(content, indent=2))
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    _write_tokenizer(folder)
    _write_weights(folder, shapes_of(config), shard)
    return folder


def config_of(sizes: Mapping) -> dict:
    """config.json, as published but for `sizes`."""
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "image_token_id": 151655,
        "model_type": "qwen3_vl",
        "text_config": {**TEXT, **sizes.get("text", {})},
        "tie_word_embeddings": False,
        "transformers_version": "4.57.0.dev0",
        "video_token_id": 151656,
        "vision_config": {**VISION, **sizes.get("vision", {})},
        "vision_end_token_id": 151653,
        "vision_start_token_id": 151652,
    }


def shapes_of(config: Mapping) -> dict[str, torch.Size]:
    """The shape of every weight by its published name."""
    with torch.device("meta"):
        made = hf.Qwen3VLForConditionalGeneration(hf.Qwen3VLConfig.from_dict(config))
    return {name: weight.shape for name, weight in made.named_parameters()}


def _settings() -> dict[str, dict]:
    """The small files but config.json and the tokenizer's."""
    common = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5] * 3,
              "image_std": [0.5] * 3, "processor_class": "Qwen3VLProcessor"}  # fmt: skip
    return {
        "preprocessor_config.json": {
            "size": {"longest_edge": 16777216, "shortest_edge": 65536},
            **common,
            "image_processor_type": "Qwen2VLImageProcessorFast",
        },
        "video_preprocessor_config.json": {
            "size": {"longest_edge": 25165824, "shortest_edge": 4096},
            **common,
            "video_processor_type": "Qwen3VLVideoProcessor",
        },
        "generation_config.json": {
            "bos_token_id": 151643, "pad_token_id": 151643, "do_sample": True,
            "eos_token_id": [151645, 151643], "top_p": 0.8, "top_k": 20, "temperature": 0.7,
            "repetition_penalty": 1.0, "transformers_version": "4.56.0"},
        "chat_template.json": {"chat_template": qwen3_vl_chat_template},
    }  # fmt: skip


# --- the tokenizer -----------------------------------------------------------------------------------------


def _write_tokenizer(folder: Path) -> None:
    vocabulary, merges = _real() if importlib.util.find_spec("dashscope") else _bytes()
    tokenizer = hf.Qwen2Tokenizer(vocab=vocabulary, merges=merges)
    for names, special in ((SPECIAL, True), (ADDED, False)):
        tokenizer.add_tokens([hf.AddedToken(name, special=special, normalized=False) for name in names])
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    assert tokenizer.convert_tokens_to_ids("<|image_pad|>") == 151655
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(map(" ".join, merges)), encoding="utf-8")
    kinds = dict.fromkeys(SPECIAL, True) | dict.fromkeys(ADDED, False)
    added = {str(number): {"content": name, "lstrip": False, "normalized": False, "rstrip": False,
                           "single_word": False, "special": kinds[name]}
             for number, name in enumerate(kinds, WORDS)}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": added,
        "additional_special_tokens": list(SPECIAL[1:]), "bos_token": None,
        "chat_template": qwen3_vl_chat_template, "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>", "errors": "replace", "model_max_length": 262144,
        "pad_token": "<|endoftext|>", "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None}, indent=2))  # fmt: skip


def _bytes() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of the published size in which only bytes are ever used."""
    words = sorted(pre_tokenizers.ByteLevel.alphabet())
    words += [f"unused{number}" for number in range(WORDS - len(words))]
    return {word: number for number, word in enumerate(words)}, []


def _real() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The real vocabulary, and its merges told from the ranks of their results."""
    place = Path(importlib.util.find_spec("dashscope").origin).parent / "resources" / "qwen.tiktoken"
    lines = (line.split() for line in place.read_text().splitlines())
    ranks = {base64.b64decode(word): int(rank) for word, rank in lines}
    shown = _shown_bytes()
    names = {word: "".join(shown[byte] for byte in word) for word in ranks}
    merges = [_halves(word, ranks, rank) for word, rank in ranks.items() if len(word) > 1]
    return {names[word]: rank for word, rank in ranks.items()}, [
        (names[left], names[right]) for left, right in merges
    ]


def _halves(word: bytes, ranks: Mapping[bytes, int], rank: int) -> tuple[bytes, bytes]:
    """The two tokens that are merged into a word: what merges of lower ranks make of its bytes."""
    parts = [word[i : i + 1] for i in range(len(word))]
    while len(parts) > 2:
        pairs = [ranks.get(left + right, math.inf) for left, right in zip(parts, parts[1:], strict=False)]
        first = min(range(len(pairs)), key=pairs.__getitem__)
        assert pairs[first] < rank
        parts[first : first + 2] = [parts[first] + parts[first + 1]]
    return parts[0], parts[1]


def _shown_bytes() -> dict[int, str]:
    """How byte-level BPE writes each byte down: printable ones as they are, others from U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(other)}


# --- the weights -------------------------------------------------------------------------------------------


def _write_weights(folder: Path, shapes: Mapping[str, torch.Size], shard: int) -> None:
    """The weights in bfloat16, a file at a time, and the index that says which is where."""
    torch.manual_seed(0)
    parts = list(_parts(shapes, shard))
    placed = {}
    for number, names in enumerate(parts, 1):
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        save_file(
            {name: _drawn(name, shapes[name]) for name in names}, folder / file, metadata={"format": "pt"}
        )
        placed |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": 2 * sum(map(math.prod, shapes.values()))}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _parts(shapes: Mapping[str, torch.Size], shard: int) -> Iterator[list[str]]:
    """The names of the weights of each file."""
    names, size = [], 0
    for name, shape in shapes.items():
        if names and size + 2 * math.prod(shape) > shard:
            yield names
            names, size = [], 0
        names.append(name)
        size += 2 * math.prod(shape)
    yield names


def _drawn(name: str, shape: torch.Size) -> torch.Tensor:
    """Biases begin at zero, norms at one, and all else at random."""
    if name.endswith(".bias"):
        return torch.zeros(shape, dtype=torch.bfloat16)
    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16)
    return torch.empty(shape, dtype=torch.bfloat16).normal_(0, 0.02)
