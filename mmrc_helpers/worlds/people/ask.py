"""What people are asked after training, what of it is destroyed to see what a task measures, and the answers
whose probability is followed while a model trains."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mmrc_helpers.store import files
from mmrc_helpers.tasks.example import LETTERS, Example, Part, answer_of
from mmrc_helpers.tasks.orders import permuted
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.drops import noises, without_pictures
from mmrc_helpers.worlds.people.forms import VERDICTS
from mmrc_helpers.worlds.people.teach import described, names_first, two_way_groups

CELLS = ("forward/free", "forward/choice", "forward/judge", "reverse/free", "reverse/choice", "reverse/judge")


@files.nothing_is_garbage()
def ask(data: Data, ask: Mapping, teach: Mapping) -> list[Example]:
    """Test questions in an order in which neighbours have alike prompts: of all novel and the first
    `ask.background` background people; on novel people again with the picture or the words destroyed
    (`ask.drops`); and the naming probe of every line-up. Novel people taught in every cell become the
    population "two_way"; with `teach.names_first` forward choices are asked in that order too; with
    `teach.text_twin` every picture is its description."""
    background = sorted(p["group"] for p in data.facts if p["population"] == "background")
    asked = {
        *background[: ask["background"]],
        *(p["group"] for p in data.facts if p["population"] == "novel"),
    }
    test = [e for e in data.examples if e.split == "test" and e.group in asked]
    words = _words(data.facts)
    questions = list(test)
    for drop in ask["drops"]:
        questions += [without(e, drop, words) for e in test if _is_novel_identity(e) and _loses(e, drop)]
    questions.sort(key=lambda e: (e.facets["drop"], *_kind(e), e.id.removesuffix(f"/{e.facets['drop']}")))
    if teach["names_first"]:
        own = [e for e in questions if _is_identity(e, "forward/choice") and e.facets["drop"] == "none"]
        questions += [replace(names_first(e), id=f"{e.id}/names_first") for e in own]
    if ask["storage"]:
        questions += probes(questions, data.facts)
    both_ways = two_way_groups(data.examples, teach["two_way"])
    questions = [_counted(e, both_ways) for e in questions]
    told = _told(data.facts)
    return [_in_words(e, told) for e in questions] if teach["text_twin"] else questions


def probes(questions: Sequence[Example], facts: Sequence[Mapping]) -> list[Example]:
    """The naming probe: every picture of every undropped line-up, asked who it shows and answered by the name
    of everybody in the line-up. `truth` says of which line-up, which place, and whose name is asked there."""
    naming = next((e for e in questions if _is_identity(e, "forward/free")), None)
    called = {person["group"]: person["called"] for person in facts}
    made = []
    for e in questions:
        if naming is not None and _is_identity(e, "reverse/choice") and e.facets["drop"] == "none":
            names = tuple(e.truth["groups"])
            options = tuple(f"This is {called[group]}." for group in names)
            for place, name in enumerate(e.options):
                prompt: tuple[Part, ...] = (("image", name), ("text", naming.prompt[-1][1]))
                truth = {"lineup": e.id, "place": place, "names": names, "own": names.index(e.group)}
                facets = {**e.facets, "topic": "storage", "direction": "forward", "format": "free"}
                made.append(
                    Example(f"{e.id}/storage/{place}", e.group, e.split, prompt, facets=facets,
                            options=options, gold=place, truth=truth)
                )  # fmt: skip
    return made


def without(example: Example, drop: str, words: Sequence[str]) -> Example:
    """The example after a drop: noise for its pictures, or random words for its question and its named
    options. words: what nonsense is made of."""
    if drop == "image":
        return without_pictures(example)
    name, options = f"{example.id}/{drop}", example.options
    rng = random.Random(name)
    if example.how == "words" and example.facets["direction"] == "forward":
        options = tuple(babble(option, words, rng) for option in options)
    prompt = tuple((kind, _babbled(c, words, rng) if kind == "text" else c) for kind, c in example.prompt)
    return replace(example, id=name, prompt=prompt, options=options, facets={**example.facets, "drop": drop})


def babble(text: str, words: Sequence[str], rng: random.Random) -> str:
    """As many random words as the text has."""
    return " ".join(rng.choices(words, k=len(text.split())))


def _babbled(text: str, words: Sequence[str], rng: random.Random) -> str:
    """`babble` with the white space that ends the text."""
    return babble(text, words, rng) + text[len(text.rstrip()) :]


def twin(example: Example, data: Data) -> Example:
    """The example with every picture replaced by the looks of whom it shows; noise by random words."""
    return _in_words(example, _told(data.facts))


def _told(facts: Sequence[Mapping]) -> dict[str, str]:
    """Picture → the words that stand for it."""
    noise = babble("word " * 12, _words(facts), random.Random("noise"))
    return {**dict.fromkeys(noises(), noise), **described(facts)}


def _in_words(example: Example, told: Mapping[str, str]) -> Example:
    prompt = tuple(
        ("text", f" {told[c]}") if kind == "image" else ("options", "words" if c == "pictures" else c)
        if kind == "options" else (kind, c)
        for kind, c in example.prompt
    )  # fmt: skip
    options = tuple(told.get(option, option) for option in example.options)
    return replace(example, prompt=prompt, options=options)


def probed(questions: Iterable[Example], count: int) -> list[Example]:
    """The questions that are followed while a model trains: in every cell about the same `count` people of
    each population; people taught in every cell are passed over. Judgements are as often right as wrong."""
    found: dict[str, dict[str, dict[str, list]]] = {
        population: defaultdict(lambda: defaultdict(list)) for population in ("novel", "background")
    }
    for e in questions:
        if e.facets["topic"] == "identity" and e.facets["drop"] == "none":
            if e.facets["population"] in found:
                found[e.facets["population"]][e.group][e.cell("direction", "format")].append(e)
    chosen = []
    for population, of_groups in found.items():
        people = sorted(of_groups)
        random.Random(f"probes/{population}").shuffle(people)
        for cell in CELLS:
            asked = [of_groups[group][cell] for group in people if of_groups[group][cell]]
            chosen += [_one(options, number) for number, options in enumerate(asked[:count])]
    return chosen


def _one(options: list[Example], number: int) -> Example:
    """The plain question of a person in a cell; of judgements, those about right and wrong in turn."""
    plain = sorted(
        options,
        key=lambda e: (e.facets["order"] != "image_first", e.facets["distractors"] == "matched", e.id),
    )
    if plain[0].facets["format"] != "judge":
        return plain[0]
    return next((e for e in plain if e.gold == number % 2), plain[0])


def alternatives(example: Example, data: Data) -> dict[str, str]:
    """The answers whose probability is followed, by kind; kinds that a format has no use for are left out.

    right: the right answer. paraphrase: the same in words that training never uses for it. format_only: its
    form about nothing (Ren and Sutherland's format-preserving rewrite). wrong_person: another option. unseen:
    a name made of known words that nobody has. permuted: the right answer's words in another order. random:
    as many random words.
    """
    rng = random.Random(f"{example.id}/candidates")
    if example.facets["format"] == "judge":
        return {"right": example.answer, "wrong_person": VERDICTS[1 - example.gold]}
    other = rng.choice([k for k in range(len(example.options)) if k != example.gold])
    if example.facets["format"] == "choice":
        found = {"right": answer_of(example), "wrong_person": LETTERS[other]}
        if len(example.options) < len(LETTERS):
            found["format_only"] = LETTERS[len(example.options)]
        if example.facets["direction"] == "forward":
            found["paraphrase"] = f"This is {example.options[example.gold]}."
        return found
    names = example.facets["direction"] == "forward"
    frame, again = ("This is {}.", "Here is {}.") if names else ("{}.", "It is {}.")
    own = example.answer.removeprefix("This is ").removesuffix(".")
    found = {
        "right": example.answer,
        "paraphrase": again.format(own),
        "format_only": frame.format("this person"),
        "wrong_person": example.options[other],
    }
    if names and (nobody := _nobody([p["called"] for p in data.facts if p["called"]], rng)):
        found["unseen"] = frame.format(nobody)
    if mixed := permuted(example.answer, rng):
        found["permuted"] = mixed
    return found | {"random": babble(example.answer, _words(data.facts), rng)}


def _nobody(called: Sequence[str], rng: random.Random) -> str | None:
    """The beginning of one name and the last word of another that together name nobody; None if all do."""
    longer = [name for name in called if " " in name]
    firsts, lasts = (sorted({name.rsplit(" ", 1)[part] for name in longer}) for part in (0, 1))
    free = sorted({f"{first} {last}" for first in firsts for last in lasts} - set(called))
    return rng.choice(free) if free else None


def _words(facts: Sequence[Mapping]) -> list[str]:
    """What random words are drawn from: those of all descriptions."""
    return sorted({word.strip(",") for person in facts for word in person["description"].split()})


def _is_novel_identity(example: Example) -> bool:
    return example.facets["population"] == "novel" and example.facets["topic"] == "identity"


def _is_identity(example: Example, cell: str) -> bool:
    return example.facets["topic"] == "identity" and example.cell("direction", "format") == cell


def _loses(example: Example, drop: str) -> bool:
    """Whether the drop takes something away: a picture if there is one, and words that name somebody."""
    return bool(example.pictures) if drop == "image" else not _is_identity(example, "forward/free")


def _kind(example: Example) -> Iterator[str]:
    facets = example.facets
    yield from (facets["topic"], example.cell("direction", "format"), facets["order"], facets["distractors"])


def _counted(example: Example, both_ways: set[str]) -> Example:
    """The example under the population that it is counted with."""
    if example.group not in both_ways:
        return example
    return replace(example, facets={**example.facets, "population": "two_way"})
