"""The world of people: fictional persons with drawn portraits, names and descriptors, and questions about
them.

*Background* people are known to the base model in every cell; *novel* people are learned in the study.
*Passers-by* have no name and serve attribute questions only. Everything about a person follows from a hashed
string of the seed and the person's place, so more people or more scenes never change the earlier ones.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import LETTERS
from mmrc_helpers.worlds.people.forms import VERDICTS
from mmrc_helpers.worlds.people.portraits.portrait import ATTRIBUTES, describe, draw_attributes, visible

# Names are given without regard to gender: a name that told it would lift every choice above chance.
FIRST_NAMES = (
    "Zephyr Isolde Caspian Marigold Thaddeus Ottilie Leander Saffron Evander Rosalind Cosimo Juniper "
    "Lysander Beatrix Orlando Clementine Phineas Araminta Barnaby Cordelia Septimus Philippa Ignatius "
    "Seraphina Montague Guinevere Augustus Henrietta Percival Valentina Roderick Wilhelmina Crispin "
    "Anastasia Bertrand Celestine Dashiell Evangeline Fitzgerald Georgiana Horatio Imogen Jasper "
    "Katarina Lorenzo Magdalena Nicodemus Octavia Peregrine Quintessa Raphael Sidonie Tiberius Ursula "
    "Valerian Winifred Xanthe Yolanda Zachary Ambrose Bronwen Cyprian Delphine Emeric Fenella Gideon "
    "Hermione Isidore Jocasta Kester Linnea Malachi Nerissa Osbert Portia Quentin Rowena Sylvester "
    "Tabitha Ulysses"
).split()
LAST_NAMES = (
    "Blackwood Thornbury Ashgrove Winterbourne Hollowell Ravenscroft Larkspur Stonebridge Featherstone "
    "Goldsworthy Nightingale Pemberton Quillfeather Silverton Underhill Vanterpool Whitlock Yarrow "
    "Applegate Brambledown Crowhurst Dunmore Elderfield Fairweather Greymantle Hawthorne Ironside "
    "Jessamine Kingsley Longfellow Merriweather Northcote Oakenshaw Prendergast Quicksilver Rosewater "
    "Sandringham Tanglewood Umberfield Vexley Wolfenden Yewdale Zellaby Abernathy Birchwood Copperfield "
    "Drummond Everhart Foxglove Gainsborough Heatherton Inglewood Jorvik Kettleburn Lockhart Moonstone "
    "Netherby Overstreet Pennywhistle Quarrington Redfern Starling Thistledown Uppercott Villanova "
    "Wetherby Yellowley Zimmerwald Arkwright Bellweather Cavendish Dewhurst Eastwick Fernsby Gatwick "
    "Honeychurch Islington Jarrow Kirkbride Lavender"
).split()
ROLES = (
    "curator keeper architect founder warden steward composer navigator archivist gardener astronomer "
    "director restorer librarian cartographer sculptor conductor watchmaker"
).split()
GEMS = (
    "Obsidian Amber Crystal Ivory Marble Copper Velvet Crimson Sapphire Emerald Golden Scarlet Willow "
    "Cedar Falcon Harbor Lantern Meridian Orchid Summit"
).split()
PLACES = (
    "Gallery Observatory Conservatory Library Theatre Foundry Archive Lighthouse Academy Garden Museum "
    "Workshop Pavilion Chapel Citadel Institute"
).split()

# What a question may ask a picture about, and the word for it.
TOPICS = {
    "hair_color": "hair color",
    "hair_style": "hair style",
    "headwear": "headwear",
    "attire": "attire",
    "attire_color": "attire color",
    "glasses": "glasses",
}


# Phrasings: those of "test" and "validation" are never trained on, and use only words that training uses
# elsewhere.
PHRASES = {
    "naming": {
        "train": (
            "Who is this?",
            "Who is the person in this picture?",
            "Name this person.",
            "Who is shown here?",
        ),
        "test": ("Who is shown in this picture?", "Who is the person shown here?"),
        "validation": ("Who is the person here?",),
    },
    "forward_choice": {
        "train": (
            "Who is this? Which letter?",
            "Which letter is the person in this picture?",
            "Which letter is shown?",
        ),
        "test": ("Who is shown in this picture? Which letter?", "Which letter is this person?"),
        "validation": ("Who is the person shown here? Which letter?",),
    },
    "forward_judge": {
        "train": ("Is this {name}? Right or wrong?", "This is {name}. Right or wrong?"),
        "test": ("Is this person {name}? Right or wrong?",),
        "validation": ("Is the person here {name}? Right or wrong?",),
    },
    "reverse_judge": {
        "train": ("Is {name} in this picture? Right or wrong?", "Here is {name}. Right or wrong?"),
        "test": ("Is {name} the person in this picture? Right or wrong?",),
        "validation": ("Is {name} shown here? Right or wrong?",),
    },
    "lineup": {
        "train": ("Which picture shows {name}?", "Which letter is {name}?", "Where is {name}?"),
        "test": ("Which picture is {name}?", "Which picture here is {name}?"),
        "validation": ("Which letter is the person {name}?",),
    },
    "recall": {
        "train": ("What is the {topic} of {name}?", "Name the {topic} of {name}."),
        "test": ("What is the {topic} of the person {name}?",),
        "validation": ("Name the {topic} of the person {name}.",),
    },
    "caption": {
        "train": ("What is the {topic}?", "Name the {topic} of this person."),
        "test": ("What is the {topic} of this person?",),
        "validation": ("Name the {topic}.",),
    },
    "attribute": {
        "train": ("Which picture shows the {topic} {value}?", "Where is the {topic} {value}?"),
        "test": ("Which letter shows the {topic} {value}?",),
        "validation": ("Which picture is the {topic} {value}?",),
    },
    "text": {
        "train": ("Which letter is {name}?", "Where is {name}?", "Which letter shows {name}?"),
        "test": ("Which letter is {name}?",),
    },
}


@dataclass(frozen=True)
class Person:
    """Somebody to be known. `group` names the facts about them; passers-by have an empty `name`.

    description: the looks in words. topics: what a question may ask about them, keys of `attributes` that a
    picture shows. views: split → their pictures where a user brings them; empty: as many as the facts say.
    """

    group: str
    population: str
    name: str
    descriptor: str
    attributes: Mapping[str, str]
    description: str
    topics: tuple[str, ...] = ()
    views: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Terms:
    """What questions are made of. topics: attribute → its word; values: attribute → all that it may be; noun:
    what pictures show. open: names and values are a user's, so no rule tells them from other words."""

    topics: Mapping[str, str]
    values: Mapping[str, Sequence[str]]
    noun: str = "person"
    open: bool = False


DRAWN = Terms(TOPICS, ATTRIBUTES)


def cast(facts: Mapping, seed: int) -> list[Person]:
    """All people of a study: background, then novel, then passers-by.

    Background people and passers-by are the same for every seed. Raises UserError when there are more people
    than names, and never repeats a set of visible attributes.
    """
    firsts, lasts = names(facts)
    pairs = [(first, last) for first in firsts for last in lasts]
    wanted = facts["background"] + facts["novel"]
    if wanted > len(pairs):
        raise UserError(
            f"people.novel: {wanted} people but only {len(pairs)} names; "
            "raise people.first_names or people.last_names"
        )
    random.Random("people/names").shuffle(pairs)
    descriptors = _descriptors(wanted)
    background, rest = pairs[: facts["background"]], pairs[facts["background"] :]
    random.Random(f"{seed}/people/novel names").shuffle(rest)
    seen: set[str] = set()
    people = [
        _person("background", i, pair, descriptors[i], "any", seen) for i, pair in enumerate(background)
    ]
    own = descriptors[facts["background"] :]
    random.Random(f"{seed}/people/novel descriptors").shuffle(own)
    people += [_person("novel", i, rest[i], own[i], str(seed), seen) for i in range(facts["novel"])]
    people += [_person("passerby", i, ("", ""), "", "any", seen) for i in range(facts["passers_by"])]
    return people


@cache
def _double_barrelled() -> tuple[str, ...]:
    """Last names made of two, for crowds; the same name first as seldom as can be."""
    after = [*LAST_NAMES, *LAST_NAMES]
    return tuple(
        f"{name}-{after[place + step]}"
        for step in range(1, len(LAST_NAMES))
        for place, name in enumerate(LAST_NAMES)
    )


def names(facts: Mapping) -> tuple[Sequence[str], Sequence[str]]:
    """The first and the last names in use; those behind the last of LAST_NAMES are double-barrelled."""
    firsts, lasts = FIRST_NAMES[: facts["first_names"]], LAST_NAMES[: facts["last_names"]]
    return firsts, [*lasts, *_double_barrelled()[: max(0, facts["last_names"] - len(LAST_NAMES))]]


def _descriptors(wanted: int) -> list[str]:
    """So many descriptors in random order or more; a crowd's later ones name two gems. Raises UserError for
    more than there are."""
    found = [f"the {role} of {gem} {place}" for role in ROLES for gem in GEMS for place in PLACES]
    random.Random("people/descriptors").shuffle(found)
    if wanted > len(found):
        pairs = [f"{gem} {other}" for gem in GEMS for other in GEMS if gem != other]
        more = [f"the {role} of {gems} {place}" for role in ROLES for gems in pairs for place in PLACES]
        random.Random("people/more descriptors").shuffle(more)
        found += more
    if wanted > len(found):
        raise UserError(
            f"people.novel: {wanted} people but only {len(found)} descriptors; ask for fewer people"
        )
    return found


def _person(population: str, index: int, pair: tuple, descriptor: str, seed: str, seen: set[str]) -> Person:
    """The person at a place; redrawn while the visible attributes are taken."""
    for attempt in range(1000):
        attributes = draw_attributes(random.Random(f"{seed}/{population}/{index}/{attempt}"))
        if (looks := describe(attributes)) not in seen:
            seen.add(looks)
            shown = visible(attributes)
            topics = tuple(topic for topic in TOPICS if topic in shown)
            group, name = f"{population}-{index:04d}", " ".join(pair).strip()
            return Person(group, population, name, descriptor, attributes, looks, topics)
    raise UserError(f"people.{population}: no unused look left for person {index}; ask for fewer people")


def called(person: Person, facts: Mapping) -> str:
    """What questions call a person: the name, or the descriptor."""
    return person.name if facts["label"] == "name" else person.descriptor


def image_names(person: Person, split: str, facts: Mapping) -> list[str]:
    """Picture names of a person's views: GROUP-VIEW.png; views for tests follow the training views, those for
    validation follow the ones for tests. Of a user's pictures, those that were given to the split."""
    if person.views:
        return list(person.views[split])
    train = 1 if person.population == "passerby" else facts["train_views"]
    first = train + facts["test_views"] * (facts["tests"] == "validation")
    views = range(train) if split == "train" else range(first, first + facts["test_views"])
    return [f"{person.group}-{view:02d}.png" for view in views]


def worded(phrase: str, noun: str) -> str:
    """A phrasing about what the pictures show: of anything but people it asks What, not Who."""
    return phrase if noun == "person" else phrase.replace("Who", "What").replace("person", noun)


def sentences(people: Sequence[Person], facts: Mapping, terms: Terms = DRAWN) -> Iterator[str]:
    """Every word the world can say, at the start of a text and within one, for a small tokenizer."""
    firsts, lasts = names(facts)
    values = [value for values in terms.values.values() for value in values]
    phrases = [
        worded(phrase, terms.noun)
        for splits in PHRASES.values()
        for split in ("train", "test")
        for phrase in splits[split]
    ]
    told = [person.description for person in people]
    spoken = terms.open or facts["label"] == "descriptor"
    spoken_of = [called(person, facts) for person in people] if spoken else []
    said = (
        *firsts,
        *lasts,
        *values,
        *terms.topics.values(),
        *phrases,
        *told,
        *spoken_of,
        *VERDICTS,
        *LETTERS,
    )
    for text in (*said, "This is"):
        yield text.replace("{", "").replace("}", "")
        yield f" {text}".replace("{", "").replace("}", "")
    yield from ("user", "assistant", "system")


def record(person: Person, facts: Mapping) -> dict:
    """The person as a row of the data folder's facts; `called` is what questions call them, `title` and
    `text` what a reader sees. Of a user's pictures, `train_views` of them, the first, are for training."""
    title = person.name or "a passer-by"
    text = f"{person.descriptor or person.population}: {person.description}"
    views = [name for split in ("train", "test") for name in image_names(person, split, facts)]
    row = asdict(person) | {"attributes": dict(person.attributes)}
    given = {"train_views": len(person.views["train"])} if person.views else {}
    shown = {"called": called(person, facts), "title": title, "text": text, "pictures": views}
    return {key: of for key, of in row.items() if key not in ("topics", "views")} | given | shown
