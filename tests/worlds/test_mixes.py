"""Supervision mixes: their counts are those of the published strategies, their order is a fixed pattern."""

from collections import Counter
from fractions import Fraction
from itertools import islice

import pytest
from puzzle_facts import sections

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.puzzles import mixes

TEXT, IMAGE, VIA = "simple/text", "simple/image", "simple/image_via_text"
HARD, MEDIUM = "hard/text", "medium/text"


def strategy(option: int) -> tuple[dict[str, int], Fraction, Fraction, dict[str, int]]:
    """The mix of a published option, its thousands per requested thousand, its epochs, and its repeats."""
    third, half = Fraction(1, 3), Fraction(1, 2)
    return {
        1: ({VIA: 1}, third, Fraction(3), {}),
        2: ({TEXT: 1}, half, Fraction(2), {}),
        3: ({IMAGE: 1}, half, Fraction(2), {}),
        4: ({IMAGE: 1}, third, Fraction(3), {}),
        5: ({TEXT: 1, IMAGE: 1}, 2 * third, Fraction(3, 2), {}),
        6: ({TEXT: 1, IMAGE: 1, VIA: 1}, Fraction(1), Fraction(1), {}),
        7: ({TEXT: 1, IMAGE: 1, VIA: 1, HARD: 3}, Fraction(1), Fraction(1), {}),
        8: ({TEXT: 1, VIA: 1}, Fraction(1), Fraction(1), {}),
        9: ({VIA: 1, HARD: 1}, Fraction(1), Fraction(1), {VIA: 3}),
        10: ({TEXT: 1, IMAGE: 1, VIA: 1, MEDIUM: 3}, Fraction(1), Fraction(1), {}),
    }[option]


# Facts §2: distinct rows of each lesson as a share of 1000 N, and epochs.
PUBLISHED = {
    1: ({VIA: "1/3"}, 3),
    2: ({TEXT: "1/2"}, 2),
    3: ({IMAGE: "1/2"}, 2),
    4: ({IMAGE: "1/3"}, 3),
    5: ({TEXT: "1/3", IMAGE: "1/3"}, 1.5),
    6: ({TEXT: "1/3", IMAGE: "1/3", VIA: "1/3"}, 1),
    7: ({TEXT: "1/6", IMAGE: "1/6", VIA: "1/6", HARD: "1/2"}, 1),
    8: ({TEXT: "1/2", VIA: "1/2"}, 1),
    9: ({VIA: "1/6", HARD: "1/2"}, 1),
    10: ({TEXT: "1/6", IMAGE: "1/6", VIA: "1/6", MEDIUM: "1/2"}, 1),
}
REPEATED = {9: {VIA: 3}}  # rows shown more than once in an epoch


def teach(option: int = 6, requested: int = 60, **changes) -> dict:
    """The section `teach` of a published option with so many thousand requested rows."""
    mix, size, epochs, repeat = strategy(option)
    found = sections("tables")["teach"]
    found["mix"] |= mix
    found["repeat"] |= repeat
    return {**found, "thousands": float(size * requested), "epochs": float(epochs), **changes}


def data(instances: int, difficulties=("simple", "medium", "hard")) -> Data:
    """Examples with an answer of ten lines of reasoning, in all views."""
    reasoning = "".join(f"step {n}\n" for n in range(10))
    return Data(
        [
            Example(
                id=f"{difficulty}-{index}-{view}",
                group=f"{difficulty}-{index}",
                split="train",
                prompt=(("text", f"{index}?"),),
                answer=f"table\n{reasoning}Answer: {difficulty} {index}",
                facets={"difficulty": difficulty, "view": view, "cot": "yes"},
                lesson=f"{difficulty}/{view}",
            )
            for difficulty in difficulties
            for index in range(instances)
            for view in mixes.VIEWS
        ]
    )


def blocks(answer: str) -> tuple[str, str, str]:
    start, cut = answer.find("step"), answer.find("Answer")
    start = cut if start < 0 else start
    return answer[:start], answer[start:cut], answer[cut:]


def rows(data: Data, teach: dict, seed: int = 0) -> list[Example]:
    return [chat.examples[0] for chat in mixes.taught(data, teach, seed, blocks)]


@pytest.mark.parametrize("requested", [60, 120])
@pytest.mark.parametrize("option", range(1, 11))
def test_instances_and_epochs_equal_the_published_ones(option, requested):
    published, epochs = PUBLISHED[option]
    available = dict.fromkeys(mixes.LESSONS, 120_000)
    found = mixes.shares(available, teach(option, requested))
    assert {share.lesson: share.instances for share in found} == {
        lesson: int(1000 * requested * Fraction(share)) for lesson, share in published.items()
    }
    times = REPEATED.get(option, {})
    assert all(share.rows == share.instances * times.get(share.lesson, 1) for share in found)
    assert teach(option)["epochs"] == epochs
    assert sum(share.rows for share in found) * epochs == 1000 * requested  # every option trains as long


@pytest.mark.parametrize("option", range(1, 11))
def test_the_rows_taught_are_those_planned(option):
    taught = rows(data(3_000), teach(option, requested=6))
    assert len(taught) == 6_000
    published, epochs = PUBLISHED[option]
    for lesson, share in published.items():
        visits = Counter(example.group for example in taught if example.lesson == lesson)
        assert len(visits) == int(6_000 * Fraction(share))
        shown = epochs * REPEATED.get(option, {}).get(lesson, 1)
        assert set(visits.values()) == ({shown} if shown == int(shown) else {1, 2})


def test_lessons_take_turns_in_a_fixed_pattern_over_the_same_instances():
    taught = rows(data(40), teach(7, requested=0, thousands=0.048))
    assert [example.lesson for example in taught] == [TEXT, IMAGE, VIA, HARD, HARD, HARD] * 8
    for start in range(0, 48, 6):
        assert len({example.group for example in taught[start : start + 3]}) == 1
    assert len({example.group for example in taught}) == 8 + 24


def test_a_larger_size_keeps_the_instances_of_a_smaller_one():
    sizes = [rows(data(40), teach(6, thousands=size)) for size in (0.03, 0.09)]
    small, large = ({example.group for example in taught} for taught in sizes)
    assert small < large and len(small) == 10 and len(large) == 30


def test_size_zero_takes_what_the_scarcest_lesson_allows():
    found = mixes.shares({TEXT: 100, IMAGE: 100, VIA: 100, HARD: 90}, teach(7, thousands=0.0))
    assert {share.lesson: share.instances for share in found} == {TEXT: 30, IMAGE: 30, VIA: 30, HARD: 90}


def test_every_pass_has_its_own_order_and_seeds_differ():
    passes = [example.group for example in rows(data(50), teach(3, thousands=0.05, epochs=2.0))]
    assert sorted(passes[:50]) == sorted(passes[50:]) and passes[:50] != passes[50:]
    assert passes == [example.group for example in rows(data(50), teach(3, thousands=0.05, epochs=2.0))]
    assert passes != [example.group for example in rows(data(50), teach(3, thousands=0.05, epochs=2.0), 1)]


def test_epochs_zero_is_endless():
    stream = mixes.taught(data(5), teach(6, thousands=0.0, epochs=0.0), 0, blocks)
    assert len(list(islice(stream, 100))) == 100


def test_shuffled_answers_are_those_of_other_instances_alike_in_all_views():
    taught = rows(data(30), teach(6, thousands=0.09, shuffle_answers=True))
    given = {view: {} for view in (TEXT, IMAGE, VIA)}
    for example in taught:
        own, answered = example.group.split("-")[1], example.answer.rsplit(" ", 1)[1]
        assert own != answered
        given[example.lesson][own] = answered
    assert sorted(given[TEXT].values()) == sorted(given[TEXT]) and given[TEXT] == given[IMAGE] == given[VIA]


def test_without_reasoning_only_the_transcription_and_the_answer_stay():
    for example in rows(data(6), teach(6, thousands=0.018, cot=False)):
        assert example.answer.startswith("table\nAnswer:") and example.facets["cot"] == "no"


def test_internalising_shows_whole_cut_and_no_reasoning_in_the_asked_shares():
    parts = {"full": 0.3, "cut": 0.4, "none": 0.3}
    taught = rows(data(2000), teach(2, thousands=2.0, epochs=1.0, internalise=parts))
    lines = [example.answer.count("step") for example in taught]
    assert abs(lines.count(10) / 2000 - 0.3) < 0.05 and abs(lines.count(0) / 2000 - 0.3) < 0.05
    assert set(lines) == set(range(11))
    cut = next(example for example in taught if example.answer.count("step") == 4)
    assert cut.answer.startswith("table\nstep 6\n") and cut.facets["cot"] == "no"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mix": {}}, "no lesson has a weight"),
        ({"thousands": 40.0}, "teach.thousands"),
        ({"thousands": 0.002}, "no whole pattern"),
        ({"cot": False, "internalise": {"full": 1.0, "cut": 1.0, "none": 0.0}}, "teach.cot is off"),
        ({"internalise": {"full": 0.0, "cut": 0.0, "none": 0.0}}, "all shares are 0"),
        ({"mix": {"medium/text": 1}}, "medium/text"),
    ],
)
def test_a_mix_that_cannot_be_taught_is_an_error(changes, said):
    settings = teach(6, **{"thousands": 0.0, **changes})
    with pytest.raises(UserError, match=said) as raised:
        rows(data(20, ("simple", "hard")), settings)
    facts = {"views": mixes.VIEWS, "train": {"simple": 20, "medium": 0, "hard": 20}}
    one, *several = str(raised.value).split("\n  ")
    assert list(mixes.problems(facts, [settings])) == (several or [one]), "known before any data is made"


def test_answers_of_a_single_instance_cannot_be_shuffled_which_is_known_before_any_data_is_made():
    facts = {"views": mixes.VIEWS, "train": {"simple": 1, "medium": 0, "hard": 20}}
    (said,) = mixes.problems(facts, [teach(6, thousands=0.0, shuffle_answers=True)])
    assert "shuffle_answers needs two training instances" in said
    assert not list(mixes.problems(facts, [teach(6, thousands=0.0)]))


def test_pairs_prefer_the_answer_and_the_question_it_belongs_to():
    settings = teach(6, thousands=0.03)

    def miss(example, rng):
        return example.answer + "0"

    for pair in mixes.paired(data(10), settings, 0, "answer", blocks, miss):
        chosen, rejected = pair.chosen.turns, pair.rejected.turns
        assert chosen[0] == rejected[0] and chosen[1] != rejected[1]
    contexts = list(mixes.paired(data(10), settings, 0, "context", blocks, miss))
    assert len(contexts) == 30 - 3  # the first row of each lesson has no other question yet
    for pair in contexts:
        chosen, rejected = pair.chosen.turns, pair.rejected.turns
        assert chosen[0] != rejected[0] and chosen[1] == rejected[1]
