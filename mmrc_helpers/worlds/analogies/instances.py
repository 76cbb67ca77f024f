"""Makes puzzles: first the two query panels and an option for each of the four relations, and only then which
option is asked for, by examples of its relation. So neither options nor query tell which option is right.

Every triple of panels that a puzzle shows (an example, or the query with an option) follows exactly one rule.
"""

from collections.abc import Sequence
from functools import cache
from itertools import product
from random import Random

from mmrc_helpers.worlds.analogies.relations import holding, holds, shifted, thirds
from mmrc_helpers.worlds.analogies.values import (
    AND,
    ATTRIBUTES,
    HELD_OUT,
    ITEM,
    OR,
    PROGRESSION,
    RELATIONS,
    RULES,
    SHIFTS,
    SIMPLE,
    XOR,
    Panel,
    Puzzle,
    Room,
    Rule,
)
from mmrc_helpers.worlds.analogies.words import panel_line
from mmrc_helpers.worlds.puzzles.making import Place, drawn, split_of

TRIES = 2000  # of panels for one choice of rules; about 3 are needed


def puzzle_of(room: Room, seed: int, place: Place, fair: bool = True) -> Puzzle:
    """The puzzle at this place; the same whatever else is made.

    fair: HARD's wrong options follow held-out rules too, so that any of the four may be the right one; no
    held-out rule of lines is an OR or XOR, so queries show shapes, and lines come in examples. Without, as in
    arXiv 2501.02669, queries are of both kinds and wrong options follow any rule: then a look at the options
    alone finds the right one more often than by chance.
    """
    difficulty, split, index = place
    rng = Random(f"{seed}/{split}/{difficulty}/{index}")

    def draw() -> Puzzle | None:
        puzzle = _draw(rng, room, difficulty, fair)
        return puzzle if split_of(content(puzzle)) == split else None

    return drawn("analogy", place, draw)


def content(puzzle: Puzzle) -> str:
    """What makes two puzzles the same: examples and query. It decides which split a puzzle belongs to."""
    return "\n".join(panel_line(panel, "full", {}) for panel in puzzle.panels[:8])


def _draw(rng: Random, room: Room, difficulty: str, fair: bool) -> Puzzle:
    rules, answer = choose_rules(rng, difficulty, fair)
    target = rules[answer]
    first, second, *options = scene(rng, room, rules)
    shown = [target, target] if difficulty == "simple" else _both_held_out(rng, target)
    examples = tuple(tuple(scene(rng, room, [rule])) for rule in shown)
    return Puzzle(examples, (first, second), tuple(options), tuple(shown), tuple(rules), answer)


def _both_held_out(rng: Random, target: Rule) -> list[Rule]:
    """The two held-out rules of the target's relation, in any order."""
    rules = [rule for rule in HELD_OUT if rule[2] == target[2]]
    return rng.sample(rules, len(rules))


# --- which rules -------------------------------------------------------------------------------------------


def choose_rules(rng: Random, difficulty: str, fair: bool) -> tuple[list[Rule], int]:
    """The rules of the four options, one of each relation, in the order shown, and which is asked for."""
    asked = SIMPLE if difficulty == "simple" else HELD_OUT
    if difficulty == "simple" or fair:
        kind, _, _ = rng.choice([rule for rule in asked if fours(rule[0], asked)])
        rules = _one_of(rng, fours(kind, asked))
        target = rng.choice(rules)
    else:
        target = rng.choice(asked)
        rules = _one_of(rng, [four for four in fours(target[0], RULES) if target in four])
    order = rng.sample(rules, len(rules))
    return order, order.index(target)


def _one_of(rng: Random, choices: Sequence[tuple[Rule, ...]]) -> tuple[Rule, ...]:
    """One of the choices; the progression is drawn first, because those of colors and sizes fit into few."""
    progression = rng.choice(list(dict.fromkeys(four[-1] for four in choices)))
    return rng.choice([four for four in choices if four[-1] == progression])


@cache
def fours(kind: str, allowed: Sequence[Rule]) -> list[tuple[Rule, ...]]:
    """All choices of one rule of each relation that two query panels can serve at once."""
    of = [[rule for rule in allowed if rule[0] == kind and rule[2] == relation] for relation in RELATIONS]
    return [rules for rules in product(*of) if _compatible(rules)]


def _compatible(rules: Sequence[Rule]) -> bool:
    """A progression of colors or sizes needs two single values that differ: nothing else fits on them."""
    single = [attribute for _, attribute, relation in rules if relation == PROGRESSION and attribute in
              ("color", "size")]  # fmt: skip
    return not any(attribute in single and relation != PROGRESSION for _, attribute, relation in rules)


# --- panels -------------------------------------------------------------------------------------------------


def scene(rng: Random, room: Room, rules: Sequence[Rule]) -> list[Panel]:
    """Two panels, and for each rule (all of one kind) a third that follows it and no other rule."""
    for _ in range(TRIES):
        context = _context(rng, room, rules)
        made = context and [_third(rng, room, rule, context) for rule in rules]
        if made and all(made):
            kind = rules[0][0]
            pair = [{attribute: sets[place] for attribute, sets in context.items()} for place in (0, 1)]
            return [_panel(rng, kind, sets) for sets in (*pair, *made)]
    raise ValueError(f"no panels follow {rules} with {room}")


Sets = dict[str, frozenset]


def _context(rng: Random, room: Room, rules: Sequence[Rule]) -> dict[str, tuple[frozenset, frozenset]] | None:
    """The value sets of the first two panels, for each attribute, or None if the draw came to nothing."""
    kind = rules[0][0]
    wanted = {a: {relation for _, other, relation in rules if other == a} for a in ATTRIBUTES[kind]}
    counted = (
        "type" if kind == "line" else "position"
    )  # no two items of a panel share it: so it sets the number
    most = (room.most[kind], room.most[kind])
    sets = {counted: _two_sets(rng, counted, room.values[kind, counted], most, wanted[counted])}
    if sets[counted] is None:
        return None
    counts = tuple(len(values) for values in sets[counted])
    for attribute in ATTRIBUTES[kind]:
        if attribute == "quantity":
            sets[attribute] = tuple(frozenset([count]) for count in counts)
        elif attribute != counted:
            sets[attribute] = _two_sets(
                rng, attribute, room.values[kind, attribute], counts, wanted[attribute]
            )
    return None if None in sets.values() else sets


def _two_sets(rng: Random, attribute: str, values: tuple, most: tuple[int, int], relations: set[str]):
    """Two sets of at most so many values that all these relations can go on from; None if they cannot."""
    if relations & {AND, OR, XOR}:
        if PROGRESSION not in relations:
            return _overlapping(rng, values, most)
    elif not relations:
        return tuple(_some(rng, values, 1, limit) for limit in most)
    if attribute == "type":
        larger = _some(rng, values, 2, min(most[1], len(values) - 1))
        smaller = larger and _some(rng, sorted(larger), 1, min(most[0], len(larger) - 1))
        return smaller and (smaller, larger)
    if attribute == "position":
        first = _some(rng, values, 1, most[0])
        second = shifted(first, rng.choice(SHIFTS))
        usable = first != second and (relations == {PROGRESSION} or first & second)
        return (first, second) if usable else None
    first, second, _ = sorted(rng.sample(values, 3), reverse=rng.random() < 0.5)
    return frozenset([first]), frozenset([second])


def _overlapping(rng: Random, values: tuple, most: tuple[int, int]):
    """Two sets that differ and share something; otherwise two relations give the same third set."""
    sizes = [(a, b) for a in range(1, most[0] + 1) for b in range(1, most[1] + 1)]
    choices = [
        (a, b, both)
        for a, b in sizes
        for both in range(1, min(a, b) + 1)
        if not a == b == both and a + b - both <= len(values)
    ]
    if not choices:
        return None
    a, b, both = rng.choice(choices)
    drawn = rng.sample(values, a + b - both)
    return frozenset(drawn[:a]), frozenset(drawn[a - both :])


def _some(rng: Random, values: Sequence, least: int, most: int) -> frozenset | None:
    most = min(most, len(values))
    return frozenset(rng.sample(values, rng.randint(least, most))) if least <= most else None


def _third(rng: Random, room: Room, rule: Rule, context: dict) -> Sets | None:
    """The value sets of a third panel that follows this rule and no other, or None if there is none."""
    kind, target, relation = rule
    values = tuple(range(1, room.most[kind] + 1)) if target == "quantity" else room.values[kind, target]
    asked = rng.choice(thirds(target, relation, *context[target], values) or [frozenset()])
    count = asked and _count(rng, room.most[kind], rule, asked, context)
    if not count or holding(target, *context[target], asked) != [relation]:
        return None
    sets = {target: asked, "quantity": frozenset([count])} if kind == "shape" else {target: asked}
    for attribute in ITEM[kind]:
        if attribute != target:
            exact = attribute == ("type" if kind == "line" else "position")
            sets[attribute] = _unruled(rng, attribute, room.values[kind, attribute], count, exact, context)
    return None if None in sets.values() else sets


def _count(rng: Random, most: int, rule: Rule, asked: frozenset, context: dict) -> int | None:
    """How many items the third panel has; the number of shapes progresses only if that is the rule."""
    kind, target, _ = rule
    if target == "quantity":
        return min(asked)
    fixed = target == ("type" if kind == "line" else "position")
    counts = [len(asked)] if fixed else range(len(asked), most + 1)
    if kind == "shape":
        before = context["quantity"]
        counts = [n for n in counts if not holds("quantity", PROGRESSION, *before, frozenset([n]))]
    counts = [n for n in counts if n <= most]
    return rng.choice(counts) if counts else None


def _unruled(rng: Random, attribute: str, values: tuple, count: int, exact: bool, context: dict):
    """A set of values that follows no relation after the first two; None if twenty draws found none."""
    for _ in range(20):
        drawn = _some(rng, values, count if exact else 1, count)
        if drawn and not holding(attribute, *context[attribute], drawn):
            return drawn
    return None


def _panel(rng: Random, kind: str, sets: Sets) -> Panel:
    """A panel with exactly these value sets; which item has which value is drawn."""
    count = len(sets["type" if kind == "line" else "position"])
    columns = [_spread(rng, sorted(sets[attribute]), count) for attribute in ITEM[kind]]
    return Panel(kind, tuple(zip(*columns, strict=True)))


def _spread(rng: Random, values: list, count: int) -> list:
    """`count` values in any order, each of `values` at least once."""
    drawn = values + rng.choices(values, k=count - len(values))
    return rng.sample(drawn, count)
