"""Parameters of a study that must fit each other: each may stand alone, but not together."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from mmrc_helpers.errors import UserError, listed
from mmrc_helpers.execution.machine import micro_batch
from mmrc_helpers.models import sizes
from mmrc_helpers.training import METHODS, rows_of_a_step
from mmrc_helpers.worlds import WORLDS

BY_LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
ADAPTER = ("lora_r", "lora_alpha", "lora_targets", "lora_parts")  # what makes the shape of an adapter


def problems(params: Mapping) -> Iterator[str]:
    """What is wrong with the parameters of a variant, as a Run holds them, that must fit each other."""
    yield from _of_worlds(params)
    yield from _of_model(params)
    yield from _of_machine(params)
    for phase in params["phases"]:
        yield from _of_phase(phase, params)
    yield from _of_neighbours(params["phases"])


def _of_worlds(params: Mapping) -> Iterator[str]:
    world = params["world"]
    yield from WORLDS[world["name"]].check(world["facts"], [phase["teach"] for phase in params["phases"]])
    yield from WORLDS[world["name"]].check_asked(world["facts"], params["evaluate"]["ask"])
    for name, further in params["also"].items():
        yield from WORLDS[name].check(further["facts"], [])


def _of_model(params: Mapping) -> Iterator[str]:
    model = params["model"]
    if model["source"] == "scratch":
        yield from sizes.problems(model["scratch"], params["world"]["facts"].get("image_size", 0))
        if model["quantize"] != "none":
            yield "model.quantize: a model made from scratch has no files to load in 4 bit; write none"
    if model["quantize"] != "none" and not all(phase["lora_r"] for phase in params["phases"]):
        yield "model.quantize: weights in 4 bit cannot be trained; give train.lora_r, such as 16, or no 4 bit"
    if model["quantize"] != "none" and params["phases"] and params["machine"]["zero"] == "3":
        yield "model.quantize: weights in 4 bit cannot be sharded by machine.zero 3; write zero: 2"


def _of_machine(params: Mapping) -> Iterator[str]:
    machine = params["machine"]
    if machine["launcher"] == "python" and machine["processes"] > 1:
        yield (
            f"machine.launcher: python starts one process, but machine.processes is {machine['processes']}; "
            "use deepspeed or torchrun"
        )
    if machine["hostfile"] and machine["processes"]:
        yield (
            f"machine.processes: {machine['processes']} says nothing beside machine.hostfile, whose slots "
            'are the processes; write processes: 0, or hostfile: ""'
        )
    if machine["launcher"] == "python" and machine["zero"] != "none":
        yield (
            f"machine.zero: {machine['zero']} shards over processes, but machine.launcher is python; "
            "use deepspeed"
        )
    if machine["fsdp"] and machine["zero"] != "none":
        yield f"machine.fsdp: takes the place of machine.zero: {machine['zero']}; write zero: none"
    if taken := sorted(set(BY_LAUNCHERS) & set(machine["environment"])):
        yield f"machine.environment: {listed(taken)} is set by the launcher; leave it out"
    if machine["fsdp"] and machine["processes"] < 2 and not machine["hostfile"]:
        yield "machine.fsdp: shards over processes; say how many in machine.processes, or write fsdp: false"
    if machine["fsdp"] and params["model"]["quantize"] != "none":
        yield "machine.fsdp: cannot shard weights in 4 bit; write fsdp: false or model.quantize: none"
    if machine["offload"] and machine["zero"] not in ("2", "3"):
        yield "machine.offload: moves what ZeRO 2 or 3 shards; write machine.zero: 2 or 3, or offload: false"
    probes, keeps = params["dynamics"]["probes"], params["dynamics"]["snapshots"]
    if probes and params["phases"] and machine["fsdp"]:
        yield "dynamics.probes: under machine.fsdp no process has a whole adapter; write machine.zero: 2"
    if probes and not keeps and params["phases"] and machine["zero"] == "3":
        yield (
            "dynamics.probes: under machine.zero 3 no process has the whole model to probe; set "
            "dynamics.snapshots: true, which probes after training, or machine.zero: 2"
        )


def _of_phase(phase: Mapping, params: Mapping) -> Iterator[str]:
    machine, dynamics = params["machine"], params["dynamics"]
    if machine["fsdp"] and phase["optimizer"] == "muon":
        yield "train.optimizer: muon's states cannot be gathered under machine.fsdp; write adamw"
    if machine["fsdp"] and not phase["lora_r"]:
        # TRL (1.16) gathers the head's weights without averaging their gradient over the processes.
        yield "train.lora_r: 0 trains every weight, which machine.fsdp gets wrong; write machine.zero: 3"
    if dynamics["probes"] and dynamics["snapshots"] and not phase["lora_r"]:
        yield (
            "dynamics.snapshots: keeps adapters, but train.lora_r 0 trains every weight; set snapshots: false"
        )
    yield from METHODS[phase["method"]["name"]].check(phase, machine)
    if phase["steps"] and phase["taught_tokens"]:
        yield "train.steps, train.taught_tokens: give one of them, and 0 for the other"
    if "learns" in phase and (phase["lora_r"] or phase["freeze_vision"]):
        yield (
            f"train.learns: {phase['learns']} trains whole weights that freeze_vision would keep; write "
            "lora_r: 0 and freeze_vision: false"
        )
    if not machine["hostfile"]:  # with one, only the launcher knows how many processes there are
        try:
            micro_batch(rows_of_a_step(phase), machine["processes"], machine["micro_batch"])
        except UserError as error:
            yield str(error)


def _of_neighbours(phases: Sequence[Mapping]) -> Iterator[str]:
    for number, (before, after) in enumerate(pairwise(phases), 2):
        if before["lora_r"] and not after["lora_r"]:
            yield (
                f"phases: phase {number} trains every weight behind an adapter of phase {number - 1}, which "
                "would be lost; give both lora_r, or 0 to both"
            )
        elif before["lora_r"] and [before[key] for key in ADAPTER] != [after[key] for key in ADAPTER]:
            yield (
                f"phases: phase {number} goes on with the adapter of phase {number - 1}, so "
                f"{', '.join(ADAPTER)} must stay as they are"
            )
