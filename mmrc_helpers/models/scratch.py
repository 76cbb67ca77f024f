"""New, small models: Qwen3-VL, or Qwen3 where a world has no pictures, with the classes, processor and chat
format of the real ones and a few million random weights.

The tokenizer holds every word of the world as one token and falls back to bytes, so that any text can be
read.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch

from mmrc_helpers.errors import UserError


def scratch_model(scratch: Mapping, processor, image_size: int, seed: int):
    """A new Qwen3-VL model of the given sizes with random weights, for a processor made here."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    tokenizer = processor.tokenizer
    side = image_size // scratch["patch_size"]
    head = scratch["hidden_size"] // scratch["heads"]
    third = head // 6
    torch.manual_seed(seed)
    config = Qwen3VLConfig(
        text_config={
            **_language(scratch, tokenizer),
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [head // 2 - 2 * third, third, third],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": scratch["vision_layers"],
            "hidden_size": scratch["vision_width"],
            "intermediate_size": 3 * scratch["vision_width"],
            "num_heads": scratch["vision_heads"],
            "patch_size": scratch["patch_size"],
            "out_hidden_size": scratch["hidden_size"],
            "num_position_embeddings": side * side,
            "deepstack_visual_indexes": [],
            "initializer_range": scratch["initializer_range"],
        },
        image_token_id=processor.image_token_id,
        video_token_id=processor.video_token_id,
        vision_start_token_id=processor.vision_start_token_id,
        vision_end_token_id=processor.vision_end_token_id,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = Qwen3VLForConditionalGeneration(config)
    return _ready(model, model.model.language_model, tokenizer)


def scratch_text_model(scratch: Mapping, tokenizer, seed: int):
    """A new Qwen3 model, which reads only text, for a tokenizer made here. The vision sizes are not used."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    config = Qwen3Config(
        **_language(scratch, tokenizer),
        rope_parameters=rope,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = Qwen3ForCausalLM(config)
    return _ready(model, model.model, tokenizer)


def _language(scratch: Mapping, tokenizer) -> dict:
    """The sizes of the language part, as both configurations call them."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": scratch["hidden_size"],
        "intermediate_size": scratch["intermediate_size"],
        "num_hidden_layers": scratch["layers"],
        "num_attention_heads": scratch["heads"],
        "num_key_value_heads": scratch["heads"],
        "head_dim": scratch["hidden_size"] // scratch["heads"],
        "max_position_embeddings": 4096,
        "initializer_range": scratch["initializer_range"],
        "pad_token_id": tokenizer.pad_token_id,
    }


def _ready(model, language, tokenizer):
    """The new model with its attention started and the tokens at which it stops."""
    _start_attention(language)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


# Tokens back that two heads of each layer look at first: from a name to its letter, from an answer to the
# name asked.
LOOK_BACK = ((3, 2), (1, 3), (6, 7), (6, 1))


@torch.no_grad()
def _start_attention(text) -> None:
    """Gives attention a start from which looking a word up in a list takes off within 200 steps, not
    thousands.

    In each layer half of the heads have equal query and key weights, so that equal tokens attend to each
    other ("mimetic" initialization, arXiv 2305.09828); two more look a fixed number of tokens back. All
    embeddings share a constant part for those two to read, and layers write little at first, so that tokens
    stay recognizable.
    """
    text.embed_tokens.weight.normal_(0.25, 0.5)
    for layer, offsets in zip(text.layers, LOOK_BACK, strict=False):
        attention = layer.self_attn
        half = attention.q_proj.weight.shape[0] // 2
        attention.k_proj.weight[:half] = attention.q_proj.weight[:half]
        others = range(half // attention.head_dim, text.config.num_attention_heads)
        for head, offset in zip(others, offsets, strict=False):
            _look_back(attention, head, offset, text.config.rope_parameters["rope_theta"])
        attention.o_proj.weight.mul_(0.2)
        layer.mlp.down_proj.weight.mul_(0.2)


def _look_back(attention, head: int, offset: int, theta: float) -> None:
    """Constant keys, and the queries that rotary positions turn onto the key `offset` tokens before."""
    size = attention.head_dim
    angle = offset * theta ** (-torch.arange(size // 2) / (size // 2))
    query = torch.cat([angle.cos() + angle.sin(), angle.cos() - angle.sin()])
    rows = slice(head * size, (head + 1) * size)
    attention.q_proj.weight[rows] = 0.05 * query[:, None]
    attention.k_proj.weight[rows] = 0.05


def scratch_processor(scratch: Mapping, sentences: Iterable[str]):
    """A Qwen3-VL processor with a tokenizer that holds each of the world's words as one token, and every
    byte."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    patch = scratch["patch_size"]
    area = {"shortest_edge": (2 * patch) ** 2, "longest_edge": 4096 * patch**2}
    half = [0.5, 0.5, 0.5]
    images = Qwen2VLImageProcessor(patch_size=patch, merge_size=2, size=area, image_mean=half, image_std=half)
    tokenizer = _word_tokenizer(sentences, scratch["vocabulary"], TURNS + PICTURES)
    videos = Qwen3VLVideoProcessor(patch_size=patch, merge_size=2)
    return Qwen3VLProcessor(images, tokenizer, videos, chat_template=tokenizer.chat_template)


def scratch_tokenizer(scratch: Mapping, sentences: Iterable[str]):
    """The tokenizer of `scratch_processor` for a model that reads only text."""
    return _word_tokenizer(sentences, scratch["vocabulary"], TURNS)


TURNS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
PICTURES = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")

SEEN = "<|vision_start|><|image_pad|><|vision_end|>"  # where a picture stands

# Qwen3-VL's turn format.
CHAT = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' if part.type == 'image' else part.text -}}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def _word_tokenizer(sentences: Iterable[str], limit: int, special: Sequence[str]):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    words = sorted({word for sentence in sentences for word, _ in split.pre_tokenize_str(sentence)})
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [word for word in words if word not in alphabet]
    if len(special) + len(alphabet) + len(words) > limit:
        raise UserError(
            f"model.scratch.vocabulary: {limit} tokens are too few for {len(words)} words; raise it"
        )
    # Viterbi segmentation takes a whole word where there is one and falls back to bytes elsewhere.
    pieces = [(token, -20.0) for token in alphabet] + [(word, -1.0) for word in words]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer, tokenizer.decoder = split, decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|endoftext|>", eos_token="<|im_end|>", model_max_length=4096
    )
    whole.chat_template = CHAT
    return whole
