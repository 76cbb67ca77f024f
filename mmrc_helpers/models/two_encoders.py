"""A vision-language model with two encoders, made of transformers' own parts: LLaVA, whose vision tower is
CLIP beside ConvNeXt. Their maps are brought to one grid and joined channel by channel; LLaVA's two-layer GELU
projector and a Llama follow. (Prior work: EAGLE-X2, arXiv 2408.15998.)

Letters: B pictures, S pixels on a side, G cells on a side of the grid, C channels.
"""

from pathlib import Path

import torch
from torch.nn.functional import interpolate
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    ConvNextConfig,
    ConvNextModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaImageProcessor,
    LlavaProcessor,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mmrc_helpers.errors import UserError, show

STRIDE = 32  # pixels of a cell of ConvNeXt's last map, and of a token
IMAGE = "<|reserved_special_token_0|>"  # stands for a token of a picture; Llama 3 leaves it free

# Llama 3's turns with pictures where they stand; a line break follows each.
CHAT = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' -}}
{%- for part in message.content -%}
{{- 'IMAGE\\n' if part.type == 'image' else part.text -}}
{%- endfor -%}
{{- '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}"""


class TwoEncodersConfig(PreTrainedConfig):
    """The tower's configuration: those of both encoders, and how many cells the joined grid has on a side."""

    model_type = "two_encoders"
    sub_configs = {"clip_config": CLIPVisionConfig, "convnext_config": ConvNextConfig}

    clip_config: dict | PreTrainedConfig | None = None
    convnext_config: dict | PreTrainedConfig | None = None
    cells: int = 32

    def __post_init__(self, **kwargs):
        for name, kind in self.sub_configs.items():
            own = getattr(self, name)
            if not isinstance(own, PreTrainedConfig):
                setattr(self, name, kind(**(own or {})))
        self.hidden_size = self.clip_config.hidden_size + self.convnext_config.hidden_sizes[-1]
        super().__post_init__(**kwargs)


class ConvNext(ConvNextModel):
    """ConvNeXt attends to nothing, so whatever kind of attention the whole model is given suits it."""

    def __init__(self, config: ConvNextConfig):
        super().__init__(config)  # in which its parts are asked as well, by their classes
        self._supports_sdpa = self._supports_flash_attn = self._supports_attention_backend = True


class TwoEncoders(PreTrainedModel):
    """CLIP and ConvNeXt over the same picture, joined; as a vision tower of LLaVA."""

    config_class = TwoEncodersConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(self, config: TwoEncodersConfig):
        super().__init__(config)
        self.clip = CLIPVisionModel(config.clip_config)
        self.convnext = ConvNext(config.convnext_config)
        self.post_init()

    def _init_weights(self, module) -> None:
        """The encoders draw their own."""

    def forward(self, pixel_values: torch.Tensor, **_) -> BaseModelOutputWithPooling:
        """pixel_values (B, 3, S, S), normalized for CLIP, which sees them at its own size; ConvNeXt sees them
        as they are, normalized for it. Last state (B, G·G, C of both), row by row; no class token of CLIP."""
        side = self.config.clip_config.image_size
        shrunk_BCSS = interpolate(pixel_values, (side, side), mode="bilinear", antialias=True)
        states_BTC = self.clip(pixel_values=shrunk_BCSS).last_hidden_state[:, 1:]
        own = side // self.config.clip_config.patch_size
        clip_BCGG = states_BTC.mT.unflatten(2, (own, own))
        convnext_BCGG = self.convnext(pixel_values=of_imagenet(pixel_values)).last_hidden_state
        joined_BCGG = torch.cat([self._on_grid(clip_BCGG), self._on_grid(convnext_BCGG)], 1)
        joined_BTC = joined_BCGG.flatten(2).mT
        return BaseModelOutputWithPooling(last_hidden_state=joined_BTC, hidden_states=(joined_BTC,))

    def _on_grid(self, map_BCGG: torch.Tensor) -> torch.Tensor:
        cells = (self.config.cells,) * 2
        if map_BCGG.shape[-2:] == cells:
            return map_BCGG
        return interpolate(map_BCGG, cells, mode="bilinear", align_corners=False)


def of_imagenet(pixel_values: torch.Tensor) -> torch.Tensor:
    """Pixels (B, 3, S, S), normalized by CLIP's mean and deviation of each colour, as by ImageNet's."""
    colours = (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    mean, std, own_mean, own_std = (pixel_values.new_tensor(of)[:, None, None] for of in colours)
    return (pixel_values * std + mean - own_mean) / own_std


AutoConfig.register(TwoEncodersConfig.model_type, TwoEncodersConfig)
AutoModel.register(TwoEncodersConfig, TwoEncoders)


def processor_for(tokenizer, cells: int, image: str = IMAGE) -> LlavaProcessor:
    """The processor: pictures padded to a square with their mean colour and brought to 32 pixels a cell; the
    chat template of Llama 3 with pictures in it. Raises UserError for a tokenizer without the token `image`.
    """
    if image not in tokenizer.get_vocab():
        raise UserError(f"the language part's tokenizer has no token {image}, which stands for pictures")
    side = {"height": STRIDE * cells, "width": STRIDE * cells}
    images = LlavaImageProcessor(size=side, crop_size=side, do_pad=True, do_center_crop=False)
    return LlavaProcessor(
        images,
        tokenizer,
        patch_size=STRIDE,
        vision_feature_select_strategy="full",
        image_token=image,
        chat_template=CHAT.replace("IMAGE", image),
    )


def config_of(tower: TwoEncodersConfig, language: PreTrainedConfig, image_id: int) -> LlavaConfig:
    """LLaVA's configuration around a tower and a language part."""
    return LlavaConfig(
        vision_config=tower,
        text_config=language,
        image_token_index=image_id,
        image_seq_length=tower.cells**2,
        vision_feature_select_strategy="full",  # the class token is gone already
        vision_feature_layer=-1,
        tie_word_embeddings=language.tie_word_embeddings,
    )


def write_assembled(language: Path, clip: Path, convnext: Path, to: Path, cells: int, seed: int = 0) -> None:
    """Writes a model of three downloaded ones to `to`, its projector drawn anew, in the dtype of the language
    part. Raises UserError for a part that is of another kind."""
    parts = {"clip": (CLIPVisionModel, clip), "convnext": (ConvNext, convnext)}
    tokenizer = AutoTokenizer.from_pretrained(language, local_files_only=True)
    processor = processor_for(tokenizer, cells)
    own = {"dtype": "auto", "local_files_only": True, "use_safetensors": True}
    text = AutoModelForCausalLM.from_pretrained(language, **own)
    towers = {name: _part(name, kind, folder, text.dtype) for name, (kind, folder) in parts.items()}
    tower = TwoEncodersConfig(**{f"{name}_config": of.config for name, of in towers.items()}, cells=cells)
    torch.manual_seed(seed)
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config_of(tower, text.config, processor.image_token_id))
    seeing = model.model
    seeing.multi_modal_projector = type(seeing.multi_modal_projector)(model.config).to(text.dtype)
    seeing.vision_tower.clip, seeing.vision_tower.convnext = towers["clip"], towers["convnext"]
    seeing.language_model, model.lm_head = text.model, text.lm_head
    model.generation_config = text.generation_config
    model.save_pretrained(to)
    processor.save_pretrained(to)


def _part(name: str, kind: type, folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """An encoder from its folder; of a whole CLIP only what sees."""
    found = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    wanted = {"clip": ("clip", "clip_vision_model"), "convnext": ("convnext",)}[name]
    if found not in wanted:
        raise UserError(f"--{name}: {show(folder)} is a model of the kind {found}, not {' or '.join(wanted)}")
    loaded, report = kind.from_pretrained(
        folder, dtype=dtype, local_files_only=True, output_loading_info=True
    )
    if report["missing_keys"]:
        raise UserError(f"--{name}: {show(folder)} lacks weights of its encoder; download it again")
    return loaded
