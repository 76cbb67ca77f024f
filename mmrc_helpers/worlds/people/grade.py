"""Whether an answer is right. Evaluation and reward functions both call these; parsing is strict on purpose.

A lenient parser turns prose into letters ("The correct…" into C), which alone yields chance accuracy in a
choice.
"""

import re

from mmrc_helpers.tasks.records import LETTERS, VERDICTS, Example

INVALID = "invalid"
_NAME = re.compile(r"(?:This is )?((?!This is)[A-Z][\w'-]*(?: [A-Z][\w'-]*)+|the [a-z]+ of [A-Z][\w' -]*)\.?")
_WORDS = re.compile(r"([a-z][a-z-]*(?: [a-z-]+){0,4})\.?")


def parse(example: Example, text: str) -> str:
    """The answer found in a generated text, or "invalid".

    A choice must be one letter among those shown, a judgement one of `VERDICTS`, each with at most a full
    stop. A free answer must be a name (optionally after "This is") or, for an attribute, a few lower-case
    words.
    """
    text = text.strip()
    if example.format == "choice":
        letter = text.removesuffix(".")
        return letter if letter in LETTERS[: len(example.choices)] and len(letter) == 1 else INVALID
    if example.format == "judge":
        verdict = text.removesuffix(".")
        return verdict if verdict in VERDICTS else INVALID
    pattern = _NAME if example.direction == "forward" and example.topic == "identity" else _WORDS
    match = pattern.fullmatch(text)
    return match.group(1) if match else INVALID


def is_right(example: Example, text: str, target: str) -> bool:
    """Whether a generated text parses to the same answer as `target`; an invalid text is never right."""
    parsed = parse(example, text)
    return parsed != INVALID and parsed == parse(example, target)
