"""A model in one GGUF file, as packages ship it, becomes a folder of safetensors like any downloaded one."""

from collections.abc import Mapping
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from mmrc_helpers.models import load


def write_unpacked(file: Path, model: Mapping, to: Path) -> None:
    """Writes weights, in `model.dtype`, configuration and tokenizer of a GGUF file to `to`. Its 4-bit weights
    are spelled out as the numbers they stand for. Raises UserError if they do not make a model of ours."""
    made = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        dtype=load.DTYPES[model["dtype"]],
        quantization_config=GgufConfig(dequantize=True),
        local_files_only=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    made.save_pretrained(to)
    tokenizer.save_pretrained(to)
    load.load_processor(to, model)
    load.load_model(to, model)
