"""Reads the block that ends an answer and grades it: strictly, and beside that as prior work does."""

import re
from dataclasses import dataclass
from functools import cache

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import INVALID, Grade
from mmrc_helpers.worlds.analogies.values import ATTRIBUTES, RELATIONS, Rule
from mmrc_helpers.worlds.analogies.words import STYLES

_ANSWER = re.compile(r"(?:\A|\n)Answer: ([1-4])\Z")


@dataclass(frozen=True)
class Block:
    """The end of an answer, read: the rules of examples and options, the options said to be consistent and
    the one answered, both counted from 0."""

    rules: tuple[Rule, ...]
    option_rules: tuple[Rule, ...]
    consistent: tuple[int, ...]
    answer: int


def read_block(text: str, style: str) -> Block | None:
    """The block that ends the text, or None if it does not end in one, letter for letter."""
    found = _block_pattern(style).search(text)
    if not found:
        return None
    *said, answer = found.groups()
    rules = [(*name.split(" "), relation) for name, relation in (said[0:2], said[2:4])]
    options = [said[place : place + 3] for place in range(4, 16, 3)]
    option_rules = [(*name.split(" "), relation) for name, relation, _ in options]
    consistent = [n for n, (*_, verdict) in enumerate(options) if verdict == STYLES[style].verdicts[0]]
    return Block(tuple(rules), tuple(option_rules), tuple(consistent), int(answer) - 1)


def gold_block(example: Example) -> Block:
    """The block that is right. Raises UserError for an imported one that is of another form."""
    if gold := read_block(example.truth["block"], style_of(example)):
        return gold
    raise UserError(
        f"{example.id}: its answer is not the block of an analogy (two lines of examples, four of options, a "
        "blank one, Answer: and a number); correct the file that it was imported from"
    )


def style_of(example: Example) -> str:
    """The style of the example; imported ones are in full."""
    return example.truth.get("style", "full")


@cache
def _block_pattern(style: str) -> re.Pattern:
    """The form of a block. Groups: name and relation of two examples, these and a verdict of four options,
    the answer."""
    form, rule = STYLES[style], ("<kind>", "<attribute>", "<relation>")
    lines = [form.example_label.format(number, *rule) for number in (1, 2)]
    lines += [form.option_label.format(number, *rule, "<verdict>") for number in (1, 2, 3, 4)]
    pattern = re.escape("\n".join([*lines, form.answer.format("<answer>")]))
    names = [rf"{kind}\ {name}" for kind, attributes in ATTRIBUTES.items() for name in attributes]
    blanks = {
        "<kind>\\ <attribute>": names,
        "<relation>": RELATIONS,
        "<verdict>": form.verdicts,
        "<answer>": "1234",
    }
    for blank, choices in blanks.items():
        pattern = pattern.replace(blank, f"({'|'.join(choices)})")
    return re.compile(rf"(?:\A|\n){pattern}\Z")


def grade(example: Example, text: str) -> Grade:
    """An answer is right if it ends in the whole right block, labels included. Parts: option (its last line
    names the right option), block, examples and options (shares of the labels that are right), format (the
    block is whole, and one option is consistent: the answered one); transcription (share of the twelve panels
    that are written down rightly), where the view asks for one.

    An imported example keeps its block only, so it has no transcription."""
    text, style = text.strip(), style_of(example)
    gold, said = gold_block(example), read_block(text, style)
    last = _ANSWER.search(text)
    right = said == gold
    parts = {
        "option": float(bool(last) and int(last[1]) - 1 == gold.answer),
        "block": float(right),
        "examples": _agreement(said.rules, gold.rules) if said else 0.0,
        "options": _agreement(said.option_rules, gold.option_rules) if said else 0.0,
        "format": float(bool(said) and said.consistent == (said.answer,)),
    }
    if example.facets.get("view") == "image_via_text" and "text" in example.truth:
        parts["transcription"] = _transcribed(text, example.truth["text"], style)
    return Grade(last[1] if said else INVALID, right, parts)


def _agreement(said: tuple[Rule, ...], gold: tuple[Rule, ...]) -> float:
    return sum(a == b for a, b in zip(said, gold, strict=True)) / len(gold)


def _transcribed(text: str, gold: str, style: str) -> float:
    """The share of the panels of the gold text whose lines `text` has at the same places at its beginning."""
    form = STYLES[style]
    headings = {form.example.format(1), form.example.format(2), form.query, form.options}
    lines = gold.splitlines()
    said = [*text.splitlines()[: len(lines)], *[""] * len(lines)]
    panels = [number for number, line in enumerate(lines) if line not in headings]
    return sum(said[number].rstrip() == lines[number] for number in panels) / len(panels)


def legacy_right(example: Example, text: str) -> bool:
    """Whether prior work's scorer would call the answer right; for comparison with published numbers only.

    All that follows the last "Example 1:" equals the gold block, whatever stands before. Source: VLM_S2H.
    """
    return _legacy_block(text) == example.truth["block"].strip()


def legacy_option_right(example: Example, text: str) -> bool:
    """Prior work's partial score as it is meant: the last number of the answer is the right option, and of
    the lines of the options its line alone is consistent. For comparison only.

    There the extractor forgets the blank line before the answer, so it fails on every gold block, and then
    every answer on which it fails too counts as a match; this is not repeated here (facts §8).
    """
    said, gold = _option(_legacy_block(text)), _option(example.truth["block"])
    return said == gold != 0


def _legacy_block(text: str) -> str:
    mark = "Example 1:"
    return f"{mark} {text.split(mark)[-1].strip()}" if mark in text else ""


def _option(block: str) -> int:
    """The option of a block, from 1, read leniently; 0 if its lines contradict it."""
    numbers = re.findall(r"[0-9]+", block)
    verdicts = [line for line in block.splitlines() if line.startswith("Option ")][-4:]
    option = int(numbers[-1]) if numbers else 0
    fitting = [place for place, line in enumerate(verdicts, 1) if "not consistent" not in line]
    return option if len(verdicts) == 4 and fitting == [option] else 0
