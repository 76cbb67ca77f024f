"""Whether an answer about people is right. Parsing is strict on purpose: a lenient parser turns prose into
letters ("The correct…" into C), which alone yields chance accuracy in a choice."""

import re

from mmrc_helpers.tasks.example import LETTERS, Example, answer_of
from mmrc_helpers.tasks.parsing import letter, verdict
from mmrc_helpers.worlds import INVALID, Grade
from mmrc_helpers.worlds.people.forms import VERDICTS

_NAME = re.compile(r"(?:This is )?((?!This is)[A-Z][\w'-]*(?: [A-Z][\w'-]*)+|the [a-z]+ of [A-Z][\w' -]*)\.?")
_WORDS = re.compile(r"([a-z][a-z-]*(?: [a-z-]+){0,4})\.?")
ANY_WORDS = 8  # of a name or value that a user gives, at most
_ANY = re.compile(rf"(?:This is )?((?!This is )(?:\S+ ){{0,{ANY_WORDS - 1}}}\S+?)\.?")


def grade(example: Example, text: str) -> Grade:
    """Right when the text parses to the same answer as the example's own; an invalid text is never right."""
    found = parse(example, text)
    right = found != INVALID and found == parse(example, answer_of(example))
    return Grade(found, right, {"answer": float(right), "format": float(found != INVALID)})


def parse(example: Example, text: str) -> str:
    """The answer found in a generated text, or "invalid".

    A choice must be one letter among those shown, a judgement one of `VERDICTS`, each with at most a full
    stop. A free answer must be a name (optionally after "This is") or, for an attribute, a few lower-case
    words; where names and values are a user's own, a few words of any kind.
    """
    text, facets = text.strip(), example.facets
    if facets["format"] == "choice":
        return letter(text, len(example.options)) or INVALID
    if facets["format"] == "judge":
        return verdict(text, VERDICTS) or INVALID
    names = facets["direction"] == "forward" and facets["topic"] == "identity"
    if example.truth.get("any_words"):
        return _any(text, example.answer)
    match = (_NAME if names else _WORDS).fullmatch(text)
    return match.group(1) if match else INVALID


def can_tell(name: str) -> bool:
    """Whether a name that a user gives is found in the right answer to who is shown."""
    answer = f"This is {name}."
    return _any(answer, answer) == name


def _any(text: str, answer: str) -> str:
    """A few words of any kind, but no letter and no verdict: those belong to another format, unless the right
    answer is one."""
    said, right = (match.group(1) if (match := _ANY.fullmatch(of)) else "" for of in (text, answer))
    return said if said and (said == right or said not in (*VERDICTS, *LETTERS)) else INVALID
