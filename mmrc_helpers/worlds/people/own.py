"""A user's own people, or whatever else has a name and pictures: a table with a row for each picture. All that
is wrong with it is said at once, with row numbers, before anything is made of it."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from PIL import Image

from mmrc_helpers.errors import UserError, listed, near_miss
from mmrc_helpers.store.decoding import decoded, upright
from mmrc_helpers.worlds.people.cast import Person, Terms
from mmrc_helpers.worlds.people.forms import BUCKETS
from mmrc_helpers.worlds.people.grade import ANY_WORDS
from mmrc_helpers.worlds.sources.pictures import Picture, Seen, bytes_of, inspect, seen_at
from mmrc_helpers.worlds.sources.places import ENDINGS, located, tables_in
from mmrc_helpers.worlds.sources.rows import LINES, Row, Table, raise_some, read_table, stored_in, text_in, told

TABLES = (".csv", *ENDINGS)
SHOWN = ("image", "picture", "file_name", "path")  # columns that may name the picture; a table holds it in `image`
POPULATIONS = ("novel", "background")
KNOWN = ("name", "descriptor", "population", "attributes", *SHOWN)


@dataclass(frozen=True)
class Photograph:
    """A user's picture and the pixels of its longest side, to which it is shrunk."""

    picture: Picture
    side: int


@dataclass(frozen=True)
class Own:
    """What a user's table holds. pictures: name → where its bytes are. notes: what is worth knowing."""

    people: Sequence[Person]
    terms: Terms
    pictures: Mapping[str, Photograph]
    notes: Sequence[str]


@dataclass
class _Entry:
    """What the rows say about one name. said: column → value and the row that said it first; pictures:
    digest of the pixels → the picture."""

    name: str
    said: dict[str, tuple[str, str]] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)

    def get(self, column: str) -> str:
        return self.said.get(column, ("", ""))[0]


def draw(photograph: Photograph) -> Image.Image:
    """The picture upright, in RGB, no longer than its side."""
    image = upright(decoded(bytes_of(photograph.picture)))
    image.thumbnail((photograph.side, photograph.side), Image.Resampling.LANCZOS)
    return image


def tables(facts: Mapping) -> list[Path]:
    """The tables that `people.path` means; none while it is empty. Raises UserError if there are none."""
    if not facts["path"]:
        return []
    return tables_in(located(facts["path"], "people.path"), "people.path", facts["split"], TABLES)


def files_of(facts: Mapping) -> list[Path]:
    """The user's files that the data is made from: tables, and the pictures that their rows name."""
    found = tables(facts)
    named = dict.fromkeys(
        path for file in found for path in _named_in(file, (file.stat().st_mtime_ns, file.stat().st_size))
    )
    return [*found, *(path for path in named if path.is_file())]


@lru_cache(maxsize=64)  # asked for with every stage of every run
def _named_in(file: Path, state: tuple[int, int]) -> tuple[Path, ...]:
    """The paths that the rows of a table name, in this state of it."""
    named = (next((row.get(c) for c in SHOWN if row.get(c)), None) for row in read_table(file, None).rows)
    return tuple(file.parent / Path(name).expanduser() for name in named if isinstance(name, str))


def load(facts: Mapping, seed: int | str) -> Own:
    """The people of a user's table. Raises one UserError that lists everything that is wrong.

    Who is a background person and which pictures are for tests follows from names and pictures themselves;
    the seed puts the novel people in order, and with that into the groups that their choices are among.
    """
    if not facts["path"]:
        raise UserError("people.path: is empty; write the path of your table of pictures and names")
    entries, problems, notes = _read(facts)
    raise_some(problems)
    raise_some([*_between(entries, facts), *_views_missing(entries, facts)])
    chosen = _populations(entries, facts, seed)
    terms = _terms([entry for _, entry in chosen], facts)
    people, pictures = [], {}
    for group, entry in chosen:
        views = _views(entry, group, facts)
        people.append(_person(group, entry, terms, {split: list(of) for split, of in views.items()}))
        pictures |= {name: Photograph(of, facts["image_size"]) for own in views.values() for name, of in own.items()}
    left = len(entries) - len(chosen)
    notes += [f"{left} are left out (people.background, people.novel)"] if left else []
    return Own(people, terms, pictures, notes)


# --- reading -----------------------------------------------------------------------------------------------


def _read(facts: Mapping) -> tuple[list[_Entry], list[str], list[str]]:
    """What the tables say of each name, what is wrong in them, and what is worth knowing."""
    entries: dict[str, _Entry] = {}
    shown: dict[str, dict[str, str]] = defaultdict(dict)  # digest → name → the row
    problems, notes = [], []
    for file in tables(facts):
        table = read_table(file, inspect)
        if table.rows:
            problems += _columns_missing(table, facts)
        if not problems:
            for row in table.rows:
                _take_in(row, facts, entries, shown, notes)
            unread = [name for name in table.columns if name not in (*KNOWN, *facts["attributes"])]
            notes += [f"columns that are not read: {listed(unread)}"] if unread else []
        problems += told(table, table.problems)
    for names in shown.values():
        if len(names) > 1:
            problems.append(f"one picture has {len(names)} names: {listed(f'{name} ({row})' for name, row in names.items())}")
    return list(entries.values()), problems, notes


def _columns_missing(table: Table, facts: Mapping) -> Iterator[str]:
    nested = [name for row in table.rows for name in _nested(row)]
    known = dict.fromkeys([*table.columns, *nested])
    if "name" not in known:
        yield f"{table.rows[0].where.rpartition(',')[0]}: no column name; it has {listed(table.columns)}"
    if not any(column in known for column in SHOWN):
        yield (
            f"{table.rows[0].where.rpartition(',')[0]}: no column with pictures ({' or '.join(SHOWN)}); it has "
            f"{listed(table.columns)}"
        )
    for name in facts["attributes"]:
        if name not in known:
            yield f"people.attributes: no column {name}{near_miss(name, known)}"


def _nested(row: Row) -> Mapping:
    """The attributes that a row holds as one mapping."""
    return found if isinstance(found := row.get("attributes"), Mapping) else {}


def _take_in(row: Row, facts: Mapping, entries: dict, shown: dict, notes: list[str]) -> None:
    """Adds a row to what is known of its name, or blames it."""
    name = " ".join(text_in(row, "name").split())
    if name.endswith("."):
        row.blame(f"the name {name} ends in a full stop, as sentences do; leave it out")
    if len(name.split()) > ANY_WORDS:
        row.blame(f"a name of more than {ANY_WORDS} words ({name:.40} …)")
    seen = _picture(row)
    if row.is_broken:
        return
    entry = entries.setdefault(name, _Entry(name))
    for column in ("descriptor", "population", *facts["attributes"]):
        _hear(row, entry, column, _nested(row).get(column, row.get(column)))
    if seen.digest in entry.pictures:
        notes.append(f"{row.where}: a picture that {name} has already")
    entry.pictures.setdefault(seen.digest, seen.picture)
    shown[seen.digest].setdefault(name, row.where)


def _hear(row: Row, entry: _Entry, column: str, value) -> None:
    """Keeps a value of a column, or blames the row."""
    if value is None or value == "":
        return
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        row.blame(f"{column} must be a text or a number; got {value!r:.60}")
        return
    text = " ".join(str(value).split()).removesuffix(".")
    if column == "population" and text not in POPULATIONS:
        row.blame(f"population is {text!r}; it is {' or '.join(POPULATIONS)}")
    if column not in ("population", "descriptor") and len(text.split()) > ANY_WORDS:
        row.blame(f"{column} has more than {ANY_WORDS} words")
    before, where = entry.said.setdefault(column, (text, row.where))
    if before != text:
        row.blame(f"{column} of {entry.name} is {text!r}, but {before!r} in {where}")


def _picture(row: Row) -> Seen | None:
    """The picture of a row, looked at; None, and a problem, if it cannot be used."""
    seen, path = stored_in(row), "its picture"
    if seen is None:
        if not (path := text_in(row, *SHOWN)):
            return None
        if "://" in path:
            row.blame(f"{path} is no file; save the picture and write its path")
            return None
        file = row.table.path.parent / Path(path).expanduser()
        if not file.is_file():
            row.blame(f"{path} is not there; paths are relative to the table")
            return None
        seen = seen_at(file, inspect)
    if seen.problem:
        row.blame(f"{path} {seen.problem}")
    return seen


# --- what must fit together --------------------------------------------------------------------------------


def _between(entries: Sequence[_Entry], facts: Mapping) -> Iterator[str]:
    """What is wrong between people: names alike, descriptors missing or shared, populations half said."""
    spelt = defaultdict(list)
    for entry in entries:
        spelt[re.sub(r"\W", "", entry.name).casefold()].append(entry.name)
    for names in spelt.values():
        if len(names) > 1:
            yield f"people.path: one name in several spellings? {listed(names)}"
    had = defaultdict(list)
    for entry in entries:
        had[entry.get("descriptor")].append(entry.name)
    lacking = had.pop("", [])
    for descriptor, names in had.items():
        if len(names) > 1:
            yield f"people.path: {listed(names)} share the descriptor {descriptor!r}"
    if facts["label"] == "descriptor" and lacking:
        yield f"people.label: descriptor, but {len(lacking)} have none: {_some(lacking)}"
    unsaid = [entry.name for entry in entries if not entry.get("population")]
    if unsaid and len(unsaid) < len(entries):
        yield f"people.path: the column population says nothing of {len(unsaid)}: {_some(unsaid)}"


def _some(names: Sequence[str]) -> str:
    return listed(names[:LINES]) + (f" and {len(names) - LINES} more" if len(names) > LINES else "")


def _held(facts: Mapping) -> int:
    """How many pictures of each are never trained on: those for tests, and of validation beside them."""
    return facts["test_views"] * (2 if facts["tests"] == "validation" else 1)


def _views_missing(entries: Sequence[_Entry], facts: Mapping) -> Iterator[str]:
    wanted = _held(facts) + 1
    few = [f"{entry.name} ({len(entry.pictures)})" for entry in entries if len(entry.pictures) < wanted]
    if few:
        yield (
            f"people.test_views: {facts['test_views']} for tests and others for training make {wanted} different "
            f"pictures at least, but {len(few)} have fewer: {_some(few)}; add pictures, take them out, or lower "
            "people.test_views"
        )


def _populations(entries: Sequence[_Entry], facts: Mapping, seed) -> list[tuple[str, _Entry]]:
    """(group, entry) of the background people, then of the novel ones. Raises UserError where they are too few
    to be options beside each other."""
    by_name = sorted(entries, key=lambda entry: _digest(f"any/{entry.name}"))
    if any(entry.get("population") for entry in entries):
        found = {of: [entry for entry in by_name if entry.get("population") == of] for of in POPULATIONS}
    else:
        found = {"background": by_name[: facts["background"]], "novel": by_name[facts["background"] :]}
        if facts["novel"] and not found["novel"]:
            raise UserError(
                f"people.background: {facts['background']} takes all {len(entries)}, and none is left to be novel; "
                "lower it"
            )
    found["novel"].sort(key=lambda entry: _digest(f"{seed}/{entry.name}"))
    chosen = {of: found[of][: facts[of]] for of in ("background", "novel")}
    for of, groups in (("background", 1), ("novel", BUCKETS)):
        wanted = groups * facts["options"]
        if 0 < len(chosen[of]) < wanted:
            apart = f", which stand in {groups} groups that never mix" if groups > 1 else ""
            raise UserError(
                f"people.options: choices among {facts['options']} need {wanted} {of} ones{apart}; there are "
                f"{len(chosen[of])}: add some, lower people.options, or set people.{of}: 0"
            )
    return [(f"{of}-{place:04d}", entry) for of in chosen for place, entry in enumerate(chosen[of])]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


# --- making ------------------------------------------------------------------------------------------------


def _terms(entries: Sequence[_Entry], facts: Mapping) -> Terms:
    """The attributes that differ between people, and what they may be."""
    values = {name: sorted({entry.get(name) for entry in entries} - {""}) for name in facts["attributes"]}
    values = {name: of for name, of in values.items() if len(of) > 1}
    return Terms({name: name.replace("_", " ") for name in values}, values, facts["noun"], open=True)


def _views(entry: _Entry, group: str, facts: Mapping) -> dict[str, dict[str, Picture]]:
    """Split → name → picture, in an order that only the pictures decide; nothing is in both splits."""
    pictures = [entry.pictures[digest] for digest in sorted(entry.pictures)]
    count, held = facts["test_views"], _held(facts)
    own = {"train": pictures[held : held + facts["train_views"]], "test": pictures[held - count : held]}
    first = {"train": 0, "test": len(own["train"])}
    return {
        split: {f"{group}-{number:02d}.png": of for number, of in enumerate(own[split], first[split])}
        for split in own
    }


def _person(group: str, entry: _Entry, terms: Terms, views: Mapping[str, Sequence[str]]) -> Person:
    shown = {name: entry.get(name) for name in terms.topics if entry.get(name)}
    noun = f"{'an' if terms.noun[0] in 'aeiou' else 'a'} {terms.noun}"
    looks = listed(f"{terms.topics[name]} {value}" for name, value in shown.items())
    descriptor = entry.get("descriptor")
    told = f"{noun} with {looks}" if looks else descriptor or noun
    return Person(group, group.partition("-")[0], entry.name, descriptor, shown, told, tuple(shown), views)
