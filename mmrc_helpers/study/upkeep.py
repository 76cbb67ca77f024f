"""Looks after the artifacts folder: is everything there as it was written, and what does no study use? Only
`clean` removes anything, and only after it has shown it."""

import contextlib
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from mmrc_helpers.errors import NAME, UserError, raise_all, show
from mmrc_helpers.store import crates, disk, files, folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import PARAMS_FOLDER, Study, load_study, studies_folder

KINDS = tuple(stages.VERSIONS)
OWNER = "study.json"  # in a study's folder: which study it is
STAGE = re.compile(r".+-[0-9a-f]{8}(\.part|\.gone)*")  # SLUG-KEY
RUN = re.compile(r"[a-z0-9_]+-s\d+|report\.json")


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
    try:
        _list_unused(unused(params_folder))
    except UserError as error:
        print(f"not known what no study uses: {error}")
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
    process has claimed is in use, with all that it is made from. Raises UserError if a study cannot be read:
    what it uses is not known then."""
    studies = _studies(params_folder)
    used = {folders.study_folder(study.name) for study in studies}
    used |= {folders.run_folder(run.study, run.name) for study in studies for run in study.runs}
    used |= closure(stage for study in studies for run in study.runs for stage in stages.stages_of(run))
    for folder in {_finished_name(path) for path in _stage_folders() if not _is_going(path)}:
        if folder not in used and (folders.is_claimed(folder) or files.is_committed(folder)):
            used |= _made_from(folder)
    found = [path for path in _stage_folders() if _is_going(path) or _finished_name(path) not in used]
    for folder in filter(_is_of_a_study, _folders(folders.study_folder("any").parent)):
        inside = (
            [run for run in _folders(folder) if (run / "01_data.json").exists()] if folder in used else []
        )
        found += [run for run in inside if run not in used] if folder in used else [folder]
    return found


def check_owner(folder: Path, study: str) -> None:
    """Raises UserError if the folder of a study's name holds another study, of which the file is still
    there."""
    for other in _named_in(folder) - {study}:
        there = Path(other) if Path(other).suffix else PARAMS_FOLDER / f"{other}.yaml"
        ours = Path(study) if Path(study).suffix else PARAMS_FOLDER / f"{study}.yaml"
        if _may_be_there(there) and there.resolve() != ours.resolve():
            raise UserError(
                f"{show(folder)} holds the study of {show(there)}; give {show(ours)} another name, so that "
                "neither replaces the other's report"
            )


def note_owner(folder: Path, study: str) -> None:
    """Writes down whose study's folder this is: a name in params/, or a file."""
    files.make_folder(folder)
    if _named_in(folder) != {study} or not (folder / OWNER).exists():
        files.write_json(folder / OWNER, {"study": study})


def _named_in(folder: Path) -> set[str]:
    """The study that a study's folder names, or else that its executed notebooks name."""
    own = [_content(folder / OWNER).get("study")]
    marks = [*folder.glob("*/0*_*.json"), *folder.glob("report.json")]
    named = own if own[0] else [_content(mark).get("parameters", {}).get("study") for mark in marks]
    return {name for name in named if isinstance(name, str)}


def _content(mark: Path) -> dict:
    """What a mark says; one that is damaged, or not there, marks nothing."""
    try:
        content = files.read_json(mark) if mark.is_file() else {}
    except UserError:
        return {}
    return content if isinstance(content, dict) else {}


def study_files(params_folder: Path) -> list[Path]:
    """Every study file in the two folders, and those that executed notebooks were given by path. Other files
    that lie about (copies, locks of editors) have names that no study can have."""
    brought = [studies_folder()] if crates.imported() else []
    places = brought or (PARAMS_FOLDER, params_folder)
    paths = {path for folder in places for path in Path(folder).glob("*.yaml")}
    paths = {path for path in paths if NAME.fullmatch(path.stem) and path.is_file()}
    for folder in () if brought else _folders(folders.study_folder("any").parent):
        paths |= {Path(name) for name in _named_in(folder) if Path(name).suffix and _may_be_there(Path(name))}
    return sorted({path.resolve() for path in paths})


def _studies(params_folder: Path) -> list[Study]:
    """All studies. Raises UserError, with all that is wrong, if one cannot be read."""
    found, problems = [], []
    for path in study_files(params_folder):
        try:
            found.append(load_study(path))
        except UserError as error:
            problems.append(str(error))
        except PermissionError as error:
            problems.append(f"{path} cannot be looked at ({error.strerror})")
    raise_all(problems)
    return found


def _may_be_there(path: Path) -> bool:
    """Whether there is such a file, or one that we may not look at."""
    try:
        return path.is_file()
    except PermissionError:
        return True


def closure(needed: Iterable[stages.Stage]) -> set[Path]:
    """The folders of these stages and of all that they are made from."""
    known, todo = {}, list(needed)
    while todo:
        stage = todo.pop()
        if stage.key not in known:
            known[stage.key] = stage
            todo += stage.inputs.values()
    return {stage.folder for stage in known.values()}


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
    with contextlib.suppress(KeyError):  # it lacks what every recipe has
        if folder.name.endswith(f"-{stages.key_of(recipe)}") and recipe["kind"] == folder.parent.name:
            return []
    what = "does not hold what its name says (its recipe leads to another key)"
    return [f"{show(folder)} {what}; {files.mend(folder)}"]


def _stage_folders() -> list[Path]:
    """All stage folders, finished or not. Links and folders of other names belong to somebody else."""
    found = [folder for kind in KINDS for folder in _folders(files.artifacts_root() / kind)]
    return [folder for folder in found if STAGE.fullmatch(folder.name)]


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("[!.]*") if path.is_dir() and not path.is_symlink())


def _finished_name(folder: Path) -> Path:
    return folder.with_name(folder.name.removesuffix(".gone").removesuffix(".part"))


def _is_going(folder: Path) -> bool:
    """Whether somebody was killed while removing it."""
    return folder.name.endswith(".gone")


def _is_of_a_study(folder: Path) -> bool:
    """Whether a folder is one of a study and not somebody else's who chose the same place."""
    return (folder / OWNER).exists() or any(RUN.fullmatch(inside.name) for inside in folder.iterdir())


def _list_unused(places: Iterable[Path]) -> None:
    for folder in places:
        print(f"unused: {show(folder)}, {disk.size(folder) / 1e6:.1f} MB")
