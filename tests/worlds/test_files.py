"""The world of a user's own rows: every kind of file, its pictures, and which rows are trained on."""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_rows import COLORS, facts, loaded, numbered, picture, pixel, png, words, write, write_parquet
from PIL import Image

from mmrc_helpers.errors import UserError
from mmrc_helpers.store.pictures import Shards, write_shards
from mmrc_helpers.tasks.example import question
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.files import WORLD
from mmrc_helpers.worlds.files.writing import from_rows

# --- kinds of files ----------------------------------------------------------------------------------------


def test_parquet_with_stored_pictures_in_several_row_groups(tmp_path):
    rows = [
        {"prompt": f"{n}?", "completion": color, "images": [{"bytes": png(color), "path": None}] * 2}
        for n, color in enumerate(COLORS)
    ]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    examples, made = loaded(path)
    expected = [Image.new("RGB", (1, 1), color).getpixel((0, 0)) for color in COLORS]
    assert [pixel(made, e.pictures[1]) for e in examples] == expected
    assert len(made.pictures) == 6 and all(len(repr(spec)) < 600 for spec in made.pictures.values())


def test_parquet_with_paths_of_pictures(tmp_path):
    name = picture(tmp_path, "a.png", "blue")
    path = write_parquet([{"prompt": "?", "completion": "blue", "image": name}], tmp_path / "rows.parquet")
    (example,), made = loaded(path)
    assert pixel(made, example.pictures[0]) == (0, 0, 255)
    assert WORLD.files(facts(path)) == [path, tmp_path / "a.png"]


def test_a_folder_that_datasets_saved(tmp_path):
    import datasets

    features = datasets.Features(
        {"prompt": datasets.Value("string"), "completion": datasets.Value("string"),
         "images": datasets.Sequence(datasets.Image())}
    )  # fmt: skip
    rows = {
        "prompt": [f"{n}?" for n in range(4)],
        "completion": list(COLORS[:4]),
        "images": [[{"bytes": png(color), "path": None}] for color in COLORS[:4]],
    }
    table = datasets.Dataset.from_dict(rows, features=features)
    both = datasets.DatasetDict({"train": table.select(range(3)), "test": table.select([3])})
    both.save_to_disk(str(tmp_path / "both"))
    table.save_to_disk(str(tmp_path / "one"), num_shards=2)
    examples, made = loaded(tmp_path / "one")
    assert [e.answer for e in examples] == list(COLORS[:4])
    expected = [Image.new("RGB", (1, 1), color).getpixel((0, 0)) for color in COLORS[:4]]
    assert [pixel(made, e.pictures[0]) for e in examples] == expected
    split = WORLD.make(facts(tmp_path / "both", eval_split="test"), 0)
    assert [(e.split, e.answer) for e in split.examples] == [
        *(("train", c) for c in COLORS[:3]),
        ("test", COLORS[3]),
    ]
    with pytest.raises(UserError, match="has no split dev; it has train, test: set files.split"):
        loaded(tmp_path / "both", split="dev")


def test_a_folder_of_files_named_after_splits(tmp_path):
    (tmp_path / "data").mkdir()
    for split, count in (("train", 2), ("test", 1)):
        for shard in range(count):
            rows = [{"prompt": f"{split}{shard}", "completion": "x"}]
            write_parquet(rows, tmp_path / "data" / f"{split}-{shard:05d}-of-{count:05d}.parquet")
    made = WORLD.make(facts(tmp_path, eval_split="test"), 0)
    assert [(e.split, words(question(e))) for e in made.examples] == [
        ("train", "train0"), ("train", "train1"), ("test", "test0")]  # fmt: skip
    assert len(WORLD.files(facts(tmp_path))) == 2


def test_a_hub_id_is_found_in_the_local_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "datasets--lab--colors"
    snapshot = place / "snapshots" / "0123456789012345678901234567890123456789"
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(snapshot.name)
    write(snapshot, [{"prompt": "?", "completion": "red"}], "train.jsonl")
    assert [loaded(name)[0][0].answer for name in ("lab/colors", "hub:lab/colors")] == ["red", "red"]
    with pytest.raises(
        UserError, match="lab/others is no file or folder, and the Hub's cache holds no copy of lab/others"
    ):
        loaded("lab/others")


def test_a_json_list_and_lines_with_a_byte_order_mark(tmp_path):
    rows = [{"prompt": "ä?", "completion": "ö"}] * 2
    (tmp_path / "list.json").write_text(json.dumps(rows), encoding="utf-8")
    lines = "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "marked.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert [[e.answer for e in loaded(tmp_path / n)[0]] for n in ("list.json", "marked.jsonl")] == [
        ["ö"] * 2
    ] * 2


def test_rows_in_memory_with_pictures(tmp_path):
    rows = [
        {"response": "Red", "chosen": "?", "chosen_images": [Image.new("RGB", (4, 4), "red")],
         "rejected": "?", "rejected_images": [Image.new("L", (6, 5), 9)]},
        {"response": "Sky", "chosen": "?", "chosen_images": [Image.new("CMYK", (4, 4), (90, 0, 0, 0))],
         "rejected": "?", "rejected_images": [Image.new("RGB", (4, 4), "red")]},
    ]  # fmt: skip
    path = from_rows(rows, tmp_path / "mine")
    assert path == tmp_path / "mine" / "rows.jsonl" and not list((tmp_path / "mine").rglob("*.part"))
    assert len(list((tmp_path / "mine" / "pictures").iterdir())) == 3  # the red one once
    before = path.read_bytes()
    assert from_rows(rows, tmp_path / "mine").read_bytes() == before
    examples, made = loaded(path)
    assert [e.answer for e in examples] == ["Red", "Sky"] and len(made.pictures) == 3
    assert WORLD.files(facts(path))[0] == path and len(WORLD.files(facts(path))) == 4


def test_rows_in_memory_with_messages_and_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path, "here.png", "blue")
    content = [{"type": "image", "image": Image.new("RGB", (4, 4), "red")}, {"type": "text", "text": "?"}]
    rows = [
        {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "Red"}]},
        {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Blue"}],
         "images": ["here.png"]},
    ]  # fmt: skip
    examples, made = loaded(from_rows(rows, tmp_path / "deep" / "folder"))
    assert [pixel(made, e.pictures[0]) for e in examples] == [(255, 0, 0), (0, 0, 255)]


def test_rows_in_memory_that_json_cannot_hold_are_all_named(tmp_path):
    with pytest.raises(UserError) as error:
        from_rows([{"prompt": {1, 2}}, {"prompt": "a"}, {"prompt": [b"x"]}], tmp_path)
    assert "row 1: prompt holds a set" in str(error.value) and "row 3: prompt holds a bytes" in str(
        error.value
    )
    with pytest.raises(UserError, match="rows must be a list"):
        from_rows([], tmp_path)


# --- pictures ----------------------------------------------------------------------------------------------


def test_pictures_become_rgb_with_a_note(tmp_path):
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    names = ["clear.png", picture(tmp_path, "grey.png", "grey", "L"), picture(tmp_path, "plain.png")]
    examples, made = loaded(write(tmp_path, [{"prompt": "?", "completion": "x", "images": names}]))
    assert [pixel(made, n) for n in examples[0].pictures] == [(255, 255, 255), (128, 128, 128), (255, 0, 0)]
    notes = made.facts[0]["text"]
    assert (
        "row 1: pictures of mode RGBA are converted to RGB" in notes
        and "mode L" in notes
        and "mode RGB " not in notes
    )


def test_pictures_of_more_than_8_bits_are_scaled_with_a_note(tmp_path):
    ramp = Image.new("I;16", (2, 1))
    ramp.putdata([1000, 5000])
    ramp.save(tmp_path / "deep.png")
    (example,), made = loaded(write(tmp_path, [{"prompt": "?", "completion": "x", "image": "deep.png"}]))
    assert pixel(made, example.pictures[0]) == (0, 0, 0)
    assert "row 1: pictures of mode I;16 are converted to RGB" in made.facts[0]["text"]


def test_a_picture_taken_sideways_is_shown_upright(tmp_path):
    wide = Image.new("RGB", (8, 4), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    wide.save(tmp_path / "photo.jpg", exif=exif)
    examples, made = loaded(write(tmp_path, [{"prompt": "?", "completion": "x", "image": "photo.jpg"}]))
    write_shards(tmp_path, made.pictures, made.draw, 1, lambda done, total: None)
    assert Shards(tmp_path).read(examples[0].pictures[0]).size == (4, 8)


def test_equal_pictures_are_kept_once(tmp_path):
    names = [picture(tmp_path, f"{n}.png", "red") for n in range(5)]
    rows = [{"prompt": f"{n}?", "completion": "x", "image": name} for n, name in enumerate(names)]
    _, made = loaded(write(tmp_path, rows))
    assert len(made.pictures) == 1


# --- splits ------------------------------------------------------------------------------------------------


def test_a_share_is_held_out_and_the_same_for_every_seed(tmp_path):
    path = numbered(tmp_path, 50)
    made = [WORLD.make(facts(path, eval_share=0.2), seed).examples for seed in range(2)]
    splits = [[(e.split, e.answer) for e in examples] for examples in made]
    assert splits[0] == splits[1] and Counter(split for split, _ in splits[0]) == {"train": 40, "test": 10}


def test_rows_with_one_question_stay_together(tmp_path):
    rows = [{"prompt": f"{n % 10}?", "chosen": f"a{n}", "rejected": f"b{n}"} for n in range(40)]
    made = WORLD.make(facts(write(tmp_path, rows), eval_share=0.3), 0)
    groups = {split: {e.group for e in made.examples if e.split == split} for split in ("train", "test")}
    assert not groups["train"] & groups["test"] and len(groups["test"]) == 3


def test_limits_keep_what_smaller_limits_kept(tmp_path):
    path = numbered(tmp_path, 60)
    kept = {}
    for most in (5, 20):
        made = WORLD.make(facts(path, max_train_samples=most, max_eval_samples=2), 0)
        kept[most] = [e.answer for e in made.examples if e.split == "train"]
        assert sum(e.split == "test" for e in made.examples) == 2
    assert len(kept[5]) == 5 and len(kept[20]) == 20 and set(kept[5]) < set(kept[20])


def test_a_file_of_its_own_for_tests(tmp_path):
    path, other = numbered(tmp_path, 4), numbered(tmp_path, 6, "other.jsonl")
    made = WORLD.make(facts(path, eval_path=str(other)), 0)
    assert Counter(e.split for e in made.examples) == {"train": 4, "test": 6}
    assert "4 test rows have a question that is also trained on" in made.facts[0]["text"]
    promise = {name: (found, wanted) for name, found, wanted in WORLD.promises(Data(made.examples))}
    assert promise["rows that are both taught and tested"] == (4, 0)


def test_more_files_are_read_behind_the_first(tmp_path):
    path, more = numbered(tmp_path, 3), numbered(tmp_path, 2, "more.jsonl")
    examples, _ = loaded(path, more=[str(more)])
    assert [(e.facets["source"], e.answer) for e in examples] == [
        ("rows", "0"), ("rows", "1"), ("rows", "2"), ("more", "0"), ("more", "1")]  # fmt: skip


def test_repeated_rows_are_reported(tmp_path):
    rows = [
        {"prompt": "a", "completion": "b"},
        {"prompt": "c", "completion": "d"},
        {"prompt": "a", "completion": "b"},
    ]
    _, made = loaded(write(tmp_path, rows))
    assert "1 rows repeat an earlier one: row 3 (as 1)" in made.facts[0]["text"]
