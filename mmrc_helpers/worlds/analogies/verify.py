"""Solves a puzzle from its words alone, by other means than those that made it: the check of gold answers.

It reads words, knows no panels and no sets of the generator, and asks of every relation value by value
whether the three panels obey it. Used by promises and tests.
"""

import re

from mmrc_helpers.worlds.analogies.words import COLORS, POSITIONS, SIZES, block_text

LINES = {
    "full": re.compile(r"type: (?P<type>.+); color: (?P<color>.+)"),
    "terse": re.compile(r"(?P<type>[^,\d]+) , (?P<color>[^,]+)"),
}
SHAPES = {
    "full": re.compile(
        r"(?P<quantity>\d+) shapes?; type: (?P<type>.+); color: (?P<color>.+); size: (?P<size>.+); "
        r"position: (?P<position>.+)"
    ),
    "terse": re.compile(
        r"(?P<quantity>\d+) , (?P<type>[^,]+) , (?P<color>[^,]+) , (?P<size>[^,]+) , (?P<position>[^,]+)"
    ),
}
START = re.compile(r"(?:Panel|Option) \d: |\d : ")
HEADINGS = {"Example 1:", "Example 2:", "Query:", "Options:", "example", "query", "options"}


def solve(text: str, style: str) -> str:
    """The block that ends the right answer to a puzzle in words. Raises ValueError where the words are no
    puzzle, or a triple of panels follows no rule or more than one, or not exactly one option fits."""
    panels = [_read(START.sub("", line), style) for line in text.splitlines() if line not in HEADINGS]
    if len(panels) != 12:
        raise ValueError(f"{len(panels)} panels instead of 12")
    examples, query, options = (panels[:3], panels[3:6]), panels[6:8], panels[8:]
    rules = [_only_rule(*example) for example in examples]
    option_rules = [_only_rule(*query, option) for option in options]
    relation = {rule[2] for rule in rules}
    fitting = [place for place, rule in enumerate(option_rules) if {rule[2]} == relation]
    if len(fitting) != 1:
        raise ValueError(f"options {fitting} fit the examples {rules}")
    return block_text(rules, option_rules, fitting[0], style)


def _read(words: str, style: str) -> dict[str, list[str]]:
    """The values of a panel, as words, by kind and attribute."""
    shapes, lines = SHAPES[style].fullmatch(words), LINES[style].fullmatch(words)
    found = shapes or lines
    if not found:
        raise ValueError(f"not a panel: {words}")
    kind = "shape" if shapes else "line"
    return {
        f"{kind} {attribute}": re.findall(r"\(\d, \d\)|[\w-]+", values)
        for attribute, values in found.groupdict().items()
    }


def _only_rule(*panels: dict[str, list[str]]) -> tuple[str, str, str]:
    if len({frozenset(panel) for panel in panels}) != 1:
        raise ValueError("lines and shapes in one row")
    rules = [
        (*name.split(), relation)
        for name in panels[0]
        for relation, obeyed in TESTS.items()
        if obeyed(name.split()[1], *(panel[name] for panel in panels))
    ]
    if len(rules) != 1:
        raise ValueError(f"a row follows {rules or 'no rule'}")
    return rules[0]


def _memberships(a: list[str], b: list[str], c: list[str]) -> list[tuple[bool, bool, bool]]:
    return [(value in a, value in b, value in c) for value in {*a, *b, *c}]


def _is_and(attribute: str, a, b, c) -> bool:
    return attribute != "quantity" and all(z == (x and y) for x, y, z in _memberships(a, b, c)) and bool(c)


def _is_or(attribute: str, a, b, c) -> bool:
    return attribute != "quantity" and all(z == (x or y) for x, y, z in _memberships(a, b, c))


def _is_xor(attribute: str, a, b, c) -> bool:
    return attribute != "quantity" and all(z == (x != y) for x, y, z in _memberships(a, b, c)) and bool(c)


def _is_progression(attribute: str, a, b, c) -> bool:
    if attribute == "type":
        grows = [(x, y, z) for x, y, z in _memberships(a, b, c)]
        new_in_second = sum(y and not x for x, y, _ in grows)
        new_in_third = sum(z and not y for _, y, z in grows)
        kept = all((y or not x) and (z or not y) for x, y, z in grows)
        return kept and new_in_second >= 1 and new_in_third == 1
    if attribute == "position":
        places = [sorted(_row_and_column(place) for place in panel) for panel in (a, b, c)]
        return any(_moves(places[0], step) == places[1] and _moves(places[1], step) == places[2]
                   for step in ((0, 1), (1, 0), (1, 1)))  # fmt: skip
    if not len(a) == len(b) == len(c) == 1:
        return False
    first, second, third = (_number(panel[0]) for panel in (a, b, c))
    return first < second < third or first > second > third


def _number(word: str) -> int:
    """How far up a color, a size or a number of shapes is."""
    ranks = next((ranks for ranks in (COLORS, SIZES) if word in ranks), None)
    return ranks.index(word) if ranks else int(word)


def _row_and_column(word: str) -> tuple[int, int]:
    return divmod(POSITIONS.index(word), 3) if word in POSITIONS else (int(word[1]), int(word[4]))


def _moves(places: list[tuple[int, int]], step: tuple[int, int]) -> list[tuple[int, int]]:
    return sorted(((row + step[0]) % 3, (column + step[1]) % 3) for row, column in places)


TESTS = {"AND": _is_and, "OR": _is_or, "XOR": _is_xor, "Progression": _is_progression}
