"""The verifier: replays a trace against its problem, step by step. It shares no code with what writes traces
and accepts any sound route, such as other parts of a sum than the decimal places."""

import re
from collections.abc import Callable, Sequence

_STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
_UNITS = re.compile(r"(\d+) (\w+) = (\d+) (\w+)")
_KIN = re.compile(r"The (parent|child) of (\w+) is (\w+)")
_PLACE = re.compile(r"Place (\d+): (\w+)")
_BEHIND = re.compile(r"(\w+) stands behind (\w+)")
_MOVE = re.compile(r"(undo )?([a-z ]+): ([a-z](?: [a-z])*)")

# Where a move takes the letter at each place of n: from these places, in order.
_FROM: dict[str, Callable[[int], list[int]]] = {
    "reverse": lambda n: [n - 1 - k for k in range(n)],
    "rotate left": lambda n: [(k + 1) % n for k in range(n)],
    "rotate right": lambda n: [(k - 1) % n for k in range(n)],
    "swap the first two": lambda n: [1, 0, *range(2, n)],
    "swap the last two": lambda n: [*range(n - 2), n - 1, n - 2],
    "swap the ends": lambda n: [n - 1, *range(1, n - 1), 0],
}


def proven(family: str, problem: dict, direction: str, steps: Sequence[str]) -> str | None:
    """The answer that the steps prove; None if a step is false, out of order or not of the family's form, or
    if the last one does not reach what is asked."""
    cleaned = [step.strip().removesuffix(".") for step in steps]
    return _REPLAYS[family](problem, direction == "forward", cleaned)


def _operations(start: int, steps: Sequence[str]) -> list[tuple[str, int, int]] | None:
    """Operation, operand and result of each step; None if one does not start where the last ended or is
    wrong."""
    found, value = [], start
    for step in steps:
        match = _STEP.fullmatch(step)
        if not match:
            return None
        left, op, right, result = int(match[1]), match[2], int(match[3]), int(match[4])
        true = {"+": left + right == result, "-": left - right == result,
                "*": left * right == result, "/": right != 0 and result * right == left}[op]  # fmt: skip
        if left != value or not true:
            return None
        found.append((op, right, result))
        value = result
    return found


def _sum(problem: dict, forward: bool, steps: Sequence[str]) -> str | None:
    """Any parts of b, none of them 0, that make up b."""
    a, b = problem["a"], problem["b"]
    found = _operations(a if forward else a + b, steps)
    if not found or {op for op, _, _ in found} != {"+" if forward else "-"}:
        return None
    parts = [operand for _, operand, _ in found]
    return str(found[-1][2]) if sum(parts) == b and 0 not in parts else None


def _chain(problem: dict, forward: bool, steps: Sequence[str]) -> str | None:
    """Exactly the told operations, or those that undo them from the last to the first."""
    wanted = [(op, operand) for op, operand in problem["moves"]]
    if not forward:
        undone = {"+": "-", "-": "+", "*": "/"}
        wanted = [(undone[op], operand) for op, operand in wanted[::-1]]
    found = _operations(problem["start"] if forward else problem["end"], steps)
    return str(found[-1][2]) if found and [step[:2] for step in found] == wanted else None


def _modular(problem: dict, forward: bool, steps: Sequence[str]) -> str | None:
    """Forward: a product, then multiples of m taken off. Inverse: multiples of m added, then divided by a."""
    a, x, m = problem["a"], problem["x"], problem["m"]
    found = _operations(a if forward else a * x % m, steps)
    if not found or len(found) < 2:
        return None
    turn, shifts = (found[0], found[1:]) if forward else (found[-1], found[:-1])
    shift = "-" if forward else "+"
    if turn[:2] != (("*", x) if forward else ("/", a)):
        return None
    if any(op != shift or operand % m or (operand == 0 and len(shifts) > 1) for op, operand, _ in shifts):
        return None
    return str(found[-1][2]) if found[-1][2] < m else None


def _units(problem: dict, forward: bool, steps: Sequence[str]) -> str | None:
    """Neighbouring units of the scale, from the asked amount to the asked unit."""
    units, factors = problem["units"], problem["factors"]
    value = problem["value"]
    if not forward:
        for factor in factors:
            value *= factor
        units, factors = units[::-1], factors[::-1]
    if len(steps) != len(factors):
        return None
    for step, here, there, factor in zip(steps, units, units[1:], factors, strict=False):
        match = _UNITS.fullmatch(step)
        if not match or (int(match[1]), match[2], match[4]) != (value, here, there):
            return None
        result = int(match[3])
        if result != value * factor if forward else result * factor != value:
            return None
        value = result
    return str(value)


def _kinship(problem: dict, forward: bool, steps: Sequence[str]) -> str | None:
    """True facts, one generation after the other, from the asked person on."""
    facts = {(parent, child) for parent, child in problem["facts"]}
    line = problem["lines"][0]
    at = line[-1] if forward else line[0]
    for step in steps:
        match = _KIN.fullmatch(step)
        if not match or match[2] != at or (match[1] == "parent") != forward:
            return None
        if ((match[3], at) if forward else (at, match[3])) not in facts:
            return None
        at = match[3]
    return at if len(steps) == len(line) - 1 else None


def _ordering(problem: dict, forward: bool, steps: Sequence[str]) -> str | None:
    """Forward: the places from the first to the asked one. Inverse: from the person to the first."""
    follows = {front: back for front, back in problem["facts"]}
    first = problem["names"][0]
    if forward:
        at = None
        for count, step in enumerate(steps, 1):
            match = _PLACE.fullmatch(step)
            at = first if count == 1 else follows.get(at)
            if not match or (int(match[1]), match[2]) != (count, at):
                return None
        return at if len(steps) == problem["place"] else None
    at = problem["names"][problem["place"] - 1]
    for step in steps[:-1]:
        match = _BEHIND.fullmatch(step)
        if not match or match[1] != at or follows.get(match[2]) != at:
            return None
        at = match[2]
    return str(len(steps)) if steps and at == first and steps[-1] == f"{first} stands first" else None


def _rewriting(problem: dict, forward: bool, steps: Sequence[str]) -> str | None:
    """The told moves in order, or undone from the last to the first, each with the letters after it."""
    letters = problem["start"] if forward else problem["end"]
    moves = problem["moves"] if forward else problem["moves"][::-1]
    if len(steps) != len(moves):
        return None
    for step, move in zip(steps, moves, strict=True):
        match = _MOVE.fullmatch(step)
        if not match or match[2] != move or (match[1] is None) != forward:
            return None
        after = match[3].split()
        if len(after) != len(letters):
            return None
        before, later = (letters, after) if forward else (after, letters)
        if [before[k] for k in _FROM[move](len(before))] != list(later):
            return None
        letters = after
    return " ".join(letters)


_REPLAYS = {
    "sums": _sum,
    "kinship": _kinship,
    "units": _units,
    "ordering": _ordering,
    "modular": _modular,
    "rewriting": _rewriting,
    "chains": _chain,
}
