"""The TSV of other programs: what is written comes back, and written again it is the same file."""

import base64
import csv
import io
from importlib import import_module

import pandas as pd
import pytest
from PIL import Image
from puzzle_facts import sections

from mmrc_helpers.errors import UserError
from mmrc_helpers.worlds import INVALID
from mmrc_helpers.worlds.puzzles.tsv import GRID_COLUMNS, read_tsv, write_tsv

worlds = pytest.mark.parametrize("name", ["tables", "grids"])
views = pytest.mark.parametrize("view", ["text", "image"])


def made(name: str, view: str, instances: int = 6):
    """World, test examples of one view, and a function that draws their pictures."""
    world = import_module(f"mmrc_helpers.worlds.{name}").WORLD
    found = world.make(sections(name, instances)["facts"], 0)
    examples = [e for e in found.examples if e.split == "test" and e.facets["view"] == view]
    return world, examples, lambda picture: found.draw(found.pictures[picture])


@worlds
@views
def test_a_round_trip_is_exact(name, view, tmp_path):
    world, examples, draw = made(name, view)
    assert write_tsv(examples, draw, tmp_path / "a.tsv") == len(examples) == 12
    again, pictures = read_tsv(tmp_path / "a.tsv", difficulty="hard")
    write_tsv(again, pictures.__getitem__, tmp_path / "b.tsv")
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()
    for one, other in zip(examples, again, strict=True):
        assert one.prompt[-1] == other.prompt[-1] and other.facets["difficulty"] == "hard"
        assert [draw(n) for n in one.pictures] == [pictures[n] for n in other.pictures]
        assert other.facets["view"] == view and other.facets["task"] == name
        assert one.answer.split("\n")[-1] == other.answer.split("\n")[-1]


@worlds
def test_vlmevalkit_can_read_the_columns(name, tmp_path):
    _, examples, draw = made(name, "image")
    write_tsv(examples, draw, tmp_path / "a.tsv")
    table = pd.read_csv(tmp_path / "a.tsv", sep="\t")
    assert list(table.columns) == [
        "index",
        "question",
        "answer",
        "image",
        *(GRID_COLUMNS if name == "grids" else ()),
    ]
    assert list(table["index"]) == [f"0_{number}" for number in range(12)]
    image = Image.open(io.BytesIO(base64.b64decode(table["image"][3])))
    assert list(image.size) == sections(name)["facts"]["picture"]
    assert not table["question"].str.contains("<image>").any()


def test_answers_have_the_published_form(tmp_path):
    _, examples, draw = made("tables", "text")
    write_tsv(examples, draw, tmp_path / "tables.tsv")
    table = pd.read_csv(tmp_path / "tables.tsv", sep="\t", dtype=str)
    for example, answer in zip(examples, table["answer"], strict=True):
        added = example.answer.split("The total is ")[1].split(" =")[0]
        assert answer == added.replace(" + ", ",")
    _, examples, draw = made("grids", "text")
    write_tsv(examples, draw, tmp_path / "grids.tsv")
    table = pd.read_csv(tmp_path / "grids.tsv", sep="\t", dtype=str)
    for example, row in zip(examples, table.itertuples(), strict=True):
        here = [int(row.start_row), int(row.start_col)]
        codes = [[int(code) for code in line[1:].split(":")] for line in row.text.split("\n")]
        met = []
        for step in eval(row.answer):  # a list of pairs, as other programs read it
            here = [here[0] + step[0], here[1] + step[1]]
            met.append(f"{here[0]}-{here[1]}")
            assert codes[here[0] - 1][here[1] - 1] >= 0
        assert here == [int(row.end_row), int(row.end_col)] and int(row.num_steps) == example.truth["states"]
        assert set(row.collect_objects_coordinates.split(":")) <= set(met)


@worlds
@views
def test_imported_questions_are_graded_by_their_last_line(name, view, tmp_path):
    world, examples, draw = made(name, view)
    write_tsv(examples, draw, tmp_path / "a.tsv")
    for original, example in zip(examples, read_tsv(tmp_path / "a.tsv")[0], strict=True):
        for text in (example.answer, original.answer, f"Well, let me see.\n{example.answer}"):
            assert world.grade(example, text).right
        grade = world.grade(example, original.answer)
        assert grade.parts["legacy"] == 1 and grade.parts["format"] == 1
        for text in (example.answer + " or so", "", example.answer.replace("Answer", "answer")):
            assert not world.grade(example, text).right and world.grade(example, text).answer == INVALID
        wrong = example.answer + ("0" if name == "tables" else " up")
        assert not world.grade(example, wrong).right and world.grade(example, wrong).answer != INVALID


def test_a_foreign_file_keeps_its_columns_and_their_order(tmp_path):
    rows = [["answer", "index", "note", "question"], ["3,1,4", "0_7", 'a "b"\tc', "Add\nthe cells."]]
    with (tmp_path / "a.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)
    (example,), pictures = read_tsv(tmp_path / "a.tsv")
    assert example.prompt == (("text", "Add\nthe cells."),) and not pictures
    assert example.truth["summands"] == [3, 1, 4] and example.answer.endswith("Answer: 8")
    write_tsv([example], pictures.__getitem__, tmp_path / "b.tsv")
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()


def test_the_block_of_an_analogy_comes_back(tmp_path):
    block = "Example 1: (shape size, XOR)\nOption 1: (line type, OR), not consistent\n\nAnswer: 3"
    with (tmp_path / "a.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerows([["index", "question", "answer"], ["0_0", "Which?", block]])
    (example,), _ = read_tsv(tmp_path / "a.tsv", task="analogies")
    assert example.answer == block == example.truth["block"] and example.facets["task"] == "analogies"


def _grid_row(tmp_path) -> dict[str, str]:
    _, examples, draw = made("grids", "text", 1)
    write_tsv(examples[:1], draw, tmp_path / "grid.tsv")
    with (tmp_path / "grid.tsv").open(encoding="utf-8", newline="") as file:
        return next(csv.DictReader(file, delimiter="\t"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answer": "[(0, 2)]"}, "row 1: answer"),
        ({"answer": "__import__('os')"}, "row 1: answer"),
        ({"text": ":0:1\n:2"}, "different lengths"),
        ({"text": ":0:1\n:2:-9"}, "-9 is no code"),
        ({"start_row": "99"}, "start_row"),
        ({"num_steps": "many"}, "row 1"),
        ({"image": "!!!"}, "row 1"),
    ],
)
def test_columns_that_are_not_as_described_are_named(changes, said, tmp_path):
    row = {**_grid_row(tmp_path), **changes}
    with (tmp_path / "bad.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerows([row.keys(), row.values()])
    with pytest.raises(UserError, match=said):
        read_tsv(tmp_path / "bad.tsv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a tab-separated table"),
        ("index\tquestion\n0_0\tWhat?\n", "answer are missing"),
        ("index\tquestion\tanswer\n0_0\tWhat?\n", "2 fields, but 3 columns"),
        ("index\tquestion\tanswer\n0_0\tWhat?\tseven\n", "neither summands"),
        ('index\tquestion\tanswer\n0_0\t"What?\t7\n', "not a tab-separated table"),
    ],
)
def test_files_of_another_form_are_refused(text, said, tmp_path):
    (tmp_path / "bad.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        read_tsv(tmp_path / "bad.tsv")


def test_worlds_and_views_do_not_mix_in_a_file(tmp_path):
    mixed = [made("tables", "text", 1)[1][0], made("grids", "text", 1)[1][0]]
    with pytest.raises(UserError, match="one file for each world and view"):
        write_tsv(mixed, {}.__getitem__, tmp_path / "a.tsv")
