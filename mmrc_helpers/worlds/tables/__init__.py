"""World `tables`: add up the cells along a marked path (Consecutive Table Readout and Table Readout).

Grading is strict: the ordered summands, the total and the answer must all be right.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mmrc_helpers.errors import listed
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.puzzles import asking, mixes, puzzle_world
from mmrc_helpers.worlds.puzzles.making import shows_pictures
from mmrc_helpers.worlds.tables.drawing import cuts_words, draw
from mmrc_helpers.worlds.tables.grading import grade, walk
from mmrc_helpers.worlds.tables.instances import Table, content, largest, pools, problems, shapes_of
from mmrc_helpers.worlds.tables.words import answer, blocks, views


def ask(data: Data, ask: Mapping, teach: Mapping) -> Sequence[Example]:
    """`asking.asked`, of the asked shapes of path (none named: all)."""
    shapes = ask["shapes"]
    kept = [e for e in data.examples if not shapes or e.facets["shape"] in shapes]
    return asking.asked(Data(kept, data.facts), ask, teach, blocks)


def asked_problems(facts: Mapping, ask: Mapping) -> Iterator[str]:
    """`asking.problems`, and shapes of path that a difficulty does not have."""
    yield from (found := list(asking.problems(facts, ask)))
    for difficulty in ask["difficulties"] if ask["shapes"] and not found else ():
        made = shapes_of(facts, difficulty)
        if not set(ask["shapes"]) & set(made):
            yield (
                f"evaluate.ask.shapes: {listed(ask['shapes'])}, but {difficulty} paths are {listed(made)}; "
                "name one of these as well, or leave the difficulty out"
            )


def alternatives(example: Example, data: Data) -> Mapping[str, str]:
    """right; wrong: one value misread, the sum consistent; format_only: names and digits random; random: the
    words of the right answer in random order."""
    rng = random.Random(f"alternatives/{example.id}")
    wrong = replace(example, answer=miss(example, rng))
    if example.facets["cot"] == "no":
        wrong = mixes.without_reasoning(wrong, blocks)
    names = [*example.truth["products"], *example.truth["months"]]
    return {
        "right": example.answer,
        "wrong": wrong.answer,
        "format_only": _refilled(example.answer, names, rng),
        "random": asking.reordered(example.answer, rng),
    }


def miss(example: Example, rng: random.Random) -> str:
    """The whole answer of someone who misreads one value on the path."""
    table = _table(example.truth)
    row, column = rng.choice(table.path)
    values = [list(line) for line in table.values]
    values[row][column] = (values[row][column] + rng.randint(1, 9)) % 10
    transcription = blocks(example.answer)[0]
    misread = replace(table, values=tuple(map(tuple, values)))
    return transcription + answer(misread, example.truth["style"], example.truth["running"], False)


def _table(truth: Mapping) -> Table:
    """The table that an example keeps, its path read off the marks."""
    values = tuple(tuple(map(int, row)) for row in truth["values"])
    return Table("", "", tuple(truth["products"]), tuple(truth["months"]), values, tuple(walk(truth)))


def _refilled(text: str, names: list[str], rng: random.Random) -> str:
    """The text with every digit and every name of the table replaced by another one."""
    words = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b|[0-9]")

    def other(found: re.Match) -> str:
        kind = "123456789" if found[0].isdigit() else names  # no zero, which may not begin a number
        return rng.choice([word for word in kind if word != found[0]])

    return words.sub(other, text)


def promises(data: Data) -> Iterator[tuple[str, int, int]]:
    """What holds in every puzzle world; and each digit is a tenth of the values, within five deviations."""
    yield from asking.promised(data, grade, lambda example: content(example.truth))
    tables = {example.group: example.truth["values"] for example in data.examples}
    digits = "".join("".join(values) for values in tables.values())
    allowed = 5 * (len(digits) * 0.09) ** 0.5
    off = sum(abs(digits.count(digit) - len(digits) / 10) > allowed for digit in "0123456789")
    yield "digits more or less frequent than a tenth", off, 0


def checked(facts: Mapping) -> Iterator[str]:
    """What cannot be made, else in which pictures words would be cut off."""
    yield from (found := list(problems(facts)))
    for task in facts["tasks"] if shows_pictures(facts) and not found else ():
        rows, columns = largest(facts, task)
        if cuts_words(facts, rows, columns):
            width, height = facts["picture"]
            yield (
                f"tables.picture: {width} x {height} pixels cut off the words of {rows} rows of {columns}; "
                "give more pixels, or labels: letters and numbers: digits"
            )


def words_of(facts: Mapping) -> tuple[str, ...]:
    """Every word that questions and answers can have."""
    products, months = pools(facts)
    return (*products, *months, *"0123456789")


WORLD = puzzle_world(
    facets=("shape",),
    views=views,
    draw=draw,
    words=words_of,
    blocks=blocks,
    miss=miss,
    grade=grade,
    ask=ask,
    alternatives=alternatives,
    promises=promises,
    check=checked,
    check_asked=asked_problems,
)
