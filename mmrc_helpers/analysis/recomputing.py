"""Whether verdict and tables still follow from the stored answers: they are computed anew and compared with
verdict.json, number by number."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmrc_helpers.analysis import reading
from mmrc_helpers.errors import show
from mmrc_helpers.store import files, folders
from mmrc_helpers.study.runs import Study

EXACT = 1e-9  # a difference that only the order of a sum makes


@dataclass(frozen=True)
class Recomputed:
    """What came of it. numbers: how many were compared. largest: their largest difference. differing: what
    differs, "place: stored, now computed"."""

    numbers: int = 0
    largest: float = 0.0
    differing: tuple[str, ...] = ()


def recompute(study: Study) -> Recomputed:
    """verdict.json against the verdict of today's code on the stored answers."""
    path = folders.study_folder(study.name) / "verdict.json"
    if not path.is_file():
        return Recomputed(differing=(f"{show(path)} is missing; `--report` writes it",))
    stored, finding = files.read_json(path), reading.finding_of(study)
    if stored.get("rules") != finding.version:
        said = (
            f"rules: {stored.get('rules')}, now {finding.version}; `--redo report` writes it by the new ones"
        )
        return Recomputed(differing=(said,))
    found = json.loads(json.dumps(finding.verdict(reading.evidence(study)).as_dict()))
    pairs = list(_leaves({name: stored.get(name) for name in found}, found, ""))
    distances = [abs(old - new) for _, old, new in pairs if _are_numbers(old, new)]
    differing = tuple(
        f"{place}: {old!r}, now {new!r}"
        for place, old, new in pairs
        if (abs(old - new) > EXACT if _are_numbers(old, new) else old != new)
    )
    return Recomputed(len(distances), max(distances, default=0.0), differing)


def _leaves(old, new, place: str) -> Iterator[tuple[str, object, object]]:
    """Every value of two nested ones side by side, with its place; what only one of them has, beside None."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _leaves(old.get(key), new.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True), 1):
            yield from _leaves(*pair, f"{place}.{number}")
    else:
        yield place, old, new


def _are_numbers(*values) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def told(found: Recomputed) -> list[str]:
    """What came of it, a sentence a line."""
    if not found.differing:
        return [f"the verdict and its {found.numbers:,} numbers follow from the answers "
                f"(largest difference {found.largest:.2g})"]  # fmt: skip
    first = [f"verdict.json differs: {what}" for what in found.differing[:5]]
    left = len(found.differing) - len(first)
    return first + ([f"and {left} more"] if left else [])
