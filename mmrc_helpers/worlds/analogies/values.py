"""What a panel can show, and the 25 rules (kind of item, attribute, relation); 8 are held out for HARD.

A panel holds items of one kind: lines or shapes. Only the *set* of values of an attribute counts; which item
has which value does not, so a panel and its line of text say the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

Rule = tuple[str, str, str]  # kind, attribute, relation
Value = str | int | tuple[int, int]

AND, OR, XOR, PROGRESSION = RELATIONS = ("AND", "OR", "XOR", "Progression")
ATTRIBUTES = {"line": ("type", "color"), "shape": ("type", "color", "size", "quantity", "position")}
ITEM = {"line": ("type", "color"), "shape": ("type", "color", "size", "position")}  # an item's own values
PLACES = tuple(product(range(3), repeat=2))  # (row, column), counted from the top left
SHIFTS = ((0, 1), (1, 0), (1, 1))  # the steps of a progression of positions, modulo 3


# A number of shapes is one value, so the relations between sets say nothing about it.
RULES: tuple[Rule, ...] = tuple(
    (kind, attribute, relation)
    for kind, attributes in ATTRIBUTES.items()
    for attribute in attributes
    for relation in RELATIONS
    if attribute != "quantity" or relation == PROGRESSION
)
HELD_OUT: tuple[Rule, ...] = (  # two attributes of each relation; facts: arXiv 2501.02669
    ("line", "color", AND),
    ("shape", "color", AND),
    ("shape", "type", OR),
    ("shape", "position", OR),
    ("shape", "size", XOR),
    ("shape", "position", XOR),
    ("line", "color", PROGRESSION),
    ("shape", "type", PROGRESSION),
)
SIMPLE: tuple[Rule, ...] = tuple(rule for rule in RULES if rule not in HELD_OUT)


@dataclass(frozen=True)
class Panel:
    """kind: line or shape. items: of a line (type, color), of a shape (type, color, size, position)."""

    kind: str
    items: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True)
class Puzzle:
    """Two examples of three panels, a query of two, four options; `rules` are those of the examples,
    `option_rules` what each option makes of the query; `answer` counts from 0."""

    examples: tuple[tuple[Panel, ...], ...]
    query: tuple[Panel, ...]
    options: tuple[Panel, ...]
    rules: tuple[Rule, ...]
    option_rules: tuple[Rule, ...]
    answer: int

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All twelve panels in reading order."""
        return (*self.examples[0], *self.examples[1], *self.query, *self.options)


@dataclass(frozen=True)
class Room:
    """What panels may be made of: the values of each (kind, attribute), and the most items of each kind."""

    values: Mapping[tuple[str, str], tuple[Value, ...]]
    most: Mapping[str, int]


def room_of(facts: Mapping) -> Room:
    """The room that the section `facts` of a study leaves."""
    values = {
        ("line", "type"): tuple(facts["line_types"]),
        ("line", "color"): tuple(sorted(facts["line_colors"])),
        ("shape", "type"): tuple(facts["shape_types"]),
        ("shape", "color"): tuple(sorted(facts["shape_colors"])),
        ("shape", "size"): tuple(sorted(facts["shape_sizes"])),
        ("shape", "position"): PLACES,
    }
    return Room(values, {"line": facts["most_lines"], "shape": facts["most_shapes"]})


def values_of(panel: Panel, attribute: str) -> frozenset:
    """The set of values that the panel's items have."""
    if attribute == "quantity":
        return frozenset([len(panel.items)])
    place = ITEM[panel.kind].index(attribute)
    return frozenset(item[place] for item in panel.items)
