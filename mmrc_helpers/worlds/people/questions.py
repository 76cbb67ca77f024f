"""The questions about people: scenes of one picture, of several, of none, in every direction and format.

A question is seeded by the place it stands at, never by how many came before, so that more people or more
scenes leave the earlier ones as they were.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import LETTERS, Example
from mmrc_helpers.worlds.people.cast import DRAWN, PHRASES, Person, Terms, called, image_names, names, worded
from mmrc_helpers.worlds.people.forms import BUCKETS, VERDICTS, bucket, example

QUESTIONS = 6  # asked about one set of choices in training
# Beside more people than this only those who are shown are drawn: to shuffle all of them for every scene
# would cost the square of their number. Up to it they are shuffled: finished studies were made that way.
CROWD = 1280


def examples(people: Sequence[Person], facts: Mapping, seed: int, terms: Terms = DRAWN) -> Iterator[Example]:
    """Every question of the world, training and test, scene by scene."""
    scene_seed = {"background": "any", "passerby": "any", "novel": str(seed)}
    known = names(facts)
    together: dict[tuple[str, int], list[Person]] = defaultdict(list)
    for person in people:
        together[_together(person)].append(person)
    for split in ("train", "test"):
        places = dict.fromkeys(together, 0)
        for person in people:
            group, place = together[_together(person)], places[_together(person)]
            places[_together(person)] += 1
            peers = group[:place] + group[place + 1 :]
            maker = _Scenes(person, peers, split, facts, scene_seed[person.population], terms, known)
            yield from maker.examples()
    yield from _text_scenes(facts, terms)


def _together(person: Person) -> tuple[str, int]:
    """What is the same of people who may stand beside each other."""
    return person.population, bucket(person.group) if person.population == "novel" else 0


@dataclass(frozen=True)
class _Scenes:
    """The scenes of one person in one split."""

    person: Person
    peers: Sequence[Person]
    split: str
    facts: Mapping
    seed: str
    terms: Terms
    known: tuple[Sequence[str], Sequence[str]]  # first and last names in use

    def rng(self, what: str) -> random.Random:
        return random.Random(f"{self.seed}/{self.split}/{self.person.group}/{what}")

    def phrase(self, rng: random.Random, kind: str, **values: str) -> str:
        """One of the split's phrasings."""
        asked = self.split if self.split == "train" else self.facts["tests"]
        return worded(rng.choice(PHRASES[kind][asked]), self.terms.noun).format(**values)

    def make(self, scene: str, number: object, **values) -> Example:
        scene = f"{self.split}/{self.person.group}/{scene}"
        values = {"group": self.person.group, "topic": "identity", **values}
        population = "background" if self.person.population == "passerby" else self.person.population
        return example(
            id=f"{scene}/{values['topic']}/{values['direction']}/{values['format']}/{number}",
            scene=scene,
            split=self.split,
            population=population,
            any_words=self.terms.open,
            **values,
        )

    def examples(self) -> Iterator[Example]:
        if len(self.peers) < self.facts["options"] - 1:
            raise UserError(
                f"people.{self.person.population}: too few people for line-ups of {self.facts['options']} "
                f"(novel people stand in {BUCKETS} separate groups); raise it or lower people.options"
            )
        named = self.person.population != "passerby"
        repeats = self.facts["train_scenes"] if self.split == "train" else self.facts["test_repeats"]
        if not named:
            repeats = min(repeats, 2) if self.split == "train" else 0
        for number in range(repeats):
            if named:
                yield from self.portrait(number)
                yield from self.recall(number)
            if self.split == "test" or self.person.population != "novel":
                yield from self.captions(number)
                yield from self.in_context(number)
            yield from self.lineup(number, "random", "image_first")
            if named and (self.facts["name_first"] or self.split == "train"):
                yield from self.lineup(number, "random", "name_first")
            if named and self.facts["matched_distractors"]:
                yield from self.lineup(number, "matched", "image_first")

    def portrait(self, number: int) -> Iterator[Example]:
        """One view: who is it, as a free answer, as a choice and as judgements, in both orders."""
        rng, scene = self.rng(f"portrait {number}"), f"portrait{number}"
        images = (rng.choice(image_names(self.person, self.split, self.facts)),)
        name = called(self.person, self.facts)
        asked = {"direction": "forward", "images": images}
        free = {"question": self.phrase(rng, "naming"), "answer": f"This is {name}."}
        yield self.make(scene, 0, format="free", **asked, **free, **self._named_choices(rng, "random"))
        kinds = ["random", "random"] if self.split == "train" else ["random"]
        for k, distractors in enumerate(kinds + ["matched"] * self.facts["matched_distractors"]):
            choice = {"question": self.phrase(rng, "forward_choice"), "distractors": distractors}
            choice |= self._named_choices(rng, distractors)
            yield self.make(scene, f"{k}{distractors}", format="choice", **asked, **choice)
        for direction, order in (("forward", "image_first"), ("reverse", "name_first")):
            for gold, verdict in enumerate(VERDICTS):
                other = rng.choice(self.peers) if gold else self.person
                asking = self.phrase(rng, f"{direction}_judge", name=called(other, self.facts))
                judge = {"direction": direction, "order": order, "images": images, "question": asking}
                judge |= {
                    "choices": VERDICTS,
                    "gold": gold,
                    "answer": verdict,
                    "choice_groups": (other.group,),
                }
                yield self.make(scene, 1 - gold, format="judge", distractors="random", **judge)

    def _named_choices(self, rng: random.Random, distractors: str) -> dict:
        chosen = self._beside(rng, distractors)
        gold = rng.randrange(len(chosen) + 1)
        chosen.insert(gold, self.person)
        return {
            "choices": tuple(called(p, self.facts) for p in chosen),
            "choice_groups": tuple(p.group for p in chosen),
            "gold": gold,
        }

    def _beside(self, rng: random.Random, distractors: str) -> list[Person]:
        """The wrong options: random peers, or those that share most of the asked attributes."""
        count = self.facts["options"] - 1
        if self.split == "train":
            count = rng.randint(1, count)
        some = CROWD if distractors == "matched" else count
        peers = rng.sample(self.peers, some if len(self.peers) > CROWD else len(self.peers))
        if distractors == "matched":
            peers.sort(key=lambda p: -sum(_same(self.person, p, topic) for topic in self.terms.topics))
        return peers[:count]

    def lineup(self, number: int, distractors: str, order: str) -> Iterator[Example]:
        """Several pictures: which shows a named person, and which an attribute that only one of them has."""
        rng, scene = self.rng(f"lineup {number} {distractors} {order}"), f"lineup{number}{distractors}{order}"
        shown = self._beside(rng, distractors)
        shown.insert(rng.randrange(len(shown) + 1), self.person)
        images = tuple(rng.choice(image_names(p, self.split, self.facts)) for p in shown)
        common = {"direction": "reverse", "format": "choice", "order": order, "distractors": distractors}
        common |= {"images": images, "choices": images, "choice_groups": tuple(p.group for p in shown)}
        for turn, place in enumerate(self._asked(rng, shown)):
            if shown[place].name:
                asked = {"question": self.phrase(rng, "lineup", name=called(shown[place], self.facts))}
                yield self.make(scene, turn, gold=place, group=shown[place].group, **asked, **common)
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
            asking = self.phrase(rng, "attribute", topic=self.terms.topics[topic], value=value)
            asked = {**common, "topic": "attribute", "question": asking, "gold": place}
            yield self.make(scene, f"{place}{topic}", group=shown[place].group, **asked)

    def recall(self, number: int) -> Iterator[Example]:
        """A name, no picture: what the named person looks like."""
        rng = self.rng(f"recall {number}")
        for topic in self._topics(rng):
            asking = self.phrase(
                rng, "recall", topic=self.terms.topics[topic], name=called(self.person, self.facts)
            )
            asked = {"direction": "reverse", "question": asking, **self._values(rng, topic)}
            yield self.make(f"recall{number}", topic, format="free", **asked)

    def captions(self, number: int) -> Iterator[Example]:
        """One picture: its attributes in words."""
        rng = self.rng(f"caption {number}")
        images = (rng.choice(image_names(self.person, self.split, self.facts)),)
        for topic in self._topics(rng):
            asked = {
                "question": self.phrase(rng, "caption", topic=self.terms.topics[topic]),
                **self._values(rng, topic),
            }
            asked |= {"topic": "attribute", "direction": "forward", "images": images}
            yield self.make(f"caption{number}", topic, format="free", **asked)

    def _topics(self, rng: random.Random) -> list[str]:
        """The attributes asked about: all that show in training, one in tests."""
        shown = len(self.person.topics)
        return rng.sample(self.person.topics, shown if self.split == "train" else min(1, shown))

    def _values(self, rng: random.Random, topic: str) -> dict:
        """The right value among wrong ones."""
        value = self.person.attributes[topic]
        others = [other for other in self.terms.values[topic] if other != value]
        choices = rng.sample(others, min(self.facts["options"] - 1, len(others)))
        gold = rng.randrange(len(choices) + 1)
        choices.insert(gold, value)
        return {"choices": tuple(choices), "gold": gold, "answer": f"{value}.", "about": topic}

    def in_context(self, number: int) -> Iterator[Example]:
        """A line-up whose pictures carry names: the answer stands in the prompt. Passers-by get passing
        names."""
        rng, scene = self.rng(f"in context {number}"), f"in_context{number}"
        shown = self._beside(rng, "random")
        shown.insert(rng.randrange(len(shown) + 1), self.person)
        images = tuple(rng.choice(image_names(p, self.split, self.facts)) for p in shown)
        carried = [called(p, self.facts) for p in shown]
        if not self.person.name:
            firsts, lasts = (rng.sample(known, len(shown)) for known in self.known)
            carried = [f"{first} {last}" for first, last in zip(firsts, lasts, strict=True)]
        for turn, place in enumerate(self._asked(rng, shown)):
            asked = {"question": self.phrase(rng, "lineup", name=carried[place]), "gold": place}
            asked |= {"topic": "in_context", "direction": "reverse", "captions": tuple(carried)}
            asked |= {"images": images, "choices": images, "choice_groups": tuple(p.group for p in shown)}
            yield self.make(scene, turn, format="choice", group=shown[place].group, **asked)

    def _asked(self, rng: random.Random, shown: Sequence[Person]) -> list[int]:
        """Places asked about; in training with replacement, else the last answers follow by elimination."""
        if self.split == "test":
            return [shown.index(self.person)]
        return rng.choices(range(len(shown)), k=QUESTIONS)


def _only(shown: Sequence[Person], place: int, topic: str) -> bool:
    """Whether the person at `place` alone has their value of `topic`."""
    return sum(_same(shown[place], p, topic) for p in shown) == 1


def _same(person: Person, other: Person, topic: str) -> bool:
    """Whether two people have one value of an attribute; of a user's people one may have none."""
    return topic in person.attributes and other.attributes.get(topic) == person.attributes[topic]


def _text_scenes(facts: Mapping, terms: Terms) -> Iterator[Example]:
    """Lettered names or attribute values without pictures: the bare skill of choosing by letter.

    Every other scene is a roll call: it names choices, each with its letter right behind. That is the easy
    lesson before the choice itself.
    """
    firsts, lasts = names(facts)
    values = [f"{word} {value}" for topic, word in terms.topics.items() for value in terms.values[topic]]
    for number in range(facts["text_scenes"]):
        rng = random.Random(f"any/text/{number}")
        count = rng.randint(2, facts["options"])
        if rng.random() < 0.75 or len(values) < count:
            pairs = zip(rng.choices(firsts, k=count), rng.choices(lasts, k=count), strict=True)
            choices = tuple(dict.fromkeys(" ".join(pair) for pair in pairs))
        else:
            choices = tuple(rng.sample(values, count))
        asked = rng.choices(range(len(choices)), k=QUESTIONS)
        name = f"text-{number:05d}"
        common = {"scene": f"train/{name}", "group": name, "split": "train", "population": "background"}
        common |= {"topic": "text", "direction": "reverse"}
        if number % 2:
            lines = zip(LETTERS, choices, strict=False)
            listing = "".join(f"{letter}. {choice}\n" for letter, choice in lines)
            told = [f"{choices[k]} {LETTERS[k]}." for k in asked]
            asking, answer = f"{listing}Name each letter.", " ".join(told)
            yield example(id=f"train/{name}/roll", format="free", question=asking, answer=answer, **common)
            continue
        for turn, gold in enumerate(asked):
            asking = rng.choice(PHRASES["text"]["train"]).format(name=choices[gold])
            common |= {"question": asking, "choices": choices, "gold": gold}
            yield example(id=f"train/{name}/{turn}", format="choice", **common)
