"""Re-verification: stored answers are what the stored model says, and what is not is found and named."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import preloaded
import pytest

from mmrc_helpers import run
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.study import reasking, stages
from mmrc_helpers.study.runs import find_run, load_study

ROW = {"id": "a", "logprobs": [-0.1, -2.35], "text": "A", "correct_text": True, "correct_logprob": True}


def test_equal_answers_agree():
    found = reasking.compared([ROW, {**ROW, "id": "b"}], [ROW])
    assert (found.asked, found.of, found.differing, found.largest, found.texts) == (1, 2, (), 0.0, 0)
    assert (
        reasking.told(found)
        == "1 of 2 answers asked again, 1 agree; log-probabilities differ by at most 0.0000"
    )


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"logprobs": [-0.1, -2.38]}, False),  # another machine's digits
        ({"logprobs": [-0.1, -2.45]}, True),
        ({"logprobs": [-0.1]}, True),
        ({"correct_text": False}, True),
        ({"correct_logprob": False}, True),
        ({"text": "A."}, False),  # graded alike, but told
        ({"id": "c"}, True),  # was never asked
    ],
)
def test_what_differs_is_counted_and_named(change, differs):
    new = {**ROW, **change}
    found = reasking.compared([ROW], [new])
    assert found.differing == ((new["id"],) if differs else ())
    assert found.texts == int(change.keys() <= {"text", "id"})
    assert ("first to differ" in reasking.told(found)) == differs


@pytest.fixture
def copied(smoke_study, tmp_path, monkeypatch) -> Iterator[Path]:
    """The finished smoke study in artifacts that a test may spoil."""
    shutil.copytree(smoke_study.artifacts, tmp_path / "artifacts", symlinks=True)
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    with preloaded.stages():
        yield tmp_path / "artifacts"


def test_a_finished_study_agrees_to_the_last_digit(copied, capfd):
    assert run.main(["smoke", "--verify", "--sample", "64"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "untrained-s0: 64 of " in said and "forward-s0: 64 of " in said
    assert said.count("64 agree; log-probabilities differ by at most 0.0000") == 2
    assert "all their files are as written" in said and "the verdict and its " in said
    assert not any((copied / ".verify").iterdir())  # what was asked again is not kept


def test_a_changed_answer_is_found(copied, capfd):
    folder = stages.eval_stage(find_run(load_study("smoke"), "forward", 0)).folder
    rows = files.read_jsonl(folder / "answers.jsonl")
    for row in rows:
        row["logprobs"] = [value - 0.25 for value in row["logprobs"]]
    files.write_jsonl(folder / "answers.jsonl", rows)
    assert run.main(["smoke", "--variant", "forward", "--verify", "--sample", "64"]) == 2
    assert "answers.jsonl is not what was written" in capfd.readouterr().err

    made = files.read_json(folder / "made.json")  # a forger would mend the sum as well
    made["files"]["answers.jsonl"] = [
        os.stat(folder / "answers.jsonl").st_size,
        disk.checksum(folder / "answers.jsonl"),
    ]
    files.write_json(folder / "made.json", made)
    assert folders.damage(folder) == []
    assert run.main(["smoke", "--variant", "forward", "--verify", "--sample", "64"]) == 1
    said = " ".join(capfd.readouterr().out.split())
    assert "differ by at most 0.2500" in said and "first to differ: " in said
