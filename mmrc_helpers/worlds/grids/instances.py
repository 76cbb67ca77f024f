"""A grid with objects, obstacles, start and destination: how one is drawn, what an example keeps of it."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmrc_helpers.worlds.grids import search
from mmrc_helpers.worlds.grids.search import DESTINATION, EMPTY, OBJECT, START, Cell, State
from mmrc_helpers.worlds.puzzles import making
from mmrc_helpers.worlds.puzzles.making import Place, drawn, split_of

# The first of each pool are told apart in the smallest pictures.
OBJECTS = {
    "heart": "❤", "sun": "☀", "umbrella": "☂", "plane": "✈", "moon": "☾", "anchor": "⚓", "note": "♪",
    "star": "★", "crown": "♔", "flag": "⚑", "phone": "☎", "horse": "♘", "cloud": "☁", "infinity": "∞",
    "sum": "∑", "club": "♣", "coffee": "☕", "gear": "⚙", "arrow": "➜", "flower": "✿", "hammer": "⚒",
    "diamond": "❖", "castle": "♖", "pawn": "♙", "queen": "♛", "bishop": "♗", "spark": "✦", "null": "∅",
    "approx": "≈", "integral": "∫", "product": "∏",
}  # fmt: skip
OBSTACLES = {"square": "◼", "cross": "✖", "triangle": "▲", "dot": "●", "plus": "✚"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
START_NAME, DESTINATION_NAME, EMPTY_NAME = "S", "D", "O"


@dataclass(frozen=True)
class Grid:
    """names: [row][column], a symbol's name, S, D or O. objects: their cells in the order of collection.
    states: the search that solves it."""

    names: tuple[tuple[str, ...], ...]
    start: Cell
    destination: Cell
    objects: tuple[Cell, ...]
    states: tuple[State, ...]

    @property
    def moves(self) -> list[str]:
        """The moves of the solution."""
        return search.moves_of(self.states)


def pools(facts: Mapping) -> tuple[list[str], list[str]]:
    """The names of objects and obstacles in use."""
    return list(OBJECTS)[: facts["object_pool"]], list(OBSTACLES)[: facts["obstacle_pool"]]


def sample(facts: Mapping, seed: int, place: Place) -> Grid:
    """The grid at this place. Shape and numbers are drawn once, so that no rejection shifts their balance.
    Raises UserError if the sizes in facts allow none."""
    difficulty, split, index = place
    rng = random.Random(f"{seed}/{split}/{difficulty}/{index}")
    rows, columns = rng.randint(*facts["rows"]), rng.randint(*facts["columns"])
    objects = rng.randint(*facts["objects"][difficulty])
    kinds = rng.randint(*facts["obstacle_kinds"][difficulty])
    least, most = facts["states"][difficulty]

    def draw() -> Grid | None:
        codes, start, destination = _codes(rng, rows, columns, facts["density"], kinds)
        order = _placed(rng, codes, start, objects)
        if split_of(repr(codes)) != split:
            return None
        states = search.search(codes, [*order, destination], start, most)
        if states is None or len(states) < least:
            return None
        names = _named(rng, codes, facts, objects, kinds)
        return Grid(names, start, destination, tuple(order), tuple(states))

    return drawn("grid", place, draw)


def _codes(rng: random.Random, rows: int, columns: int, density: float, kinds: int):
    """Codes [row][column] with obstacles only; start and destination, apart in both directions."""
    (top, bottom), (left, right) = (rng.sample(range(size), 2) for size in (rows, columns))
    start, destination = (top, left), (bottom, right)
    codes = [[EMPTY] * columns for _ in range(rows)]
    inside = []
    for row in range(rows):
        for column in range(columns):
            if min(top, bottom) <= row <= max(top, bottom) and min(left, right) <= column <= max(left, right):
                inside.append((row, column))
            elif rng.random() < density:
                codes[row][column] = -rng.randint(1, kinds)
    inside = [cell for cell in inside if cell not in (start, destination)]
    for row, column in rng.sample(inside, int(density * len(inside))):
        codes[row][column] = -rng.randint(1, kinds)
    codes[top][left], codes[bottom][right] = START, DESTINATION
    return codes, start, destination


def _placed(rng: random.Random, codes: list[list[int]], start: Cell, objects: int) -> list[Cell]:
    """Puts objects on any cells but start and destination, in place; their cells in order of collection."""
    free = [
        (r, c)
        for r, row in enumerate(codes)
        for c, code in enumerate(row)
        if code not in (START, DESTINATION)
    ]
    order = search.collection_order(start, rng.sample(free, objects))
    for number, (row, column) in enumerate(order):
        codes[row][column] = OBJECT + number
    return order


def _named(rng: random.Random, codes, facts: Mapping, count: int, kinds: int) -> tuple[tuple[str, ...], ...]:
    """The names of what lies in the cells; which symbols these are is drawn here."""
    objects, obstacles = pools(facts)
    objects, obstacles = rng.sample(objects, count), rng.sample(obstacles, kinds)
    fixed = {EMPTY: EMPTY_NAME, START: START_NAME, DESTINATION: DESTINATION_NAME}
    return tuple(
        tuple(
            fixed.get(code) or (obstacles[-code - 1] if code < 0 else objects[code - OBJECT]) for code in row
        )
        for row in codes
    )


# --- what an example keeps ----------------------------------------------------------------------------------


def truth(grid: Grid) -> dict:
    """What the verifier gets: the cells, rows as names with spaces between. objects (in order of collection)
    and states (their number) are for the exchange with other programs; the verifier does not look at them."""
    return {
        "grid": [" ".join(row) for row in grid.names],
        "objects": [list(cell) for cell in grid.objects],
        "states": len(grid.states),
    }


def content(truth: Mapping) -> str:
    """What makes two grids the same puzzle."""
    return "/".join(truth["grid"])


# --- limits that join several facts -------------------------------------------------------------------------


def problems(facts: Mapping) -> Iterator[str]:
    """What in `facts` cannot be made."""
    yield from (found := list(making.problems("grids", facts)))
    limits = {name: (facts[name], 2, len(LETTERS)) for name in ("rows", "columns")}
    for difficulty in making.used(facts):
        limits[f"objects.{difficulty}"] = (facts["objects"][difficulty], 0, facts["object_pool"])
        limits[f"obstacle_kinds.{difficulty}"] = (
            facts["obstacle_kinds"][difficulty],
            1,
            facts["obstacle_pool"],
        )
        limits[f"states.{difficulty}"] = (facts["states"][difficulty], 1, 10**6)
    for name, (value, least, most) in limits.items():
        if not making.is_range(value, least, most):
            found.append(name)
            yield f"grids.{name}: {value} is no range; give the least and the most, {least} to {most}"
    if found:
        return
    cells = facts["rows"][0] * facts["columns"][0]
    for difficulty in making.used(facts):
        if (most := facts["objects"][difficulty][1]) + 2 > cells:
            yield (
                f"grids.objects.{difficulty}: {most} objects, start and destination do not fit the "
                f"smallest grid, {cells} cells; allow fewer objects, or more rows and columns"
            )
    width, height = facts["picture"]
    rows, columns = facts["rows"][1], facts["columns"][1]
    if width < 6 * (columns + 1) or height < 6 * (rows + 1):
        yield f"grids.picture: {width} x {height} pixels do not hold {rows} rows of {columns}, 6 pixels each"
