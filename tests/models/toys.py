"""Model folders of every family: the real classes and processors, small random weights, and tokenizers of the
real kinds, trained here in a moment."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import transformers as hf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from trl import chat_template_utils as templates

from mmrc_helpers.models import new_tower, two_encoders

SPOKEN = (
    "Who is shown here? This is Juniper Vale. Right Wrong A. B. C. D. Which picture shows Otto Marsh? the "
    "keeper of the lighthouse grey coat round glasses red beard short hair a picture one two three words"
).split()
SENTENCES = [" ".join(random.Random(k).choices(SPOKEN, k=16)) for k in range(200)] + [
    "Assistant: B",
    "User: A",
    "\n\n",
    "\n",
] * 20

# Keeps line breaks whole and digits apart, as Qwen and Llama 3 do.
BY_LINES = r"\s*[\r\n]+| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"
LANGUAGE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
}
VISION = {"hidden_size": 48, "intermediate_size": 64}

# No variant of it is known to TRL; line breaks stand before each turn's words, as in Llama 3.
LLAMA_VISION_CHAT = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' -}}
{%- for part in message.content -%}{{- '<|image|>' if part.type == 'image' else part.text -}}{%- endfor -%}
{{- '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}"""


def byte_level(special: Sequence[str], split: str | None, **named) -> hf.PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, split as GPT-2's (SmolLM) or by `split` (Qwen, Llama 3)."""
    tokenizer = Tokenizer(models.BPE())
    if split:
        pieces = [pre_tokenizers.Split(Regex(split), "isolated")]
        pieces.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pieces)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=8192, **named)


def sentence_piece(special: Sequence[str], **named) -> hf.PreTrainedTokenizerFast:
    """A BPE tokenizer with marked spaces and single bytes for what is unknown, as Mistral's."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # so that no merge joins words
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    single = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<unk>", "<s>", "</s>", *single], show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    state = json.loads(tokenizer.to_str())
    state["pre_tokenizer"] = None
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in single]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=8192, **named)


def _ends(tokenizer) -> dict:
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


QWEN_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)


def _qwen(patch: int) -> tuple:
    """Tokenizer, image processor, video processor and special ids of a Qwen-VL."""
    tokenizer = byte_level(QWEN_TOKENS, BY_LINES, pad_token="<|endoftext|>", eos_token="<|im_end|>")
    area = {"shortest_edge": (2 * patch) ** 2, "longest_edge": 1024 * patch**2}
    images = hf.Qwen2VLImageProcessor(patch_size=patch, merge_size=2, size=area)
    ids = {
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }
    return tokenizer, images, ids


def qwen2_5_vl() -> tuple:
    tokenizer, images, ids = _qwen(14)
    videos = hf.Qwen2VLVideoProcessor(patch_size=14, merge_size=2)
    template = templates.qwen2_5_vl_chat_template
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    config = hf.Qwen2_5_VLConfig(
        text_config={**LANGUAGE, **_ends(tokenizer), "rope_parameters": rope},
        vision_config={**VISION, "depth": 3, "num_heads": 4, "patch_size": 14, "out_hidden_size": 64,
                       "window_size": 112, "fullatt_block_indexes": [2]},
        **ids,
    )  # fmt: skip
    processor = hf.Qwen2_5_VLProcessor(images, tokenizer, videos, chat_template=template)
    return hf.Qwen2_5_VLForConditionalGeneration, config, processor


def qwen3_vl() -> tuple:
    tokenizer, images, ids = _qwen(16)
    videos = hf.Qwen3VLVideoProcessor(patch_size=16, merge_size=2)
    template = templates.qwen3_vl_chat_template
    rope = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [4, 2, 2],
        "mrope_interleaved": True,
    }
    config = hf.Qwen3VLConfig(
        text_config={**LANGUAGE, **_ends(tokenizer), "head_dim": 16, "rope_parameters": rope},
        vision_config={**VISION, "depth": 3, "num_heads": 4, "patch_size": 16, "out_hidden_size": 64,
                       "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]},
        **ids,
    )  # fmt: skip
    processor = hf.Qwen3VLProcessor(images, tokenizer, videos, chat_template=template)
    return hf.Qwen3VLForConditionalGeneration, config, processor


def _tiled(special: Sequence[str], **named):
    """The tokenizer of Idefics3 and SmolVLM, which write down where each tile of a picture lies."""
    cells = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    shared = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"]
    return byte_level([*special, *shared, *cells], None, eos_token="<end_of_utterance>", **named)


TILE = 64  # pixels on the side of a tile
TILED_VISION = {**VISION, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": TILE,
                "patch_size": 16}  # fmt: skip


def idefics3() -> tuple:
    special = ["<|begin_of_text|>", "<|end_of_text|>"]
    tokenizer = _tiled(special, bos_token="<|begin_of_text|>", pad_token="<|end_of_text|>")
    images = hf.Idefics3ImageProcessor(size={"longest_edge": 2 * TILE}, max_image_size={"longest_edge": TILE})
    template = templates.idefics3_chat_template
    processor = hf.Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=template)
    return (
        hf.Idefics3ForConditionalGeneration,
        _tiled_config(hf.Idefics3Config, processor.tokenizer),
        processor,
    )


def smolvlm(tile: int = TILE, longest: int = 2 * TILE, places: int = 4) -> tuple:
    """tile, longest: pixels of a tile and of a picture; places: tokens of a tile."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<video>"]
    tokenizer = _tiled(special, bos_token="<|im_start|>", pad_token="<|im_end|>")
    images = hf.SmolVLMImageProcessor(size={"longest_edge": longest}, max_image_size={"longest_edge": tile})
    videos = hf.SmolVLMVideoProcessor(
        size={"longest_edge": TILE}, max_image_size={"longest_edge": TILE}, num_frames=2, fps=1
    )
    template = templates.smolvlm_chat_template
    processor = hf.SmolVLMProcessor(images, tokenizer, videos, image_seq_len=places, chat_template=template)
    return hf.SmolVLMForConditionalGeneration, _tiled_config(hf.SmolVLMConfig, processor.tokenizer), processor


def _tiled_config(kind, tokenizer):
    text = {**LANGUAGE, **_ends(tokenizer), "model_type": "llama"}
    image = tokenizer.convert_tokens_to_ids("<image>")
    return kind(text_config=text, vision_config=TILED_VISION, scale_factor=2, image_token_id=image,
                pad_token_id=tokenizer.pad_token_id)  # fmt: skip


def llava_next(side: int = 32, patch: int = 8) -> tuple:
    tokenizer = sentence_piece(
        ["<image>", "<pad>"], bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )
    grids = [[side, 2 * side], [2 * side, side], [2 * side, 2 * side]]
    images = hf.LlavaNextImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}, image_grid_pinpoints=grids
    )
    template = templates.llava_next_chat_template
    processor = hf.LlavaNextProcessor(
        images, tokenizer, patch_size=patch, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=template)  # fmt: skip
    config = hf.LlavaNextConfig(
        text_config={**LANGUAGE, **_ends(tokenizer), "model_type": "mistral", "sliding_window": None,
                     "head_dim": 16},
        vision_config={**VISION, "model_type": "clip_vision_model", "num_hidden_layers": 3,
                       "num_attention_heads": 4, "image_size": side, "patch_size": patch,
                       "projection_dim": 48},
        image_grid_pinpoints=grids, image_seq_length=(side // patch) ** 2, vision_feature_layer=-2,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default",
    )  # fmt: skip
    return hf.LlavaNextForConditionalGeneration, config, processor


LLAMA_TOKENS = (
    "<|begin_of_text|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|python_tag|>",
)


def mllama() -> tuple:
    side = 48
    tokenizer = byte_level(
        [*LLAMA_TOKENS, "<|finetune_right_pad_id|>"], BY_LINES, bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>", pad_token="<|finetune_right_pad_id|>")  # fmt: skip
    ends = _ends(tokenizer)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|image|>"]}
    )  # behind the model's vocabulary
    images = hf.MllamaImageProcessor(size={"height": side, "width": side}, max_image_tiles=4)
    processor = hf.MllamaProcessor(images, tokenizer, chat_template=LLAMA_VISION_CHAT)
    config = hf.MllamaConfig(
        text_config={**LANGUAGE, **ends, "num_hidden_layers": 4, "cross_attention_layers": [1, 3],
                     "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
        vision_config={**VISION, "num_hidden_layers": 3, "num_global_layers": 1, "attention_heads": 4,
                       "image_size": side, "patch_size": 16, "max_num_tiles": 4,
                       "intermediate_layers_indices": [0, 1], "vision_output_dim": 3 * 48},
        image_token_index=ends["vocab_size"],
    )  # fmt: skip
    return hf.MllamaForConditionalGeneration, config, processor


CLIP = {**VISION, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 32, "patch_size": 8}
CONVNEXT = {"hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 1, 1]}


def llama_tokenizer():
    """Llama 3's, with one of its free tokens for pictures."""
    own = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
    return byte_level([*LLAMA_TOKENS, two_encoders.IMAGE], BY_LINES, **own)


def clip_and_convnext() -> tuple:
    tokenizer = llama_tokenizer()
    processor = two_encoders.processor_for(tokenizer, cells=2)
    tower = two_encoders.TwoEncodersConfig(clip_config=CLIP, convnext_config=CONVNEXT, cells=2)
    language = hf.LlamaConfig(**LANGUAGE, **_ends(tokenizer))
    config = two_encoders.config_of(tower, language, processor.image_token_id)
    return hf.LlavaForConditionalGeneration, config, processor


TOWER = {"image_size": 32, "patch_size": 8, "joined": 2, "width": 48, "layers": 2, "heads": 4}


def with_new_tower() -> tuple:
    """A text model with SmolLM2's kind of tokenizer, which learns to see."""
    tokenizer = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], None, eos_token="<|im_end|>")
    processor = new_tower.processor_for(tokenizer, TOWER)
    language = hf.LlamaConfig(**LANGUAGE, **_ends(tokenizer))
    config = new_tower.config_of(language, TOWER, processor.image_token_id)
    return hf.Idefics3ForConditionalGeneration, config, processor


def qwen3_text() -> tuple:
    """A model that reads only text, with the template that writes empty thoughts."""
    tokenizer = byte_level(QWEN_TOKENS[:3], BY_LINES, pad_token="<|endoftext|>", eos_token="<|im_end|>")
    tokenizer.chat_template = templates.qwen3_chat_template
    config = hf.Qwen3Config(**LANGUAGE, **_ends(tokenizer), head_dim=16)
    return hf.Qwen3ForCausalLM, config, tokenizer


def llama_text() -> tuple:
    """A model that reads only text, without a token to pad with."""
    tokenizer = byte_level(LLAMA_TOKENS, BY_LINES, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
    tokenizer.chat_template = templates.llama3_chat_template
    config = hf.LlamaConfig(**LANGUAGE, **_ends(tokenizer))
    return hf.LlamaForCausalLM, config, tokenizer


SEEING: dict[str, Callable] = {made.__name__: made for made in (
    qwen2_5_vl, qwen3_vl, smolvlm, idefics3, llava_next, mllama, clip_and_convnext,
    with_new_tower)}  # fmt: skip
READING: dict[str, Callable] = {made.__name__: made for made in (qwen3_text, llama_text)}


def build(family: str, folder: Path) -> Path:
    """Writes a toy of a family and returns its folder."""
    kind, config, processor = (SEEING | READING)[family]()
    torch.manual_seed(0)
    model = kind(config)
    if family == "mllama":  # its gates start closed, and no picture would be seen
        for name, weight in model.named_parameters():
            if name.endswith("_gate"):
                torch.nn.init.constant_(weight, 0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
