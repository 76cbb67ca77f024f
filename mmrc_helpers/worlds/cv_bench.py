"""CV-Bench (arXiv 2406.16860): choices about relations, counts, depth and distance in photographs."""

from collections.abc import Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.tasks.example import LETTERS, Example
from mmrc_helpers.tasks.parsing import lettered, option
from mmrc_helpers.worlds import INVALID, Grade
from mmrc_helpers.worlds.benchmarks import Asked, benchmark, graded
from mmrc_helpers.worlds.sources.places import located, tables_in
from mmrc_helpers.worlds.sources.rows import Row, stored_in, text_in


def tables(facts: Mapping) -> list[Path]:
    """The tables of the asked dimensions: the named file, or those of the published layout."""
    path = located(facts["path"], "cv_bench.path")
    if path.is_file():
        return tables_in(path, "cv_bench.path")
    for ending in ("parquet", "jsonl"):
        names = [f"test_{dimension.lower()}.{ending}" for dimension in facts["dimensions"]]
        for wanted in (names, [f"test.{ending}"]):
            if wanted and all((path / name).is_file() for name in wanted):
                return [path / name for name in wanted]
    raise UserError(
        f"cv_bench.path: {show(path)} holds no test_2d.parquet, test_3d.parquet or test.parquet (or .jsonl)"
    )


def read(row: Row, facts: Mapping) -> Asked | None:
    """A question of a row: question, choices, answer as (A), type (2D, 3D), task, and filename, unless the
    table holds the picture."""
    question, task, dimension, answer = (
        text_in(row, name) for name in ("question", "task", "type", "answer")
    )
    if dimension and dimension not in ("2D", "3D"):
        row.blame(f"type must be 2D or 3D; got {dimension!r}")
    choices = _choices(row)
    gold = lettered(answer, len(choices))
    if choices and answer and gold is None:
        row.blame(f"answer must be one of the first {len(choices)} letters, as (A); got {answer!r}")
    name = row.get("filename") if stored_in(row) else text_in(row, "filename")
    if row.is_broken or dimension not in facts["dimensions"]:
        return None
    facets = {"task": task.lower(), "dimension": dimension, "source": str(row.get("source") or "")}
    names = (name, f"img/{name}") if isinstance(name, str) and name else ()
    text = f"{question}\nAnswer with a letter.\n"
    return Asked(row, text, choices, gold, facets, names, lettered=True)


def _choices(row: Row) -> tuple[str, ...]:
    found = row.get("choices")
    choices = tuple(str(choice).strip() for choice in found) if isinstance(found, list) else ()
    if 2 <= len(choices) <= len(LETTERS) and len(set(choices)) == len(choices) and all(choices):
        return choices
    row.blame(f"choices must be 2 to {len(LETTERS)} different texts; got {found!r:.80}")
    return ()


def grade(example: Example, text: str) -> Grade:
    """A letter, bare, in brackets, or with its option's words; or those words alone."""
    place = option(text, example.options)
    answer = INVALID if place is None else LETTERS[place]
    return graded(example, answer, lettered(text, len(example.options)) is not None)


WORLD = benchmark("cv_bench", ("task", "dimension", "source"), ("task",), tables, read, grade)
