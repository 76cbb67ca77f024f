"""The spine: which stage is made from what, under which key, in which folder, by which module.

A stage that is complete never needs its inputs, so a model can be shipped without the data it was trained on.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mmrc_helpers.execution import launch
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.store.keys import content_key, plain
from mmrc_helpers.study import budget
from mmrc_helpers.study.runs import Run, find_run, load_study

# Raised by hand when the meaning of a stage's output changes.
VERSIONS = {"data": 1, "train": 1, "eval": 1, "dynamics": 1}
# A parameter that was added later enters keys only at another value than the one that leaves older stages as
# they were.
ADDED_LATER: dict[str, dict] = {"train": {"even_cells": False}, "data": {}, "evaluate": {}}
PROGRAMS = {"data": "generate", "train": "train", "eval": "evaluate", "dynamics": "trace"}


@dataclass(frozen=True)
class Stage:
    """One step: everything its output depends on. `params` holds only the sections that the step reads."""

    kind: str
    slug: str
    seed: int
    params: Mapping
    inputs: Mapping[str, "Stage"] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        inputs = {name: stage.key for name, stage in self.inputs.items()}
        return _key(self.kind, VERSIONS[self.kind], self.seed, self.params, inputs)

    @property
    def folder(self) -> Path:
        return folders.folder_of(self.kind, self.slug, self.key)

    def recipe(self, machine: Mapping) -> dict:
        """What recipe.json holds; `machine` says how to compute and is in no key."""
        root = files.artifacts_root()
        return {
            "kind": self.kind,
            "version": VERSIONS[self.kind],
            "key": self.key,
            "seed": self.seed,
            "params": plain(self.params),
            "inputs": {name: str(stage.folder.relative_to(root)) for name, stage in self.inputs.items()},
            "machine": plain(machine),
        }


def data_stage(run: Run) -> Stage:
    """The world's pictures, facts and questions."""
    return Stage("data", run.params["data"]["world"], run.seed, {"data": run.params["data"]})


def base_stage(run: Run) -> Stage | None:
    """The trained model of the study named by `model.study`; None for another source."""
    model = run.params["model"]
    if model["source"] != "study":
        return None
    return train_stages(find_run(load_study(model["study"]), "base", 0))[-1]


def train_stages(run: Run) -> tuple[Stage, ...]:
    """One stage per phase, each starting where the one before ended; equal prefixes of phases are one
    stage."""
    weights, adapter, stages = base_stage(run), None, []
    for number, phase in enumerate(run.params["phases"], 1):
        inputs = {"data": data_stage(run), "model": weights, "start": adapter}
        params = {"model": _model_params(run), "train": phase, **_probing(run, number)}
        present = {name: stage for name, stage in inputs.items() if stage is not None}
        stage = Stage("train", phase["method"], run.seed, params, present)
        weights, adapter = (weights, stage) if phase["lora_r"] else (stage, None)
        stages.append(stage)
    return tuple(stages)


def eval_stage(run: Run) -> Stage:
    """The answers of the trained (or, without phases, the untrained) model to the test questions."""
    trained = train_stages(run)
    full = [stage for stage, phase in zip(trained, run.params["phases"], strict=True) if not phase["lora_r"]]
    inputs = {
        "data": data_stage(run),
        "model": full[-1] if full else base_stage(run),
        "start": trained[-1] if trained and trained[-1] not in full else None,
    }
    twin = any(phase["text_twin"] for phase in run.params["phases"])
    two_way = max((phase["two_way"] for phase in run.params["phases"]), default=0.0)
    params = {
        "model": _model_params(run),
        "evaluate": run.params["evaluate"],
        "text_twin": twin,
        "two_way": two_way,
    }
    present = {name: stage for name, stage in inputs.items() if stage is not None}
    return Stage("eval", "answers", run.seed, params, present)


def trace_stages(run: Run) -> tuple[Stage, ...]:
    """The stages whose folders hold `dynamics/`, in training order: the training itself, or with
    `dynamics.snapshots` one stage for each phase, made from the adapters it kept; none without probes."""
    trained, dynamics = train_stages(run), run.params["dynamics"]
    if not dynamics["probes"]:
        return ()
    if not dynamics["snapshots"]:
        return trained
    params = {"model": _model_params(run), "dynamics": {k: dynamics[k] for k in ("examples", "gradients")}}
    return tuple(
        Stage("dynamics", "traces", run.seed, {**params, "train": stage.params["train"]},
              {name: of for name, of in stage.inputs.items() if name != "start"} | {"train": stage})
        for stage in trained
    )  # fmt: skip


def traces_folders(run: Run) -> list[Path]:
    """The finished folders with traces of a run, in training order; see `traces.read_run`."""
    return [stage.folder for stage in trace_stages(run) if folders.is_complete(stage.folder)]


def _probing(run: Run, phase: int) -> dict:
    """The dynamics section of a training phase: nothing without probes, and only what decides the snapshots
    when the probing itself is a stage of its own."""
    dynamics = run.params["dynamics"]
    if not dynamics["probes"]:
        return {}
    left_out = ("examples", "gradients") if dynamics["snapshots"] else ()
    return {"dynamics": {**{k: v for k, v in dynamics.items() if k not in left_out}, "phase": phase}}


def stages_of(run: Run) -> list[Stage]:
    """Every stage of a run, in the order they are made from each other."""
    traced = [stage for stage in trace_stages(run) if stage.kind == "dynamics"]
    return [data_stage(run), *train_stages(run), *traced, eval_stage(run)]


def keys(run: Run) -> dict[str, str]:
    """The key of every stage of a run, by name; the keys of unchanged stages stay when a parameter
    changes."""
    trained = {f"train-{number}": stage.key for number, stage in enumerate(train_stages(run), 1)}
    traced = {
        f"traces-{number}": stage.key
        for number, stage in enumerate(trace_stages(run), 1)
        if stage.kind == "dynamics"
    }
    return {"data": data_stage(run).key, **trained, **traced, "eval": eval_stage(run).key}


def make(stage: Stage, machine: Mapping, echo: Callable[..., None] = print) -> Path:
    """The stage's finished folder; makes it, and before it whatever it needs, when it is not there.

    machine: the `machine` section. Raises UserError for bad input, damaged inputs and a disk that is too
    small or full, and launch.StageFailed when the module fails; what was done by then stays in the .part
    folder and is continued next time.
    """
    if folders.is_complete(stage.folder):
        return stage.folder
    for needed in stage.inputs.values():
        make(needed, machine, echo)
    with folders.claim(stage.folder, echo):
        if folders.is_complete(stage.folder):
            return stage.folder
        inputs = {name: folders.check(needed.folder) for name, needed in stage.inputs.items()}
        machine = _machine_for(stage.kind, machine)
        needed = budget.estimate(stage.kind, stage.params, inputs, machine)
        disk.require(stage.folder, needed - disk.size(folders.part_of(stage.folder)))
        with disk.naming_a_full_disk(stage.folder):
            part = folders.begin(stage.folder, stage.recipe(machine))
            echo(f"making {stage.kind}/{stage.folder.name}")
            facts = launch.run_module(f"mmrc_helpers.programs.{PROGRAMS[stage.kind]}", part, machine, echo)
            return folders.finish(part, facts)


def key_of(recipe: Mapping) -> str:
    """The key that follows from what recipe.json says; another than the folder's means that one is wrong."""
    inputs = {name: path.rpartition("-")[2] for name, path in recipe["inputs"].items()}
    return _key(recipe["kind"], recipe["version"], recipe["seed"], recipe["params"], inputs)


def _key(kind: str, version: int, seed: int, params: Mapping, inputs: Mapping[str, str]) -> str:
    keyed = {name: _keyed(name, section) for name, section in params.items()}
    named = [f"{name}={key}" for name, key in sorted(inputs.items())]
    return content_key(kind, version, {"seed": seed, **keyed}, named)


def _keyed(name: str, section):
    """The part of a section that enters keys."""
    later = ADDED_LATER.get(name, {})
    return {k: v for k, v in section.items() if k not in later or later[k] != v} if later else section


def _model_params(run: Run) -> dict:
    """The part of the model section that its source reads, so that the rest never changes a key."""
    model = run.params["model"]
    read = {"study": (), "folder": ("name",), "scratch": ("scratch",)}[model["source"]]
    return {name: model[name] for name in ("source", "dtype", "trust_remote_code", *read)}


def _machine_for(kind: str, machine: Mapping) -> dict:
    """The machine section a module gets: one plain process for data, the ZeRO settings for training, and on
    CPUs one process per core for evaluation and traces, which do not depend on their number."""
    if kind == "data":
        return {**machine, "launcher": "python", "processes": 1, "hostfile": "", "deepspeed": {}}
    if kind in ("eval", "dynamics") and _has_no_gpu(machine) and machine["launcher"] != "python":
        machine = {**machine, "processes": max(machine["processes"], os.cpu_count() or 1)}
    zero = machine["zero"] if kind == "train" else "none"
    settings = {} if zero == "none" else files.read_json(files.REPOSITORY / "params" / f"zero{zero}.json")
    return {**machine, "deepspeed": settings}


def _has_no_gpu(machine: Mapping) -> bool:
    return machine["accelerator"] == "cpu" or not Path("/dev/nvidiactl").exists()
