"""Without numbers: kinship, the order of people in a row, and moves of letters. Same shape as arithmetic.py:
draw a problem, ask it in either direction, solve it into the lines of a trace and an answer."""

import random

from mmrc_helpers.worlds.reasoning.arithmetic import Slip, Solved

NAMES = (
    "Ada Ben Cora Dan Ella Finn Gwen Hugo Iris Jack Kate Leo Mia Ned Olga Paul Rosa Sam Tess Vera Will Zoe "
    "Amos Bella Carl Dora Emil Fay Glen Hope Ivan Jane Kurt Lena Mark Nora Otto Pia Ruth Seth"
).split()
KIN = (("parent", "child"), ("grandparent", "grandchild"), ("great-grandparent", "great-grandchild"))
LETTERS = "abcdefghkmnprstuwxz"
# Every move with the one that undoes it; each is a rearrangement of the letters.
MOVES = {
    "reverse": "reverse",
    "rotate left": "rotate right",
    "rotate right": "rotate left",
    "swap the first two": "swap the first two",
    "swap the last two": "swap the last two",
    "swap the ends": "swap the ends",
}


# --- kinship: the parent of the parent, and back -----------------------------------------------------------


def draw_kinship(rng: random.Random, difficulty: int) -> dict:
    """Two lines of descent, eldest first, of which the first is asked about, and the facts in some order."""
    size = difficulty + 1
    names = rng.sample(NAMES, 2 * size)
    lines = [names[:size], names[size:]]
    facts = [[line[k], line[k + 1]] for line in lines for k in range(size - 1)]
    return {"lines": lines, "facts": rng.sample(facts, len(facts))}


def ask_kinship(problem: dict, direction: str) -> str:
    line = problem["lines"][0]
    elder, younger = KIN[len(line) - 2]
    facts = " ".join(f"{parent} is the parent of {child}." for parent, child in problem["facts"])
    if direction == "forward":
        return f"{facts} Who is the {elder} of {line[-1]}?"
    return f"{facts} Who is the {younger} of {line[0]}?"


def solve_kinship(problem: dict, direction: str, slip: Slip | None) -> Solved:
    """Names one generation after the other; a slip crosses over to the other line."""
    forward = direction == "forward"
    word = KIN[0][0] if forward else KIN[0][1]
    own, other = (line[::-1] if forward else line for line in problem["lines"])
    at = slip[0] if slip else len(own)
    named = [*own[: at + 1], *other[at + 1 :]]
    return [f"The {word} of {named[k]} is {named[k + 1]}" for k in range(len(own) - 1)], named[-1]


# --- ordering: who stands at a place, and at which place somebody stands -----------------------------------


def draw_ordering(rng: random.Random, difficulty: int) -> dict:
    """Names from the front of a row to its end, the place that is asked about, and the facts, shuffled."""
    names = rng.sample(NAMES, difficulty + 3)
    facts = [[names[k], names[k + 1]] for k in range(len(names) - 1)]
    return {"names": names, "place": rng.randint(2, len(names)), "facts": rng.sample(facts, len(facts))}


def ask_ordering(problem: dict, direction: str) -> str:
    names, place = problem["names"], problem["place"]
    behind = " ".join(f"{back} stands right behind {front}." for front, back in problem["facts"])
    told = f"{names[0]} stands first. {behind}"
    if direction == "forward":
        return f"{told} Who stands at place {place}?"
    return f"{told} At which place does {names[place - 1]} stand?"


def solve_ordering(problem: dict, direction: str, slip: Slip | None) -> Solved | None:
    """Forward counts from the front; inverse goes from the person to the front."""
    names, place = problem["names"], problem["place"]
    if direction == "forward":
        return _counted(names, place, slip)
    at, steps = place - 1, []
    while at > 0:
        front = at - 1
        if slip and len(steps) == slip[0]:
            front = slip[1].choice([k for k in range(len(names)) if k not in (at, at - 1)])
        steps.append(f"{names[at]} stands behind {names[front]}")
        at = front
    return [*steps, f"{names[0]} stands first"], str(len(steps) + 1)


def _counted(names: list[str], place: int, slip: Slip | None) -> Solved | None:
    """The places from the first on; after a slip it goes on behind the wrongly named person."""
    found: list[str] = []
    at = 0
    for step in range(place):
        if slip and step == slip[0]:
            at = slip[1].choice([k for k in range(len(names)) if k != at])
        if at >= len(names):
            return None
        found.append(names[at])
        at += 1
    return [f"Place {k}: {name}" for k, name in enumerate(found, 1)], found[-1]


# --- rewriting: letters that are moved about, and moved back -----------------------------------------------


def draw_rewriting(rng: random.Random, difficulty: int) -> dict:
    """`difficulty` + 3 different letters and `difficulty` + 1 moves that do not end where they began."""
    start = rng.sample(LETTERS, difficulty + 3)
    while True:
        moves = rng.choices(list(MOVES), k=difficulty + 1)
        end = start
        for move in moves:
            end = moved(end, move)
        if end != start:
            return {"start": start, "moves": moves, "end": end}


def ask_rewriting(problem: dict, direction: str) -> str:
    moves = ", then ".join(problem["moves"])
    if direction == "forward":
        return f"Take {' '.join(problem['start'])} and {moves}. Which letters come out?"
    return f"Take some letters and {moves}: {' '.join(problem['end'])} come out. Which letters were they?"


def solve_rewriting(problem: dict, direction: str, slip: Slip | None) -> Solved:
    """Every move with the letters after it; a slip exchanges two of them."""
    forward = direction == "forward"
    letters = list(problem["start"] if forward else problem["end"])
    moves = problem["moves"] if forward else problem["moves"][::-1]
    steps = []
    for step, move in enumerate(moves):
        letters = moved(letters, move if forward else MOVES[move])
        if slip and step == slip[0]:
            one, two = slip[1].sample(range(len(letters)), 2)
            letters[one], letters[two] = letters[two], letters[one]
        steps.append(f"{'' if forward else 'undo '}{move}: {' '.join(letters)}")
    return steps, " ".join(letters)


def moved(letters: list[str], move: str) -> list[str]:
    """The letters after one move."""
    first, *middle, last = letters
    return {
        "reverse": letters[::-1],
        "rotate left": [*letters[1:], first],
        "rotate right": [last, *letters[:-1]],
        "swap the first two": [letters[1], first, *letters[2:]],
        "swap the last two": [*letters[:-2], last, letters[-2]],
        "swap the ends": [last, *middle, first],
    }[move]
