"""The one error a user is meant to read, and what its one sentence is made of."""

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

NAME = re.compile(r"[a-z0-9_]+")
FILE_NAME = re.compile(r"\w[\w. +-]*")


class UserError(Exception):
    """Something the user wrote or left out; the message names file, key and fix. Exit status 2."""


def check_name(name, where: str) -> None:
    """Raises UserError unless `name` is a plain word; so no name can be a path."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(f"{where}: {name!r} is not a name: use lower-case letters, digits and _")


def check_file_name(name, where: str) -> None:
    """Raises UserError unless `name` is a plain file name, and so no way out of the folder it is in."""
    if not isinstance(name, str) or not FILE_NAME.fullmatch(name):
        raise UserError(f"{where}: {name!r} is not a plain file name; separators and .. are refused")


def check_model_name(name: str, where: str) -> None:
    """Raises UserError, with what to write, unless a model is named by its folder in machine.models_folder,
    FOLDER or OWNER/FOLDER."""
    parts = name.split("/")
    if len(parts) <= 2 and all(map(FILE_NAME.fullmatch, parts)):
        return
    place, _, own = name.rstrip("/\\").replace("\\", "/").rpartition("/")
    if "://" in name:
        fix = (
            f"download it (`hf download OWNER/{own} --local-dir models/{own}`), then write model.name: {own}"
        )
    else:
        fix = f"write model.name: {own}" + (f" and machine.models_folder: {place}" if place else "")
    raise UserError(f"{where}: {name!r} is no folder in machine.models_folder; {fix}")


def check_known(name, names: Iterable[str], what: str, every: bool = False) -> None:
    """Raises UserError, with the near miss or the list, unless `name` is one of `names`."""
    names = list(names)
    if name not in names:
        near = "" if every else near_miss(name, names)
        raise UserError(f"{what} {name!r} is not known{near or f'; choose from {listed(names)}'}")


def near_miss(name, names: Iterable[str]) -> str:
    """The end of an error message: "; did you mean X?" if one of `names` is close, else nothing."""
    close = difflib.get_close_matches(str(name), [str(n) for n in names], n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def listed(names: Iterable, most: int | None = None) -> str:
    """The names with commas between them; of more than `most` the first ones, and how many more there are."""
    names = list(map(str, names))
    more = f" and {len(names) - most} more" if most and len(names) > most else ""
    return ", ".join(names[:most]) + more


def raise_all(problems: Iterable[str], count: int = 0) -> None:
    """Raises one UserError that lists every problem, a line each; nothing without problems. count: how many
    there are, where not each of them has a line."""
    problems = list(problems)
    if len(problems) == 1:
        raise UserError(problems[0])
    if problems:
        raise UserError(
            f"{count or len(problems)} problems:" + "".join(f"\n  {problem}" for problem in problems)
        )


def show(path: Path) -> str:
    """The path as the reader would type it: relative to here when it lies below."""
    return _shown(path, Path.cwd())


@lru_cache(maxsize=256)  # asked for each parameter of a study
def _shown(path: Path, here: Path) -> str:
    whole = path.resolve()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(path)
