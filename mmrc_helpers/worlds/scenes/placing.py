"""Where the things of a scene go. Each function proposes two *shots* of the same things in which another
relation holds from A to B, often by changing places; `scene.py` keeps them only if `measuring` agrees.

A shot is (things, place of A, places of the others); things come in the order in which they are drawn.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from mmrc_helpers.worlds.scenes.drawing import RODS, Thing, fall
from mmrc_helpers.worlds.scenes.measuring import clear_of

Look = tuple[str, str]
Shot = tuple[tuple[Thing, ...], int, tuple[int, ...]]


def direction(rng: random.Random, a: Look, b: Look, _: Look) -> tuple[Shot, Shot]:
    """Along one axis, with some offset on the other; then with places changed."""
    along, across = rng.uniform(0.3, 0.6), rng.uniform(-0.2, 0.2)
    start, level = rng.uniform(0.13, 0.87 - along), rng.uniform(0.13, 0.87)
    ends = [(start, level), (start + along, level + across)]
    return _both_ways(a, b, _sizes(rng, 0.085, 0.115), _turned(rng, ends))


def depth(rng: random.Random, a: Look, b: Look, _: Look) -> tuple[Shot, Shot]:
    """One partly behind the other on a floor; then with places changed."""
    back_half = rng.uniform(0.1, 0.125)
    front_half = back_half * rng.uniform(1.28, 1.5)
    front_floor = rng.uniform(0.7, 0.92)
    back_floor = front_floor - rng.uniform(0.04, 0.12)
    x = rng.uniform(0.2, 0.8)
    aside = rng.choice((-1, 1)) * rng.uniform(0.7, 1.9) * back_half
    shots = []
    for back_look, front_look, front_is_a in ((b, a, True), (a, b, False)):
        back = Thing(*back_look, x + aside, back_floor - back_half, back_half)
        front = Thing(*front_look, x, front_floor - front_half, front_half)
        shots.append(((back, front), int(front_is_a), (int(not front_is_a),)))
    return shots[0], shots[1]


def piled(rng: random.Random, a: Look, b: Look, _: Look) -> tuple[Shot, Shot]:
    """A on B, and B on A."""
    return _on(*_stand(rng), a, b), _under(*_stand(rng), a, b)


def beside_or_on(rng: random.Random, a: Look, b: Look, _: Look) -> tuple[Shot, Shot]:
    """A next to B on a floor, and on it."""
    return _next_to(rng, *_stand(rng), a, b), _on(*_stand(rng), a, b)


def beside_or_under(rng: random.Random, a: Look, b: Look, _: Look) -> tuple[Shot, Shot]:
    """A next to B on a floor, and under it."""
    return _next_to(rng, *_stand(rng), a, b), _under(*_stand(rng), a, b)


def _stand(rng: random.Random) -> tuple[float, float, float, tuple[float, float]]:
    """Where a pile stands, how far its upper thing is off the middle, its floor and both sizes."""
    return rng.uniform(0.2, 0.8), rng.uniform(-0.02, 0.02), rng.uniform(0.72, 0.92), _sizes(rng, 0.09, 0.12)


def _on(x: float, shift: float, floor: float, halves: Sequence[float], a: Look, b: Look) -> Shot:
    return _pile(b, a, halves, x, shift, floor), 1, (0,)


def _under(x: float, shift: float, floor: float, halves: Sequence[float], a: Look, b: Look) -> Shot:
    return _pile(a, b, halves, x, shift, floor), 0, (1,)


def _next_to(rng, x: float, _: float, floor: float, halves: Sequence[float], a: Look, b: Look) -> Shot:
    aside = x + rng.choice((-1, 1)) * (sum(halves) + rng.uniform(0.025, 0.045))
    things = Thing(*a, aside, floor - halves[0], halves[0]), Thing(*b, x, floor - halves[1], halves[1])
    return things, 0, (1,)


def _pile(lower_look: Look, upper_look: Look, halves: Sequence[float], x: float, shift: float, floor: float):
    lower = Thing(*lower_look, x, floor - halves[0], halves[0])
    upper = Thing(*upper_look, x + shift, lower.y - halves[0] - 2 * halves[1], halves[1])
    return lower, replace(upper, y=upper.y + fall(upper, lower) + 0.002)


def held(rng: random.Random, a: Look, b: Look, _: Look) -> tuple[Shot, Shot]:
    """A in the hole of B, and outside."""
    rod = a[1] in RODS
    half = rng.uniform(0.1, 0.14) if rod else rng.uniform(0.075, 0.095)
    shots = []
    for inside in (True, False):
        hole = _spot(rng, b, rng.uniform(0.22, 0.27))
        thing = replace(_spot(rng, a, half), angle=rng.uniform(0, 2 * math.pi) if rod else 0.0)
        if inside:
            off, way = rng.uniform(0, 0.06), rng.uniform(0, 2 * math.pi)
            thing = replace(thing, x=hole.x + off * math.cos(way), y=hole.y + off * math.sin(way))
        shots.append(((hole, thing), 1, (0,)))
    return shots[0], shots[1]


def threaded(rng: random.Random, a: Look, b: Look, _: Look) -> tuple[Shot, Shot]:
    """A rod through the hole of B, and one of any length outside."""
    hole, turn = _spot(rng, b, rng.uniform(0.15, 0.19)), rng.uniform(0, 2 * math.pi)
    rod = Thing(*a, hole.x, hole.y, rng.uniform(0.28, 0.38), turn, threaded=True)
    outside = replace(_spot(rng, a, rng.uniform(0.1, 0.2)), angle=rng.uniform(0, 2 * math.pi))
    return ((hole, rod), 1, (0,)), ((_spot(rng, b, hole.half), outside), 1, (0,))


def distance(rng: random.Random, a: Look, b: Look, _: Look) -> tuple[Shot, Shot]:
    """Close together, and far apart."""
    halves = _sizes(rng, 0.08, 0.1)
    first = _spot(rng, b, halves[1])
    away, way = sum(halves) + rng.uniform(0.035, 0.095), rng.uniform(0, 2 * math.pi)
    close = Thing(*a, first.x + away * math.cos(way), first.y + away * math.sin(way), halves[0])
    return ((close, first), 0, (1,)), ((_spot(rng, a, halves[0]), _spot(rng, b, halves[1])), 0, (1,))


def between(rng: random.Random, a: Look, b: Look, _: Look) -> tuple[Shot, Shot]:
    """A in the middle of two alike, and far from them."""
    return _amid(rng, a, b, 2, rng.uniform(0.19, 0.24)), _away(rng, a, b, 2, rng.uniform(0.1, 0.16))


def among(rng: random.Random, a: Look, b: Look, _: Look) -> tuple[Shot, Shot]:
    """A in the middle of five alike, and far from them."""
    return _amid(rng, a, b, 5, rng.uniform(0.24, 0.31)), _away(rng, a, b, 5, rng.uniform(0.15, 0.18))


def _amid(rng: random.Random, a: Look, b: Look, count: int, radius: float) -> Shot:
    one = Thing(*a, rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), rng.uniform(0.07, 0.085))
    return (one, *_circle_of(rng, b, count, radius, one.x, one.y)), 0, tuple(range(1, count + 1))


def _away(rng: random.Random, a: Look, b: Look, count: int, radius: float) -> Shot:
    others = _circle_of(rng, b, count, radius, rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8))
    return (_spot(rng, a, rng.uniform(0.07, 0.085)), *others), 0, tuple(range(1, count + 1))


def _circle_of(rng: random.Random, look: Look, count: int, radius: float, x: float, y: float) -> list[Thing]:
    """So many things about a point; five of them not quite evenly."""
    start, half = rng.uniform(0, 2 * math.pi), rng.uniform(0.065, 0.075)
    uneven = 0.1 if count > 2 else 0.0
    turns = [start + 2 * math.pi * (k + rng.uniform(-uneven, uneven)) / count for k in range(count)]
    return [Thing(*look, x + radius * math.cos(turn), y + radius * math.sin(turn), half) for turn in turns]


def size(rng: random.Random, a: Look, b: Look, _: Look) -> tuple[Shot, Shot]:
    """One much larger than the other; then with sizes changed."""
    large = rng.uniform(0.14, 0.175)
    halves = (large, large / rng.uniform(1.7, 2.0))
    spots = [_spot(rng, a, large), _spot(rng, b, large)]
    shots = [
        (tuple(replace(s, half=h) for s, h in zip(spots, order, strict=True)), 0, (1,))
        for order in (halves, halves[::-1])
    ]
    return shots[0], shots[1]


def separation(rng: random.Random, a: Look, b: Look, c: Look) -> tuple[Shot, Shot]:
    """One nearer to a third thing than the other; then with places changed."""
    half = rng.uniform(0.075, 0.095)
    near, far, reference = (_spot(rng, look, half) for look in (a, b, c))
    changed = (replace(near, x=far.x, y=far.y), replace(far, x=near.x, y=near.y), reference)
    return ((near, far, reference), 0, (1, 2)), (changed, 0, (1, 2))


# Ways to place each kind of scene, as often one as the other.
PLACED = {
    "direction": (direction,), "depth": (depth,), "support": (piled, beside_or_on, beside_or_under),
    "enclosure": (held, threaded), "distance": (distance,), "company": (between, among), "size": (size,),
    "separation": (separation,),
}  # fmt: skip
ON_A_FLOOR = ("depth", "support")


def scattered(rng: random.Random, looks: Sequence[Look]) -> tuple[Thing, ...]:
    """Up to 16 things, one in each of as many cells of a grid of 4 × 4."""
    cells = rng.sample(range(16), len(looks))
    return tuple(
        Thing(*look, _jittered(rng, cell % 4), _jittered(rng, cell // 4), rng.uniform(0.072, 0.088))
        for look, cell in zip(looks, cells, strict=True)
    )


def beside(rng: random.Random, things: tuple[Thing, ...], looks: Sequence[Look]) -> tuple[Thing, ...]:
    """The things with others around them that touch nothing, as many of the looks as find room."""
    for look in looks:
        for _ in range(40):
            thing = _spot(rng, look, rng.uniform(0.065, 0.09))
            if all(clear_of(thing, other, 0.03) for other in things):
                things = (*things, thing)
                break
    return things


def _jittered(rng: random.Random, cell: int) -> float:
    return 0.14 + 0.24 * cell + rng.uniform(-0.025, 0.025)


def _spot(rng: random.Random, look: Look, half: float) -> Thing:
    """A thing anywhere in the picture."""
    edge = half + 0.03
    return Thing(*look, rng.uniform(edge, 1 - edge), rng.uniform(edge, 1 - edge), half)


def _sizes(rng: random.Random, low: float, high: float) -> tuple[float, float]:
    return rng.uniform(low, high), rng.uniform(low, high)


def _turned(rng: random.Random, ends: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The places as they are or with the axes changed, in one order or the other."""
    if rng.random() < 0.5:
        ends = [(y, x) for x, y in ends]
    return ends if rng.random() < 0.5 else ends[::-1]


def _both_ways(
    a: Look, b: Look, halves: Sequence[float], ends: Sequence[tuple[float, float]]
) -> tuple[Shot, Shot]:
    def shot(order):
        return (Thing(*a, *order[0], halves[0]), Thing(*b, *order[1], halves[1])), 0, (1,)

    return shot(ends), shot(ends[::-1])
