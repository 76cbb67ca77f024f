"""A table with a path through it: how one is drawn, and the mapping that an example keeps of it."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmrc_helpers.errors import listed
from mmrc_helpers.worlds.puzzles import making
from mmrc_helpers.worlds.puzzles.making import Place, drawn, split_of
from mmrc_helpers.worlds.tables import paths
from mmrc_helpers.worlds.tables.paths import Path

NOUNS = ("Widget", "Gadget", "Device", "Module", "Sensor", "Kettle", "Lamp", "Drill", "Chair", "Pump")
QUALIFIERS = ("Solar", "Nordic", "Turbo", "Quiet", "Amber", "Pocket", "Royal", "Cobalt", "Rapid", "Twin")
# The first names of the pool differ in both parts, so a small pool is not all of one noun.
PRODUCTS = tuple(QUALIFIERS[(n + n // 10) % 10] + NOUNS[n % 10] for n in range(100))
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
CAPITALS, SMALL = "ABCDEFGHJKLMNPRSTUVWXYZ", "abcdefghkmnr"  # none that looks like another or a digit
DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")


@dataclass(frozen=True)
class Table:
    """values: digits [row][column]. path: the marked cells in order. shape: consecutive or one of READOUT."""

    task: str
    shape: str
    products: tuple[str, ...]
    months: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]
    path: tuple[paths.Cell, ...]

    @property
    def summands(self) -> list[int]:
        """The values on the path."""
        return [self.values[row][column] for row, column in self.path]

    def named(self, cell: paths.Cell) -> tuple[str, str]:
        """Product and month of a cell."""
        return self.products[cell[0]], self.months[cell[1]]


def pools(facts: Mapping) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of products and months in use."""
    words = facts["labels"] == "words"
    return tuple(PRODUCTS if words else CAPITALS)[: facts["products"]], tuple(MONTHS if words else SMALL)


def shapes_of(facts: Mapping, difficulty: str) -> list[str]:
    """The shapes of path that a difficulty has."""
    readout = [shape for shape, pieces in facts["readout"][difficulty].items() if pieces]
    of = {"consecutive": ["consecutive"], "readout": readout}
    return [shape for task in facts["tasks"] for shape in of[task]]


def sample(facts: Mapping, seed: int, place: Place) -> Table:
    """The table at this place. Raises UserError if the sizes in facts allow none."""
    difficulty, split, index = place
    rng = random.Random(f"{seed}/{split}/{difficulty}/{index}")
    task = facts["tasks"][index % len(facts["tasks"])]
    kind = _kind(rng, facts[task][difficulty]) if task == "readout" else (task, 0)

    def draw() -> Table | None:
        path, rows, columns = _path(rng, facts[task], difficulty, *kind)
        if path is None:
            return None
        values = tuple(tuple(rng.randrange(10) for _ in range(columns)) for _ in range(rows))
        products, months = pools(facts)
        if facts["fixed_labels"]:
            named = products[:rows], months[:columns]
        else:
            named = tuple(rng.sample(products, rows)), tuple(rng.sample(months, columns))
        table = Table(task, kind[0], *named, values, tuple(path))
        return table if split_of(content(truth(table))) == split else None

    return drawn(f"{task} table", place, draw)


def _kind(rng: random.Random, shapes: Mapping[str, list[int]]) -> tuple[str, int]:
    """A shape of those in use and its number of pieces."""
    shape = rng.choice([name for name in paths.READOUT if shapes[name]])
    return shape, rng.choice(shapes[shape])


def _path(
    rng: random.Random, sizes: Mapping, difficulty: str, shape: str, pieces: int
) -> tuple[Path | None, int, int]:
    """A path, or None, with the rows and columns of its table."""
    if shape == "consecutive":
        rows, columns = sizes["rows"], sizes["columns"]
        return paths.consecutive(rng, rows, columns, rng.randint(*sizes[difficulty])), rows, columns
    rows, columns = rng.randint(*sizes["rows"]), rng.randint(*sizes["columns"])
    return paths.readout(rng, shape, rows, columns, pieces), rows, columns


# --- what an example keeps ----------------------------------------------------------------------------------


def truth(table: Table) -> dict:
    """What the verifier gets: the table, which cells are marked, and the first one; never the path."""
    cells = set(table.path)
    marked = [
        "".join("*" if (r, c) in cells else "." for c in range(len(table.months)))
        for r in range(len(table.products))
    ]
    return {
        "order": "rows" if table.task == "consecutive" else "steps",
        "products": list(table.products),
        "months": list(table.months),
        "values": ["".join(map(str, row)) for row in table.values],
        "marked": marked,
        "start": list(table.path[0]),
    }


def content(truth: Mapping) -> str:
    """What makes two tables the same puzzle."""
    return repr([truth[name] for name in ("products", "months", "values", "marked", "start")])


# --- limits that join several facts -------------------------------------------------------------------------


def problems(facts: Mapping) -> Iterator[str]:
    """What in `facts` cannot be made."""
    yield from (found := list(making.problems("tables", facts)))
    if not facts["tasks"] or len(set(facts["tasks"])) < len(facts["tasks"]):
        yield f"tables.tasks: {facts['tasks']}; name at least one task, each once"
    for task in facts["tasks"]:
        sizes = facts[task]
        wrong = list(_consecutive(sizes, facts) if task == "consecutive" else _readout(sizes, facts))
        yield from wrong
        if wrong or found:
            continue
        rows, columns = largest(facts, task)
        products, months = pools(facts)
        if rows > len(products):
            yield f"tables.{task}.rows: {rows} rows need as many names; tables.products gives {len(products)}"
        if columns > len(months):
            yield f"tables.{task}.columns: {columns} columns, but there are {len(months)} months"
        width, height = facts["picture"]
        if width < 5 * (columns + 1) or height < 5 * (rows + 1):
            yield f"tables.picture: {width} x {height} pixels are too few for {rows} rows of {columns}"


def largest(facts: Mapping, task: str) -> tuple[int, int]:
    """Rows and columns of the largest table of a task."""
    return _most(facts[task]["rows"]), _most(facts[task]["columns"])


def _most(size: int | list[int]) -> int:
    """The largest of a size that may be a range."""
    return size if isinstance(size, int) else size[1]


def _consecutive(sizes: Mapping, facts: Mapping) -> Iterator[str]:
    cells = sizes["rows"] * sizes["columns"]
    for difficulty in making.used(facts):
        if not making.is_range(sizes[difficulty], 1, cells):
            yield (
                f"tables.consecutive.{difficulty}: {sizes[difficulty]} is no range of lengths from 1 to "
                f"{cells}, the cells of the table"
            )


def _readout(sizes: Mapping, facts: Mapping) -> Iterator[str]:
    for name in ("rows", "columns"):
        if not making.is_range(sizes[name], 3, 100):
            yield f"tables.readout.{name}: {sizes[name]} is no range; give the least and the most, 3 to 100"
            return
    for difficulty in making.used(facts):
        if not any(sizes[difficulty].values()):
            yield f"tables.readout.{difficulty}: no shape has a number of pieces; give one, say sine: [3]"
        for shape, counts in sizes[difficulty].items():
            largest = _most(sizes["rows"]), _most(sizes["columns"])
            if misfits := [pieces for pieces in counts if not _fits(shape, pieces, *largest)]:
                yield (
                    f"tables.readout.{difficulty}.{shape}: no path of {listed(misfits)} pieces fits the "
                    "largest table; allow more rows and columns or fewer pieces"
                )


def _fits(shape: str, pieces: int, rows: int, columns: int) -> bool:
    """Whether some of many draws gives such a path."""
    rng = random.Random(f"{shape}/{pieces}/{rows}/{columns}")
    return any(paths.readout(rng, shape, rows, columns, pieces) for _ in range(2000))
