"""The examples of an instance, one for each view, and its picture, made from its place alone."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds.analogies import drawing
from mmrc_helpers.worlds.analogies.instances import puzzle_of
from mmrc_helpers.worlds.analogies.values import room_of
from mmrc_helpers.worlds.analogies.words import (
    COLORS,
    SIZES,
    answer_text,
    block_text,
    names_of,
    puzzle_text,
    question_of,
)
from mmrc_helpers.worlds.puzzles import making
from mmrc_helpers.worlds.puzzles.asking import views_of
from mmrc_helpers.worlds.puzzles.making import Place


def views(facts: Mapping, seed: int, place: Place) -> tuple[Example, ...]:
    """The examples of the puzzle at this place, one for each of facts.views."""
    room, style = room_of(facts), facts["style"]
    puzzle, names = puzzle_of(room, seed, place, facts["fair"]), names_of(room, style)
    text = puzzle_text(puzzle, style, names)
    block = block_text(puzzle.rules, puzzle.option_rules, puzzle.answer, style)
    return views_of(
        facts,
        place,
        text,
        partial(question_of, style),
        partial(answer_text, puzzle, style, names),
        {"style": style, "text": text, "block": block},
        {"task": "analogies", "rule": " ".join(puzzle.option_rules[puzzle.answer])},
    )


def draw(facts: Mapping, seed: int, place: Place) -> bytes:
    """The PNG of the puzzle at a place."""
    puzzle = puzzle_of(room_of(facts), seed, place, facts["fair"])
    return drawing.draw(puzzle.panels, *facts["picture"], facts["margin"])


def content(example: Example) -> str:
    """What makes two puzzles the same: the examples and the query, in words."""
    return "\n".join(example.truth["text"].splitlines()[:11])


# --- limits -----------------------------------------------------------------------------------------------

# Fewer values leave a rule without panels that follow it alone (a test makes every rule with the fewest).
FEWEST = {"line_types": 4, "line_colors": 3, "shape_types": 3, "shape_colors": 3, "shape_sizes": 3}
MOST = {"line_colors": len(COLORS), "shape_colors": len(COLORS), "shape_sizes": len(SIZES)}


def problems(facts: Mapping) -> Iterator[str]:
    """What in `facts` cannot be made."""
    yield from (wrong := list(making.problems("analogies", facts)))
    for name, fewest in FEWEST.items():
        values = facts[name]
        if repeated := [value for value, times in Counter(values).items() if times > 1]:
            yield f"analogies.{name}: {repeated[0]} comes twice; name each value once"
        elif len(values) < fewest:
            yield f"analogies.{name}: {len(values)} values are too few; name at least {fewest}"
        elif facts["style"] == "terse" and len(values) > MOST.get(name, len(values)):
            yield f"analogies.{name}: style terse has {MOST[name]} words; name fewer values or take full"
    if wrong:
        return
    width, height = facts["picture"]
    if min(width, height) < 64:
        yield f"analogies.picture: {width} x {height} pixels are too few to tell shapes apart; give 64"
    if height > 2 * width or width > 2 * height:
        yield f"analogies.picture: {width} x {height} pixels leave panels small; near 8 x 9 fits best"


def words_of(facts: Mapping) -> Iterator[str]:
    """Every word that a value can be, and the digits."""
    for named in names_of(room_of(facts), facts["style"]).values():
        yield from (word for word in named.values() if not re.search(r"\d", word))
    yield from "0123456789"
