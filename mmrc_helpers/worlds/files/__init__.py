"""The world of a user's own rows: their files are its facts. Every layout becomes examples whose truth
carries the other side, so any method that the layout has the sides for can train on it."""

import random
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks import parsing
from mmrc_helpers.tasks.example import Example, Turn, as_turns, pictures_of, question
from mmrc_helpers.tasks.orders import permuted, without_end
from mmrc_helpers.tasks.rows import Chat, Pair
from mmrc_helpers.worlds import INVALID, Data, Grade, Made, World
from mmrc_helpers.worlds.files import demo, loading, text_curse
from mmrc_helpers.worlds.files.questions import ask
from mmrc_helpers.worlds.files.samples import Sample
from mmrc_helpers.worlds.sources.pictures import Picture, bytes_of

FACETS = ("measure", "direction", "drop", "source")
SHOWN = 400  # characters of a prompt and of an answer that 01_data shows


def make(facts: Mapping, seed: int) -> Made:
    """One example for each row, in the files' order. Raises one UserError that lists all that is wrong."""
    loaded = loading.load(facts, seed)
    examples = [
        _example(sample, split, place)
        for split, samples in (("train", loaded.train), ("test", loaded.test))
        for place, sample in enumerate(samples)
    ]
    return Made(examples, loaded.pictures, draw, _facts(loaded))


def draw(shown: Picture | demo.Scene) -> Image.Image | bytes:
    """A user's picture as it is, or one of the demo set."""
    return demo.draw(shown) if isinstance(shown, demo.Scene) else bytes_of(shown)


def _example(sample: Sample, split: str, place: int) -> Example:
    """A row as the question that asks for its answer; `ask` makes the other questions from it."""
    *before, (_, prompt) = sample.prompt
    options = (sample.answer, *sample.options) if sample.options else ()
    truth = {"rejected": sample.rejected, "other": sample.other, "final": sample.final}
    return Example(
        id=f"{split}/{place:06d}",
        group=loading.group_of(sample),
        split=split,
        prompt=prompt,
        answer=sample.answer,
        facets={
            "measure": "written",
            "direction": sample.direction or "none",
            "drop": "none",
            "source": sample.source,
        },
        options=options,
        gold=0 if options else -1,
        truth={name: value for name, value in truth.items() if value} | {"written": sample.written},
        before=tuple(before),
    )


def _facts(loaded: loading.Loaded) -> list[dict]:
    """What 01_data shows: the notes on the files, then every fact once."""
    notes = [{"group": "notes", "title": f"Read as {loaded.layout}; {len(loaded.train)} rows to train on, "
              f"{len(loaded.test)} to test", "text": "\n".join(loaded.notes), "pictures": []}]  # fmt: skip
    rows = {loading.group_of(sample): sample for sample in (*loaded.test, *loaded.train)}
    return notes + [
        {
            "group": group,
            "title": f"{sample.source}, row {sample.row}",
            "text": f"{_text(sample.prompt)[:SHOWN]}\n→ {sample.answer[:SHOWN]}",
            "pictures": pictures_of((*sample.prompt, *sample.other)),
        }
        for group, sample in rows.items()
    ]


def _parts(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    return [part for _, parts in turns for part in parts]


def _text(turns: Sequence[Turn]) -> str:
    return " ".join(content for kind, content in _parts(turns) if kind == "text")


# --- grading -----------------------------------------------------------------------------------------------


def grade(example: Example, text: str) -> Grade:
    r"""Where rows have a final answer (a task's answer, a trace's last line), what the text comes to must be
    it: its last line `Answer: …`, its `\boxed{…}`, or all of it if it is one line; numbers by value.
    Elsewhere the text must be the answer, up to white space, Unicode form and one final full stop."""
    final = example.truth.get("final", "")
    if not final:
        said = normalized(text)
        right = said == normalized(example.answer)
        return Grade(said or INVALID, right, {"answer": float(right), "format": float(bool(said))})
    marked = parsing.answer_line(text) or parsing.boxed(text)
    said = marked or (text.strip() if len(text.strip().splitlines()) == 1 else "")
    right = bool(said) and _same(said, final)
    return Grade(said or INVALID, right, {"answer": float(right), "format": float(bool(said))})


def normalized(text: str) -> str:
    """The text with single spaces, in Unicode's composed form, without one final full stop."""
    return " ".join(unicodedata.normalize("NFC", text).split()).removesuffix(".")


def _same(said: str, final: str) -> bool:
    values = parsing.number(said), parsing.number(final)
    if None not in values:
        return values[0] == values[1]
    return normalized(said) == normalized(final)


# --- rows --------------------------------------------------------------------------------------------------


def teach(data: Data, teach: Mapping, seed: int) -> Iterator[Chat]:
    """The training rows as conversations, without end, in a new order every time through. Of pairs, the
    answers of `sides` are taught: both, in turn, for a model that is to know them before it prefers one."""
    for example in without_end(_taught(data, teach), seed):
        for side in teach["sides"]:
            if side == "chosen":
                yield _chat(question(example), example.answer, example)
            else:
                yield _chat(_worse_context(example), example.truth.get("rejected", example.answer), example)


def _worse_context(example: Example) -> tuple[Turn, ...]:
    """What a rejected side stands behind: its own context if only the contexts differ."""
    if "rejected" in example.truth:
        return question(example)
    return _needed(example, "other", "train.teach.sides: rejected")


def pairs(data: Data, teach: Mapping, seed: int, contrast: str) -> Iterator[Pair]:
    """The training rows as pairs, without end. Contrast "answer": chosen and rejected answers of dpo and
    reasoning rows. Contrast "context": right and wrong contexts of adpo rows, and of reasoning rows the
    trace behind its own and behind the other question."""
    side = "rejected" if contrast == "answer" else "other"
    for example in without_end(_taught(data, teach), seed):
        worse = _needed(example, side, f"preferences between {contrast}s")
        chosen = _chat(question(example), example.answer, example)
        if contrast == "answer":
            yield Pair(chosen, _chat(question(example), worse, example))
        else:
            yield Pair(chosen, _chat(worse, example.answer, example))


def _needed(example: Example, side: str, what: str):
    """The other side of an example; a UserError says what the rows lack."""
    if side not in example.truth:
        lack = "a rejected answer (layout dpo or reasoning)" if side == "rejected" else (
            "a wrong context (layout adpo, or reasoning with relevant-question)")  # fmt: skip
        raise UserError(f"files: {what} need rows with {lack}; {example.facets['source']} has none")
    value = example.truth[side]
    return value if side == "rejected" else as_turns(value)


def _chat(turns: Sequence[Turn], answer: str, example: Example) -> Chat:
    return Chat((*turns, ("assistant", (("text", answer),))), (example,))


def _taught(data: Data, teach: Mapping) -> list[Example]:
    directions = teach["directions"]
    found = [e for e in data.examples if e.split == "train"
             and (not directions or e.facets["direction"] in directions)]  # fmt: skip
    if not found:
        raise UserError(f"train.teach.directions: no training row has the direction {', '.join(directions)}")
    return found


# --- what may be said ------------------------------------------------------------------------------------


def alternatives(example: Example, data: Data) -> dict[str, str]:
    """right: the answer. rejected: the worse one, if rows have one. other: another row's answer. permuted:
    the right answer's words in another order. random: as many words of other rows' answers."""
    rng = random.Random(f"{example.id}/alternatives")
    found = {"right": example.answer or example.options[example.gold]}
    if example.truth.get("rejected"):
        found["rejected"] = example.truth["rejected"]
    drawn = rng.choices(data.examples, k=16)
    other = next((e.answer for e in drawn if e.answer not in found.values()), "")
    if other:
        found["other"] = other
    if mixed := permuted(found["right"], rng):
        found["permuted"] = mixed
    pool = [word for e in drawn for word in e.answer.split()]
    return found | {"random": " ".join(rng.choices(pool, k=len(found["right"].split())))}


# --- what must hold ----------------------------------------------------------------------------------------


def promises(data: Data) -> list[tuple[str, int, int]]:
    """The two sides differ, each flipped row is asked another question than its fact's original row, and no
    row is both taught and tested."""
    sided = [e for e in data.examples if "rejected" in e.truth or "other" in e.truth]
    differ = sum(e.truth.get("rejected", "") != e.answer
                 and as_turns(e.truth.get("other", ())) != question(e) for e in sided)  # fmt: skip
    asked = {way: {(e.group, question(e)) for e in data.examples if e.facets["direction"] == way}
             for way in ("forward", "inverse")}  # fmt: skip
    rows = {s: {(question(e), e.answer) for e in data.examples if e.split == s} for s in ("train", "test")}
    return [
        ("rows whose two sides differ", differ, len(sided)),
        ("inverse questions that are those of the forward rows", len(asked["forward"] & asked["inverse"]), 0),
        ("rows that are both taught and tested", len(rows["train"] & rows["test"]), 0),
    ]


def sentences(facts: Mapping, seed: int) -> Iterator[str]:
    """Every text of the training rows, for a tokenizer."""
    for sample in loading.load(facts, seed).train:
        shown = _parts((*sample.prompt, *sample.other))
        yield from (content for kind, content in shown if kind == "text")
        yield from (text for text in (sample.answer, sample.rejected) if text)


def size(facts: Mapping) -> int:
    """Three times the user's files: their pictures, the examples, and what 01_data shows of them."""
    return 3 * sum(path.stat().st_size for path in files(facts)) + 4_000_000


def files(facts: Mapping) -> list[Path]:
    """The user's files; their sums belong into the key of what is made from them."""
    return loading.files_of(facts)


def check(facts: Mapping, phases: Sequence[Mapping] = ()) -> Iterator[str]:
    """What can be said without reading the rows: whether the files are there."""
    try:
        loading.named_files(facts)
    except UserError as error:
        yield str(error)
    if facts["layout"] == "text_curse" and not facts["path"]:
        count, asked = facts["names"]["people"], text_curse.asked(facts["names"])
        if asked < 2:
            yield (
                f"files.names: both_orders leaves {asked} of {count} people to be asked, and a random one is "
                "drawn from the others; lower it, or raise people"
            )
    if facts["layout"] != "text_curse" and not facts["path"] and any(facts["tests"].values()):
        yield "files.tests: test files without files.path; name the file to train on"


WORLD = World(
    version=3,
    facets=FACETS,
    cells=("measure", "direction"),
    make=make,
    grade=grade,
    size=size,
    promises=promises,
    ask=ask,
    teach=teach,
    pairs=pairs,
    alternatives=alternatives,
    sentences=sentences,
    check=check,
    files=files,
    paths=("path", "more", "eval_path", "tests"),
)
