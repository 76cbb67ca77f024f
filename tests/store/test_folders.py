"""Stage folders: whole or .part, never made twice at once, and clear words about damage."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files, folders
from mmrc_helpers.store.keys import freeze

RECIPE = {"kind": "data", "key": "c4f0de05", "params": {"data": {"novel": 8}}, "machine": {"processes": 1}}


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "artifacts"


@pytest.fixture
def folder() -> Path:
    return folders.folder_of("data", "people", "c4f0de05")


def make(folder: Path) -> Path:
    """A finished stage with two files."""
    part = folders.begin(folder, RECIPE)
    (part / "images").mkdir()
    (part / "images" / "a.png").write_bytes(b"picture")
    files.append_jsonl(part / "examples.jsonl", [{"id": 1}, {"id": 2}])
    return folders.finish(part, {"seconds": 1.5, "device": "cpu"})


def test_a_finished_stage_has_no_part_folder_and_a_manifest(artifacts, folder):
    assert folder == artifacts / "data" / "people-c4f0de05"
    part = folders.begin(folder, freeze(RECIPE))
    assert part.name == "people-c4f0de05.part" and not folders.is_complete(folder)
    (part / "images").mkdir()
    (part / "images" / "a.png").write_bytes(b"picture")
    assert folders.finish(part, {"seconds": 1.5}) == folder
    assert folders.is_complete(folder) and not part.exists()
    made = files.read_json(folder / "made.json")
    assert made["seconds"] == 1.5 and made["python"].startswith("3.") and "torch" in made["packages"]
    assert made["files"]["images/a.png"][0] == 7
    assert set(made["files"]) == {"images/a.png", "recipe.json"}
    assert folders.read_recipe(folder) == RECIPE


def test_a_finish_that_was_killed_before_its_end_is_done_again(folder):
    part = make(folder).rename(folders.part_of(folder))
    (part / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    (part / ".made.json.123").write_text("{")  # a torn `write_text`
    assert folders.begin(folder, RECIPE) == part
    assert folders.damage(folders.finish(part, {})) == []
    assert {path.name for path in folder.iterdir()} == {
        "recipe.json",
        "made.json",
        "examples.jsonl",
        "images",
    }


def test_a_damaged_recipe_of_a_part_folder_is_begun_anew(folder):
    part = folders.begin(folder, RECIPE)
    (part / "half").write_text("half")
    (part / "recipe.json").write_text('{"kind": ')
    assert not (folders.begin(folder, RECIPE) / "half").exists()


def test_a_file_is_compared_with_the_manifest_before_it_is_used(folder):
    make(folder)
    assert folders.check(folder) == folders.check(folder, "examples.jsonl") == folder
    (folder / "images" / "a.png").write_bytes(b"Picture")
    assert folders.check(folder, "examples.jsonl") == folder
    with pytest.raises(UserError, match="a.png is not what was written; to make it again: rm -r"):
        folders.check(folder)


def test_a_stage_that_somebody_makes_is_not_forgotten_under_them(tmp_path, folder):
    maker = start_maker(tmp_path / "log", 60)
    assert maker.stdout.readline() == "making\n"
    assert folders.is_claimed(folder)
    with pytest.raises(BlockingIOError):
        folders.forget(folder, wait=False)
    assert folders.part_of(folder).exists()
    maker.kill()
    maker.communicate()
    assert not folders.is_claimed(folder)
    folders.forget(folder, wait=False)
    assert not folders.part_of(folder).exists()


def test_an_interrupted_stage_goes_on_with_what_it_has(folder):
    part = folders.begin(folder, RECIPE)
    (part / "half").write_text("half")
    assert (folders.begin(folder, {**RECIPE, "machine": {"processes": 8}}) / "half").exists()
    assert folders.read_recipe(part)["machine"] == {"processes": 8}


def test_a_part_folder_of_another_recipe_is_begun_anew(folder):
    (folders.begin(folder, RECIPE) / "half").write_text("half")
    part = folders.begin(folder, {**RECIPE, "params": {"data": {"novel": 9}}})
    assert [path.name for path in part.iterdir()] == ["recipe.json"]


def test_a_part_folder_without_a_recipe_is_begun_anew(folder):
    part = folders.begin(folder, RECIPE)
    (part / "recipe.json").unlink()
    (part / "half").write_text("half")
    assert not (folders.begin(folder, RECIPE) / "half").exists()


def test_a_forgotten_stage_is_gone_finished_or_not(folder):
    make(folder)
    folders.begin(folder, RECIPE)
    folders.forget(folder)
    assert list(folder.parent.iterdir()) == []
    folders.forget(folder)


MAKER = """
import sys, time
from pathlib import Path
from mmrc_helpers.store import files, folders
folder, log = folders.folder_of("data", "people", "c4f0de05"), Path(sys.argv[1])
with folders.claim(folder):
    if folders.is_complete(folder):
        print("reused")
    else:
        with log.open("a") as file:
            file.write("made\\n")
        part = folders.begin(folder, {"key": "c4f0de05"})
        print("making", flush=True)
        time.sleep(float(sys.argv[2]))
        folders.finish(part, {})
"""


def start_maker(log: Path, seconds: float) -> subprocess.Popen:
    command = [sys.executable, "-c", MAKER, str(log), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_runners_make_a_stage_once_and_the_second_reuses_it(tmp_path):
    first = start_maker(tmp_path / "log", 1.0)
    assert first.stdout.readline() == "making\n"
    said, _ = start_maker(tmp_path / "log", 0).communicate(timeout=20)
    assert f"which process {first.pid} on " in said and said.endswith("reused\n")
    assert (tmp_path / "log").read_text() == "made\n"
    first.communicate(timeout=10)
    assert first.returncode == 0


def test_the_claim_of_a_dead_owner_is_taken_over(tmp_path, folder):
    first = start_maker(tmp_path / "log", 60)
    assert first.stdout.readline() == "making\n"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    began = time.monotonic()
    said, _ = start_maker(tmp_path / "log", 0).communicate(timeout=20)
    assert said == "making\n" and time.monotonic() - began < 5
    assert folders.is_complete(folder)


def test_damage_names_every_file_that_is_not_as_written(folder):
    make(folder)
    assert folders.damage(folder) == []
    (folder / "images" / "a.png").write_bytes(b"Picture")
    (folder / "examples.jsonl").unlink()
    first, second = folders.damage(folder)
    assert "examples.jsonl is missing" in first and "rm -r" in first
    assert "a.png is not what was written" in second
    for half in ('{"seconds": 1}', "{"):
        (folder / "made.json").write_text(half)
        (found,) = folders.damage(folder)
        assert "made.json is damaged" in found and "rm -r" in found


@pytest.mark.parametrize("harmed", ["recipe.json", "images/a.png"])
def test_check_compares_the_recipe_and_the_named_files_only(folder, harmed):
    make(folder)
    (folder / "examples.jsonl").write_text("")
    assert folders.check(folder, "images/*.png") == folder
    (folder / harmed).write_text("{}")
    with pytest.raises(UserError, match=f"{harmed} is not what was written; .*rm -r"):
        folders.check(folder, "images/*.png")


def test_a_truncated_row_names_file_line_and_the_command_that_mends_it(folder):
    make(folder)
    path = folder / "examples.jsonl"
    path.write_text('{"id": 1}\n{"id":')
    with pytest.raises(
        UserError, match=r"examples.jsonl, line 2, is damaged; .* rm -r .*people-c4f0de05, then"
    ):
        files.read_jsonl(path)
    with pytest.raises(UserError, match="missing.jsonl is missing; to make it again: rm -r"):
        files.read_jsonl(folder / "missing.jsonl")
    (folder / "made.json").write_text("{")
    with pytest.raises(UserError, match="made.json is damaged"):
        files.read_json(folder / "made.json")


def test_a_torn_last_row_is_cut_off_so_that_the_writer_can_go_on(tmp_path):
    path = tmp_path / "answers.jsonl"
    assert files.resume_jsonl(path) == []
    path.write_text('{"id": 1}\n{"id": "é')
    assert files.resume_jsonl(path) == [{"id": 1}]
    files.append_jsonl(path, freeze([{"id": 2, "picks": ["A"]}]))
    assert files.read_jsonl(path) == [{"id": 1}, {"id": 2, "picks": ["A"]}]
    assert path.read_text() == '{"id": 1}\n{"id": 2, "picks": ["A"]}\n'


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": (1, 2)})
    with pytest.raises(ValueError):
        files.write_json(path, {"a": float("nan")})
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "half of a pair: \ud800")
    assert json.loads(path.read_text()) == {"a": [1, 2]} and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_goes_with_the_next_claim(artifacts):
    folder = folders.study_folder("reversal")
    files.make_folder(folder)
    files.write_json(folder / "verdict.json", {})
    (folder / ".index.html.123").write_text("<ht")
    with folders.claim(folder):
        assert [path.name for path in folder.iterdir()] == ["verdict.json"]


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "file" / "artifacts"))
    with pytest.raises(UserError, match="cannot write to .*; set MMRC_ARTIFACTS"):
        folders.begin(folders.folder_of("data", "people", "c4f0de05"), RECIPE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_a_clear_error(artifacts):
    artifacts.mkdir(mode=0o500)
    with pytest.raises(UserError, match="cannot write to .*; set MMRC_ARTIFACTS"):
        folders.begin(folders.folder_of("data", "people", "c4f0de05"), RECIPE)


def test_while_rows_are_read_nothing_is_looked_for_that_could_be_freed(tmp_path):
    files.write_jsonl(tmp_path / "rows.jsonl", [{"a": 1}] * 3)
    looked: list[bool] = []

    def keep(row: dict) -> dict:
        looked.append(gc.isenabled())
        return row

    was_on = gc.isenabled()
    try:
        for on in (True, False):
            (gc.enable if on else gc.disable)()
            files.read_jsonl(tmp_path / "rows.jsonl", keep)
            assert gc.isenabled() is on
    finally:
        (gc.enable if was_on else gc.disable)()
    assert looked == [False] * 6
