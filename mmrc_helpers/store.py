"""Stage folders on disk; only this module knows their layout. A stage is made in NAME.part and renamed when
finished, so a folder without .part is whole; what was killed in between is continued or begun anew."""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from mmrc_helpers.schema import UserError, show
from mmrc_helpers.study import Run, plain

REPOSITORY = Path(__file__).resolve().parent.parent
RECORDED = (
    "torch",
    "torchvision",
    "transformers",
    "trl",
    "peft",
    "deepspeed",
    "accelerate",
    "datasets",
    "numpy",
)


def artifacts_root() -> Path:
    """The folder of everything generated: MMRC_ARTIFACTS, or artifacts/ in the repository."""
    return Path(os.environ.get("MMRC_ARTIFACTS") or REPOSITORY / "artifacts").absolute()


def folder_of(kind: str, slug: str, key: str) -> Path:
    """Where the stage of this key lies once it is finished. The slug is for eyes only."""
    return artifacts_root() / kind / f"{slug}-{key}"


def study_folder(study: str) -> Path:
    """Where the report of a study, its verdict.json and its runs lie."""
    return artifacts_root() / "studies" / study


def run_folder(run: Run) -> Path:
    """Where the executed notebooks of one run lie."""
    return study_folder(run.study) / f"{run.variant}-s{run.seed}"


def is_complete(folder: Path) -> bool:
    """Whether the stage is finished."""
    return (folder / "made.json").is_file()


@contextlib.contextmanager
def claim(folder: Path, echo: Callable[[str], None] = print) -> Iterator[None]:
    """Only one process at a time makes a stage; a second one waits here and then finds it complete:

        with claim(folder):
            if is_complete(folder):
                return folder
            part = begin(folder, recipe)
            ...
            return finish(part, made)

    A claim is a lock of the operating system, so it ends with its owner, however that dies. The locked file
    tells those who wait who the owner is; it stays, because a lock on a removed file excludes nobody."""
    path = artifacts_root() / ".claims" / f"{folder.parent.name}-{folder.name}"
    make_folder(path.parent)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            echo(f"waiting for {show(folder)}, which {file.read() or 'another process'} is making")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} (since {time.strftime('%F %T')})")
        file.flush()
        yield


def begin(folder: Path, recipe: Mapping) -> Path:
    """The NAME.part folder in which to make `folder`, holding recipe.json. What an earlier attempt with the
    same recipe left is kept to go on from; the recipe's `machine` says how to compute and may differ."""
    part = folder.with_name(f"{folder.name}.part")
    recipe = plain(recipe)
    if folder.exists() and not is_complete(folder):  # its mark was lost: nothing says what is whole in it
        shutil.rmtree(folder)
    if part.exists() and _what(read_recipe(part)) != _what(recipe):
        shutil.rmtree(part)
    make_folder(part)
    write_json(part / "recipe.json", recipe)
    return part


def finish(part: Path, made: Mapping) -> Path:
    """Renames NAME.part to NAME after writing made.json: `made` (seconds, device …), versions, commit, and
    {file: [bytes, SHA-256]}. Returns the finished folder."""
    files = {str(path.relative_to(part)): _size_and_sum(path) for path in _files(part)}
    content = {
        **plain(made),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": _packages(),
    }
    write_json(part / "made.json", {**content, "files": files})
    sync(part)
    folder = part.with_name(part.name.removesuffix(".part"))
    part.rename(folder)
    _sync_path(folder.parent)
    return folder


def forget(folder: Path) -> None:
    """Removes a stage, finished or not, so that the next run makes it again."""
    for path in (folder, folder.with_name(f"{folder.name}.part")):
        if path.exists():
            gone = path.with_name(
                f"{path.name}.gone"
            )  # renamed first: a half removed folder is never complete
            shutil.rmtree(gone, ignore_errors=True)
            path.rename(gone)
            shutil.rmtree(gone)


def damage(folder: Path) -> list[str]:
    """What is wrong with a finished stage, one sentence for each missing, changed or truncated file."""
    files = read_json(folder / "made.json")["files"]
    problems = []
    for name, (size, checksum) in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{show(path)} is missing; {_mend(folder)}")
        elif [size, checksum] != _size_and_sum(path):
            problems.append(f"{show(path)} is not what was written; {_mend(folder)}")
    return problems


def read_recipe(folder: Path) -> dict:
    """What a stage is made from: {kind, version, key, seed, params, inputs, machine}; {} if unwritten."""
    path = folder / "recipe.json"
    return read_json(path) if path.is_file() else {}


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


def write_text(path: Path, text: str) -> None:
    """Writes a whole text file or nothing: beside it, then synced and renamed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def write_json(path: Path, content) -> None:
    """Writes a whole JSON file or nothing."""
    write_text(path, json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path):
    """The content of a JSON file. Raises UserError naming the file and the command that mends it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{show(path)} is missing; {_mend(path.parent)}") from None
    except ValueError as error:
        raise UserError(f"{show(path)} is damaged ({error}); {_mend(path.parent)}") from error


def append_jsonl(path: Path, rows: Iterable[Mapping]) -> None:
    """Adds rows to a JSONL file and syncs it."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def read_jsonl(path: Path) -> list[dict]:
    """The rows of a JSONL file. Raises UserError naming file, line and the command that mends it."""
    if not path.is_file():
        raise UserError(f"{show(path)} is missing; {_mend(path.parent)}")
    rows = []
    with path.open("rb") as file:  # decoded line by line, so that the error can name the line
        for number, line in enumerate(file, 1):
            try:
                rows.append(json.loads(line))
            except ValueError:
                raise UserError(f"{show(path)}, line {number}, is damaged; {_mend(path.parent)}") from None
    return rows


def resume_jsonl(path: Path) -> list[dict]:
    """The rows that an interrupted writer left (none if there is no file), after cutting off a torn last line
    so that `append_jsonl` can go on."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return read_jsonl(path)


def make_folder(path: Path) -> None:
    """Makes a folder and its parents. Raises UserError if that is not permitted."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # not permitted, read-only, full, or a file is in the way
        raise UserError(
            f"cannot write to {path} ({error.strerror}); set MMRC_ARTIFACTS to a folder of yours"
        ) from error


def sync(folder: Path) -> None:
    """Returns when every file below `folder` has reached the disk. A file that goes while we look is what
    another process is writing beside its place: that one syncs it."""
    for path in (*_files(folder), *(path for path in folder.rglob("*") if path.is_dir()), folder):
        with contextlib.suppress(FileNotFoundError):
            _sync_path(path)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _size_and_sum(path: Path) -> list:
    with path.open("rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]


def _what(recipe: Mapping) -> dict:
    """The recipe without `machine`: what is made, not how."""
    return {key: value for key, value in recipe.items() if key != "machine"}


def _mend(folder: Path) -> str:
    """The command that mends a stage folder of which this is a part."""
    root = artifacts_root()
    if folder.is_relative_to(root) and len(folder.relative_to(root).parts) > 2:
        folder = root.joinpath(*folder.relative_to(root).parts[:2])
    return f"to make it again: rm -r {show(folder)}, then run the study"


def _packages() -> dict[str, str]:
    installed = {}
    for name in RECORDED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed


def _commit() -> str:
    """The git commit of the code, with + if files were changed since; empty outside a repository."""
    command = [
        "git",
        "-C",
        str(REPOSITORY),
        "describe",
        "--always",
        "--abbrev=40",
        "--dirty=+",
        "--exclude=*",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""
