"""How long the rows are that a run teaches, and its questions, counted from data that are already there by
the model's own tokenizer, in seconds. Nothing that computes is loaded, so no chat template is rendered: the
marks around turns are those of ChatML, and in other vocabularies, where ChatML is spelled, somewhat too many.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers

from mmrc_helpers.models import folder as model_folder
from mmrc_helpers.store import folders
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.study import stages
from mmrc_helpers.study.image_tokens import cut
from mmrc_helpers.study.runs import Run, find_run, load_study
from mmrc_helpers.study.weights import Weights
from mmrc_helpers.tasks.example import answer_of, candidates, pictures_of, question
from mmrc_helpers.tasks.rows import Task, chats_of
from mmrc_helpers.training import METHODS
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.folder import read_data, world_of

MOST = 4096  # rows of a phase, and questions of an evaluation, that are counted
LARGE = 50e6  # bytes of examples that take longer to read than a plan should
TURN = "<|im_start|>assistant\n<|im_end|>\n"
IN_TURN = 5  # tokens of TURN where its marks are tokens of the vocabulary
SYSTEM = 32  # tokens that a downloaded model's template may write in front
IN_PICTURE = 2  # marks around a picture's tokens


@dataclass(frozen=True)
class Counter:
    """Counts tokens. words: of a text. turn: of the marks of a turn. before: of what stands in front."""

    words: Callable[[str], int]
    turn: int
    before: int

    def length(self, turns: Sequence, picture: Callable[[str], int]) -> int:
        """Tokens of a conversation. picture: tokens of one by its name."""
        parts = [part for _, of in turns for part in of]
        shown = sum(picture(content) if kind == "image" else self.words(content) for kind, content in parts)
        return self.before + len(turns) * self.turn + shown


def taught(run: Run, weights: Weights) -> list[tuple[int, int]]:
    """Of each training phase, tokens of the longest and pictures of the fullest of its first rows; (0, 0)
    where its data or the tokenizer are not there, or the data are large. Raises UserError where data are
    damaged or cannot be taught."""
    pairs = zip(run.params["phases"], stages.train_stages(run), strict=True)
    return [_of_phase(run, weights, phase, stage) for phase, stage in pairs]


def asked(run: Run, weights: Weights) -> tuple[int, int]:
    """Tokens of the longest and pictures of the fullest question, with its answer; (0, 0) where data or the
    tokenizer are not there, or the data are large."""
    found = []
    for _, _, stage in stages.eval_stages(run):
        folder = stage.inputs["data"].folder
        if not _is_soon_read(folder) or not (counter := counter_of(run)):
            return 0, 0
        if not (world := world_of(folder)).ask:
            return 0, 0
        questions = world.ask(_data(folder, "test"), stage.params["ask"], stage.params["teach"])
        some = questions[:: -(-len(questions) // MOST) or 1]
        chats = (chat for example in some for chat in _answered(example))
        found.append(_longest(chats, counter, _pictures(run, weights, folder)))
    return tuple(map(max, zip(*found, strict=True)))


def _is_soon_read(folder: Path) -> bool:
    return folders.is_complete(folder) and (folder / "examples.jsonl").stat().st_size < LARGE


@lru_cache(maxsize=2)  # read for every phase of every run; a finished folder stays as it is
def _data(folder: Path, split: str) -> Data:
    return read_data(folder, split)


def counter_of(run: Run) -> Counter | None:
    """Counts by the tokenizer of the model that a run starts from; None where there is none to read."""
    model = run.params["model"]
    if model["source"] == "scratch":  # whose vocabulary has every word
        split = pre_tokenizers.ByteLevel(add_prefix_space=False)
        return Counter(cache(lambda text: len(split.pre_tokenize_str(text))), IN_TURN, 0)
    if model["source"] == "folder":
        return _of_file(model_folder.where(model, run.params["machine"]), SYSTEM)
    base = stages.base_stage(run)
    if folders.is_complete(base.folder):
        return _of_file(base.folder / "model", 0)
    return counter_of(find_run(load_study(model["study"], run.folder), "base", 0))


def _of_file(folder: Path, before: int) -> Counter | None:
    if not (folder / "tokenizer.json").is_file():
        return None
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    words = cache(lambda text: len(tokenizer.encode(text, add_special_tokens=False)))
    return Counter(words, words(TURN), before)


def _of_phase(run: Run, weights: Weights, phase: Mapping, stage: stages.Stage) -> tuple[int, int]:
    folder, method = stage.inputs["data"].folder, phase["method"]
    if not _is_soon_read(folder) or not (counter := counter_of(run)):
        return 0, 0
    world, data, kind = world_of(folder), _data(folder, "train"), METHODS[method["name"]].rows
    if kind in ("chats", "tasks"):
        stream = world.teach(data, phase["teach"], run.seed)
    else:
        stream = world.pairs(data, phase["teach"], run.seed, kind.removesuffix("s"))
    rows = islice(stream, min(MOST, phase["steps"] * phase["batch"] or MOST))
    if kind == "tasks":
        rows = (Task(chat.turns[:-1], chat.examples[-1]) for chat in rows)
    chats = (chat.turns for row in rows for chat in chats_of(row))
    tokens, pictures = _longest(chats, counter, _pictures(run, weights, folder))
    answer = counter.turn + method["max_new_tokens"] if kind == "tasks" else 0  # the model's own
    return tokens + answer, pictures


def _longest(chats: Iterable, counter: Counter, picture: Callable[[str], int]) -> tuple[int, int]:
    found = [(counter.length(turns, picture), len(pictures_of(turns))) for turns in chats]
    return tuple(max(column) for column in zip(*found, strict=True)) if found else (0, 0)


def _answered(example) -> Iterable:
    """The conversations in which an example is asked, each with what may be said in it."""
    said = candidates(example) or [(question(example), answer_of(example))]
    return [(*turns, ("assistant", (("text", text),))) for turns, text in said]


def _pictures(run: Run, weights: Weights, folder: Path) -> Callable[[str], int]:
    """Counts the tokens of a picture in a data folder by its name."""
    shards = Shards(folder, run.params["model"]["max_image_size"])
    of_size = cache(lambda size: cut(weights.family, weights.settings, size).tokens)
    return lambda name: of_size(tuple(shards.size(name))) + IN_PICTURE if weights.settings else 0
