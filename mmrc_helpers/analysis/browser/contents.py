"""What there is to look at: every question once, as it was asked, and every answer that a run gave to it.

The questions are asked again from data and recipe, because answers keep only their last words. Whatever is
shown, in a notebook or on a page, is one mapping that JSON can hold (`packed`) and pictures by their number.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import reading
from mmrc_helpers.errors import UserError, show
from mmrc_helpers.store import folders
from mmrc_helpers.store.keys import plain
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.study.runs import Run, Study
from mmrc_helpers.study.stages import Stage
from mmrc_helpers.tasks.example import Example, Part, compared
from mmrc_helpers.worlds import WORLDS, Data
from mmrc_helpers.worlds.folder import read_data

DIGITS = 10_000  # log-probabilities are kept with four decimals: whole numbers take less room
COLUMNS = "id logprobs order_logprobs picks text parsed parts correct correct_text correct_logprob".split()


@dataclass(frozen=True, eq=False)
class Question:
    """A question as it was asked. data: the folder it comes from. world: which one asked it. title: what its
    group is called."""

    data: Path
    world: str
    title: str
    example: Example


@dataclass(frozen=True, eq=False)
class Contents:
    """askings: of every evaluation, {variant, seed, phase, world}. answers: one row per answer, with
    `question` and `asking` as places in the other two."""

    name: str
    text: str  # what the study asks
    askings: Sequence[Mapping]
    questions: Sequence[Question]
    answers: pd.DataFrame

    @property
    def facets(self) -> list[str]:
        """The facets of the questions, in their worlds' order."""
        named = (WORLDS[asking["world"]].facets for asking in self.askings)
        return list(dict.fromkeys(name for names in named for name in names))


def gather(opened: Run | Study) -> Contents:
    """Everything that was answered by a run, or by a study's evaluated runs. Raises UserError when there are
    no answers, or when they answer something that is not asked any more."""
    askings, questions, places, tables = [], [], {}, []
    for run, phase, world, stage, answers in reading.evaluations(opened):
        folder = stage.inputs["data"].folder
        titles, asked = _titles(folder), _asked(stage, world)
        found = []
        for name in answers["id"]:
            if name not in asked:
                raise UserError(
                    f"{show(stage.folder)} answers {name}, which is not asked any more; "
                    "ask again: --redo eval"
                )
            example = asked[name]
            key = _content(folder, example)
            if key not in places:
                places[key] = len(questions)
                title = titles.get(example.group, example.group)
                questions.append(Question(folder, world, title, example))
            found.append(places[key])
        if "order_logprobs" not in answers:  # an earlier evaluation kept their mean alone
            answers = answers.assign(order_logprobs=[[] for _ in found])
        tables.append(answers[COLUMNS].assign(question=found, asking=len(askings)))
        askings.append({"variant": run.variant, "seed": run.seed, "phase": phase, "world": world})
    study = opened.study if isinstance(opened, Run) else opened.name
    name = f"{study}: {opened.variant}, seed {opened.seed}" if isinstance(opened, Run) else study
    text = "" if isinstance(opened, Run) else opened.question
    return Contents(name, text, askings, questions, pd.concat(tables, ignore_index=True))


def _asked(stage: Stage, world: str) -> dict[str, Example]:
    """The questions of an evaluation by their ids, as the program that asked them made them."""
    folder = folders.check(stage.inputs["data"].folder, "examples.jsonl")
    ask, teach = plain(stage.params["ask"]), plain(stage.params["teach"])
    return {example.id: example for example in WORLDS[world].ask(_data(folder), ask, teach)}


@lru_cache(maxsize=4)
def _data(folder: Path) -> Data:
    return read_data(folder, "test")


def _titles(folder: Path) -> dict[str, str]:
    return {fact["group"]: fact["title"] for fact in _data(folder).facts}


def _content(folder: Path, example: Example) -> tuple:
    """What makes two questions one."""
    said = (example.prompt, example.before, example.contexts)
    return (folder, example.id, said, example.options, example.gold, example.answer)


# --- packing -----------------------------------------------------------------------------------------------


class Pictures:
    """The pictures of several data folders under running numbers, one for each content."""

    def __init__(self):
        self.places: list[tuple[Path, str]] = []  # by number: data folder and name
        self._numbers: dict[str, int] = {}

    def number(self, data: Path, name: str) -> int:
        """The number of a picture."""
        key = _shards(data).sum(name)
        if key not in self._numbers:
            self._numbers[key] = len(self.places)
            self.places.append((data, name))
        return self._numbers[key]

    def bytes(self, number: int) -> bytes:
        """The encoded picture, as the model's processor was given it."""
        return picture(*self.places[number])

    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of every picture, in pixels."""
        return [_shards(data).size(name) for data, name in self.places]


def picture(data: Path, name: str) -> bytes:
    """An encoded picture of a data folder."""
    return _shards(data).bytes(name)


@lru_cache(maxsize=8)
def _shards(data: Path) -> Shards:
    return Shards(data)


def packed(contents: Contents, pictures: Pictures, chosen: Collection[int] | None = None) -> dict:
    """What the script shows: the chosen questions (None: all) with all of their answers. Pictures are numbers
    of `pictures`, which takes them in; texts that repeat are numbers of `texts`."""
    kept = sorted(range(len(contents.questions)) if chosen is None else chosen)
    place = {number: k for k, number in enumerate(kept)}
    answers, texts = contents.answers, {}
    if chosen is not None:
        answers = answers[answers["question"].isin(place)]
    twins: dict[tuple, int] = {}  # questions of one name, which variants may ask in other words
    questions = [_question(contents, contents.questions[number], pictures, twins) for number in kept]
    return {
        "name": contents.name,
        "text": contents.text,
        "total": len(contents.answers),
        "total_questions": len(contents.questions),
        "askings": contents.askings,
        "facets": contents.facets,
        "questions": questions,
        "answers": {
            "question": [place[number] for number in answers["question"]],
            "asking": answers["asking"].tolist(),
            "right": [None if np.isnan(value) else int(value) for value in answers["correct"]],
            "logprobs": [_whole(line) for line in answers["logprobs"]],
            "order_logprobs": [[_whole(line) for line in lines] for lines in answers["order_logprobs"]],
            "picks": _numbered(answers["picks"].map(tuple), texts),
            "text": _numbered(answers["text"], texts),
            "parsed": _numbered(answers["parsed"], texts),
            "parts": _numbered(answers["parts"].map(_parts), texts),
            "by_text": [_bit(value) for value in answers["correct_text"]],
            "by_logprob": [_bit(value) for value in answers["correct_logprob"]],
        },
        "texts": list(texts),
        "sizes": pictures.sizes(),
    }


def _question(contents: Contents, question: Question, pictures: Pictures, twins: dict) -> dict:
    """A question as the script reads it; what is empty is left out."""
    example = question.example

    def parts(of: Sequence[Part]) -> list:
        return [
            [kind, pictures.number(question.data, said) if kind == "image" else said] for kind, said in of
        ]

    def turns(of: Sequence) -> list:
        return [[role, parts(said)] for role, said in of]

    options: Sequence = example.options
    if example.how == "pictures":
        options = [pictures.number(question.data, name) for name in example.options]
    row = {
        "id": example.id,
        "same": twins.setdefault((question.data, example.id), len(twins)),
        "group": example.group,
        "title": question.title,
        "facets": [example.facets.get(name, "") for name in contents.facets],
        "prompt": parts(example.prompt),
        "before": turns(example.before),
        "contexts": [turns(of) for of in example.contexts],
        "how": example.how,
        "options": list(options),
        "said": list(compared(example)),
        "captions": list(example.captions),
        "answer": example.answer,
    }
    return {name: value for name, value in row.items() if value not in ("", [])} | {"gold": example.gold}


def _whole(logprobs: Sequence[float]) -> list[int]:
    """Log-probabilities without their sign, in units of the last digit that is kept."""
    return [round(-DIGITS * value) for value in logprobs]


def _numbered(values: Iterator | pd.Series, texts: dict) -> list[int]:
    """Each value's number among the texts that repeat."""
    return [texts.setdefault(value, len(texts)) for value in values]


def _parts(parts: Mapping) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in parts.items())


def _bit(value) -> int | None:
    return None if pd.isna(value) else int(value)
