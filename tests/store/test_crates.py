"""Crates: a study goes into a zip and comes out the same, and a zip that is not as it says leaves nothing."""

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mmrc_helpers.errors import UserError
from mmrc_helpers.store import crates, disk

ABOUT = {"study": "mini", "question": "Does it come back?", "weights": False}
CONTENTS = {
    "params/mini.yaml": b"question: Does it come back?\n",
    "studies/mini/report.html": b"<p>all of it</p>" * 100,
    "eval/answers-0123abcd/answers.jsonl": b'{"id": 1}\n',
}
ANSWERS = "eval/answers-0123abcd/answers.jsonl"


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "artifacts"


@pytest.fixture
def packed(tmp_path) -> Path:
    crates.pack(tmp_path / "mini.zip", ABOUT, CONTENTS)
    return tmp_path / "mini.zip"


def rewritten(
    path: Path, change: Callable[[dict[str, bytes]], None], more: zipfile.ZipInfo | None = None
) -> Path:
    """The crate with other files in it, and perhaps one that has to be described by hand."""
    with zipfile.ZipFile(path) as crate:
        files = {name: crate.read(name) for name in crate.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as crate:
        for name, content in files.items():
            crate.writestr(name, content)
        if more is not None:
            crate.writestr(more, b"../../elsewhere")
    return path


def with_metadata(change: Callable[[dict[str, dict]], None]) -> Callable[[dict[str, bytes]], None]:
    """What changes the entities of the metadata, by their names."""

    def rewrite(files: dict[str, bytes]) -> None:
        content = json.loads(files[crates.METADATA])
        change({entity["@id"]: entity for entity in content["@graph"]})
        files[crates.METADATA] = json.dumps(content).encode()

    return rewrite


def named(name: str) -> Callable[[dict[str, bytes]], None]:
    """What moves the answers to another path, in the metadata too."""

    def rename(files: dict[str, bytes]) -> None:
        files[name] = files.pop(ANSWERS)
        files[crates.METADATA] = files[crates.METADATA].replace(ANSWERS.encode(), name.encode())

    return rename


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("studies/mini/link.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_what_was_packed_comes_out_the_same(packed, artifacts):
    root = crates.unpack(packed, crates.imports_folder())
    assert root == artifacts / "imported" / "mini" and crates.imported_roots() == [root]
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert json.loads(found.pop(crates.MARK)) == ABOUT
    assert found == CONTENTS


def test_equal_studies_make_equal_crates(packed, tmp_path):
    crates.pack(tmp_path / "again.zip", ABOUT, CONTENTS)
    assert disk.checksum(tmp_path / "again.zip") == disk.checksum(packed)


def test_the_metadata_is_an_ro_crate_that_names_every_file_with_its_sum(packed):
    with zipfile.ZipFile(packed) as crate:
        content = json.loads(crate.read(crates.METADATA))
        names = set(crate.namelist()) - {crates.METADATA}
    entities = {entity["@id"]: entity for entity in content["@graph"]}
    assert content["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    about = entities[crates.METADATA]
    assert about["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"} and about["about"] == {"@id": "./"}
    root = entities["./"]
    assert root["@type"] == "Dataset" and {"name", "description", "datePublished", "license"} <= set(root)
    assert {part["@id"] for part in root["hasPart"]} == names
    assert all(entities[name]["@type"] == "File" and len(entities[name]["sha256"]) == 64 for name in names)
    assert root["license"]["@id"] in entities


WRONG = {  # what is done to it, and what is said of it
    "no metadata": (lambda files: files.pop(crates.METADATA), "has no ro-crate-metadata.json"),
    "metadata is no JSON": (lambda files: files.update({crates.METADATA: b"{"}), "metadata.json is damaged"),
    "metadata is a list": (lambda files: files.update({crates.METADATA: b"[]"}), "metadata.json is damaged"),
    "another format": (
        with_metadata(lambda of: of["./"].update(schemaVersion="mmrc-study/2")),
        "is of the format 'mmrc-study/2', and this version reads mmrc-study/1",
    ),
    "a crate of somebody else": (
        with_metadata(lambda of: of["./"].pop("schemaVersion")),
        "of the format None",
    ),
    "another sum": (lambda files: files.update({ANSWERS: b'{"id": 2}\n'}), "answers.jsonl is not what"),
    "longer than it says": (
        lambda files: files.update({ANSWERS: b"0" * 99_999}),
        "answers.jsonl is not what",
    ),
    "shorter than it says": (lambda files: files.update({ANSWERS: b""}), "answers.jsonl is not what"),
    "a file is missing": (
        lambda files: files.pop(ANSWERS),
        "disagree about eval/answers-0123abcd/answers.jsonl",
    ),
    "a file too many": (lambda files: files.update({"data/x.json": b""}), "disagree about data/x.json"),
    "a way out": (named("studies/../../../x.json"), "which no study has"),
    "an absolute path": (named("/tmp/x.json"), "which no study has"),
    "a drive": (named("C:/x.json"), "which no study has"),
    "backslashes": (named("studies\\..\\x.json"), "which no study has"),
    "a hidden file": (named("studies/mini/.bashrc"), "which no study has"),
    "a place that no study has": (named("mmrc_helpers/run.json"), "which no study has"),
    "a program": (named("studies/mini/run.py"), "which no study has"),
    "a study named like a path": (
        lambda files: files.update({crates.MARK: json.dumps({**ABOUT, "study": "../up"}).encode()}),
        "imported.json is not what",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_crate_that_is_not_as_it_says_is_one_error_and_leaves_nothing(packed, artifacts, case):
    change, said = WRONG[case]
    with pytest.raises(UserError) as raised:
        crates.unpack(rewritten(packed, change), crates.imports_folder())
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert left_in(artifacts) == []


def left_in(artifacts: Path) -> list[str]:
    """The files that an import left, but for the file that locks it."""
    found = (path for path in artifacts.rglob("*") if path.is_file() and ".claims" not in path.parts)
    return [str(path.relative_to(artifacts)) for path in found]


@pytest.mark.parametrize("study", ["../up", "a/b", "", 3, None, "UP"])
def test_a_study_whose_name_is_none_is_not_unpacked(tmp_path, artifacts, study):
    crates.pack(tmp_path / "mini.zip", {**ABOUT, "study": study}, CONTENTS)
    with pytest.raises(UserError, match="is not a name"):
        crates.unpack(tmp_path / "mini.zip", crates.imports_folder())
    assert left_in(artifacts) == []


def test_a_link_is_not_unpacked(packed, artifacts):
    with pytest.raises(UserError, match="link.json is a link or encrypted"):
        crates.unpack(rewritten(packed, lambda files: None, link()), crates.imports_folder())
    assert left_in(artifacts) == []


def test_a_file_that_is_there_twice_is_not_unpacked(packed, artifacts):
    with pytest.warns(UserWarning, match="Duplicate name"):
        rewritten(packed, lambda files: None, zipfile.ZipInfo(ANSWERS))
    with pytest.raises(UserError, match="holds a file twice"):
        crates.unpack(packed, crates.imports_folder())
    assert left_in(artifacts) == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_file_that_was_cut_off_is_said_to_be_damaged(packed, artifacts, share):
    whole = packed.read_bytes()
    packed.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match="is damaged, or no zip file"):
        crates.unpack(packed, crates.imports_folder())
    assert left_in(artifacts) == []


def test_no_byte_can_change_unseen(packed, artifacts):
    """A flipped bit is found, or it lies where it means nothing and what comes out is the same."""
    whole, found = packed.read_bytes(), 0
    for place in range(0, len(whole), 37):
        packed.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
        try:
            root = crates.unpack(packed, crates.imports_folder())
        except UserError:
            found += 1
            assert left_in(artifacts) == []
            continue
        for name, content in CONTENTS.items():
            assert (root / name).read_bytes() == content, place
        for path in sorted(root.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        root.rmdir()
    assert found > len(whole) / 37 / 2


def test_what_is_there_is_never_replaced(packed, artifacts, tmp_path):
    root = crates.unpack(packed, crates.imports_folder())
    (root / "note.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already; remove it to import"):
        crates.unpack(packed, crates.imports_folder())
    assert (root / "note.txt").read_text() == "mine"
    with pytest.raises(UserError, match="exists already; remove it, or give another name"):
        crates.pack(packed, ABOUT, CONTENTS)


def test_what_a_crate_cannot_hold_is_not_packed(tmp_path):
    with pytest.raises(UserError, match="studies/mini/run.sh cannot be in it"):
        crates.pack(tmp_path / "mini.zip", ABOUT, {**CONTENTS, "studies/mini/run.sh": b""})
    assert list(tmp_path.iterdir()) == []
