"""Conversations about a user's own pictures, for training: RLHF-V (with rejected answers), PixMo-Cap
(captions), SpatialVLM-style question answering and LLaVA conversations, from local copies in their published
layouts. A share of the pictures is kept for tests.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import Data, Made, World
from mmrc_helpers.worlds.drops import Noise, noises
from mmrc_helpers.worlds.sources.pictures import Look, Picture, draw, glance, plain_name
from mmrc_helpers.worlds.sources.places import located, size_of, tables_in
from mmrc_helpers.worlds.sources.rows import (
    Row,
    Table,
    missing_pictures,
    picture_of,
    raise_some,
    read_table,
    told,
)
from mmrc_helpers.worlds.vqa.layouts import LAYOUTS, MARK, Talk
from mmrc_helpers.worlds.vqa.using import alternatives, ask, grade, pairs, teach

Said = tuple[Row, Talk, str, Picture | None]  # … whether its picture is here, missing, or there is none


def make(facts: Mapping, seed: int) -> Made:
    """All conversations of the named tables, with the pictures that are there.

    Raises UserError that lists, with their rows, all that is wrong with tables and pictures; pictures that
    are missing are named and counted unless `missing` is keep.
    """
    problems: list[str] = []
    pictures: dict[str, Picture | Noise] = {}
    examples: list[Example] = []
    for number, (path, layout, folder) in enumerate(_tables(facts)):
        table = read_table(path, glance)
        talks = _talks(table, layout, folder, facts, glance)
        _blame_shared(talks)
        problems += told(table, table.problems)
        lacking = [talk.source or row.where for row, talk, about, _ in talks if about == "missing"]
        if lacking and facts["missing"] == "refuse":
            kept = "leaves those rows out of training and counts them as wrong in tests"
            problems.append(f"{show(path)}: {missing_pictures('vqa', lacking, len(talks), kept)}")
        for row, talk, about, picture in talks:
            place = f"{number}-{row.number:07d}"
            name = plain_name(talk.names[0]) if talk.names else place
            pictures |= {name: picture} if picture else {}
            examples += _examples(talk, layout, place, name, about, _split(facts, name, seed))
    raise_some(problems)
    return Made(examples, {**pictures, **noises()}, draw, _facts(examples))


def _tables(facts: Mapping) -> list[tuple[Path, str, Path]]:
    """Every table with its layout and the folder of its pictures. Raises UserError that names what is not
    there."""
    raise_some(list(check(facts)))
    found = []
    for place, path in enumerate(facts["paths"]):
        layout = facts["layouts"][place if len(facts["layouts"]) > 1 else 0]
        folder = facts["pictures"][place if len(facts["pictures"]) > 1 else 0] if facts["pictures"] else ""
        for table in tables_in(located(path, "vqa.paths"), "vqa.paths"):
            found.append((table, layout, located(folder, "vqa.pictures") if folder else table.parent))
    return found


def _talks(table: Table, layout: str, folder: Path, facts: Mapping, look: Look | None) -> list[Said]:
    """The rows of a table that are not broken: what they say, and where their picture is."""
    found = []
    for row in table.rows[: facts["rows"] or None]:
        talk = LAYOUTS[layout](row)
        picture = picture_of(row, talk.names, folder, look)
        about = "here" if picture else "missing" if talk.names else "none"
        if not row.is_broken:
            found.append((row, talk, about, picture))
    return found


def _blame_shared(talks: Sequence[Said]) -> None:
    """Files that rows with different sources would take for their picture: equal last parts of URLs."""
    taken: dict[str, str] = {}
    for row, talk, _, picture in talks:
        if picture and not picture.column and taken.setdefault(picture.path, talk.source) != talk.source:
            also = f"is also taken for the picture of {taken[picture.path]}"
            row.blame(f"{show(Path(picture.path))} {also}; name the files by the SHA-256 of their URLs")


def check(facts: Mapping, phases: Sequence[Mapping] = ()) -> Iterator[str]:
    """Problems that join several facts, and paths that lead nowhere."""
    if not facts["paths"]:
        yield "vqa.paths: no table is named; name a table, a folder of some, or hub:OWNER/NAME"
    for key, least in (("layouts", 1), ("pictures", 0)):
        if len(facts[key]) not in {least, 1, len(facts["paths"])}:
            count = f"{len(facts[key])} are named for {len(facts['paths'])} paths"
            yield f"vqa.{key}: {count}; name one for all, or one for each"
    for key in ("paths", "pictures"):
        for path in facts[key]:
            try:
                located(path, f"vqa.{key}")
            except UserError as error:
                yield str(error)


def _split(facts: Mapping, name: str, seed: int) -> str:
    """All rows about one picture are in one split."""
    return "test" if random.Random(f"{seed}/vqa/{name}").random() < facts["eval_share"] else "train"


def _examples(talk: Talk, layout: str, row: str, name: str, about: str, split: str) -> Iterator[Example]:
    """A question for each turn, the first with the picture."""
    truth = {"missing": name} if about == "missing" else {}
    truth |= {"rejected": talk.rejected} if talk.rejected else {}
    for place, (asked, answer) in enumerate(talk.turns):
        picture = (("image", name),) if about == "here" and not place else ()
        text = (("text", asked.removesuffix(MARK)),)
        facets = {"layout": layout, "turn": "later" if place else "first", "picture": about, "drop": "none"}
        yield Example(
            id=f"{row}-{place}",
            group=name,
            split=split,
            prompt=(*text, *picture) if asked.endswith(MARK) else (*picture, *text),
            answer=answer,
            facets=facets,
            truth=truth,
            lesson=layout,
            scene=row,
        )


def _facts(examples: Sequence[Example]) -> list[dict]:
    """One fact per picture: the first thing that is said about it."""
    facts: dict[str, dict] = {}
    for example in examples:
        said = " ".join([*(content for kind, content in example.prompt if kind == "text"), example.answer])
        fact = {"group": example.group, "title": example.group, "text": said}
        facts.setdefault(
            example.group, {**fact, "pictures": list(example.pictures), "layout": example.lesson}
        )
    return list(facts.values())


def files(facts: Mapping) -> list[Path]:
    """The tables and the pictures beside them: what a data folder is made from."""
    found: list[Path] = []
    for path, layout, folder in _tables(facts):
        talks = _talks(read_table(path, None), layout, folder, facts, None)
        found += [path, *(Path(picture.path) for *_, picture in talks if picture)]
    return list(dict.fromkeys(found))


def size(facts: Mapping) -> int:
    """Bytes, a little too many."""
    return size_of(files(facts))


def promises(data: Data) -> Iterator[tuple[str, int, int]]:
    """How many of the questions about a picture have it, by layout; and whether tests show other pictures."""
    for layout in LAYOUTS:
        about = [
            e.facets["picture"] for e in data.examples if e.lesson == layout and e.facets["picture"] != "none"
        ]
        if about:
            yield f"{layout}: questions that have their picture", about.count("here"), len(about)
    train, test = ({e.group for e in data.examples if e.split == split} for split in ("train", "test"))
    yield "test pictures that no training row is about", len(test - train), len(test)


WORLD = World(
    version=1,
    facets=("layout", "turn", "picture", "drop"),
    cells=("layout",),
    make=make,
    grade=grade,
    size=size,
    promises=promises,
    ask=ask,
    teach=teach,
    pairs=pairs,
    alternatives=alternatives,
    check=check,
    files=files,
    paths=("paths", "pictures"),
)
