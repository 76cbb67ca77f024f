"""Answers that an answer is compared with: a near miss of one piece, the right form without content."""

import random
import re
from collections.abc import Mapping

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds.analogies.grading import Block, gold_block, style_of
from mmrc_helpers.worlds.analogies.values import RULES
from mmrc_helpers.worlds.analogies.words import STYLES, Style, block_text, blocks
from mmrc_helpers.worlds.puzzles.asking import reordered


def miss(example: Example, rng: random.Random) -> str:
    """The answer of someone who takes a wrong option's relation for that of the examples and keeps to it.
    It has as much reasoning as the example's own answer."""
    style, gold = style_of(example), gold_block(example)
    place = rng.choice([place for place in range(4) if place != gold.answer])
    relation = gold.option_rules[place][2]
    transcription, reasoning, _ = blocks(example.answer)
    rules = [(kind, attribute, relation) for kind, attribute, _ in gold.rules]
    said = "".join(_misled(line, gold, place, STYLES[style]) for line in reasoning.splitlines(keepends=True))
    return transcription + said + block_text(rules, gold.option_rules, place, style)


def _misled(line: str, gold: Block, place: int, form: Style) -> str:
    """A line of the reasoning after the option at `place` instead of the right one."""
    right, wrong = gold.rules[0][2], gold.option_rules[place][2]
    if line.rstrip("\n") == form.conclusion.format(right):
        return form.conclusion.format(wrong) + "\n"
    for number, (_, attribute, relation) in enumerate(gold.option_rules):
        start, end = form.weighed.format(number + 1, attribute, "\0", relation, "\0").split("\0")[:2]
        if line.startswith(start) and end in line:
            return line[: line.rindex(end)] + end + ("yes" if number == place else "no") + "\n"
    if line.rstrip("\n").endswith(form.found.format(right)):
        return line[: line.rindex(right)] + wrong + "\n"
    return line


def alternatives(example: Example, data: object) -> Mapping[str, str]:
    """right; wrong: the near miss; format_only: the same lines with random rules and a random option; random:
    the words of the right answer in random order."""
    rng = random.Random(f"alternatives/{example.id}")
    style = style_of(example)
    transcription, reasoning, _ = blocks(example.answer)
    block = block_text(rng.choices(RULES, k=2), rng.choices(RULES, k=4), rng.randrange(4), style)
    said = re.sub("AND|OR|XOR|Progression", lambda _: rng.choice(RULES)[2], reasoning)
    return {
        "right": example.answer,
        "wrong": miss(example, rng),
        "format_only": transcription + said + block,
        "random": reordered(example.answer, rng),
    }
