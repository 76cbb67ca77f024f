"""A finished study as one zip file, and back: an RO-Crate 1.1, whose ro-crate-metadata.json names every file
with its size and SHA-256. A zip may come from anywhere: one that is not as it says leaves nothing behind."""

import hashlib
import json
import re
import shutil
import time
import tomllib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from mmrc_helpers.errors import UserError, check_name, listed, show
from mmrc_helpers.store import disk, files, folders

METADATA = "ro-crate-metadata.json"
MARK = "imported.json"  # in a crate and in the artifacts that it becomes: which study it is
FORMAT = "mmrc-study/1"  # raised when a reader of the version before could not read it
# Where files may lie in a crate, what they are called, and of which kinds: none that would be executed.
PLACES = ("params", "studies", "data", "train", "eval", "dynamics")
PART = re.compile(r"\w[\w.+=-]*")
KINDS = {
    ".json": "application/json", ".jsonl": "application/jsonl", ".yaml": "application/yaml",
    ".txt": "text/plain", ".md": "text/markdown", ".tex": "application/x-tex", ".csv": "text/csv",
    ".jinja": "text/plain", ".html": "text/html", ".ipynb": "application/x-ipynb+json",
    ".png": "image/png", ".pdf": "application/pdf", ".svg": "image/svg+xml",
    ".parquet": "application/vnd.apache.parquet", ".safetensors": "application/octet-stream",
}  # fmt: skip
PACKED_ALREADY = (".png", ".pdf", ".parquet", ".safetensors")
LARGEST_METADATA = 50_000_000  # bytes
PIECE = 1 << 20  # bytes read at once
TERMS = (
    "What the project's code generates: MIT. Rows, pictures and models that a user handed in keep their own "
    "terms."
)


def is_name(name: str) -> bool:
    """Whether a file may have this path in a crate."""
    first, *rest = name.split("/")
    plain = all(PART.fullmatch(part) for part in rest) and Path(name).suffix in KINDS
    return name == MARK or bool(plain and rest and first in PLACES)


# --- writing ------------------------------------------------------------------------------------------------


def pack(path: Path, about: Mapping, contents: Mapping[str, Path | bytes]) -> None:
    """Writes a crate: beside its place, then renamed. about: study, question; they stand in MARK as well.
    contents: path in the crate → file or bytes. Raises UserError if the file exists already or a path is none
    that a crate may hold."""
    if wrong := [name for name in contents if not is_name(name)]:
        raise UserError(f"{show(path)}: {listed(wrong)} cannot be in it; rename or remove what lies there")
    if path.exists():
        raise UserError(f"{show(path)} exists already; remove it, or give another name")
    contents = {**contents, MARK: (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode()}
    files.make_folder(path.absolute().parent)
    part = path.with_name(f"{path.name}.part")
    try:
        with disk.writing_into(path.absolute().parent):
            with part.open("wb") as file, zipfile.ZipFile(file, "w") as crate:
                sums = {name: _put(crate, name, contents[name]) for name in sorted(contents)}
                _put(crate, METADATA, (json.dumps(_metadata(about, sums), indent=1) + "\n").encode())
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _put(crate: zipfile.ZipFile, name: str, content: Path | bytes) -> tuple[int, str]:
    """Writes one file; returns its size and SHA-256. Dates are left out: equal files make equal crates."""
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o644 << 16
    packed = name.endswith(PACKED_ALREADY)
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    size, digest = 0, hashlib.sha256()
    with crate.open(info, "w", force_zip64=True) as file:
        for piece in _pieces(content):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def _pieces(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _metadata(about: Mapping, sums: Mapping[str, tuple[int, str]]) -> dict:
    """The JSON-LD of a crate. RO-Crate 1.1 has no word for sums, so schema.org's is added to its context."""
    parts = [
        {"@id": quote(name), "@type": "File", "name": name, "contentSize": str(size), "sha256": digest,
         "encodingFormat": KINDS[Path(name).suffix]}
        for name, (size, digest) in sums.items()
    ]  # fmt: skip
    # The package is not installed but found in its place, so its version stands in one file alone.
    version = tomllib.loads((files.REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    graph = [
        {"@id": METADATA, "@type": "CreativeWork", "about": {"@id": "./"},
         "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"}},
        {"@id": "./", "@type": "Dataset", "name": f"Study {about['study']}", "identifier": about["study"],
         "description": about["question"] or f"The study {about['study']}.", "schemaVersion": FORMAT,
         "datePublished": time.strftime("%F"), "license": {"@id": "#terms"},
         "hasPart": [{"@id": part["@id"]} for part in parts]},
        {"@id": "#terms", "@type": "CreativeWork", "name": "Terms", "description": TERMS},
        {"@id": "#code", "@type": "SoftwareApplication", "name": "mmrc_helpers", "softwareVersion": version},
        {"@id": "#made", "@type": "CreateAction", "instrument": {"@id": "#code"}, "result": {"@id": "./"}},
        *parts,
    ]  # fmt: skip
    return {"@context": ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://schema.org/sha256"}],
            "@graph": graph}  # fmt: skip


# --- reading ------------------------------------------------------------------------------------------------


def unpack(path: Path, place: Path) -> Path:
    """Checks a crate and puts it below `place`, in a folder of its study's name, which is there whole or not
    at all; returns that folder. Raises UserError, which says what is wrong with the crate, or that the folder
    exists."""
    if not path.is_file():
        raise UserError(f"{show(path)}: no such file")
    try:
        with zipfile.ZipFile(path) as crate:
            return _unpacked(crate, path, place)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        said = f"{show(path)} is damaged, or no zip file ({error}); fetch or export it again"
        raise UserError(said) from error


def _unpacked(crate: zipfile.ZipFile, path: Path, place: Path) -> Path:
    parts = _parts(crate, path)
    about = _about(crate, parts, path)
    folder = place / about["study"]
    disk.require(place, sum(size for size, _ in parts.values()))
    part = folders.part_of(folder)
    with disk.writing_into(place), folders.claim(folder):
        if folder.exists():
            raise UserError(f"{show(folder)} exists already; remove it to import {show(path)} anew")
        shutil.rmtree(part, ignore_errors=True)
        try:
            for name, (size, digest) in parts.items():
                files.make_folder((part / name).parent)
                with (part / name).open("wb") as file:
                    file.writelines(_checked(crate, name, size, digest, path))
            disk.sync(part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _parts(crate: zipfile.ZipFile, path: Path) -> dict[str, tuple[int, str]]:
    """{path in the crate: (bytes, SHA-256)} as its metadata says. Raises UserError unless these are just the
    files that it holds, under paths that stay inside."""
    held = {info.filename: info for info in crate.infolist() if not info.is_dir()}
    names = [info.filename for info in crate.infolist()]
    if METADATA not in held:
        raise UserError(f"{show(path)} has no {METADATA}: it was not written by --export")
    if wrong := [name for name in names if name != METADATA and not is_name(name)]:
        raise UserError(f"{show(path)} holds {wrong[0]!r}, which no study has; nothing is unpacked")
    if len(names) != len(set(names)):
        raise UserError(f"{show(path)} holds a file twice; nothing is unpacked")
    for name, info in held.items():
        if (info.external_attr >> 16) & 0o170000 not in (0, 0o100000) or info.flag_bits & 1:
            raise UserError(f"{show(path)}: {name} is a link or encrypted; nothing is unpacked")
    named = _named(crate, held[METADATA], path)
    if wrong := sorted(set(named) ^ (set(held) - {METADATA})):
        raise UserError(f"{show(path)}: {METADATA} and the files disagree about {wrong[0]}; fetch it again")
    return named


def _named(crate: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> dict[str, tuple[int, str]]:
    """The files that the metadata names."""
    if info.file_size > LARGEST_METADATA:
        raise UserError(f"{show(path)}: {METADATA} is too large to be one; nothing is unpacked")
    try:
        graph = {entity["@id"]: entity for entity in json.loads(crate.read(info))["@graph"]}
        said = graph["./"].get("schemaVersion")
        parts = [graph[part["@id"]] for part in graph["./"]["hasPart"]] if said == FORMAT else []
        named = {unquote(of["@id"]): (int(of["contentSize"]), str(of["sha256"])) for of in parts}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{show(path)}: {METADATA} is damaged ({type(error).__name__}: {error})") from error
    if said != FORMAT:
        raise UserError(f"{show(path)} is of the format {said!r}, and this version reads {FORMAT}; "
                        "export it again with this one")  # fmt: skip
    return named


def _about(crate: zipfile.ZipFile, parts: Mapping[str, tuple[int, str]], path: Path) -> dict:
    """What MARK says, once it is known to be whole."""
    try:
        content = b"".join(_checked(crate, MARK, *parts[MARK], path))
        about = json.loads(content)
        check_name(about["study"], f"{show(path)}: {MARK}: study")
        if f"params/{about['study']}.yaml" in parts and isinstance(about["question"], str):
            return about
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{show(path)}: {MARK} is damaged ({type(error).__name__}: {error})") from error
    raise UserError(f"{show(path)}: the file of the study {about['study']!r} is not in it; export it again")


def _checked(crate: zipfile.ZipFile, name: str, size: int, digest: str, path: Path) -> Iterator[bytes]:
    """The pieces of a file. Raises UserError at one byte too many, and at the end if the sum is another."""
    found, left = hashlib.sha256(), size
    with crate.open(name) as file:
        while piece := file.read(min(PIECE, left + 1)):
            left -= len(piece)
            found.update(piece)
            if left < 0:
                break
            yield piece
    if left or found.hexdigest() != digest:
        raise UserError(f"{show(path)}: {name} is not what {METADATA} says (size or SHA-256); fetch it again")


# --- imported artifacts -------------------------------------------------------------------------------------


def imported() -> dict:
    """What MARK says of the present artifacts, if they were imported; {} for those of one's own."""
    path = files.artifacts_root() / MARK
    return files.read_json(path) if path.is_file() else {}


def imported_roots() -> list[Path]:
    """The artifacts that were imported into the present ones, one folder for each study."""
    return sorted(path.parent for path in imports_folder().glob(f"*/{MARK}") if path.parent.suffix != ".part")


def imports_folder() -> Path:
    """Where imported studies lie."""
    return files.artifacts_root() / "imported"


def refuse_if_imported(what: str) -> None:
    """Raises UserError if the present artifacts were imported: they are only read."""
    if of := imported():
        raise UserError(
            f"{show(files.artifacts_root())} holds the imported study {of.get('study')}, which is only read, "
            f"so {what}; set MMRC_ARTIFACTS to a folder of yours, or to nothing"
        )
