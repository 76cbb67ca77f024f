"""What answers about scenes are worth: a table of answers, the traps of prior work among them."""

import pytest

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds.scenes import WORLD

DIRECTION = ("left", "right", "above", "below")
SUPPORT = ("on", "under", "next to")
COUNTS = tuple(map(str, range(13)))


def asked(answer: str, options=DIRECTION, form="free", task="relation", reversed="", **names) -> Example:
    truth = {"reversed": reversed, "a": "red circle", "b": "blue square"}
    shown = (("text", "…"), ("options", "words")) if form == "choice" else (("text", "…"),)
    facets = {"task": task, "format": form, **names}
    return Example("id", "group", "test", shown, answer, facets, options, options.index(answer), truth=truth)


LEFT = asked("left", reversed="right")
ON = asked("on", SUPPORT, reversed="under")
INSIDE = asked("inside", ("inside", "outside", "through"), reversed="around")
AROUND = asked("around", ("around", "outside"), reversed="inside")
NEAR = asked("near", ("near", "far from"), reversed="near")
BETWEEN = asked("between", ("between", "among", "far from"))
LARGER = asked("larger", ("larger", "smaller"), task="comparison", reversed="smaller")
LETTER = asked("right", form="choice", reversed="left")
THREE = asked("3", COUNTS, task="counting")
NONE = asked("0", COUNTS, task="counting")
ONE = asked("1", COUNTS, task="counting")
TWELVE = asked("12", COUNTS, task="counting")
TRUE = asked("True", ("True", "False"), "judge", "statement")
FALSE = asked("False", ("True", "False"), "judge", "statement")
PLACE = asked("3 5", ("3 5", "6 5"), task="location", direction="forward")
THING = asked("red star", ("red star", "blue moon"), task="location", direction="reverse")
LIST = asked("red star 1 2, blue moon 3 4", ("red star 1 2, blue moon 3 4",), task="listing")

# question, answer, right, exact, relation or near, format
ANSWERS = [
    # an exact answer earns everything
    (LEFT, "left", True, 1, 1, 1),
    (LEFT, "Left.", True, 1, 1, 1),
    (LEFT, " left of ", True, 1, 1, 1),
    (ON, "on", True, 1, 1, 1),
    (INSIDE, "inside", True, 1, 1, 1),
    (AROUND, "Around", True, 1, 1, 1),
    (LARGER, "larger than", True, 1, 1, 1),
    # the same in other words is right, but not in the form asked for
    (LEFT, "It is to the left of the blue square.", True, 0, 1, 0.5),
    (LEFT, "The red circle is on the left-hand side of the blue square.", True, 0, 1, 0.5),
    (ON, "on top of it", True, 0, 1, 0.5),
    (INSIDE, "within", True, 0, 1, 0.5),
    (INSIDE, "It is in the ring", True, 0, 1, 0.5),
    (AROUND, "The ring surrounds it", True, 0, 1, 0.5),
    (NEAR, "close to it", True, 0, 1, 0.5),
    (BETWEEN, "in between", True, 0, 1, 0.5),
    (LARGER, "bigger", True, 0, 1, 0.5),
    # seen from the other side
    (LEFT, "The blue square is right of the red circle.", True, 0, 1, 0.5),
    (LEFT, "The blue square is left of the red circle.", False, 0, 0, 0.5),
    (LEFT, "The blue square is above the red circle.", False, 0, 0.25, 0.5),
    # the opposite earns less than another wrong answer
    (LEFT, "right", False, 0, 0, 1),
    (LEFT, "above", False, 0, 0.25, 1),
    (LEFT, "next to", False, 0, 0.25, 0.5),
    (ON, "under", False, 0, 0, 1),
    (ON, "above", False, 0, 0.5, 0.5),
    (INSIDE, "outside", False, 0, 0, 1),
    (NEAR, "far from", False, 0, 0, 1),
    (LARGER, "smaller", False, 0, 0, 1),
    # listing several
    (LEFT, "left or right", False, 0, 0, 0.5),
    (LEFT, "left and above", False, 0, 0.5, 0.5),
    (LEFT, "left, above, near, on", False, 0, 0.25, 0.5),
    (LEFT, "left right above below in front of behind on under inside outside near", False, 0, 0, 0.5),
    # words in words, denials, nothing
    (ON, "a fountain in London", False, 0, 0.25, 0.5),  # "in", but no "on"
    (ON, "fountain", False, 0, 0, 0),
    (LEFT, "cleft", False, 0, 0, 0),
    (LEFT, "not left", False, 0, 0, 0),
    (LEFT, "It isn't right of it", False, 0, 0, 0),
    (LEFT, "purple", False, 0, 0, 0),
    (LEFT, "", False, 0, 0, 0),
    (LEFT, "   ", False, 0, 0, 0),
    (LEFT, "left " + "and I am quite sure of it " * 9, False, 0, 0, 0),
    # letters
    (LETTER, "B", True, 1, 1, 1),
    (LETTER, "(B)", True, 1, 1, 1),
    (LETTER, "B.", True, 1, 1, 1),
    (LETTER, "B. right", True, 0, 1, 0.5),
    (LETTER, "right", True, 0, 1, 0.5),
    (LETTER, "A", False, 0, 0, 1),
    (LETTER, "C", False, 0, 0.25, 1),
    (LETTER, "B. left", False, 0, 0, 0.5),
    (LETTER, "E", False, 0, 0, 0),
    (LETTER, "The correct answer", False, 0, 0, 0),
    # counts
    (THREE, "3", True, 1, 1, 1),
    (THREE, "three", True, 1, 1, 1),
    (THREE, "Three.", True, 1, 1, 1),
    (THREE, "There are three red circles.", True, 0, 1, 0.5),
    (THREE, "4", False, 0, 0.5, 1),
    (THREE, "one", False, 0, 0.25, 1),
    (THREE, "6", False, 0, 0.125, 1),
    (THREE, "7", False, 0, 0, 1),
    (THREE, "2 or 3", False, 0, 0, 0.5),
    (THREE, "0 1 2 3 4 5", False, 0, 0, 0.5),
    (THREE, "many", False, 0, 0, 0),
    (THREE, "3.5", False, 0, 0.5**0.5, 1),
    (TWELVE, "twelve", True, 1, 1, 1),
    (ONE, "someone", False, 0, 0, 0),
    (ONE, "one", True, 1, 1, 1),
    (NONE, "none", True, 1, 1, 1),
    (NONE, "There are no red circles", True, 0, 1, 0.5),
    # verdicts
    (TRUE, "True", True, 1, 1, 1),
    (TRUE, "true.", True, 1, 1, 1),
    (TRUE, "Yes", True, 0, 1, 0.5),
    (TRUE, "It is true that the circle is left of the square", True, 0, 1, 0.5),
    (TRUE, "False", False, 0, 0, 1),
    (TRUE, "not true", False, 0, 0, 0),
    (TRUE, "untrue", False, 0, 0, 0),
    (TRUE, "true or false", False, 0, 0, 0.5),
    (FALSE, "No, that is false.", True, 0, 1, 0.5),
    (FALSE, "no", True, 0, 1, 0.5),
    (FALSE, "not false", False, 0, 0, 0),
    # places and things
    (PLACE, "3 5", True, 1, 1, 1),
    (PLACE, "3 5.", True, 1, 1, 1),
    (PLACE, "column 3, row 5", True, 0, 1, 0.5),
    (PLACE, "(3, 5)", True, 0, 1, 0.5),
    (PLACE, "row 5, column 3", True, 0, 1, 0.5),
    (PLACE, "5 3", False, 0, 0.25, 0.5),
    (PLACE, "4 5", False, 0, 0.5, 0.5),
    (PLACE, "6 5", False, 0, 0.125, 1),
    (PLACE, "3", False, 0, 0, 0),
    (PLACE, "3 5 6", False, 0, 0, 0),
    (PLACE, f"3 {'9' * 5000}", False, 0, 0, 0.5),  # beyond any float
    (PLACE, "", False, 0, 0, 0),
    (THING, "red star", True, 1, 1, 1),
    (THING, "The red star is there.", True, 0, 1, 0.5),
    (THING, "red moon", False, 0, 0.5, 0.5),
    (THING, "blue moon", False, 0, 0, 1),
    (THING, "red star or blue moon", False, 0, 0, 0.5),
    (THING, "star", False, 0, 0, 0),
    (LIST, "red star 1 2, blue moon 3 4", True, 1, 1, 1),
    (LIST, "Red star 1 2, blue moon 3 4.", True, 1, 1, 1),
    (LIST, "red star 1 2, blue moon 3 3", False, 0, 0.5, 1),
    (LIST, "blue moon 3 4, red star 1 2", False, 0, 0, 1),
    (LIST, "red star 1 2", False, 0, 0.5, 1),
    (LIST, "red star 1 2, blue moon 3 4, red moon 4 4", False, 0, 2 / 3, 1),
    (LIST, "red star, blue moon", False, 0, 0, 0),
    (LIST, "", False, 0, 0, 0),
    (THING, "not a red star", False, 0, 0, 0),
]  # fmt: skip


@pytest.mark.parametrize("example, text, right, exact, worth, form", ANSWERS)
def test_an_answer_is_worth(example, text, right, exact, worth, form):
    grade = WORLD.grade(example, text)
    part = "near" if example.facets["task"] in ("counting", "location", "listing") else "relation"
    assert (grade.right, grade.parts) == (right, {"exact": exact, part: pytest.approx(worth), "format": form})


def test_nothing_beats_the_right_answer_and_nothing_is_below_the_empty_one():
    for example, text, *_ in ANSWERS:
        best, worst = (
            WORLD.grade(example, example.answer if example is not LETTER else "B"),
            WORLD.grade(example, ""),
        )
        for part, worth in WORLD.grade(example, text).parts.items():
            assert worst.parts[part] <= worth <= best.parts[part]
