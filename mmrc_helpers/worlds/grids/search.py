"""The depth-first search whose record is the reasoning of a grid's answer.

It heads for the objects in the order in which a greedy walk would meet them, then for the destination. Rules
as in arXiv 2501.02669; unlike there, a refused move names what lies in its own cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

Cell = tuple[int, int]

MOVES: dict[str, Cell] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
EMPTY, START, DESTINATION, OBJECT = (
    0,
    1,
    2,
    3,
)  # OBJECT + i is the i-th object to collect; obstacles are negative
OUTSIDE, VISITED, CLOSED, LATER = "outside", "visited", "closed", "later"


@dataclass(frozen=True)
class State:
    """One step of the search: at a cell, the moves refused with their reasons, and the move taken ("": back).

    collected: the number of the object that was just reached, or -1.
    """

    cell: Cell
    refused: tuple[tuple[str, str], ...]
    move: str
    collected: int = -1


def collection_order(start: Cell, objects: Sequence[Cell]) -> list[Cell]:
    """The objects as met by always going to the nearest one, in rows plus columns; of two, to the upper one,
    then to the left one. In whichever order they are given, so that the picture alone tells."""
    left, order, here = list(objects), [], start
    while left:
        here = min(left, key=lambda cell: (abs(cell[0] - here[0]) + abs(cell[1] - here[1]), cell))
        left.remove(here)
        order.append(here)
    return order


def search(
    codes: Sequence[Sequence[int]], goals: Sequence[Cell], start: Cell, most: int
) -> list[State] | None:
    """The states on the way to each goal in turn; None if one is out of reach or it takes more than `most`.

    codes: [row][column], see EMPTY to OBJECT. goals: the objects in order, then the destination.
    """
    states: list[State] = []
    here = start
    for number, goal in enumerate(goals):
        visited, stack = {here}, [here]
        collected = number - 1
        while here != goal:
            if not stack or len(states) == most:
                return None
            move, cell, refused = _choose(codes, here, goal, visited, number, goal is goals[-1])
            states.append(State(here, refused, move, collected))
            collected = -1
            if move:
                visited.add(cell)
                stack.append(cell)
            else:
                stack.pop()  # back where it came from; the cell it leaves stays visited
            here = stack[-1] if stack else here
    return states


def _choose(codes, here: Cell, goal: Cell, visited: set[Cell], number: int, last: bool):
    """The first move that is not refused and its cell (or "" and here), and the refused ones before it."""
    refused = []
    for move, cell in _nearest_first(here, goal):
        reason = _reason(codes, cell, visited, number, last)
        if not reason:
            return move, cell, tuple(refused)
        refused.append((move, reason))
    return "", here, tuple(refused)


def _nearest_first(here: Cell, goal: Cell) -> list[tuple[str, Cell]]:
    """The four moves by the distance they leave to the goal: rows plus columns, then straight."""
    ranked = []
    for rank, (move, step) in enumerate(MOVES.items()):
        cell = (here[0] + step[0], here[1] + step[1])
        rows, columns = abs(cell[0] - goal[0]), abs(cell[1] - goal[1])
        ranked.append((rows + columns, rows * rows + columns * columns, rank, move, cell))
    ranked.sort()
    return [(move, cell) for *_, move, cell in ranked]


def _reason(codes, cell: Cell, visited: set[Cell], number: int, last: bool) -> str:
    """Why a move is refused, "" if it is not. number: objects collected so far. last: no goal follows."""
    row, column = cell
    if not (0 <= row < len(codes) and 0 <= column < len(codes[0])):
        return OUTSIDE
    if cell in visited:
        return VISITED
    code = codes[row][column]
    if code < 0:
        return CLOSED
    if code > OBJECT + number or (code == DESTINATION and not last):
        return LATER
    return ""


def moves_of(states: Sequence[State]) -> list[str]:
    """The moves that the search keeps: all but those it went back on."""
    kept: list[str] = []
    for state in states:
        if state.move:
            kept.append(state.move)
        else:
            kept.pop()
    return kept
