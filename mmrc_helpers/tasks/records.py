"""Examples and what is made of them: chat turns, training rows and exposure counts.

An Example is one question about one fact in one direction and one format. Examples of one *scene* look at the
same pictures, so several of them can be asked in one conversation.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import zip_longest
from pathlib import Path

from mmrc_helpers.errors import UserError, check_file_name

LETTERS = "ABCDEFGH"
CELLS = ("forward/free", "forward/choice", "forward/judge", "reverse/free", "reverse/choice", "reverse/judge")
VERDICTS = ("Right", "Wrong")


@dataclass(frozen=True)
class Example:
    """One question. `choices` are contents in canonical order: names, words, or image names for a line-up."""

    id: str
    scene: str
    group: str
    split: str
    population: str
    topic: str
    direction: str
    format: str
    question: str
    order: str = "image_first"
    distractors: str = ""
    images: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    choice_groups: tuple[str, ...] = ()
    gold: int = -1
    answer: str = ""

    @property
    def cell(self) -> str:
        return f"{self.direction}/{self.format}"

    @property
    def kind(self) -> str:
        """The kind of row the example belongs to, as named in `train.replay_mix`."""
        if self.topic == "attribute":
            return "caption" if self.format == "free" else "attribute"
        if self.topic in ("text", "in_context"):
            return self.topic if self.format == "choice" else "roll_call"
        return {"reverse/choice": "lineup", "reverse/free": "recall"}.get(self.cell, "portrait")

    @property
    def lists_context(self) -> bool:
        """Whether the lettered choices are the scene itself, shown once and asked about several times."""
        return self.format == "choice" and (self.choices == self.images or self.topic == "text")


def read_examples(path: Path) -> list[Example]:
    """Examples of a JSONL file; a damaged line is a UserError that names the file, the line and the fix."""
    if not path.is_file():
        raise UserError(f"{path} is missing; make the data again: --redo data")
    known = {field.name for field in fields(Example)}
    examples = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"expected a mapping; got {row!r}")
                if unknown := set(row) - known:
                    raise ValueError(f"unknown fields {sorted(unknown)}")
                examples.append(
                    Example(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})
                )
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"{path}, line {number}: not a whole example ({error}); make the data again: --redo data"
                ) from error
    for name in {name for example in examples for name in (example.group, *example.images)}:
        check_file_name(name, str(path))
    return examples


def example_line(example: Example) -> str:
    """The example as one JSON line; fields at their default are left out."""
    defaults = {field.name: field.default for field in fields(Example)}
    row = {k: v for k, v in asdict(example).items() if v != defaults[k]}
    return json.dumps(row, ensure_ascii=False) + "\n"


def rotate(items: Sequence, shift: int) -> list:
    """`items` in the cyclic order that starts at `shift`."""
    return [*items[shift:], *items[:shift]]


def answer_text(example: Example, shift: int = 0) -> str:
    """What the assistant should say when the choices are shown in the cyclic order `shift`."""
    if example.format == "choice":
        return LETTERS[(example.gold - shift) % len(example.choices)]
    return example.answer


def _text(text: str) -> dict:
    return {"type": "text", "text": text}


def _image(name: str) -> dict:
    return {"type": "image", "image": name}


def _listing(example: Example, shift: int, picture: Callable[[str], dict]) -> list[dict]:
    """The lettered choices as content parts, letters before contents."""
    parts = []
    captions = rotate(example.captions, shift) if example.captions else [""] * len(example.choices)
    for letter, choice, caption in zip(LETTERS, rotate(example.choices, shift), captions, strict=False):
        content = picture(choice) if example.choices == example.images else _text(f" {choice}")
        parts += [_text(f"{letter}."), content, _text(f" {caption}\n" if caption else "\n")]
    return parts


def user_turn(
    example: Example, shift: int = 0, again: bool = False, picture: Callable[[str], dict] = _image
) -> list:
    """Content parts of the user's turn.

    shift: cyclic order of the choices. again: the pictures were shown earlier in the conversation.
    picture: turns an image name into a content part (a description instead, for the text twin).
    """
    question = _text(example.question)
    if example.lists_context:
        listing = [] if again else _listing(example, shift, picture)
        if example.order == "name_first" and listing:
            return [_text(example.question + "\n"), *listing]
        return [*listing, question]
    shown = [] if again else [picture(name) for name in example.images]
    if example.format == "choice":
        return [*shown, _text(example.question + "\n"), *_listing(example, shift, picture)]
    if example.order == "name_first" and shown:
        return [_text(example.question + " "), *shown]
    return [*shown, question]


def messages(
    examples: Sequence[Example], shift: int = 0, picture: Callable[[str], dict] = _image
) -> list[dict]:
    """A conversation that asks the examples of one scene in turn, with their answers."""
    conversation = []
    for index, example in enumerate(examples):
        turn = user_turn(example, shift, again=index > 0, picture=picture)
        conversation.append({"role": "user", "content": _merged(turn)})
        conversation.append({"role": "assistant", "content": answer_text(example, shift)})
    return conversation


def prompt(example: Example, shift: int = 0, picture: Callable[[str], dict] = _image) -> list[dict]:
    """The conversation up to the assistant's turn, for one example."""
    return messages([example], shift, picture)[:1]


def _merged(parts: Iterable[dict]) -> list[dict]:
    """Neighbouring text parts joined into one."""
    merged: list[dict] = []
    for part in parts:
        if part["type"] == "text" and merged and merged[-1]["type"] == "text":
            merged[-1] = _text(merged[-1]["text"] + part["text"])
        else:
            merged.append(part)
    return merged


@dataclass(frozen=True)
class Row:
    """One training conversation: examples of one scene, and whether its pictures are replaced by
    descriptions."""

    examples: tuple[Example, ...]
    twin: bool = False
    replayed: bool = False


def two_way_groups(examples: Iterable[Example], share: float) -> set[str]:
    """The novel groups taught in every cell: the first `share` of each bucket-ordered list of groups."""
    groups = sorted({e.group for e in examples if e.population == "novel"}, key=lambda g: (bucket(g), g))
    return set(groups[: round(share * len(groups))])


def bucket(group: str) -> int:
    """Line-ups never mix buckets, so that people taught both ways never stand beside those tested."""
    return int(group.rsplit("-", 1)[1]) % 4


def training_rows(
    examples: Sequence[Example], train: Mapping, seed: int, cost: Callable[[str], int]
) -> list[Row]:
    """Rows in training order, a multiple of `train.batch`: `train.steps` batches, or as many as it takes to
    show `train.novel_tokens` supervised tokens of novel facts, so that arms differ in what they teach and not
    in how much.

    A share `train.replay` repeats background tasks by the weights of `train.replay_mix`; the others teach the
    novel facts in `train.cells`, every kind of row equally often. cost: supervised tokens of an answer.
    """
    rng = random.Random(f"{seed}/rows")
    novel = _novel_scenes(examples, train)
    weights, sources = _replay_sources(examples, train)
    if train["replay"] < 1 and not novel:
        raise UserError("train.cells is empty, so nothing novel is taught: set train.replay to 1.0")
    if train["novel_tokens"] and train["replay"] == 1:
        raise UserError(
            "train.novel_tokens: with train.replay 1.0 nothing novel is taught; give train.steps instead"
        )
    rows, shown = [], 0
    while (
        len(rows) < train["steps"] * train["batch"]
        or shown < train["novel_tokens"]
        or len(rows) % train["batch"]
    ):
        if rng.random() < train["replay"]:
            kind = rng.choices(list(weights), list(weights.values()))[0]
            rows.append(
                _row(rng.choice(sources[kind]), train, rng, kind == "twin" or train["text_twin"], True)
            )
        else:
            kind = rng.choice(list(novel))
            rows.append(_row(rng.choice(novel[kind]), train, rng, train["text_twin"], False))
            shown += sum(cost(answer_text(example)) for example in rows[-1].examples)
    return rows


def _replay_sources(examples: Sequence[Example], train: Mapping) -> tuple[dict[str, float], dict[str, list]]:
    """Weights and scenes of the background rows, by kind."""
    replayed = _scenes_by_kind(e for e in examples if e.population != "novel")
    weights = {kind: weight for kind, weight in train["replay_mix"].items() if weight > 0}
    described = [scene for kind in ("portrait", "lineup") for scene in replayed.get(kind, [])]
    sources = {kind: described if kind == "twin" else replayed.get(kind, []) for kind in weights}
    empty = [kind for kind, scenes in sources.items() if not scenes]
    if empty and train["replay"] > 0:
        raise UserError(f"train.replay_mix.{empty[0]}: the data holds no such background rows; set it to 0")
    return weights, sources


def _novel_scenes(examples: Sequence[Example], train: Mapping) -> dict[str, list]:
    """Scenes that teach novel facts, by kind of row. The names are permuted here when the null is asked
    for."""
    cells, both_ways = set(train["cells"]), two_way_groups(examples, train["two_way"])
    taught = [
        e
        for e in examples
        if e.population == "novel" and e.topic == "identity" and (e.cell in cells or e.group in both_ways)
    ]
    if train["shuffle_names"]:
        partner = _partners({e.group for e in examples if e.population == "novel"})
        taught = [_with_pictures_of(example, partner) for example in taught]
    return _scenes_by_kind(taught)


def _partners(groups: Iterable[str]) -> dict[str, str]:
    """Each group's successor in its bucket: nobody keeps their own pictures."""
    ordered: dict[int, list[str]] = defaultdict(list)
    for group in sorted(groups):
        ordered[bucket(group)].append(group)
    return {
        group: after
        for names in ordered.values()
        for group, after in zip(names, rotate(names, 1), strict=True)
    }


def _with_pictures_of(example: Example, partner: Mapping[str, str]) -> Example:
    """The example with every picture replaced by the same view of the partner, which permutes the names."""

    def swap(name: str) -> str:
        group, view = name.rsplit("-", 1)
        return f"{partner[group]}-{view}" if group in partner else name

    return replace(
        example,
        images=tuple(swap(name) for name in example.images),
        choices=tuple(swap(name) for name in example.choices)
        if example.choices == example.images
        else example.choices,
    )


def _scenes_by_kind(examples: Iterable[Example]) -> dict[str, list[list[Example]]]:
    scenes: dict[str, dict[str, list[Example]]] = defaultdict(lambda: defaultdict(list))
    for example in examples:
        scenes[example.kind][example.scene].append(example)
    return {kind: list(found.values()) for kind, found in scenes.items()}


def _row(scene: Sequence[Example], train: Mapping, rng: random.Random, twin: bool, replayed: bool) -> Row:
    """Up to `train.turns` questions of a scene in random order; a question that comes before its pictures
    leads."""
    count = min(train["turns"], len(scene))
    asked = _evenly(scene, rng)[:count] if train["even_cells"] else rng.sample(scene, count)
    led = [e for e in asked if e.order == "name_first"]
    if len(led) > 1:
        asked = [e for e in asked if e.order != "name_first" or e is led[0]]
    asked.sort(key=lambda e: e.order != "name_first")
    return Row(tuple(asked), twin, replayed)


def _evenly(scene: Sequence[Example], rng: random.Random) -> list[Example]:
    """The examples in random order, one of every cell before the second of any."""
    cells = defaultdict(list)
    for example in rng.sample(scene, len(scene)):
        cells[example.cell].append(example)
    by_cell = rng.sample(list(cells.values()), len(cells))
    return [example for turn in zip_longest(*by_cell) for example in turn if example]


def exposure(rows: Sequence[Row], supervised: Sequence[int]) -> dict:
    """What a phase showed: rows, questions by population and cell, supervised tokens, measured replay
    share."""
    questions = Counter(f"{e.population}/{e.topic}/{e.cell}" for row in rows for e in row.examples)
    return {
        "rows": len(rows),
        "questions": dict(sorted(questions.items())),
        "supervised_tokens": int(sum(supervised)),
        "novel_supervised_tokens": int(
            sum(n for row, n in zip(rows, supervised, strict=True) if not row.replayed)
        ),
        "replay_share": round(sum(row.replayed for row in rows) / max(1, len(rows)), 4),
    }
