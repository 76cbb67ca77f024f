"""What is done with conversations about pictures: they are taught, contrasted, asked and graded."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import Example, conversation, question, with_pictures
from mmrc_helpers.tasks.orders import chosen, without_end
from mmrc_helpers.tasks.rows import Chat, Pair
from mmrc_helpers.worlds import INVALID, Data, Grade
from mmrc_helpers.worlds.drops import with_drops

_WORD = re.compile(r"[^\W_]+(?:[.'’-][^\W_]+)*")


def teach(data: Data, teach: Mapping, seed: int) -> Iterator[Chat]:
    """Conversations without end, each once before any is repeated, in another order each time.

    teach: layouts (none named: all), turns (the first ones; 0 is all).
    """
    for turns in _talks(data, teach, seed):
        shown = turns[: teach["turns"] or None]
        yield Chat(conversation(shown), tuple(shown))


def pairs(data: Data, teach: Mapping, seed: int, contrast: str) -> Iterator[Pair]:
    """First turns as pairs. contrast "answer": against the rejected answer, of rows that have one; "context":
    the answer after its picture against the same answer after another row's picture."""
    firsts = [example for example in _taught(data, teach) if example.facets["turn"] == "first"]
    shown = sorted({name for example in firsts for name in example.pictures})
    if contrast == "answer" and not any("rejected" in example.truth for example in firsts):
        raise UserError("vqa: no row that is taught has a rejected answer; use a table in the layout rlhf_v")
    if contrast == "context" and len(shown) < 2:
        raise UserError(
            f"vqa: pairs of two contexts need two pictures; the rows that are taught show {len(shown)}"
        )
    for index, (first, *_) in enumerate(_talks(data, teach, seed)):
        turns = conversation([first])
        if contrast == "answer" and "rejected" in first.truth:
            rejected = (turns[0], ("assistant", (("text", first.truth["rejected"]),)))
        elif contrast == "context" and first.pictures:
            rng = random.Random(f"{seed}/vqa/pairs/{index}")
            other = rng.choice([name for name in shown if name not in first.pictures])
            rejected = (*question(with_pictures(first, dict.fromkeys(first.pictures, other))), turns[-1])
        else:
            continue
        yield Pair(Chat(turns, (first,)), Chat(rejected, (first,)))


def _taught(data: Data, teach: Mapping) -> list[Example]:
    """Training questions, but those whose picture is missing."""
    found = [e for e in data.examples if e.split == "train" and e.facets["picture"] != "missing"
             and (not teach["layouts"] or e.lesson in teach["layouts"])]  # fmt: skip
    if not found:
        raise UserError("vqa: no training row has its picture and is in one of train.teach.layouts")
    return found


def _talks(data: Data, teach: Mapping, seed: int) -> Iterator[list[Example]]:
    """The conversations, again and again."""
    talks: dict[str, list[Example]] = {}
    for example in _taught(data, teach):
        talks.setdefault(example.scene, []).append(example)
    yield from without_end(list(talks.values()), seed)


def ask(data: Data, ask: Mapping, teach: Mapping) -> list[Example]:
    """First turns of the test pictures, or `ask.questions` of them chosen by the hash of their ids."""
    found = [e for e in data.examples if e.split == "test" and e.facets["turn"] == "first"
             and (not ask["layouts"] or e.lesson in ask["layouts"])]  # fmt: skip
    if not found:
        raise UserError("vqa: no row is kept for tests; raise vqa.eval_share or widen evaluate.ask.layouts")
    return with_drops(chosen(found, ask["questions"], lambda example: example.id), ask)


def grade(example: Example, text: str) -> Grade:
    """right: the words of the answer and no others. Parts: exact; overlap (F1 of the words, each as often as
    it is said); format (0 if empty, or if less than a third of the words are different ones). All 0 if the
    picture is missing."""
    said, wanted = _words(text), _words(example.answer)
    if "missing" in example.truth:
        return Grade(INVALID, False, {"exact": 0.0, "overlap": 0.0, "format": 0.0})
    right = bool(said) and said == wanted
    shared = sum((Counter(said) & Counter(wanted)).values())
    overlap = 2 * shared / max(1, len(said) + len(wanted))
    fluent = bool(said) and len(set(said)) >= len(said) / 3
    parts = {"exact": float(right), "overlap": overlap, "format": float(fluent)}
    return Grade(text.strip() or INVALID, right, parts)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def alternatives(example: Example, data: Data) -> dict[str, str]:
    """The right answer, the rejected one where there is one, and the answer to another question."""
    found = {"right": example.answer}
    if "rejected" in example.truth:
        found["rejected"] = example.truth["rejected"]
    others = [e.answer for e in data.examples if e.group != example.group and e.answer != example.answer]
    if others:
        found["unrelated"] = random.Random(example.id).choice(others)
    return found
