"""A finished study in one file for another machine, and such a file opened here: in artifacts of its own,
which are only read."""

import json
from collections.abc import Iterator
from pathlib import Path

from mmrc_helpers.errors import UserError, listed, raise_all, show
from mmrc_helpers.store import crates, files, folders
from mmrc_helpers.study import stages, upkeep
from mmrc_helpers.study.runs import Study, load_study, sources
from mmrc_helpers.worlds import WORLDS

WEIGHTS = ("model", "adapter", "checkpoints")  # folders of a stage, left out unless they are asked for
REPORT = ("report.html", "verdict.json")


def export(study: Study, path: Path, weights: bool) -> int:
    """Packs the study's file with all that it extends, its stages and its pages. Returns the exit status.
    Raises UserError if the study is not finished, is damaged, or depends on files of the user's own."""
    crates.refuse_if_imported("it is not exported again: hand on the file that it came in")
    if path.suffix != ".zip":
        raise UserError(f"--export {path}: the file's name has to end with .zip")
    raise_all(_unfinished(study))
    # What a finished model was made from need not be there, and then is not packed either.
    needed = upkeep.closure(stage for run in study.runs for stage in stages.stages_of(run))
    found = sorted(filter(folders.is_complete, needed))
    raise_all(problem for folder in found for problem in folders.damage(folder))
    contents: dict[str, Path | bytes] = {f"params/{name}": file for name, file in _params(study).items()}
    for folder in found:
        contents |= _of_stage(folder, weights)
    own = folders.study_folder(study.name)
    pages = {f"studies/{study.name}/{page.relative_to(own).as_posix()}": page for page in _pages(own)}
    contents |= {name: page for name, page in pages.items() if crates.is_name(name)}
    crates.pack(path, {"study": study.name, "question": study.question, "weights": weights}, contents)
    left = "" if weights else "; weights are left out (--with-weights packs them)"
    print(f"{show(path)}: {len(contents)} files, {path.stat().st_size / 1e6:.1f} MB{left}")
    return 0


def import_file(path: Path) -> int:
    """Opens an exported study in artifacts of its own and says how to look at it. Returns the exit status."""
    crates.refuse_if_imported("nothing is imported into it")
    root = crates.unpack(path, crates.imports_folder())
    name = root.name
    print(f"imported {name}, to be read: {show(root)}")
    print(f"report: {show(root / 'studies' / name / 'report.html')}")
    print(f"MMRC_ARTIFACTS={show(root)} opens it for --list, --compare, --verify and notebooks")
    return 0


def _unfinished(study: Study) -> Iterator[str]:
    """What an export lacks."""
    for run in study.runs:
        for world in (run.params["world"], *run.params["also"].values()):
            for file in WORLDS[world["name"]].files(world["facts"]):
                yield f"{study.name} reads your file {show(Path(file))}, which an export does not carry"
        if not all(folders.is_complete(stage.folder) for stage in stages.stages_of(run)):
            yield f"{run.name} is not finished; run `python -m mmrc_helpers.run {study.name}` first"
    own = folders.study_folder(study.name)
    if missing := [name for name in REPORT if not (own / name).is_file()]:
        yield f"{show(own)} lacks {listed(missing)}; `--report` writes them"


def _params(study: Study) -> dict[str, Path]:
    """The files that say what the study and the models it starts from mean."""
    found = sources(study.path)
    for model in (run.params["model"] for run in study.runs):
        if model["source"] == "study":
            found |= sources(load_study(model["study"], study.path.parent).path)
    return found


def _of_stage(folder: Path, weights: bool) -> dict[str, Path | bytes]:
    """The files of a stage. Without its weights, made.json lists them as left out, so that what is there is
    still known to be whole."""
    place = folder.relative_to(files.artifacts_root()).as_posix()
    made = files.read_json(folder / "made.json")
    left = {} if weights else {name: of for name, of in made["files"].items() if _is_weights(name)}
    kept = {name: of for name, of in made["files"].items() if name not in left}
    contents: dict[str, Path | bytes] = {f"{place}/{name}": folder / name for name in kept}
    said = json.dumps({**made, "files": kept, "left_out": left}, indent=1, ensure_ascii=False) + "\n"
    return contents | {f"{place}/made.json": said.encode() if left else folder / "made.json"}


def _is_weights(name: str) -> bool:
    return name.split("/")[0] in WEIGHTS or name.endswith(".safetensors")


def _pages(folder: Path) -> list[Path]:
    """What the runs and the report of a study have left to look at."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]
