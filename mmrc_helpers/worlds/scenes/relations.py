"""The spatial relations: how they are said, what holds from the other side, what denies them, and between
which of them a question asks.

A question always lists the relations it asks between, because most pairs of objects stand in several ("left
of", but also "far from" and "outside"). Within one list exactly one is true by a margin.
"""

import re
from collections.abc import Iterable

from mmrc_helpers.tasks.parsing import words

# Relation → how it stands before an object.
PHRASES = {
    "left": "left of", "right": "right of", "above": "above", "below": "below",
    "in front of": "in front of", "behind": "behind", "on": "on", "under": "under", "next to": "next to",
    "inside": "inside", "outside": "outside", "through": "through", "around": "around", "near": "near",
    "far from": "far from", "between": "between", "among": "among",
    "larger": "larger than", "smaller": "smaller than", "nearer": "nearer to", "farther": "farther from",
}  # fmt: skip

# What holds from B to A when this holds from A to B. No single word says what B and C are to A between them.
CONVERSES = {
    "left": "right", "right": "left", "above": "below", "below": "above",
    "in front of": "behind", "behind": "in front of", "on": "under", "under": "on", "next to": "next to",
    "inside": "around", "through": "around", "among": "around", "outside": "outside", "near": "near",
    "far from": "far from", "between": "",
    "larger": "smaller", "smaller": "larger", "nearer": "farther", "farther": "nearer",
}  # fmt: skip

# Kinds of scene → the relations that a question about one asks between.
OPTIONS = {
    "direction": ("left", "right", "above", "below"),
    "depth": ("in front of", "behind"),
    "support": ("on", "under", "next to"),
    "enclosure": ("inside", "outside", "through"),
    "distance": ("near", "far from"),
    "company": ("between", "among", "far from"),
    "size": ("larger", "smaller"),
    "separation": ("nearer", "farther"),
}
# … and about the same scene from the other side, where that is not the same list.
CONVERSE_OPTIONS = {"enclosure": ("around", "outside"), "company": ("around", "far from")}
COMPARISONS = ("size", "separation")

_OPPOSED = (
    ("left", "right"), ("above", "below"), ("in front of", "behind"), ("on", "under"), ("above", "under"),
    ("on", "below"), ("inside", "outside"), ("through", "outside"), ("around", "outside"),
    ("near", "far from"), ("next to", "far from"), ("between", "far from"), ("among", "far from"),
    ("around", "far from"), ("larger", "smaller"), ("nearer", "farther"),
)  # fmt: skip
# Each mostly goes with the other, so that one for the other is half right.
_KIN = (("on", "above"), ("under", "below"), ("next to", "near"))

# How each is said; of two ways that begin alike the longer stands first. "" is said but claims none of them.
_SIDE = r"(?:(?:on|to|at|towards?|from) (?:the |its )?)?{}(?: hand)?(?: side)?(?: of)?"
_SAID = (
    ("", r"in the (?:middle|cent(?:er|re)|picture|image|scene)(?: of)?|on (?:both|all) sides(?: of)?"),
    ("", r"surrounded by|right(?= (?:next|behind|in|on|under|beside|inside|outside)\b)"),
    ("left", _SIDE.format("left")),
    ("right", _SIDE.format("right")),
    ("in front of", r"(?:in|at|on|to) (?:the )?front(?: of)?"),
    ("behind", r"behind|(?:in|at) (?:the )?back of"),
    ("outside", r"(?:on )?(?:the )?outside(?: of)?|out of"),
    ("inside", r"(?:on )?(?:the )?inside(?: of)?|within|into|enclosed by|contained (?:in|by)"),
    ("on", r"on top(?: of)?|on|atop|upon|onto"),
    ("next to", r"next to|besides?|alongside|adjacent to|side by side(?: with)?"),
    ("under", r"under(?:neath)?|beneath"),
    ("below", r"below|lower than"),
    ("above", r"above|over|higher than"),
    ("near", r"near(?:by)?(?: to)?|close(?: to| by)?"),
    ("far from", r"(?:far|distant|away)(?: away)?(?: from)?"),
    ("between", r"(?:in )?between"),
    ("among", r"among(?:st)?|amid(?:st)?"),
    ("around", r"around|surround(?:s|ing)?|encircl(?:e|es|ing)|enclos(?:e|es|ing)"),
    ("through", r"through"),
    ("larger", r"(?:larger|bigger|greater)(?: than)?"),
    ("smaller", r"(?:smaller|tinier|littler)(?: than)?"),
    ("nearer", r"(?:nearer|closer)(?: to)?"),
    ("farther", r"(?:farther|further)(?: away)?(?: from)?"),
    ("inside", r"in"),
)  # fmt: skip
_ANY = re.compile("|".join(rf"\b({pattern})\b" for _, pattern in _SAID))


def options(kind: str, converse: bool = False) -> tuple[str, ...]:
    """The relations that a question about a scene of this kind asks between, in canonical order."""
    return CONVERSE_OPTIONS.get(kind, OPTIONS[kind]) if converse else OPTIONS[kind]


def claimed(text: str) -> list[tuple[str, int]]:
    """The relations that a text claims, by whole words and with synonyms mapped, each with the place of the
    word at which it is said."""
    plain = " ".join(words(text))
    found = ((_SAID[match.lastindex - 1][0], match.start()) for match in _ANY.finditer(plain))
    return [(relation, plain[:start].count(" ")) for relation, start in found if relation]


def opposed(one: str, other: str) -> bool:
    """Whether two relations deny each other."""
    return (one, other) in _OPPOSED or (other, one) in _OPPOSED


def credit(found: Iterable[str], gold: str) -> float:
    """What claiming these relations is worth where `gold` holds: 1 for it alone, its share where others are
    claimed too, ½ for one that mostly goes with it, ¼ for another one, and 0 for none of them or when its
    opposite is claimed."""
    found = set(found)
    if not found or any(opposed(relation, gold) for relation in found):
        return 0.0
    if gold in found:
        return 1 / len(found)
    kin = len(found) == 1 and any(
        found == {pair[0]} and gold == pair[1] or found == {pair[1]} and gold == pair[0] for pair in _KIN
    )
    return 0.5 if kin else 0.25 / len(found)
