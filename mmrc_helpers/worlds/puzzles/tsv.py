"""Puzzle questions as the TSV that VLMEvalKit reads: writing, and reading released files of the same columns.

Columns: index, question, answer; image (base64) where there is a picture; for grids num_steps, start_row,
start_col, end_row, end_col, text, collect_objects_coordinates, counted from 1. The answer is what prior
work compares: summands with commas, moves as pairs (row, column), or the block of an analogy.
"""

import base64
import csv
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError, listed, raise_all, show
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds.grids.instances import (
    DESTINATION_NAME,
    EMPTY_NAME,
    OBSTACLES,
    START_NAME,
)
from mmrc_helpers.worlds.grids.search import DESTINATION, EMPTY, MOVES, OBJECT, START
from mmrc_helpers.worlds.puzzles.making import spoken
from mmrc_helpers.worlds.tables.grading import summands_of

COLUMNS = ("index", "question", "answer")
GRID_COLUMNS = (
    "num_steps", "start_row", "start_col", "end_row", "end_col", "text", "collect_objects_coordinates",
)  # fmt: skip
POINTER = "version https://git-lfs"  # how a file begins that git-lfs has not fetched
VIEWS = ("text", "image")  # those that other programs know
ENDS = (START_NAME, DESTINATION_NAME)
FIXED = {EMPTY_NAME: EMPTY, START_NAME: START, DESTINATION_NAME: DESTINATION}


def write_tsv(examples: Iterable[Example], pictures: Callable[[str], bytes], path: Path) -> int:
    """Writes the questions and returns how many. pictures: name → the bytes of an encoded picture.

    All are of one world and all have one picture, or none. Of an imported question the columns that it came
    with are written again. Raises UserError where they do not fit in one file.
    """
    columns: list[str] = []
    rows = 0
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        for example in examples:
            row = _row(example, rows, pictures)
            if not columns:
                columns = list(row)
                table.writerow(columns)
            if list(row) != columns:
                raise UserError(
                    f"{show(Path(path))}: {example.id} has the columns {listed(row)}, others have "
                    f"{listed(columns)}; write one file for each world and view"
                )
            table.writerow(row.values())
            rows += 1
    return rows


def write_all(examples: Iterable[Example], pictures: Callable[[str], bytes], folder: Path) -> list[Path]:
    """Writes the test questions, in text and in pictures, a file for each task, difficulty and view; returns
    their paths. pictures: as `write_tsv` has them."""
    files: dict[str, list[Example]] = {}
    for example in examples:
        task, difficulty, view = (example.facets.get(name, "") for name in ("task", "difficulty", "view"))
        if example.split == "test" and view in VIEWS:
            files.setdefault(f"{task}_{difficulty.upper()}_{view}.tsv", []).append(example)
    if not files:
        raise UserError(
            "no test question of a puzzle is there, in text or in a picture; make such data first"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, questions in files.items():
        write_tsv(questions, pictures, folder / name)
    return [folder / name for name in files]


def _row(example: Example, number: int, pictures: Callable[[str], bytes]) -> dict[str, str]:
    """The columns of one question."""
    if len(example.pictures) > 1:
        raise UserError(f"{example.id} shows {len(example.pictures)} pictures; a row of a TSV holds one")
    image = {name: base64.b64encode(pictures(name)).decode() for name in example.pictures}
    if "columns" in example.truth:
        return {**example.truth["columns"], **({"image": "".join(image.values())} if image else {})}
    row = {"index": f"0_{number}", "question": spoken(example), "answer": _answer(example)}
    row |= {"image": "".join(image.values())} if image else {}
    return row | (_grid_columns(example.truth) if "grid" in example.truth else {})


def _answer(example: Example) -> str:
    """What prior work compares an answer with."""
    truth = example.truth
    if "grid" in truth:
        return str([MOVES[move] for move in example.answer.split("Answer: ")[-1].split(" ")])
    if "marked" in truth:
        return ",".join(map(str, summands_of(truth)))
    if "block" in truth and truth.get("style", "full") != "full":
        raise UserError(
            f"{example.id}: other programs read the block of style full; write analogies.style: full"
        )
    if "block" in truth:
        return truth["block"]
    raise UserError(f"{example.id}: only questions of tables, grids and analogies can be written as TSV")


def _grid_columns(truth: Mapping) -> dict[str, str]:
    names = [row.split(" ") for row in truth["grid"]]
    cells = {
        name: (r + 1, c + 1) for r, row in enumerate(names) for c, name in enumerate(row) if name in ENDS
    }
    places = {tuple(cell): OBJECT + number for number, cell in enumerate(truth["objects"])}
    obstacles = {name: -number for number, name in enumerate(OBSTACLES, 1)}
    codes = [
        [places.get((r, c)) or {**FIXED, **obstacles}[name] for c, name in enumerate(row)]
        for r, row in enumerate(names)
    ]
    (top, left), (bottom, right) = cells[START_NAME], cells[DESTINATION_NAME]
    values = (truth["states"], top, left, bottom, right)
    text = "\n".join("".join(f":{code}" for code in row) for row in codes)
    objects = ":".join(f"{row + 1}-{column + 1}" for row, column in truth["objects"])
    return dict(zip(GRID_COLUMNS, [*map(str, values), text, objects], strict=True))


# --- reading ------------------------------------------------------------------------------------------------


def read_tsv(path: Path, task: str = "", difficulty: str = "") -> tuple[list[Example], dict[str, bytes]]:
    """The questions of a file, as test examples, and their pictures by name.

    task, difficulty: facets that the columns do not tell. Written again, the columns are as they came.
    Raises UserError that lists the rows and columns that are not as described above.
    """
    examples, pictures, problems = [], {}, []
    for number, row in enumerate(_rows(path), 1):
        name = f"row-{number:06d}"
        try:
            if row.get("image"):
                pictures[name] = _decoded(row["image"])
            examples.append(_example(name, row, task, difficulty))
        except ValueError as error:
            problems.append(f"{show(Path(path))}, row {number}: {error}")
    raise_all(problems)
    return examples, pictures


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows as mappings. A field may be as long as a picture, which the csv module must be told."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, delimiter="\t", strict=True)
    except (csv.Error, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{show(Path(path))}: not a tab-separated table ({error})") from error
    finally:
        csv.field_size_limit(limit)
    if "".join(header[:1]).startswith(POINTER):
        raise UserError(f"{show(Path(path))}: a pointer of git-lfs; fetch the file with `git lfs pull`")
    if missing := [column for column in COLUMNS if column not in header]:
        raise UserError(
            f"{show(Path(path))}: the columns {listed(missing)} are missing; the first line must name "
            f"{listed(COLUMNS)}"
        )
    raise_all(
        f"{show(Path(path))}, row {number}: {len(row)} fields, but {len(header)} columns"
        for number, row in enumerate(rows, 1)
        if len(row) != len(header)
    )
    return [dict(zip(header, row, strict=True)) for row in rows]


def _decoded(image: str) -> bytes:
    """The bytes of a base64 text that they give again. Raises ValueError, as binascii.Error is."""
    found = base64.b64decode(image, validate=True)
    if base64.b64encode(found).decode() != image:
        raise ValueError("image: not plain base64")
    return found


def _example(name: str, row: dict[str, str], task: str, difficulty: str) -> Example:
    """The example of a row. Raises ValueError where a column is not as it should be."""
    world, answer, truth = _meaning(row)
    picture = (("image", name),) if row.get("image") else ()
    return Example(
        id=name,
        group=name,
        split="test",
        prompt=(*picture, ("text", row["question"])),
        answer=answer,
        facets={
            "task": task or world,
            "difficulty": difficulty or "unknown",
            "view": "image" if picture else "text",
            "cot": "yes",
            "drop": "none",
        },
        truth={**truth, "columns": {k: "" if k == "image" else v for k, v in row.items()}},
        scene=name,
    )


def _meaning(row: Mapping[str, str]) -> tuple[str, str, dict]:
    """World, gold answer and truth of a row."""
    if "start_row" in row:
        steps = re.sub(r"\s", "", row["answer"]).strip("[]").replace("),(", ") (").split(" ")
        names = {f"({r},{c})": move for move, (r, c) in MOVES.items()}
        if any(step not in names for step in steps):
            raise ValueError("answer: not a list of the pairs (-1, 0), (1, 0), (0, -1), (0, 1)")
        return "grids", f"Answer: {' '.join(names[step] for step in steps)}", _grid(row)
    if re.fullmatch(r"\d+(,\d+)*", row["answer"]):
        summands = [int(value) for value in row["answer"].split(",")]
        added, total = " + ".join(map(str, summands)), sum(summands)
        return "tables", f"The total is {added} = {total}.\n\nAnswer: {total}", {"summands": summands}
    if re.search(r"^Answer: [1-4]$", row["answer"], re.MULTILINE):
        return "analogies", row["answer"], {"block": row["answer"]}
    raise ValueError("answer: neither summands with commas nor the block of an analogy")


def _grid(row: Mapping[str, str]) -> dict:
    """The truth of an imported grid; its objects have numbers for names."""
    if missing := [column for column in GRID_COLUMNS if column not in row]:
        raise ValueError(f"the columns {listed(missing)} are missing")
    codes = [[int(code) for code in line.split(":")[1:]] for line in row["text"].split("\n")]
    if len({len(line) for line in codes}) != 1:
        raise ValueError("text: rows of different lengths")
    names = {code: name for name, code in FIXED.items()}
    names |= {-number: name for number, name in enumerate(OBSTACLES, 1)}
    names |= {code: f"object{code - OBJECT + 1}" for line in codes for code in line if code >= OBJECT}
    if unknown := {code for line in codes for code in line} - set(names):
        raise ValueError(f"text: {listed(sorted(unknown))} is no code of a cell")
    grid = [[names[code] for code in line] for line in codes]
    for name, prefix in zip(ENDS, ("start", "end"), strict=True):
        place = int(row[f"{prefix}_row"]) - 1, int(row[f"{prefix}_col"]) - 1
        if [(r, c) for r, line in enumerate(grid) for c, cell in enumerate(line) if cell == name] != [place]:
            raise ValueError(f"{prefix}_row and {prefix}_col are not the one {prefix} in text")
    pairs = [pair.split("-") for pair in row["collect_objects_coordinates"].split(":") if pair]
    return {
        "grid": [" ".join(line) for line in grid],
        "objects": [[int(r) - 1, int(c) - 1] for r, c in pairs],
        "states": int(row["num_steps"]),
    }
