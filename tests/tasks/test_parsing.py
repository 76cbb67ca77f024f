"""The strict parsers: what they take, and what they refuse."""

from fractions import Fraction

import pytest

from mmrc_helpers.tasks import parsing


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A", "A"),
        (" C. ", "C"),
        ("D", None),
        ("The", None),
        ("AB", None),
        ("", None),
        ("a", None),
        ("A..", None),
    ],
)
def test_a_letter_stands_alone_among_those_shown(text, found):
    assert parsing.letter(text, 3) == found


@pytest.mark.parametrize(
    ("text", "found"), [("Right", "Right"), ("Wrong.", "Wrong"), ("right", None), ("Right and Wrong", None)]
)
def test_a_verdict_stands_alone(text, found):
    assert parsing.verdict(text, ("Right", "Wrong")) == found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        (" -3.5. ", Fraction(-7, 2)),
        ("1,000", 1000),
        ("12,345,678.5", Fraction(24691357, 2)),
        ("3/4", Fraction(3, 4)),
        ("−2", -2),
        ("1,00", None),
        ("3/0", None),
        ("12 cm", None),
        ("about 12", None),
        ("1e5", None),
        ("", None),
    ],
)
def test_a_number_is_the_whole_text(text, value):
    assert parsing.number(text) == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("17 + 5 = 22\nAnswer: 22", "22"),
        ("**Answer:** (A) 2", "(A) 2"),
        ("so\n\n**Answer**: 7\n", "7"),
        ("Answer: 5\nand more", None),
        ("Answer: 5\nAnswer: 6", None),
        ("Answer:", None),
        ("the answer: 5 is right", None),
        ("", None),
    ],
)
def test_the_answer_line_is_the_last_and_the_only_one(text, found):
    assert parsing.answer_line(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"so \boxed{3}.", "3"),
        (r"\boxed{1} then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{3", None),
        ("boxed 3", None),
    ],
)
def test_a_box_is_read_to_its_own_brace(text, found):
    assert parsing.boxed(text) == found
