"""Where a user's tables lie: a file, a folder, or the copy of a data set that the Hub's cache holds."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmrc_helpers.errors import UserError, listed, show

HUB = "hub:"
ENDINGS = (".parquet", ".jsonl", ".json", ".arrow")
FILES = (*ENDINGS, ".csv", ".tsv")  # what ends so is no data set of the Hub
SPLITS = ("train", "validation", "valid", "val", "dev", "test", "eval")  # what files are named after
ABOUT = ("dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json")  # no tables
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def absolute(facts: Mapping, names: Sequence[str], folder: Path) -> dict:
    """The facts with absolute paths. A relative one is meant from `folder`, where the study's file lies, or,
    if nothing is there, from the current folder; one that is nowhere, such as hub:OWNER/NAME, stays.

    names: the facts that are paths, lists of paths, or mappings of such (`World.paths`).
    """
    return {name: _absolute(value, folder) if name in names else value for name, value in facts.items()}


def _absolute(value, folder: Path):
    if isinstance(value, Mapping):
        return {name: _absolute(item, folder) for name, item in value.items()}
    if not isinstance(value, str):
        return [_absolute(item, folder) for item in value]
    if not value or value.startswith(HUB):
        return value
    places = [base / Path(value).expanduser() for base in (folder, Path.cwd())]
    return next((os.path.abspath(place) for place in places if place.exists()), value)  # links stay links


def located(path: str, what: str) -> Path:
    """The file or folder that a parameter names, in the Hub's cache too: hub:OWNER/NAME, or OWNER/NAME where
    no folder is called that. Raises UserError if it is not there; `what` names the parameter."""
    if not path:
        raise UserError(f"{what}: no path is given; name a file, a folder or {HUB}OWNER/NAME")
    place, name = Path(path).expanduser(), path.removeprefix(HUB)
    if place.exists():
        return place
    if path.startswith(HUB) or (_HUB_ID.fullmatch(name) and place.suffix not in FILES):
        return _cached(path, name, what)
    raise UserError(
        f"{what}: {path} is not there; write the path of a file or folder, or {HUB}OWNER/NAME for a data set "
        "in the Hub's cache"
    )


def _cached(path: str, name: str, what: str) -> Path:
    """The newest copy of a data set in the Hub's cache, found without a network."""
    from huggingface_hub import snapshot_download  # slow to import, and most worlds need no Hub
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
    except LocalEntryNotFoundError:
        neither = "" if path.startswith(HUB) else f"{path} is no file or folder, and "
        raise UserError(
            f"{what}: {neither}the Hub's cache holds no copy of {name}; where there is network, `hf download "
            f"--repo-type dataset {name}` puts it there"
        ) from None
    except HFValidationError as error:
        raise UserError(f"{what}: {path} is no name of a data set; write {HUB}OWNER/NAME") from error


def tables_in(path: Path, what: str, split: str = "", endings: Sequence[str] = ENDINGS) -> list[Path]:
    """The tables that a path means, in order of name: the file itself, or those in a folder and below, which
    `datasets` may have saved. split: of tables named after splits, only those of this one; "" means all.
    endings: of the files that are tables. Raises UserError if there are none."""
    if path.is_file():
        found = [path]
    elif (path / "dataset_dict.json").is_file():
        splits = _split(path, split, json.loads((path / "dataset_dict.json").read_bytes())["splits"], what)
        return [table for name in splits for table in tables_in(path / name, what, endings=endings)]
    elif (path / "state.json").is_file():
        state = json.loads((path / "state.json").read_bytes())
        found = [path / entry["filename"] for entry in state["_data_files"]]
    else:
        found = sorted(table for table in path.rglob("*") if _is_table(table, path, endings))
    if not found or found[0].suffix not in endings:
        raise UserError(f"{what}: {show(path)} is no table; expected {listed(endings)} or a folder with some")
    names = {table: _split_of(table) for table in found}
    if path.is_file() or not split or not any(names.values()):
        return found
    _split(path, split, sorted({name for name in names.values() if name}), what)
    return [table for table in found if names[table] == split]


def _is_table(table: Path, folder: Path, endings: Sequence[str]) -> bool:
    hidden = any(part.startswith(".") for part in table.relative_to(folder).parts)
    return table.suffix in endings and table.name not in ABOUT and not hidden and table.is_file()


def _split(folder: Path, split: str, splits: Iterable[str], what: str) -> list[str]:
    """The splits that are meant: the one that is named, or all."""
    if split and split not in splits:
        said = f"{what}: {show(folder)} has no split {split}; it has {listed(splits)}"
        raise UserError(f"{said}: set {what.partition('.')[0]}.split")
    return [split] if split else list(splits)


def _split_of(table: Path) -> str:
    """The split that a table or its folder is named after, as the Hub does it: train-00000-of-00002."""
    stem = re.sub(r"-\d+-of-\d+$", "", table.stem)
    return next((name for name in (stem, table.parent.name) if name in SPLITS), "")


def size_of(files: Iterable[Path]) -> int:
    """Bytes of what is made of a user's files, a little too many: converted pictures grow."""
    return 1_000_000 + 2 * sum(path.stat().st_size for path in files)
