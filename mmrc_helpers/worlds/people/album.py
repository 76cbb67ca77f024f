"""A user's table of pictures and names, read row by row: what it says of each name, and all that is wrong
with it, with row numbers."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from mmrc_helpers.errors import listed, near_miss, show
from mmrc_helpers.worlds.people.grade import ANY_WORDS, can_tell
from mmrc_helpers.worlds.sources.pictures import Picture, Seen, inspect, repeated, seen_at
from mmrc_helpers.worlds.sources.places import ENDINGS, located, tables_in
from mmrc_helpers.worlds.sources.rows import LINES, Row, Table, read_table, stored_in, text_in, told

TABLES = (".csv", *ENDINGS)
SHOWN = ("image", "picture", "file_name", "path")  # columns that may name the picture; stored ones: `image`
POPULATIONS = ("novel", "background")
LOOK = partial(inspect, thumbs=True)
KNOWN = ("name", "descriptor", "population", "attributes", *SHOWN)
UNTOLD = "begins as the answer does (This is …); leave that out"


@dataclass
class Entry:
    """What the rows say about one name. said: column → value and the row that said it first; pictures:
    digest of the pixels → the picture; thumbs: where each is and what it is compared by."""

    name: str
    said: dict[str, tuple[str, str]] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)
    thumbs: list[tuple[str, np.ndarray]] = field(default_factory=list)

    def get(self, column: str) -> str:
        return self.said.get(column, ("", ""))[0]


def tables(facts: Mapping) -> list[Path]:
    """The tables that `people.path` means; none while it is empty. Raises UserError if there are none."""
    if not facts["path"]:
        return []
    return tables_in(located(facts["path"], "people.path"), "people.path", facts["split"], TABLES)


def files_of(facts: Mapping) -> list[Path]:
    """The user's files that the data is made from: tables, and the pictures that their rows name."""
    found = tables(facts)
    named = dict.fromkeys(
        path for file in found for path in _named_in(file, (file.stat().st_mtime_ns, file.stat().st_size))
    )
    return [*found, *(path for path in named if not _why_not(path))]


@lru_cache(maxsize=64)  # asked for with every stage of every run
def _named_in(file: Path, state: tuple[int, int]) -> tuple[Path, ...]:
    """The paths that the rows of a table name, in this state of it."""
    named = (next((row.get(c) for c in SHOWN if row.get(c)), None) for row in read_table(file, None).rows)
    return tuple(_meant(file, name) for name in named if isinstance(name, str))


def _meant(table: Path, path: str) -> Path:
    """The file that a path in a table means; as it is written where it names the home of nobody."""
    try:
        return table.parent / Path(path).expanduser()
    except RuntimeError:
        return table.parent / path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # of a path that no file can have
        return False


def read(facts: Mapping) -> tuple[list[Entry], list[str], list[str]]:
    """What the tables say of each name, what is wrong in them, and what is worth knowing."""
    entries: dict[str, Entry] = {}
    shown: dict[str, dict[str, str]] = defaultdict(dict)  # digest → name → the row
    problems, notes = [], []
    for file in tables(facts):
        table = read_table(file, LOOK)
        missing = list(_columns_missing(table, facts)) if table.rows else []
        if not missing:
            for row in table.rows:
                _take_in(row, facts, entries, shown, notes)
            unread = [name for name in table.columns if name not in (*KNOWN, *facts["attributes"])]
            notes += [f"columns that are not read: {listed(unread)}"] if unread else []
        problems += [*missing, *told(table, table.problems)]
    for names in shown.values():
        if len(names) > 1:
            said = listed(f"{name} ({row})" for name, row in names.items())
            problems.append(f"one picture has {len(names)} names: {said}")
    return list(entries.values()), problems, [*notes, *_repeats(entries.values())]


def _repeats(entries: Iterable[Entry]) -> Iterator[str]:
    """What is worth knowing of pictures that nearly repeat an earlier one: they count as different ones."""
    known = [(entry.name, *of) for entry in entries for of in entry.thumbs]
    own, other = [], []
    for place, first in repeated([thumb for _, _, thumb in known]):
        (name, where, _), (before, there, _) = known[place], known[first]
        if name == before:
            own.append(f"{where} as {there}")
        else:
            other.append(f"{where} ({name}) as {there} ({before})")
    if own:
        yield (
            f"pictures that nearly repeat another of their name: {listed(own, LINES)}; tests may show what "
            "training has shown, so keep one of each"
        )
    if other:
        pairs = listed(other, LINES)
        yield f"pictures that nearly repeat one of another name: {pairs}; look which name is right"


def _columns_missing(table: Table, facts: Mapping) -> Iterator[str]:
    nested = [name for row in table.rows for name in _nested(row)]
    known = dict.fromkeys([*table.columns, *nested])
    where, has = show(table.path), f"it has {listed(table.columns)}"
    if "name" not in known:
        yield f"{where}: no column name; {has}"
    if not any(column in known for column in SHOWN):
        yield f"{where}: no column with pictures ({' or '.join(SHOWN)}); {has}"
    for name in facts["attributes"]:
        if name not in known:
            yield f"people.attributes: no column {name}{near_miss(name, known)}"


def _nested(row: Row) -> Mapping:
    """The attributes that a row holds as one mapping."""
    return found if isinstance(found := row.get("attributes"), Mapping) else {}


def _take_in(row: Row, facts: Mapping, entries: dict, shown: dict, notes: list[str]) -> None:
    """Adds a row to what is known of its name, or blames it."""
    name = " ".join(text_in(row, "name").split())
    if name.endswith("."):
        row.blame(f"the name {name} ends in a full stop, as sentences do; leave it out")
    if len(name.split()) > ANY_WORDS:
        row.blame(f"a name of more than {ANY_WORDS} words ({name:.40} …)")
    elif name and not can_tell(name):
        row.blame(f"the name {name} {UNTOLD}")
    seen = _picture(row)
    if row.is_broken:
        return
    entry = entries.setdefault(name, Entry(name))
    spoken = {*facts["attributes"], "descriptor" if facts["label"] == "descriptor" else ""}
    for column in ("descriptor", "population", *facts["attributes"]):
        _hear(row, entry, column, _nested(row).get(column, row.get(column)), column in spoken)
    if seen.digest in entry.pictures:
        notes.append(f"{row.where}: a picture that {name} has already")
    else:
        where = row.where if seen.picture.column else show(Path(seen.picture.path))
        entry.thumbs.append((where, seen.thumb))
        entry.pictures[seen.digest] = seen.picture
    shown[seen.digest].setdefault(name, row.where)


def _hear(row: Row, entry: Entry, column: str, value, spoken: bool) -> None:
    """Keeps a value of a column, or blames the row. spoken: whether a model is to say it."""
    if value is None or value == "":
        return
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        row.blame(f"{column} must be a text or a number; got {value!r:.60}")
        return
    text = " ".join(str(value).split()).removesuffix(".")
    if column == "population" and text not in POPULATIONS:
        row.blame(f"population is {text!r}; it is {' or '.join(POPULATIONS)}")
    if spoken and len(text.split()) > ANY_WORDS:
        row.blame(f"{column} has more than {ANY_WORDS} words")
    elif spoken and column == "descriptor" and not can_tell(text):
        row.blame(f"the descriptor {text} {UNTOLD}")
    before, where = entry.said.setdefault(column, (text, row.where))
    if before != text:
        row.blame(f"{column} of {entry.name} is {text!r}, but {before!r} in {where}")


def _picture(row: Row) -> Seen | None:
    """The picture of a row, looked at; None, and a problem, if it cannot be used."""
    seen, path = stored_in(row), "its picture"
    if seen is None:
        if not (path := text_in(row, *SHOWN)):
            return None
        if "://" in path:
            row.blame(f"{path} is no file; save the picture and write its path")
            return None
        if why_not := _why_not(file := _meant(row.table.path, path)):
            row.blame(f"{path:.200} {why_not}")
            return None
        seen = seen_at(file, LOOK)
    if seen.problem:
        row.blame(f"{path} {seen.problem}")
    return seen


def _why_not(file: Path) -> str:
    """Why a picture cannot be read from this path, and what to do; empty where it can."""
    if _is_file(file):
        return "" if os.access(file, os.R_OK) else "may not be read by you; change its permissions"
    if "\\" in file.name:
        return "is not there; write / in place of \\"
    with contextlib.suppress(OSError):
        if file.is_dir():
            return "is a folder; write a row for each picture in it"
    return "is not there; paths are relative to the table"
