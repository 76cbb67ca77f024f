"""Which relation the things of a picture stand in, read from where they are: the judge of what `placing`
makes. A relation counts only by a margin, in which every other one of its list is clearly false.

Margins are shares of the picture's side unless said otherwise; a pixel is 0.016 of a picture of 64 pixels.
"""

import math
from collections.abc import Sequence

from mmrc_helpers.worlds.scenes.drawing import HOLES, RODS, Thing, covered_share, fall


def apart(one: Thing, other: Thing) -> float:
    """The gap between two things, taken as round."""
    return distance(one, other) - one.half - other.half


def distance(one: Thing, other: Thing) -> float:
    """From middle to middle."""
    return math.hypot(one.x - other.x, one.y - other.y)


def clear_of(one: Thing, other: Thing, gap: float) -> bool:
    """Whether the squares around two things are at least `gap` apart on one axis."""
    reach = one.half + other.half + gap
    return abs(one.x - other.x) >= reach or abs(one.y - other.y) >= reach


def direction(a: Thing, b: Thing) -> str:
    """left, right, above, below: one axis has to prevail 2½ times, by at least 0.28."""
    dx, dy = a.x - b.x, a.y - b.y
    if abs(dx) >= max(0.28, 2.5 * abs(dy)):
        return "left" if dx < 0 else "right"
    if abs(dy) >= max(0.28, 2.5 * abs(dx)):
        return "above" if dy < 0 else "below"
    return ""


def depth(a: Thing, b: Thing, a_is_later: bool) -> str:
    """in front of, behind: the nearer thing hides 12 to 45 % of the other, is at least 1.25 times as large
    and stands at least 0.03 lower."""
    front, back = (a, b) if a_is_later else (b, a)
    larger = front.half >= 1.25 * back.half
    lower = front.y + front.half >= back.y + back.half + 0.03
    if not (0.12 <= covered_share(back, front) <= 0.45 and larger and lower):
        return ""
    return "in front of" if a_is_later else "behind"


def support(a: Thing, b: Thing) -> str:
    """on, under: they touch (0.012 at most apart) and one stands over the middle of the other; next to: on
    one floor and 0.02 to 0.05 apart."""
    for name, upper, lower in (("on", a, b), ("under", b, a)):
        over = upper.y < lower.y and abs(upper.x - lower.x) <= 0.4 * min(upper.half, lower.half)
        if over and abs(fall(upper, lower)) <= 0.012:
            return name
    level = abs(a.y + a.half - b.y - b.half) <= 0.005
    return "next to" if level and 0.02 <= abs(a.x - b.x) - a.half - b.half <= 0.05 else ""


def enclosure(a: Thing, b: Thing) -> str:
    """inside: by 0.015 everywhere; outside: 0.05 away; through: both ends 0.05 beyond the far sides."""
    away, hole = distance(a, b), HOLES[b.shape] * b.half * (1.0 if b.shape == "ring" else 0.99)
    if away + a.half + 0.015 <= hole:
        return "inside"
    corner = b.half if b.shape == "ring" else 1.3 * b.half
    if away >= corner + a.half + 0.05:
        return "outside"
    through = a.shape in RODS and a.threaded and away <= 0.25 * b.half and a.half - away >= corner + 0.05
    return "through" if through else ""


def nearness(a: Thing, b: Thing) -> str:
    """near: a gap of 0.03 to 0.1; far from: at least 0.42."""
    gap = apart(a, b)
    return "near" if 0.03 <= gap <= 0.1 else "far from" if gap >= 0.42 else ""


def company(a: Thing, others: Sequence[Thing]) -> str:
    """between: in the middle of two; among: with four or more all around, none farther than 0.26 away; far
    from: 0.3 from all of them, and farther than they are from each other."""
    gaps = [apart(a, other) for other in others]
    if min(gaps) >= 0.3 and all(min(apart(o, p) for p in others if p is not o) <= 0.22 for o in others):
        return "far from"
    if len(others) == 2:
        middle_x, middle_y = (sum(o.x for o in others) / 2, sum(o.y for o in others) / 2)
        off = math.hypot(a.x - middle_x, a.y - middle_y)
        return "between" if off <= 0.05 and min(gaps) >= 0.02 else ""
    turns = sorted(math.atan2(o.y - a.y, o.x - a.x) for o in others)
    widest = max(
        (after - before) % (2 * math.pi) for before, after in zip(turns, turns[1:] + turns[:1], strict=True)
    )
    surrounded = widest <= math.radians(115) and 0.02 <= min(gaps) and max(gaps) <= 0.26
    return "among" if len(others) >= 4 and surrounded else ""


def size(a: Thing, b: Thing) -> str:
    """larger, smaller: at least 1.6 times as wide."""
    ratio = a.half / b.half
    return "larger" if ratio >= 1.6 else "smaller" if ratio <= 1 / 1.6 else ""


def separation(a: Thing, b: Thing, reference: Thing) -> str:
    """nearer, farther (than b from the reference): twice as far and 0.18 farther at least."""
    near, far = sorted((apart(a, reference), apart(b, reference)))
    if near < 0.02 or far < 2 * near or far - near < 0.18:
        return ""
    return "nearer" if apart(a, reference) == near else "farther"


def relation(kind: str, things: Sequence[Thing], a: int, others: Sequence[int]) -> str:
    """The relation of a scene of this kind from thing `a` to the others (places in the picture); "" where no
    one is clear. Of a separation the last of the others is the reference."""
    one, rest = things[a], [things[place] for place in others]
    if kind == "depth":
        return depth(one, rest[0], a > others[0])
    if kind == "company":
        return company(one, rest)
    if kind == "separation":
        return separation(one, rest[0], rest[1])
    measure = {
        "direction": direction,
        "support": support,
        "enclosure": enclosure,
        "distance": nearness,
        "size": size,
    }
    return measure[kind](one, rest[0])
