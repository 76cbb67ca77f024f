"""How many bytes the stages of a run need on each process: arithmetic over the shapes of a model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files
from mmrc_helpers.study import activations
from mmrc_helpers.study.image_tokens import Cut
from mmrc_helpers.study.runs import Run
from mmrc_helpers.study.weights import Weights, count, layers_of, matrices
from mmrc_helpers.training import METHODS, rows_of_a_step

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
NF4 = 0.516  # bytes a weight: 4 bits, a scale of 8 bits for 64 of them, one of 32 bits for 256 scales
CONTEXT = 0.8e9  # bytes that CUDA, cuBLAS and NCCL take (from experience, not measured)
# Bytes of a process without its model on a CPU: Python, torch, and what they keep for themselves (measured).
TRAINER, ASKER = 1.15e9, 0.95e9
SLACK = 0.05  # of what comes and goes, lost between blocks on a GPU (from experience, not measured)
LIVE = 1e9  # weights that ZeRO-3 holds whole at once (DeepSpeed's stage3_max_live_parameters)
ANSWER = 8  # tokens of an answer that is compared, about
PAIRS = ("answers", "contexts")  # the kinds of rows that are two conversations
PARTS = ("weights", "adapter", "gradients", "optimizer", "reference", "activations", "passing", "kv_cache",
         "other", "host")  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """How a stage is computed. zero: none, 0, 2 or 3; quantize: none or nf4; offload: what ZeRO shards waits
    in the host's memory."""

    processes: int
    zero: str
    micro_batch: int
    checkpointing: bool
    quantize: str
    offload: bool = False


@dataclass(frozen=True)
class Asked:
    """What is planned for: a run and its weights, the longest row, the pictures of a row, the device; and
    whether rows were counted."""

    run: Run
    weights: Weights
    tokens: int
    pictures: int
    cut: Cut
    cpu: bool
    counted: bool = False


def training(asked: Asked, phase: Mapping, setting: Setting) -> dict[str, float]:
    """Bytes of the PARTS and their peak `total` for one process of a training phase."""
    if not METHODS[phase["method"]["name"]].reads:
        asked = replace(asked, tokens=0, pictures=1)
    weights, layers = asked.weights, layers_of(asked.weights)
    half, sharded = phase["precision"] != "fp32", setting.zero in ("2", "3")
    stored = 2 if setting.zero != "none" and half else _stored(asked)  # DeepSpeed converts the weights
    parts = dict.fromkeys(PARTS, 0.0)
    parts["weights"] = _weight_bytes(weights, stored, setting)
    trained, matrices_trained, each = _trained(weights, phase, stored, setting)
    parts["adapter"] = trained * each if phase["lora_r"] else 0.0
    share = setting.processes if sharded else 1
    parts["gradients"] = trained * each / share
    parts["optimizer"] = _optimizer(phase, trained, matrices_trained, each, setting, half) / share
    parts["reference"] = parts["weights"] if _has_copy(phase) else 0.0
    of = _pass(asked, phase, setting, stored)
    parts["activations"] = activations.kept(weights, layers, of)
    parts["passing"] = activations.passing(weights, layers, of)
    if "completions" in phase["method"]:
        parts["kv_cache"] = _kv_cache(asked, setting.micro_batch, phase["method"]["max_new_tokens"], stored)
    exchanged = _exchange(weights, setting, trained * each, stored)
    accumulates = rows_of_a_step(phase) > setting.processes * setting.micro_batch
    if setting.offload and not asked.cpu:  # on CPUs all of it is the host's memory anyway
        for name in ("gradients", "optimizer", *(("weights",) if setting.zero == "3" else ())):
            parts["host"] += parts[name]
            parts[name] = 0.0
    return _peak(parts, exchanged, accumulates, TRAINER if asked.cpu else 0.0)


def evaluating(asked: Asked, setting: Setting) -> dict[str, float]:
    """Bytes of the PARTS and their peak `total` for one process of an evaluation."""
    weights, layers, evaluate = asked.weights, layers_of(asked.weights), asked.run.params["evaluate"]
    stored, batch = _stored(asked), setting.micro_batch
    parts = dict.fromkeys(PARTS, 0.0)
    parts["weights"] = _weight_bytes(weights, stored, replace(setting, zero="none"))
    positions = batch * (1 + asked.pictures * ANSWER)
    logits = positions * layers.vocabulary * (stored + 8)  # and twice in float32: log-softmax
    scores = 8 * layers.heads * asked.tokens if asked.cpu else 0
    layer = (
        batch * asked.tokens * (stored * (3 * layers.inner + 4 * layers.queries + 4 * layers.width) + scores)
    )
    parts["passing"] = max(logits, layer) + stored * batch * asked.tokens**2  # and the mask of the branches
    parts["kv_cache"] = _kv_cache(asked, batch, evaluate["max_new_tokens"], stored)
    return _peak(parts, 0.0, False, ASKER if asked.cpu else 0.0)


def _pass(asked: Asked, phase: Mapping, setting: Setting, stored: int) -> activations.Pass:
    """One forward pass of a training phase; a preference reads two rows for each."""
    rows = setting.micro_batch * (2 if METHODS[phase["method"]["name"]].rows in PAIRS else 1)
    computed = 2 if phase["precision"] != "fp32" else stored
    pixels = not phase["freeze_vision"] or setting.zero == "3"  # features are not known ahead
    lora = bool(phase["lora_r"])
    return activations.Pass(
        rows=rows,
        tokens=asked.tokens,
        keys=asked.cut.keys * asked.pictures,
        patches=asked.cut.patches * asked.pictures if pixels else 0,
        hidden=stored,
        computed=computed,
        cpu=asked.cpu,
        checkpointing=setting.checkpointing,
        targets=tuple(phase["lora_targets"]) if lora else (),
        rank=phase["lora_r"],
        dropout=phase["lora_dropout"],
        sees=not phase["freeze_vision"] and not lora,
    )


def _stored(asked: Asked) -> int:
    """Bytes of a weight as it is loaded."""
    return BYTES[asked.run.params["model"]["dtype"]]


def _weight_bytes(weights: Weights, stored: int, setting: Setting) -> float:
    """Bytes of the weights of one process, the linear layers of the language part in 4 bits if so set."""
    small = sum(rows * columns for rows, columns in matrices(weights, "language").values())
    quantized = small if setting.quantize == "nf4" else 0
    whole = (count(weights) - quantized) * stored + quantized * NF4
    return whole / setting.processes if setting.zero == "3" else whole


def _trained(weights: Weights, phase: Mapping, stored: int, setting: Setting) -> tuple[int, int, int]:
    """Trained weights, those of them in hidden matrices, and the bytes of one."""
    if phase["lora_r"]:
        adapted = _adapted(weights, phase)
        each = 2 if setting.quantize == "nf4" else stored  # TRL holds adapters over 4 bits in bfloat16
        return sum(phase["lora_r"] * sum(shape) for shape in adapted), 0, each
    parts = ("language", "outside") if phase["freeze_vision"] else ()
    own = ("language",) if phase["freeze_vision"] else ("language", "vision", "projector")
    if "learns" in phase:
        parts = own = tuple({phase["learns"], "projector"})
    hidden = sum(rows * columns for rows, columns in matrices(weights, *own).values())
    return count(weights, *parts), hidden, stored


def _adapted(weights: Weights, phase: Mapping) -> list[tuple[int, ...]]:
    """The shapes of the layers that get an adapter. Raises UserError where they are not known."""
    parts = set(phase["lora_parts"])
    if parts - {"language"} and not matrices(weights, *parts - {"language"}):
        raise UserError(
            "train.lora_parts: adapters of the vision part cannot be planned before the model is downloaded"
        )
    found = matrices(weights, *parts)
    return [shape for name, shape in found.items() if name.rsplit(".", 1)[-1] in phase["lora_targets"]]


def _optimizer(phase: Mapping, trained: int, hidden: int, each: int, setting: Setting, half: bool) -> float:
    """Bytes of the optimizer's state: two moments a weight, one for a hidden matrix under Muon. DeepSpeed
    keeps them in float32, with a copy of the weights and of the gradients."""
    muon = trained if phase["lora_r"] else hidden
    moments = 2 * trained - (muon if phase["optimizer"] == "muon" else 0)
    if setting.zero == "none" or not half:
        return moments * each
    return 4 * (moments + 2 * trained)


def _has_copy(phase: Mapping) -> bool:
    """Whether a copy of the model is the reference. Behind an adapter it is the model without it; one that is
    asked ahead of training needs none either."""
    method = phase["method"]
    known = method.get("cache_reference", False) or method.get("reference_free", False)
    return bool(method.get("beta", 0)) and not phase["lora_r"] and not known


def _kv_cache(asked: Asked, rows: int, new_tokens: int, stored: int) -> float:
    """Bytes of the keys and values that generation keeps."""
    layers = layers_of(asked.weights)
    own = (layers.count - layers.crossed) * (asked.tokens + new_tokens)
    return 2 * layers.keys * stored * rows * (own + layers.crossed * asked.cut.keys * asked.pictures)


def _exchange(weights: Weights, setting: Setting, gradients: float, stored: int) -> float:
    """Bytes of buffers through which processes exchange."""
    if setting.zero in ("2", "3"):
        settings = files.read_json(files.REPOSITORY / "params" / f"zero{setting.zero}.json")
        zero = settings["zero_optimization"]
        if setting.zero == "2":  # one bucket is filled while another is sent
            return stored * (2 * float(zero["reduce_bucket_size"]) + float(zero["allgather_bucket_size"]))
        return stored * (min(LIVE, count(weights)) + float(zero["stage3_prefetch_bucket_size"]))
    return gradients if setting.processes > 1 and setting.zero == "none" else 0.0  # DDP's buckets


def _peak(parts: dict[str, float], exchanged: float, accumulates: bool, libraries: float) -> dict[str, float]:
    """The parts with `other` and `total`: gradients are whole when activations are gone, unless they are
    summed over several passes. libraries: their bytes on a CPU; 0: on a GPU."""
    moving = parts["activations"] + parts["passing"]
    most = moving + parts["gradients"] if accumulates else max(moving, parts["gradients"])
    parts["other"] = exchanged + (libraries or CONTEXT + SLACK * moving)
    lasting = parts["weights"] + parts["adapter"] + parts["optimizer"] + parts["reference"] + parts["other"]
    return parts | {"total": lasting + max(most, parts["kv_cache"] + (0 if parts["activations"] else moving))}
