"""Files that are there whole or not at all, and the errors that name what mends a damaged one."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.store.keys import plain

REPOSITORY = Path(__file__).resolve().parents[2]


def artifacts_root() -> Path:
    """The folder of everything generated: MMRC_ARTIFACTS, or artifacts/ in the repository."""
    return Path(os.environ.get("MMRC_ARTIFACTS") or REPOSITORY / "artifacts").absolute()


def write_text(path: Path, text: str) -> None:
    """Writes a whole text file or nothing: beside it, then synced and renamed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
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
    write_text(path, "".join(map(_line, rows)))


def _line(row: Mapping) -> str:
    return json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n"


def append_jsonl(path: Path, rows: Iterable[Mapping]) -> None:
    """Adds rows to a JSONL file and syncs it."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(map(_line, rows))
        file.flush()
        os.fsync(file.fileno())


def read_jsonl(path: Path) -> list[dict]:
    """The rows of a JSONL file. Raises UserError naming file, line and the command that mends it."""
    if not path.is_file():
        raise UserError(f"{show(path)} is missing; {mend(path.parent)}")
    rows = []
    with path.open("rb") as file:  # decoded line by line, so that the error can name the line
        for number, line in enumerate(file, 1):
            try:
                rows.append(json.loads(line))
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
    """The command that mends a stage folder of which this is a part."""
    root = artifacts_root()
    if folder.is_relative_to(root) and len(folder.relative_to(root).parts) > 2:
        folder = root.joinpath(*folder.relative_to(root).parts[:2])
    return f"to make it again: rm -r {show(folder)}, then run the study"
