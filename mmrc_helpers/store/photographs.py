"""Pictures that a data set names by URL, fetched one by one into a folder under the names by which the worlds
`vqa` and `vsr` look for them. What is there is not fetched again; links that lead nowhere are counted."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from io import BytesIO
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from PIL import Image

from mmrc_helpers.errors import FILE_NAME, UserError, listed, show
from mmrc_helpers.store import disk, files

AT_ONCE = 16
SECONDS = 30  # without a byte, after which a picture is given up
MOST_BYTES = 64 << 20  # of a picture
SAY_SECONDS = 10
AGENT = {"User-Agent": "mmrc_helpers (fetches the pictures of a public data set for research)"}


def fetch(
    name: str, spec: Mapping, tables: Sequence[Path], folder: Path, rows: int, say: Callable[[str], None]
) -> None:
    """Fetches the pictures that tables name into a folder, and says how many are there.

    spec: `url`, the column that holds it, or `base` and the column `name` behind it; `named`: "sum" names a
    file by the SHA-256 of its URL, "name" by the column `name`. rows: of each table, from the first; 0: all.
    Raises UserError for a table that is not so, and if no picture at all could be fetched.
    """
    wanted: dict[str, str] = {}
    for table in tables:
        try:
            wanted |= dict(_named(row, spec) for row in islice(_rows(table, spec), rows or None))
        except ValueError as error:  # as those of JSON and Parquet are
            said = str(error).splitlines()[0]
            raise UserError(f"{show(table)} is damaged ({said}); remove it and fetch it again") from error
    if not wanted:
        raise UserError(f"no row of {listed(map(show, tables))} says where its picture is")
    files.make_folder(folder)
    missing = {own: url for own, url in wanted.items() if not (folder / own).is_file()}
    say(f"{name}: {len(wanted)} pictures, {len(missing)} to fetch → {show(folder)}")
    failures = _fetch_all(missing, folder, lambda done: say(f"{name}: {done} of {len(missing)} pictures"))
    if failures:
        said = f"{len(failures)} of {len(wanted)} pictures could not be fetched, the first {failures[0]}"
        if len(failures) == len(wanted):
            raise UserError(said)
        say(f"{name}: {said}; the same command tries them again, `missing: keep` goes without them")


def _rows(table: Path, spec: Mapping) -> Iterator[Mapping]:
    """The rows of a table that say where their pictures are."""
    columns = [spec[key] for key in ("url", "name") if key in spec]
    if table.suffix == ".parquet":
        import pyarrow.parquet as pq

        batches = pq.ParquetFile(table).iter_batches(columns=columns)
        rows: Iterator = (row for batch in batches for row in batch.to_pylist())
    elif table.suffix == ".jsonl":
        rows = map(json.loads, filter(str.strip, table.read_text(encoding="utf-8").splitlines()))
    else:
        rows = iter(json.loads(table.read_text(encoding="utf-8")))
    return (row for row in rows if all(row.get(column) for column in columns))


def _named(row: Mapping, spec: Mapping) -> tuple[str, str]:
    """A picture's file name and URL."""
    url = row[spec["url"]] if "url" in spec else spec["base"] + row[spec["name"]]
    own = hashlib.sha256(url.encode()).hexdigest() if spec["named"] == "sum" else row[spec["name"]]
    if not FILE_NAME.fullmatch(own):
        raise UserError(f"{own!r} is no plain file name for a picture; the table is not as published")
    return own, url


def _fetch_all(wanted: Mapping[str, str], folder: Path, say: Callable[[int], None]) -> list[str]:
    """Fetches pictures, some at once, and now and then says how many are done. Returns why some are not."""
    failures, said = [], time.monotonic()
    with disk.writing_into(folder), ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda item: _fetch_one(item[1], folder / item[0]), wanted.items())
        for done, failure in enumerate(found, 1):
            failures += [failure] if failure else []
            if time.monotonic() - said > SAY_SECONDS:
                say(done)
                said = time.monotonic()
    return failures


def _fetch_one(url: str, path: Path) -> str:
    """Fetches one picture, whole or not at all; returns what went wrong, or nothing."""
    if urlsplit(url).scheme not in ("http", "https"):
        return f"{url}: no web address"
    try:
        with urlopen(Request(url, headers=AGENT), timeout=SECONDS) as answer:
            content = answer.read(MOST_BYTES + 1)
    except (OSError, HTTPException, ValueError) as error:  # unreachable, refused, cut off, no URL
        return f"{url}: {error}"
    if problem := _no_picture(content):
        return f"{url}: {problem}"
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(content)
    beside.replace(path)
    return ""


def _no_picture(content: bytes) -> str:
    """What is wrong with what was sent; often it is a page that says that the picture is gone."""
    if len(content) > MOST_BYTES:
        return "larger than a picture should be"
    try:
        with Image.open(BytesIO(content)) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError) as error:
        return f"no picture ({type(error).__name__})"
    return ""
