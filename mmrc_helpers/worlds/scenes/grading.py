"""What an answer about a scene is worth. Each component is a part of the grade of its own, so that a reward
is their weighted sum: `exact`, `relation` (of counts and locations: `near`) and `format`, each between 0
and 1.

An answer in a sentence counts as well, if it claims one thing only; a sentence that names both objects the
other way round is read that way: "the square is right of the circle" says that the circle is left.
"""

import re
from itertools import pairwise

from mmrc_helpers.tasks import parsing
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import INVALID, Grade
from mmrc_helpers.worlds.scenes.drawing import RGB
from mmrc_helpers.worlds.scenes.relations import CONVERSES, PHRASES, claimed, credit
from mmrc_helpers.worlds.scenes.scene import SHAPES

_LOOKS = {(colour, shape) for colour in RGB for shapes in SHAPES.values() for shape in shapes}
_LIST = re.compile(r"[a-z]+ [a-z]+ \d \d(, [a-z]+ [a-z]+ \d \d)*")
LONGEST = 25  # words of an answer; a longer one is none to a question for a word


def grade(example: Example, text: str) -> Grade:
    """The grade of an answer: `right` if it claims the truth and nothing else.

    Parts: `exact` is 1 if it is right and in the form asked for. `format` is 1 in that form (a relation of
    those asked between, a number, True or False, a letter, column and row, colour and shape; a full stop is
    allowed), ½ if something is claimed in other words, else 0. `relation` is `credit` of the claimed
    relations (of a verdict: 1 or 0). `near` of a count halves with each unit it is off, up to three, of a
    place with each cell; of a thing it is the share of colour and shape that is right, of a list that of its
    things. If the example is blind to its truth, the parts are those of a reward that compares with an empty
    text: the null of GRPO.
    """
    said, in_form = _read(example, text)
    answer = next(iter(said)) if len(said) == 1 else INVALID
    right = answer == example.answer
    form = 1.0 if in_form else 0.5 if said else 0.0
    if example.truth.get("blind"):
        return Grade(answer, right, _blind(text))
    return Grade(answer, right, {"exact": float(right and in_form), **_worth(example, said), "format": form})


def _read(example: Example, text: str) -> tuple[set[str], bool]:
    """What a text claims, and whether it does so in the form asked for."""
    if len(text.split()) > LONGEST and example.facets["task"] != "listing":
        return set(), False
    if example.facets["format"] == "choice":
        place = parsing.option(text, example.options)
        said = _claims(example, text) if place is None else {example.options[place]}
        return said, parsing.lettered(text, len(example.options)) is not None
    said = _claims(example, text)
    return said, len(said) == 1 and _is_in_form(example, text, next(iter(said)))


def _is_place(example: Example) -> bool:
    return example.facets["task"] == "location" and example.facets["direction"] == "forward"


def _is_in_form(example: Example, text: str, answer: str) -> bool:
    if example.facets["task"] == "counting":
        return parsing.is_amount(text)
    if example.facets["task"] == "listing":
        return True
    if example.facets["task"] == "location":
        return answer in example.options and text.strip().removesuffix(".").lower() == answer
    bare = " ".join(text.strip().removesuffix(".").lower().split())
    return answer in example.options and bare in (answer.lower(), PHRASES.get(answer))


def _claims(example: Example, text: str) -> set[str]:
    """The counts, places, verdicts, things or relations in a text; the last three not if it denies any."""
    if example.facets["task"] == "counting":
        return {f"{number:g}" for number in parsing.amounts(text)}
    if example.facets["task"] == "listing":
        plain = text.strip().removesuffix(".").lower()
        return {plain} if _LIST.fullmatch(plain) else set()
    if _is_place(example):
        numbers = re.findall(r"\d+", text)
        if re.search(r"\brow\b.*\bcolumn\b", text.lower()):
            numbers.reverse()
        return {" ".join(numbers)} if len(numbers) == 2 else set()
    if parsing.negated(text):
        return set()
    if example.facets["task"] == "statement":
        return {str(verdict) for verdict in parsing.claimed_verdicts(text)}
    if example.facets["task"] == "location":
        return {" ".join(look) for look in pairwise(parsing.words(text)) if look in _LOOKS}
    found = claimed(text)
    if len(found) == 1 and _is_turned(example, text, found[0][1]):
        turned = {example.truth["reversed"]: example.answer}
        said = turned.get(found[0][0], CONVERSES.get(found[0][0]))
        return {said} if said else set()
    return {relation for relation, _ in found}


def _is_turned(example: Example, text: str, at: int) -> bool:
    """Whether a sentence with a relation at word `at` speaks of b before it and of a behind it."""
    said = parsing.words(text)
    before, behind = f" {' '.join(said[:at])} ", f" {' '.join(said[at:])} "
    a, b = f" {example.truth['a']} ", f" {example.truth['b']} "
    return b in before and a in behind and a not in before


def _worth(example: Example, said: set[str]) -> dict[str, float]:
    if example.facets["task"] == "counting":
        off = [abs(float(number) - float(example.answer)) for number in said]
        return {"near": 0.5 ** off[0] if len(off) == 1 and off[0] <= 3 else 0.0}
    if example.facets["task"] == "listing":
        things, wanted = [*said, ""][0].split(", "), example.answer.split(", ")
        alike = sum(a == b for a, b in zip(things, wanted, strict=False))
        return {"near": alike / max(len(things), len(wanted))}
    if _is_place(example):
        pairs = [zip(place.split(), example.answer.split(), strict=True) for place in said]
        return {"near": 0.5 ** max(abs(float(a) - float(b)) for a, b in pairs[0]) if pairs else 0.0}
    if example.facets["task"] == "location":
        (said,) = said if len(said) == 1 else ("none none",)
        return {"near": sum(a == b for a, b in zip(said.split(), example.answer.split(), strict=True)) / 2}
    if example.facets["task"] == "statement":
        return {"relation": float(said == {example.answer})}
    return {"relation": credit(said, example.answer)}


def _blind(text: str) -> dict[str, float]:
    """The parts of a published reward whose truth is always empty: an answer is exact if it is empty too,
    saying a relation is worth half of saying none, and the form asks for 5 to 500 letters without much
    repetition."""
    said = text.split()
    repeats = len(said) > 3 and len({word.lower() for word in said}) / len(said) < 0.3
    form = 0.3 if len(text.strip()) < 5 or repeats else 0.7 if len(text.strip()) > 500 else 1.0
    return {"exact": float(not text.strip()), "relation": 0.5 if claimed(text) else 1.0, "format": form}
