"""The artifacts folder: damage is found, what no study uses is shown, and nothing else is ever removed."""

import json
from pathlib import Path

import pytest
import tiny

from mmrc_helpers import run
from mmrc_helpers.store import files, folders
from mmrc_helpers.study import stages, upkeep
from mmrc_helpers.study.runs import load_study

STUDY = "model: {source: scratch}\nphases: []\nvariants: {a: {}, b: {evaluate.orders: 2}}\n"


@pytest.fixture
def params(tmp_path, monkeypatch) -> Path:
    """A folder with one study, mini, and the artifacts of its runs, all finished."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mini.yaml").write_text(STUDY)
    for chosen in load_study(tmp_path / "params" / "mini.yaml").runs:
        finish(stages.data_stage(chosen))
        finish(stages.eval_stage(chosen))
    return tmp_path / "params"


def finish(stage: stages.Stage) -> Path:
    """The finished folder of a stage, with one file."""
    if not folders.is_complete(stage.folder):
        part = folders.begin(stage.folder, stage.recipe({}))
        (part / "content").write_text(stage.key)
        folders.finish(part, {})
    return stage.folder


def finish_another(params: Path) -> list[Path]:
    """The data and the answers of a study whose file is gone."""
    (params / "gone.yaml").write_text(STUDY.replace("phases", "people: {novel: 4}\nphases"))
    chosen = load_study(params / "gone.yaml").runs[0]
    (params / "gone.yaml").unlink()
    return [finish(stages.data_stage(chosen)), finish(stages.eval_stage(chosen))]


def main(params: Path, *options: str) -> int:
    return run.main([*options, "--params-folder", str(params)])


def contents(params: Path) -> set[str]:
    root = params.parent / "artifacts"
    return {str(path.relative_to(root)) for path in root.rglob("*") if ".claims" not in path.parts}


def test_check_finds_whole_artifacts_in_order(params, capsys):
    assert main(params, "--check") == 0
    assert capsys.readouterr().out == "3 finished stages, 0 problems\n"


def test_every_stage_of_a_study_is_in_use_its_traces_too(params):
    (params / "traced.yaml").write_text(
        "model: {source: scratch}\ndynamics: {probes: 2, snapshots: true}\nvariants: {a: {}}\n"
    )
    made = [finish(stage) for stage in stages.stages_of(load_study(params / "traced.yaml").runs[0])]
    assert "dynamics" in {folder.parent.name for folder in made}
    assert not set(made) & set(upkeep.unused(params))


@pytest.mark.parametrize("name", ["content", "recipe.json"])
@pytest.mark.parametrize("harm", ["removed", "truncated", "changed"])
def test_check_names_every_file_that_is_damaged_and_the_command_that_mends_it(params, capsys, name, harm):
    path = next((params.parent / "artifacts" / "eval").iterdir()) / name
    if harm == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + (b"" if harm == "truncated" else b"x"))
    assert main(params, "--check") == 1
    said = capsys.readouterr().out
    assert f"{path} is " in said and f"rm -r {path.parent}, then run the study" in said
    assert "3 finished stages, 1 problems" in said


def test_check_finds_a_recipe_that_leads_to_another_key(params, capsys):
    folder = next((params.parent / "artifacts" / "data").iterdir())
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["params"]["world"]["facts"]["novel"] = 7
    folders.forget(folder)
    folders.finish(folders.begin(folder, recipe), {})
    assert main(params, "--check") == 1
    assert f"{folder} does not hold what its name says" in capsys.readouterr().out


def test_clean_shows_and_removes_only_what_no_study_uses(params, capsys):
    kept = contents(params)
    data, answers = finish_another(params)
    folders.begin(data.with_name("people-00000000"), {})
    assert main(params, "--check") == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("unused: ")]
    assert [Path(line.split()[1].strip(",")).name for line in shown] == sorted(
        ["people-00000000.part", data.name]
    ) + [answers.name]
    assert main(params, "--clean", "--yes") == 0
    assert capsys.readouterr().out.splitlines() == shown
    assert contents(params) == kept
    assert main(params, "--clean") == 0
    assert capsys.readouterr().out == "nothing to remove: a study uses every folder\n"


def test_clean_keeps_what_a_study_has_begun(params):
    chosen = load_study(params / "mini.yaml").runs[0]
    folders.forget(stages.eval_stage(chosen).folder)
    part = folders.begin(stages.eval_stage(chosen).folder, stages.eval_stage(chosen).recipe({}))
    assert main(params, "--clean", "--yes") == 0 and part.exists()


def test_clean_removes_nothing_when_there_is_nobody_to_ask(params, capsys):
    before = contents(params) | {
        str(path.relative_to(params.parent / "artifacts")) for path in finish_another(params)
    }
    assert main(params, "--clean") == 2
    said = capsys.readouterr()
    assert said.out.count("unused: ") == 2 and "--clean --yes removes it" in said.err
    assert contents(params) >= before


def test_clean_leaves_what_a_living_process_has_claimed_and_what_that_is_made_from(params):
    data, answers = finish_another(params)
    with folders.claim(answers):
        assert main(params, "--clean", "--yes") == 0
    assert folders.is_complete(answers) and folders.is_complete(data)
    assert main(params, "--clean", "--yes") == 0
    assert not answers.exists() and not data.exists()


def test_clean_leaves_what_a_living_process_makes(params):
    data, answers = finish_another(params)
    folders.forget(answers)
    part = folders.begin(answers, {"inputs": {"data": str(data.relative_to(files.artifacts_root()))}})
    with folders.claim(answers):
        assert upkeep.unused(params) == [] and main(params, "--clean", "--yes") == 0
    assert part.exists() and folders.is_complete(data)


def test_what_was_half_removed_goes_and_its_study_keeps_the_rest(params):
    folder = next((params.parent / "artifacts" / "data").iterdir())
    gone = folder.with_name(f"{folder.name}.gone")
    gone.mkdir()
    assert upkeep.unused(params) == [gone]
    assert main(params, "--clean", "--yes") == 0
    assert not gone.exists() and folders.is_complete(folder)


def test_the_folders_of_a_study_whose_file_is_gone_are_unused(params):
    folder = folders.study_folder("gone") / "a-s0"
    files.make_folder(folder)
    assert upkeep.unused(params) == [folder.parent]
    file = params.parent / "gone.yaml"  # a study outside params/, still there: its notebooks name it
    file.write_text(STUDY)
    files.write_json(folder / "01_data.json", {"parameters": {"study": str(file)}})
    assert upkeep.unused(params) == []


def test_the_embedded_model_is_always_in_use(tmp_path, monkeypatch):
    monkeypatch.delenv("MMRC_ARTIFACTS", raising=False)
    assert tiny.base_model() not in upkeep.unused(tmp_path)
    assert folders.damage(tiny.base_model()) == []


def test_check_and_clean_stand_in_the_help(capsys):
    with pytest.raises(SystemExit):
        run.main(["--help"])
    said = capsys.readouterr().out
    assert "--check" in said and "--clean" in said and "--yes" in said
