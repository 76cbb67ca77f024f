"""Promises that a data folder must keep before anything is learned from it, each counted on the files
themselves."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from PIL import Image, UnidentifiedImageError

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.records import Example


def data_promises(people: Sequence[dict], examples: Sequence[Example], images: Path) -> pd.DataFrame:
    """One row per promise: promise, found, wanted, kept. Raises UserError naming a picture that cannot be
    read."""
    named = [person for person in people if person["name"]]
    train, test = ([e for e in examples if e.split == split] for split in ("train", "test"))
    rows = [
        ("people with a name of their own", len({p["name"] for p in named}), len(named)),
        ("people with a descriptor of their own", len({p["descriptor"] for p in named}), len(named)),
        ("people with looks of their own", len({p["description"] for p in people}), len(people)),
        ("pictures shown in training and in tests", len(_pictures(train) & _pictures(test)), 0),
        ("questions worded alike in training and tests", len(_worded(train) & _worded(test)), 0),
        ("novel people without both directions", _one_sided(test), 0),
        ("right option missing from its choices", sum(not 0 <= e.gold < len(e.choices) for e in test), 0),
        ("pictures that are asked about but missing", len(_pictures(examples) - _readable(images)), 0),
    ]
    table = pd.DataFrame(rows, columns=["promise", "found", "wanted"])
    return table.assign(kept=table["found"] == table["wanted"])


def counts(people: Sequence[dict], examples: Sequence[Example], images: Path) -> pd.DataFrame:
    """How many people, pictures, training and test questions there are, by population."""
    pictures = Counter(path.name.split("-")[0] for path in images.glob("*.png"))
    asked = Counter((e.population, e.split) for e in examples)
    rows = [
        {
            "population": population,
            "people": number,
            "pictures": pictures[population],
            "training questions": asked[population, "train"],
            "test questions": asked[population, "test"],
        }
        for population, number in Counter(person["population"] for person in people).items()
    ]
    return pd.DataFrame(rows)


def gallery(examples: Sequence[Example]) -> list[Example]:
    """One test question of every kind: topic, direction, format, order and distractors; novel people
    first."""
    found: dict[tuple, Example] = {}
    for example in sorted(examples, key=lambda e: e.population != "novel"):
        if example.split == "test":
            kind = (example.topic, example.direction, example.format, example.order, example.distractors)
            found.setdefault(kind, example)
    return list(found.values())


def _pictures(examples: Sequence[Example]) -> set[str]:
    return {name for example in examples for name in example.images}


def _worded(examples: Sequence[Example]) -> set[str]:
    """Wordings of identity questions; the name is part of them, so only the phrase can keep them apart."""
    return {e.question for e in examples if e.topic == "identity"}


def _one_sided(test: Sequence[Example]) -> int:
    directions = defaultdict(set)
    for example in test:
        if example.population == "novel" and example.topic == "identity":
            directions[example.group].add(example.direction)
    return sum(len(found) < 2 for found in directions.values())


def _readable(images: Path) -> set[str]:
    """Names of the pictures, each opened to see that it is whole."""
    names = set()
    for path in images.glob("*.png"):
        try:
            with Image.open(path) as picture:
                picture.verify()
        except (
            UnidentifiedImageError,
            OSError,
            SyntaxError,
        ) as error:  # PIL says SyntaxError for a broken PNG
            raise UserError(
                f"{path}: not a whole picture ({error}); make the data again: --redo data"
            ) from error
        names.add(path.name)
    return names
