"""Export and import: a finished study opens elsewhere as it was, and there it is only read."""

import json
import shutil
import zipfile
from pathlib import Path

import finished_study
import pytest

import mmrc_helpers as mm
from mmrc_helpers import run
from mmrc_helpers.analysis import reading
from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files, folders
from mmrc_helpers.study import stages, upkeep
from mmrc_helpers.study.runs import load_study

ONE_SEED = finished_study.STUDY.replace("seeds: [0, 1, 2]", "seeds: [0]")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder with a finished study, `finished`, and its artifacts; its training has weights."""
    place = tmp_path_factory.mktemp("carrying")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMRC_ARTIFACTS", str(place / "artifacts"))
        study = mm.open_study(str(finished_study.write(place / "params", ONE_SEED)))
        for chosen in study.runs:
            for stage in stages.train_stages(chosen):
                add_weights(stage.folder)
        mm.verdict(study)
        mm.plot_scores(study)
        files.write_text(folders.study_folder(study.name) / "report.html", "<p>report</p>")
    return place


def add_weights(folder: Path) -> None:
    """A file of weights in a finished stage, as training leaves one."""
    files.make_folder(folder / "model")
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    made = files.read_json(folder / "made.json")
    made["files"] |= {"model/model.safetensors": [7, "1" * 64]}
    made["files"]["model/model.safetensors"][1] = folders.disk.checksum(
        folder / "model" / "model.safetensors"
    )
    files.write_json(folder / "made.json", made)


@pytest.fixture
def home(finished, monkeypatch) -> Path:
    """Where the study was made."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(finished / "artifacts"))
    return finished


def export(home: Path, path: Path, *options: str) -> int:
    return run.main(["finished", "--params-folder", str(home / "params"), "--export", str(path), *options])


@pytest.fixture
def elsewhere(home, tmp_path, monkeypatch) -> Path:
    """The artifacts of the study as it was imported on a machine that knows nothing of it."""
    assert export(home, tmp_path / "finished.zip") == 0
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    assert run.main(["--import", str(tmp_path / "finished.zip")]) == 0
    root = tmp_path / "artifacts" / "imported" / "finished"
    monkeypatch.setenv("MMRC_ARTIFACTS", str(root))
    return root


def test_an_imported_study_opens_with_the_same_stages_tables_and_verdict(home, elsewhere, monkeypatch):
    theirs = load_study("finished")
    assert theirs.path == elsewhere / "params" / "finished.yaml"
    table, keys = mm.score(theirs), [stages.keys(chosen) for chosen in theirs.runs]
    monkeypatch.setenv("MMRC_ARTIFACTS", str(home / "artifacts"))
    ours = load_study(home / "params" / "finished.yaml")
    assert keys == [stages.keys(chosen) for chosen in ours.runs]
    assert table.equals(mm.score(ours))


def test_it_is_listed_verified_and_compared(elsewhere, capsys):
    assert run.main(["--list"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        said.startswith("finished 3 of 3 runs, ") and "reversal " not in said
    )  # what it brought, and no other
    assert run.main(["--check"]) == 0
    assert " 0 problems" in capsys.readouterr().out
    assert run.main(["finished", "--variant", "forward", "--verify"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "answers asked again: the weights of train/" in said and "were left out of the export" in said
    assert "the verdict and its " in said
    assert run.main(["--compare", "finished:naming", "finished:forward"]) == 0


def test_it_shows_its_answers_and_figures_and_changes_nothing(elsewhere):
    before = {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*") if path.is_file()}
    study = mm.open_study("finished")
    mm.verdict(study), mm.plot_scores(study), mm.show_mistakes(study)
    assert len(reading.answers(study)) > 100
    after = {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("options", [(), ("--redo", "train"), ("--report",), ("--export", "again.zip")])
def test_it_is_not_run_again_where_it_is_only_read(elsewhere, capsys, options):
    assert run.main(["finished", *options]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "holds the imported study finished, which is only read, so " in said


def test_training_refuses_with_one_sentence(elsewhere):
    chosen = load_study("finished").runs[-1]
    folder = stages.train_stages(chosen)[-1].folder
    shutil.rmtree(folder)
    with pytest.raises(UserError, match=f"only read, so train/{folder.name} is not made here; set"):
        mm.train(chosen)
    assert not folder.exists() and not folders.part_of(folder).exists()


def test_weights_are_packed_only_when_they_are_asked_for(home, tmp_path):
    names = {}
    for name, options in (("without", ()), ("with", ("--with-weights",))):
        assert export(home, tmp_path / f"{name}.zip", *options) == 0
        with zipfile.ZipFile(tmp_path / f"{name}.zip") as crate:
            names[name] = set(crate.namelist())
            made = [
                json.loads(crate.read(of)) for of in names[name] if of.startswith("train/") and "/made" in of
            ]
        left = {"model/model.safetensors"} if name == "without" else set()
        assert made and all(set(of.get("left_out", {})) == left for of in made)
    weights = names["with"] - names["without"]
    assert weights and all(name.endswith("/model/model.safetensors") for name in weights)


def test_a_study_that_is_not_finished_is_not_exported(home, tmp_path, capsys):
    (tmp_path / "unfinished.yaml").write_text(ONE_SEED.replace("steps: 300", "steps: 299"))
    assert run.main([str(tmp_path / "unfinished.yaml"), "--export", str(tmp_path / "x.zip")]) == 2
    said = capsys.readouterr().err
    assert "naming-s0 is not finished; run `" in said and "untrained-s0" not in said
    assert "lacks report.html, verdict.json" in said and not (tmp_path / "x.zip").exists()


def test_a_damaged_study_is_not_exported(home, tmp_path, capsys):
    path = stages.eval_stage(load_study("finished", home / "params").runs[0]).folder / "answers.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    try:
        assert export(home, tmp_path / "x.zip") == 2
    finally:
        path.write_bytes(whole)
    assert "answers.jsonl is not what was written" in capsys.readouterr().err
    assert not (tmp_path / "x.zip").exists()


def test_a_study_that_reads_its_users_files_says_why_it_stays(home, tmp_path, capsys):
    rows = [{"prompt": "a", "completion": "b"}] * 4
    files.write_jsonl(tmp_path / "rows.jsonl", rows)
    text = f"data: {{world: files}}\nfiles: {{path: {tmp_path}/rows.jsonl}}\nreport: {{finding: accuracy}}\n"
    (tmp_path / "own.yaml").write_text(
        text + "model: {source: scratch}\ntrain: {steps: 1, taught_tokens: 0}\n"
    )
    assert run.main([str(tmp_path / "own.yaml"), "--export", str(tmp_path / "x.zip")]) == 2
    assert "rows.jsonl, which an export does not carry" in capsys.readouterr().err


def test_what_is_imported_is_no_stage_that_upkeep_would_remove(elsewhere, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(elsewhere.parent.parent))
    assert upkeep.unused(elsewhere / "params") == []
