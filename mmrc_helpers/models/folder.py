"""Whether a downloaded model's folder is whole: everything that can be seen without loading it, all at once.

Needs no torch.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from mmrc_helpers.errors import listed, show
from mmrc_helpers.store import files

PUBLISHED = files.REPOSITORY / "params" / "hub" / "models.yaml"
POINTER = b"version https://git-lfs"  # how a file begins that git-lfs has not fetched
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json")
SEEING = ("qwen2_5_vl", "qwen3_vl", "smolvlm", "idefics3", "llava", "llava_next", "mllama")
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
    if other := _other_kind(name, folder):
        return [f"model.name: {show(folder)} {other}"]
    found: list[str] = []
    config, pointers = config_of(folder, found), _pointers(folder)
    if not any((folder / tokenizer).is_file() for tokenizer in TOKENIZERS):
        found.append(
            f"model.name: {show(folder)} holds no tokenizer (tokenizer.json); download the whole model"
        )
    for tokenizer in ("tokenizer.json", "tokenizer_config.json"):
        if (folder / tokenizer).is_file():
            _json(folder / tokenizer, pointers, found)
    if config and (folder / "adapter_config.json").is_file():  # which transformers loads unasked
        found.append(
            f"model.name: {show(folder)} holds an adapter beside its weights (adapter_config.json); move the "
            "adapter's files out, or merge it first"
        )
    if "vision_config" in config and not list(folder.glob("*processor_config.json")):
        found.append(f"model.name: {show(folder)} holds no processor (preprocessor_config.json); {WHOLE}")
    return found


def config_of(folder: Path, found: list[str]) -> dict:
    """config.json, looked at together with the weights, as whoever plans for them needs it; what is wrong is
    added to `found`."""
    pointers = _pointers(folder)
    if pointers:
        found.append(
            f"model.name: {show(folder)} holds pointers of git-lfs in place of {', '.join(pointers)}; fetch "
            "the files with `git lfs pull` in that folder"
        )
    config = _json(folder / "config.json", pointers, found)
    if config:
        found += [f"model.name: {show(folder)} {problem}" for problem in _unfit(config)]
    found += [f"model.name: {problem}" for problem in _weights(folder, pointers)]
    return config


def _other_kind(name: str, folder: Path) -> str:
    """What a folder without a config.json holds if it is no model, and what to write; else empty."""
    if (folder / "config.json").exists():
        return ""
    if (folder / "adapter_config.json").is_file():
        return "holds an adapter alone; write the folder of its model, or merge it into that first"
    if (folder / "model_index.json").is_file():
        return f"paints pictures; write people.sdxl.model: {name}, and here a model that answers"
    if snapshots := sorted(path.name for path in folder.glob("snapshots/*") if path.is_dir()):
        place = folder / "snapshots"
        return f"is the hub's cache; write machine.models_folder: {place} and model.name: {snapshots[-1]}"
    if inner := sorted(path.parent.name for path in folder.glob("*/config.json")):
        fix = f"write model.name: {name}/{inner[-1]}" if "/" not in name else "move its files one folder up"
        return f"holds its files in {listed(inner)} below it; {fix}"
    return ""


def _alike(one: str, other: str) -> bool:
    """Whether two names have the same letters and digits."""
    return re.sub(r"\W|_", "", one).casefold() == re.sub(r"\W|_", "", other).casefold()


def _unfit(config) -> Iterator[str]:
    """What a config.json says that cannot be used here. Weights that others quantized cannot be trained."""
    if not isinstance(config, dict) or "model_type" not in config:
        yield "has a config.json that names no model_type; take another version"
        return
    if "vision_config" in config and config["model_type"] not in SEEING:
        yield (
            f"is a {config['model_type']}, no family known here; those that see pictures are {listed(SEEING)}"
        )
    how = config.get("quantization_config") or config.get("quantization")
    if isinstance(how, dict):
        kind = how.get("quant_method") or f"{how.get('bits', 'few')} bits"
        yield (
            f"is stored in {kind}; take the version in bfloat16 or float32, and for 4 bits of it write "
            "model.quantize: nf4"
        )


def published(folder: str) -> dict:
    """What params/hub/models.yaml says of the model in a folder of this name; {} if nothing."""
    known = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")).values()
    return next((of for of in known if of.get("folder") == folder), {})


def _absent(name: str, folder: Path) -> str:
    """What to write where no model is. A hub's id, as Qwen/Qwen3-VL-8B-Instruct, is not a folder's name."""
    if folder.is_file():
        return f"model.name: {show(folder)} is a file; write the name of the folder with the whole model"
    owner, _, own = name.rpartition("/")
    if owner and (folder.parent.parent / own).is_dir():
        return f"model.name: {name} is the hub's id; the folder is there, so write model.name: {own}"
    where = folder.parent.parent / own if owner else folder
    if same := [path.name for path in where.parent.glob("*") if path.is_dir() and _alike(path.name, own)]:
        return f"model.name: no model at {folder}; its folder is there as {same[0]}, so write that"
    hub = published(own).get("hub", "")
    assembled = (
        "; one with two encoders is put together of others: "
        f"`python -m mmrc_helpers.assemble {own}`; --vision new gives a text model a new tower"
    )
    return (
        f"model.name: no model at {folder}. Download it where there is network, for example with "
        f"`hf download {name if owner else hub or f'OWNER/{name}'} --local-dir {where}`"
        + (f", then write model.name: {own}" if owner else "")
        + ", or set machine.models_folder to where it lies"
        + ("" if hub else assembled)
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
        if not shards:
            yield f"{show(index)} names no weights; download it again"
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
        weights, size = _header(path)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        yield f"{show(path)} is no file of weights ({error}); download it again"
        return
    if path.stat().st_size != size:
        yield (
            f"{show(path)} has {path.stat().st_size} bytes of {size}: it was cut off or damaged; download it "
            "again"
        )
    elif lacking := sorted(wanted - set(weights)):
        yield f"{show(path)} lacks {len(lacking)} weights of the index, first {lacking[0]}; download it again"


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every weight in a folder, by the headers of the files that are loaded: those of its index,
    if it has one, because other versions may lie beside them; nothing without files."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    elif (folder / "model.safetensors").is_file():
        names = ["model.safetensors"]
    else:
        names = sorted(path.name for path in folder.glob("*.safetensors"))
    headers = [_header(folder / name)[0] for name in names]
    return {name: tuple(of["shape"]) for header in headers for name, of in header.items()}


def _header(path: Path) -> tuple[dict, int]:
    """What a safetensors file says of its weights, by name, and how many bytes it should have."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > HEADER:
            raise ValueError("its header has no sensible length")
        content = json.loads(file.read(length))
    weights = {name: entry for name, entry in content.items() if name != "__metadata__"}
    end = max((entry["data_offsets"][1] for entry in weights.values()), default=0)
    return weights, 8 + length + end


def _pointers(folder: Path) -> list[str]:
    """The files that git-lfs has not fetched."""
    return sorted(path.name for path in folder.iterdir() if path.is_file() and _begins(path, POINTER))


def _begins(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


# --- what paints pictures ----------------------------------------------------------------------------------

PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")  # of a pipeline that have weights
TOKENIZER = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # either is whole
BESIDE = {"scheduler": (("scheduler_config.json",),), "tokenizer": TOKENIZER, "tokenizer_2": TOKENIZER}
PIPELINE, TINY = "StableDiffusionXLPipeline", "AutoencoderTiny"


def painter_problems(settings: Mapping, machine: Mapping) -> list[str]:
    """What is wrong with the folders of a diffusion model and of its small decoder, if it has one, a sentence
    each with its fix. settings: `model` and `tiny_vae`, folders in machine.models_folder."""
    found = list(_pipeline(settings["model"], machine))
    if settings["tiny_vae"]:
        decoder = where({"name": settings["tiny_vae"]}, machine)
        found += _part(decoder, TINY) if decoder.is_dir() else [_no_painter("tiny_vae", decoder, "taesdxl")]
    return [problem if problem.startswith("people.") else f"people.sdxl: {problem}" for problem in found]


def _pipeline(name: str, machine: Mapping) -> Iterator[str]:
    folder = where({"name": name}, machine)
    if not name or not folder.is_dir():
        yield _no_painter("model", folder, "sdxl_turbo")
        return
    index = content_of(folder / "model_index.json")
    if isinstance(index, str):
        yield index
        return
    if (kind := index.get("_class_name")) != PIPELINE:
        yield (
            f"{show(folder)} is a {kind}, no {PIPELINE}; take the folder of SDXL-Turbo or of another SDXL"
            if kind
            else f"{show(folder / 'model_index.json')} names no pipeline; {WHOLE}"
        )
        return
    for part in PARTS:
        of = index.get(part)  # library and class
        yield from _part(folder / part, of[-1] if isinstance(of, list) and of else None)
    for part, ways in BESIDE.items():
        if not any(all((folder / part / file).is_file() for file in way) for way in ways):
            yield f"{show(folder / part / ways[0][0])} is missing; {WHOLE}"


def _no_painter(setting: str, folder: Path, known: str) -> str:
    return (
        f"people.sdxl.{setting}: no model at {folder}; where there is network, `python -m mmrc_helpers.data "
        f"download --models {known}` fetches it, or copy it there, or point machine.models_folder to it"
    )


def content_of(path: Path) -> dict | str:
    """What a JSON file of a downloaded model says, or what is wrong with it."""
    found: list[str] = []
    content = _json(path, [], found)
    if not found and not isinstance(content, dict):
        return f"{show(path)} is damaged (no JSON object); download it again"
    return found[0].removeprefix("model.name: ") if found else content


def _part(folder: Path, kind: str | None) -> Iterator[str]:
    """What is wrong with one part of a pipeline, of a class by this name: its weights, in any precision."""
    if not folder.is_dir():
        yield f"{show(folder)} is missing; {WHOLE}"
        return
    weights = sorted(folder.glob("*.safetensors"))
    for path in weights:
        yield from _file_of_weights(path, set(), [path.name] if _begins(path, POINTER) else [])
        if _begins(path, POINTER):
            yield f"{show(path)} is a pointer of git-lfs; fetch the file with `git lfs pull` in that folder"
    if not weights and any(list(folder.glob(ending)) for ending in PICKLED):
        yield (
            f"{show(folder)} holds only pickled weights, which run code when they are loaded; take a version "
            "with *.safetensors"
        )
    elif not weights:
        yield f"{show(folder)} holds no *.safetensors weights; {WHOLE}"
    config = content_of(folder / "config.json")
    if isinstance(config, str):
        yield config
    elif kind and kind not in (config.get("_class_name"), *config.get("architectures", ())):
        yield f"{show(folder)} is of another class than {kind}; {WHOLE}"
