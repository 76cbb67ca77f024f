"""What is probed while a phase trains: at which steps, with which questions, against which answers."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mmrc_helpers.tasks.records import CELLS, LETTERS, VERDICTS, Example, answer_text

POPULATIONS = ("novel", "background")


def schedule(steps: int, dynamics: Mapping) -> list[int]:
    """The optimizer steps after which to probe, ascending: 0 (the untouched start), `steps`, and points
    between them that are `dynamics.spacing` apart; at most `dynamics.probes`, fewer where points coincide."""
    count, spacing = dynamics["probes"], dynamics["spacing"]
    if spacing == "both":
        halves = {**dynamics, "probes": count // 2 + 1}
        return sorted(
            {*schedule(steps, {**halves, "spacing": "log"}), *schedule(steps, {**halves, "spacing": "even"})}
        )
    shares = [k / max(1, count - 1) for k in range(count)] if count > 1 else [1.0]
    if spacing == "even":
        return sorted({round(steps * share) for share in shares})
    return sorted({round((steps + 1) ** share) - 1 for share in shares})


def spread(points: Sequence[int], count: int) -> list[int]:
    """`count` of the points, from the first to the last in equal strides; all if there are fewer."""
    if count == 0:
        return []
    strides = [round(k * (len(points) - 1) / max(1, count - 1)) for k in range(count)]
    return sorted({points[k] for k in strides})


def choose(examples: Iterable[Example], count: int, both_ways: set[str]) -> list[Example]:
    """The probed questions: in every cell about the same `count` people of each population, from the test
    split, that is, held-out views and wordings. People in `both_ways` (taught in every cell) are passed over.
    Judgements are as often right as wrong."""
    found: dict[str, dict[str, dict[str, list]]] = {
        population: defaultdict(lambda: defaultdict(list)) for population in POPULATIONS
    }
    for e in examples:
        if e.split == "test" and e.topic == "identity" and e.group not in both_ways:
            found[e.population][e.group][e.cell].append(e)
    chosen = []
    for population in POPULATIONS:
        people = sorted(found[population])
        random.Random(f"probes/{population}").shuffle(people)
        for cell in CELLS:
            asked = [found[population][group][cell] for group in people if found[population][group][cell]]
            chosen += [_one(options, number) for number, options in enumerate(asked[:count])]
    return chosen


def _one(options: list[Example], number: int) -> Example:
    """The plain question of a person in a cell; of judgements, those about right and wrong in turn."""
    plain = sorted(options, key=lambda e: (e.order != "image_first", e.distractors == "matched", e.id))
    if plain[0].format != "judge":
        return plain[0]
    return next((e for e in plain if e.gold == number % 2), plain[0])


def candidates(example: Example, called: Sequence[str], words: Sequence[str]) -> dict[str, str]:
    """The answers whose probability is followed, by kind; kinds that a format has no use for are left out.

    right: the right answer. paraphrase: the same in words that training never uses for it. format_only: its
    form about nothing (Ren and Sutherland's format-preserving rewrite). wrong_person: another option. unseen:
    a name made of known words that nobody has. permuted: the right answer's words in another order. random:
    as many random words.

    called: the names of all people. words: what random answers are made of.
    """
    rng = random.Random(f"{example.id}/candidates")
    if example.format == "judge":
        return {"right": example.answer, "wrong_person": VERDICTS[1 - example.gold]}
    other = rng.choice([k for k in range(len(example.choices)) if k != example.gold])
    if example.format == "choice":
        found = {"right": answer_text(example), "wrong_person": LETTERS[other]}
        if len(example.choices) < len(LETTERS):
            found["format_only"] = LETTERS[len(example.choices)]
        if example.choices != example.images:
            found["paraphrase"] = f"This is {example.choices[example.gold]}."
        return found
    names = example.direction == "forward"
    frame, again = ("This is {}.", "Here is {}.") if names else ("{}.", "It is {}.")
    own = example.choices[example.gold]
    found = {
        "right": example.answer,
        "paraphrase": again.format(own),
        "format_only": frame.format("this person"),
    }
    found["wrong_person"] = frame.format(example.choices[other])
    if names and (nobody := _nobody(called, rng)):
        found["unseen"] = frame.format(nobody)
    told = example.answer.split()
    if len(set(told)) > 1:
        mixed = told
        while mixed == told:
            mixed = rng.sample(told, len(told))
        found["permuted"] = " ".join(mixed)
    return found | {"random": " ".join(rng.choices(words, k=len(told)))}


def _nobody(called: Sequence[str], rng: random.Random) -> str | None:
    """The beginning of one name and the last word of another that together name nobody; None if all do."""
    firsts, lasts = (sorted({name.rsplit(" ", 1)[part] for name in called}) for part in (0, 1))
    free = sorted({f"{first} {last}" for first in firsts for last in lasts} - set(called))
    return rng.choice(free) if free else None
