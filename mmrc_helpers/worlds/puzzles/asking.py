"""What is asked about puzzles: the views of an instance as questions, the test questions of an evaluation,
what must hold of them, and their words."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from mmrc_helpers.errors import raise_all
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import Data, Grade
from mmrc_helpers.worlds.drops import with_drops
from mmrc_helpers.worlds.puzzles.making import SPLITS, Place, Views, counts_of, name_of, spoken
from mmrc_helpers.worlds.puzzles.mixes import Blocks, expects_reasoning, without_reasoning


def views_of(
    facts: Mapping,
    place: Place,
    text: str,
    question: Callable[[str, bool], str],
    answer: Callable[[bool], str],
    truth: Mapping,
    facets: Mapping[str, str],
) -> tuple[Example, ...]:
    """The examples of the instance at a place, one for each of facts.views. text: the puzzle in words.
    question: (view, whether it asks for a transcription); answer: (whether it begins with one)."""
    name, found = name_of(place), []
    for view in facts["views"]:
        transcribe = view == "image_via_text"
        asked = question(view, transcribe and facts["transcribe_on_request"])
        shown = (("text", f"{text}\n\n{asked}"),) if view == "text" else (("image", name), ("text", asked))
        example = Example(
            id=f"{name}-{view}",
            group=name,
            split=place[1],
            prompt=shown,
            answer=answer(transcribe),
            facets={"difficulty": place[0], "view": view, "cot": "yes", "drop": "none", **facets},
            truth=truth,
            lesson=f"{place[0]}/{view}",
            scene=name,
        )
        found.append(example)
    return tuple(found)


def asked(data: Data, ask: Mapping, teach: Mapping, blocks: Blocks) -> list[Example]:
    """The test questions: of each asked difficulty the first `ask.instances` instances (0: all) in the asked
    views, with as much reasoning as `teach` taught to give."""
    order: list[tuple[int, int, Example]] = []
    seen: dict[str, dict[str, int]] = {difficulty: {} for difficulty in ask["difficulties"]}
    for example in data.examples:
        difficulty, view = example.facets["difficulty"], example.facets["view"]
        if example.split != "test" or difficulty not in seen or view not in ask["views"]:
            continue
        number = seen[difficulty].setdefault(example.group, len(seen[difficulty]))
        if ask["instances"] and number >= ask["instances"]:
            continue
        rank = (list(seen).index(difficulty), ask["views"].index(view))
        shown = example if expects_reasoning(teach) else without_reasoning(example, blocks)
        order.append((*rank, shown))
    instances = {difficulty: len(groups) for difficulty, groups in seen.items()}
    raise_all(_lacking(ask, instances, {(e.facets["difficulty"], e.facets["view"]) for *_, e in order}))
    return with_drops((example for *_, example in sorted(order, key=lambda entry: entry[:2])), ask)


def problems(facts: Mapping, ask: Mapping) -> Iterator[str]:
    """What is asked that the facts of a puzzle world do not make."""
    yield from (
        f"evaluate.ask.{name}: names none; name one" for name in ("difficulties", "views") if not ask[name]
    )
    test, views = facts["test"], facts["views"]
    yield from _lacking(
        ask, test, {(difficulty, view) for difficulty in test if test[difficulty] for view in views}
    )


def _lacking(ask: Mapping, instances: Mapping[str, int], cells: set[tuple[str, str]]) -> Iterator[str]:
    """What is asked of so many test instances of each difficulty, in these cells, and is not there."""
    wanted = [(difficulty, view) for difficulty in ask["difficulties"] for view in ask["views"]]
    for difficulty, view in wanted:
        if (difficulty, view) not in cells:
            yield (
                f"evaluate.ask: the data holds no {difficulty}/{view} test instances; raise the world's "
                f"test.{difficulty}, name the view in its views, or ask for less"
            )
    for difficulty in ask["difficulties"]:
        if 0 < instances[difficulty] < ask["instances"]:
            yield (
                f"evaluate.ask.instances: {ask['instances']} {difficulty} test instances are asked, the data "
                f"holds {instances[difficulty]}; raise the world's test.{difficulty}"
            )


def promised(
    data: Data, grade: Callable[[Example, str], Grade], content: Callable[[Example], str]
) -> Iterator[tuple[str, int, int]]:
    """(promise, found, wanted) of what holds in every puzzle world. content: what makes two puzzles alike."""
    right = sum(grade(example, example.answer).right for example in data.examples)
    yield "gold answers that the verifier grades right", right, len(data.examples)
    puzzles = {split: {content(e) for e in data.examples if e.split == split} for split in SPLITS}
    yield "puzzles in both splits", len(puzzles["train"] & puzzles["test"]), 0
    views = Counter(example.group for example in data.examples)
    yield "instances that lack a view", sum(n != max(views.values()) for n in views.values()), 0


def sentences_of(facts: Mapping, seed: int, views: Views, words: Callable) -> Iterator[str]:
    """Texts from which a small tokenizer learns its words: some instances of each kind and every word of the
    world. Digits stand apart, so that each stays a token of its own."""
    for difficulty, split, count in counts_of(facts):
        for index in range(min(30, count) if split == "train" else 0):
            for example in views(facts, seed, (difficulty, split, index)):
                yield digits_apart(f"{spoken(example)}\n{example.answer}\n")
    for text in words(facts):
        yield f" {text} {text} {text}"


def digits_apart(text: str) -> str:
    """The text with a space between neighbouring digits."""
    return re.sub(r"(?<=\d)(?=\d)", " ", text)


def reordered(answer: str, rng: random.Random) -> str:
    """The words of an answer in random order, each with the space behind it; the first never stays first."""
    first, *others = re.findall(r"\S+\s*", answer + " ")
    rng.shuffle(others)
    others.insert(rng.randint(1, max(1, len(others))), first)
    return "".join(others).strip()
