"""Parameters of methods that do not fit each other, found when a study is read; no torch here."""

import importlib.util
from collections.abc import Iterator, Mapping

from mmrc_helpers.errors import listed
from mmrc_helpers.execution.machine import shards_weights

# f-divergences are defined where only the difference of two rewards counts (arXiv 2309.16240).
DIFFERENCES = {"sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft"}
SMOOTHED = {"sigmoid", "exo_pair", "robust", "aot", "aot_unpaired"}
SORTED = {"aot", "aot_unpaired"}  # they compare the pairs of a pass with each other


def align(train: Mapping, machine: Mapping) -> Iterator[str]:
    """Problems of a phase that aligns pictures with words."""
    if "learns" not in train:
        yield "align: moves the vision part alone; write train.learns: vision (or projector)"


def preference(train: Mapping, machine: Mapping) -> Iterator[str]:
    """Problems of a phase by DPO or ADPO."""
    method = train["method"]
    name, losses = method["name"], {loss for loss, weight in method["losses"].items() if weight}
    losses = losses or {"sigmoid"}
    if train["lora_dropout"]:
        yield (
            f"train.lora_dropout: {name} compares a model with its reference, and TRL does so without "
            "dropout; set it to 0.0"
        )
    if method["f_divergence"] != "reverse_kl" and (wrong := losses - DIFFERENCES):
        yield (
            f"{name}.f_divergence: {method['f_divergence']} is not defined for {listed(sorted(wrong))}; "
            f"write reverse_kl, or losses among {listed(sorted(DIFFERENCES))}"
        )
    if method["label_smoothing"] and not losses & SMOOTHED:
        yield f"{name}.label_smoothing: only {listed(sorted(SMOOTHED))} know it; set it to 0.0"
    if "exo_pair" in losses and not method["label_smoothing"]:
        yield f"{name}.label_smoothing: the loss exo_pair divides by it; write 0.001, as its paper does"
    if method["wpo"] and losses & SORTED:
        yield f"{name}.wpo: {listed(sorted(losses & SORTED))} sort their pairs, so that none keeps its weight"
    if losses & SORTED and (machine["processes"] > 1 or machine["micro_batch"] < train["batch"]):
        yield (
            f"{name}.losses: {listed(sorted(losses & SORTED))} compare all pairs of a batch, so it must be "
            f"one pass of one process: machine.processes: 1 and machine.micro_batch: {train['batch']}"
        )
    keeps_copy = not (train["lora_r"] or method["cache_reference"] or method["reference_free"])
    if method["sync_steps"] and not keeps_copy:
        yield (
            f"{name}.sync_steps: moves a frozen copy of all weights: it needs train.lora_r: 0, "
            "cache_reference: false and reference_free: false"
        )
    if (sharded := shards_weights(machine)) and keeps_copy:
        yield (
            f"{name}.cache_reference: under {sharded} no process holds a frozen copy of all weights; "
            "set it to true"
        )


def grpo(train: Mapping, machine: Mapping) -> Iterator[str]:
    """Problems of a phase by GRPO."""
    method = train["method"]
    for name, weight in method["weights"].items():
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            yield f"grpo.weights.{name}: expected a number such as 1.0; got {weight!r}"
    if method["weights"] and not any(method["weights"].values()):
        yield "grpo.weights: all are 0, so no answer earns more than another; give one, such as exact: 1.0"
    if method["kl_limit"] and not method["beta"]:
        yield "grpo.kl_limit: without beta no reference is kept to measure from; give beta, such as 0.001"
    if (sharded := shards_weights(machine)) and method["beta"] and not train["lora_r"]:
        yield (
            f"grpo.beta: under {sharded} no process holds a frozen copy of all weights; set it to 0.0, "
            "or train an adapter"
        )
    if train["lora_dropout"]:
        yield "train.lora_dropout: grpo writes and learns answers by one model; set it to 0.0"


def not_installed(method: Mapping) -> list[str]:
    """What a method needs that is not installed here."""
    if method.get("vllm") and importlib.util.find_spec("vllm") is None:
        return ["grpo.vllm: vllm is not installed here; install it, or set grpo.vllm: false"]
    return []
