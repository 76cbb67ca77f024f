"""The world of people: fictional persons with drawn portraits, names and descriptors, and questions about them.

*Background* people are known to the base model in every cell; *novel* people are learned in the study. *Passers-by*
have no name and serve attribute questions only. Everything about a person follows from a hashed string of the seed and
the person's place, so more people or more scenes never change the earlier ones.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from mmrc_helpers.records import LETTERS, VERDICTS, Example, bucket
from mmrc_helpers.study import UserError
from mmrc_helpers.worlds.portraits import ATTRIBUTES, describe, draw_attributes, visible

FIRST_NAMES = (
    "Zephyr Isolde Caspian Marigold Thaddeus Ottilie Leander Saffron Evander Rosalind Cosimo Juniper Lysander Beatrix "
    "Orlando Clementine Phineas Araminta Barnaby Cordelia Septimus Philippa Ignatius Seraphina Montague Guinevere "
    "Augustus Henrietta Percival Valentina Roderick Wilhelmina Crispin Anastasia Bertrand Celestine Dashiell Evangeline "
    "Fitzgerald Georgiana Horatio Imogen Jasper Katarina Lorenzo Magdalena Nicodemus Octavia Peregrine Quintessa "
    "Raphael Sidonie Tiberius Ursula Valerian Winifred Xanthe Yolanda Zachary Ambrose Bronwen Cyprian Delphine Emeric "
    "Fenella Gideon Hermione Isidore Jocasta Kester Linnea Malachi Nerissa Osbert Portia Quentin Rowena Sylvester "
    "Tabitha Ulysses"
).split()
LAST_NAMES = (
    "Blackwood Thornbury Ashgrove Winterbourne Hollowell Ravenscroft Larkspur Stonebridge Featherstone Goldsworthy "
    "Nightingale Pemberton Quillfeather Silverton Underhill Vanterpool Whitlock Yarrow Applegate Brambledown "
    "Crowhurst Dunmore Elderfield Fairweather Greymantle Hawthorne Ironside Jessamine Kingsley Longfellow Merriweather "
    "Northcote Oakenshaw Prendergast Quicksilver Rosewater Sandringham Tanglewood Umberfield Vexley Wolfenden Yewdale "
    "Zellaby Abernathy Birchwood Copperfield Drummond Everhart Foxglove Gainsborough Heatherton Inglewood Jorvik "
    "Kettleburn Lockhart Moonstone Netherby Overstreet Pennywhistle Quarrington Redfern Starling Thistledown Uppercott "
    "Villanova Wetherby Yellowley Zimmerwald Arkwright Bellweather Cavendish Dewhurst Eastwick Fernsby Gatwick "
    "Honeychurch Islington Jarrow Kirkbride Lavender"
).split()
ROLES = (
    "curator keeper architect founder warden steward composer navigator archivist gardener astronomer director "
    "restorer librarian cartographer sculptor conductor watchmaker"
).split()
GEMS = (
    "Obsidian Amber Crystal Ivory Marble Copper Velvet Crimson Sapphire Emerald Golden Scarlet Willow Cedar Falcon "
    "Harbor Lantern Meridian Orchid Summit"
).split()
PLACES = (
    "Gallery Observatory Conservatory Library Theatre Foundry Archive Lighthouse Academy Garden Museum Workshop "
    "Pavilion Chapel Citadel Institute"
).split()

QUESTIONS = 6  # asked about one set of choices in training

# What a question may ask a picture about, and the word for it.
TOPICS = {
    "hair_color": "hair color",
    "hair_style": "hair style",
    "headwear": "headwear",
    "attire": "attire",
    "attire_color": "attire color",
    "glasses": "glasses",
}

# Phrasings: those of "test" are never trained on, and use only words that training uses elsewhere.
PHRASES = {
    "naming": {
        "train": (
            "Who is this?",
            "Who is the person in this picture?",
            "Name this person.",
            "Who is shown here?",
        ),
        "test": ("Who is shown in this picture?", "Name the person shown here."),
    },
    "forward_choice": {
        "train": (
            "Who is this? Which letter?",
            "Which letter is the person in this picture?",
            "Which letter is shown?",
        ),
        "test": ("Who is shown in this picture? Which letter?", "Which letter is this person?"),
    },
    "forward_judge": {
        "train": ("Is this {name}? Right or wrong?", "This is {name}. Right or wrong?"),
        "test": ("Is {name} shown here? Right or wrong?",),
    },
    "reverse_judge": {
        "train": ("Is {name} in this picture? Right or wrong?", "Here is {name}. Right or wrong?"),
        "test": ("Is {name} the person in this picture? Right or wrong?",),
    },
    "lineup": {
        "train": ("Which picture shows {name}?", "Which letter is {name}?", "Where is {name}?"),
        "test": ("Which picture is {name}?", "Which letter shows {name}?"),
    },
    "recall": {
        "train": ("What is the {topic} of {name}?", "Name the {topic} of {name}."),
        "test": ("What {topic} is shown in the picture of {name}?",),
    },
    "caption": {
        "train": ("What is the {topic}?", "Name the {topic} of this person."),
        "test": ("What is the {topic} of this person?",),
    },
    "attribute": {
        "train": ("Which picture shows the {topic} {value}?", "Where is the {topic} {value}?"),
        "test": ("Which letter shows the {topic} {value}?",),
    },
    "text": {
        "train": ("Which letter is {name}?", "Where is {name}?", "Which letter shows {name}?"),
        "test": ("Which letter is {name}?",),
    },
}


@dataclass(frozen=True)
class Person:
    """A fictional person. `group` names the facts about them; passers-by have an empty `name`."""

    group: str
    population: str
    name: str
    descriptor: str
    attributes: Mapping[str, str]

    @property
    def description(self) -> str:
        return describe(self.attributes)

    @property
    def topics(self) -> list[str]:
        """What a question may ask about this person: the attributes that a picture shows."""
        shown = visible(self.attributes)
        return [topic for topic in TOPICS if topic in shown]


def cast(data: Mapping, seed: int) -> list[Person]:
    """All people of a study: background, then novel, then passers-by.

    Background people and passers-by are the same for every seed. Raises UserError when there are more people than
    names, and never repeats a set of visible attributes.
    """
    pairs = [
        (first, last)
        for first in FIRST_NAMES[: data["first_names"]]
        for last in LAST_NAMES[: data["last_names"]]
    ]
    wanted = data["background"] + data["novel"]
    if wanted > len(pairs):
        raise UserError(
            f"data.novel: {wanted} people but only {len(pairs)} names; raise data.first_names or data.last_names"
        )
    random.Random("people/names").shuffle(pairs)
    descriptors = [f"the {role} of {gem} {place}" for role in ROLES for gem in GEMS for place in PLACES]
    random.Random("people/descriptors").shuffle(descriptors)
    background, rest = pairs[: data["background"]], pairs[data["background"] :]
    random.Random(f"{seed}/people/novel names").shuffle(rest)
    seen: set[str] = set()
    people = [
        _person("background", i, pair, descriptors[i], "any", seen) for i, pair in enumerate(background)
    ]
    own = descriptors[data["background"] :]
    random.Random(f"{seed}/people/novel descriptors").shuffle(own)
    people += [_person("novel", i, rest[i], own[i], str(seed), seen) for i in range(data["novel"])]
    people += [_person("passerby", i, ("", ""), "", "any", seen) for i in range(data["passers_by"])]
    return people


def _person(population: str, index: int, pair: tuple, descriptor: str, seed: str, seen: set[str]) -> Person:
    """The person at a place; redrawn while the visible attributes are taken."""
    for attempt in range(1000):
        attributes = draw_attributes(random.Random(f"{seed}/{population}/{index}/{attempt}"))
        if (looks := describe(attributes)) not in seen:
            seen.add(looks)
            return Person(
                f"{population}-{index:04d}", population, " ".join(pair).strip(), descriptor, attributes
            )
    raise UserError(f"data.{population}: no unused look left for person {index}; ask for fewer people")


def called(person: Person, data: Mapping) -> str:
    """What questions call a person: the name, or the descriptor."""
    return person.name if data["label"] == "name" else person.descriptor


def image_names(person: Person, split: str, data: Mapping) -> list[str]:
    """Picture names of a person's views: GROUP-VIEW.png; test views follow the training views."""
    train = 1 if person.population == "passerby" else data["train_views"]
    views = range(train) if split == "train" else range(train, train + data["test_views"])
    return [f"{person.group}-{view:02d}.png" for view in views]


def examples(people: Sequence[Person], data: Mapping, seed: int) -> Iterator[Example]:
    """Every question of the world, training and test, scene by scene."""
    scene_seed = {"background": "any", "passerby": "any", "novel": str(seed)}
    for split in ("train", "test"):
        for person in people:
            peers = [p for p in people if _may_stand_beside(person, p)]
            maker = _Maker(person, peers, split, data, scene_seed[person.population])
            yield from maker.examples()
    yield from _text_scenes(people, data)


def _may_stand_beside(person: Person, other: Person) -> bool:
    same_population = other.population == person.population and other.group != person.group
    return same_population and (person.population != "novel" or bucket(other.group) == bucket(person.group))


@dataclass(frozen=True)
class _Maker:
    """Makes one person's scenes of one split."""

    person: Person
    peers: Sequence[Person]
    split: str
    data: Mapping
    seed: str

    def rng(self, what: str) -> random.Random:
        return random.Random(f"{self.seed}/{self.split}/{self.person.group}/{what}")

    def make(self, scene: str, number: object, **values) -> Example:
        scene = f"{self.split}/{self.person.group}/{scene}"
        values = {"group": self.person.group, "topic": "identity", **values}
        return Example(
            id=f"{scene}/{values['topic']}/{values['direction']}/{values['format']}/{number}",
            scene=scene,
            split=self.split,
            population="background" if self.person.population == "passerby" else self.person.population,
            **values,
        )

    def examples(self) -> Iterator[Example]:
        if len(self.peers) < self.data["options"] - 1:
            raise UserError(
                f"data.{self.person.population}: a line-up of {self.data['options']} needs more people in each of the "
                f"four buckets than there are; raise it (or lower data.options)"
            )
        named = self.person.population != "passerby"
        repeats = self.data["train_scenes"] if self.split == "train" else self.data["test_repeats"]
        if not named:
            repeats = min(repeats, 2) if self.split == "train" else 0
        for number in range(repeats):
            if named:
                yield from self.portrait(number)
                yield from self.recall(number)
            if self.split == "test" or self.person.population != "novel":
                yield from self.captions(number)
            yield from self.lineup(number, "random", "image_first")
            if named and (self.data["name_first"] or self.split == "train"):
                yield from self.lineup(number, "random", "name_first")
            if named and self.data["matched_distractors"]:
                yield from self.lineup(number, "matched", "image_first")
            yield from self.in_context(number)

    def portrait(self, number: int) -> Iterator[Example]:
        """One view: who is it, as a free answer, as a choice and as judgements, in both orders."""
        rng, scene = self.rng(f"portrait {number}"), f"portrait{number}"
        images = (rng.choice(image_names(self.person, self.split, self.data)),)
        name = called(self.person, self.data)
        yield self.make(
            scene, 0, direction="forward", format="free", images=images,
            question=rng.choice(PHRASES["naming"][self.split]), answer=f"This is {name}.",
            **self._named_choices(rng, "random"),
        )  # fmt: skip
        kinds = ["random", "random"] if self.split == "train" else ["random"]
        for k, distractors in enumerate(kinds + ["matched"] * self.data["matched_distractors"]):
            yield self.make(
                scene, f"{k}{distractors}", direction="forward", format="choice", images=images,
                question=rng.choice(PHRASES["forward_choice"][self.split]), distractors=distractors,
                **self._named_choices(rng, distractors),
            )  # fmt: skip
        for direction, order in (("forward", "image_first"), ("reverse", "name_first")):
            for right in (True, False):
                other = self.person if right else rng.choice(self.peers)
                question = rng.choice(PHRASES[f"{direction}_judge"][self.split]).format(
                    name=called(other, self.data)
                )
                yield self.make(
                    scene, int(right), direction=direction, format="judge", order=order, images=images,
                    question=question, choices=VERDICTS, gold=0 if right else 1, answer=VERDICTS[0 if right else 1],
                    choice_groups=(other.group,), distractors="random",
                )  # fmt: skip

    def _named_choices(self, rng: random.Random, distractors: str) -> dict:
        chosen = self._beside(rng, distractors)
        gold = rng.randrange(len(chosen) + 1)
        chosen.insert(gold, self.person)
        return {
            "choices": tuple(called(p, self.data) for p in chosen),
            "choice_groups": tuple(p.group for p in chosen),
            "gold": gold,
        }

    def _beside(self, rng: random.Random, distractors: str) -> list[Person]:
        """The wrong options: random peers, or those that share most of the asked attributes."""
        count = self.data["options"] - 1
        if self.split == "train":
            count = rng.randint(1, count)
        peers = rng.sample(self.peers, len(self.peers))
        if distractors == "matched":
            peers.sort(key=lambda p: -sum(p.attributes[t] == self.person.attributes[t] for t in TOPICS))
        return peers[:count]

    def lineup(self, number: int, distractors: str, order: str) -> Iterator[Example]:
        """Several pictures: which shows a named person, and which an attribute that only one of them has."""
        rng, scene = self.rng(f"lineup {number} {distractors} {order}"), f"lineup{number}{distractors}{order}"
        shown = self._beside(rng, distractors)
        shown.insert(rng.randrange(len(shown) + 1), self.person)
        images = tuple(rng.choice(image_names(p, self.split, self.data)) for p in shown)
        common = {"direction": "reverse", "format": "choice", "order": order, "distractors": distractors}
        common |= {"images": images, "choices": images, "choice_groups": tuple(p.group for p in shown)}
        for turn, place in enumerate(self._asked(rng, shown)):
            if shown[place].name:
                person = shown[place]
                question = rng.choice(PHRASES["lineup"][self.split]).format(name=called(person, self.data))
                yield self.make(scene, turn, question=question, gold=place, group=person.group, **common)
        if order == "image_first" and (self.split == "test" or self.person.population != "novel"):
            yield from self._attribute_questions(rng, scene, shown, common)

    def _attribute_questions(self, rng: random.Random, scene: str, shown: list[Person], common: dict):
        asked = [
            (place, topic)
            for place, p in enumerate(shown)
            for topic in p.topics
            if _only(shown, place, topic)
        ]
        for place, topic in rng.sample(asked, min(6 if self.split == "train" else 1, len(asked))):
            value = shown[place].attributes[topic]
            question = rng.choice(PHRASES["attribute"][self.split]).format(topic=TOPICS[topic], value=value)
            number = f"{place}{topic}"
            yield self.make(
                scene, number, question=question, gold=place, group=shown[place].group,
                **{**common, "topic": "attribute"},
            )  # fmt: skip

    def recall(self, number: int) -> Iterator[Example]:
        """A name, no picture: what the named person looks like."""
        rng = self.rng(f"recall {number}")
        topics = self.person.topics
        for topic in rng.sample(topics, len(topics) if self.split == "train" else 1):
            question = rng.choice(PHRASES["recall"][self.split])
            yield self._attribute_answer(rng, f"recall{number}", topic, question, (), "identity", "reverse")

    def captions(self, number: int) -> Iterator[Example]:
        """One picture: its attributes in words."""
        rng = self.rng(f"caption {number}")
        images = (rng.choice(image_names(self.person, self.split, self.data)),)
        topics = self.person.topics
        for topic in rng.sample(topics, len(topics) if self.split == "train" else 1):
            question = rng.choice(PHRASES["caption"][self.split])
            yield self._attribute_answer(
                rng, f"caption{number}", topic, question, images, "attribute", "forward"
            )

    def _attribute_answer(
        self, rng, scene: str, topic: str, question: str, images: tuple, about: str, direction: str
    ):
        value = self.person.attributes[topic]
        others = rng.sample([v for v in ATTRIBUTES[topic] if v != value], self.data["options"] - 1)
        gold = rng.randrange(len(others) + 1)
        others.insert(gold, value)
        return self.make(
            scene, topic, topic=about, direction=direction, format="free", images=images, choices=tuple(others),
            gold=gold, question=question.format(topic=TOPICS[topic], name=called(self.person, self.data)), answer=f"{value}.",
        )  # fmt: skip

    def in_context(self, number: int) -> Iterator[Example]:
        """A line-up whose pictures carry names: the answer stands in the prompt. Passers-by get a name for the moment."""
        rng, scene = self.rng(f"in context {number}"), f"in_context{number}"
        shown = self._beside(rng, "random")
        shown.insert(rng.randrange(len(shown) + 1), self.person)
        images = tuple(rng.choice(image_names(p, self.split, self.data)) for p in shown)
        names = [called(p, self.data) for p in shown]
        if not self.person.name:
            firsts = rng.sample(FIRST_NAMES[: self.data["first_names"]], len(shown))
            lasts = rng.sample(LAST_NAMES[: self.data["last_names"]], len(shown))
            names = [f"{first} {last}" for first, last in zip(firsts, lasts, strict=True)]
        for turn, place in enumerate(self._asked(rng, shown)):
            question = rng.choice(PHRASES["lineup"][self.split]).format(name=names[place])
            yield self.make(
                scene, turn, topic="in_context", direction="reverse", format="choice", images=images, choices=images,
                captions=tuple(names), choice_groups=tuple(p.group for p in shown), gold=place,
                group=shown[place].group, question=question,
            )  # fmt: skip

    def _asked(self, rng: random.Random, shown: Sequence[Person]) -> list[int]:
        """Places asked about. Drawn with replacement in training: else the last answers follow by elimination."""
        if self.split == "test":
            return [shown.index(self.person)]
        return rng.choices(range(len(shown)), k=QUESTIONS)


def _only(shown: Sequence[Person], place: int, topic: str) -> bool:
    """Whether the person at `place` alone has their value of `topic`."""
    return sum(p.attributes[topic] == shown[place].attributes[topic] for p in shown) == 1


def _text_scenes(people: Sequence[Person], data: Mapping) -> Iterator[Example]:
    """Letter choices among names or attribute values, without pictures: the bare skill of choosing by letter."""
    firsts, lasts = FIRST_NAMES[: data["first_names"]], LAST_NAMES[: data["last_names"]]
    values = [f"{TOPICS[topic]} {value}" for topic in TOPICS for value in ATTRIBUTES[topic]]
    for number in range(data["text_scenes"]):
        rng = random.Random(f"any/text/{number}")
        count = rng.randint(2, data["options"])
        if rng.random() < 0.75:
            drawn = [
                f"{f} {s}"
                for f, s in zip(rng.choices(firsts, k=count), rng.choices(lasts, k=count), strict=True)
            ]
            choices = tuple(dict.fromkeys(drawn))
        else:
            choices = tuple(rng.sample(values, count))
        for turn, choice in enumerate(rng.choices(choices, k=QUESTIONS)):
            yield Example(
                id=f"train/text-{number:05d}/{turn}", scene=f"train/text-{number:05d}", group=f"text-{number:05d}",
                split="train", population="background", topic="text", direction="reverse", format="choice",
                question=rng.choice(PHRASES["text"]["train"]).format(name=choice), choices=choices,
                gold=choices.index(choice),
            )  # fmt: skip


def sentences(people: Sequence[Person], data: Mapping) -> Iterator[str]:
    """Every word the world can say, at the start of a text and within one, for a small tokenizer."""
    names = [*FIRST_NAMES[: data["first_names"]], *LAST_NAMES[: data["last_names"]]]
    values = [value for values in ATTRIBUTES.values() for value in values]
    phrases = [phrase for splits in PHRASES.values() for split in splits.values() for phrase in split]
    told = [person.description for person in people]
    called = [person.descriptor for person in people] if data["label"] == "descriptor" else []
    for text in (*names, *values, *TOPICS.values(), *phrases, *told, *called, *VERDICTS, *LETTERS, "This is"):
        yield text.replace("{", "").replace("}", "")
        yield f" {text}".replace("{", "").replace("}", "")
    yield from ("user", "assistant", "system")


def record(person: Person, data: Mapping) -> dict:
    """The person as stored in people.json; `called` is what questions call them."""
    facts = {**asdict(person), "attributes": dict(person.attributes), "description": person.description}
    return {**facts, "called": called(person, data)}
