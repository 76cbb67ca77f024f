"""Numbers: sums, conversions of units, equations modulo a prime and chains of operations. A problem is plain
data; solving it in either direction gives the lines of a trace and the answer they end in."""

import random
from collections.abc import Sequence

Slip = tuple[int, random.Random]  # the step at which a trace goes wrong, and what chooses how
Solved = tuple[list[str], str]  # steps and answer

# Each scale from its largest unit down, with how many of the next one unit holds.
SCALES = (
    (("km", 1000), ("m", 100), ("cm", 10), ("mm", 0)),
    (("t", 1000), ("kg", 1000), ("g", 1000), ("mg", 0)),
    (("weeks", 7), ("days", 24), ("hours", 60), ("minutes", 60), ("seconds", 0)),
    (("miles", 1760), ("yards", 3), ("feet", 12), ("inches", 0)),
    (("liters", 10), ("dl", 10), ("cl", 10), ("ml", 0)),
    (("gallons", 4), ("quarts", 2), ("pints", 2), ("cups", 0)),
    (("gross", 12), ("dozens", 12), ("pieces", 0)),
)
PRIMES = ((11, 13, 17, 19), (23, 29, 31, 37, 41, 43), (47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97))
VERBS = {"+": "Add {}.", "-": "Subtract {}.", "*": "Multiply by {}."}
UNDO = {"+": "-", "-": "+", "*": "/"}
OFF = (1, -1, 2, -2, 3, -3, 10, -10, *range(4, 10), *range(11, 120))  # by how much a slip may be off


# --- sums: a + b = c, and back from c ----------------------------------------------------------------------


def draw_sum(rng: random.Random, difficulty: int) -> dict:
    """Two numbers of `difficulty` + 1 digits."""
    low, high = 10**difficulty, 10 ** (difficulty + 1) - 1
    return {"a": rng.randint(low, high), "b": rng.randint(low, high)}


def ask_sum(problem: dict, direction: str) -> str:
    a, b = problem["a"], problem["b"]
    return f"What is {a} + {b}?" if direction == "forward" else f"Which number plus {b} gives {a + b}?"


def solve_sum(problem: dict, direction: str, slip: Slip | None) -> Solved | None:
    """Adds, or takes away, one decimal place of b after the other."""
    a, b = problem["a"], problem["b"]
    digits = str(b)
    parts = [
        int(digit) * 10 ** (len(digits) - 1 - place) for place, digit in enumerate(digits) if digit != "0"
    ]
    if direction == "forward":
        return walk(a, [("+", part) for part in parts], slip)
    return walk(a + b, [("-", part) for part in parts], slip)


# --- chains: two to four operations, and back --------------------------------------------------------------


def draw_chain(rng: random.Random, difficulty: int) -> dict:
    """`difficulty` + 1 operations; no two alike stand side by side, no value is below 2, and the end is not
    the start, so that the two directions have different answers."""
    start = value = rng.randint(2, 20)
    moves: list[list] = []
    while len(moves) <= difficulty or value == start:
        if len(moves) > difficulty:
            moves, value = [], start
        op = rng.choice([op for op in VERBS if not moves or op != moves[-1][0]])
        operand = rng.randint(2, 5) if op == "*" else rng.randint(2, 20)
        if op == "-" and value - operand < 2:
            continue
        moves.append([op, operand])
        value = compute(value, op, operand)
    return {"start": start, "moves": moves, "end": value}


def ask_chain(problem: dict, direction: str) -> str:
    told = " ".join(VERBS[op].format(operand) for op, operand in problem["moves"])
    if direction == "forward":
        return f"Start with {problem['start']}. {told} What is the result?"
    return f"Start with a number. {told} The result is {problem['end']}. What was the number?"


def solve_chain(problem: dict, direction: str, slip: Slip | None) -> Solved | None:
    if direction == "forward":
        return walk(problem["start"], problem["moves"], slip)
    return walk(problem["end"], [(UNDO[op], operand) for op, operand in reversed(problem["moves"])], slip)


# --- units -------------------------------------------------------------------------------------------------


def draw_units(rng: random.Random, difficulty: int) -> dict:
    """A number of units to be told in units `difficulty` steps further down the scale."""
    scale = rng.choice([scale for scale in SCALES if len(scale) > difficulty])
    first = rng.randrange(len(scale) - difficulty)
    chosen = scale[first : first + difficulty + 1]
    names, factors = [name for name, _ in chosen], [factor for _, factor in chosen[:-1]]
    return {"value": rng.randint(2, 99), "units": names, "factors": factors}


def ask_units(problem: dict, direction: str) -> str:
    units = problem["units"]
    if direction == "forward":
        return f"How many {units[-1]} are {problem['value']} {units[0]}?"
    return f"How many {units[0]} are {_smallest(problem)} {units[-1]}?"


def solve_units(problem: dict, direction: str, slip: Slip | None) -> Solved | None:
    """Each step says the same amount in the next unit: `7 km = 7000 m`."""
    forward = direction == "forward"
    units, factors = problem["units"], problem["factors"]
    units, factors = (units, factors) if forward else (units[::-1], factors[::-1])
    start = problem["value"] if forward else _smallest(problem)
    values = values_of(start, [("*" if forward else "/", factor) for factor in factors], slip)
    if values is None:
        return None
    told = [f"{value} {unit}" for value, unit in zip(values, units, strict=True)]
    return [f"{told[k]} = {told[k + 1]}" for k in range(len(factors))], str(values[-1])


def _smallest(problem: dict) -> int:
    value = problem["value"]
    for factor in problem["factors"]:
        value *= factor
    return value


# --- modular: a x = c modulo a prime -----------------------------------------------------------------------


def draw_modular(rng: random.Random, difficulty: int) -> dict:
    """a, x and the prime m; x is not a x modulo m, so that the two directions have different answers."""
    m = rng.choice(PRIMES[difficulty - 1])
    while True:
        a, x = rng.randrange(2, m), rng.randrange(2, m)
        if a * x % m != x:
            return {"a": a, "x": x, "m": m}


def ask_modular(problem: dict, direction: str) -> str:
    a, x, m = problem["a"], problem["x"], problem["m"]
    if direction == "forward":
        return f"What is {a} * {x} modulo {m}?"
    return f"Which number below {m}, times {a}, is {a * x % m} modulo {m}?"


def solve_modular(problem: dict, direction: str, slip: Slip | None) -> Solved | None:
    """Forward: multiply, then take off multiples of m. Inverse: add multiples of m until a divides."""
    a, x, m = problem["a"], problem["x"], problem["m"]
    if direction == "inverse":
        rest = a * x % m
        return walk(rest, [("+", a * x - rest), ("/", a)], slip)
    product = values_of(a, [("*", x)], slip if slip and slip[0] == 0 else None)[-1]
    reduction = [("-", product - product % m)]
    lines, answer = walk(product, reduction, (0, slip[1]) if slip and slip[0] == 1 else None)
    return [f"{a} * {x} = {product}", *lines], answer


# --- walking -----------------------------------------------------------------------------------------------


def compute(value: int, op: str, operand: int) -> int | None:
    """The result of one operation; None where it is no whole number or below 0."""
    if op == "/":
        return value // operand if value % operand == 0 else None
    result = {"+": value + operand, "-": value - operand, "*": value * operand}[op]
    return result if result >= 0 else None


def values_of(start: int, moves: Sequence, slip: Slip | None = None) -> list[int] | None:
    """The values that a number takes. With a slip one step is off, by so much that all later ones still come
    out whole; None if no such slip is found."""
    offs = slip[1].sample(OFF[:8], 8) + list(OFF[8:]) if slip else [0]
    for off in offs:
        values = [start]
        for step, (op, operand) in enumerate(moves):
            result = compute(values[-1], op, operand)
            if result is None:
                break
            result += off if slip and step == slip[0] else 0
            if result < 0:
                break
            values.append(result)
        if len(values) == len(moves) + 1:
            return values
    return None


def walk(start: int, moves: Sequence, slip: Slip | None) -> Solved | None:
    """The steps `value op operand = result` and the last result."""
    values = values_of(start, moves, slip)
    if values is None:
        return None
    told = zip(values, moves, values[1:], strict=False)
    return [f"{value} {op} {operand} = {result}" for value, (op, operand), result in told], str(values[-1])
