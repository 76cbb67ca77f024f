"""What every layout becomes, and the pictures that a row shows."""

from dataclasses import dataclass
from pathlib import Path

from mmrc_helpers.tasks.example import Turn
from mmrc_helpers.worlds.sources.pictures import Seen, inspect, seen_at
from mmrc_helpers.worlds.sources.rows import Row


@dataclass(frozen=True)
class Sample:
    """One row. prompt: the conversation up to the answer. rejected: a worse answer to it. other: a worse
    context of the same answer. final: what the answer must come to; empty: it must be the answer itself.
    fact: rows with the same one stay in one split. options: wrong answers to compare with. written: whether
    the model is also to write the answer itself."""

    row: int
    source: str
    prompt: tuple[Turn, ...]
    answer: str
    fact: str
    rejected: str = ""
    other: tuple[Turn, ...] = ()
    final: str = ""
    direction: str = ""
    options: tuple[str, ...] = ()
    written: bool = True


def sample(row: Row, prompt: tuple[Turn, ...], answer: str, fact: str, **fields) -> Sample:
    """The row as a Sample."""
    return Sample(row.number, row.table.path.stem, prompt, answer, fact, **fields)


def pictures_of(row: Row, column: str) -> list[str]:
    """The names of the pictures in a column, which may be absent; problems and conversions are reported."""
    value = row.get(column)
    if value is None:
        return []
    if column != "image" and not isinstance(value, list):
        row.blame(f"{column} is {_kind(value)}; write a list of pictures")
        return []
    items = value if isinstance(value, list) else [value]
    return [name for item in items if (name := picture_named(item, column, row))]


def picture_named(value, column: str, row: Row) -> str:
    """The name of one picture, given as a path, as `{"path": …}` or stored in the table; "" if unusable."""
    shown = "a stored picture"
    if isinstance(value, dict) and value.get("path"):
        value = value["path"]
    if isinstance(value, str):
        shown = value
        if value.startswith(("http://", "https://", "data:")):
            row.blame(f"{column}: {value[:60]} is no file; save the picture and write its path")
            return ""
        value = _at(row, row.table.path.parent / Path(value).expanduser())
        if value is None:
            row.blame(f"{column}: {shown} is not there; paths are relative to the data file")
            return ""
    if not isinstance(value, Seen):
        row.blame(f"{column} holds {_kind(value)}; a picture is a path")
        return ""
    if value.problem:
        row.blame(f"{column}: {shown} {value.problem}")
        return ""
    if value.mode != "RGB":
        row.note(f"pictures of mode {value.mode} are converted to RGB")
    name = f"picture-{value.digest}"
    row.table.pictures.setdefault(name, value.picture)
    return name


def _at(row: Row, path: Path) -> Seen | None:
    """The picture in a file, looked at once for all rows; None if it is not there."""
    if path not in row.table.seen and path.is_file():
        row.table.seen[path] = seen_at(path, inspect)
    return row.table.seen.get(path)


def _kind(value) -> str:
    return {str: "a text", dict: "a mapping", list: "a list", bool: "true or false"}.get(
        type(value), "a number" if isinstance(value, int | float) else type(value).__name__
    )
