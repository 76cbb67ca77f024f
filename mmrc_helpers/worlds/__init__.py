"""The worlds: each makes examples with their truth, teaches them, asks them and grades the answers.

A world is one file (or folder) here, one entry of `WORLDS` and one file params/worlds/NAME.yaml. Everything
in it is seeded by a hashed string of what it is about, `Random(f"{seed}/{split}/{index}")`, never by how many
came before: so any number of processes makes the same world, and more examples leave the earlier ones alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.tasks.rows import Chat, Pair

INVALID = "invalid"


@dataclass(frozen=True)
class Made:
    """What `World.make` gives: everything that a data folder holds.

    examples: in the order they are written; may be an iterator. pictures: name → what `draw` needs to draw it
    (it is sent to other processes, so keep it small). draw: draws one picture, as PIL.Image or as the bytes
    of an encoded one; called in many processes, so it is a function of a module. facts: one mapping per fact,
    with at least `group`, `title` (its name for people), `text` and `pictures` (some of its pictures), shown
    by 01_data and given back in `Data`. notes: what is worth knowing of a user's files.
    """

    examples: Iterable[Example]
    pictures: Mapping[str, object] = field(default_factory=dict)
    draw: Callable | None = None
    facts: Sequence[Mapping] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Painted:
    """A picture that a diffusion model paints, in `Made.pictures`. of: the group that it shows, whose
    pictures share a part of their noise. origin: what the noise follows from, beside both their names."""

    of: str
    prompt: str
    origin: str


@dataclass(frozen=True)
class Data:
    """What a data folder holds when it is read again: examples of the asked split or all, and the facts."""

    examples: Sequence[Example]
    facts: Sequence[Mapping] = ()


@dataclass(frozen=True)
class Grade:
    """What an answer is worth. answer: as parsed, or INVALID. right: the one bit that tables count. parts:
    shares between 0 and 1 of what is right in it, by name; GRPO's reward is their weighted sum."""

    answer: str
    right: bool
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """A world's functions; None where one does not apply: a benchmark cannot be taught.

    `facts`, `teach` and `ask` are the sections of params/worlds/NAME.yaml with a study's values.
    """

    version: int  # raised when the meaning of its output changes: re-keys this world and no other
    facets: tuple[str, ...]  # the columns of its answers
    cells: tuple[str, ...]  # those that span the cells, such as (difficulty, view): what is compared
    make: Callable[[Mapping, int], Made]  # (facts, seed)
    grade: Callable[[Example, str], Grade]  # (example, what the model said)
    size: Callable[[Mapping], int]  # (facts) → bytes on disk, a little too many
    promises: Callable[[Data], Iterable[tuple[str, int, int]]] = lambda data: ()  # (promise, found, wanted)
    # (data, ask, teach of the last phase) → test questions, in an order in which neighbours have alike
    # prompts; drops (a picture replaced by noise) and probes are questions too, told apart by a facet
    ask: Callable[[Data, Mapping, Mapping], Sequence[Example]] | None = None
    teach: Callable[[Data, Mapping, int], Iterator[Chat]] | None = None  # (data, teach, seed), may be endless
    pairs: Callable[[Data, Mapping, int, str], Iterator[Pair]] | None = None  # … contrast: answer | context
    # (example, data) → {kind: text}: the answers whose probability dynamics follows, `right` first
    alternatives: Callable[[Example, Data], Mapping[str, str]] | None = None
    # (questions, count) → those followed while a model trains; None: the first `count` groups of each cell
    probed: Callable[[Sequence[Example], int], Sequence[Example]] | None = None
    taught: Callable[[Mapping], Iterable[str]] = lambda teach: ()  # teach → the cells that it teaches
    twin: Callable[[Example, Data], Example] | None = None  # the example with its pictures put into words
    sentences: Callable[[Mapping, int], Iterable[str]] | None = None  # (facts, seed) → words of a tokenizer
    # (facts, teach of each phase) → problems of parameters that must fit each other
    check: Callable[[Mapping, Sequence[Mapping]], Iterable[str]] = lambda facts, phases: ()
    # (facts, ask) → what is asked that the facts do not make: to be told before anything is trained
    check_asked: Callable[[Mapping, Mapping], Iterable[str]] = lambda facts, ask: ()
    files: Callable[[Mapping], Iterable[Path]] = lambda facts: ()  # a user's files: their content is keyed
    paths: tuple[str, ...] = ()  # the facts that are paths, or lists or mappings of paths
    # facts → those that its output depends on: what another choice leaves unread is in no recipe and no key
    in_use: Callable[[Mapping], Mapping] = lambda facts: facts
    # facts → settings of the diffusion model that paints its pictures: `model` and `tiny_vae`, folders of
    # machine.models_folder, `pictures`, how many, and those of models/painting; none where code draws
    painting: Callable[[Mapping], Mapping] = lambda facts: {}


# The worlds need what stands above, so they come last.
from mmrc_helpers.worlds import (  # noqa: E402
    analogies,
    cv_bench,
    files,
    grids,
    people,
    reasoning,
    scenes,
    sums,
    tables,
    tsv,
    vqa,
    vsr,
)

WORLDS: dict[str, World] = {
    "people": people.WORLD,
    "tables": tables.WORLD,
    "grids": grids.WORLD,
    "analogies": analogies.WORLD,
    "scenes": scenes.WORLD,
    "reasoning": reasoning.WORLD,
    "files": files.WORLD,
    "vsr": vsr.WORLD,
    "cv_bench": cv_bench.WORLD,
    "vqa": vqa.WORLD,
    "tsv": tsv.WORLD,
    "sums": sums.WORLD,
}
