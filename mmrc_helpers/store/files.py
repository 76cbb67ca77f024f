"""Files that are there whole or not at all, and the errors that name what mends a damaged one."""

import contextlib
import gc
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.store import disk
from mmrc_helpers.store.keys import plain

REPOSITORY = Path(__file__).resolve().parents[2]


def artifacts_root() -> Path:
    """The folder of everything generated: MMRC_ARTIFACTS, or artifacts/ in the repository. Raises UserError
    if it names none."""
    given = os.environ.get("MMRC_ARTIFACTS", "")
    name = given.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":  # quotes that no shell has taken off
        name = name[1:-1]
    return meant(name or "artifacts", "MMRC_ARTIFACTS")


def meant(given: str | Path, where: str) -> Path:
    """The place that a user names, the same for every process, wherever that was started: a relative one lies
    in the repository, and ~ and $NAME mean what they mean in a shell. Raises UserError if one of them means
    nothing."""
    name = os.path.expanduser(os.path.expandvars(given))
    if name.startswith("~") or "$" in name:
        raise UserError(f"{where}: {given} names no place here; write the whole path, such as /scratch/me")
    return Path(os.path.normpath(REPOSITORY / name))


def write_text(path: Path, text: str | Iterable[str]) -> None:
    """Writes a whole text file, given whole or in pieces, or nothing: beside it, then synced and renamed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.writelines([text] if isinstance(text, str) else text)
            disk.sync_file(file)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def remove_torn(folder: Path) -> None:
    """Removes what a killed `write_text` left in a folder that nobody else writes into."""
    for torn in folder.glob(".*.[0-9]*"):
        torn.unlink()


def write_json(path: Path, content) -> None:
    """Writes a whole JSON file or nothing."""
    write_text(path, json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path):
    """The content of a JSON file. Raises UserError naming the file and the command that mends it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{show(path)} is missing; {mend(path.parent)}") from None
    except ValueError as error:
        raise UserError(f"{show(path)} is damaged ({error}); {mend(path.parent)}") from error


def write_jsonl(path: Path, rows: Iterable[Mapping]) -> None:
    """Writes a whole JSONL file or nothing."""
    write_text(path, map(_line, rows))


def _line(row: Mapping) -> str:
    return json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n"


def append_jsonl(path: Path, rows: Iterable[Mapping]) -> None:
    """Adds rows to a JSONL file and syncs it."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(map(_line, rows))
        disk.sync_file(file)


@contextlib.contextmanager
def nothing_is_garbage() -> Iterator[None]:
    """Within it Python does not look for what could be freed: what is read or made stays, and to look through
    ever more of it took a fifth of the time at 10,000 people."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@nothing_is_garbage()
def read_jsonl(path: Path, each: Callable[[dict], dict] = lambda row: row) -> list[dict]:
    """The rows of a JSONL file, what `each` makes of every one. Raises UserError naming file, line and the
    command that mends it."""
    if not path.is_file():
        raise UserError(f"{show(path)} is missing; {mend(path.parent)}")
    rows = []
    with path.open("rb") as file:  # decoded line by line, so that the error can name the line
        for number, line in enumerate(file, 1):
            try:
                rows.append(each(json.loads(line)))
            except ValueError:
                raise UserError(f"{show(path)}, line {number}, is damaged; {mend(path.parent)}") from None
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


def mend(folder: Path) -> str:
    """The command that mends a stage folder of which this is a part; what git has is never to be removed."""
    root = artifacts_root()
    if folder.is_relative_to(root) and len(folder.relative_to(root).parts) > 2:
        folder = root.joinpath(*folder.relative_to(root).parts[:2])
    if is_committed(folder) and not git("rev-parse", "--git-dir"):
        return (
            f"if it came with the project, take {shlex.quote(show(folder))} from a new copy of that; if not, "
            "the study makes it again once it is removed"
        )
    if is_committed(folder):
        place = shlex.quote(str(folder.relative_to(REPOSITORY)))
        return f"to restore it: git -C {shlex.quote(str(REPOSITORY))} checkout -- {place}"
    return f"to make it again: rm -r {shlex.quote(show(folder))}, then run the study"


def is_committed(folder: Path) -> bool:
    """Whether git tracks files in a folder of the repository, as it does for the embedded model; also of one
    that the working tree has lost. Where no git can be asked, as in a project that came as an archive, any
    base model made from nothing may be that."""
    if not folder.is_relative_to(REPOSITORY):
        return False
    if git("rev-parse", "--git-dir"):
        return bool(git("ls-files", "--", str(folder)))
    try:
        recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        return recipe["params"]["model"]["source"] == "scratch"
    except (OSError, ValueError, KeyError, TypeError):  # it is of another kind, or says nothing
        return False


def git(*arguments: str) -> str:
    """What git says about the repository; empty where there is no git or no repository."""
    # Of a checkout that belongs to somebody else, as in containers, git says nothing unless it is told to.
    command = ["git", "-c", "safe.directory=*", "-C", str(REPOSITORY), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8").stdout.strip()
    except FileNotFoundError:
        return ""
