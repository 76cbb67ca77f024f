"""World `tsv`: questions of tables, grids and analogies in VLMEvalKit's TSV; they are asked, never taught.

Answers are graded by what ends them, and by prior work's scorer beside it (part `legacy`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image

from mmrc_helpers.errors import UserError, raise_all, show
from mmrc_helpers.store.decoding import BROKEN, decoded, why
from mmrc_helpers.tasks.example import Example, with_pictures
from mmrc_helpers.tasks.orders import chosen
from mmrc_helpers.worlds import Data, Grade, Made, World
from mmrc_helpers.worlds.analogies import grading as analogies
from mmrc_helpers.worlds.drops import Noise, draw_noise, noises, with_drops
from mmrc_helpers.worlds.grids import grading as grids
from mmrc_helpers.worlds.puzzles import FACETS
from mmrc_helpers.worlds.puzzles.making import fact_of
from mmrc_helpers.worlds.puzzles.mixes import DIFFICULTIES
from mmrc_helpers.worlds.puzzles.tsv import read_tsv
from mmrc_helpers.worlds.sources.pictures import Picture, glance
from mmrc_helpers.worlds.sources.places import located, size_of, tables_in
from mmrc_helpers.worlds.tables import grading as tables

MOST = 20  # sentences about one file


@dataclass(frozen=True)
class Shown:
    """A picture of a file. where: its file and row, for people. content: as encoded."""

    where: str
    content: bytes


def make(facts: Mapping, seed: int) -> Made:
    """All questions of the named files with their pictures. Rows of a difficulty with the same index and the
    same answer are views of one instance. Raises UserError that lists all that is wrong with the files."""
    raise_all(check(facts))
    examples: list[Example] = []
    shown: dict[str, Shown] = {}
    groups: dict[tuple, str] = {}
    for number, (difficulty, path) in enumerate(_named(facts)):
        found, pictures = read_tsv(path, difficulty=difficulty)
        names = {name: f"{difficulty}-{number}-{name}" for name in pictures}
        shown |= {names[name]: Shown(f"{show(path)}, {name}", content) for name, content in pictures.items()}
        for example in found:
            same = (difficulty, example.facets["task"], example.truth["columns"]["index"], example.answer)
            group = groups.setdefault(same, f"{difficulty}-{len(groups):06d}")
            own = {"id": f"{difficulty}-{number}-{example.id}", "group": group, "scene": group}
            examples.append(replace(with_pictures(example, names), **own))
    return Made(examples, {**shown, **noises()}, draw, _facts(examples))


def draw(picture: Shown | Noise) -> Image.Image | bytes:
    """The encoded picture as it came, or noise. Raises UserError if it cannot be decoded to its end."""
    if isinstance(picture, Noise):
        return draw_noise(picture)
    try:
        decoded(picture.content)
    except BROKEN as error:
        raise UserError(f"{picture.where}: the picture is damaged ({why(error)}); replace it") from error
    return picture.content


def grade(example: Example, text: str) -> Grade:
    """The grade of an imported question in its own world."""
    if "summands" in example.truth:
        return tables.grade(example, text)
    if "grid" in example.truth:
        return grids.grade(example, text)
    found, legacy = analogies.grade(example, text), float(analogies.legacy_right(example, text))
    return replace(found, parts={**found.parts, "legacy": legacy})


def ask(data: Data, ask: Mapping, teach: Mapping) -> list[Example]:
    """The questions about `ask.instances` instances of each difficulty, chosen by the hash of their names."""
    kept: set[str] = set()
    for difficulty in DIFFICULTIES:
        groups = dict.fromkeys(e.group for e in data.examples if e.facets["difficulty"] == difficulty)
        kept |= set(chosen(list(groups), ask["instances"], str))
    return with_drops([example for example in data.examples if example.group in kept], ask)


def promises(data: Data) -> Iterator[tuple[str, int, int]]:
    """Whether every answer that the files call right is graded right."""
    right = sum(grade(example, example.answer).right for example in data.examples)
    yield "answers of the files that are graded right", right, len(data.examples)


def check(facts: Mapping, phases: Sequence[Mapping] = ()) -> Iterator[str]:
    """Whether files are named and there, and what is wrong with them, before anything is trained."""
    try:
        paths = files(facts)
    except UserError as error:
        yield str(error)
        return
    if not paths:
        yield "tsv: no file is named; name some in tsv.simple, tsv.medium or tsv.hard"
    for path in paths:
        yield from _problems(path, (path.stat().st_mtime_ns, path.stat().st_size))


def files(facts: Mapping) -> list[Path]:
    """The files that are named."""
    return list(dict.fromkeys(path for _, path in _named(facts)))


def _named(facts: Mapping) -> list[tuple[str, Path]]:
    """(difficulty, file) of all that are named, in order."""
    return [
        (difficulty, file)
        for difficulty in DIFFICULTIES
        for path in facts[difficulty]
        for file in tables_in(located(path, f"tsv.{difficulty}"), f"tsv.{difficulty}", endings=(".tsv",))
    ]


@lru_cache(maxsize=64)  # asked for every variant of a study; a file in another state is another one
def _problems(path: Path, state: tuple[int, int]) -> tuple[str, ...]:
    """What is wrong with a file, row by row."""
    try:
        examples, pictures = read_tsv(path)
    except UserError as error:
        return (str(error),)
    wrong = []
    for number, example in enumerate(examples, 1):
        where = f"{show(path)}, row {number}"
        try:
            if not grade(example, example.answer).right:
                wrong.append(f"{where}: its answer does not solve what it shows; correct the file")
        except UserError:  # an analogy, which alone is read by its own answer
            wrong.append(
                f"{where}: its answer is not the block of an analogy (two lines of examples, four of "
                "options, a blank one, Answer: and a number); correct the file"
            )
        if example.id in pictures and (problem := glance(pictures[example.id], Picture(str(path))).problem):
            wrong.append(f"{where}: its picture {problem}")
    if not examples:
        wrong.append(f"{show(path)}: holds no question; name another file")
    more = [f"{show(path)}: {len(wrong) - MOST} more like these"] if len(wrong) > MOST else []
    return (*wrong[:MOST], *more)


def _facts(examples: Sequence[Example]) -> list[dict]:
    """A fact for each instance, in all of its views."""
    by_group: dict[str, list[Example]] = {}
    for example in examples:
        by_group.setdefault(example.group, []).append(example)
    return [
        fact_of(views, f"{views[0].facets['difficulty']}, {views[0].facets['task']}")
        for views in by_group.values()
    ]


WORLD = World(
    version=1,
    facets=FACETS,
    cells=("difficulty", "view"),
    make=make,
    grade=grade,
    size=lambda facts: size_of(files(facts)),
    promises=promises,
    ask=ask,
    check=check,
    files=files,
    paths=DIFFICULTIES,
)
