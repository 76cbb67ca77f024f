"""The world of reasoning: traces that replay, inverses that are exact, pairs that differ in what they say."""

import random
from collections import Counter
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import pytest
import yaml
from own_rows import write_parquet

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import example_line, read_examples
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.files import WORLD as FILES
from mmrc_helpers.worlds.reasoning import WORLD, problem_of, sample_rows
from mmrc_helpers.worlds.reasoning.families import (
    DIRECTIONS,
    FAMILIES,
    OTHER,
    Problem,
    is_sound,
    problems,
    read,
    same,
)

PARAMS = Path(__file__).parents[2] / "params" / "worlds"
DEFAULTS = yaml.safe_load((PARAMS / "reasoning.yaml").read_text(encoding="utf-8"))
FACTS = {**DEFAULTS["facts"], "difficulties": [1, 2, 3], "train": 420, "test": 84}
TEACH, ASK = DEFAULTS["teach"], DEFAULTS["ask"]


@pytest.fixture(scope="module")
def data() -> Data:
    made = WORLD.make(FACTS, 0)
    return Data(list(made.examples), made.facts)


# --- traces and their verifier -----------------------------------------------------------------------------


def test_every_promise_holds(data):
    assert [found for _, found, _ in WORLD.promises(data)] == [
        wanted for _, _, wanted in WORLD.promises(data)
    ]


def test_the_promises_notice_a_wrong_trace(data):
    broken = [
        problem_of(e).false_trace(e.facets["direction"], random.Random(e.id)) for e in data.examples[:5]
    ]
    examples = [replace(e, answer=t) for e, t in zip(data.examples, broken, strict=False)]
    replayed = WORLD.promises(Data([*examples, *data.examples[5:]], data.facts))[0]
    assert replayed[1] == replayed[2] - 5


@pytest.mark.parametrize("family", FAMILIES)
def test_the_two_directions_undo_each_other(family):
    """What the forward question asks for stands in the inverse question, and the other way round."""
    for problem in problems({**FACTS, "families": [family], "train": 60}, 3, "train"):
        answers = {way: problem.answer(way) for way in DIRECTIONS}
        assert not same(answers["forward"], answers["inverse"])
        for way in DIRECTIONS:
            asked = problem.question(OTHER[way]).replace(".", " ").replace("?", " ").replace(",", " ")
            assert f" {answers[way]} " in f" {asked} ".replace(":", " ")


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_damaged_trace_never_replays(family, direction):
    """Digits, names and letters changed, lines left out, doubled or exchanged, the answer replaced."""
    for number, problem in enumerate(problems({**FACTS, "families": [family], "train": 90}, 1, "train")):
        rng = random.Random(f"{family}/{number}")
        trace = problem.trace(direction)
        assert is_sound(problem, direction, trace)
        for damaged in _damaged(trace, rng):
            assert not is_sound(problem, direction, damaged), damaged


def _damaged(trace: str, rng: random.Random):
    *steps, last = trace.split("\n")
    place = rng.randrange(len(steps))
    yield "\n".join([*steps[:place], *steps[place + 1 :], last])
    yield "\n".join([*steps[: place + 1], *steps[place:], last])
    yield "\n".join(steps)
    yield "\n".join([*steps, f"{last}1"])
    yield "\n".join([*steps, last, last])
    for at, letter in enumerate(steps[place]):
        if letter.isdigit() or (letter.isalpha() and steps[place][at - 1 : at] in ("", " ")):
            other = str((int(letter) + 1) % 10) if letter.isdigit() else "Q"
            yield "\n".join(
                [
                    *steps[:place],
                    steps[place][:at] + other + steps[place][at + 1 :],
                    *steps[place + 1 :],
                    last,
                ]
            )
    if len(steps) > 1:
        mixed = [*steps[1:], steps[0]]
        if mixed != steps:
            yield "\n".join([*mixed, last])


@pytest.mark.parametrize(
    ("family", "problem", "direction", "trace", "sound"),
    [
        ("sums", {"a": 17, "b": 25}, "forward", "17 + 5 = 22\n22 + 20 = 42\nAnswer: 42", True),
        ("sums", {"a": 17, "b": 25}, "forward", "17 + 25 = 42.\nAnswer: 42.", True),
        ("sums", {"a": 17, "b": 25}, "forward", "17 + 0 = 17\n17 + 25 = 42\nAnswer: 42", False),
        ("sums", {"a": 17, "b": 25}, "forward", "25 + 17 = 42\nAnswer: 42", False),
        ("sums", {"a": 17, "b": 25}, "forward", "Answer: 42", False),
        ("sums", {"a": 17, "b": 25}, "inverse", "42 - 25 = 17\nAnswer: 17", True),
        ("sums", {"a": 17, "b": 25}, "inverse", "42 - 17 = 25\nAnswer: 25", False),
        (
            "modular",
            {"a": 7, "x": 5, "m": 11},
            "forward",
            "7 * 5 = 35\n35 - 22 = 13\n13 - 11 = 2\nAnswer: 2",
            True,
        ),
        ("modular", {"a": 7, "x": 5, "m": 11}, "forward", "7 * 5 = 35\n35 - 22 = 13\nAnswer: 13", False),
        ("modular", {"a": 7, "x": 5, "m": 11}, "forward", "7 * 5 = 35\n35 - 30 = 5\nAnswer: 5", False),
        (
            "modular",
            {"a": 7, "x": 5, "m": 11},
            "inverse",
            "2 + 11 = 13\n13 + 22 = 35\n35 / 7 = 5\nAnswer: 5",
            True,
        ),
        ("modular", {"a": 7, "x": 5, "m": 11}, "inverse", "2 + 110 = 112\n112 / 7 = 16\nAnswer: 16", False),
        (
            "chains",
            {"start": 5, "moves": [["+", 3], ["*", 2]], "end": 16},
            "inverse",
            "16 / 2 = 8\n8 - 3 = 5\nAnswer: 5",
            True,
        ),
        (
            "chains",
            {"start": 5, "moves": [["+", 3], ["*", 2]], "end": 16},
            "forward",
            "5 * 2 = 10\n10 + 3 = 13\nAnswer: 13",
            False,
        ),
        (
            "units",
            {"value": 3, "units": ["m", "cm"], "factors": [100]},
            "inverse",
            "300 cm = 3 m\nAnswer: 3",
            True,
        ),
        (
            "units",
            {"value": 3, "units": ["m", "cm"], "factors": [100]},
            "inverse",
            "3 m = 300 cm\nAnswer: 3",
            False,
        ),
        (
            "rewriting",
            {"start": ["a", "b", "c"], "moves": ["rotate left"], "end": ["b", "c", "a"]},
            "inverse",
            "undo rotate left: a b c\nAnswer: a b c",
            True,
        ),
        (
            "rewriting",
            {"start": ["a", "b", "c"], "moves": ["rotate left"], "end": ["b", "c", "a"]},
            "inverse",
            "rotate right: a b c\nAnswer: a b c",
            False,
        ),
    ],
)
def test_the_verifier_takes_any_sound_route_and_nothing_else(family, problem, direction, trace, sound):
    assert is_sound(Problem(family, 1, problem), direction, trace) == sound


def test_a_false_trace_has_the_form_of_a_sound_one_and_a_wrong_answer(data):
    for example in data.examples:
        problem, direction = problem_of(example), example.facets["direction"]
        false = problem.false_trace(direction, random.Random(example.id))
        steps, stated = read(false)
        assert steps and stated and not same(stated, problem.answer(direction))


# --- problems ----------------------------------------------------------------------------------------------


def test_more_problems_leave_the_earlier_ones_alone():
    few, many = ([p.data for p in problems({**FACTS, "train": n}, 5, "train")] for n in (60, 200))
    assert many[:60] == few


def test_no_test_problem_is_trained_on_under_any_seed():
    found = {
        split: {(p.family, repr(p.data)) for seed in range(4) for p in problems(FACTS, seed, split)}
        for split in ("train", "test")
    }
    assert not found["train"] & found["test"]


def test_a_family_that_is_used_up_is_one_sentence():
    with pytest.raises(
        UserError, match="reasoning.train: 3000 problems.*no new ones of modular at difficulty 1"
    ):
        list(problems({**FACTS, "families": ["modular"], "difficulties": [1], "train": 3000}, 0, "train"))


def test_every_cell_is_asked_equally_often(data):
    cells = Counter(e.cell(*WORLD.facets) for e in data.examples if e.split == "test")
    assert len(cells) == 2 * 7 * 3 and set(cells.values()) == {4}


def test_an_example_survives_its_file(data, tmp_path):
    path = tmp_path / "examples.jsonl"
    asked = WORLD.ask(data, ASK, TEACH)
    path.write_text("".join(map(example_line, asked)), encoding="utf-8")
    again = read_examples(path)
    assert [asdict(e) for e in again] == [asdict(e) for e in asked]


def test_empty_lists_are_named():
    assert list(WORLD.check({**FACTS, "families": []})) == [
        "reasoning.families: the list is empty; name at least one"
    ]


# --- rows --------------------------------------------------------------------------------------------------


def _first(data, count=40, contrast="answer", **teach):
    return list(islice(WORLD.pairs(data, {**TEACH, **teach}, 0, contrast), count))


def _said(chat) -> str:
    return chat.turns[-1][1][0][1]


def _asked(chat) -> str:
    return chat.turns[0][1][0][1]


def test_teaching_shows_the_taught_directions_families_and_levels_only(data):
    teach = {**TEACH, "directions": ["inverse"], "families": ["sums", "chains"], "difficulties": [2]}
    chats = list(islice(WORLD.teach(data, teach, 0), 200))
    shown = {(c.examples[0].facets["direction"], c.examples[0].facets["family"]) for c in chats}
    assert shown == {("inverse", "sums"), ("inverse", "chains")}
    assert {c.examples[0].facets["difficulty"] for c in chats} == {"2"}
    assert all(c.examples[0].split == "train" and _said(c) == c.examples[0].answer for c in chats)


def test_an_epoch_shows_every_row_once(data):
    train = [e for e in data.examples if e.split == "train" and e.facets["direction"] == "forward"]
    chats = list(islice(WORLD.teach(data, TEACH, 0), 2 * len(train)))
    epochs = [[c.examples[0].id for c in part] for part in (chats[: len(train)], chats[len(train) :])]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(e.id for e in train)
    assert epochs[0] != epochs[1]


def test_mismatch_rejects_a_sound_answer_to_the_other_question(data):
    for pair in _first(data):
        example = pair.chosen.examples[0]
        problem = problem_of(example)
        assert pair.chosen.turns[:-1] == pair.rejected.turns[:-1]
        assert is_sound(problem, "forward", _said(pair.chosen))
        assert is_sound(problem, "inverse", _said(pair.rejected))
        assert not is_sound(problem, "forward", _said(pair.rejected))


def test_error_rejects_a_wrong_answer_to_the_same_question(data):
    for pair in _first(data, rejected="error"):
        problem = problem_of(pair.chosen.examples[0])
        assert pair.chosen.turns[:-1] == pair.rejected.turns[:-1]
        assert not any(is_sound(problem, way, _said(pair.rejected)) for way in DIRECTIONS)


def test_a_flipped_row_follows_its_original_and_asks_its_own_question(data):
    pairs = _first(data, flipped=True)
    for original, flipped in zip(pairs[::2], pairs[1::2], strict=True):
        assert (_said(original.chosen), _said(original.rejected)) == (
            _said(flipped.rejected),
            _said(flipped.chosen),
        )
        problem = problem_of(original.chosen.examples[0])
        assert _asked(original.chosen) == problem.question("forward")
        assert _asked(flipped.chosen) == _asked(flipped.rejected) == problem.question("inverse")


def test_both_directions_are_not_doubled_by_flipping(data):
    both = {"directions": list(DIRECTIONS)}
    plain, flipped = (_first(data, 60, flipped=f, **both) for f in (False, True))
    assert [_asked(p.chosen) for p in plain] == [_asked(p.chosen) for p in flipped]


def test_contexts_differ_in_the_question_alone(data):
    for pair in _first(data, contrast="context"):
        problem = problem_of(pair.chosen.examples[0])
        assert _said(pair.chosen) == _said(pair.rejected)
        assert (_asked(pair.chosen), _asked(pair.rejected)) == tuple(map(problem.question, DIRECTIONS))


def test_contexts_with_errors_are_refused(data):
    with pytest.raises(UserError, match="teach.rejected: contexts have no mistakes"):
        _first(data, contrast="context", rejected="error")


def test_teaching_what_is_not_there_is_one_sentence(data):
    only = Data([e for e in data.examples if e.facets["family"] == "sums"])
    with pytest.raises(UserError, match="no training problem is of these directions"):
        next(WORLD.teach(only, {**TEACH, "families": ["units"]}, 0))


# --- questions and grades ----------------------------------------------------------------------------------


def test_options_hold_the_sound_trace_at_its_place(data):
    asked = WORLD.ask(data, ASK, TEACH)
    assert all(len(set(e.options)) == 3 and e.options[e.gold] == e.answer for e in asked)
    assert set(Counter(e.gold for e in asked)) == {0, 1, 2}
    for example in asked:
        sound = [is_sound(problem_of(example), example.facets["direction"], text) for text in example.options]
        assert sound == [place == example.gold for place in range(3)]


def test_per_cell_limits_the_questions(data):
    asked = WORLD.ask(data, {"per_cell": 2}, TEACH)
    assert set(Counter(e.cell(*WORLD.facets) for e in asked).values()) == {2}


def test_a_grade_tells_answer_trace_and_format_apart(data):
    sums = next(
        e for e in data.examples if e.facets["family"] == "sums" and e.facets["direction"] == "forward"
    )
    a, b = sums.truth["problem"]["a"], sums.truth["problem"]["b"]
    table = [
        (sums.answer, True, (1, 1, 1)),
        (f"{a} + {b} = {a + b}\nAnswer: {a + b}.", True, (1, 1, 1)),
        (f"It is clear.\nAnswer: {a + b}", True, (1, 0, 1)),
        (f"Answer: {a + b}", True, (1, 0, 0)),
        (f"{a} + {b} = {a + b}\nAnswer: {a}", False, (0, 0, 1)),
        (f"{a} + {b} = {a + b}", False, (0, 0, 0)),
        (f"{a + b}", False, (0, 0, 0)),
        (f"Answer: {a + b}\nAnswer: {a}", False, (0, 0, 0)),
        ("", False, (0, 0, 0)),
    ]
    for text, right, parts in table:
        grade = WORLD.grade(sums, text)
        assert (grade.right, tuple(grade.parts.values())) == (right, parts), text
        assert list(grade.parts) == ["answer", "trace", "format"]


def test_alternatives_are_what_they_are_called(data):
    for example in data.examples[::17]:
        found = WORLD.alternatives(example, data)
        problem, direction = problem_of(example), example.facets["direction"]
        assert list(found)[0] == "right" and found["right"] == example.answer
        assert found == WORLD.alternatives(example, data)
        assert is_sound(problem, OTHER[direction], found["mismatch"])
        assert not WORLD.grade(example, found["error"]).right
        assert sorted(found["permuted"].split()) == sorted(example.answer.split())
        assert len(found["random"].split()) == len(example.answer.split())


def test_a_hint_is_in_every_question_and_in_no_answer():
    made = WORLD.make({**FACTS, "hint": "Think aloud.", "train": 21, "test": 21}, 0)
    assert all(e.prompt[0][1].endswith(" Think aloud.") and "Think" not in e.answer for e in made.examples)


def test_sentences_hold_every_word_of_the_training_rows():
    facts = {**FACTS, "train": 63, "test": 21}
    words = {word for text in WORLD.sentences(facts, 2) for word in text.split()}
    made = WORLD.make(facts, 2)
    train = [e for e in made.examples if e.split == "train"]
    assert all(set(e.answer.split()) | set(e.prompt[0][1].split()) <= words for e in train)


def test_the_size_is_no_underestimate():
    facts = {**FACTS, "train": 210, "test": 42}
    made = WORLD.make(facts, 0)
    written = sum(len(example_line(e).encode()) for e in made.examples) + len(repr(made.facts).encode())
    assert written <= WORLD.size(facts) <= 6 * written


# --- samples in the published layout -----------------------------------------------------------------------


@pytest.mark.parametrize("count", [100, 1000])
def test_samples_are_read_back_with_their_own_questions(count, tmp_path):
    rows = sample_rows(count, seed=4)
    assert Counter(row["sample_type"] for row in rows) == {"original": count // 2, "flipped": count // 2}
    path = write_parquet(rows, tmp_path / "rows.parquet")
    facts = yaml.safe_load((PARAMS / "files.yaml").read_text(encoding="utf-8"))["facts"]
    made = FILES.make({**facts, "path": str(path), "eval_share": 0.0}, 0)
    assert len(made.examples) == count
    for row, example in zip(rows, made.examples, strict=True):
        own = "question" if row["sample_type"] == "original" else "relevant-question"
        assert (example.prompt, example.answer) == ((("text", row[own]),), row["text"])
        assert example.truth["rejected"] == row["worse-text"]
