"""Answers by Apple's MLX in place of torch (extra `mlx`): plain greedy inference, for `mmrc_helpers.check`.
On Linux the same runs on the CPU."""

import importlib.util
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmrc_helpers.errors import UserError, check_known, show
from mmrc_helpers.models import chat
from mmrc_helpers.store import files
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.tasks.example import Example, question

# Short names → folder in machine.models_folder, where the MLX community publishes it, and memory in GB: an
# estimate (half a byte and its scales for each weight of the language part, two bytes in the vision part, and
# 1.5 GB to compute in), not measured.
MODELS = {
    "qwen2.5-vl-3b": ("Qwen2.5-VL-3B-Instruct-4bit", "mlx-community/Qwen2.5-VL-3B-Instruct-4bit", 4.6),
    "qwen2.5-vl-7b": ("Qwen2.5-VL-7B-Instruct-4bit", "mlx-community/Qwen2.5-VL-7B-Instruct-4bit", 7.2),
    "qwen3-vl-2b": ("Qwen3-VL-2B-Instruct-4bit", "mlx-community/Qwen3-VL-2B-Instruct-4bit", 3.3),
    "qwen3-vl-4b": ("Qwen3-VL-4B-Instruct-4bit", "mlx-community/Qwen3-VL-4B-Instruct-4bit", 4.6),
    "smolvlm": ("SmolVLM-Instruct-4bit", "mlx-community/SmolVLM-Instruct-4bit", 3.4),
}
QUESTIONS = 16  # that a check asks
NEEDED = ("mlx", "mlx_vlm")


def why_absent() -> str:
    """One sentence if MLX is not installed here; else nothing."""
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    return f"{' and '.join(lacking)} not installed here; `pip install -e '.[mlx]'`" if lacking else ""


def folder_of(name: str, models_folder: str) -> Path:
    """The folder of a model: a path, or the place of a short name. Raises UserError if it is not there."""
    if Path(name).is_dir():
        return Path(name)
    check_known(name, MODELS, "--model")
    own, hub, gb = MODELS[name]
    folder = files.meant(models_folder, "machine.models_folder") / own
    if not folder.is_dir():
        raise UserError(
            f"--model {name}: {show(folder)} is not there (needs about {gb:g} GB of memory); fetch it with "
            f"`python -m mmrc_helpers.data download --models {hub}`"
        )
    return folder


def answers(
    folder: Path, examples: Sequence[Example], data: Path, max_new_tokens: int, temperature: float = 0.0
) -> Iterator[tuple[Example, str, float]]:
    """(example, what the model says, seconds) of the examples, whose pictures lie in a data folder."""
    from mlx_vlm import generate, load

    with _readable(folder) as place:
        model, processor = load(str(place))
    shards = Shards(data)
    for example in examples:
        (prompt,) = chat.render(processor.tokenizer, [question(example)], "parts", opened=True)
        shown = [shards.read(name) for name in example.pictures] or None
        began = time.monotonic()
        settings = {"max_tokens": max_new_tokens, "temperature": temperature, "verbose": False}
        text = generate(model, processor, prompt, image=shown, **settings).text
        yield example, text.strip(), time.monotonic() - began


@contextmanager
def _readable(folder: Path) -> Iterator[Path]:
    """The folder as MLX reads it. It does not know how transformers 5 writes rotary settings and names vision
    parts, so such a configuration is said in the words of version 4, beside links to the other files."""
    config = files.read_json(folder / "config.json")
    older = as_version_4(config)
    if older == config:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="mmrc-mlx-") as place:
        for path in folder.iterdir():
            if path.name != "config.json":
                (Path(place) / path.name).symlink_to(path.resolve())
        (Path(place) / "config.json").write_text(json.dumps(older), encoding="utf-8")
        yield Path(place)


def as_version_4(config: Mapping) -> dict:
    """A configuration with rope_theta and rope_scaling in place of rope_parameters, and a vision part that is
    called as the model."""
    made = dict(config)
    if "text_config" in made:
        made["text_config"] = as_version_4(made["text_config"])
    if str(made.get("vision_config", {}).get("model_type", "")).endswith("_vision"):
        made["vision_config"] = {**made["vision_config"], "model_type": made["model_type"]}
    if rope := made.pop("rope_parameters", None):
        made["rope_theta"] = rope["rope_theta"]
        made["rope_scaling"] = {name: value for name, value in rope.items() if name != "rope_theta"}
    return made
