"""Load a model, its processor and its adapter from local folders. Nothing is ever downloaded, and a weight
that is missing or left over is an error, because transformers would draw it anew without stopping."""

import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    ProcessorMixin,
)

from mmrc_helpers.errors import UserError, listed, near_miss, raise_all, show
from mmrc_helpers.models import folder as model_folder
from mmrc_helpers.models import mllama, qwen, two_encoders  # noqa: F401  (the last tells transformers its tower)
from mmrc_helpers.models.chat import image_id_of, mend_template, tokenizer_of
from mmrc_helpers.models.plain import change_image_processor
from mmrc_helpers.store import folders

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

QWEN = ("qwen2_5_vl", "qwen3_vl")

# The modules below `model` that are no language part, by `train.lora_parts`.
VISION = ("visual", "vision_model", "vision_tower")
PROJECTOR = ("connector", "multi_modal_projector")
MERGERS = ("merger", "deepstack_merger_list")  # Qwen-VL's projector lies inside its vision tower
PARTS = ("language", "vision", "projector")


def device_of(machine: Mapping) -> torch.device:
    """The device of this process, from now on also that of "cuda"; a missing GPU is a UserError."""
    wanted = machine["accelerator"]
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("machine.accelerator: cuda is asked for but no GPU is visible; set it to cpu or auto")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)  # or all processes of a host would share its first GPU
    return device


def check_precision(train: Mapping, device: torch.device) -> None:
    """UserError for a precision that the device does not have."""
    if train["precision"] == "fp16" and device.type == "cpu":
        raise UserError("train.precision: fp16 needs a GPU; write bf16 or fp32")
    if train["precision"] == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UserError("train.precision: this GPU has no bf16; write fp16 or fp32")


def downloaded(model: Mapping, machine: Mapping) -> Path:
    """The folder of a downloaded model, checked before any work. Raises one UserError that lists everything
    that is wrong with it and says what to do."""
    folder = model_folder.where(model, machine)
    raise_all(model_folder.problems(model, machine))
    processor = load_processor(folder, model)
    raise_all([*_token_problems(folder, processor), *_patch_problems(folder, processor)])
    return folder


def _token_problems(folder: Path, processor) -> Iterator[str]:
    """Where tokenizer and weights are of two versions: training would look up what is not there."""
    last = max(tokenizer_of(processor).get_vocab().values())
    rows = [shape[0] for name, shape in model_folder.shapes(folder).items() if "embed_tokens" in name]
    if rows and last >= max(rows):
        yield (
            f"model.name: {show(folder)}: its tokenizer has tokens up to {last}, but its weights only "
            f"{max(rows)} from 0 on; take both from one version of the model"
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    told = config.get("image_token_id", config.get("image_token_index"))
    if isinstance(processor, ProcessorMixin) and told not in (None, image_id_of(processor)):
        yield (
            f"model.name: {show(folder)}: config.json has image_token_id {told}, but the processor "
            f"{image_id_of(processor)}; take both from one version of the model"
        )


def _patch_problems(folder: Path, processor) -> Iterator[str]:
    """Where the processor cuts pictures into other patches than the vision part reads."""
    vision = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("vision_config") or {}
    cut = getattr(processor, "image_processor", None)
    for name, read in (("patch_size", "patch_size"), ("merge_size", "spatial_merge_size")):
        made = getattr(cut, name, getattr(processor, name, None))
        if made and read in vision and made != vision[read]:
            yield (
                f"model.name: {show(folder)}: its processor has {name} {made}, but config.json's "
                f"vision_config {read} {vision[read]}; take both from one version of the model"
            )


def check_whole(folder: Path, model: Mapping):
    """The model without any numbers. Raises UserError if a weight is missing, left over or of another
    shape."""
    return _from_files(folder, model, device_map={"": "meta"})


def load_model(
    folder: Path,
    model: Mapping,
    adapter: Path | None = None,
    trainable: bool = False,
    linear_patches: bool = True,
):
    """The model in `folder`, in `model.dtype`, with the PEFT adapter of `adapter` if given. With
    `model.quantize: nf4` its language part is held in 4 bits. linear_patches: `machine.linear_patches`.
    Raises UserError if a weight is missing or left over."""
    loaded = _from_files(folder, model, **_quantized(model))
    kind = loaded.config.model_type
    if kind in QWEN and linear_patches:
        qwen.read_patches_quickly(loaded.model.visual.patch_embed.proj)
    if kind == "mllama":
        mllama.mend(loaded)
    # Of the last tokens of several rows, PyTorch would copy a frozen head in bfloat16 on CPUs for every row.
    loaded.get_output_embeddings().register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))
    for module in loaded.modules():
        if type(module).__name__ == "Linear4bit":
            # Packed for CPUs with AVX-512 at a first look without gradients, it gives wrong ones after it.
            module.support_avx512bf16_for_cpu = False
    if adapter is not None:
        from peft import PeftModel

        loaded = PeftModel.from_pretrained(loaded, adapter, is_trainable=trainable)
    return loaded


def _from_files(folder: Path, model: Mapping, **more):
    """The model as transformers makes it of the files, after a look at what found its place."""
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    loader = AutoModelForImageTextToText if "vision_config" in kind else AutoModelForCausalLM
    loaded, found = loader.from_pretrained(
        folder,
        dtype=DTYPES[model["dtype"]],
        trust_remote_code=model["trust_remote_code"],
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in `found`, and an error of ours
        fusion_config={},  # theirs draws Qwen2.5-VL's patch embeddings anew, silently; ours is in load_model
        **more,
    )
    _check_loaded(folder, found)
    return loaded


def _quantized(model: Mapping) -> dict:
    """Arguments that load the language part in 4 bits (NF4, its scales in 8 bits: arXiv 2305.14314)."""
    if model.get("quantize", "none") == "none":
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            "model.quantize: nf4 needs bitsandbytes; install it (pip install -e '.[qlora]') or write none"
        )
    from transformers import BitsAndBytesConfig

    # Names are matched from their start; a list of one's own also replaces the default, the head.
    spared = [f"model.{name}" for name in (*VISION, *PROJECTOR)] + ["lm_head"]
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=DTYPES[model["dtype"]],
        llm_int8_skip_modules=spared,
    )
    device = torch.cuda.current_device() if torch.cuda.is_available() else "cpu"
    return {"quantization_config": config, "device_map": {"": device}}


def _check_loaded(folder: Path, found: Mapping) -> None:
    """Raises UserError for weights that did not find their place."""
    problems = []
    named = {"lacks": found["missing_keys"], "has, with no place for them,": found["unexpected_keys"]}
    named["has another shape in"] = {name for name, *_ in found["mismatched_keys"]}
    for says, names in named.items():
        if names := sorted(names):
            problems.append(f"{says} {listed(names[:3])}{f' and {len(names) - 3} more' if names[3:] else ''}")
    if problems := problems + list(found["error_msgs"]):
        raise UserError(
            f"model.name: {show(folder)} does not fit its class: it {'; it '.join(problems)}. Download it "
            "again, or take another version of it"
        )


def load_adapter(model, folder: Path) -> None:
    """Replaces the weights of the model's adapter by those in `folder`; both were made alike."""
    from peft import load_peft_weights, set_peft_model_state_dict

    set_peft_model_state_dict(model, load_peft_weights(str(folder), device="cpu"))


def load_processor(folder: Path, model: Mapping):
    """The processor in `folder` (for a text-only model its tokenizer), with a checked chat template and a
    token to pad with. Raises UserError for a family that is not known here."""
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    loader = AutoProcessor if "vision_config" in kind else AutoTokenizer
    try:
        processor = loader.from_pretrained(
            folder, trust_remote_code=model["trust_remote_code"], local_files_only=True
        )
    except ImportError as error:
        raise UserError(
            f"model.name: {show(folder)} needs a package that is not installed: {error}"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"model.name: the processor in {show(folder)} cannot be loaded ({error}); download it again"
        ) from error
    tokenizer = tokenizer_of(processor)
    if tokenizer.pad_token is None:  # what is padded is never attended to, so any token serves
        if tokenizer.eos_token is None:
            raise UserError(
                f"model.name: the tokenizer in {show(folder)} has neither pad_token nor eos_token; name them "
                "in tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    if isinstance(processor, ProcessorMixin):
        change_image_processor(processor, model.get("image_processor", {}))
    mend_template(processor)
    return processor


def add_lora(model, train: Mapping):
    """The model with a fresh LoRA adapter on the layers of `train.lora_parts` whose last name is in
    `train.lora_targets`. Raises UserError when a target or a part has none."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=train["lora_r"],
        lora_alpha=train["lora_alpha"],
        lora_dropout=train["lora_dropout"],
        target_modules=lora_layers(model, train),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config, autocast_adapter_dtype=False)


def lora_layers(model, train: Mapping) -> list[str]:
    """The full names of the linear layers that get an adapter. Suffixes alone would also name layers of the
    vision part, which never learn while it is frozen."""
    targets, parts = list(train["lora_targets"]), list(train.get("lora_parts", ("language",)))
    if frozen := {"vision", "projector"} & set(parts) if train["freeze_vision"] else set():
        raise UserError(
            f"train.lora_parts: {listed(sorted(frozen))} is frozen by train.freeze_vision; set that to false "
            "or write lora_parts: [language]"
        )
    layers: dict[str, dict[str, list[str]]] = {part: {} for part in PARTS}  # part → last name → full names
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and (part := part_of(name)):
            layers[part].setdefault(name.rsplit(".", 1)[-1], []).append(name)
    there = sorted({last for part in parts for last in layers[part]})
    for target in targets:
        if target not in there:
            others = [part for part in PARTS if target in layers[part]]
            raise UserError(
                f"train.lora_targets: no linear layer of the {' or '.join(parts)} part is called {target}; "
                + (
                    f"the {others[0]} part has it (train.lora_parts)"
                    if others
                    else f"there are {listed(there)}"
                )
                + near_miss(target, there)
            )
    for part in parts:
        if not set(targets) & set(layers[part]):
            raise UserError(
                f"train.lora_targets: none names a linear layer of the {part} part, which train.lora_parts "
                f"asks for; it has {listed(sorted(layers[part])) or 'no linear layers'}"
            )
    chosen = {name for part in parts for target in targets for name in layers[part].get(target, ())}
    return [name for name, _ in model.named_modules() if name in chosen]


def train_only(model, part: str) -> None:
    """Freezes all weights but those of a part; to the vision part belongs its projector. Raises UserError for
    a model without it."""
    own = {name for name, _ in model.named_parameters() if part_of(name) in (part, "projector")}
    if not own:
        raise UserError(f"train.learns: this model has no {part}; write everything")
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in own)


def part_of(name: str) -> str:
    """Which of PARTS a layer belongs to by its full name; nothing for the head."""
    words = name.split(".")
    if words[0] == "lm_head":
        return ""
    if set(words) & {*PROJECTOR, *MERGERS}:
        return "projector"
    return "vision" if set(words) & set(VISION) else "language"


def starting_point(folder: Path, recipe: Mapping) -> tuple[Path, Path | None]:
    """Where the full weights and the adapter lie that a stage starts from; no adapter if it starts from
    weights alone."""
    trained = folders.input_folder(folder, "model", missing_ok=True)
    weights = trained / "model" if trained else downloaded(recipe["params"]["model"], recipe["machine"])
    start = folders.input_folder(folder, "start", missing_ok=True)
    return weights, start / "adapter" if start else None


def base_model(model):
    """The transformers model behind a PEFT wrapper, if there is one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def vision_part(model) -> torch.nn.Module:
    """The vision tower with its projector and what else makes pictures into features; empty for a model that
    reads only text."""
    core = base_model(model).model
    part = torch.nn.Module()
    for name, child in core.named_children():
        if name in (*VISION, *PROJECTOR):
            part.add_module(name, child)
    for name, weight in core.named_parameters(recurse=False):  # LLaVA-Next's `image_newline`
        part.register_parameter(name, weight)
    return part


def choose_attention(model, device: torch.device) -> None:
    """Plain attention on CPUs, where PyTorch's fused kernel is slower on short rows (measured: 1.6 x a
    training step)."""
    base_model(model).set_attn_implementation("eager" if device.type == "cpu" else "sdpa")
