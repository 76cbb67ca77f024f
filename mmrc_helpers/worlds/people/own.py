"""A user's own people, or whatever else has a name and pictures: what a table says of each becomes a person
to be asked about. All that is wrong is said at once, before anything is made of it."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from mmrc_helpers.errors import UserError, listed
from mmrc_helpers.store.decoding import decoded, upright
from mmrc_helpers.worlds.people.album import POPULATIONS, Entry, read
from mmrc_helpers.worlds.people.cast import Person, Terms
from mmrc_helpers.worlds.people.forms import BUCKETS
from mmrc_helpers.worlds.sources.pictures import Picture, bytes_of
from mmrc_helpers.worlds.sources.rows import LINES, raise_some


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


def draw(photograph: Photograph) -> Image.Image:
    """The picture upright, in RGB, no longer than its side."""
    image = upright(decoded(bytes_of(photograph.picture)))
    image.thumbnail((photograph.side, photograph.side), Image.Resampling.LANCZOS)
    return image


def load(facts: Mapping, seed: int | str) -> Own:
    """The people of a user's table. Raises one UserError that lists everything that is wrong.

    Who is a background person and which pictures are for tests follows from names and pictures themselves;
    the seed puts the novel people in order, and with that into the groups that their choices are among.
    """
    if not facts["path"]:
        raise UserError("people.path: is empty; write the path of your table of pictures and names")
    entries, problems, notes = read(facts)
    raise_some(problems)
    raise_some([*_between(entries, facts), *_views_missing(entries, facts)])
    chosen = _populations(entries, facts, seed)
    terms = _terms([entry for _, entry in chosen], facts)
    idle = [name for name in facts["attributes"] if name not in terms.topics]
    notes += [f"the same for all, so that nothing asks about it: {listed(idle)}"] if idle else []
    people, pictures = [], {}
    for group, entry in chosen:
        views = _views(entry, group, facts)
        people.append(_person(group, entry, terms, {split: list(of) for split, of in views.items()}))
        pictures |= {
            name: Photograph(of, facts["image_size"]) for own in views.values() for name, of in own.items()
        }
    left = len(entries) - len(chosen)
    notes += [f"{left} are left out (people.background, people.novel)"] if left else []
    return Own(people, terms, pictures, notes)


# --- what must fit together --------------------------------------------------------------------------------


def _between(entries: Sequence[Entry], facts: Mapping) -> Iterator[str]:
    """What is wrong between people: names alike, descriptors missing or shared, populations half said."""
    spelt = defaultdict(list)
    for entry in entries:
        spelt[re.sub(r"\W", "", unicodedata.normalize("NFC", entry.name)).casefold()].append(entry.name)
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
        yield f"people.label: descriptor, but {len(lacking)} have none: {listed(lacking, LINES)}"
    unsaid = [entry.name for entry in entries if not entry.get("population")]
    if unsaid and len(unsaid) < len(entries):
        yield f"people.path: the column population says nothing of {len(unsaid)}: {listed(unsaid, LINES)}"


def _held(facts: Mapping) -> int:
    """How many pictures of each are never trained on: those for tests, and of validation beside them."""
    return facts["test_views"] * (2 if facts["tests"] == "validation" else 1)


def _views_missing(entries: Sequence[Entry], facts: Mapping) -> Iterator[str]:
    wanted = _held(facts) + 1
    few = [f"{entry.name} ({len(entry.pictures)})" for entry in entries if len(entry.pictures) < wanted]
    if few:
        yield (
            f"people.test_views: {facts['test_views']} for tests and others for training make {wanted} "
            f"different pictures at least, but {len(few)} have fewer: {listed(few, LINES)}; add pictures, "
            "take them out, or lower people.test_views"
        )


def _populations(entries: Sequence[Entry], facts: Mapping, seed) -> list[tuple[str, Entry]]:
    """(group, entry) of the background people, then of the novel ones. Raises UserError where they are too
    few to be options beside each other."""
    by_name = sorted(entries, key=lambda entry: _digest(f"any/{entry.name}"))
    if any(entry.get("population") for entry in entries):
        found = {of: [entry for entry in by_name if entry.get("population") == of] for of in POPULATIONS}
    else:
        found = {"background": by_name[: facts["background"]], "novel": by_name[facts["background"] :]}
        if facts["novel"] and not found["novel"]:
            raise UserError(
                f"people.background: {facts['background']} takes all {len(entries)}, and none is left to be "
                "novel; lower it"
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


def _terms(entries: Sequence[Entry], facts: Mapping) -> Terms:
    """The attributes that differ between people, and what they may be."""
    values = {name: sorted({entry.get(name) for entry in entries} - {""}) for name in facts["attributes"]}
    values = {name: of for name, of in values.items() if len(of) > 1}
    return Terms({name: name.replace("_", " ") for name in values}, values, facts["noun"], open=True)


def _views(entry: Entry, group: str, facts: Mapping) -> dict[str, dict[str, Picture]]:
    """Split → name → picture, in an order that only the pictures decide; nothing is in both splits."""
    pictures = [entry.pictures[digest] for digest in sorted(entry.pictures)]
    count, held = facts["test_views"], _held(facts)
    own = {"train": pictures[held : held + facts["train_views"]], "test": pictures[held - count : held]}
    first = {"train": 0, "test": len(own["train"])}
    return {
        split: {f"{group}-{number:02d}.png": of for number, of in enumerate(own[split], first[split])}
        for split in own
    }


def _person(group: str, entry: Entry, terms: Terms, views: Mapping[str, Sequence[str]]) -> Person:
    shown = {name: entry.get(name) for name in terms.topics if entry.get(name)}
    noun = f"{'an' if terms.noun[0] in 'aeiou' else 'a'} {terms.noun}"
    looks = listed(f"{terms.topics[name]} {value}" for name, value in shown.items())
    descriptor = entry.get("descriptor")
    told = f"{noun} with {looks}" if looks else descriptor or noun
    return Person(group, group.partition("-")[0], entry.name, descriptor, shown, told, tuple(shown), views)
