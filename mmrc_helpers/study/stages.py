"""The spine: which stage is made from what, under which key, in which folder, by which program.

A stage that is complete never needs its inputs, so a model can be shipped without the data it was trained on.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.execution import launch
from mmrc_helpers.execution.machine import for_stage
from mmrc_helpers.models import folder as model_folder
from mmrc_helpers.store import crates, disk, folders
from mmrc_helpers.store.keys import content_key, plain
from mmrc_helpers.study import budget, yaml_files
from mmrc_helpers.study.runs import Run, find_run, load_study, own_sections
from mmrc_helpers.worlds import WORLDS

# Raised by hand when the meaning of what a program makes changes; worlds and methods have their own.
VERSIONS = {"data": 2, "train": 2, "eval": 2, "dynamics": 2}
PROGRAMS = {"data": "generate", "train": "train", "eval": "evaluate", "dynamics": "trace"}


@dataclass(frozen=True)
class Stage:
    """One step: everything its output depends on. `params` holds only the sections that the step reads."""

    kind: str
    slug: str
    seed: int
    params: Mapping
    inputs: Mapping[str, "Stage"] = field(default_factory=dict)
    announcement: str = field(default="", compare=False)  # said before it is made

    @cached_property
    def key(self) -> str:
        inputs = {name: stage.key for name, stage in self.inputs.items()}
        return _key(self.kind, VERSIONS[self.kind], self.seed, self.params, inputs)

    @property
    def folder(self) -> Path:
        return folders.folder_of(self.kind, self.slug, self.key)

    @property
    def relative(self) -> str:
        """The folder below the artifacts, as recipes and marks name it: KIND/SLUG-KEY."""
        return folders.name_of(self.folder)

    def recipe(self, machine: Mapping) -> dict:
        """What recipe.json holds; `machine` says how to compute and is in no key."""
        return {
            "kind": self.kind,
            "version": VERSIONS[self.kind],
            "key": self.key,
            "seed": self.seed,
            "params": plain(self.params),
            "inputs": {name: stage.relative for name, stage in self.inputs.items()},
            "machine": plain(machine),
        }


def data_stage(run: Run, world: str = "") -> Stage:
    """The pictures, facts and questions of the run's world, or of one that is asked as well."""
    section = run.params["also"][world] if world in run.params["also"] else run.params["world"]
    sums = _sums_of(section)
    params = {"world": section, **({"files": sums} if sums else {})}
    return Stage("data", section["name"], run.seed, params)


def sums_of_files(runs: Iterable[Run]) -> dict[str, str]:
    """SHA-256 of every file of the user's that data of these runs are made from, by path."""
    sections = [section for run in runs for section in (run.params["world"], *run.params["also"].values())]
    return {path: found for section in sections for path, found in _sums_of(section).items()}


def _sums_of(section: Mapping) -> dict[str, str]:
    return {str(path): _sum(path, _state(path)) for path in _files_of(section)}


def _files_of(section: Mapping) -> list[Path]:
    """The user's files that a world reads. Raises UserError for one that is not there."""
    found = [Path(path) for path in WORLDS[section["name"]].files(section["facts"])]
    for path in found:
        if not path.is_file():
            raise UserError(f"{section['name']}: {show(path)} does not exist")
    return found


def _state(path: Path) -> tuple[int, int]:
    """What differs when a file does; two `os.stat_result` are equal within a second."""
    return path.stat().st_mtime_ns, path.stat().st_size


@lru_cache(maxsize=1 << 16)  # a user's pictures, each asked for with every stage of every run
def _sum(path: Path, state: tuple[int, int]) -> str:
    """SHA-256 of a file in this state."""
    return disk.checksum(path)


def base_stage(run: Run) -> Stage | None:
    """The trained model of the study named by `model.study`, found beside the run's own; None for another
    source."""
    model = run.params["model"]
    if model["source"] != "study":
        return None
    return yaml_files.made_once(("base", model["study"], run.folder), lambda: _last_stage(run))


def _last_stage(run: Run) -> Stage:
    """The last stage of the study that trains the run's base model."""
    study = load_study(run.params["model"]["study"], run.folder)
    cost = f"the base model {study.name} has to be trained first: {study.cost or 'its file states no cost'}"
    return replace(train_stages(find_run(study, "base", 0))[-1], announcement=cost)


def train_stages(run: Run) -> tuple[Stage, ...]:
    """One stage per phase, each starting where the one before ended; equal prefixes of phases are one
    stage."""
    weights, adapter, stages = base_stage(run), None, []
    for number, phase in enumerate(run.params["phases"], 1):
        inputs = {"data": data_stage(run), "model": weights, "start": adapter}
        params = {"model": _model_params(run), "train": phase, **_probing(run, number)}
        stage = Stage("train", phase["method"]["name"], run.seed, params, _present(inputs))
        weights, adapter = (weights, stage) if phase["lora_r"] else (stage, None)
        stages.append(stage)
    return tuple(stages)


def eval_stage(run: Run, phase: int | None = None, world: str = "") -> Stage:
    """The answers to the test questions after a phase: the last one, or 1, 2, …; 0 is the untrained model.
    world: one of `evaluate.also` in place of the run's own."""
    trained = train_stages(run) if phase is None else train_stages(run)[:phase]
    phases = run.params["phases"][: len(trained)]
    full = [stage for stage, phase in zip(trained, phases, strict=True) if not phase["lora_r"]]
    inputs = {
        "data": data_stage(run, world),
        "model": full[-1] if full else base_stage(run),
        "start": trained[-1] if trained and trained[-1] not in full else None,
    }
    evaluate, further = run.params["evaluate"], world in run.params["also"]
    own = own_sections(run, world) if further else {"ask": evaluate["ask"], "teach": _taught(run, phases)}
    params = {
        "model": _model_params(run),
        "evaluate": {name: evaluate[name] for name in ("batch", "orders", "max_new_tokens")},
        "ask": own["ask"],
        "teach": own["teach"],
    }
    return Stage("eval", "answers", run.seed, params, _present(inputs))


def eval_stages(run: Run) -> list[tuple[int, str, Stage]]:
    """(phase, world, stage) of every evaluation of a run: after each phase or the last one, of its own world
    and of those in `evaluate.also`."""
    last = len(run.params["phases"])
    after = range(1, last + 1) if run.params["evaluate"]["after"] == "phases" and last else (last,)
    worlds = (run.params["world"]["name"], *run.params["also"])
    return [(phase, world, eval_stage(run, phase, world)) for phase in after for world in worlds]


def _taught(run: Run, phases: tuple) -> Mapping:
    """What was taught by then; without phases the world's own defaults."""
    return phases[-1]["teach"] if phases else run.params["untaught"]


def _present(inputs: Mapping[str, Stage | None]) -> dict[str, Stage]:
    return {name: stage for name, stage in inputs.items() if stage is not None}


def trace_stages(run: Run) -> tuple[Stage, ...]:
    """The stages whose folders hold `dynamics/`, in training order: the training itself, or with
    `dynamics.snapshots` one stage for each phase, made from the adapters it kept; none without probes."""
    trained, dynamics = train_stages(run), run.params["dynamics"]
    if not dynamics["probes"]:
        return ()
    if not dynamics["snapshots"]:
        return trained
    params = {"model": _model_params(run), "ask": run.params["evaluate"]["ask"]}
    params["dynamics"] = {name: dynamics[name] for name in ("examples", "gradients")}
    return tuple(
        Stage("dynamics", "traces", run.seed, {**params, "train": stage.params["train"]},
              {name: of for name, of in stage.inputs.items() if name != "start"} | {"train": stage})
        for stage in trained
    )  # fmt: skip


def traces_folders(run: Run) -> list[Path]:
    """The finished folders with traces of a run, in training order; see `traces.read_run`."""
    return [stage.folder for stage in trace_stages(run) if folders.is_complete(stage.folder)]


def _probing(run: Run, phase: int) -> dict:
    """What a training phase reads of dynamics: nothing without probes, and only what decides the snapshots
    when the probing itself is a stage of its own."""
    dynamics = run.params["dynamics"]
    if not dynamics["probes"]:
        return {}
    if dynamics["snapshots"]:
        kept = {name: value for name, value in dynamics.items() if name not in ("examples", "gradients")}
        return {"dynamics": {**kept, "phase": phase}}
    return {"dynamics": {**dynamics, "phase": phase}, "ask": run.params["evaluate"]["ask"]}


def stages_of(run: Run) -> list[Stage]:
    """Every stage of a run, in the order they are made from each other."""
    traced = [stage for stage in trace_stages(run) if stage.kind == "dynamics"]
    data = [data_stage(run), *(data_stage(run, world) for world in run.params["also"])]
    return [*data, *train_stages(run), *traced, *(stage for _, _, stage in eval_stages(run))]


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
    crates.refuse_if_imported(f"{stage.relative} is not made here")
    if _is_brought(stage, echo):
        return stage.folder
    for needed in stage.inputs.values():
        make(needed, machine, echo)
    with disk.writing_into(stage.folder), folders.claim(stage.folder, echo):
        if folders.is_complete(stage.folder):
            return stage.folder
        inputs = {name: folders.check(needed.folder) for name, needed in stage.inputs.items()}
        work = "paint" if _painting(stage) else stage.kind
        machine = for_stage(work, machine, _weights(stage, inputs, machine))
        needed = budget.estimate(stage.kind, stage.params, inputs, machine)
        disk.require(stage.folder, needed - disk.size(folders.part_of(stage.folder)))
        part = folders.begin(stage.folder, stage.recipe(machine))
        echo(f"making {stage.kind}/{stage.folder.name}")
        facts = launch.run_module(f"mmrc_helpers.programs.{PROGRAMS[stage.kind]}", part, machine, echo)
        return folders.finish(part, facts)


def _painting(stage: Stage) -> Mapping:
    """The settings of the diffusion model that paints a stage's pictures; none for any other stage."""
    world = stage.params["world"] if stage.kind == "data" else {}
    return WORLDS[world["name"]].painting(world["facts"]) if world else {}


def to_paint(run: Run) -> dict[str, Mapping]:
    """The data of a run that a diffusion model has yet to paint: folder → its settings."""
    wanted = {
        stage.relative: _painting(stage) for stage in stages_of(run) if not folders.is_complete(stage.folder)
    }
    return {folder: settings for folder, settings in wanted.items() if settings}


def _is_brought(stage: Stage, echo: Callable[..., None]) -> bool:
    """Whether a base model, looked for in the repository, is there now; if it has to be made, says so
    first."""
    if not stage.announcement:
        return False
    with disk.writing_into(stage.folder), folders.claim(stage.folder, echo):
        if folders.bring(stage.folder):
            return True
    echo(stage.announcement)
    return False


def _weights(stage: Stage, inputs: Mapping[str, Path], machine: Mapping) -> int:
    """Bytes of the model that a stage loads."""
    model = stage.params.get("model", {})
    own = [model_folder.where(model, machine)] if model.get("source") == "folder" else []
    return sum(disk.size(folder) for folder in (*own, *(folder / "model" for folder in inputs.values())))


def key_of(recipe: Mapping) -> str:
    """The key that follows from what recipe.json says; another than the folder's means that one is wrong."""
    inputs = {name: path.rpartition("-")[2] for name, path in recipe["inputs"].items()}
    return _key(recipe["kind"], recipe["version"], recipe["seed"], recipe["params"], inputs)


def _key(kind: str, version: int, seed: int, params: Mapping, inputs: Mapping[str, str]) -> str:
    named = [f"{name}={key}" for name, key in sorted(inputs.items())]
    return content_key(kind, version, {"seed": seed, **params}, named)


def _model_params(run: Run) -> dict:
    """The part of the model section that its source reads, so that the rest never changes a key."""
    model = run.params["model"]
    read = {"study": (), "folder": ("name",), "scratch": ("scratch",)}[model["source"]]
    seen = [name for name in ("max_image_size", "image_processor") if model[name]]  # unset, in no key
    return {name: model[name] for name in ("source", "dtype", "quantize", "trust_remote_code", *read, *seen)}
