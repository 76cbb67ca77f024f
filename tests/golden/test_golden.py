"""What the people study made before its code moved into rooms is what it makes now, by value."""

import hashlib
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mmrc_helpers.store import files
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import find_run, load_study
from mmrc_helpers.tasks.example import conversation
from mmrc_helpers.worlds import WORLDS, Data

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
PEOPLE, SMOKE = WORLDS["people"], find_run(load_study("smoke"), "forward", 0)


def digest(content) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def made(name: str):
    facts = {**plain(SMOKE.params["world"]["facts"]), **GOLDEN["data"][name]["overrides"]}
    world = PEOPLE.make(facts, 1)
    return list(world.examples), world.facts


def told(turns) -> list:
    return [[role, [list(part) for part in parts]] for role, parts in turns]


@pytest.mark.parametrize("name", GOLDEN["data"])
def test_the_questions_are_the_same(name):
    examples, _ = made(name)
    assert len(examples) == GOLDEN["data"][name]["examples"]
    rows = [[e.id, e.group, e.split, e.scene, told(conversation([e], 1))] for e in examples]
    assert digest(rows) == GOLDEN["data"][name]["digest"]


@pytest.mark.parametrize("name", GOLDEN["rows"])
def test_the_training_rows_are_the_same_in_the_same_order(name):
    examples, facts = made("rich")
    pinned = GOLDEN["rows"][name]
    teach = {**plain(SMOKE.params["untaught"]), **pinned["overrides"]}
    data = Data([e for e in examples if e.split == "train"], facts)
    rows = list(islice(PEOPLE.teach(data, teach, 7), pinned["rows"]))
    assert sum(row.replayed for row in rows) == pinned["replayed"]
    assert digest([told(row.turns) for row in rows]) == pinned["digest"]


def test_the_first_five_steps_have_the_same_losses_and_gradients(finished_smoke):
    rows = files.read_jsonl(stages.train_stages(SMOKE)[-1].folder / "metrics.jsonl")
    for row, pinned in zip(rows, GOLDEN["sft"], strict=False):
        assert row["step"] == pinned["step"] and row["supervised_tokens"] == pinned["supervised_tokens"]
        assert row["loss"] == pytest.approx(pinned["loss"], abs=2e-4)
        assert row["grad_norm"] == pytest.approx(pinned["grad_norm"], rel=2e-3)


@pytest.mark.parametrize("variant", GOLDEN["answers"])
def test_the_answers_are_the_same(variant, finished_smoke):
    folder = stages.eval_stage(find_run(load_study("smoke"), variant, 0)).folder
    rows = {row["id"]: row for row in files.read_jsonl(folder / "answers.jsonl")}
    for name, drop, logprobs, text, parsed, by_logprob, by_text, picks, _ in GOLDEN["answers"][variant]:
        row = rows[name if drop == "none" else f"{name}/{drop}"]
        assert np.abs(np.array(row["logprobs"]) - logprobs).max() <= 2e-4
        assert [row["text"], row["parsed"]] == [text, parsed] and row["picks"] == picks
        assert [row["correct_logprob"], row["correct_text"]] == [by_logprob, by_text]


@pytest.mark.parametrize("variant", GOLDEN["answers"])
def test_the_naming_probe_binds_as_before(variant, finished_smoke):
    folder = stages.eval_stage(find_run(load_study("smoke"), variant, 0)).folder
    probes = [row for row in files.read_jsonl(folder / "answers.jsonl") if row["topic"] == "storage"]
    pinned = {row[0]: row[-1] for row in GOLDEN["answers"][variant] if row[-1] is not None}
    assert {row["truth"]["lineup"] for row in probes} == set(pinned)
    for row in probes:
        bound = row["logprobs"][row["truth"]["own"]] + np.log(len(row["logprobs"]))
        assert bound == pytest.approx(pinned[row["truth"]["lineup"]][row["truth"]["place"]], abs=5e-4)
