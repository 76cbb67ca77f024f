"""A text model that learns to see: Idefics3, transformers' SmolVLM of pictures alone, around a downloaded
language part, with a new SigLIP-like vision tower and a new connector. A picture is one tile, never several.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    PreTrainedConfig,
)

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.models.scratch import CHAT, SEEN, TURNS

# By these names Idefics3's processor writes pictures down.
MARKS = ("<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>")


def processor_for(tokenizer, sizes: Mapping) -> Idefics3Processor:
    """The processor: every picture brought to one square; turns as in ChatML, whose marks and those of
    pictures are added to the tokenizer where it lacks them."""
    tokenizer.add_special_tokens({"additional_special_tokens": [*TURNS[1:], *MARKS]})
    tokenizer.eos_token = TURNS[2]
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    side = {"longest_edge": sizes["image_size"]}
    images = Idefics3ImageProcessor(size=side, max_image_size=side, do_image_splitting=False)
    tokens = (sizes["image_size"] // sizes["patch_size"] // sizes["joined"]) ** 2
    chat = CHAT.replace(SEEN, MARKS[1])
    return Idefics3Processor(images, tokenizer, image_seq_len=tokens, chat_template=chat)


def config_of(language: PreTrainedConfig, sizes: Mapping, image_id: int) -> Idefics3Config:
    """Idefics3's configuration around a language part."""
    tower = {
        "hidden_size": sizes["width"],
        "intermediate_size": 4 * sizes["width"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "image_size": sizes["image_size"],
        "patch_size": sizes["patch_size"],
        "initializer_range": sizes["width"] ** -0.5,  # as SigLIP's: what leaves a layer is as large as before
    }
    return Idefics3Config(
        text_config=language,
        vision_config=tower,
        scale_factor=sizes["joined"],
        image_token_id=image_id,
        pad_token_id=language.pad_token_id,
        tie_word_embeddings=language.tie_word_embeddings,
    )


def write_assembled(language: Path, to: Path, sizes: Mapping, seed: int) -> None:
    """Writes the model to `to`, in the dtype of the language part, whose weights are kept; new tokens begin
    as the mean of the old ones, tower and connector are drawn from the seed. Raises UserError for a language
    part of another kind. sizes: image_size and patch_size in pixels, joined (patches on a side that become
    one token), width, layers and heads of the tower."""
    tokenizer = AutoTokenizer.from_pretrained(language, local_files_only=True)
    torch.manual_seed(seed)
    text = AutoModelForCausalLM.from_pretrained(
        language, dtype="auto", local_files_only=True, use_safetensors=True
    )
    if text.config.model_type != "llama":
        found = text.config.model_type
        raise UserError(f"--language: {show(language)} is a model of the kind {found}, not llama")
    processor = processor_for(tokenizer, sizes)
    words = text.get_input_embeddings().weight
    if len(tokenizer) > len(words):
        text.resize_token_embeddings(len(tokenizer), mean_resizing=True)
    text.config.eos_token_id, text.config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    config = config_of(text.config, sizes, processor.image_token_id)
    with torch.device("meta"):
        model = Idefics3ForConditionalGeneration(config)
    seeing = model.model
    seeing.vision_model = type(seeing.vision_model)(config.vision_config).to(text.dtype)
    seeing.connector = type(seeing.connector)(config).to(text.dtype)
    _as_large_as(words, seeing.connector.modality_projection.proj)
    seeing.text_model, model.lm_head = text.model, text.lm_head
    model.generation_config = text.generation_config
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(to)
    processor.save_pretrained(to)


@torch.no_grad()
def _as_large_as(words: torch.Tensor, projection: torch.nn.Linear) -> None:
    """Draws a projection whose tokens are as large as those of words. What it reads is normalized."""
    projection.weight.normal_(0.0, (words.float().std() / projection.in_features**0.5).item())
