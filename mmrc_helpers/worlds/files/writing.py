"""Rows that are in memory become files that the world of files reads: JSONL with its pictures beside it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from mmrc_helpers.errors import UserError, raise_all
from mmrc_helpers.worlds.sources.rows import PICTURES

PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


def from_rows(rows: Sequence[Mapping], folder: Path | str) -> Path:
    """Writes `rows` as rows.jsonl into `folder`, which may be absent, and returns its path for files.path.

    Pictures (PIL.Image) anywhere in a row, in lists and in messages too, are written beside it as PNG, each
    once, under the digest of their pixels. Raises UserError that lists the values that JSON cannot hold.
    """
    if not isinstance(rows, list | tuple) or not rows:
        raise UserError("from_rows: rows must be a list with at least one mapping of columns")
    folder = Path(folder).expanduser()
    strange = [n for n, row in enumerate(rows, 1) if not isinstance(row, Mapping)]
    raise_all(f"row {n}: not a mapping of columns" for n in strange)
    problems: list[str] = []
    pictures: dict[str, Image.Image] = {}
    lines = []
    for number, row in enumerate(rows, 1):
        plain = {n: _plain(_located(n, v), f"row {number}: {n}", pictures, problems) for n, v in row.items()}
        lines.append(json.dumps(plain, ensure_ascii=False) + "\n" if not problems else "")
    raise_all(problems)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        kept = picture if picture.mode in PNG_MODES else picture.convert("RGB")
        _save(folder / name, lambda part, kept=kept: kept.save(part, format="PNG"))
    path = folder / "rows.jsonl"
    _save(path, lambda part: part.write_text("".join(lines), encoding="utf-8"))
    return path


def _located(column: str, value):
    """Paths of pictures as absolute ones: rows in memory are written from here, not beside the file."""
    if column not in PICTURES:
        return value
    if isinstance(value, list | tuple):
        return [_located(column, item) for item in value]
    return Path(value) if isinstance(value, str) else value


def _plain(value, where: str, pictures: dict[str, Image.Image], problems: list[str]):
    """The value as JSON holds it, with the names of pictures in place of pictures."""
    if isinstance(value, Image.Image):
        try:
            data = value.mode.encode() + repr(value.size).encode() + value.tobytes()
        except (OSError, ValueError) as error:  # pixels are read here, from a file that may be torn or closed
            problems.append(f"{where}: a picture cannot be read ({error}); open it again")
            return None
        name = f"pictures/{hashlib.blake2b(data, digest_size=10).hexdigest()}.png"
        pictures[name] = value
        return name
    if isinstance(value, Mapping):
        return {key: _plain(item, where, pictures, problems) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, where, pictures, problems) for item in value]
    if isinstance(value, Path):
        return str(value.expanduser().resolve())
    if value is not None and not isinstance(value, str | int | float | bool):
        problems.append(
            f"{where} holds a {type(value).__name__}; write texts, numbers, lists, mappings or pictures"
        )
    return value


def _save(path: Path, write) -> None:
    """Written beside and renamed, so that no file is ever half there."""
    part = path.with_name(f"{path.name}.part")
    write(part)
    part.replace(path)
