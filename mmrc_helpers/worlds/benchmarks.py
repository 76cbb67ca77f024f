"""What benchmarks from a user's own copy have in common: questions that are asked but cannot be taught.

A question whose picture is missing stays a row that no answer can get right, so that a benchmark never
shrinks to what happens to be there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import LETTERS, Example
from mmrc_helpers.tasks.orders import chosen
from mmrc_helpers.worlds import INVALID, Data, Grade, Made, World
from mmrc_helpers.worlds.drops import noises, with_drops
from mmrc_helpers.worlds.sources.pictures import Picture, draw, glance, plain_name
from mmrc_helpers.worlds.sources.places import located, size_of
from mmrc_helpers.worlds.sources.rows import (
    Row,
    Table,
    missing_pictures,
    picture_of,
    raise_some,
    read_table,
    told,
)


@dataclass(frozen=True)
class Asked:
    """A question of a benchmark before its picture is looked for. names: where the picture may lie below the
    folder, if the table does not hold it."""

    row: Row
    text: str
    options: tuple[str, ...]
    gold: int
    facets: Mapping[str, str]
    names: tuple[str, ...]
    lettered: bool = False


Tables = Callable[[Mapping], list[Path]]
Reader = Callable[[Row, Mapping], Asked | None]


def graded(example: Example, answer: str, in_form: bool) -> Grade:
    """The grade of a parsed answer; nothing is right, nor in form, where the picture is missing."""
    here = "missing" not in example.truth
    right = answer == example.answer and here
    parts = {"exact": float(right), "format": float(in_form and here)}
    return Grade(answer if here else INVALID, right, parts)


def _questions(tables: Sequence[Table], facts: Mapping, read: Reader) -> list[Asked]:
    rows = [row for table in tables for row in table.rows]
    asked = [question for row in rows if (question := read(row, facts))]
    if rows and not asked and not any(table.problems for table in tables):
        tables[0].problems[0].append(f"none of {len(rows)} rows is asked for")
    return asked


def _folder(facts: Mapping, what: str, table: Path) -> Path:
    """Where the pictures lie: the named folder, or beside the table."""
    return located(facts["pictures"], f"{what}.pictures") if facts["pictures"] else table.parent


def _make(what: str, paths: Tables, read: Reader, facts: Mapping, seed: int) -> Made:
    """All questions of a benchmark with the pictures that are there.

    Raises UserError that lists, with their rows, all that is wrong with the tables and pictures; pictures
    that are missing are named and counted unless `missing` is keep.
    """
    tables = [read_table(path, glance) for path in paths(facts)]
    asked, folder = _questions(tables, facts, read), _folder(facts, what, tables[0].path)
    found: dict[str, Picture] = {}
    shown, lacking = [], []
    for number, question in enumerate(asked):
        picture = picture_of(question.row, question.names, folder, glance)
        name = plain_name(question.names[0]) if question.names else f"picture-{number:06d}"
        shown.append(name if picture else "")
        if picture:
            found[name] = picture
        elif not question.row.is_broken:
            lacking.append(question.names[0] if question.names else question.row.where)
    problems = [line for table in tables for line in told(table, table.problems)]
    if lacking and facts["missing"] == "refuse":
        kept = "asks those questions without a picture and counts every answer as wrong"
        problems.append(missing_pictures(what, lacking, len(asked), kept))
    raise_some(problems)
    examples = [_example(what, question, name) for question, name in zip(asked, shown, strict=True)]
    return Made(examples, {**found, **noises()}, draw, _facts(examples))


def _example(what: str, asked: Asked, picture: str) -> Example:
    letters = (("options", "words"),) if asked.lettered else ()
    shown = ((("image", picture),) if picture else ()) + (("text", asked.text), *letters)
    number = asked.row.number
    lacking = plain_name(asked.names[0]) if asked.names else f"row-{number}"
    return Example(
        id=f"{what}-{asked.facets.get('dimension', asked.facets.get('split'))}-{number:05d}",
        group=picture or lacking,
        split="test",
        prompt=shown,
        answer=LETTERS[asked.gold] if asked.lettered else asked.options[asked.gold],
        facets={**asked.facets, "picture": "here" if picture else "missing", "drop": "none"},
        options=asked.options,
        gold=asked.gold if picture else -1,  # so that no option is the right one
        truth={} if picture else {"missing": lacking},
        scene=picture,
    )


def _facts(examples: Sequence[Example]) -> list[dict]:
    """One fact per picture: what is asked about it."""
    facts: dict[str, dict] = {}
    for example in examples:
        name, text = example.group, next(content for kind, content in example.prompt if kind == "text")
        empty = {"group": name, "title": name, "text": text, "pictures": list(example.pictures)}
        facts.setdefault(name, {**empty, "questions": 0})["questions"] += 1
    return list(facts.values())


def _ask(data: Data, ask: Mapping, teach: Mapping) -> list[Example]:
    """The questions, or `ask.questions` of them chosen by the hash of their ids."""
    return with_drops(chosen(data.examples, ask["questions"], lambda example: example.id), ask)


def _promises(data: Data) -> Iterator[tuple[str, int, int]]:
    here = sum(example.facets["picture"] == "here" for example in data.examples)
    yield "questions that have their picture", here, len(data.examples)


def _alternatives(example: Example, data: Data) -> dict[str, str]:
    """The right answer and each wrong one."""
    said = LETTERS if example.how else example.options
    wrong = [said[place] for place in range(len(example.options)) if said[place] != example.answer]
    return {"right": example.answer, **{f"wrong {number}": text for number, text in enumerate(wrong, 1)}}


def _files(what: str, paths: Tables, read: Reader, facts: Mapping) -> list[Path]:
    """The tables and the pictures that are there: what a data folder is made from."""
    tables = [read_table(path, None) for path in paths(facts)]
    folder = _folder(facts, what, tables[0].path)
    asked = _questions(tables, facts, read)
    pictures = [picture_of(question.row, question.names, folder, None) for question in asked]
    found = [Path(picture.path) for picture in pictures if picture]
    return list(dict.fromkeys([*(table.path for table in tables), *found]))


def _size(what: str, paths: Tables, read: Reader, facts: Mapping) -> int:
    return size_of(_files(what, paths, read, facts))


def _check(what: str, paths: Tables, facts: Mapping, phases: Sequence[Mapping] = ()) -> Iterator[str]:
    """Paths that lead nowhere."""
    try:
        _folder(facts, what, paths(facts)[0])
    except UserError as error:
        yield str(error)


def benchmark(what: str, facets: tuple, cells: tuple, paths: Tables, read: Reader, grade) -> World:
    """The world of a benchmark. what: its name; facets: of its own; cells: those of them that span cells;
    paths: the tables that hold its questions; read: a question of a row, or None if it is not asked for or
    the row was blamed."""
    return World(
        version=1,
        facets=(*facets, "picture", "drop"),
        cells=cells,
        make=partial(_make, what, paths, read),
        grade=grade,
        size=partial(_size, what, paths, read),
        promises=_promises,
        ask=_ask,
        alternatives=_alternatives,
        check=partial(_check, what, paths),
        files=partial(_files, what, paths, read),
        paths=("path", "pictures"),
    )
