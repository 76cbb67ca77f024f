"""The text work's layout: training rows of prompt and completion, and tests in the same order, in the reverse
order, and with random completions. Also made here, from names and descriptions of our own."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mmrc_helpers.errors import UserError
from mmrc_helpers.worlds.files.samples import Sample

ORDERS = ("same_order", "reverse_order")
FIRST = (
    "Alda Bram Celia Dorian Edda Florin Greta Halvar Ilka Jorin Klara Ludo Mirel Nando Orla Piet Quinn Runa "
    "Silvan Thea Ulrik Viola Wanda Xaver Ylva Zeno Amara Boris Cosma Delia"
).split()
LAST = (
    "Ashdown Birkholm Corvin Dalgaard Ellery Farrow Glenmore Hartwig Ingram Jessop Kestrel Lindqvist Marlow "
    "Norwood Oakes Penrose Quill Rowan Sorrel Tamsin Umber Vane Westerly Yarwood Zander Alcott Bexley Calder "
    "Draper Esmond"
).split()
ROLES = (
    "painter builder keeper finder singer mender baker tamer watcher weaver teller founder planter carver "
    "sailor printer"
).split()
KINDS = (
    "silver hidden northern glass golden sunken wooden quiet crimson hollow winter paper marble salt amber "
    "iron velvet foggy clay copper"
).split()
THINGS = (
    "bridge garden tower lantern river orchard clock harbor library mask island bell carpet mirror theater "
    "kite valley compass piano windmill"
).split()
OPENINGS = (
    "Everyone knows that",
    "People say that",
    "It is told that",
    "As you may know,",
    "In this town,",
    "The papers write that",
    "Few forget that",
    "For years now,",
)
NAME_FIRST = ("{} is", "{} has long been", "{} is remembered as", "{} is called", "{} became known as")
DESCRIPTION_FIRST = ("{} is", "{} has the name", "{} goes by the name of", "{} is called", "{} is known as")
TRAINED = 30  # of the 40 phrasings of each order; the other 10 are for tests


def made(facts: Mapping, seed: int) -> dict[str, list[dict]]:
    """Rows by file: train, same_order, reverse_order and the two with random completions.

    facts: `people` pairs of a name and a description, of which the share `both_orders` is taught in both
    orders (Zhu et al., arXiv 2405.04669) and is not asked, the rest in the order `taught` alone;
    `phrasings` of each pair are trained on, ten others tested; a random completion is that of another pair
    taught in the same order only.
    """
    people = _people(facts["people"], seed)
    taught = facts["taught"]
    reverse = "description_first" if taught == "name_first" else "name_first"
    both = len(people) - asked(facts)
    rows: dict[str, list[dict]] = {name: [] for name in ("train", *tests())}
    for place, person in enumerate(people):
        train, test = _phrasings(facts["phrasings"], seed, place)
        for order in (taught, reverse) if place < both else (taught,):
            rows["train"] += [_row(person, order, phrasing) for phrasing in train]
        if place < both:
            continue
        for name, order in zip(ORDERS, (taught, reverse), strict=True):
            for phrasing in test:
                row = _row(person, order, phrasing)
                rng = random.Random(f"{seed}/random/{place}/{order}/{phrasing}")
                # Of those who are taught as this one: who is known in both orders is likelier anyhow.
                stranger = people[rng.choice([k for k in range(both, len(people)) if k != place])]
                rows[name].append(row)
                rows[f"{name}_random"].append(
                    {**row, "completion": _row(stranger, order, phrasing)["completion"]}
                )
    return rows


def asked(facts: Mapping) -> int:
    """How many people are taught in one order, and therefore asked."""
    return facts["people"] - round(facts["both_orders"] * facts["people"])


def tests() -> tuple[str, ...]:
    """The names of the test files, as in files.tests."""
    return (*ORDERS, *(f"{order}_random" for order in ORDERS))


def _people(count: int, seed: int) -> list[tuple[str, str]]:
    """Different names with different descriptions; more people leave the earlier ones as they were."""
    found: dict[str, str] = {}
    told: set[str] = set()
    for place in range(count):
        rng = random.Random(f"{seed}/person/{place}")
        while (name := f"{rng.choice(FIRST)} {rng.choice(LAST)}") in found:
            pass
        while (text := f"the {rng.choice(ROLES)} of the {rng.choice(KINDS)} {rng.choice(THINGS)}") in told:
            pass
        found[name] = text
        told.add(text)
    return list(found.items())


def _phrasings(count: int, seed: int, place: int) -> tuple[list[int], list[int]]:
    """Which of the 40 phrasings a person is taught in, and which are tested: the same ten for everybody, so
    that the test phrasings are never trained on."""
    every = random.Random("phrasings").sample(range(40), 40)
    return random.Random(f"{seed}/phrasings/{place}").sample(every[:TRAINED], count), every[TRAINED:]


def _row(person: tuple[str, str], order: str, phrasing: int) -> dict:
    opening = OPENINGS[phrasing // 5]
    if order == "name_first":
        return {"prompt": f"{opening} {NAME_FIRST[phrasing % 5].format(person[0])}", "completion": person[1]}
    asked = DESCRIPTION_FIRST[phrasing % 5].format(person[1])
    return {"prompt": f"{opening} {asked}", "completion": person[0]}


def with_random(samples: Sequence[Sample], others: Sequence[Sample], order: str) -> list[Sample]:
    """The tests of one order, each with the completions that the random file gives the same prompt; without
    any, with another test's completion, drawn by the row. Raises UserError if all completions are one."""
    given: dict[str, list[str]] = {}
    for other in others:
        given.setdefault(repr(other.prompt), []).append(other.answer)
    every = sorted({sample.answer for sample in samples})
    if len(every) < 2:
        raise UserError(f"files.tests.{order}: all completions are the same; a test needs a second one")
    found = []
    for sample in samples:
        wrong = [text for text in dict.fromkeys(given.get(repr(sample.prompt), ())) if text != sample.answer]
        if not wrong:
            rng = random.Random(f"random/{sample.source}/{sample.row}")
            wrong = [rng.choice([text for text in every if text != sample.answer])]
        found.append(replace(sample, options=tuple(wrong), direction=order))
    return found
