"""The spine: keys follow what a stage is made from; the committed model is what its study says."""

import pytest

from mmrc_helpers.store import files, folders
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Run, find_run, load_study
from mmrc_helpers.worlds import WORLDS, Data

SMOKE = find_run(load_study("smoke"), "forward", 0)


def changed(run: Run, section: str, **values) -> Run:
    """The run with other values in one section; in `train`, of its only phase; in `facts`, of its world."""
    params = plain(run.params)
    places = {"train": params["phases"][0], "facts": params["world"]["facts"], **params}
    places[section].update(values)
    return Run(run.study, run.variant, run.seed, params)


@pytest.mark.parametrize("study", ["tiny_base", "spatial_base"])
def test_a_committed_model_is_the_one_its_study_names_and_is_whole(study):
    stage = stages.train_stages(find_run(load_study(study), "base", 0))[-1]
    folder = files.REPOSITORY / "artifacts" / "train" / f"{stage.slug}-{stage.key}"
    assert folders.is_complete(folder) and folders.damage(folder) == []
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 12e6


def test_a_training_parameter_changes_training_and_answers_but_not_the_data():
    before, after = stages.keys(SMOKE), stages.keys(changed(SMOKE, "train", learning_rate=0.5))
    assert {name for name in before if before[name] != after[name]} == {"train-1", "eval"}


def test_the_machine_changes_no_key():
    machine = {
        "processes": 8,
        "launcher": "torchrun",
        "zero": "2",
        "micro_batch": 1,
        "environment": {"A": "1"},
    }
    assert stages.keys(SMOKE) == stages.keys(changed(SMOKE, "machine", **machine))


def test_a_data_parameter_changes_every_key():
    before, after = stages.keys(SMOKE), stages.keys(changed(SMOKE, "facts", novel=17))
    assert all(before[name] != after[name] for name in before)


def test_equal_beginnings_of_phases_are_one_stage():
    first, second = plain(SMOKE.params["phases"][0]), {**plain(SMOKE.params["phases"][0]), "steps": 7}
    one = Run("s", "one", 0, {**plain(SMOKE.params), "phases": [first]})
    two = Run("s", "two", 0, {**plain(SMOKE.params), "phases": [first, second]})
    assert stages.train_stages(one)[0].folder == stages.train_stages(two)[0].folder
    assert stages.train_stages(two)[1].inputs["start"] == stages.train_stages(one)[0]


def test_without_phases_the_untrained_model_is_asked():
    untrained = find_run(load_study("smoke"), "untrained", 0)
    assert stages.train_stages(untrained) == ()
    assert stages.eval_stage(untrained).inputs["model"] == stages.base_stage(untrained)
    assert "start" not in stages.eval_stage(untrained).inputs


def test_a_world_that_is_asked_as_well_is_asked_what_its_own_file_says(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: smoke\nevaluate: {also: [sums]}\n")
    run, alone = load_study(tmp_path / "mine.yaml").runs[0], load_study("smoke").runs[0]
    made = WORLDS["sums"].make(run.params["also"]["sums"]["facts"], 0)
    of = stages.eval_stage(run, world="sums").params
    assert WORLDS["sums"].ask(Data(list(made.examples), made.facts), of["ask"], of["teach"])
    assert stages.eval_stage(run).key == stages.eval_stage(alone).key
