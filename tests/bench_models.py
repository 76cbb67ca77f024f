"""Models of real sizes for bench_gpu.py, with the processors of the toys at real settings, and a pipeline of
SDXL-Turbo's shape; at toy size, the toys. Sizes are those of the published configurations."""

from functools import partial

import torch
import transformers as hf
from bench_methods import shaped
from models import toys

QWEN3_VL_8B = {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
               "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936,
               "max_position_embeddings": 262_144,
               "rope_parameters": {"rope_theta": 5e6, "mrope_section": [24, 20, 20]}}  # fmt: skip
QWEN3_VL_EYES = {"hidden_size": 1152, "intermediate_size": 4304, "depth": 27, "num_heads": 16,
                 "out_hidden_size": 4096, "num_position_embeddings": 2304,
                 "deepstack_visual_indexes": [8, 16, 24]}  # fmt: skip
SMOLLM_1_7B = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24,
               "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 64, "vocab_size": 49_280,
               "max_position_embeddings": 16_384}  # fmt: skip
SIGLIP_400M = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
               "num_attention_heads": 16, "image_size": 384, "patch_size": 14}  # fmt: skip
MISTRAL_7B = {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
              "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 32_064,
              "max_position_embeddings": 32_768}  # fmt: skip
CLIP_L = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "projection_dim": 768}  # fmt: skip


def qwen3_vl_8b(size: str) -> tuple:
    """Class, configuration, processor, and the side of its pictures in pixels: 512 make 256 tokens."""
    kind, small, processor = toys.qwen3_vl()
    return (kind, small, processor, 64) if size == "toy" else (
        kind, shaped(small, QWEN3_VL_8B, QWEN3_VL_EYES), processor, 512)  # fmt: skip


def smolvlm_2b(size: str) -> tuple:
    """As `qwen3_vl_8b`; a picture is cut into 17 tiles of 81 tokens."""
    if size == "toy":
        return *toys.smolvlm(), 64
    kind, small, processor = toys.smolvlm(tile=384, longest=1536, places=81)
    return kind, shaped(small, SMOLLM_1_7B, SIGLIP_400M, scale_factor=3), processor, 384


def llava_7b(size: str) -> tuple:
    """As `qwen3_vl_8b`; a picture makes 1176 tokens."""
    if size == "toy":
        return *toys.llava_next(), 32
    kind, small, processor = toys.llava_next(side=336, patch=14)
    return kind, shaped(small, MISTRAL_7B, CLIP_L), processor, 336


SHAPES = {made.__name__: made for made in (qwen3_vl_8b, smolvlm_2b, llava_7b)}


# --- portraits ---------------------------------------------------------------------------------------------

SDXL = {
    "unet": {"block_out_channels": (320, 640, 1280), "layers_per_block": 2, "attention_head_dim": (5, 10, 20),
             "transformer_layers_per_block": (1, 2, 10), "cross_attention_dim": 2048,
             "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816},
    "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2},
    "tiny": {},
    "one": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "projection_dim": 768},
    "two": {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
            "num_attention_heads": 20, "projection_dim": 1280},
}  # fmt: skip
TOY = {
    "unet": {"block_out_channels": (32, 64, 64), "layers_per_block": 1, "attention_head_dim": (2, 4, 4),
             "transformer_layers_per_block": (1, 1, 2), "cross_attention_dim": 64, "norm_num_groups": 8,
             "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 80},
    "vae": {"block_out_channels": (16, 32, 32, 32), "norm_num_groups": 8},
    "tiny": {"encoder_block_out_channels": (16,) * 4, "decoder_block_out_channels": (16,) * 4,
             "num_encoder_blocks": (1,) * 4, "num_decoder_blocks": (1,) * 4},
    "one": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
            "projection_dim": 32},
    "two": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
            "projection_dim": 32},
}  # fmt: skip


UNET = {"sample_size": 64, "use_linear_projection": True, "addition_embed_type": "text_time",
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")}  # fmt: skip
VAE = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
       "latent_channels": 4, "sample_size": 512, "scaling_factor": 0.13025, "force_upcast": True}  # fmt: skip
STEPS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
         "timestep_spacing": "trailing"}  # fmt: skip


def pipeline(size: str, tiny: bool, device: torch.device):
    """A pipeline with random weights on a device: in float16, at toy size in float32. tiny: with
    AutoencoderTiny in place of the VAE."""
    import diffusers

    sizes, dtype = (TOY, torch.float32) if size == "toy" else (SDXL, torch.float16)
    tokenizer = _clip_tokenizer()
    ends = {f"{end}_token_id": getattr(tokenizer, f"{end}_token_id") for end in ("bos", "eos", "pad")}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 77, **ends}
    torch.manual_seed(0)
    with torch.device(device):
        unet = diffusers.UNet2DConditionModel(**UNET, **sizes["unet"])
        kind = diffusers.AutoencoderTiny if tiny else partial(diffusers.AutoencoderKL, **VAE)
        decoder = kind(**sizes["tiny" if tiny else "vae"])
        one = hf.CLIPTextModel(hf.CLIPTextConfig(**text, **sizes["one"]))
        two = hf.CLIPTextModelWithProjection(hf.CLIPTextConfig(**text, **sizes["two"], hidden_act="gelu"))
    made = diffusers.StableDiffusionXLPipeline(
        decoder, one, two, tokenizer, tokenizer, unet,
        diffusers.EulerAncestralDiscreteScheduler(**STEPS), add_watermarker=False)  # fmt: skip
    made.set_progress_bar_config(disable=True)
    return made.to(device, dtype)


def _clip_tokenizer() -> hf.CLIPTokenizer:
    """Bytes alone, as letters within a word and at its end: prompts of any words, none of them merged."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return hf.CLIPTokenizer(vocab={word: k for k, word in enumerate(words)}, merges=[], model_max_length=77)
