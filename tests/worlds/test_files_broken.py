"""Broken data sets: each ends in one message that says where, what and what to do before anything is made."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from own_rows import write_parquet
from PIL import Image

from mmrc_helpers.errors import UserError
from mmrc_helpers.worlds.files import WORLD

DEFAULTS = yaml.safe_load(
    (Path(__file__).parents[2] / "params" / "worlds" / "files.yaml").read_text(encoding="utf-8")
)
PICTURE = "red.png"
OTHER = "blue.png"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """The working folder, with two pictures in it."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8), "red").save(PICTURE)
    Image.new("RGB", (8, 8), "blue").save(OTHER)
    return tmp_path


def message(path="rows.jsonl", **changes) -> str:
    """The one message that making the data ends in."""
    with pytest.raises(UserError) as error:
        WORLD.make({**DEFAULTS["facts"], "path": path, **changes}, 0)
    return str(error.value)


def write(rows, name="rows.jsonl") -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def sft(n: int, **changes) -> dict:
    return {"prompt": f"{n}?", "completion": f"{n}", **changes}


def dpo(n: int, **changes) -> dict:
    return {"prompt": f"{n}?", "chosen": "yes", "rejected": "no", **changes}


def adpo(n: int, **changes) -> dict:
    sides = {"chosen": "What?", "chosen_images": [PICTURE], "rejected": "What?", "rejected_images": [OTHER]}
    return {"response": f"It is {n}.", **sides, **changes}


def chat(*turns: tuple) -> dict:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


# --- rows: what stands in the second of three ------------------------------------------------------------

ROWS = {
    "empty completion": (
        sft,
        {"completion": "  "},
        "row 2: completion is empty; write its text or take the row out",
    ),
    "missing completion": (sft, {"completion": None}, "row 2: completion is missing"),
    "number for a prompt": (sft, {"prompt": 7}, "row 2: prompt is neither a text nor a list of messages"),
    "template in a prompt": (
        sft,
        {"prompt": "<|im_start|>user\nHi<|im_end|>"},
        "row 2: prompt holds a chat template, which training would add again",
    ),
    "template in a completion": (
        sft,
        {"completion": "<|im_start|>assistant\nHi<|im_end|>"},
        "row 2: completion holds a chat template",
    ),
    "more placeholders than pictures": (
        sft,
        {"prompt": "<image> or <image>?", "images": [PICTURE]},
        "row 2: prompt has 2 placeholders for 1 pictures; write one for each, or none",
    ),
    "more pictures than placeholders": (
        sft,
        {"prompt": "<image>?", "images": [PICTURE, OTHER]},
        "row 2: prompt has 1 placeholder for 2 pictures",
    ),
    "placeholder without pictures": (
        sft,
        {"prompt": "<image>?"},
        "row 2: prompt has 1 placeholder for 0 pictures",
    ),
    "placeholder in an answer": (
        sft,
        {"completion": "It is <image>"},
        "row 2: completion holds a placeholder of a picture; answers are texts",
    ),
    "absent picture": (
        sft,
        {"images": ["none.png"]},
        "row 2: images: none.png is not there; paths are relative to the data file",
    ),
    "picture from the network": (
        sft,
        {"images": ["https://example.org/cat.png"]},
        "row 2: images: https://example.org/cat.png is no file; save the picture and write its path",
    ),
    "one picture for a list": (sft, {"images": PICTURE}, "row 2: images is a text; write a list of pictures"),
    "number for a picture": (sft, {"images": [3]}, "row 2: images holds a number; a picture is a path"),
    "several messages for a completion": (
        sft,
        {"completion": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]},
        "row 2: completion holds several messages; put the whole conversation into messages",
    ),
    "equal answers": (dpo, {"rejected": "yes "}, "row 2: chosen and rejected are the same"),
    "empty rejected": (dpo, {"rejected": ""}, "row 2: rejected is empty"),
    "prompt that ends with the assistant": (
        dpo,
        {"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        "row 2: prompt ends with the assistant; it must end with the user's turn",
    ),
    "missing prompt": (dpo, {"prompt": None}, "row 2: prompt is missing; only lists of messages may hold it"),
    "answer of the user": (
        dpo,
        {"chosen": [{"role": "user", "content": "yes"}]},
        "row 2: chosen: its message must be the assistant's, not one of role 'user'",
    ),
    "empty response": (adpo, {"response": ""}, "row 2: response is empty"),
    "same picture on both sides": (
        adpo,
        {"rejected_images": [PICTURE]},
        "row 2: the same picture and prompt stand on both sides; chosen and rejected must differ",
    ),
    "same words on both sides": (
        adpo,
        {"chosen_images": [], "rejected_images": []},
        "row 2: the same prompt stands on both sides",
    ),
    "missing context": (adpo, {"rejected": None}, "row 2: rejected is missing"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_broken_row(name):
    make, change, told = ROWS[name]
    write([make(1), make(2, **change), make(3)])
    found = message()
    assert found.startswith("rows.jsonl, ") and told in found and "\n" not in found


CHATS = {
    "unknown role": (
        (("tool", "x"), ("assistant", "y")),
        "messages: role 'tool' is not known; choose from system",
    ),
    "ends with the user": (
        (("user", "x"),),
        "messages ends with a turn of the user; it must end with the assistant",
    ),
    "no question": (
        (("system", "x"), ("assistant", "y")),
        "messages: roles are system, assistant; user and assistant",
    ),
    "two turns of one": (
        (("user", "x"), ("user", "y"), ("assistant", "z")),
        "messages: roles are user, user, assistant",
    ),
    "empty message": ((("user", " "), ("assistant", "y")), "messages is empty; write its text"),
    "message without content": ((("user", None), ("assistant", "y")), "messages: a message has no content"),
    "parts of another kind": (
        (("user", [{"type": "video"}]), ("assistant", "y")),
        "messages: content must be a text or a list of parts of type text or image",
    ),
    "picture in an answer": (
        (("user", "x"), ("assistant", [{"type": "image", "image": PICTURE}])),
        "messages: the answer holds a picture; answers are texts",
    ),
}


@pytest.mark.parametrize("name", CHATS)
def test_a_broken_conversation(name):
    turns, told = CHATS[name]
    write([chat(("user", "a"), ("assistant", "b")), chat(*turns)])
    found = message()
    assert found.startswith(f"rows.jsonl, row 2: {told}") and "\n" not in found


def test_an_empty_conversation():
    write([{"messages": []}, {"messages": "x"}])
    assert message().splitlines()[1:] == [
        "  rows.jsonl, row 1: messages is empty; write its messages or take the row out",
        "  rows.jsonl, row 2: messages ends with a turn of the user; it must end with the assistant's answer",
    ]


def test_prompts_that_differ_between_the_sides():
    rows = [
        {side: [{"role": "user", "content": q}, {"role": "assistant", "content": side}] for side, q in
         (("chosen", "a"), ("rejected", q))}
        for q in "ab"
    ]  # fmt: skip
    write(rows)
    assert "row 2: chosen and rejected differ before their last message; a pair has one prompt" in message()


# --- pictures ----------------------------------------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no picture")


def truncated(path: Path) -> None:
    whole = Image.effect_noise((64, 64), 80).convert("RGB")
    whole.save(path)
    path.write_bytes(path.read_bytes()[:-600])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (garbage, "bad.png cannot be read (of no known format); save it again, as PNG or JPEG"),
        (truncated, "bad.png cannot be read (image file is truncated"),
    ],
)
def test_a_broken_picture(folder, damage, told):
    damage(folder / "bad.png")
    write([sft(1, images=[PICTURE]), sft(2, images=["bad.png"])])
    assert f"rows.jsonl, row 2: images: {told}" in message()


def test_a_broken_picture_inside_a_parquet_file():
    rows = [sft(n, images=[{"bytes": data}]) for n, data in enumerate((Path(PICTURE).read_bytes(), b"torn"))]
    pq.write_table(pa.Table.from_pylist(rows), "rows.parquet")
    assert "rows.parquet, row 2: images: a stored picture cannot be read (of no known format)" in message(
        "rows.parquet"
    )


# --- files -------------------------------------------------------------------------------------------------


def lines(text: str | bytes, name="rows.jsonl") -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


FILES = {
    "absent": (
        lambda: "absent.jsonl",
        "files.path: absent.jsonl is not there; write the path of a file or folder",
    ),
    "empty": (lambda: lines(""), "rows.jsonl: holds no rows"),
    "blank": (lambda: lines("\n\n"), "rows.jsonl: holds no rows"),
    "another kind": (
        lambda: lines("a,b", "rows.csv"),
        "files.path: rows.csv is no table; expected .parquet, .jsonl, .json, .arrow or a folder",
    ),
    "torn line": (
        lambda: lines('{"prompt": "a", "completion": "b"}\n{"prompt": "c'),
        "rows.jsonl, row 2: not JSON",
    ),
    "no mapping": (lambda: lines('["a"]\n'), "rows.jsonl, row 1: expected an object with columns; got ['a']"),
    "not UTF-8": (
        lambda: lines(b'{"prompt": "\xff", "completion": "b"}'),
        "rows.jsonl, row 1: not UTF-8 text",
    ),
    "LFS pointer": (
        lambda: lines("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "rows.parquet"),
        "rows.parquet: a Git LFS pointer, not the data; run `git lfs pull` in its repository",
    ),
    "torn parquet": (
        lambda: lines(b"PAR1 and then nothing", "rows.parquet"),
        "rows.parquet: no whole parquet table",
    ),
    "torn arrow": (lambda: lines(b"no stream", "rows.arrow"), "rows.arrow: no whole arrow table"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file(name):
    make, told = FILES[name]
    assert message(make()).startswith(told)


def test_a_parquet_file_without_rows():
    pq.write_table(
        pa.table({"prompt": pa.array([], pa.string()), "completion": pa.array([], pa.string())}), "a.parquet"
    )
    assert message("a.parquet") == "a.parquet: holds no rows"


def test_a_folder_without_data(folder):
    (folder / "bare").mkdir()
    assert message("bare").startswith("files.path: bare is no table; expected .parquet")


def test_a_folder_without_the_split(folder):
    (folder / "data").mkdir()
    write([sft(1)], "data/train.jsonl")
    write([sft(2)], "data/test.jsonl")
    assert (
        message("data", split="dev")
        == "files.path: data has no split dev; it has test, train: set files.split"
    )


def test_a_misspelt_column():
    write([{"prompt": "a", "completon": "b"}])
    found = message()
    assert found.startswith(
        "rows.jsonl: no layout has the columns prompt, completon (completon; did you mean completion?)"
    )
    assert "dpo: prompt+chosen+rejected" in found


def test_columns_of_two_layouts():
    write([{**sft(1), "answer": "b"}])
    assert message() == (
        "rows.jsonl: the columns prompt, completion, answer fit the layouts sft, grpo; say which, "
        "for example files.layout: sft"
    )


def test_a_told_layout_without_its_columns():
    write([sft(1)])
    assert message(layout="dpo") == (
        "rows.jsonl: the layout dpo needs prompt+chosen+rejected or chosen+rejected; "
        "the columns are prompt, completion"
    )


def test_a_test_file_of_another_layout():
    write([sft(1), sft(2)])
    write([dpo(1)], "tests.jsonl")
    assert message(eval_path="tests.jsonl").startswith(
        "tests.jsonl: the layout sft needs messages or conversations"
    )


def test_too_few_rows():
    write([sft(1)])
    assert message().startswith(
        "files: too few rows: 1 with one question between them leave none to hold out; add rows"
    )


def test_no_demo_of_a_layout():
    assert message("", layout="dpo") == (
        "files.path: there is no demo set of the layout dpo; write the path of your file"
    )


def test_a_text_curse_without_its_tests():
    write([sft(1), sft(2)])
    assert "files.tests: the layout text_curse needs test files in same_order and" in message(
        layout="text_curse"
    )


def test_tests_that_all_have_one_completion():
    write([sft(1)])
    write([sft(n, completion="Ada") for n in range(3)], "tests.jsonl")
    tests = {**DEFAULTS["facts"]["tests"], "same_order": ["tests.jsonl"], "reverse_order": ["tests.jsonl"]}
    assert message(tests=tests).splitlines()[1:] == [
        f"  files.tests.{order}: all completions are the same; a test needs a second one"
        for order in ("same_order", "reverse_order")
    ]


# --- many problems at once ---------------------------------------------------------------------------------


def test_all_problems_are_listed_at_once_with_their_rows():
    bad = [adpo(n, response="") for n in range(30)]
    write([*bad, adpo(31, chosen_images=["none.png"]), adpo(32, rejected_images=[PICTURE]), adpo(33)])
    write([dpo(1)], "tests.jsonl")
    found = message(eval_path="tests.jsonl").splitlines()
    assert found[0] == "4 problems:"
    assert found[1] == (
        f"  rows.jsonl, rows {', '.join(str(n) for n in range(1, 21))} and 10 more: "
        "response is empty; write its text or take the row out"
    )
    assert found[2].startswith("  rows.jsonl, row 31: chosen_images: none.png is not there")
    assert found[3].startswith("  rows.jsonl, row 32: the same picture")
    assert found[4].startswith("  tests.jsonl: the layout adpo needs")


def test_what_can_be_said_without_reading_is_said_early():
    facts = {**DEFAULTS["facts"], "path": "absent.jsonl"}
    assert list(WORLD.check(facts)) == [
        "files.path: absent.jsonl is not there; write the path of a file or folder, or hub:OWNER/NAME for a "
        "data set in the Hub's cache"
    ]
    tests = {**DEFAULTS["facts"]["tests"], "same_order": ["a.jsonl"]}
    assert list(WORLD.check({**DEFAULTS["facts"], "tests": tests})) == [
        "files.tests: test files without files.path; name the file to train on"
    ]


# --- the parquet of reasoning preferences ------------------------------------------------------------------


def said(question: str, text: str, system="S") -> str:
    """A text in the chat template that the published rows stand in."""
    turns = [("system", system)] if system else []
    turns += [("user", question), ("assistant", text)]
    return "".join(f"<|im_start|>{role}\n{words}<|im_end|>\n" for role, words in turns)


def trace(n: int, kind="original", **changes) -> dict:
    questions = [f"What is {n} and one more?", f"Which number and one more gives {n + 1} in the end?"]
    own = questions[kind == "flipped"]
    return {
        "question": questions[0],
        "text": said(own, f"So it is {n}."),
        "worse-text": said(own, f"Hence {n + 9}."),
        "relevant-question": questions[1],
        "sample_type": kind,
        **changes,
    }


ASKED = "What is 2 and one more?"
TRACES = {
    "empty text": ({"text": " "}, "row 2: text is empty; write its text or take the row out"),
    "missing worse text": ({"worse-text": None}, "row 2: worse-text is missing"),
    "missing question": ({"question": None}, "row 2: question is missing"),
    "identical pair": ({"worse-text": said(ASKED, "So it is 2.")}, "row 2: text and worse-text are the same"),
    "unknown type": (
        {"sample_type": "mirrored"},
        "row 2: sample_type is 'mirrored'; it must be original or flipped",
    ),
    "empty inverse question": ({"relevant-question": " "}, "row 2: relevant-question is empty"),
    "flipped without its question": (
        {"sample_type": "flipped", "relevant-question": None, "text": "a", "worse-text": "b"},
        "row 2: a flipped row has no question of its own; write it in relevant-question",
    ),
    "template applied twice": (
        {"text": said(ASKED, said(ASKED, "So it is 2."))},
        "row 2: text: the chat template stands twice, one in the other; apply it once or not at all",
    ),
    "another family's template inside": (
        {"text": said(ASKED, "<start_of_turn>user\nx<end_of_turn>\n<start_of_turn>model\ny<end_of_turn>")},
        "row 2: text: a second chat template stands inside the first",
    ),
    "no assistant turn": (
        {"text": f"<|im_start|>user\n{ASKED}<|im_end|>\n"},
        "row 2: text: its chat template has no assistant turn",
    ),
    "no user turn": (
        {"text": "<|im_start|>assistant\nSo it is 2.<|im_end|>\n"},
        "row 2: text: its chat template has no user turn",
    ),
    "several turns": (
        {"text": said(ASKED, "So.") + said("And then?", "It is 2.", system="")},
        "row 2: text: its chat template holds 4 turns; a trace answers one question",
    ),
    "empty assistant turn": (
        {"worse-text": said(ASKED, "")},
        "row 2: worse-text: the assistant's turn in its chat template is empty",
    ),
    "another question in the template": (
        {
            "text": said("Name a river in France.", "Loire"),
            "worse-text": said("Name a river in France.", "Po"),
        },
        "row 2: text answers another question than its row asks",
    ),
    "the published mix-up of questions": (
        {"sample_type": "flipped"},
        "row 2: text answers the other question than a row of type flipped is asked; swap the texts",
    ),
    "two questions in one pair": (
        {"worse-text": said("Name a river in France.", "Loire")},
        "row 2: worse-text stands behind another question than text",
    ),
    "number for a text": ({"worse-text": 3}, "row 2: worse-text must be text; got 3"),
}


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", TRACES)
def test_a_broken_reasoning_row(name, ending):
    change, told = TRACES[name]
    rows, path = [trace(1), trace(2, **change), trace(3, "flipped")], f"rows.{ending}"
    if ending == "jsonl":
        write(rows)
    elif name != "number for a text":  # a column of parquet holds one kind of value
        write_parquet(rows, path)
    else:
        write_parquet([{**row, "worse-text": 3} for row in rows], path)
        told = told.replace("row 2", "rows 1, 2, 3")
    found = message(path)
    assert found.startswith(f"{path}, ") and told in found and "\n" not in found


def test_a_whole_parquet_of_reasoning_rows_is_taken():
    rows = [trace(n, kind) for kind in ("original", "flipped") for n in range(4)]
    write_parquet(rows, "rows.parquet")
    assert len(WORLD.make({**DEFAULTS["facts"], "path": "rows.parquet"}, 0).examples) == 8


@pytest.mark.parametrize("column", ["question", "text", "worse-text"])
def test_a_reasoning_parquet_without_a_column(column):
    rows = [trace(n) for n in range(3)]
    for row in rows:
        row.pop(column)
    write_parquet(rows, "rows.parquet")
    told = message("rows.parquet", layout="reasoning")
    assert told.startswith(
        "rows.parquet: the layout reasoning needs question+text+worse-text; the columns are"
    )
    assert message("rows.parquet").startswith("rows.parquet: no layout has the columns")
