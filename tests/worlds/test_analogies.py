"""What a visual analogy keeps to: one rule in every row, an answer that only the examples tell. Checked by a
solver that knows nothing of how the puzzles were made."""

import random
from collections import Counter

import numpy as np
import pytest
from analogies_made import FACTS, puzzles_of

from mmrc_helpers.worlds.analogies import WORLD, instances, relations, values, verify, words

SMALLEST = {
    "line_types": ["falling", "ring", "vertical", "vee-up"],
    "line_colors": [0, 100, 200],
    "shape_types": ["circle", "rectangle", "triangle"],
    "shape_colors": [0, 128, 255],
    "shape_sizes": [20, 34, 48],
    "most_lines": 3,
}


def test_there_are_25_rules_of_which_8_are_held_out_two_of_each_relation():
    assert len(values.RULES) == 25 and len(values.SIMPLE) == 17 and len(values.HELD_OUT) == 8
    assert Counter(relation for *_, relation in values.HELD_OUT) == dict.fromkeys(values.RELATIONS, 2)


def _check_solved(count: int) -> None:
    for difficulty in ("simple", "hard"):
        for fair in (True, False):
            for puzzle in puzzles_of(difficulty, count, fair):
                for style in ("full", "terse"):
                    text = words.puzzle_text(puzzle, style, words.names_of(values.room_of(FACTS), style))
                    block = words.block_text(puzzle.rules, puzzle.option_rules, puzzle.answer, style)
                    assert verify.solve(text, style) == block


def test_every_row_follows_one_rule_and_the_solver_finds_the_answer():
    _check_solved(500)


@pytest.mark.slow
def test_every_row_follows_one_rule_and_the_solver_finds_the_answer_in_10000():
    _check_solved(10_000)


@pytest.mark.parametrize(
    ("line", "changed", "why"),
    [
        ("Panel 3: type: ring; color: 90", "Panel 3: type: ring; color: 0", "a row follows"),
        ("Panel 3: type: ring; color: 90", "Panel 3: type: vertical; color: 90", "no rule"),
        ("Panel 3: type: ring; color: 90", "1 shape; type: ring", "not a panel"),
        ("Option 2: type: ring; color: 189", "Option 2: type: falling, rising, ring; color: 189", "options"),
    ],
)
def test_the_solver_refuses_a_second_rule_and_other_faults(line, changed, why):
    example = "Panel 1: type: falling, ring; color: 0\nPanel 2: type: ring, rising; color: 0"
    third = "Panel 3: type: ring; color: 90"
    text = (
        f"Example 1:\n{example}\n{third}\nExample 2:\n{example}\n{third}\nQuery:\n{example}\nOptions:\n"
        "Option 1: type: falling, rising; color: 135\nOption 2: type: ring; color: 189\n"
        "Option 3: type: falling, ring, rising; color: 135\nOption 4: type: vertical; color: 0"
    )
    with pytest.raises(ValueError, match="a row follows \\[.*, .*\\]"):
        verify.solve(text, "full")  # option 4 has two: the color is both AND and OR
    text = text.replace("Option 4: type: vertical; color: 0", "Option 4: type: falling, rising; color: 90")
    assert verify.solve(text, "full").endswith("Answer: 2")
    with pytest.raises(ValueError, match=why):
        verify.solve(text.replace(line, changed, 1), "full")


def test_hard_examples_show_the_relation_on_both_held_out_attributes():
    for puzzle in puzzles_of("hard", 300):
        target = puzzle.option_rules[puzzle.answer]
        assert set(puzzle.rules) == {rule for rule in values.HELD_OUT if rule[2] == target[2]}
        assert target in puzzle.rules
    for puzzle in puzzles_of("simple", 300):
        assert {*puzzle.rules} == {puzzle.option_rules[puzzle.answer]}
        assert not {*puzzle.rules, *puzzle.option_rules} & {*values.HELD_OUT}


def test_every_rule_is_asked_for_and_every_place_and_relation_equally_often():
    asked = Counter()
    for difficulty, fair in (("simple", True), ("hard", True), ("hard", False)):
        made_puzzles = puzzles_of(difficulty, 1600, fair)
        targets = [puzzle.option_rules[puzzle.answer] for puzzle in made_puzzles]
        asked.update(targets)
        for counted in (
            Counter(p.answer for p in made_puzzles),
            Counter(relation for *_, relation in targets),
        ):
            assert len(counted) == 4 and all(abs(count - 400) < 5 * 300**0.5 for count in counted.values())
        for puzzle in made_puzzles:
            assert sorted(relation for *_, relation in puzzle.option_rules) == sorted(values.RELATIONS)
    assert set(asked) == set(values.RULES)


def test_the_smallest_sets_of_values_allow_every_choice_of_rules():
    room = values.room_of(FACTS | SMALLEST)
    assert not list(WORLD.check(FACTS | SMALLEST))
    for kind in ("line", "shape"):
        fours = instances.fours(kind, values.RULES)
        for number, rules in enumerate(fours):
            first, second, *options = instances.scene(random.Random(f"few/{number}"), room, rules)
            assert [relations.rules_of((first, second, option)) for option in options] == [[r] for r in rules]
        assert {rule for four in fours for rule in four} == {r for r in values.RULES if r[0] == kind}


def test_no_puzzle_is_in_two_splits_or_comes_twice():
    contents = {
        split: [
            instances.content(p) for level in ("simple", "hard") for p in puzzles_of(level, 400, split=split)
        ]
        for split in ("train", "test")
    }
    assert not set(contents["train"]) & set(contents["test"])
    assert all(len(set(found)) == len(found) for found in contents.values())


# --- the answer is only in the examples -------------------------------------------------------------------


def _seen(option: values.Panel) -> np.ndarray:
    """What a look at one option shows: which values it has, and how many of each attribute."""
    room, seen = values.room_of(FACTS), []
    for (kind, attribute), possible in room.values.items():
        found = values.values_of(option, attribute) if option.kind == kind else frozenset()
        seen += [value in found for value in possible] + [len(found) == number for number in range(1, 6)]
    return np.array(seen, float)


def _found_by_options_alone(drawn: list[values.Puzzle]) -> float:
    """Share of unseen puzzles in which a linear choice among the options finds the right one."""
    seen_PO = np.stack([[_seen(option) for option in puzzle.options] for puzzle in drawn])
    mean = seen_PO.mean(1, keepdims=True)
    seen_POF = np.concatenate([seen_PO, seen_PO * mean, abs(seen_PO - mean)], -1)
    right_PO = np.eye(4)[[puzzle.answer for puzzle in drawn]]
    half, weights = len(drawn) // 2, np.zeros(seen_POF.shape[-1])
    for _ in range(300):
        logit_PO = seen_POF[:half] @ weights
        chance_PO = np.exp(logit_PO - logit_PO.max(1, keepdims=True))
        chance_PO /= chance_PO.sum(1, keepdims=True)
        slope = np.einsum("po,pof->f", right_PO[:half] - chance_PO, seen_POF[:half]) / half
        weights += 0.5 * slope - 0.002 * weights
    return float((np.argmax(seen_POF[half:] @ weights, 1) == right_PO[half:].argmax(1)).mean())


@pytest.mark.parametrize(
    ("difficulty", "fair", "told"), [("simple", True, False), ("hard", True, False), ("hard", False, True)]
)
def test_options_alone_tell_the_answer_only_of_unfair_puzzles(difficulty, fair, told):
    found = _found_by_options_alone(puzzles_of(difficulty, 3000, fair))
    assert found > 0.33 if told else abs(found - 0.25) < 4 * (3 / 16 / 1500) ** 0.5
