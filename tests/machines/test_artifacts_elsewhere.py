"""Artifacts in another place than the repository's: one folder for every process, the repository's own model
found from there, and nothing of anybody else's shown as removable."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_run import command, place, write_study

from mmrc_helpers import run
from mmrc_helpers.errors import UserError
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.study import stages, upkeep
from mmrc_helpers.study.runs import load_study

__all__ = ["place"]  # the fixture

HOME = Path.home()
FOLDERS = {  # MMRC_ARTIFACTS: the folder
    "": files.REPOSITORY / "artifacts",
    "  ": files.REPOSITORY / "artifacts",
    "/scratch/me": Path("/scratch/me"),
    "/scratch/me/": Path("/scratch/me"),
    "/scratch/x/../me": Path("/scratch/me"),
    " /scratch/me\n": Path("/scratch/me"),
    '"/scratch/my runs"': Path("/scratch/my runs"),
    "'/scratch/me'": Path("/scratch/me"),
    "/scratch/mé 中": Path("/scratch/mé 中"),
    "out": files.REPOSITORY / "out",
    "./out": files.REPOSITORY / "out",
    "../out": files.REPOSITORY.parent / "out",
    "~": HOME,
    "~/out": HOME / "out",
    "'~/out'": HOME / "out",
    "$HOME/out": HOME / "out",
    "${HOME}/out": HOME / "out",
}


@pytest.mark.parametrize("given", FOLDERS)
def test_it_is_one_folder_for_every_process_wherever_that_works(given, tmp_path, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", given)
    assert files.artifacts_root() == FOLDERS[given]
    monkeypatch.chdir(tmp_path)
    assert files.artifacts_root() == FOLDERS[given]


@pytest.mark.parametrize("given", ["$NO_SUCH_NAME/out", "~no_such_user/out", "${SCRATCH_OF_NOBODY}"])
def test_a_name_that_means_nothing_is_refused(given, place, monkeypatch, capfd):
    write_study(place, "a: {}")
    monkeypatch.setenv("MMRC_ARTIFACTS", given)
    assert run.main(command(place)) == 2
    assert f"MMRC_ARTIFACTS: {given} names no place here; write the whole path" in capfd.readouterr().err


ODD = "a{x} b#c%20'd\"[e]*?&;!:\\\nf"  # what shells, web pages, papermill and patterns read as something else


def test_a_study_is_made_in_a_folder_of_any_name(place, monkeypatch, capfd):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(place / ODD))
    write_study(place, "a: {}")
    assert run.main(command(place)) == 0
    assert (place / ODD / "studies" / "mini" / "report.html").is_file()
    assert run.main(command(place, "--check")) == 0 and "0 problems" in capfd.readouterr().out


# --- the repository's own model -----------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path, monkeypatch) -> stages.Stage:
    """The base model of the default study; artifacts are elsewhere and empty."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    return stages.base_stage(load_study("reversal").runs[0])


def refuse_to_make(*arguments, **named):
    raise AssertionError("it was about to be trained")


def test_the_embedded_model_is_found_from_artifacts_elsewhere(base, tmp_path, monkeypatch):
    assert folders.is_in_repository(base.folder) and not folders.is_complete(base.folder)
    made = stages.make(base, {}, refuse_to_make)
    assert made == tmp_path / "artifacts" / "train" / base.folder.name
    assert folders.is_complete(made) and folders.damage(made) == []
    assert stages.make(base, {}, refuse_to_make) == made


def test_a_copy_that_was_interrupted_is_no_model(base):
    torn = base.folder.with_name(f".{base.folder.name}")
    torn.mkdir(parents=True)
    (torn / "made.json").write_text("{}")
    assert not folders.is_complete(base.folder) and upkeep._stage_folders() == []
    assert folders.damage(stages.make(base, {}, refuse_to_make)) == []
    assert not torn.exists()


def test_a_dry_run_says_where_the_base_model_comes_from_and_what_it_costs(base, capfd):
    assert run.main(["reversal", "--dry-run"]) == 0
    assert f"to copy  train/{base.folder.name}" in capfd.readouterr().out
    stages.make(base, {}, refuse_to_make)
    assert run.main(["reversal", "--dry-run"]) == 0
    assert f"there    train/{base.folder.name}" in capfd.readouterr().out


STUDY = """
extends: reversal
model: {study: own_base}
people: {novel: 16}
"""
BASE = """
cost: about three hours on a small moon
model: {source: scratch}
people: {novel: 32}
train: {steps: 20, taught_tokens: 0, lora_r: 0, teach: {replay: 1.0, cells: []}}
"""


def test_a_base_model_that_has_to_be_trained_states_its_cost_first(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setattr("mmrc_helpers.study.runs.PARAMS_FOLDER", tmp_path / "params")
    shutil.copytree(files.REPOSITORY / "params", tmp_path / "params")
    (tmp_path / "params" / "own_base.yaml").write_text(BASE)
    (tmp_path / "params" / "mine.yaml").write_text(STUDY)
    assert run.main(["mine", "--dry-run", "--params-folder", str(tmp_path / "params")]) == 0
    said = capfd.readouterr().out
    assert "the base model own_base has to be trained first: about three hours on a small moon" in said
    assert "to make  train/sft-" in said
    heard: list[str] = []

    def echo(line, end="\n"):
        heard.append(line)
        if "has to be trained" not in line:
            raise KeyboardInterrupt

    (chosen, *_) = load_study("mine", tmp_path / "params").runs
    with pytest.raises(KeyboardInterrupt):
        stages.make(stages.base_stage(chosen), chosen.params["machine"], echo)
    assert "about three hours on a small moon" in heard[0]


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A small repository under git, with one committed base model, whose name is returned."""
    monkeypatch.setattr(files, "REPOSITORY", tmp_path / "my checkout")
    own = folders.folder_of("train", "sft", "0badcafe")
    part = folders.begin(own, {"kind": "train", "params": {"model": {"source": "scratch"}}, "inputs": {}})
    files.write_text(part / "tokenizer.json", '{"a": 1,\n "b": 2}\n')
    folders.finish(part, {})
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c"],
    ):
        subprocess.run(["git", "-C", str(files.REPOSITORY), *arguments], check=True)
    return own


def test_a_model_that_only_the_working_tree_lost_is_not_trained_again(checkout, tmp_path, monkeypatch):
    shutil.rmtree(checkout)
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "elsewhere"))
    with pytest.raises(
        UserError, match="sft-0badcafe is missing; to restore it: git -C .* checkout -- artifacts/train"
    ):
        folders.bring(folders.folder_of("train", "sft", "0badcafe"))
    restored = files.mend(checkout).partition(": ")[2]
    subprocess.run(restored, shell=True, check=True)
    assert folders.bring(folders.folder_of("train", "sft", "0badcafe"))


HARM = {
    "line ends changed": (
        lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")),
        "its line ends were",
    ),
    "truncated": (lambda path: os.truncate(path, 3), "is not what was written;"),
    "removed": (lambda path: path.unlink(), "is missing"),
}


@pytest.mark.parametrize(("harm", "cause"), HARM.values(), ids=HARM)
def test_what_is_committed_is_restored_and_never_advised_to_be_removed(
    checkout, tmp_path, monkeypatch, harm, cause
):
    harm(checkout / "tokenizer.json")
    (said,) = folders.damage(checkout)
    assert cause in said and "git -C " in said and "rm -r" not in said
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="tokenizer.json.*git -C "):  # nor is a damaged one copied
        folders.bring(folders.folder_of("train", "sft", "0badcafe"))
    assert not folders.is_complete(folders.folder_of("train", "sft", "0badcafe"))
    subprocess.run(said.partition("restore it: ")[2], shell=True, check=True)
    assert folders.damage(checkout) == []


@pytest.mark.parametrize("git", ["git", "no git"])
def test_a_committed_model_that_no_study_uses_is_not_removable(checkout, tmp_path, monkeypatch, git):
    (tmp_path / "params").mkdir()
    monkeypatch.setattr(upkeep, "PARAMS_FOLDER", tmp_path / "params")
    if git == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    assert upkeep.unused(tmp_path / "params") == []


def test_the_committed_files_are_protected_from_conversion():
    paths = files.git("ls-files", "Makefile", ".ci/run", "params", "artifacts", "notebooks").splitlines()
    said = files.git("check-attr", "text", "eol", "--", *paths)
    values = {tuple(line.rsplit(": ", 2)[:2]): line.rsplit(": ", 2)[2] for line in said.splitlines()}
    for path in paths:
        if path.startswith("artifacts/"):
            assert values[path, "text"] == "unset", path
        else:
            assert values[path, "eol"] == "lf", path


# --- names --------------------------------------------------------------------------------------------------


def other_study(place: Path) -> Path:
    """A study of the same file name in another folder, with its own base.yaml."""
    (place / "other").mkdir()
    for name in ("base.yaml", "mini.yaml"):
        shutil.copy(place / "params" / name, place / "other")
    return place / "other" / "mini.yaml"


def test_a_second_study_of_one_name_does_not_replace_the_first(place, capfd):
    write_study(place, "a: {}")
    assert run.main(command(place)) == 0
    report = place / "artifacts" / "studies" / "mini" / "report.html"
    before, other = report.read_bytes(), other_study(place)
    more = ["--notebooks", str(place / "notebooks"), "--params-folder", str(place / "params")]
    for arguments in (
        [str(other), *more],
        [str(other), *more, "--redo", "report"],
        [str(other), *more, "--dry-run"],
    ):
        assert run.main(arguments) == 2
        said = capfd.readouterr().err
        assert f"holds the study of {place}/params/mini.yaml; give {other} another name" in said
    assert report.read_bytes() == before and upkeep.unused(place / "other") == []
    for damage in ("{", "[]", "{}"):  # then the executed notebooks say whose it is
        (report.parent / "study.json").write_text(damage)
        assert run.main([str(other), *more]) == 2
    (place / "params" / "mini.yml").write_text((place / "params" / "mini.yaml").read_text())
    assert run.main([str(place / "params" / "mini.yml"), *more]) == 2
    (place / "params" / "mini.yml").unlink()
    renamed = other.rename(other.with_name("mini_of_mine.yaml"))
    assert run.main([str(renamed), *more]) == 0


def test_a_study_that_was_moved_keeps_its_folder(place):
    write_study(place, "a: {}")
    assert run.main(command(place)) == 0
    other = other_study(place)
    (place / "params" / "mini.yaml").unlink()
    more = ["--notebooks", str(place / "notebooks"), "--params-folder", str(place / "params")]
    assert run.main([str(other), *more]) == 0
    owner = json.loads((place / "artifacts" / "studies" / "mini" / "study.json").read_text())
    assert owner == {"study": str(other)}


def test_an_artifacts_folder_with_other_things_in_it_shows_only_ours_as_unused(place):
    write_study(place, "a: {}")
    for name in (
        "data/photos",
        "data/people-old",
        "train/results-12345",
        "eval/x",
        "studies/thesis/chapter-1",
    ):
        (place / "artifacts" / name).mkdir(parents=True)
        (place / "artifacts" / name / "precious").write_text("")
    (place / "artifacts" / "studies" / "notes.txt").write_text("")
    assert upkeep.unused(place / "params") == []


STRAYS = [
    "._mini.yaml",
    "mini (copy).yaml",
    "mini 2.yaml",
    "Mini.yaml",
    "mini.bak.yaml",
    "mini-old.yaml",
    ".mini.yaml",
]


@pytest.mark.parametrize("name", STRAYS)
def test_files_that_lie_about_stop_nothing(place, capfd, name):
    write_study(place, "a: {}")
    (place / "params" / name).write_bytes(b"\x00\x05\x16\x07 no study at all: [")
    (place / "params" / ".#mini.yaml").symlink_to("me@host.4711:1")  # the lock of an editor
    (place / "params" / "folder.yaml").mkdir()
    assert run.main(["--check", "--params-folder", str(place / "params")]) == 0
    assert "0 problems" in capfd.readouterr().out
    assert run.main(["--clean", "--params-folder", str(place / "params")]) == 0


def test_while_a_study_cannot_be_read_nothing_is_removable(place, capfd):
    write_study(place, "a: {}")
    folders.finish(folders.begin(folders.folder_of("data", "people", "00000000"), {"inputs": {}}), {})
    (place / "params" / "broken.yaml").write_text("train: [")
    assert run.main(["--clean", "--yes", "--params-folder", str(place / "params")]) == 2
    assert "broken.yaml: not valid YAML" in capfd.readouterr().err
    assert folders.is_complete(folders.folder_of("data", "people", "00000000"))
    run.main(["--check", "--params-folder", str(place / "params")])
    assert "not known what no study uses: " in capfd.readouterr().out


# --- other people -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("private", [False, True], ids=["its file is open", "its file is in a private place"])
def test_a_finished_study_is_open_to_other_readers(common, place, as_another, monkeypatch, private):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(common / "artifacts"))
    write_study(place, "a: {}")
    home = place if private else common
    for name in ("params", "notebooks"):
        shutil.copytree(place / name, common / name)
    where = ["--params-folder", str(home / "params"), "--notebooks", str(home / "notebooks")]
    assert run.main(["mini", *where]) == 0
    before = {path: path.stat().st_mtime_ns for path in common.rglob("*")}
    check = ["--check", "--params-folder", str(common / "params")]
    for wanted in [check] if private else [check, ["mini", *where, "--dry-run"], ["mini", *where]]:
        seen = as_another("-m", "mmrc_helpers.run", *wanted, MMRC_ARTIFACTS=str(common / "artifacts"))
        assert seen.returncode == 0, seen.stdout + seen.stderr
        assert ("mini.yaml cannot be looked at (Permission denied)" in seen.stdout) == private
    assert before == {path: path.stat().st_mtime_ns for path in common.rglob("*")}


def test_weights_that_are_for_one_user_only_are_opened_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    previous = os.umask(0o027)
    try:
        part = folders.begin(folders.folder_of("train", "sft", "00000000"), {})
        (part / "model").mkdir(mode=0o700)
        (part / "model" / "model.safetensors").write_text("")
        (part / "model" / "model.safetensors").chmod(0o600)
        folder = folders.finish(part, {})
    finally:
        os.umask(previous)
    rights = {path.name: path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    assert rights == {"model": 0o750, "model.safetensors": 0o640, "recipe.json": 0o640, "made.json": 0o640}


DENIED = {
    "making a stage": "folders.begin(folders.folder_of('data', 'people', '00000000'), {})",
    "claiming one": "folders.claim(folders.folder_of('data', 'people', '00000000')).__enter__()",
    "forgetting one": "folders.forget(folders.folder_of('data', 'people', '11111111'))",
}


@pytest.mark.parametrize("doing", DENIED.values(), ids=DENIED)
def test_what_another_user_may_not_do_is_one_sentence_with_the_cure(common, as_another, monkeypatch, doing):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(common / "artifacts"))
    folder = folders.folder_of("data", "people", "11111111")
    with folders.claim(folder):
        folders.finish(folders.begin(folder, {}), {})
    code = f"""
from mmrc_helpers.errors import UserError
from mmrc_helpers.store import disk, files, folders
try:
    with disk.writing_into(files.artifacts_root()):
        {doing}
except UserError as error:
    print(error)
"""
    seen = as_another("-c", code, MMRC_ARTIFACTS=str(common / "artifacts"))
    assert "set MMRC_ARTIFACTS to a folder of yours" in seen.stdout and seen.stdout.count("\n") == 1, seen
    assert folders.is_complete(folder)


def test_a_read_only_disk_is_one_sentence(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    try:
        (tmp_path / "artifacts").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        said = (
            "cannot use .*artifacts.* .Read-only file system.; .* or set MMRC_ARTIFACTS to a folder of yours"
        )
        with pytest.raises(UserError, match=said), disk.writing_into(tmp_path):
            (tmp_path / "artifacts" / "x").write_text("")
    finally:
        subprocess.run(["umount", tmp_path], check=True)
