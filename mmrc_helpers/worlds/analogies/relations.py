"""When a relation holds between the value sets of three panels, and which sets can come third."""

from collections.abc import Iterable

from mmrc_helpers.worlds.analogies.values import (
    AND,
    ATTRIBUTES,
    OR,
    PROGRESSION,
    RELATIONS,
    SHIFTS,
    XOR,
    Panel,
    Rule,
    values_of,
)


def thirds(attribute: str, relation: str, first: frozenset, second: frozenset, values: Iterable) -> list:
    """All sets that complete the relation after the first two. values: all that the attribute can have, in
    ascending order; they matter to a progression only."""
    if relation == PROGRESSION:
        return _continuations(attribute, first, second, values)
    if attribute == "quantity":
        return []
    third = {AND: first & second, OR: first | second, XOR: first ^ second}[relation]
    return [third] if third else []


def holds(attribute: str, relation: str, first: frozenset, second: frozenset, third: frozenset) -> bool:
    """Whether the relation holds; with the third set at hand no other values matter."""
    return third in thirds(attribute, relation, first, second, third)


def holding(attribute: str, first: frozenset, second: frozenset, third: frozenset) -> list[str]:
    """The relations that hold between three sets of values of one attribute."""
    return [relation for relation in RELATIONS if holds(attribute, relation, first, second, third)]


def rules_of(panels: tuple[Panel, Panel, Panel]) -> list[Rule]:
    """All rules that three panels of one kind follow."""
    kind = panels[0].kind
    return [
        (kind, attribute, relation)
        for attribute in ATTRIBUTES[kind]
        for relation in holding(attribute, *(values_of(panel, attribute) for panel in panels))
    ]


def shifted(places: frozenset, shift: tuple[int, int]) -> frozenset:
    """The places one step further, modulo 3."""
    return frozenset(((row + shift[0]) % 3, (column + shift[1]) % 3) for row, column in places)


def _continuations(attribute: str, first: frozenset, second: frozenset, values: Iterable) -> list[frozenset]:
    """Types: each panel has all before and one or more new, the last exactly one. Positions: all move by the
    same step. Colors, sizes and quantities: single values that only rise or only fall."""
    if attribute == "type":
        return [second | {new} for new in values if new not in second] if first < second else []
    if attribute == "position":
        steps = [step for step in SHIFTS if shifted(first, step) == second]
        return [shifted(second, step) for step in steps]
    if len(first) != 1 or len(second) != 1:
        return []
    (a,), (b,) = first, second
    return [frozenset([c]) for c in values if a < b < c or a > b > c]
