"""A user's tables become rows: parquet, Arrow, JSON lines, a JSON list or CSV. Nothing here knows what the
columns mean; a table keeps what is wrong with its rows, so that all of it can be told at once."""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from mmrc_helpers.errors import listed, raise_all, show
from mmrc_helpers.worlds.sources.pictures import POINTER, Look, Picture, Seen, seen_at
from mmrc_helpers.worlds.sources.places import ENDINGS

PICTURES = ("images", "image", "chosen_images", "rejected_images")  # columns that may hold pictures
MARKS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}  # what stands between the fields of a CSV
SEP = re.compile(r'"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)  # a first line that tells spreadsheet programs
NOT_JSON = (ValueError, RecursionError)  # the latter of brackets without end
LINES = 20  # lines of one message, rows that one line lists
NAMED = 8  # missing pictures that one message names
AT_ONCE = 64  # rows in memory of a table that holds pictures

Found = dict[int, list[str]]  # number of a row, 0 for the whole table → what is to say of it


@dataclass(eq=False)
class Table:
    """A user's table. columns: the names of all, read or not. rows: those that can be used. problems, notes:
    what is wrong with it and what is worth knowing. pictures: those that rows show, by name. seen: those at
    paths that rows name."""

    path: Path
    columns: list[str] = field(default_factory=list)
    rows: list["Row"] = field(default_factory=list)
    problems: Found = field(default_factory=lambda: defaultdict(list))
    notes: Found = field(default_factory=lambda: defaultdict(list))
    pictures: dict[str, Picture] = field(default_factory=dict)
    seen: dict[Path, Seen] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Row:
    """A row of a table. number: from 1; of JSON lines and of CSV that of the line it begins on.
    values: by column; a picture that the table holds stands there as a Seen."""

    table: Table
    number: int
    values: Mapping

    @property
    def where(self) -> str:
        return f"{show(self.table.path)}, row {self.number}"

    @property
    def is_broken(self) -> bool:
        return self.number in self.table.problems

    def get(self, column: str):
        """The value in a column; None if it is absent or empty."""
        return self.values.get(column)

    def blame(self, problem: str) -> None:
        """Reports what is wrong with the row."""
        self.table.problems[self.number].append(problem)

    def note(self, note: str) -> None:
        """Reports what is worth knowing of the row."""
        self.table.notes[self.number].append(note)


def read_table(path: Path, look: Look | None, wanted: Sequence[str] = ()) -> Table:
    """The rows of a table with its `wanted` columns; none named: with all. Never raises: what is wrong is in
    its problems. look: how stored pictures are looked at; None leaves them unread."""
    table = Table(path)
    readers = {".parquet": _read_columns, ".arrow": _read_columns, ".json": _read_json, ".jsonl": _read_lines,
               ".csv": _read_csv}  # fmt: skip
    with path.open("rb") as file:
        is_pointer = file.read(len(POINTER)) == POINTER
    if is_pointer:
        table.problems[0].append("a Git LFS pointer, not the data; run `git lfs pull` in its repository")
    elif path.suffix not in readers:
        table.problems[0].append(f"no table; convert it to one of {listed(ENDINGS)}")
    else:
        readers[path.suffix](table, look, wanted)
        if not table.rows and not table.problems:
            table.problems[0].append("holds no rows")
    return table


def table_of(rows: Sequence[Mapping], name: str) -> Table:
    """Rows that are in memory as a table of this name."""
    table = Table(Path(name))
    _add(table, enumerate(rows, 1))
    return table


def _add(table: Table, values: Iterator[tuple[int, object]]) -> None:
    """Adds numbered values as rows, if they are objects with columns."""
    for number, value in values:
        if isinstance(value, Mapping):
            table.rows.append(Row(table, number, value))
        else:
            table.problems[number].append(f"expected an object with columns; got {value!r:.60}")
    table.columns[:] = dict.fromkeys(name for row in table.rows for name in row.values)


def _read_lines(table: Table, look: Look | None, wanted: Sequence[str]) -> None:
    def parsed() -> Iterator[tuple[int, object]]:
        with table.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        yield number, json.loads(line)
                    except NOT_JSON as error:
                        table.problems[number].append(_no_json(error))

    _add(table, parsed())


def _read_json(table: Table, look: Look | None, wanted: Sequence[str]) -> None:
    """One list of objects, or, under this ending too, one object a line."""
    text = table.path.read_bytes().removeprefix(b"\xef\xbb\xbf").lstrip()
    try:
        values = json.loads(text)
    except NOT_JSON as error:
        if text.startswith(b"["):
            table.problems[0].append(_no_json(error))
        else:
            _read_lines(table, look, wanted)
        return
    if isinstance(values, list):
        _add(table, enumerate(values, 1))
    else:
        said = f"expected a list of objects, or one a line; got a {type(values).__name__}"
        table.problems[0].append(said)


def _no_json(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text ({error}); save it as UTF-8"
    return f"not JSON ({error}); mend it there: texts in double quotes, commas between, every bracket closed"


def _read_csv(table: Table, look: Look | None, wanted: Sequence[str]) -> None:
    """Rows under a line of names; between fields stand commas, or semicolons or tabs as some programs write
    them, or what a line `sep=` before the names says. An empty field is no value, a blank line no row."""
    try:
        text = table.path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        table.problems[0].append(f"not UTF-8 text ({error}); save it as CSV UTF-8")
        return
    first = next(filter(str.strip, io.StringIO(text, newline="")), "")
    said = SEP.fullmatch(first)
    mark = said[1] if said else max(MARKS, key=first.count)
    if mark not in first and "|" in first:
        table.problems[0].append("| stands between fields; save it with a comma, a semicolon or a tab there")
        return
    try:
        lines = io.StringIO(text, newline="")  # which, unlike splitlines, knows no ends but those of a CSV
        rows = list(_numbered(csv.reader(lines, delimiter=mark, skipinitialspace=True, strict=True)))
    except csv.Error as error:
        table.problems[0].append(f"no CSV table ({error}); save it again")
        return
    rows = rows[1:] if said else rows
    if len(rows) < 2:
        table.problems[0].append("holds no rows; write a line of column names, and a line for each row below")
        return
    _add_fields(table, rows, MARKS.get(mark, mark))


def _numbered(reader) -> Iterator[tuple[int, list[str]]]:
    """The fields of each row and the number of the line that it begins on, which is not that of the row where
    quoted texts hold line breaks."""
    number = 1
    for fields in reader:
        if any(map(str.strip, fields)):
            yield number, fields
        number = reader.line_num + 1


def _add_fields(table: Table, rows: Sequence[tuple[int, list[str]]], mark: str) -> None:
    """Adds rows of fields, the first of which are the names of the columns. mark: what separates them."""
    names = [name.strip() for name in rows[0][1]]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        table.problems[0].append(f"several columns are called {listed(twice)}; give each a name of its own")
        return
    for number, fields in rows[1:]:
        if len(fields) == len(names):
            values = {name: value for name, value in zip(names, fields, strict=True) if value.strip()}
            table.rows.append(Row(table, number, values))
        else:
            table.problems[number].append(
                f"{len(fields)} fields, but {len(names)} columns; put a text that holds {mark} in quotes, "
                "and end no line with one"
            )
    table.columns[:] = names


def _read_columns(table: Table, look: Look | None, wanted: Sequence[str]) -> None:
    """Rows of a parquet or Arrow table some at a time, so that its pictures are never all in memory."""
    path = str(table.path)
    try:
        for group, first, batch in _batches(table, look, wanted):
            for place, values in enumerate(batch.to_pylist(), first):
                found = {name: _seen(value, Picture(path, name, group, place), look)
                         for name, value in values.items()}  # fmt: skip
                table.rows.append(Row(table, len(table.rows) + 1, found))
    except (ValueError, OSError) as error:
        said = str(error).splitlines()[0][:80]
        table.problems[0].append(f"no whole {table.path.suffix[1:]} table ({said}); it may be cut off")


def _batches(table: Table, look: Look | None, wanted: Sequence[str]) -> Iterator[tuple]:
    """Number of a row group or record batch, the first row in it, and some rows with the columns to read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if table.path.suffix == ".parquet":
        with pq.ParquetFile(table.path) as source:
            names = _to_read(table, source.schema_arrow, look, wanted)
            for group in range(source.num_row_groups):
                first = 0
                for batch in source.iter_batches(AT_ONCE, [group], names):
                    yield group, first, batch
                    first += len(batch)
        return
    with pa.memory_map(str(table.path)) as mapped, pa.ipc.open_stream(mapped) as source:
        names = _to_read(table, source.schema, look, wanted)
        for group, batch in enumerate(source):
            for first in range(0, len(batch), AT_ONCE):
                yield group, first, batch.slice(first, AT_ONCE).select(names)


def _to_read(table: Table, schema, look: Look | None, wanted: Sequence[str]) -> list[str]:
    """The columns to read: those wanted; of those with bytes only pictures, if they are looked at."""
    table.columns[:] = schema.names
    stored = {name for name in schema.names if "binary" in str(schema.field(name).type)}
    unread = stored - set(PICTURES if look else ())
    return [name for name in schema.names if name not in unread and (not wanted or name in wanted)]


def _seen(value, picture: Picture, look: Look | None):
    """The value with every stored picture in it looked at; those of a list are numbered. Where a cell has a
    path in place of bytes, the path."""
    if isinstance(value, list):
        return [_seen(item, replace(picture, place=place), look) if isinstance(item, bytes | dict) else item
                for place, item in enumerate(value)]  # fmt: skip
    is_cell = isinstance(value, dict) and "bytes" in value
    content = value["bytes"] if is_cell else value
    if isinstance(content, bytes) and content and look:
        return look(content, picture)
    return value.get("path") if is_cell else value


# --- what is in a row ---------------------------------------------------------------------------------------


def text_in(row: Row, *names: str) -> str:
    """The text in the first of these columns that the row has, without white space around it; "" after a
    problem if it is no text or blank."""
    value = next((row.values[name] for name in names if row.get(name) is not None), None)
    if isinstance(value, str) and value.strip():
        return value.strip()
    columns = " or ".join(names)
    if value is None:
        row.blame(f"{columns} is missing")
    elif isinstance(value, str):
        row.blame(f"{columns} is empty; write its text or take the row out")
    else:
        row.blame(f"{columns} must be text; got {value!r:.60}")
    return ""


def stored_in(row: Row) -> Seen | None:
    """The one picture that the table holds for the row, or None; several are a problem."""
    for name in ("image", "images"):
        value = row.get(name)
        cells = [cell for cell in (value if isinstance(value, list) else [value]) if isinstance(cell, Seen)]
        if len(cells) > 1:
            row.blame(f"{len(cells)} pictures; one per row is supported")
        if cells:
            return cells[0]
    return None


def picture_of(row: Row, names: Sequence[str], folder: Path, look: Look | None) -> Picture | None:
    """The picture of a row: the one that the table holds, or the first of the names that is a file below the
    folder. Nothing, and a problem, if it is broken or leads out of the folder; nothing if it is not there."""
    seen, shown = stored_in(row), "its picture"
    for name in () if seen else names:
        path, shown = PurePosixPath(name), f"the picture {name}"
        if path.is_absolute() or ".." in path.parts:
            row.blame(f"{shown} leads out of {show(folder)}")
            return None
        if path.parts and max(map(len, path.parts)) < 250 and (folder / path).is_file():
            seen = seen_at(folder / path, look)
            break
    if seen and seen.problem:
        row.blame(f"{shown} {seen.problem}")
        return None
    return seen.picture if seen else None


# --- what is told -------------------------------------------------------------------------------------------


def told(table: Table, found: Found) -> list[str]:
    """A line for each problem or note, with the rows it is about."""
    rows: dict[str, list[int]] = defaultdict(list)
    for number, sentences in found.items():
        for sentence in dict.fromkeys(sentences):
            rows[sentence].append(number)
    return [f"{show(table.path)}{_rows(numbers)}: {sentence}" for sentence, numbers in rows.items()]


def _rows(numbers: Sequence[int]) -> str:
    if not any(numbers):
        return ""
    return f", {'row' if len(numbers) == 1 else 'rows'} {listed(numbers, LINES)}"


def raise_some(problems: Sequence[str]) -> None:
    """`raise_all`, of which the first 20 are listed and the others counted."""
    more = len(problems) - LINES
    listing = [*problems[:LINES], f"… and {more} more like these"] if more > 0 else problems
    raise_all(listing, len(problems))


def missing_pictures(what: str, missing: Sequence[str], total: int, kept: str) -> str:
    """One sentence that names and counts the pictures that are not there. kept: what `missing: keep` does."""
    names = list(dict.fromkeys(missing))
    return (
        f"{what}.pictures: {len(missing)} of {total} rows lack their picture ({len(names)} pictures): "
        f"{listed(names, NAMED)}; put them there, or set {what}.missing: keep, which {kept}"
    )
