"""Stage folders on disk; only this module knows their layout. A stage is made in NAME.part and renamed when
finished, so a folder without .part is whole; what was killed in between is continued or begun anew."""

import contextlib
import errno
import math
import os
import platform
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.store import disk, files, locks
from mmrc_helpers.store.keys import plain

RECORDED = (
    "torch",
    "torchvision",
    "transformers",
    "trl",
    "peft",
    "deepspeed",
    "diffusers",
    "accelerate",
    "datasets",
    "numpy",
)

# What a killed stage goes on from. It stays until the stage is finished: a module that removed it as its last
# act could be killed right after and would begin anew.
ONLY_TO_RESUME = ("checkpoints", "dynamics/parts", "answers-*.jsonl")


def folder_of(kind: str, slug: str, key: str) -> Path:
    """Where the stage of this key lies once it is finished. The slug is for eyes only."""
    return files.artifacts_root() / kind / f"{slug}-{key}"


def study_folder(study: str) -> Path:
    """Where the report of a study, its verdict.json and its runs lie."""
    return files.artifacts_root() / "studies" / study


def run_folder(study: str, run: str) -> Path:
    """Where the executed notebooks of one run lie."""
    return study_folder(study) / run


def name_of(folder: Path) -> str:
    """What a folder of artifacts is called: its path below their root, such as data/people-c4f0de05."""
    return str(folder.relative_to(files.artifacts_root()))


def is_complete(folder: Path) -> bool:
    """Whether the stage is finished."""
    return (folder / "made.json").is_file()


def _say(text: str) -> None:
    print(text, flush=True)  # whoever waits wants to know it now, also behind a pipe


@contextlib.contextmanager
def claim(folder: Path, echo: Callable[[str], None] = _say, wait: bool = True) -> Iterator[None]:
    """Only one process at a time makes a stage; a second one waits here and then finds it complete:

        with claim(folder):
            if is_complete(folder):
                return folder
            part = begin(folder, recipe)
            ...
            return finish(part, made)

    A claim is a lock of the operating system, so it ends with its owner, however that dies. The locked file
    tells those who wait who the owner is; it stays, because a lock on a removed file excludes nobody. Raises
    BlockingIOError if it is taken and `wait` is false."""
    path = _claim_file(folder)
    files.make_folder(path.parent)

    def waiting(owner: str) -> None:
        echo(f"waiting for {show(folder)}, which {owner or 'another process'} is making")

    with locks.locked(path, math.inf if wait else 0, waiting, lambda: _warn_alone(path.parent)) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} (since {time.strftime('%F %T')})")
        file.flush()
        files.remove_torn(folder)
        yield


def is_claimed(folder: Path) -> bool:
    """Whether a living process has claimed the stage at this moment."""
    return locks.is_locked(_claim_file(folder))


def _claim_file(folder: Path) -> Path:
    return files.artifacts_root() / ".claims" / f"{folder.parent.name}-{folder.name}"


@lru_cache(maxsize=8)  # said once in a process
def _warn_alone(place: Path) -> None:
    print(
        f"warning: {show(place)} has a file system without locks: run studies there on one machine at a time"
    )


def part_of(folder: Path) -> Path:
    """Where a stage is made before it is finished."""
    return folder.with_name(f"{folder.name}.part")


def begin(folder: Path, recipe: Mapping) -> Path:
    """The NAME.part folder in which to make `folder`, holding recipe.json. What an earlier attempt with the
    same recipe left is kept to go on from; the recipe's `machine` says how to compute and may differ."""
    part, recipe = part_of(folder), plain(recipe)
    if folder.exists() and not is_complete(folder):  # its mark was lost: nothing says what is whole in it
        shutil.rmtree(folder)
    if part.exists() and not _is_of(part, recipe):
        shutil.rmtree(part)
    files.make_folder(part)
    files.remove_torn(part)
    files.write_json(part / "recipe.json", recipe)
    return part


def finish(part: Path, made: Mapping) -> Path:
    """Renames NAME.part to NAME after writing made.json: `made` (seconds, device …), versions, commit, and
    {file: [bytes, SHA-256]}. What only served to resume goes. Returns the finished folder."""
    for pattern in ONLY_TO_RESUME:
        for path in part.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (part / "made.json").unlink(missing_ok=True)  # of an attempt that was killed before the renaming
    content = {
        **plain(made),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": _packages(),
    }
    files.write_json(part / "made.json", {**content, "files": disk.sizes_and_sums(part)})
    _open_to_readers(part)
    disk.sync(part)
    folder = part.with_name(part.name.removesuffix(".part"))
    part.rename(folder)
    disk.sync(folder)
    return folder


def _open_to_readers(part: Path) -> None:
    """Gives all files the rights that the umask gave the folder: safetensors writes its own for one user
    only."""
    rights = part.stat().st_mode & 0o777
    for path in part.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | (rights if path.is_dir() else rights & 0o666)
        if wanted != mode:
            with contextlib.suppress(PermissionError):  # another user's, of an earlier attempt
                path.chmod(wanted)


def is_in_repository(folder: Path) -> bool:
    """Whether the repository has this stage finished, and `bring` would copy it from there."""
    return not is_complete(folder) and is_complete(_own_of(folder))


def lost_advice(folder: Path) -> str:
    """The end of a sentence about a stage that has to be made: how to get it back, if only the working tree
    lost it."""
    return f"; git has it, {files.mend(_own_of(folder))}" if files.is_committed(_own_of(folder)) else ""


def bring(folder: Path) -> bool:
    """Copies a stage that the repository has finished, as it has the embedded model, into another artifacts
    folder; to be called under its claim. Returns whether it is there now. Raises UserError if the
    repository's is damaged, or if git has it and the working tree has lost it."""
    own = _own_of(folder)
    if is_complete(folder) or not (is_complete(own) or files.is_committed(own)):
        return is_complete(folder)
    for problem in damage(own) if is_complete(own) else [f"{show(own)} is missing; {files.mend(own)}"]:
        raise UserError(problem)
    beside = folder.with_name(f".{folder.name}")  # a name that no stage has
    shutil.rmtree(beside, ignore_errors=True)
    for path in own.rglob("*"):  # contents only: a read-only checkout's rights are not ours
        if path.is_file():
            copy = beside / path.relative_to(own)
            files.make_folder(copy.parent)
            shutil.copyfile(path, copy)
    disk.sync(beside)
    beside.rename(folder)
    return True


def _own_of(folder: Path) -> Path:
    """Where a stage lies in the repository's own artifacts."""
    return files.REPOSITORY / "artifacts" / folder.parent.name / folder.name


def forget(folder: Path, wait: bool = True) -> None:
    """Removes a stage, finished or not, so that the next run makes it again. Waits for whoever makes it now;
    if `wait` is false, raises BlockingIOError instead."""
    with claim(folder, wait=wait):
        for path in (folder, part_of(folder)):
            gone = path.with_name(f"{path.name}.gone")  # renamed first: half a folder is never complete
            shutil.rmtree(gone, ignore_errors=True)
            if path.exists():
                try:
                    path.rename(gone)
                except (
                    OSError
                ) as error:  # a folder of the image below a container's own layer cannot be renamed
                    if error.errno != errno.EXDEV:
                        raise
                    (path / "made.json").unlink(missing_ok=True)
                    gone = path
                shutil.rmtree(gone)


def damage(folder: Path) -> list[str]:
    """What is wrong with a finished stage: one sentence for every file that is missing or not as written,
    with the command that mends it."""
    try:
        sums = _manifest(folder)
    except UserError as error:
        return [str(error)]
    return [f"{problem}; {files.mend(folder)}" for problem in disk.unlike(folder, sums)]


def check(folder: Path, *patterns: str) -> Path:
    """The finished stage, after comparing its recipe and the files of these patterns (all, if there are none)
    with its manifest. Raises UserError naming the first that is missing or not as written, and the command
    that mends it."""
    wanted = ("recipe.json", *patterns) if patterns else ("*",)
    wanted = {n: of for n, of in _manifest(folder).items() if any(fnmatch(n, pattern) for pattern in wanted)}
    for problem in disk.unlike(folder, wanted):
        raise UserError(f"{problem}; {files.mend(folder)}")
    return folder


def _manifest(folder: Path) -> dict:
    """{file: [bytes, SHA-256]} of a finished stage. Raises UserError if made.json is damaged."""
    path = folder / "made.json"
    try:
        return files.read_json(path)["files"]
    except (KeyError, TypeError):
        raise UserError(f"{show(path)} is damaged; {files.mend(folder)}") from None


def read_recipe(folder: Path) -> dict:
    """What a stage is made from: {kind, version, key, seed, params, inputs, machine}; {} if unwritten."""
    path = folder / "recipe.json"
    return files.read_json(path) if path.is_file() else {}


def input_folder(folder: Path, name: str, missing_ok: bool = False) -> Path | None:
    """Where the input `name` of the stage in `folder` lies: the recipe's path is below the same artifacts.
    Raises UserError if it is not there; with `missing_ok`, None if the recipe has no such input."""
    inputs = read_recipe(folder)["inputs"]
    if missing_ok and name not in inputs:
        return None
    found = folder.absolute().parent.parent / inputs[name]
    if not is_complete(found):
        raise UserError(f"{show(found)} is missing; run the study again to make it")
    return found


def _is_of(part: Path, recipe: Mapping) -> bool:
    """Whether an unfinished folder is of this recipe; `machine` says how it is made, not what."""
    try:
        return {**read_recipe(part), "machine": None} == {**recipe, "machine": None}
    except UserError:  # a damaged recipe says nothing
        return False


def _packages() -> dict[str, str]:
    installed = {}
    for name in RECORDED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed


def _commit() -> str:
    """The git commit of the code, with + if files were changed since; empty outside a repository."""
    return files.git("describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*")
