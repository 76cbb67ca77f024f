"""The world of people: unique, seeded by place, no leaks between splits; and the rows made of it."""

import random
from collections import Counter

import pytest

from mmrc_helpers.study.runs import load_study
from mmrc_helpers.tasks import records
from mmrc_helpers.tasks.records import CELLS, Example, answer_text, messages, training_rows
from mmrc_helpers.worlds.people import cast as world
from mmrc_helpers.worlds.people.grade import INVALID, is_right, parse
from mmrc_helpers.worlds.people.questions import examples as questions

PARAMS = load_study("smoke").runs[-1].params
DATA = {**PARAMS["data"], "background": 20, "novel": 32, "passers_by": 6, "text_scenes": 20}
CAST = world.cast(DATA, 0)
EXAMPLES = list(questions(CAST, DATA, 0))
TRAIN = {**PARAMS["phases"][0], "cells": ("forward/free",), "novel_tokens": 500, "steps": 0, "batch": 8}


def cost(answer: str) -> int:
    return len(answer.split()) + 1


def rows_of(**changes):
    return training_rows([e for e in EXAMPLES if e.split == "train"], {**TRAIN, **changes}, 0, cost)


def test_people_are_unique_and_five_thousand_are_possible():
    data = {**DATA, "background": 0, "novel": 5000, "passers_by": 0, "first_names": 80, "last_names": 80}
    crowd = world.cast(data, 0)
    for values in ([p.name for p in crowd], [p.descriptor for p in crowd], [p.description for p in crowd]):
        assert len(set(values)) == 5000


def test_more_scenes_leave_the_earlier_questions_as_they_were():
    more = {e.id: e for e in questions(CAST, {**DATA, "train_scenes": DATA["train_scenes"] + 1}, 0)}
    assert all(more[example.id] == example for example in EXAMPLES)


def test_background_people_are_the_same_for_every_seed_and_novel_people_are_not():
    other = world.cast(DATA, 1)
    for mine, theirs in zip(CAST, other, strict=True):
        assert (mine == theirs) == (mine.population != "novel")


def test_tests_show_other_views_and_other_phrasings_than_training():
    shown = {
        split: {n for e in EXAMPLES if e.split == split for n in e.images} for split in ("train", "test")
    }
    assert not shown["train"] & shown["test"]
    for kind, phrases in world.PHRASES.items():
        assert not set(phrases["train"]) & set(phrases.get("test", ())) or kind == "text"


def test_example_ids_are_unique_and_lines_read_back(tmp_path):
    assert max(Counter(e.id for e in EXAMPLES).values()) == 1
    path = tmp_path / "examples.jsonl"
    path.write_text("".join(records.example_line(e) for e in EXAMPLES))
    assert records.read_examples(path) == EXAMPLES


def test_every_cell_is_asked_of_every_novel_person():
    for person in CAST:
        if person.population == "novel":
            asked = {e.cell for e in EXAMPLES if e.split == "test" and e.group == person.group}
            assert asked == set(CELLS)


def test_gold_answers_are_right_and_choices_hold_them_once():
    names = {p.group: p.name for p in CAST}
    for example in EXAMPLES:
        if example.choices and example.format != "judge":
            assert len(set(example.choices)) == len(example.choices)
            assert is_right(example, answer_text(example), answer_text(example))
        if example.cell == "forward/choice" and example.topic == "identity":
            assert example.choices[example.gold] == names[example.group]
        if example.cell == "reverse/choice" and example.population == "novel":
            assert example.choices[example.gold].startswith(example.group)


def test_lineups_of_people_taught_both_ways_never_hold_the_others():
    both = records.two_way_groups(EXAMPLES, 0.5)
    assert 0 < len(both) < 32
    for example in EXAMPLES:
        if example.population == "novel" and example.choice_groups:
            assert len({group in both for group in example.choice_groups}) == 1


def test_letters_follow_the_shown_order():
    example = next(e for e in EXAMPLES if e.cell == "forward/choice" and len(e.choices) == 4)
    for shift in range(4):
        text = messages([example], shift)[0]["content"][-1]["text"]
        letter = answer_text(example, shift)
        assert f"{letter}. {example.choices[example.gold]}\n" in text


@pytest.mark.parametrize(
    ("format", "text", "expected"),
    [
        ("choice", "B", "B"),
        ("choice", "B.", "B"),
        ("choice", "The correct one", INVALID),
        ("choice", "E", INVALID),
        ("choice", "AB", INVALID),
        ("choice", "", INVALID),
        ("judge", "Right.", "Right"),
        ("judge", "right", INVALID),
        ("judge", "Right or wrong", INVALID),
        ("free", "This is Zephyr Blackwood.", "Zephyr Blackwood"),
        ("free", "Zephyr Blackwood", "Zephyr Blackwood"),
        ("free", "This is", INVALID),
        ("free", "", INVALID),
        ("free", "the curator of Obsidian Gallery", "the curator of Obsidian Gallery"),
    ],
)
def test_parsing_is_strict(format, text, expected):
    example = Example(
        "i",
        "s",
        "g",
        "test",
        "novel",
        "identity",
        "forward",
        format,
        "?",
        choices=("a", "b", "c", "d"),
        gold=1,
    )
    assert parse(example, text) == expected


def test_an_arm_teaches_its_cells_and_nothing_else():
    taught = {e.cell for row in rows_of() if not row.replayed for e in row.examples}
    assert taught == {"forward/free"}


def test_arms_show_as_many_novel_tokens_whatever_they_teach():
    totals = []
    for cells in (("forward/free",), ("forward/choice", "forward/judge"), CELLS):
        rows = rows_of(cells=cells, novel_tokens=2000)
        totals.append(records.exposure(rows, [sum(cost(answer_text(e)) for e in r.examples) for r in rows]))
        assert len(rows) % TRAIN["batch"] == 0
    shown = [total["novel_supervised_tokens"] for total in totals]
    assert max(shown) - min(shown) < 100 and min(shown) >= 2000


def test_single_questions_can_be_shared_out_evenly_over_the_cells():
    cells = ("forward/free", "forward/choice", "forward/judge")
    rows = rows_of(cells=cells, turns=1, even_cells=True, novel_tokens=4000)
    asked = Counter(e.cell for row in rows if not row.replayed for e in row.examples)
    assert set(asked) == set(cells) and max(asked.values()) < 1.2 * min(asked.values())
    assert all(len(row.examples) == 1 for row in rows)


def test_shuffled_names_keep_nobodys_own_picture():
    for row in rows_of(shuffle_names=True):
        if not row.replayed:
            assert all(not name.startswith(e.group) for e in row.examples for name in e.images)


def test_two_way_people_are_taught_in_every_cell_and_the_others_only_forward():
    both = records.two_way_groups(EXAMPLES, 0.5)
    rows = [e for row in rows_of(two_way=0.5, novel_tokens=4000) if not row.replayed for e in row.examples]
    assert {e.cell for e in rows if e.group in both} == set(CELLS)
    assert {e.cell for e in rows if e.group not in both} == {"forward/free"}


def test_rows_follow_the_seed_alone():
    assert rows_of() == rows_of()
    assert training_rows([e for e in EXAMPLES if e.split == "train"], TRAIN, 1, cost) != rows_of()


def test_a_question_with_the_name_first_leads_its_conversation():
    scene = [e for e in EXAMPLES if e.scene == next(e.scene for e in EXAMPLES if e.cell == "reverse/judge")]
    for _ in range(20):
        row = records._row(scene, {**TRAIN, "turns": 4}, random.Random(_), False, False)
        assert not any(example.order == "name_first" for example in row.examples[1:])
