"""What every puzzle world promises: instances on demand, alike for any process; splits; questions."""

import io
import json
import multiprocessing
import pickle
import re
from importlib import import_module

import pytest
from PIL import Image
from puzzle_facts import sections

from mmrc_helpers.errors import UserError
from mmrc_helpers.store import pictures
from mmrc_helpers.tasks.example import example_line, read_examples
from mmrc_helpers.worlds import INVALID, Data
from mmrc_helpers.worlds.drops import NOISES, noise_name
from mmrc_helpers.worlds.puzzles.making import split_of

NAMES = ("tables", "grids")
worlds = pytest.mark.parametrize("name", NAMES)


def world(name: str):
    return import_module(f"mmrc_helpers.worlds.{name}").WORLD


def data(name: str, instances: int = 20, **changes) -> tuple[Data, dict]:
    found = sections(name, instances, **changes)
    made = world(name).make(found["facts"], 0)
    return Data(list(made.examples), made.facts), found


def lines(examples) -> list[str]:
    return [example_line(example) for example in examples]


@worlds
@pytest.mark.parametrize("small", [False, True])
def test_default_and_small_parameters_can_be_made(name, small):
    found = sections(name, small=small)
    assert list(world(name).check(found["facts"])) == []
    made = world(name).make(sections(name, 3, small=small)["facts"], 0)
    assert len(list(made.examples)) == len(made.examples) == 3 * 2 * 2 * 3
    assert len(made.pictures) == len(list(made.pictures)) == NOISES + 3 * 2 * 2


@worlds
def test_more_instances_leave_the_earlier_ones_alone(name):
    few, many = (data(name, instances)[0].examples for instances in (5, 9))
    later = {example.id: example_line(example) for example in many}
    assert all(later[example.id] == example_line(example) for example in few)
    made = [world(name).make(sections(name, instances)["facts"], 0) for instances in (5, 9)]
    for picture in ("simple-train-000004", "hard-test-000002", noise_name(0)):
        drawn = [one.draw(one.pictures[picture]) for one in made]
        assert drawn[0] == drawn[1]


@worlds
def test_leaving_a_view_out_leaves_the_others_alone(name):
    all_views = {example.id: example_line(example) for example in data(name, 4)[0].examples}
    for example in data(name, 4, facts__views=["image"])[0].examples:
        assert all_views[example.id] == example_line(example)


def _examples_and_pictures(made_part) -> tuple[list[str], list[bytes]]:
    made, part = made_part
    groups = dict.fromkeys(example.group for example in part)
    return lines(part), [made.draw(made.pictures[group]) for group in groups]


@worlds
def test_two_processes_make_what_one_makes(name):
    made = world(name).make(sections(name, 3)["facts"], 0)
    whole = _examples_and_pictures((made, made.examples))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = pool.map(_examples_and_pictures, [(made, part) for part in made.examples.parts(5)])
    assert [line for part in parts for line in part[0]] == whole[0]
    assert [picture for part in parts for picture in part[1]] == whole[1]


@worlds
def test_a_seed_makes_the_same_and_another_seed_another_world(name):
    facts = sections(name, 4)["facts"]
    first, again, other = (lines(world(name).make(facts, seed).examples) for seed in (0, 0, 1))
    assert first == again and not set(first) & set(other)


@worlds
def test_what_is_sent_to_other_processes_stays_small(name):
    made = world(name).make(sections(name, 100_000)["facts"], 0)
    assert len(pickle.dumps((made.examples, made.pictures, made.draw))) < 10_000
    assert made.pictures["hard-train-099999"] == ("hard", "train", 99_999)
    for unknown in ("hard-train-100000", "hard-train--00001", "nothing"):
        assert unknown not in made.pictures


# Worlds so small that puzzles drawn for one split would come again in the other.
TINIEST = {
    "tables": {"facts__labels": "letters", "facts__products": 3, "facts__readout__rows": [3, 3],
               "facts__readout__columns": [3, 3], "facts__readout__simple__random": [1, 2]},
    "grids": {"facts__rows": [2, 3], "facts__columns": [2, 2], "facts__objects__simple": [1, 1],
              "facts__states__simple": [2, 9], "facts__density": 0.1, "facts__object_pool": 5},
}  # fmt: skip


@worlds
def test_no_puzzle_is_in_both_splits_even_in_the_smallest_world(name):
    facts = sections(name, **TINIEST[name])["facts"]
    facts["train"], facts["test"] = ({"simple": 150, "medium": 0, "hard": 0} for _ in range(2))
    content = import_module(f"mmrc_helpers.worlds.{name}.instances").content
    puzzles = {"train": set(), "test": set()}
    for example in world(name).make(facts, 0).examples:
        puzzles[example.split].add(content(example.truth))
    assert puzzles["train"] and puzzles["test"] and not puzzles["train"] & puzzles["test"]
    assert name == "tables" or len(puzzles["train"]) < 150  # they do repeat within a split
    assert {split_of(str(number)) for number in range(100)} == {"train", "test"}


@worlds
def test_the_promises_hold(name):
    table = list(world(name).promises(data(name, 40)[0]))
    assert len(table) >= 4 and all(found == wanted for _, found, wanted in table), table


@worlds
def test_a_broken_promise_is_seen(name):
    found = data(name, 10)[0]
    example = found.examples[0]
    object.__setattr__(example, "answer", example.answer + "1")
    copied = next(e for e in found.examples if e.split == "test")
    object.__setattr__(copied, "truth", example.truth)
    broken = [promise for promise, found, wanted in world(name).promises(found) if found != wanted]
    assert len(broken) >= 2


@worlds
@pytest.mark.parametrize("small", [False, True])
def test_the_size_announced_is_a_little_too_large(name, small):
    found = sections(name, 30, small=small)
    made = world(name).make(found["facts"], 0)
    used = sum(len(line.encode()) for line in lines(made.examples))
    used += sum(len(made.draw(place)) for place in made.pictures.values())
    assert used <= world(name).size(found["facts"]) <= 2.5 * used


@worlds
def test_examples_come_back_from_their_file(name, tmp_path):
    examples = data(name, 2)[0].examples
    (tmp_path / "examples.jsonl").write_text("".join(lines(examples)), encoding="utf-8")
    again = read_examples(tmp_path / "examples.jsonl")
    assert lines(again) == lines(examples)
    assert all(world(name).grade(example, example.answer).right for example in again)


@worlds
def test_questions_are_of_the_asked_kinds_and_dropped_pictures_are_noise(name):
    found, parts = data(name, 8, ask__instances=5, ask__drops=["image"])
    questions = world(name).ask(found, parts["ask"], parts["teach"])
    plain = [q for q in questions if q.facets["drop"] == "none"]
    dropped = [q for q in questions if q.facets["drop"] == "image"]
    assert len(plain) == 2 * 2 * 5 and len(dropped) == 2 * 5
    assert {q.split for q in questions} == {"test"} and len({q.id for q in questions}) == len(questions)
    assert {q.pictures for q in dropped} <= {(noise_name(number),) for number in range(NOISES)}
    assert {q.answer for q in dropped} <= {q.answer for q in plain}
    for facet in world(name).facets:
        assert all(q.facets[facet] for q in questions)


@worlds
def test_a_model_taught_without_reasoning_is_asked_without(name):
    found, parts = data(name, 3, teach__cot=False)
    for question in world(name).ask(found, parts["ask"], parts["teach"]):
        assert question.facets["cot"] == "no" and question.answer.startswith("Answer: ")
        grade = world(name).grade(question, question.answer)
        assert grade.right and grade.answer == question.answer.removeprefix("Answer: ")


@worlds
def test_an_answer_alone_is_not_enough_where_reasoning_is_asked(name):
    example = data(name, 1)[0].examples[0]
    grade = world(name).grade(example, example.answer.split("\n")[-1])
    assert not grade.right and grade.answer != INVALID


@worlds
def test_asking_for_what_the_data_lacks_is_an_error(name):
    found, parts = data(name, 3, ask__instances=4, ask__difficulties=["simple", "medium"])
    with pytest.raises(UserError) as error:
        world(name).ask(found, parts["ask"], parts["teach"])
    assert "medium/image" in str(error.value) and "4 simple test instances" in str(error.value)


@pytest.mark.parametrize("name", (*NAMES, "analogies"))
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"facts__test__hard": 0}, "no hard/text test instances"),
        ({"facts__views": ["text"]}, "no simple/image test instances"),
        ({"ask__views": []}, "evaluate.ask.views: names none"),
        ({"ask__difficulties": []}, "evaluate.ask.difficulties: names none"),
        ({"ask__instances": 4}, "4 simple test instances are asked, the data holds 3"),
        ({"ask__difficulties": ["simple"], "ask__instances": 3}, ""),
    ],
)
def test_what_is_asked_and_will_not_be_made_is_told_before_it_is_made(name, changes, said):
    found = sections(name, 3, **changes)
    problems = "\n".join(world(name).check_asked(found["facts"], found["ask"]))
    assert said in problems and bool(said) == bool(problems)


@worlds
@pytest.mark.parametrize("cot", [True, False])
def test_alternatives_are_right_wrong_and_different(name, cot):
    found, parts = data(name, 6, teach__cot=cot, ask__views=["text", "image", "image_via_text"])
    for question in world(name).ask(found, parts["ask"], parts["teach"]):
        texts = world(name).alternatives(question, found)
        assert list(texts) == ["right", "wrong", "format_only", "random"]
        grades = {kind: world(name).grade(question, text) for kind, text in texts.items()}
        assert grades["right"].right and not grades["wrong"].right and not grades["random"].right
        assert grades["wrong"].answer != INVALID and texts["format_only"] != texts["right"]
        assert world(name).alternatives(question, found) == texts


@worlds
def test_pairs_prefer_what_the_grader_calls_right(name):
    found, parts = data(name, 6, teach__mix={"simple/text": 1, "hard/image_via_text": 1})
    rows = list(world(name).pairs(found, parts["teach"], 0, "answer"))
    assert len(rows) == 12
    for pair in rows:
        (example,) = pair.chosen.examples
        said = [turns[-1][1][0][1] for turns in (pair.chosen.turns, pair.rejected.turns)]
        assert [world(name).grade(example, text).right for text in said] == [True, False]


@worlds
def test_sentences_have_every_word_and_no_neighbouring_digits(name):
    found = sections(name, 5, small=True)
    texts = list(world(name).sentences(found["facts"], 0))
    assert not any(re.search(r"\d\d", text) for text in texts)
    words = set(re.findall(r"\w+", " ".join(texts)))
    for example in world(name).make(found["facts"], 1).examples:
        spoken = " ".join(text for kind, text in example.prompt if kind == "text") + " " + example.answer
        assert set(re.findall(r"[^\W\d]+|\d", spoken)) <= words


@worlds
@pytest.mark.parametrize("small", [False, True])
def test_pictures_have_the_asked_size_and_the_gallery_shows_some(name, small):
    found = sections(name, 1, small=small)
    made = world(name).make(found["facts"], 0)
    for place in made.pictures.values():
        image = Image.open(io.BytesIO(made.draw(place)))
        image.load()
        assert list(image.size) == found["facts"]["picture"]
    assert len(made.facts) == 4
    for fact in made.facts:
        assert json.loads(json.dumps(fact)) == fact and all(
            name in made.pictures for name in fact["pictures"]
        )


# Bytes of a picture as published: uncompressed arrays.
PUBLISHED = {"tables": 3.6e6, "grids": 3.0e6, "analogies": 2.16e6}


@pytest.mark.parametrize("name", PUBLISHED)
def test_pictures_are_lossless_and_a_twenty_fifth_of_the_published_ones(name, tmp_path):
    made = world(name).make(sections(name, instances=4)["facts"], 0)
    shown = [place for place in made.pictures if "test" in place]
    drawn = [made.draw(made.pictures[place]) for place in shown]
    assert len(drawn) == 8 and max(map(len, drawn)) <= PUBLISHED[name] / 25
    for encoded in drawn:
        with Image.open(io.BytesIO(encoded)) as image:
            assert image.format == "PNG" and image.mode in ("RGB", "P", "L")
    pictures.write_shards(tmp_path, {p: made.pictures[p] for p in shown}, made.draw, 1, lambda *_: None)
    shards = pictures.Shards(tmp_path)
    assert [shards.bytes(place) for place in shown] == drawn  # drawn once, not encoded again


@worlds
def test_text_alone_makes_no_pictures(name):
    made = world(name).make(sections(name, 2, facts__views=["text"])["facts"], 0)
    assert not made.pictures and not any(example.pictures for example in made.examples)
