"""A quick selection of what driver.py does: one study is broken again and again and must end in the results
of the undisturbed one."""

import json
import os
import random
import sys
from pathlib import Path

import pytest
from driver import campaign, table
from faults import DAMAGED, FILES, FILLED, MOMENTS, PROCESSES, SIGNALLED, SIGNALS, faults
from results import differences, leftovers, lies
from trial import Study, Trial, send, take_snapshot

from mmrc_helpers.store import files, folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import find_run, load_study

COMMAND = [sys.executable, "-m", "mmrc_helpers.run", "smoke"]


@pytest.fixture(scope="session")
def smoke(smoke_study) -> Study:
    """The smoke study, finished and undisturbed."""
    return Study(smoke_study.artifacts, COMMAND)


def unfinished(study: Study, artifacts: Path) -> None:
    """Copies the study without the training and the answers of one run."""
    run = find_run(load_study("smoke"), "forward", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMRC_ARTIFACTS", str(study.reference))
        made = [stages.train_stages(run)[-1].folder, stages.eval_stage(run).folder]
    missing = [str(folder.relative_to(study.reference)) for folder in made]
    take_snapshot(study.reference, artifacts, [*missing, "studies/*/forward-s0/0[23]*", "studies/*/*.*"])


def test_a_study_that_is_broken_five_times_ends_in_the_results_of_an_undisturbed_one(smoke, tmp_path):
    artifacts, rng = tmp_path / "artifacts", random.Random(0)
    artifacts.mkdir()
    unfinished(smoke, artifacts)
    trial = Trial(smoke, artifacts, tmp_path / "run.log")
    for target, action, moment in (
        ("rank 0", "KILL", "checkpoint"),
        ("runner", "KILL", "evaluation"),
        ("kernel", "KILL", "report"),
    ):
        struck = send(trial, target, action, moment, rng)
        assert struck["hit"] and struck["exit"] != 0, struck
        assert trial.survivors() == [] and lies(artifacts) == []
    pages = artifacts / "studies" / "smoke" / "forward-s0"
    os.truncate(pages / "02_train.html", 1000)
    (pages / "01_data.json").unlink()
    code, said = trial.run()
    assert code == 0, said
    assert trial.survivors() == [] and differences(smoke.reference, artifacts) == []


def test_half_work_is_seen_as_such(tmp_path):
    unfinished = tmp_path / "data" / "people-1.part"
    files.make_folder(unfinished)
    assert leftovers(tmp_path) == ["data/people-1.part is left over"] and lies(tmp_path) == []
    (unfinished / "facts.jsonl").write_text("{}\n")
    folder = folders.finish(unfinished, {})
    assert leftovers(tmp_path) == lies(tmp_path) == differences(tmp_path, tmp_path) == []
    (folder / "facts.jsonl").write_text("")
    (found,) = lies(tmp_path)
    assert "facts.jsonl is not what was written" in found


def test_a_seed_gives_one_order_of_faults_that_holds_all_of_them():
    kinds = [*SIGNALLED, *DAMAGED, *FILLED]
    first = [fault for fault, _ in zip(faults(1), range(2 * len(kinds)), strict=False)]
    assert first == [fault for fault, _ in zip(faults(1), range(2 * len(kinds)), strict=False)]
    assert set(first[: len(kinds)]) == set(kinds) and first[: len(kinds)] != first[len(kinds) :]
    assert {fault.action for fault in SIGNALLED} == set(SIGNALS)
    assert {fault.target for fault in kinds} == {*PROCESSES, *FILES, "disk"}
    assert {fault.moment for fault in kinds} == set(MOMENTS)


def test_a_campaign_goes_on_where_it_was_interrupted(tmp_path):
    done = tmp_path / "results.jsonl"
    record = {"number": 0, "action": "KILL", "target": "rank 1", "moment": "training", "outcome": "same"}
    done.write_text(json.dumps(record | {"orphans": [], "lies": []}) + "\n")
    records = campaign(1, 0, done)  # nothing is left to do
    assert "| KILL rank 1 | 1 | 1 | 0 | 0 | 0 | 0 | 0 |" in table(records)
