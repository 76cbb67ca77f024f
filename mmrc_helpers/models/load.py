"""Load a vision-language model, its processor and its adapter from local folders. Nothing is ever
downloaded."""

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.integrations import is_deepspeed_zero3_enabled

from mmrc_helpers.errors import UserError
from mmrc_helpers.store import folders

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def device_of(machine: Mapping) -> torch.device:
    """The device of this process; a missing GPU is a UserError."""
    wanted = machine["accelerator"]
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("machine.accelerator: cuda is asked for but no GPU is visible; set it to cpu or auto")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def downloaded(model: Mapping, machine: Mapping) -> Path:
    """The folder of a downloaded model, checked. Raises UserError that says what to download and where to put
    it."""
    folder = Path(machine["models_folder"]) / model["name"]
    if not (folder / "config.json").is_file():
        raise UserError(
            f"model.name: no model at {folder}. Download it where there is network, for example with "
            f"`hf download Qwen/{model['name']} --local-dir {folder}`, "
            "or set machine.models_folder to where it lies"
        )
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"model.name: {folder} holds no *.safetensors weights; other weight formats are refused"
        )
    if not list(folder.glob("*processor_config.json")):
        raise UserError(
            f"model.name: {folder} holds no processor (preprocessor_config.json); download the whole model"
        )
    return folder


def check_precision(train: Mapping, device: torch.device) -> None:
    """UserError for a precision that the device does not have."""
    if train["precision"] == "fp16" and device.type == "cpu":
        raise UserError("train.precision: fp16 needs a GPU; write bf16 or fp32")


def load_model(folder: Path, model: Mapping, adapter: Path | None = None, trainable: bool = False):
    """The model in `folder`, in `model.dtype`, with the PEFT adapter of `adapter` if given."""
    loaded = AutoModelForImageTextToText.from_pretrained(
        folder,
        dtype=DTYPES[model["dtype"]],
        trust_remote_code=model["trust_remote_code"],
        use_safetensors=True,
        local_files_only=True,
        # A linear layer in place of a slow, equal 3-D convolution; ZeRO-3 cannot load it in shards.
        fusion_config=None if is_deepspeed_zero3_enabled() else {"patch_embeddings": True},
    )
    if adapter is not None:
        from peft import PeftModel

        loaded = PeftModel.from_pretrained(loaded, adapter, is_trainable=trainable)
    return loaded


def load_adapter(model, folder: Path) -> None:
    """Replaces the weights of the model's adapter by those in `folder`; both were made alike."""
    from peft import load_peft_weights, set_peft_model_state_dict

    set_peft_model_state_dict(model, load_peft_weights(str(folder), device="cpu"))


def load_processor(folder: Path, model: Mapping):
    """The processor in `folder`, with a chat template that marks the assistant's tokens."""
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    processor = AutoProcessor.from_pretrained(
        folder, trust_remote_code=model["trust_remote_code"], local_files_only=True
    )
    if not has_generation_markers(processor.chat_template):
        processor.chat_template = get_training_chat_template(processor)
    processor.tokenizer.chat_template = processor.chat_template
    return processor


def add_lora(model, train: Mapping):
    """The model with a fresh LoRA adapter; UserError when no layer has a wanted name."""
    from peft import LoraConfig, get_peft_model

    names = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    if missing := set(train["lora_targets"]) - names:
        raise UserError(
            f"train.lora_targets: no linear layer called {sorted(missing)}; there are {sorted(names)}"
        )
    config = LoraConfig(
        r=train["lora_r"],
        lora_alpha=train["lora_alpha"],
        lora_dropout=train["lora_dropout"],
        target_modules=list(train["lora_targets"]),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config, autocast_adapter_dtype=False)


def starting_point(folder: Path, recipe: Mapping) -> tuple[Path, Path | None]:
    """Where the full weights and the adapter lie that a stage starts from; no adapter if it starts from
    weights alone."""
    trained = folders.input_folder(folder, "model", missing_ok=True)
    weights = trained / "model" if trained else downloaded(recipe["params"]["model"], recipe["machine"])
    start = folders.input_folder(folder, "start", missing_ok=True)
    return weights, start / "adapter" if start else None


def base_model(model):
    """The transformers model behind a PEFT wrapper, if there is one."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def vision_part(model):
    """The vision tower with its projector."""
    return base_model(model).model.visual


def choose_attention(model, device: torch.device) -> None:
    """Plain attention on CPUs, where PyTorch's fused kernel is slower on short rows (measured: 1.6 x a
    training step)."""
    base_model(model).set_attn_implementation("eager" if device.type == "cpu" else "sdpa")
