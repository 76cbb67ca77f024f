"""What is looked at before a study computes anything: downloaded models, the hosts that compute, and what a
later phase needs installed."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmrc_helpers.errors import UserError, raise_all, show
from mmrc_helpers.execution import launch
from mmrc_helpers.execution.machine import count_ranks, for_stage, host_problems, micro_batch
from mmrc_helpers.models import folder as model_folder
from mmrc_helpers.store import files, folders
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Run, own_sections
from mmrc_helpers.training import not_installed, rows_of_a_step

SHOWN = ("scenes", "vsr", "cv_bench")  # worlds that have no question without a picture


def check(runs: Iterable[Run]) -> None:
    """Looks at every downloaded model from which something has yet to be made: its files, those of what
    paints pictures too, and whether it sees what the data show; then its tokenizer, processor, chat template
    and layers, which a process of its own loads; at the hosts of a hostfile; and for what phases need. Raises
    one UserError that lists all that is wrong."""
    unfinished = [run for run in runs if _is_unfinished(run)]
    models = _models(unfinished)
    raise_all(dict.fromkeys([
        *(problem for asked, _ in models for problem in model_folder.problems(**asked)),
        *_sight_problems(unfinished),
        *_host_problems(unfinished),
        *_phase_problems(unfinished),
        *_painter_problems(unfinished),
    ]))  # fmt: skip
    raise_all(problem for asked, phases in models for problem in _loading_problems(asked, phases))


def _is_unfinished(run: Run) -> bool:
    return not all(folders.is_complete(stage.folder) for stage in stages.stages_of(run))


def _models(runs: Sequence[Run]) -> list[tuple[Mapping, list[Mapping]]]:
    """The sections that name each downloaded model, and the phases that train it."""
    models: dict[Path, tuple[Mapping, list[Mapping]]] = {}
    for run in runs:
        if run.params["model"]["source"] == "folder":
            asked = {"model": plain(run.params["model"]), "machine": plain(run.params["machine"])}
            _, phases = models.setdefault(model_folder.where(**asked), (asked, []))
            phases += [phase for phase in plain(run.params["phases"]) if phase not in phases]
    return list(models.values())


def _sight_problems(runs: Sequence[Run]) -> list[str]:
    """Downloaded models that read only text, in variants that are known ahead to show pictures."""
    return [
        f"model.name: {run.params['model']['name']} reads only text, and {run.variant} shows the pictures of "
        f"{world}; choose a model that sees{fix}"
        for run in runs
        if _reads_only_text(run)
        for world, fix in _shown_pictures(run).items()
    ]


def _reads_only_text(run: Run) -> bool:
    model, machine = run.params["model"], run.params["machine"]
    if model["source"] != "folder" or model_folder.problems(model, machine):
        return False
    return "vision_config" not in model_folder.config_of(model_folder.where(model, machine), [])


def _shown_pictures(run: Run) -> dict[str, str]:
    """The worlds of a run whose pictures are shown for certain, each with what shows none: of a user's own
    files it is not known before they are read."""
    found, phases, world = {}, run.params["phases"], run.params["world"]
    asked = {world["name"]: (world["facts"], run.params["evaluate"]["ask"])}
    asked |= {name: (of["facts"], own_sections(run, name)["ask"]) for name, of in run.params["also"].items()}
    for name, (facts, ask) in asked.items():
        own = name == world["name"]
        in_words = own and phases and all(phase["teach"].get("text_twin") for phase in phases)
        if name in SHOWN or (name == "people" and not in_words):
            twin = name == "people" and own and phases
            found[name] = ", or write train: {teach: {text_twin: true}}" if twin else ""
        elif {"image", "image_via_text"} & set(ask.get("views", ())) & set(facts.get("views", ())):
            found[name] = ", or write evaluate: {ask: {views: [text]}}" if own else ""
    return found


def _host_problems(runs: Sequence[Run]) -> list[str]:
    """What stands against computing on other hosts: they themselves, and batches that do not divide."""
    wrong: dict[str, list[str]] = {}  # with each hostfile
    batches = []
    for run in runs:
        machine = run.params["machine"]
        place = machine["hostfile"]
        if not place or machine["cluster"] != "none":
            continue
        if place not in wrong:
            wrong[place] = host_problems(machine)
        for phase in () if wrong[place] else run.params["phases"]:
            try:
                rows, ranks = rows_of_a_step(phase), count_ranks(machine)
                micro_batch(rows, ranks, machine["micro_batch"], over="hostfile")
            except UserError as error:
                batches.append(str(error))
    return [*(problem for problems in wrong.values() for problem in problems), *batches]


def _phase_problems(runs: Sequence[Run]) -> list[str]:
    """What is not installed where phases need it: not to be found out after the phases before them."""
    here = [run.params for run in runs if run.params["machine"]["cluster"] != "slurm"]
    here = [params for params in here if not params["machine"]["hostfile"]]
    return [problem for params in here for phase in params["phases"] for problem in not_installed(phase)]


def _painter_problems(runs: Sequence[Run]) -> list[str]:
    """What is wrong with the diffusion models that have yet to paint."""
    return [
        problem
        for run in runs
        for settings in stages.to_paint(run).values()
        for problem in model_folder.painter_problems(settings, run.params["machine"])
    ]


def _loading_problems(asked: Mapping, phases: Sequence[Mapping]) -> list[str]:
    """What a process says that loads all of a model but its weights, in a folder that goes."""
    machine = for_stage("data", asked["machine"])  # one plain process
    if machine["cluster"] == "slurm":  # whose GPUs are the job's; nothing is loaded onto one here
        machine["accelerator"] = "cpu"
    with tempfile.TemporaryDirectory(prefix="mmrc-look-") as place:
        recipe = {"params": {"model": asked["model"], "phases": phases}, "machine": machine}
        files.write_json(Path(place) / "recipe.json", recipe)
        try:
            launch.run_module("mmrc_helpers.programs.look", Path(place), machine, _say_nothing)
        except UserError as error:
            return [str(error)]
        except launch.StageFailed as error:  # loaders say in many ways that they cannot read something
            reason = str(error).rstrip().rpartition("\n")[2]
            where = show(model_folder.where(**asked))
            return [f"model.name: {where} cannot be loaded ({reason}); download it again"]
    return []


def _say_nothing(*_, **__) -> None:
    """In place of `print`."""
