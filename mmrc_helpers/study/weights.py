"""The weights of a model by name and shape, without loading one: from the headers of a folder's safetensors
files, from the sizes of a new model, or, before a download, from params/hub/models.yaml."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mmrc_helpers.errors import UserError, listed, raise_all, show
from mmrc_helpers.models import folder as model_folder
from mmrc_helpers.store import folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.image_tokens import read_settings
from mmrc_helpers.study.runs import Run, find_run, load_study
from mmrc_helpers.study.yaml_files import read_yaml

VISION = ("visual", "vision_model", "vision_tower")
PROJECTOR = ("connector", "multi_modal_projector", "merger", "deepstack_merger_list")
# A limit of models.yaml → its name in `model.image_processor: {size: …}`.
LIMITS = {"least": "shortest_edge", "most": "longest_edge", "longest": "longest_edge"}
OUTSIDE = ("embed_tokens", "lm_head")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Weights:
    """shapes: of every weight, by its full name; of a model that is not here, its vision part is one number.
    heads: attention heads. settings: how its processor cuts a picture (`image_tokens`), empty without one.
    tower: width, layers and inner width of the vision tower; zeros without one."""

    family: str
    shapes: Mapping[str, Shape]
    heads: int
    settings: Mapping
    tower: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class Layers:
    """What decides how much a token leaves in the language layers: their number, the widths of the hidden
    stream, of queries, of keys, and inside the feed-forward part; those of them that attend to pictures; and
    whether queries and keys are normalized."""

    count: int
    width: int
    queries: int
    keys: int
    inner: int
    heads: int
    crossed: int
    normed: bool
    vocabulary: int


def weights_of(run: Run) -> Weights:
    """The weights of the model that a run starts from. Raises UserError if nothing says what they are."""
    model, machine = run.params["model"], run.params["machine"]
    if model["source"] == "scratch":
        return of_scratch(model["scratch"], max(picture_size(run.params["world"]["facts"]) or (0,)))
    if model["source"] == "study":
        base = stages.base_stage(run)
        if folders.is_complete(base.folder):
            return of_folder(base.folder / "model", model["image_processor"])
        return weights_of(find_run(load_study(model["study"], run.folder), "base", 0))
    folder, changes = model_folder.where(model, machine), model["image_processor"]
    if model["name"] and not folder.exists():
        return of_published(model["name"], folder, changes)
    raise_all(model_folder.problems(model, machine))  # as before a run
    return of_folder(folder, changes)


def picture_size(facts: Mapping) -> tuple[int, ...]:
    """Width and height of a world's pictures, pixels, as its facts say; empty where they do not."""
    if "picture" in facts:
        return tuple(facts["picture"])
    return (facts["image_size"],) * 2 if "image_size" in facts else ()


def of_folder(folder: Path, changes: Mapping = MappingProxyType({})) -> Weights:
    """The weights in a folder, as the headers of its files say. changes: `model.image_processor`. Raises
    UserError that lists what is wrong with its files."""
    found: list[str] = []
    config = model_folder.config_of(folder, found)
    raise_all(found)
    raise_all(f"model.name: {show(folder / 'config.json')} {problem}" for problem in _unfit(config))
    shapes = model_folder.shapes(folder)
    text = config.get("text_config") or config
    heads = text.get("num_attention_heads", 32)  # Llama's and Mistral's default, which their files leave out
    settings = read_settings(folder, config, changes)
    return Weights(config["model_type"], shapes, heads, settings, _tower(shapes))


def _unfit(config: Mapping) -> Iterator[str]:
    """What of a config.json is read here and is no section, or no number."""
    text = config.get("text_config") or config
    for name in ("text_config", "vision_config"):
        if not isinstance(config.get(name) or {}, Mapping):
            yield f"has the {name} {config[name]!r}, which is no section; download it again"
    heads = text.get("num_attention_heads", 32) if isinstance(text, Mapping) else 32
    if type(heads) is not int or heads < 1:
        yield f"has the num_attention_heads {heads!r}, which is no number of heads; download it again"


def _tower(shapes: Mapping[str, Shape]) -> tuple[int, int, int]:
    """Width, layers and inner width of a vision tower, told from the matrices that lead into the feed-forward
    parts of its layers."""
    into = [shape for name, shape in shapes.items() if len(shape) == 2 and part_of(name) == "vision"
            and name.split(".")[-2] in ("fc1", "linear_fc1", "up_proj")]  # fmt: skip
    return (into[0][1], len(into), into[0][0]) if into else (0, 0, 0)


def of_published(name: str, folder: Path, changes: Mapping = MappingProxyType({})) -> Weights:
    """The weights of a model that is not here, by its folder's name. changes: `model.image_processor`."""
    known = {of["folder"]: of for of in read_yaml(model_folder.PUBLISHED).values() if "shape" in of}
    if name not in known:
        raise UserError(
            f"model.name: no model at {folder}, and its sizes are not known; put its config.json and weights "
            f"there, or plan for one of {listed(known)}"
        )
    of = known[name]
    shapes, heads = _published_shapes(of["shape"]), of["shape"]["heads"]
    size, image = changes.get("size", {}), of["image"]
    changed = {own: size[theirs] for own, theirs in LIMITS.items() if own in image and theirs in size}
    return Weights(of["family"], shapes, heads, {**image, **changed}, tuple(of["tower"]))


def _published_shapes(of: Mapping) -> dict[str, Shape]:
    """Language part weight by weight, but its norms, and the rest as one."""
    width, shapes = of["width"], {"model.embed_tokens.weight": (of["vocabulary"], of["width"])}
    if not of.get("tied", False):
        shapes["lm_head.weight"] = (of["vocabulary"], width)
    for number in range(of["layers"]):
        crossed = number >= of["layers"] - of.get("crossed", 0)
        attention = "cross_attn" if crossed else "self_attn"
        into, out = (of["keys"], width), (width, of["queries"])
        sizes = {"q_proj": (of["queries"], width), "k_proj": into, "v_proj": into, "o_proj": out}
        shapes |= _layer(f"model.layers.{number}", attention, sizes, width, of["inner"])
    return shapes | {"model.visual.all": (of["vision"],)}


def of_scratch(sizes: Mapping, side: int) -> Weights:
    """The weights of a new model, as models/scratch.py makes it. side: of the world's pictures, pixels."""
    width, inner = sizes["hidden_size"], sizes["intermediate_size"]
    shapes: dict[str, Shape] = {
        "model.language_model.embed_tokens.weight": (sizes["vocabulary"], width),
        "lm_head.weight": (sizes["vocabulary"], width),
        "model.language_model.norm.weight": (width,),
    }
    head = width // sizes["heads"]
    square = {name: (head * sizes["heads"], width) for name in ("q_proj", "k_proj", "v_proj")}
    square["o_proj"] = (width, head * sizes["heads"])
    for number in range(sizes["layers"]):
        place = f"model.language_model.layers.{number}"
        shapes |= _layer(place, "self_attn", square, width, inner)
        shapes |= {
            f"{place}.{name}.weight": (width,) for name in ("input_layernorm", "post_attention_layernorm")
        }
        shapes |= {f"{place}.self_attn.{name}.weight": (head,) for name in ("q_norm", "k_norm")}
    if sizes["kind"] == "qwen3":
        return Weights("qwen3", shapes, sizes["heads"], {})
    patch = sizes["patch_size"]
    shapes |= _new_vision(sizes, side // patch, width)
    cut = {"unit": 2 * patch, "least": (2 * patch) ** 2, "most": 4096 * patch**2}
    return Weights("qwen3_vl", shapes, sizes["heads"], cut, _tower(shapes))


def _layer(
    place: str, attention: str, sizes: Mapping[str, Shape], width: int, inner: int
) -> dict[str, Shape]:
    """The matrices of a language layer."""
    feed = {"gate_proj": (inner, width), "up_proj": (inner, width), "down_proj": (width, inner)}
    return {f"{place}.{attention}.{name}.weight": shape for name, shape in sizes.items()} | {
        f"{place}.mlp.{name}.weight": shape for name, shape in feed.items()
    }


def _new_vision(sizes: Mapping, side: int, width: int) -> dict[str, Shape]:
    """The vision part of a new model: blocks with biases, then four patches joined to one token."""
    own, patch = sizes["vision_width"], sizes["patch_size"]
    shapes: dict[str, Shape] = {
        "model.visual.patch_embed.proj.weight": (own, 3, 2, patch, patch),
        "model.visual.patch_embed.proj.bias": (own,),
        "model.visual.pos_embed.weight": (side * side, own),
    }
    linear = {"attn.qkv": (3 * own, own), "attn.proj": (own, own), "mlp.linear_fc1": (3 * own, own),
              "mlp.linear_fc2": (own, 3 * own)}  # fmt: skip
    for number in range(sizes["vision_layers"]):
        place = f"model.visual.blocks.{number}"
        for name, shape in linear.items():
            shapes |= {f"{place}.{name}.weight": shape, f"{place}.{name}.bias": shape[:1]}
        shapes |= {
            f"{place}.{name}.{what}": (own,) for name in ("norm1", "norm2") for what in ("weight", "bias")
        }
    for name, shape in {"linear_fc1": (4 * own, 4 * own), "linear_fc2": (width, 4 * own)}.items():
        shapes |= {f"model.visual.merger.{name}.weight": shape, f"model.visual.merger.{name}.bias": shape[:1]}
    return shapes | {f"model.visual.merger.norm.{what}": (own,) for what in ("weight", "bias")}


def part_of(name: str) -> str:
    """Which part of a model a weight belongs to: language, vision, projector, or outside of the layers."""
    words = set(name.split("."))
    if words & set(PROJECTOR):
        return "projector"
    if words & set(VISION) or name.endswith("image_newline"):
        return "vision"
    return "outside" if words & set(OUTSIDE) else "language"


def count(weights: Weights, *parts: str) -> int:
    """Weights in these parts; without any, in all."""
    return sum(
        math.prod(shape) for name, shape in weights.shapes.items() if not parts or part_of(name) in parts
    )


def matrices(weights: Weights, *parts: str) -> dict[str, Shape]:
    """The matrices of linear layers in these parts, by the full name of their layer."""
    return {
        name.removesuffix(".weight"): shape
        for name, shape in weights.shapes.items()
        if len(shape) == 2 and name.endswith(".weight") and part_of(name) in parts
    }


def layers_of(weights: Weights) -> Layers:
    """The language layers. Raises UserError for a model that is built in another way."""
    linear = matrices(weights, "language")
    last = {name.rsplit(".", 1)[-1]: shape for name, shape in reversed(linear.items())}
    if lacking := [name for name in ("q_proj", "k_proj", "gate_proj") if name not in last]:
        raise UserError(
            f"the memory of a {weights.family} cannot be planned: its layers have no {listed(lacking)}; they "
            f"have {listed(sorted(last))}"
        )
    embedded = next(shape for name, shape in weights.shapes.items() if "embed_tokens" in name)
    gates = [name for name in linear if name.endswith("gate_proj")]
    return Layers(
        count=len(gates),
        width=last["q_proj"][1],
        queries=last["q_proj"][0],
        keys=last["k_proj"][0],
        inner=last["gate_proj"][0],
        heads=weights.heads,
        crossed=len([name for name in linear if name.endswith("cross_attn.q_proj")]),
        normed=weights.family.startswith("qwen3"),
        vocabulary=embedded[0],
    )
