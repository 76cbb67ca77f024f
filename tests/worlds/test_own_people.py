"""A user's own people or things: a table makes the same questions as drawn people have, and whatever is wrong
with it ends in one message."""

import csv
import io
import json
import struct
import subprocess
import sys
import zlib
from itertools import islice
from pathlib import Path

import finished_study
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmrc_helpers.analysis import reading
from mmrc_helpers.errors import UserError
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study import stages
from mmrc_helpers.study.parameters import read_known
from mmrc_helpers.study.runs import PARAMS_FOLDER, load_study
from mmrc_helpers.tasks.rows import chats_of
from mmrc_helpers.worlds import INVALID, Data
from mmrc_helpers.worlds.people import WORLD
from mmrc_helpers.worlds.people.grade import grade
from mmrc_helpers.worlds.sources.pictures import repeated

KNOWN = plain(read_known(PARAMS_FOLDER / "worlds" / "people.yaml").defaults)
NAMES = [
    "Rosa canina",
    "Iris",
    "Étoile d'or",
    "Linum",
    "Viola",
    "Aster",
    "Salvia",
    "Crocus",
    "Malva",
    "Silene",
]
SMALL = {
    **{"pictures": "folder", "path": "people.csv", "background": 2, "options": 2, "test_views": 1},
    **{"image_size": 16, "train_views": 3, "train_scenes": 1, "text_scenes": 4},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def facts(**changes) -> dict:
    return {**KNOWN["facts"], **SMALL, **changes}


def picture(name: str, seed, size=(12, 8), mode="RGB", **how) -> str:
    """A picture of noise in a file."""
    pixels = np.random.default_rng(list(seed)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(name, **how)
    return name


def rows(views=3, **more) -> list[dict]:
    """Rows of ten names; one in four has one picture more."""
    return [
        {
            "image": picture(f"{k}-{v}.png", (k, v)),
            "name": name,
            "colour": ("red", "blue", "white")[k % 3],
            **more,
        }
        for k, name in enumerate(NAMES)
        for v in range(views + (k % 4 == 0))
    ]


def write(table: list[dict], name="people.csv", delimiter=",") -> str:
    if name.endswith(".jsonl"):
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")
        return name
    with Path(name).open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(table)
    return name


def made(**changes):
    found = WORLD.make(facts(**changes), 0)
    return found, Data(list(found.examples), found.facts)


def message(**changes) -> str:
    with pytest.raises(UserError) as error:
        WORLD.make(facts(**changes), 0)
    return str(error.value)


# --- what is made ------------------------------------------------------------------------------------------


def test_a_table_makes_every_cell_of_people_with_disjoint_pictures():
    write(rows())
    found, data = made(attributes=["colour"], noun="plant")
    assert [row for row in WORLD.promises(data) if row[1] != row[2]] == []
    cells = {e.cell("population", "direction", "format") for e in data.examples if e.split == "test"}
    formats = ("free", "choice", "judge")
    assert cells >= {
        f"{p}/{d}/{f}" for p in ("novel", "background") for d in ("forward", "reverse") for f in formats
    }
    assert {p["population"] for p in data.facts} == {"novel", "background"} and len(data.facts) == 10
    shown = {
        split: {n for e in data.examples if e.split == split for n in e.pictures}
        for split in ("train", "test")
    }
    drawn = {name: found.draw(found.pictures[name]).tobytes() for names in shown.values() for name in names}
    assert not {drawn[name] for name in shown["train"]} & {drawn[name] for name in shown["test"]}
    said = " ".join(text for e in data.examples for kind, text in e.prompt if kind == "text")
    assert "this plant" in said and "person" not in said and "Who" not in said


def test_names_of_any_words_are_graded_strictly():
    write(rows())
    _, data = made()
    naming = [e for e in data.examples if e.cell("topic", "direction", "format") == "identity/forward/free"]
    assert {e.answer.removeprefix("This is ").removesuffix(".") for e in naming} == set(NAMES)
    for e in naming:
        assert grade(e, e.answer).right and grade(e, e.answer.removeprefix("This is ")).right
        for other_format in ("Wrong", "B.", "This is A."):
            assert grade(e, other_format).answer == INVALID
        for wrong in ("", "This is", f"{e.answer} Or not.", f"{e.answer}\nYes", "a b c d e f g h i"):
            assert not grade(e, wrong).right


def test_without_attributes_looks_are_neither_taught_nor_asked():
    write(rows())
    _, data = made()
    assert not [e for e in data.examples if e.facets["topic"] == "attribute" or "about" in e.truth]
    train = Data([e for e in data.examples if e.split == "train"], data.facts)
    assert len(list(islice(WORLD.teach(train, {**KNOWN["teach"]}, 0), 50))) == 50


def test_ragged_views_are_permuted_and_paired_with_pictures_that_exist():
    write(rows())
    found, data = made(background=2)
    train = Data([e for e in data.examples if e.split == "train"], data.facts)
    teach = {
        **KNOWN["teach"],
        "cells": ["forward/free", "forward/judge", "reverse/choice"],
        "shuffle_names": True,
    }
    taught = {
        n for chat in islice(WORLD.teach(train, teach, 0), 200) for e in chat.examples for n in e.pictures
    }
    for pair in islice(WORLD.pairs(train, {**teach, "shuffle_names": False}, 0, "context"), 100):
        taught |= {
            part[1]
            for chat in chats_of(pair)
            for _, parts in chat.turns
            for part in parts
            if part[0] == "image"
        }
    tests = {name for e in data.examples if e.split == "test" for name in e.pictures}
    assert taught <= set(found.pictures) and not taught & tests


def test_pictures_are_upright_rgb_and_no_longer_than_asked():
    table = rows()
    turned = Image.Exif()
    turned[0x0112] = 6  # a camera held on its side
    table[0]["image"] = picture("turned.jpg", (90, 0), (40, 20), exif=turned)
    table[1]["image"] = picture("palette.gif", (91, 0), mode="P")
    table[2]["image"] = picture("grey.png", (92, 0), mode="LA")
    write(table)
    found, _ = made(background=0)
    drawn = [found.draw(of) for name, of in found.pictures.items() if not name.startswith("noise")]
    assert {image.mode for image in drawn} == {"RGB"} and max(max(image.size) for image in drawn) <= 16
    assert (8, 16) in {image.size for image in drawn}


def test_a_column_or_a_number_says_who_is_background():
    table = rows()
    for row in table:
        row["population"] = "background" if row["name"] in NAMES[:2] else "novel"
    write(table)
    _, data = made()
    assert {p["name"] for p in data.facts if p["population"] == "background"} == set(NAMES[:2])
    write(rows())
    known = [
        {p["name"] for p in WORLD.make(facts(), seed).facts if p["population"] == "background"}
        for seed in (0, 1)
    ]
    assert known[0] == known[1] and len(known[0]) == 2


@pytest.mark.parametrize("kind", ["semicolons", "jsonl", "parquet", "datasets"])
def test_every_kind_of_table_says_the_same(kind):
    table = rows()
    write(table)
    path = {"semicolons": "s.csv", "jsonl": "p.jsonl", "parquet": "p.parquet", "datasets": "saved"}[kind]
    stored = [{**row, "image": {"bytes": Path(row["image"]).read_bytes(), "path": None}} for row in table]
    if kind == "semicolons":
        write(table, path, ";")
    elif kind == "jsonl":
        write([{**row, "attributes": {"colour": row["colour"]}} | {"colour": None} for row in table], path)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(stored), path)
    else:
        import datasets

        datasets.Dataset.from_list(stored).save_to_disk(path)
    (one, data), (other, again) = made(attributes=["colour"]), made(attributes=["colour"], path=path)
    assert [e.id for e in data.examples] == [e.id for e in again.examples]
    assert list(data.facts) == list(again.facts)
    name = data.facts[0]["pictures"][0]
    assert one.draw(one.pictures[name]).tobytes() == other.draw(other.pictures[name]).tobytes()


def test_the_key_holds_the_content_of_table_and_pictures_and_nothing_of_other_kinds(folder):
    write(rows())
    (folder / "mine.yaml").write_text(
        "extends: own_people\npeople: {path: people.csv, options: 2, background: 2}\n"
    )

    def stage():
        return stages.data_stage(load_study("mine.yaml").runs[0])

    before = stage()
    assert len(before.params["files"]) == 1 + len(rows()) and "sdxl" not in before.params["world"]["facts"]
    picture("0-0.png", (7, 7))
    assert stage().key != before.key
    facts = stages.data_stage(load_study("hello").runs[0]).params["world"]["facts"]
    assert not {"pictures", "path", "split", "noun", "attributes", "sdxl"} & set(facts)


def notes(**changes) -> str:
    return "\n".join(WORLD.make(facts(**changes), 0).notes)


def test_attributes_that_never_differ_are_told():
    write(rows(habitat="meadow"))
    said = notes(attributes=["colour", "habitat"])
    assert said == "the same for all, so that nothing asks about it: habitat"


def saved_again(table: list[dict], row: int, name: str, **how) -> None:
    """Adds a row with the same picture in another file."""
    again = Image.open(table[row]["image"]).convert("RGB")
    again.resize([side // how.pop("by", 1) for side in again.size]).save(name, **how)
    table.append({**table[row], "image": name})


def test_pictures_that_were_saved_again_are_named():
    table = rows()
    for k, row in enumerate(table):
        picture(row["image"], (k,), (8, 6))  # as smooth as photographs are
        Image.open(row["image"]).resize((120, 80), Image.Resampling.BICUBIC).save(row["image"])
    write(table)
    assert notes(attributes=["colour"]) == ""
    saved_again(table, 0, "0-0.jpg", quality=80)
    saved_again(table, 4, "half.png", by=2)
    saved_again(table, 5, "dot.png")
    with Image.open("dot.png") as dotted:
        dotted.putpixel((60, 40), (0, 0, 0))
        dotted.save("dot.png")
    saved_again(table, 8, "other.jpg")
    table[-1] |= {"name": NAMES[0], "colour": "red"}
    write(table)
    own, other = notes(attributes=["colour"]).split("\n")
    assert "their name: 0-0.jpg as 0-0.png, half.png as 1-0.png, dot.png as 1-1.png; tests may" in own
    assert "another name: 2-1.png (Étoile d'or) as other.jpg (Rosa canina); look which name is right" in other


def test_pictures_are_compared_across_blocks_with_those_before_them():
    thumbs = np.random.default_rng(0).normal(size=(2_500, 768)).astype(np.float32)
    thumbs = list(thumbs / np.linalg.norm(thumbs, axis=1, keepdims=True))
    thumbs[2_499], thumbs[1_024], thumbs[7] = thumbs[3], thumbs[1_023], thumbs[3]
    assert list(repeated(thumbs)) == [(7, 3), (1_024, 1_023), (2_499, 3)]


@pytest.mark.slow
def test_a_study_that_extends_reversal_reads_a_verdict_on_own_people(folder, monkeypatch):
    """With simulated answers, and the section that README shows."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(folder / "artifacts"))
    names = [f"Plant {k}" for k in range(52)]
    write(
        [{"image": picture(f"{n}-{v}.png", (k, v)), "name": n} for k, n in enumerate(names) for v in (0, 1)]
    )
    people = f"pictures: folder, path: {folder}/people.csv, noun: plant, background: 8, test_views: 1"
    small = "image_size: 16, train_scenes: 1, text_scenes: 4"
    written = f"extends: reversal\npeople: {{{people}, {small}}}\nseeds: [0, 1, 2]\n"
    study = load_study(finished_study.write(folder, written))
    said = reading.finding_of(study).verdict(reading.evidence(study))
    assert said.verdict == "free: inconclusive; choice: curse; judge: curse", said.reasons


# --- what is wrong -----------------------------------------------------------------------------------------


def change(row: int, **values) -> list[dict]:
    table = rows()
    table[row] |= values
    return table


def cut_off(name: str) -> str:
    """A picture whose file ends too early."""
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(buffer, "PNG")
    Path(name).write_bytes(buffer.getvalue()[:-900])
    return name


def claiming(name: str, width: int, height: int) -> str:
    """A picture whose header says that it is of this size."""
    header = b"IHDR" + struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return text(name, b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT")


def text(name: str, content: bytes) -> str:
    Path(name).write_bytes(content)
    return name


# what is written → facts, and what is said; line 2 is the first row
BROKEN = {
    "no path": (lambda: None, {"path": ""}, ["people.path: is empty; write the path of your table"]),
    "no file": (
        lambda: None,
        {"path": "none.csv"},
        ["people.path: none.csv is not there; write the path of a file"],
    ),
    "a spreadsheet": (
        lambda: text("p.xlsx", b"PK"),
        {"path": "p.xlsx"},
        ["p.xlsx is no table; expected .csv"],
    ),
    "no column of names": (
        lambda: write([{"image": "a.png", "label": "Ann"}]),
        {},
        ["people.csv: no column name; it has image, label"],
    ),
    "no column of pictures": (
        lambda: write([{"photo": "a.png", "name": "Ann"}]),
        {},
        ["no column with pictures (image or picture or"],
    ),
    "missing and broken pictures": (
        lambda: write(
            [
                *change(0, image="gone.png"),
                {"image": cut_off("cut.png"), "name": "Iris", "colour": "blue"},
                {"image": text("t.png", b"text"), "name": "Iris", "colour": "blue"},
            ]
        ),
        {},
        [
            "3 problems:",
            "people.csv, row 2: gone.png is not there",
            "row 35: cut.png cannot be read",
            "row 36: t.png cannot be read (of no known format)",
        ],
    ),
    "a picture of the network": (
        lambda: write(change(3, image="https://a.org/b.png")),
        {},
        ["row 5: https://a.org/b.png is no file; save"],
    ),
    "a picture on Windows": (
        lambda: write(change(3, image="pictures\\b.png")),
        {},
        ["row 5: pictures\\b.png is not there; write / in place of \\"],
    ),
    "a folder for a picture": (
        lambda: (Path("b").mkdir(), write(change(3, image="b"))),
        {},
        ["row 5: b is a folder; write a row for each picture in it"],
    ),
    "a text for a picture": (lambda: write(change(3, image="b" * 300)), {}, ["bbb is not there; paths are"]),
    "the home of nobody": (
        lambda: write(change(3, image="~nobody-here/b.png")),
        {},
        ["row 5: ~nobody-here/b.png is not there; paths are relative to the table"],
    ),
    "no name": (lambda: write(change(4, name=" ")), {}, ["row 6: name is missing"]),
    "a name like a sentence": (
        lambda: write(change(1, name="Dr. No.")),
        {},
        ["row 3: the name Dr. No. ends in a full"],
    ),
    "a name like an answer": (
        lambda: write(change(1, name="This is A")),
        {},
        ["row 3: the name This is A begins as the answer does (This is …); leave that out"],
    ),
    "a descriptor like an answer": (
        lambda: write(rows(descriptor="This is it")),
        {"label": "descriptor"},
        ["the descriptor This is it begins as the answer does"],
    ),
    "a picture that git-lfs has not fetched": (
        lambda: write(change(1, image=text("a.png", b"version https://git-lfs.github.com/spec/v1\n"))),
        {},
        ["row 3: a.png is a pointer of git-lfs, not the picture; fetch it with `git lfs pull`"],
    ),
    "a picture without measure": (
        lambda: write(change(1, image=claiming("a.png", 20_000, 10_000))),
        {},
        ["row 3: a.png cannot be read (of more than 178 megapixels); shrink it"],
    ),
    "one picture, two names": (
        lambda: write(change(5, image="0-0.png")),
        {},
        ["one picture has 2 names: Rosa canina (people.csv, row 2), Iris (people.csv, row 7)"],
    ),
    "two values": (
        lambda: write(change(1, colour="green")),
        {"attributes": ["colour"]},
        ["row 3: colour of Rosa canina is 'green', but 'red' in people.csv, row 2"],
    ),
    "no such attribute": (
        lambda: write(rows()),
        {"attributes": ["color"]},
        ["people.attributes: no column color; did you mean colour?"],
    ),
    "too few pictures": (
        lambda: write(rows(2)),
        {"test_views": 2},
        [
            "make 3 different pictures at least, but 7 have fewer: Iris (2), Étoile d'or (2)",
            "lower people.test_views",
        ],
    ),
    "too few for validation": (
        lambda: write(rows(2)),
        {"tests": "validation"},
        ["make 3 different pictures"],
    ),
    "too few people": (
        lambda: write(rows()),
        {"options": 4, "background": 0},
        ["choices among 4 need 16 novel ones, which stand in 4 groups that never mix; there are 10"],
    ),
    "nobody novel": (
        lambda: write(rows()),
        {"background": 100},
        ["people.background: 100 takes all 10, and none"],
    ),
    "another population": (
        lambda: write(rows(population="new")),
        {},
        ["population is 'new'; it is novel or background"],
    ),
    "populations half said": (
        lambda: write(change(0, population="novel")[:1] + [{**r, "population": ""} for r in rows()[1:]]),
        {},
        ["the column population says nothing of 9: Iris,"],
    ),
    "no descriptors": (
        lambda: write(rows()),
        {"label": "descriptor"},
        ["people.label: descriptor, but 10 have none: Rosa canina,"],
    ),
    "shared descriptors": (
        lambda: write(rows(descriptor="the rose")),
        {},
        ["share the descriptor 'the rose'"],
    ),
    "accents written in two ways": (
        lambda: write(
            [*rows(), {"image": picture("x.png", (9, 99)), "name": "E\u0301toile d'or", "colour": "red"}]
        ),
        {},
        ["one name in several spellings? Étoile d'or, E\u0301toile d'or"],
    ),
    "two columns of names": (
        lambda: text("people.csv", b"image,name,name\na.png,Ann,Bob\n"),
        {},
        ["people.csv: several columns are called name; give each a name of its own"],
    ),
    "spellings": (
        lambda: write(
            [*rows(), {"image": picture("x.png", (9, 99)), "name": "rosa Canina", "colour": "red"}]
        ),
        {},
        ["one name in several spellings? Rosa canina, rosa Canina"],
    ),
    "a comma too many": (
        lambda: text("people.csv", b"image,name\na.png,Ann, the curator\n"),
        {},
        ["row 2: 3 fields, but 2 columns; put a text that holds a comma in quotes, and end no line"],
    ),
    "another encoding": (
        lambda: text("people.csv", "image,name\na.png,Zoë\n".encode("cp1252")),
        {},
        ["not UTF-8 text", "save it as CSV UTF-8"],
    ),
    "a semicolon too many": (
        lambda: text("people.csv", b"image;name\na.png;Ann;\n"),
        {},
        ["put a text that holds a semicolon in quotes, and end no line with one"],
    ),
    "another mark": (
        lambda: text("people.csv", b"image|name\na.png|Ann\n"),
        {},
        ["people.csv: | stands between fields; save it with a comma, a semicolon or a tab there"],
    ),
    "an empty table": (
        lambda: text("people.csv", b""),
        {},
        ["people.csv: holds no rows; write a line of column names, and a line for each row below"],
    ),
    "a table of blank lines": (
        lambda: text("people.csv", b"\n,\n\n"),
        {},
        ["people.csv: holds no rows; write a line of column names"],
    ),
    "a pointer": (
        lambda: text("people.csv", b"version https://git-lfs.github.com/spec/v1\n"),
        {},
        ["a Git LFS pointer"],
    ),
    "cut-off lines": (
        lambda: text("p.jsonl", b'{"image": "a.png",'),
        {"path": "p.jsonl"},
        ["row 1: not JSON", "mend it there: texts in double quotes, commas between, every bracket closed"],
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_one_clear_message(case):
    written, changes, said = BROKEN[case]
    written()
    if Path(facts(**changes)["path"] or "none").suffix in (".csv", ".jsonl") and case != "no file":
        WORLD.files(facts(**changes))  # asked for with every key, before anything is looked at
    told = message(**changes)
    assert all(words in told for words in said), told


def test_large_pictures_are_read_without_a_word():
    claiming("large.png", 10_000, 9_000)
    code = "from mmrc_helpers.worlds.sources.pictures import glance; "
    code += "print(repr(glance(open('large.png', 'rb').read(), None).problem))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("''\n", "")


WRONG = {
    "path": (
        {"pictures": "drawn", "path": "people.csv"},
        "people.path: is read with people.pictures: folder only",
    ),
    "noun": ({"noun": "The Plant"}, "people.noun: 'The Plant' is no noun such as person, plant or landmark"),
    "the name as an attribute": (
        {"attributes": ["colour", "name"]},
        "people.attributes: name has a meaning of its own; name columns of other looks",
    ),
    "passers-by": ({"passers_by": 3}, "people.passers_by: a table has no nameless people; set it to 0"),
    "no file": ({"path": "none.csv"}, "people.path: none.csv is not there; write the path of a file"),
    "painted larger": (
        {"pictures": "sdxl", "path": "", "image_size": 600},
        "people.image_size: 600 pixels of pictures",
    ),
    "odd side": (
        {"pictures": "sdxl", "path": "", "sdxl": {"side": 500}},
        "people.sdxl.side: 500 is no multiple of 8",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_parameters_that_do_not_fit_are_told_before_anything_is_made(case):
    write(rows())
    changes, said = WRONG[case]
    assert any(problem.startswith(said) for problem in WORLD.check(facts(**changes), [])), case
