"""What every world promises, whatever it is about; a new entry of WORLDS is tested by itself."""

import json
from itertools import islice

import pytest
from PIL import Image

from mmrc_helpers.errors import UserError
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study.parameters import read_known
from mmrc_helpers.study.runs import PARAMS_FOLDER
from mmrc_helpers.tasks.example import (
    answer_of,
    conversation,
    example_line,
    joined,
    pictures_of,
    read_examples,
)
from mmrc_helpers.tasks.rows import chats_of
from mmrc_helpers.worlds import INVALID, WORLDS, Data

# Facts with which a world is small; worlds that are not here are taken with their defaults.
SMALL = {
    "people": {"background": 16, "novel": 16, "train_scenes": 1, "text_scenes": 8},
    "scenes": {"background": 18, "novel": 18, "test_scenes": 9, "kinds": ["direction", "size", "counting"]},
    "reasoning": {"train": 30, "test": 14},
    **{
        puzzle: {split: {"simple": 6, "medium": 0, "hard": 6} for split in ("train", "test")}
        for puzzle in ("tables", "grids", "analogies")
    },
}
TAUGHT = {
    "people": {"cells": ["forward/free", "reverse/choice"]},
    "scenes": {"replay": 0.5},
    **{puzzle: {"mix": {"simple/text": 1, "hard/image": 1}} for puzzle in ("tables", "grids", "analogies")},
}
NEEDS_FILES = {
    "vsr",
    "cv_bench",
    "vqa",
    "tsv",
}  # what they make is made from a user's files: see their own tests


def sections(name: str) -> dict:
    known = plain(read_known(PARAMS_FOLDER / "worlds" / f"{name}.yaml").defaults)
    return {
        "facts": {**known["facts"], **SMALL.get(name, {})},
        "teach": {**(known["teach"] or {}), **TAUGHT.get(name, {})},
        "ask": known["ask"] or {},
    }


@pytest.fixture(scope="module", params=sorted(set(WORLDS) - NEEDS_FILES))
def made(request):
    """(world, its sections, what it makes, its data)"""
    world, of = WORLDS[request.param], sections(request.param)
    made = world.make(of["facts"], 0)
    return world, of, made, Data(list(made.examples), list(made.facts))


def test_examples_have_ids_facets_and_read_back(made, tmp_path):
    world, _, _, data = made
    assert len({e.id for e in data.examples}) == len(data.examples) > 0
    assert {e.split for e in data.examples} <= {"train", "test"}
    assert all(set(e.facets) <= set(world.facets) for e in data.examples)
    assert set(world.cells) <= set(world.facets)
    path = tmp_path / "examples.jsonl"
    path.write_text("".join(map(example_line, data.examples)))
    again = read_examples(path)
    assert [example_line(e) for e in again] == [example_line(e) for e in data.examples]


def test_the_same_seed_makes_the_same_and_another_makes_another(made):
    world, of, _, data = made
    lines = [example_line(e) for e in data.examples]
    assert lines == [example_line(e) for e in world.make(of["facts"], 0).examples]


def test_every_picture_that_is_shown_is_drawn_and_facts_can_be_shown(made):
    _, _, of, data = made
    shown = {name for e in data.examples for name in e.pictures}
    assert shown <= set(of.pictures)
    for name in sorted(shown)[:3]:
        drawn = of.draw(of.pictures[name])
        assert isinstance(drawn, bytes) or (isinstance(drawn, Image.Image) and drawn.mode == "RGB")
    for fact in data.facts:
        assert {"group", "title", "text", "pictures"} <= set(fact) and set(fact["pictures"]) <= set(
            of.pictures
        )
        json.dumps(fact)


def test_what_it_promises_holds_and_it_says_how_large_it_is(made):
    world, of, _, data = made
    assert [row for row in world.promises(data) if row[1] != row[2]] == []
    assert world.size(of["facts"]) > 0 and list(world.check(of["facts"], [of["teach"]])) == []


def test_its_own_answers_are_right_and_nonsense_is_not(made):
    world, of, _, data = made
    asked = [e for e in world.ask(data, of["ask"], of["teach"]) if answer_of(e)]
    for example in asked:
        best, worst = world.grade(example, answer_of(example)), world.grade(example, "")
        assert best.right and best.answer != INVALID and not worst.right, example.id
        assert set(best.parts) == set(worst.parts) and all(0 <= v <= 1 for v in best.parts.values())
        assert sum(best.parts.values()) > sum(worst.parts.values())


def test_tests_ask_what_training_never_shows(made):
    world, of, _, data = made
    asked = world.ask(data, of["ask"], of["teach"])
    assert asked and len({e.id for e in asked}) == len(asked)
    assert all(e.split == "test" and set(e.facets) <= set(world.facets) for e in asked)
    assert all(e.gold < len(e.options) for e in asked if e.options)
    known = {conversation([e])[0] for e in data.examples if e.split == "train"}
    assert not [e.id for e in asked if conversation([e])[0] in known]


def test_a_drop_takes_the_pictures_away_and_nothing_else(made):
    world, of, make, data = made
    if "drops" not in of["ask"]:
        pytest.skip("this world drops nothing")
    asked = world.ask(data, {**of["ask"], "drops": ["image"]}, of["teach"])
    whole = {e.id: e for e in asked if e.facets["drop"] == "none"}
    dropped = [e for e in asked if e.facets["drop"] != "none"]
    assert dropped
    for example in dropped:
        before = whole[example.id.removesuffix("/image")]
        assert before.pictures and not set(example.pictures) & set(before.pictures)
        assert set(example.pictures) <= set(make.pictures)
        assert example.facets == {**before.facets, "drop": "image"}
        assert example.pictures == () or len(example.pictures) == len(before.pictures)
        assert (example.gold, example.answer, example.group) == (before.gold, before.answer, before.group)
        said = [[part for part in e.prompt if part[0] != "image"] for e in (example, before)]
        assert joined(said[0]) == joined(said[1])


def test_it_teaches_conversations_in_turns(made):
    world, of, make, data = made
    train = Data([e for e in data.examples if e.split == "train"], data.facts)
    one, again = ([c.turns for c in islice(world.teach(train, of["teach"], 3), 20)] for _ in range(2))
    assert one == again
    for turns in one:
        roles = [role for role, _ in turns if role != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2) and roles
        assert set(pictures_of(turns)) <= set(make.pictures)


@pytest.mark.parametrize("contrast", ["answer", "context"])
def test_its_pairs_differ_where_they_should(made, contrast):
    world, of, _, data = made
    if world.pairs is None:
        pytest.skip("this world has no pairs")
    train = Data([e for e in data.examples if e.split == "train"], data.facts)
    try:
        pairs = list(islice(world.pairs(train, of["teach"], 0, contrast), 20))
    except UserError as error:
        pytest.skip(f"its rows have no such side, and it says so: {error}")
    for pair in pairs:
        chosen, rejected = (chat.turns for chat in chats_of(pair))
        same = (chosen[:-1] == rejected[:-1], chosen[-1] == rejected[-1])
        assert same == ((True, False) if contrast == "answer" else (False, True))


def test_alternatives_begin_with_the_right_answer(made):
    world, of, _, data = made
    if world.alternatives is None:
        pytest.skip("this world follows no alternatives")
    for example in world.ask(data, of["ask"], of["teach"]):
        if answer_of(example):
            found = world.alternatives(example, data)
            assert next(iter(found)) == "right" and world.grade(example, found["right"]).right
