"""A user's own tables: where they are looked for, which files they are, and what is told of them."""

import json
from itertools import islice

import pytest
from own_rows import ROOT, facts, loaded, picture, png, write
from test_user_files import PARAMS, llava_row, made, said_of, vqa

from mmrc_helpers.errors import UserError
from mmrc_helpers.study.parameters import read_known
from mmrc_helpers.study.runs import PARAMS_FOLDER
from mmrc_helpers.worlds import WORLDS, Data
from mmrc_helpers.worlds.files import WORLD as FILES
from mmrc_helpers.worlds.sources.pictures import glance, inspect
from mmrc_helpers.worlds.sources.places import absolute, located, tables_in
from mmrc_helpers.worlds.sources.rows import read_table, told
from mmrc_helpers.worlds.vqa import WORLD as VQA

# --- places ------------------------------------------------------------------------------------------------


def test_relative_paths_are_meant_from_the_study_or_else_from_here(tmp_path, monkeypatch):
    study, here = tmp_path / "studies", tmp_path / "here"
    for folder in (study, here):
        folder.mkdir()
        write(folder, [{}], "both.jsonl")
    write(here, [{}], "only.jsonl")
    monkeypatch.chdir(here)
    given = {
        "path": "both.jsonl", "more": ["only.jsonl", "hub:lab/colors", "lab/colors", "absent.jsonl"],
        "eval_path": "", "tests": {"same_order": [str(here / "only.jsonl")]}, "split": "both.jsonl",
    }  # fmt: skip
    assert absolute(given, FILES.paths, study) == {
        "path": str(study / "both.jsonl"),
        "more": [str(here / "only.jsonl"), "hub:lab/colors", "lab/colors", "absent.jsonl"],
        "eval_path": "", "tests": {"same_order": [str(here / "only.jsonl")]}, "split": "both.jsonl",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(name for name, world in WORLDS.items() if world.paths))
def test_every_world_that_reads_files_says_which_facts_are_paths(name):
    known = read_known(PARAMS_FOLDER / "worlds" / f"{name}.yaml").defaults["facts"]
    assert set(WORLDS[name].paths) <= set(known)
    assert absolute(known, WORLDS[name].paths, ROOT) == known  # a Hub id and nothing are no paths


def test_a_path_that_is_nowhere_says_what_may_stand_there():
    with pytest.raises(UserError, match="vsr.path: data/gone.jsonl is not there; .* or hub:OWNER/NAME"):
        located("data/gone.jsonl", "vsr.path")


def test_tables_of_a_folder_are_those_of_the_split_and_nothing_else(tmp_path):
    names = ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "deep/test.jsonl", "more.json",
             "dataset_info.json", ".cache/train.json", "notes.txt")  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert [path.name for path in tables_in(tmp_path, "x.path", "train")] == list(names[:2])
    assert [path.name for path in tables_in(tmp_path, "x.path", "test")] == ["test.jsonl"]
    assert {path.name for path in tables_in(tmp_path, "x.path")} == {*names[:2], "test.jsonl", "more.json"}


# --- rows --------------------------------------------------------------------------------------------------


def test_json_may_be_a_list_or_lines_and_blank_lines_count(tmp_path):
    rows = [{"a": 1}, {"b": 2}]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "lines.json").write_text("\n\n".join(map(json.dumps, rows)))
    for name, numbers in (("list.json", [1, 2]), ("lines.json", [1, 3])):
        table = read_table(tmp_path / name, None)
        assert [row.number for row in table.rows] == numbers and table.columns == ["a", "b"]
        assert [dict(row.values) for row in table.rows] == rows and not table.problems


# what a CSV holds → its rows by the numbers of their lines
CSV = {
    "a space before the quote": ('a,b\n1, "Plant A"\n2,  x\n', {2: ("1", "Plant A"), 3: ("2", "x")}),
    "a line that tells the mark": ("sep=;\r\na;b\r\n1;x, y\r\n", {3: ("1", "x, y")}),
    "any mark that a line tells": ("SEP=|\na|b\n1|2\n", {3: ("1", "2")}),
    "line breaks in quotes": ('a,b\n1,"x\ny"\n\n2,z\n', {2: ("1", "x\ny"), 5: ("2", "z")}),
    "line ends of Unicode": (
        "a,b\n1,x\u2028y\x0b\x85z\n2,z\n",
        {2: ("1", "x\u2028y\x0b\x85z"), 3: ("2", "z")},
    ),
    "line ends of old": ("a,b\r1,x\r", {2: ("1", "x")}),
    "blank lines": ("\n  \na;b\n;\n1;2\n", {5: ("1", "2")}),
}


@pytest.mark.parametrize("case", CSV)
def test_a_csv_is_read_as_spreadsheet_programs_write_it(tmp_path, case):
    written, rows = CSV[case]
    (tmp_path / "a.csv").write_bytes(written.encode())
    table = read_table(tmp_path / "a.csv", None)
    assert not table.problems and table.columns == ["a", "b"]
    assert {row.number: (row.get("a"), row.get("b")) for row in table.rows} == rows


def test_one_problem_of_many_rows_is_one_line(tmp_path):
    table = read_table(write(tmp_path, [{"a": n} for n in range(30)]), None)
    for row in table.rows:
        row.blame("a is odd" if row.get("a") % 2 else "a is even")
    lines = told(table, table.problems)
    assert [line.partition(": ")[2] for line in lines] == ["a is even", "a is odd"]
    assert ", rows 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29: a is even" in lines[0]
    assert all(row.is_broken for row in table.rows)


def test_many_different_problems_are_counted(tmp_path):
    rows = [{"prompt": "?", "completion": "x", "images": [f"{n}.png"]} for n in range(25)]
    said = said_of(FILES.make, facts(write(tmp_path, rows)), 0).splitlines()
    assert len(said) == 22 and "row 1: images: 0.png is not there" in said[1] and said[0] == "25 problems:"
    assert said[-1].strip() == "… and 5 more like these"


@pytest.mark.parametrize("look", [glance, inspect])
def test_stored_pictures_are_looked_at_and_others_are_not_read(tmp_path, look):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"image": {"bytes": png("red"), "path": "a"}, "mask": b"x" * 99}, {"image": {"path": "b.png"}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet", look)
    assert table.columns == ["image", "mask"] and [list(row.values) for row in table.rows] == [["image"]] * 2
    assert (table.rows[0].get("image").picture.row, table.rows[1].get("image")) == (0, "b.png")
    assert bool(table.rows[0].get("image").digest) == (look is inspect)
    assert [dict(row.values) for row in read_table(tmp_path / "a.parquet", None).rows] == [{}, {}]


def test_conversations_are_read_from_what_datasets_saved(tmp_path):
    import datasets

    rows = [llava_row("<image>\nWhat?", f"{color}.") | {"image": {"bytes": png(color), "path": None}}
            for color in ("red", "blue")]  # fmt: skip
    text = datasets.Value("string")
    features = {"id": text, "image": datasets.Image(), "conversations": [{"from": text, "value": text}]}
    table = datasets.Dataset.from_list(rows, features=datasets.Features(features))
    datasets.DatasetDict({"train": table, "test": table.select([1])}).save_to_disk(str(tmp_path / "saved"))
    found = vqa(tmp_path / "saved", "llava", eval_share=0.0)
    assert [e.answer for e in found.examples] == ["red.", "blue.", "blue."]
    shown = [found.draw(found.pictures[e.pictures[0]]) for e in found.examples]
    assert shown == [png("red"), png("blue"), png("blue")]
    taught = islice(VQA.teach(Data(found.examples), PARAMS["vqa"]["teach"], 0), 3)
    assert all(chat.turns[0][1][0][0] == "image" for chat in taught)


def test_pictures_that_rows_name_anywhere_are_in_the_key(tmp_path):
    content = [{"type": "image", "image": picture(tmp_path, "a.png")}, {"type": "text", "text": "?"}]
    said = [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}]
    path = write(tmp_path, [{"messages": said, "images": []}, {"messages": said, "images": ["gone.png"]}])
    assert FILES.files(facts(path)) == [path, tmp_path / "a.png"]
    write(tmp_path, [{"prompt": "?", "completion": "x"}])
    assert FILES.files(facts(path)) == [path] and loaded(path)[0][0].answer == "x"
    kept = made(
        VQA, "vqa", paths=[str(write(tmp_path, [llava_row(image="a.png")], "b.jsonl"))], eval_share=0.0
    )
    assert kept.examples[0].pictures == ("a.png",)
