"""Strict parsers that several worlds use: what a model said becomes an answer, or nothing.

Strict on purpose: a lenient parser turns prose into letters ("The correct…" into C), which alone yields
chance accuracy in a choice. Words are whole words ("someone" is no one, "fountain" has no "on").
"""

import re
from collections.abc import Sequence
from fractions import Fraction

from text_to_num import alpha2digit

from mmrc_helpers.tasks.example import LETTERS

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/0*[1-9]\d*)?")
_ANSWER = re.compile(r"answer\s*:\s*(\S.*)", re.IGNORECASE)
_MARKUP = re.compile(r"\*\*|__|^#+\s*")  # bold and headings, in which models dress their last line
_BOXED = re.compile(r"\\boxed\s*\{")
_LETTERED = re.compile(rf"\(?([{LETTERS}])(?:\)[.:]?|[.:])?(?:\s+(.+?))?")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_NOUGHT = re.compile(r"\bno(?:ne| one)?\b")
_AMOUNT = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w%])")
_VERDICTS = {"true": True, "yes": True, "false": False, "no": False}
_NEGATIONS = {"not", "nor", "neither", "never", "without", "cannot"}

# --- the whole text is the answer ---------------------------------------------------------------------------


def letter(text: str, count: int) -> str | None:
    """One of the first `count` letters, alone or with a full stop."""
    said = text.strip().removesuffix(".")
    return said if len(said) == 1 and said in LETTERS[:count] else None


def verdict(text: str, verdicts: Sequence[str]) -> str | None:
    """One of the verdicts, alone or with a full stop."""
    said = text.strip().removesuffix(".")
    return said if said in verdicts else None


def number(text: str) -> Fraction | None:
    """The value of a text that is one number: 12, -3.5, 1,000 or 3/4, or that with a full stop."""
    said = text.strip().removesuffix(".").replace("−", "-")
    if not _NUMBER.fullmatch(said):
        return None
    whole, _, below = said.replace(",", "").partition("/")
    return Fraction(whole) / Fraction(below or 1)


def lettered(text: str, count: int) -> int | None:
    """The place of one of the first `count` letters, bare, in brackets, with a full stop or a colon."""
    match = _LETTERED.fullmatch(text.strip())
    place = LETTERS.index(match[1]) if match and match[2] is None else count
    return place if place < count else None


def option(text: str, options: Sequence[str]) -> int | None:
    """The place of the option that a text names by its letter ("C", "(C)", "C.", "C. left") or by its own
    words and nothing else; None for prose, and for a letter with the words of another option."""
    said, bare = text.strip(), [_plain(content) for content in options]
    if match := _LETTERED.fullmatch(said):
        place = LETTERS.index(match[1])
        fits = place < len(options) and (match[2] is None or _plain(match[2]) == bare[place])
        return place if fits else None
    return bare.index(_plain(said)) if bare.count(_plain(said)) == 1 else None


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[\w'-]+", text.lower()))


# --- the answer is marked in the text -----------------------------------------------------------------------


def answer_line(text: str) -> str | None:
    """What stands behind `Answer:` in the last line; None if that line says none or another line does too."""
    lines = [_MARKUP.sub("", line).strip() for line in text.strip().splitlines()]
    found = [match.group(1).strip() for line in lines if (match := _ANSWER.fullmatch(line))]
    return found[0] if len(found) == 1 and _ANSWER.fullmatch(lines[-1]) else None


def boxed(text: str) -> str | None:
    r"""What the last `\boxed{…}` holds, braces counted; None without one or if it never closes."""
    starts = list(_BOXED.finditer(text))
    if not starts:
        return None
    depth, first = 1, starts[-1].end()
    for place in range(first, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[first:place].strip()
    return None


# --- what a sentence claims; one that claims two things claims neither --------------------------------------


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return _WORD.findall(text.lower().replace("’", "'"))


def negated(text: str) -> bool:
    """Whether a word of the text denies something; a mere "no" is a verdict too, and does not count."""
    return any(word in _NEGATIONS or word.endswith("n't") for word in words(text))


def amounts(text: str) -> set[float]:
    """The numbers in a text, as digits or as English words; "none" and "no" are 0."""
    return {float(found.replace(",", "")) for found in _AMOUNT.findall(_in_digits(text))}


def is_amount(text: str) -> bool:
    """Whether a text is one number and nothing else, as digits or words; a full stop is allowed."""
    return bool(_AMOUNT.fullmatch(_in_digits(text.strip().removesuffix("."))))


def _in_digits(text: str) -> str:
    return alpha2digit(_NOUGHT.sub("zero", text.lower()), "en", threshold=0)


def claimed_verdicts(text: str) -> set[bool]:
    """The verdicts in a text: true or yes, false or no."""
    return {_VERDICTS[word] for word in words(text) if word in _VERDICTS}
