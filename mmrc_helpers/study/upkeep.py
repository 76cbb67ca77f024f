"""Looks after the artifacts folder: is everything there as it was written, and what does no study use? Only
`clean` removes anything, and only after it has shown it."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import PARAMS_FOLDER, Study, load_study

KINDS = tuple(stages.VERSIONS)


def check(params_folder: Path = PARAMS_FOLDER) -> int:
    """Prints what is wrong with any finished stage, what is unfinished and what no study uses. Returns the
    exit status: 1 if something is damaged."""
    found = [folder for folder in _stage_folders() if folders.is_complete(folder)]
    problems = [problem for folder in found for problem in (folders.damage(folder) or _wrong_recipe(folder))]
    for problem in problems:
        print(f"damaged: {problem}")
    for folder in _stage_folders():
        if not folders.is_complete(folder):
            print(f"unfinished: {show(folder)}")
    _list_unused(unused(params_folder))
    print(f"{len(found)} finished stages, {len(problems)} problems")
    return 1 if problems else 0


def clean(params_folder: Path = PARAMS_FOLDER, sure: bool = False) -> int:
    """Shows what no study uses and removes it, after asking on a terminal or if `sure`. Leaves what a living
    process has claimed. Returns the exit status; raises UserError if there is nobody to ask."""
    found = unused(params_folder)
    _list_unused(found)
    if not found:
        print("nothing to remove: a study uses every folder")
        return 0
    if not sure and not sys.stdin.isatty():
        raise UserError("nobody to ask whether to remove this; --clean --yes removes it")
    if not sure and input("remove this? [y/N] ").strip().lower() not in ("y", "yes"):
        return 0
    for folder in {_finished_name(folder) for folder in found if not _is_going(folder)}:
        try:
            folders.forget(folder, wait=False)
        except BlockingIOError:
            print(f"left: {show(folder)}, which a process is making")
    for folder in filter(_is_going, found):
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def unused(params_folder: Path = PARAMS_FOLDER) -> list[Path]:
    """Folders of stages, finished or not, of studies and of runs that belong to no study: neither one of
    params/ or `params_folder`, nor one whose file an executed notebook names. What git tracks or a living
    process has claimed is in use, with all that it is made from."""
    studies = _studies(params_folder)
    used = {folders.study_folder(study.name) for study in studies}
    used |= {folders.run_folder(run.study, run.name) for study in studies for run in study.runs}
    for study in studies:
        for run in study.runs:
            used |= _closure(stages.stages_of(run))
    for folder in {_finished_name(path) for path in _stage_folders() if not _is_going(path)}:
        if folder not in used and (folders.is_claimed(folder) or _is_tracked(folder)):
            used |= _made_from(folder)
    found = [path for path in _stage_folders() if _is_going(path) or _finished_name(path) not in used]
    for folder in _folders(folders.study_folder("any").parent):
        inside = (
            [run for run in _folders(folder) if (run / "01_data.json").exists()] if folder in used else []
        )
        found += [run for run in inside if run not in used] if folder in used else [folder]
    return found


def _studies(params_folder: Path) -> list[Study]:
    """Every study file in the two folders, and those that executed notebooks were given by path."""
    paths = {path for folder in (PARAMS_FOLDER, params_folder) for path in Path(folder).glob("*.yaml")}
    for mark in folders.study_folder("any").parent.glob("*/*/01_data.json"):
        given = Path(files.read_json(mark)["parameters"]["study"])
        paths |= {given} if given.suffix and given.is_file() else set()
    return [load_study(path) for path in sorted({path.resolve() for path in paths})]


def _closure(needed: Iterable[stages.Stage]) -> set[Path]:
    """The folders of these stages and of all that they are made from."""
    found: set[Path] = set()
    for stage in needed:
        found |= {stage.folder} | _closure(stage.inputs.values())
    return found


def _made_from(folder: Path) -> set[Path]:
    """The folder and, as its recipe says, all that it is made from."""
    found = {folder}
    for place in (folder, folders.part_of(folder)):
        for name in folders.read_recipe(place).get("inputs", {}).values():
            found |= _made_from(files.artifacts_root() / name)
    return found


def _wrong_recipe(folder: Path) -> list[str]:
    """What is wrong if the recipe does not lead to the folder's name."""
    recipe = folders.read_recipe(folder)
    if folder.name.endswith(f"-{stages.key_of(recipe)}") and recipe["kind"] == folder.parent.name:
        return []
    return [f"{show(folder)} does not hold what its name says (its recipe leads to another key); rm -r it"]


def _stage_folders() -> list[Path]:
    """All stage folders, finished or not; links belong to somebody else."""
    return [folder for kind in KINDS for folder in _folders(files.artifacts_root() / kind)]


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("[!.]*") if path.is_dir() and not path.is_symlink())


def _finished_name(folder: Path) -> Path:
    return folder.with_name(folder.name.removesuffix(".gone").removesuffix(".part"))


def _is_going(folder: Path) -> bool:
    """Whether somebody was killed while removing it."""
    return folder.name.endswith(".gone")


def _is_tracked(folder: Path) -> bool:
    """Whether git tracks files in the folder, as it does for the embedded model."""
    command = ["git", "-C", str(files.REPOSITORY), "ls-files", "--", str(folder)]
    try:
        return bool(subprocess.run(command, capture_output=True, text=True).stdout)
    except FileNotFoundError:
        return False


def _list_unused(places: Iterable[Path]) -> None:
    for folder in places:
        print(f"unused: {show(folder)}, {disk.size(folder) / 1e6:.1f} MB")
