"""Worlds read from a user's own files, here written in the published layouts: what they ask, what they say of
what is missing or broken, and that nothing shrinks silently."""

import hashlib
import json
import re
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from mmrc_helpers.errors import UserError
from mmrc_helpers.store.pictures import Shards, write_shards
from mmrc_helpers.tasks.example import example_line, read_examples, user_turn
from mmrc_helpers.worlds import INVALID, Data, Made, World
from mmrc_helpers.worlds.cv_bench import WORLD as CV_BENCH
from mmrc_helpers.worlds.drops import noises
from mmrc_helpers.worlds.sources.pictures import Picture, draw
from mmrc_helpers.worlds.vqa import WORLD as VQA
from mmrc_helpers.worlds.vsr import WORLD as VSR

PARAMS = {
    name: yaml.safe_load((Path(__file__).parents[2] / f"params/worlds/{name}.yaml").read_text())
    for name in ("vsr", "cv_bench", "vqa")
}


def encoded(mode: str = "RGB", kind: str = "PNG", colour=120, **options) -> bytes:
    buffer = BytesIO()
    Image.new(mode, (24, 16), colour).save(buffer, kind, **options)
    return buffer.getvalue()


def written(path: Path, content) -> Path:
    """The file with a picture's bytes, JSON lines (a list for .jsonl), JSON, or text as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        path.write_text(json.dumps(content))
    return path


def vsr_row(image: str = "01.jpg", **changes) -> dict:
    link = f"http://images.cocodataset.org/train2017/{image}"
    row = {"image": image, "image_link": link, "caption": "The cup is left of the dog.", "label": 1}
    return {**row, "relation": "left of", "annotator_id": 3, "vote_true_validator_id": "[1]", **changes}


def cv_row(**changes) -> dict:
    row = {
        "idx": 0,
        "type": "2D",
        "task": "Relation",
        "question": "Where is the cup?",
        "choices": ["left", "right"],
    }
    row |= {"answer": "(B)", "filename": "2D/relation/a.png", "source": "COCO", "prompt": "…"}
    return {**row, **changes}


def rlhf_row(question="What is it?", chosen="A cup.", rejected="A dog.", **changes) -> dict:
    said = {"question": question, "chosen": chosen, "rejected": rejected}
    return {"ds_name": "x", "text": json.dumps(said), "image_path": "a.jpg", **changes}


def llava_row(*said: str, **changes) -> dict:
    said = said or ("<image>\nWhat is it?", "A cup.")
    turns = [{"from": ("human", "gpt")[k % 2], "value": text} for k, text in enumerate(said)]
    return {"id": "1", "image": "a.jpg", "conversations": turns, **changes}


def with_pictures(path: Path, rows: list[dict], pictures: list[bytes | None], group: int = 64) -> Path:
    """The rows as Parquet with their pictures in cells, as the datasets library writes them."""
    cells = [{"bytes": picture, "path": f"{k}.png"} for k, picture in enumerate(pictures)]
    table = pa.Table.from_pylist([{**row, "image": cell} for row, cell in zip(rows, cells, strict=True)])
    pq.write_table(table, path, row_group_size=group)
    return path


def made(world: World, name: str, seed: int = 0, **facts) -> Made:
    made = world.make({**PARAMS[name]["facts"], **facts}, seed)
    return Made(list(made.examples), made.pictures, made.draw, made.facts)


def vsr(file: Path, **facts) -> Made:
    return made(VSR, "vsr", path=str(file), **facts)


def cv_bench(file: Path, **facts) -> Made:
    return made(CV_BENCH, "cv_bench", path=str(file), **facts)


def vqa(file: Path, layout: str, **facts) -> Made:
    return made(VQA, "vqa", paths=[str(file)], layouts=[layout], **facts)


def said_of(call, *args, **facts) -> str:
    with pytest.raises(UserError) as error:
        call(*args, **facts)
    return str(error.value)


# --- VSR ---


def test_vsr_asks_every_statement_with_its_relation_and_category(tmp_path):
    rows = [vsr_row(), vsr_row("02.jpg", relation="next to", label=0), vsr_row("02.jpg", relation="facing")]
    written(tmp_path / "zeroshot/test.jsonl", rows)
    for name in ("train2017/01.jpg", "02.jpg"):
        written(tmp_path / "coco" / name, encoded(kind="JPEG"))
    found = vsr(tmp_path, pictures=str(tmp_path / "coco"))
    facets = [(e.facets["relation"], e.facets["category"], e.facets["label"]) for e in found.examples]
    assert facets == [
        ("left of", "projective", "TRUE"), ("next to", "unallocated", "FALSE"),
        ("facing", "orientation", "TRUE"),
    ]  # fmt: skip
    assert [e.group for e in found.examples] == ["01.jpg", "02.jpg", "02.jpg"] and len(found.facts) == 2
    assert set(found.pictures) == {"01.jpg", "02.jpg", *noises()}
    assert "The cup is left of the dog." in user_turn(found.examples[0])[1][1]
    assert next(iter(VSR.promises(Data(found.examples)))) == ("questions that have their picture", 3, 3)
    facts = {**PARAMS["vsr"]["facts"], "path": str(tmp_path), "pictures": str(tmp_path / "coco")}
    assert [path.name for path in VSR.files(facts)] == ["test.jsonl", "01.jpg", "02.jpg"]


@pytest.mark.parametrize("folder", ["random/", "splits/random/", "data/splits/random/", "random_", ""])
def test_vsr_is_found_in_each_layout_of_its_folder(tmp_path, folder):
    written(tmp_path / f"{folder}test.jsonl", [vsr_row()])
    assert len(vsr(tmp_path, split="random", missing="keep").examples) == 1


def test_missing_pictures_are_named_and_counted_and_the_denominator_stays(tmp_path):
    rows = [vsr_row(f"{k:02}.jpg") for k in range(12)]
    table = written(tmp_path / "test.jsonl", rows + rows[:3])
    written(tmp_path / "00.jpg", encoded(kind="JPEG"))
    said = said_of(vsr, table)
    assert "13 of 15 rows lack their picture (11 pictures): 01.jpg, 02.jpg" in said and "and 3 more" in said
    kept = vsr(table, missing="keep")
    assert len(kept.examples) == 15 and len(kept.facts) == 12
    asked = VSR.ask(Data(kept.examples), PARAMS["vsr"]["ask"], {})
    grades = [VSR.grade(e, e.answer) for e in asked]
    assert (len(grades), sum(grade.right for grade in grades)) == (15, 2)
    lacking = [e for e in asked if e.facets["picture"] == "missing"]
    assert len(lacking) == 13 and all(e.gold == -1 and not e.pictures for e in lacking)
    assert all(set(VSR.grade(e, e.answer).parts.values()) == {0.0} for e in lacking)
    assert next(iter(VSR.promises(Data(kept.examples)))) == ("questions that have their picture", 2, 15)


@pytest.mark.parametrize(
    "text, answer",
    [
        ("TRUE", "TRUE"), ("true.", "TRUE"),
        ("The statement is false.", "FALSE"),
        ("Yes", "TRUE"), ("No.", "FALSE"),
        ("TRUE or FALSE", INVALID), ("not true", INVALID), ("untrue", INVALID), ("", INVALID),
        ("left", INVALID),
        ("true " * 50, INVALID),
    ],
)  # fmt: skip
def test_a_verdict_is_read_strictly(tmp_path, text, answer):
    written(tmp_path / "01.jpg", encoded(kind="JPEG"))
    [example] = vsr(written(tmp_path / "test.jsonl", [vsr_row()])).examples
    grade = VSR.grade(example, text)
    assert (grade.answer, grade.right) == (answer, answer == "TRUE")


# --- CV-Bench ---


def test_cv_bench_reads_parquet_and_json_lines_and_asks_by_letter(tmp_path):
    choices = ["2", "0", "1", "3", "4", "5"]
    deep = cv_row(
        type="3D", task="Depth", filename="3D/depth/b.png", source="Omni3D", choices=choices, answer="(F)"
    )
    with_pictures(tmp_path / "test_2d.parquet", [cv_row(), cv_row(question="And the dog?")], [encoded()] * 2)
    with_pictures(tmp_path / "test_3d.parquet", [deep], [encoded(mode="RGBA", colour=(1, 2, 3, 0))])
    found = cv_bench(tmp_path)
    assert [e.facets["task"] for e in found.examples] == ["relation", "relation", "depth"]
    assert [e.facets["dimension"] for e in found.examples] == ["2D", "2D", "3D"]
    assert [e.group for e in found.examples] == ["2D+relation+a.png", "2D+relation+a.png", "3D+depth+b.png"]
    assert len(cv_bench(tmp_path, dimensions=["3D"]).examples) == 1
    assert "F. 5" in user_turn(found.examples[2])[-1][1] and found.examples[2].answer == "F"
    plain = written(tmp_path / "json/test_2d.jsonl", [cv_row()])
    written(tmp_path / "json/img/2D/relation/a.png", encoded())
    assert cv_bench(plain.parent, dimensions=["2D"]).examples[0].pictures == ("2D+relation+a.png",)


@pytest.mark.parametrize(
    "text, answer",
    [
        ("B", "B"), ("(B)", "B"), ("B.", "B"), ("(B) right", "B"), ("right", "B"), ("A", "A"),
        ("(B) left", INVALID),
        ("C", INVALID), ("b", INVALID), ("The correct answer is B", INVALID), ("AB", INVALID), ("", INVALID),
    ],
)  # fmt: skip
def test_bare_letters_are_accepted_and_prose_is_not(tmp_path, text, answer):
    [example] = cv_bench(with_pictures(tmp_path / "test.parquet", [cv_row()], [encoded()])).examples
    grade = CV_BENCH.grade(example, text)
    assert (grade.answer, grade.right) == (answer, answer == "B")


def test_a_hash_chooses_the_questions_and_drops_show_noise(tmp_path):
    rows = [cv_row(question=f"Question {k}?") for k in range(40)]
    data = Data(cv_bench(with_pictures(tmp_path / "test.parquet", rows, [encoded()] * 40, group=7)).examples)
    ask = {**PARAMS["cv_bench"]["ask"], "questions": 10, "drops": ["image"]}
    asked = CV_BENCH.ask(data, ask, {})
    assert len(asked) == 20 and sum(set(e.pictures) < set(noises()) for e in asked) == 10
    assert {e.id for e in CV_BENCH.ask(data, {**ask, "questions": 5, "drops": []}, {})} < {
        e.id for e in asked
    }
    alternatives = CV_BENCH.alternatives(asked[0], data)
    assert alternatives == {"right": "B", "wrong 1": "A"}


# --- conversations ---


def test_rlhf_v_gives_conversations_and_pairs(tmp_path):
    rows = [rlhf_row(question=f"Question {k}?", chosen=f"Good {k}.", rejected=f"Bad {k}.") for k in range(6)]
    found = vqa(
        with_pictures(tmp_path / "a.parquet", rows, [encoded(colour=k) for k in range(6)]),
        "rlhf_v",
        eval_share=0.0,
    )
    data = Data(found.examples)
    chats = list(islice(VQA.teach(data, PARAMS["vqa"]["teach"], 0), 12))
    first, second = ([chat.examples[0].id for chat in part] for part in (chats[:6], chats[6:]))
    assert sorted(first) == sorted(second) and first != second and len(set(first)) == 6
    for pair in islice(VQA.pairs(data, PARAMS["vqa"]["teach"], 0, "answer"), 6):
        said = [chat.turns[-1][1][0][1] for chat in (pair.chosen, pair.rejected)]
        assert said[0].startswith("Good") and said[1] == said[0].replace("Good", "Bad")
    for pair in islice(VQA.pairs(data, PARAMS["vqa"]["teach"], 0, "context"), 6):
        assert pair.chosen.turns[-1] == pair.rejected.turns[-1]
        assert pair.chosen.turns[0][1][0] != pair.rejected.turns[0][1][0]
        assert pair.chosen.turns[0][1][1] == pair.rejected.turns[0][1][1]
    assert np.asarray(Image.open(BytesIO(draw(found.pictures["0-0000005"]))))[0, 0, 0] == 4


def test_pixmo_captions_find_their_pictures_by_the_hash_or_the_end_of_the_url(tmp_path):
    urls = ["https://a.org/x/one.jpg?size=3", "https://b.org/two.png", "https://c.org/three.jpg"]
    table = written(tmp_path / "cap.jsonl", [{"image_url": url, "caption": f"See {url}."} for url in urls])
    written(tmp_path / "one.jpg", encoded(kind="JPEG"))
    written(tmp_path / f"{hashlib.sha256(urls[1].encode()).hexdigest()}.png", encoded())
    assert "1 of 3 rows lack their picture (1 pictures): https://c.org/three.jpg" in said_of(
        vqa, table, "pixmo_cap"
    )
    kept = vqa(table, "pixmo_cap", missing="keep", eval_share=0.0)
    assert [e.facets["picture"] for e in kept.examples] == ["here", "here", "missing"]
    taught = {
        chat.examples[0].id for chat in islice(VQA.teach(Data(kept.examples), PARAMS["vqa"]["teach"], 0), 9)
    }
    assert len(taught) == 2
    assert ("pixmo_cap: questions that have their picture", 2, 3) in list(VQA.promises(Data(kept.examples)))
    assert not VQA.grade(kept.examples[2], kept.examples[2].answer).right


def test_a_file_is_never_the_picture_of_two_urls(tmp_path):
    rows = [{"image_url": f"https://a.org/{k}/image.jpg", "caption": "A cup."} for k in range(2)]
    table = written(tmp_path / "cap.jsonl", rows)
    written(tmp_path / "image.jpg", encoded(kind="JPEG"))
    assert "row 2" in (said := said_of(vqa, table, "pixmo_cap")) and "also taken for the picture of" in said


@pytest.mark.parametrize(
    "row",
    [
        {"image": "a.jpg", "question": "How far?", "answer": "2.5 m"},
        {"image": "a.jpg", "prompt": "How far?", "response": "2.5 m"},
        {"image": "a.jpg", "messages": [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How far?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "2.5 m"}]},
        ]},
    ],
)  # fmt: skip
def test_spatial_questions_are_read_in_each_of_their_layouts(tmp_path, row):
    written(tmp_path / "a.jpg", encoded(kind="JPEG"))
    [example] = vqa(written(tmp_path / "t.json", [row]), "spatial_vqa").examples
    assert user_turn(example) == (("image", "a.jpg"), ("text", "How far?")) and example.answer == "2.5 m"
    assert VQA.grade(example, "2.5 m.").right and not VQA.grade(example, "3.5 m").right


def test_llava_conversations_keep_their_turns_and_the_place_of_the_picture(tmp_path):
    rows = [
        llava_row("<image>\nWhat is it?", "A cup.", "What colour?", "Red.", image="coco/a.jpg"),
        llava_row("What is it?\n<image>", "A dog.", image="coco/a.jpg"),
        llava_row("Hello!", "Hi!", image=None),
    ]
    written(tmp_path / "coco/a.jpg", encoded(kind="JPEG"))
    found = vqa(written(tmp_path / "t.json", rows), "llava", eval_share=0.0)
    first, later, last, bare = found.examples
    assert user_turn(first) == (("image", "coco+a.jpg"), ("text", "What is it?"))
    assert user_turn(last) == (("text", "What is it?"), ("image", "coco+a.jpg"))
    assert bare.facets["picture"] == "none" and not bare.pictures and later.facets["turn"] == "later"
    chats = {
        len(chat.turns): chat
        for chat in islice(VQA.teach(Data(found.examples), PARAMS["vqa"]["teach"], 0), 9)
    }
    assert [parts for _, parts in chats[4].turns][2:] == [(("text", "What colour?"),), (("text", "Red."),)]


def test_tests_are_about_other_pictures_and_ask_first_turns(tmp_path):
    rows = [llava_row("<image>\nWhat?", "Cup.", "And?", "Red.", image=f"{k % 50}.jpg") for k in range(100)]
    for k in range(50):
        written(tmp_path / f"{k}.jpg", encoded(kind="JPEG"))
    found = vqa(written(tmp_path / "t.json", rows), "llava", eval_share=0.3)
    data = Data(found.examples)
    asked = VQA.ask(data, {**PARAMS["vqa"]["ask"], "drops": ["image"]}, {})
    assert 12 <= len(asked) <= 120 and {e.facets["turn"] for e in asked} == {"first"}
    assert all(kept == wanted for _, kept, wanted in VQA.promises(data))
    assert len({e.id for e in asked}) == len(asked)


def test_each_table_has_its_own_layout_and_folder(tmp_path):
    one = with_pictures(tmp_path / "a.parquet", [rlhf_row()], [encoded()])
    two = written(tmp_path / "b.json", [llava_row()])
    written(tmp_path / "coco/a.jpg", encoded(kind="JPEG"))
    facts = {
        "paths": [str(one), str(two)],
        "layouts": ["rlhf_v", "llava"],
        "pictures": [str(tmp_path), str(tmp_path / "coco")],
    }
    found = made(VQA, "vqa", **facts)
    assert [e.lesson for e in found.examples] == ["rlhf_v", "llava"] and len(
        set(found.pictures) - set(noises())
    ) == 2
    files = VQA.files({**PARAMS["vqa"]["facts"], **facts})
    assert [path.name for path in files] == ["a.parquet", "b.json", "a.jpg"]


# --- pictures ---


def kept(folder: Path) -> Shards:
    """The pictures of a folder as a data folder keeps them."""
    found = {path.name: Picture(str(path)) for path in folder.iterdir()}
    (folder / "data").mkdir()
    write_shards(folder / "data", found, draw, 1, lambda done, total: None)
    return Shards(folder / "data")


def test_rgb_and_grey_files_are_kept_byte_for_byte_and_others_become_rgb(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    table = [
        ("kept.png", encoded(), None),
        ("kept.jpg", encoded(kind="JPEG"), None),
        ("kept_grey.png", encoded(mode="L", colour=7), (7, 7, 7)),
        ("clear.png", encoded(mode="RGBA", colour=(1, 2, 3, 0)), (255, 255, 255)),
        ("palette.gif", encoded(mode="P", kind="GIF", colour=0), None),
        ("print.jpg", encoded(mode="CMYK", kind="JPEG", colour=(0, 0, 0, 0)), (255, 255, 255)),
        ("deep.png", encoded(mode="I;16", colour=40000), (0, 0, 0)),
        ("kept.webp", encoded(kind="WEBP", lossless=True, colour=(9, 8, 7)), (9, 8, 7)),
        ("odd.bmp", encoded(kind="BMP", colour=(9, 8, 7)), (9, 8, 7)),
        ("turned.jpg", encoded(kind="JPEG", exif=exif), None),
    ]
    for name, content, _ in table:
        written(tmp_path / name, content)
    pictures = kept(tmp_path)
    for name, content, shown in table:
        drawn = pictures.read(name)
        assert (pictures.bytes(name) == content) == name.startswith("kept")
        assert drawn.mode == "RGB" and drawn.size == ((16, 24) if name == "turned.jpg" else (24, 16))
        assert shown is None or drawn.getpixel((0, 0)) == shown


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    ramp = Image.fromarray(np.linspace(0, 60000, 256, dtype=np.uint16).reshape(16, 16))
    ramp.save(tmp_path / "a.png")
    pixels = np.asarray(kept(tmp_path).read("a.png"))[..., 0].ravel().astype(int)
    assert pixels[0] == 0 and pixels[-1] >= 254 and np.all(np.diff(pixels) >= 0) and len(set(pixels)) > 200


def test_a_picture_that_is_cut_off_is_one_sentence_when_it_is_drawn(tmp_path):
    noise = Image.effect_noise((200, 200), 80).convert("RGB")
    noise.save(tmp_path / "a.jpg")
    cut = written(tmp_path / "b.jpg", (tmp_path / "a.jpg").read_bytes()[:3000])
    assert "b.jpg: the picture is damaged" in said_of(draw, Picture(str(cut)))


def test_examples_survive_being_written_and_read(tmp_path):
    written(tmp_path / "coco/a b.jpg", encoded(kind="JPEG"))
    written(tmp_path / "coco/…ü.jpg", encoded(kind="JPEG"))
    rows = [llava_row(image="coco/a b.jpg"), llava_row(image="coco/…ü.jpg"), llava_row(image="x/+.jpg")]
    found = vqa(written(tmp_path / "t.json", rows), "llava", missing="keep")
    path = written(tmp_path / "examples.jsonl", "".join(example_line(e) for e in found.examples))
    again = read_examples(path)
    assert [e.pictures for e in again] == [e.pictures for e in found.examples]
    assert len({e.group for e in again}) == 3


# --- what is wrong ---

LINES, TABLE = "a.jsonl", "a.json"
BROKEN = [
    # world or layout, file, content, what the one sentence says
    ("vsr", LINES, [vsr_row(label=2)], r"row 1: label must be 0 or 1; got 2"),
    ("vsr", LINES, [vsr_row(label="1")], r"row 1: label must be 0 or 1; got '1'"),
    ("vsr", LINES, [vsr_row(label=True)], r"row 1: label must be 0 or 1; got True"),
    ("vsr", LINES, [vsr_row(), vsr_row(caption="")], r"row 2: caption is empty"),
    ("vsr", LINES, [vsr_row(caption=None)], r"row 1: caption is missing"),
    ("vsr", LINES, [vsr_row(relation=7)], r"row 1: relation must be text; got 7"),
    ("vsr", LINES, [vsr_row(image="../a.jpg")], r"row 1: the picture ../a.jpg leads out of"),
    ("vsr", LINES, [vsr_row(image="/a.jpg")], r"row 1: the picture /a.jpg leads out of"),
    ("vsr", LINES, [vsr_row(image="text.jpg")], r"row 1: the picture text.jpg cannot be read"),
    ("vsr", LINES, [vsr_row(image="gone.jpg")], r"1 of 1 rows lack their picture .*: gone.jpg"),
    ("vsr", LINES, '{"image": "a.jpg", "cap\n', r"row 1: not JSON"),
    ("vsr", LINES, [vsr_row(image=".")], r"1 of 1 rows lack their picture .*: \.; put"),
    ("vsr", LINES, "[" * 100_000, r"row 1: not JSON"),
    ("rlhf_v", LINES, [rlhf_row(text="[" * 100_000)], r"row 1: text is not JSON"),
    ("vsr", LINES, "[1, 2]\n", r"row 1: expected an object with columns; got \[1, 2\]"),
    ("vsr", LINES, "", r"a.jsonl: holds no rows"),
    ("vsr", "a.csv", "image,caption\n", r"a.csv is no table; expected .parquet, .jsonl, .json, .arrow"),
    ("cv_bench", LINES, [cv_row(answer="C")], r"one of the first 2 letters, as \(A\); got 'C'"),
    ("cv_bench", LINES, [cv_row(answer="right")], r"row 1: answer must be one of the first 2 letters"),
    ("cv_bench", LINES, [cv_row(choices=["left"])], r"row 1: choices must be 2 to 8 different texts"),
    ("cv_bench", LINES, [cv_row(choices=["left", "left"])], r"row 1: choices must be 2 to 8 different texts"),
    ("cv_bench", LINES, [cv_row(choices="left, right")], r"row 1: choices must be 2 to 8 different texts"),
    ("cv_bench", LINES, [cv_row(type="4D")], r"row 1: type must be 2D or 3D; got '4D'"),
    ("cv_bench", LINES, [cv_row(filename=None)], r"row 1: filename is missing"),
    ("cv_bench", "a.parquet", b"version https://git-lfs.github.com/spec/v1\n", r"parquet: a Git LFS pointer"),
    ("rlhf_v", LINES, [rlhf_row(text="{'question': 1}")], r"row 1: text is not JSON"),
    ("rlhf_v", LINES, [rlhf_row(text="[1]")], r"row 1: text must be JSON with question, chosen and rejected"),
    ("rlhf_v", LINES, [rlhf_row(text='{"question": "q", "chosen": "c"}')], r"row 1: rejected is missing"),
    ("rlhf_v", LINES, [rlhf_row(chosen="A dog.")], r"row 1: chosen and rejected are the same text"),
    ("rlhf_v", LINES, [rlhf_row(image_path=None)], r"row 1: image_path or image is missing"),
    ("pixmo_cap", LINES, [{"image_url": "https://a.org/a.jpg"}], r"row 1: caption is missing"),
    ("pixmo_cap", LINES, [{"caption": "A cup."}], r"row 1: image_url or image or file_name is"),
    ("spatial_vqa", TABLE, [{"image": "a.jpg", "question": "Far?"}], r"row 1: answer or response is missing"),
    ("spatial_vqa", TABLE, {"image": "a.jpg"}, r"a.json: expected a list of objects, .*got a dict"),
    ("spatial_vqa", TABLE, "[{", r"a.json: not JSON"),
    ("llava", TABLE, [llava_row(conversations="Hello")], r"row 1: conversations must be a list of turns"),
    ("llava", TABLE, [llava_row("<image> What?")], r"must alternate human, gpt and end with gpt; got human"),
    ("llava", TABLE, [llava_row(conversations=[])], r"row 1: turns must alternate .*; got none"),
    ("llava", TABLE, [llava_row("What?", "")], r"row 1: turn 2 is empty or no text"),
    ("llava", TABLE, [llava_row("<image> <image> What?", "Cups.")], r"row 1: <image> stands 2 times"),
    ("llava", TABLE, [llava_row(image=None)], r"row 1: <image> stands 1 times, but there is no picture"),
]  # fmt: skip


@pytest.mark.parametrize("kind, name, content, sentence", BROKEN)
def test_what_is_broken_is_one_clear_sentence(tmp_path, kind, name, content, sentence):
    written(tmp_path / "text.jpg", "no picture")
    written(tmp_path / "a.jpg", encoded(kind="JPEG"))
    written(tmp_path / "01.jpg", encoded(kind="JPEG"))
    written(tmp_path / "2D/relation/a.png", encoded())
    table = written(tmp_path / name, content)
    read = {"vsr": vsr, "cv_bench": cv_bench}.get(kind)
    said = said_of(read, table) if read else said_of(vqa, table, kind)
    assert "\n" not in said
    assert re.search(sentence, said), said


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    rows = [vsr_row(f"{k}.jpg", label=9 if k % 2 else 1) for k in range(60)]
    said = said_of(vsr, written(tmp_path / "a.jsonl", rows)).splitlines()
    assert len(said) == 3 and "rows 2, 4, 6, " in said[1] and "40 and 10 more: label must be" in said[1]
    assert "30 of 30 rows lack their picture" in said[2]
    odd = [vsr_row("0.jpg", label=9 + k) for k in range(30)]
    said = said_of(vsr, written(tmp_path / "b.jsonl", odd)).splitlines()
    assert len(said) == 22 and "row 1: label" in said[1] and "row 20: label" in said[20]
    assert "10 more like these" in said[21]


def test_broken_and_missing_cells_of_a_table_are_told_apart(tmp_path):
    table = with_pictures(tmp_path / "a.parquet", [cv_row()] * 3, [encoded(), b"GIF87a", None], group=2)
    said = said_of(cv_bench, table)
    assert "row 2: its picture cannot be read" in said and "1 of 3 rows lack their picture" in said


@pytest.mark.parametrize(
    "world, name, facts, sentence",
    [
        (VSR, "vsr", {"path": "nowhere.jsonl"}, "vsr.path: nowhere.jsonl is not there"),
        (VSR, "vsr", {"path": ""}, "vsr.path: no path is given"),
        (VSR, "vsr", {"path": "tests", "split": "random"}, "vsr.path: tests holds none of random/test.jsonl"),
        (VSR, "vsr", {"path": "hub:nobody/nothing"}, "the Hub's cache holds no copy of nobody/nothing"),
        (VSR, "vsr", {"path": "hub:a b/c"}, "hub:a b/c is no name of a data set"),
        (CV_BENCH, "cv_bench", {"path": "tests"}, "cv_bench.path: tests holds no test_2d.parquet"),
        (VQA, "vqa", {}, "vqa.paths: no table is named"),
        (
            VQA,
            "vqa",
            {"paths": ["pyproject.toml"], "layouts": ["llava", "rlhf_v"]},
            "2 are named for 1 paths",
        ),
        (VQA, "vqa", {"paths": ["tests"], "pictures": ["nowhere"]}, "vqa.pictures: nowhere is not there"),
    ],
)
def test_a_path_that_leads_nowhere_is_said_before_anything_is_made(world, name, facts, sentence, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    facts = {**PARAMS[name]["facts"], **facts}
    assert sentence in "\n".join(world.check(facts))
    assert sentence in said_of(world.make, facts, 0)


def test_a_copy_in_the_hubs_cache_is_found_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    home = tmp_path / "datasets--cambridgeltl--vsr_zeroshot"
    written(home / "refs/main", "0" * 40)
    written(home / "snapshots" / ("0" * 40) / "test.jsonl", [vsr_row()])
    assert len(made(VSR, "vsr", missing="keep").examples) == 1


def test_nothing_can_be_taught_without_pictures_or_rejected_answers(tmp_path):
    kept = vqa(written(tmp_path / "a.json", [llava_row()]), "llava", missing="keep", eval_share=0.0)
    with pytest.raises(UserError, match="no training row has its picture"):
        next(VQA.teach(Data(kept.examples), PARAMS["vqa"]["teach"], 0))
    written(tmp_path / "a.jpg", encoded(kind="JPEG"))
    found = Data(vqa(tmp_path / "a.json", "llava", eval_share=0.0).examples)
    with pytest.raises(UserError, match="has a rejected answer"):
        next(VQA.pairs(found, PARAMS["vqa"]["teach"], 0, "answer"))
    with pytest.raises(UserError, match="need two pictures"):
        next(VQA.pairs(found, PARAMS["vqa"]["teach"], 0, "context"))
    with pytest.raises(UserError, match="kept for tests"):
        VQA.ask(found, PARAMS["vqa"]["ask"], {})
