"""Whether a downloaded model's folder is whole: everything that can be seen without loading it, all at once.

Needs no torch.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmrc_helpers.errors import show
from mmrc_helpers.store import files

POINTER = b"version https://git-lfs"  # how a file begins that git-lfs has not fetched
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json")
WHOLE = "download the whole model"
HEADER = 100 << 20  # bytes; what a longer header says is not believed


def where(model: Mapping, machine: Mapping) -> Path:
    """The folder in which a model should lie. Raises UserError if machine.models_folder names no place."""
    return files.meant(machine["models_folder"], "machine.models_folder") / model["name"]


def problems(model: Mapping, machine: Mapping) -> list[str]:
    """What is wrong with a downloaded model, a sentence each with its fix; empty if it can be loaded."""
    name, folder = model["name"], where(model, machine)
    if not name:
        return ["model.name: is empty; write the name of a folder in machine.models_folder"]
    if not folder.is_dir():
        return [_absent(name, folder)]
    pointers = sorted(path.name for path in folder.iterdir() if path.is_file() and _begins(path, POINTER))
    found = []
    if pointers:
        found.append(
            f"model.name: {show(folder)} holds pointers of git-lfs in place of {', '.join(pointers)}; fetch "
            "the files with `git lfs pull` in that folder"
        )
    config = _json(folder / "config.json", pointers, found)
    if config and "model_type" not in config:
        found.append(f"model.name: {show(folder / 'config.json')} names no model_type; take another version")
    found += [f"model.name: {problem}" for problem in _weights(folder, pointers)]
    if not any((folder / tokenizer).is_file() for tokenizer in TOKENIZERS):
        found.append(
            f"model.name: {show(folder)} holds no tokenizer (tokenizer.json); download the whole model"
        )
    for tokenizer in ("tokenizer.json", "tokenizer_config.json"):
        if (folder / tokenizer).is_file():
            _json(folder / tokenizer, pointers, found)
    if "vision_config" in config and not list(folder.glob("*processor_config.json")):
        found.append(f"model.name: {show(folder)} holds no processor (preprocessor_config.json); {WHOLE}")
    return found


def _absent(name: str, folder: Path) -> str:
    """What to write where no model is. A hub's id, as Qwen/Qwen3-VL-8B-Instruct, is not a folder's name."""
    owner, _, own = name.rpartition("/")
    if owner and (folder.parent.parent / own).is_dir():
        return f"model.name: {name} is the hub's id; the folder is there, so write model.name: {own}"
    where = folder.parent.parent / own if owner else folder
    hub = name if owner else f"OWNER/{name}"
    return (
        f"model.name: no model at {folder}. Download it where there is network, for example with "
        f"`hf download {hub} --local-dir {where}`"
        + (f", then write model.name: {own}" if owner else "")
        + ", or set machine.models_folder to where it lies; one with two encoders is put together of others: "
        f"`python -m mmrc_helpers.assemble {own}`"
    )


def _json(path: Path, pointers: list[str], found: list[str]) -> dict:
    """The content of a JSON file; what is wrong with it is added to `found`."""
    if path.name in pointers:
        return {}
    if not path.is_file():
        found.append(f"model.name: {show(path)} is missing; {WHOLE}")
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        found.append(f"model.name: {show(path)} is damaged ({error}); download it again")
    return {}


def _weights(folder: Path, pointers: list[str]) -> Iterator[str]:
    """What is wrong with the weights."""
    index = folder / "model.safetensors.index.json"
    if index.name in pointers:
        return
    if index.is_file():
        try:
            placed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            shards = sorted(set(placed.values()), key=str)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            yield f"{show(index)} is damaged ({error}); download it again"
            return
        for shard in shards:
            if not isinstance(shard, str) or Path(shard).name != shard:
                yield f"{show(index)} names {shard}, which is no file of the folder; download it again"
                continue
            wanted = {weight for weight, place in placed.items() if place == shard}
            yield from _file_of_weights(folder / shard, wanted, pointers)
    elif (folder / "model.safetensors").is_file():
        yield from _file_of_weights(folder / "model.safetensors", set(), pointers)
    elif parts := sorted(path.name for path in folder.glob("model-*.safetensors")):
        yield f"{show(folder)} holds {parts[0]} … but no {index.name}; {WHOLE}"
    elif any(list(folder.glob(kind)) for kind in PICKLED):
        yield (
            f"{show(folder)} holds only pickled weights, which run code when they are loaded; take a version "
            "of the model with *.safetensors"
        )
    else:
        yield f"{show(folder)} holds no *.safetensors weights; other formats are refused"


def _file_of_weights(path: Path, wanted: set[str], pointers: list[str]) -> Iterator[str]:
    """What is wrong with a file of weights: its header against its size, and against the index."""
    if path.name in pointers:
        return
    if not path.is_file():
        yield f"{show(path)} is missing; download it again"
        return
    try:
        names, size = _header(path)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        yield f"{show(path)} is no file of weights ({error}); download it again"
        return
    if path.stat().st_size != size:
        yield (
            f"{show(path)} has {path.stat().st_size} bytes of {size}: it was cut off or damaged; download it "
            "again"
        )
    elif lacking := sorted(wanted - names):
        yield f"{show(path)} lacks {len(lacking)} weights of the index, first {lacking[0]}; download it again"


def _header(path: Path) -> tuple[set[str], int]:
    """The names of the weights in a safetensors file, and how many bytes it should have."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > HEADER:
            raise ValueError("its header has no sensible length")
        content = json.loads(file.read(length))
    weights = {name: entry for name, entry in content.items() if name != "__metadata__"}
    end = max((entry["data_offsets"][1] for entry in weights.values()), default=0)
    return set(weights), 8 + length + end


def _begins(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


# --- what paints pictures ----------------------------------------------------------------------------------

PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")  # of a pipeline that have weights
BESIDE = ("scheduler", "tokenizer", "tokenizer_2")
PIPELINE = "StableDiffusionXLPipeline"


def painter_problems(settings: Mapping, machine: Mapping) -> list[str]:
    """What is wrong with the folders of a diffusion model and of its small decoder, if it has one, a sentence
    each with its fix. settings: `model` and `tiny_vae`, folders in machine.models_folder."""
    folder, found = where({"name": settings["model"]}, machine), []
    if not folder.is_dir():
        found.append(_no_painter("people.sdxl.model", folder, "sdxl_turbo"))
    else:
        index = _json(folder / "model_index.json", [], found)
        if index and index.get("_class_name") != PIPELINE:
            found.append(f"model.name: {show(folder)} is a {index.get('_class_name')}, no {PIPELINE}")
        found += [f"model.name: {problem}" for part in PARTS for problem in _part(folder / part)]
        lacking = [folder / part for part in BESIDE if not (folder / part).is_dir()]
        found += [f"model.name: {show(part)} is missing; {WHOLE}" for part in lacking]
    if settings["tiny_vae"]:
        decoder = where({"name": settings["tiny_vae"]}, machine)
        if not decoder.is_dir():
            found.append(_no_painter("people.sdxl.tiny_vae", decoder, "taesdxl"))
        else:
            found += [f"model.name: {problem}" for problem in _part(decoder)]
    return [problem.replace("model.name: ", "people.sdxl: ") for problem in found]


def _no_painter(name: str, folder: Path, known: str) -> str:
    return (
        f"{name}: no model at {folder}; where there is network, `python -m mmrc_helpers.data download "
        f"--models {known}` fetches it, or copy it there, or set machine.models_folder to where it lies"
    )


def _part(folder: Path) -> Iterator[str]:
    """What is wrong with one part of a pipeline: its weights, in any precision."""
    if not folder.is_dir():
        yield f"{show(folder)} is missing; {WHOLE}"
        return
    weights = sorted(folder.glob("*.safetensors"))
    for path in weights:
        yield from _file_of_weights(path, set(), [path.name] if _begins(path, POINTER) else [])
        if _begins(path, POINTER):
            yield f"{show(path)} is a pointer of git-lfs; fetch the file with `git lfs pull` in that folder"
    if not weights and any(list(folder.glob(kind)) for kind in PICKLED):
        yield (
            f"{show(folder)} holds only pickled weights, which run code when they are loaded; take a version "
            "with *.safetensors"
        )
    elif not weights:
        yield f"{show(folder)} holds no *.safetensors weights; {WHOLE}"
    if not (folder / "config.json").is_file():
        yield f"{show(folder / 'config.json')} is missing; {WHOLE}"
