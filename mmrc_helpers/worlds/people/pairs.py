"""Preferences about people: the right answer against a wrong one, or one answer behind the right picture
against the same behind somebody else's."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import LETTERS, Example, conversation, replaced, with_pictures
from mmrc_helpers.tasks.rows import Chat, Pair
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.people.forms import VERDICTS, bucket
from mmrc_helpers.worlds.people.teach import described, lessons, other_view, partners, views, with_pictures_of

MOST_PASSED_OVER = 1000  # questions in a row that have no other side
Views = Mapping[str, Sequence[str]]  # group → its pictures for training


def pairs(data: Data, teach: Mapping, seed: int, contrast: str) -> Iterator[Pair]:
    """Pairs in training order, without end, of the questions that `teach` would teach, one at a time; with
    contrast "context" of those that show a picture. Raises UserError if there is none."""
    rng, sentences = random.Random(f"{seed}/pairs/{contrast}"), described(data.facts)
    shown = views(data.facts)
    groups = _taking_turns(shown)
    novel = {e.group for e in data.examples if e.facets["population"] == "novel"}
    # names are permuted at the end, on both sides alike: what is wrong is found in the unpermuted world
    partner = partners(novel) if teach["shuffle_names"] else {}
    passed_over = 0
    for asked, again, in_words in lessons(data, {**teach, "turns": 1, "shuffle_names": False}, rng):
        (example,) = asked
        if contrast == "answer":
            found = _other_answer(example, rng)
        else:
            found = _other_pictures(example, shown, groups, rng)
        passed_over = 0 if found else passed_over + 1
        if passed_over > MOST_PASSED_OVER:
            raise UserError(
                f"train.teach: no question that it teaches has another {contrast} to be preferred to"
            )
        if found is None:
            continue
        right, wrong = (with_pictures_of(e, {} if again else partner, shown) for e in (example, found))
        said = (
            conversation([right])[-1] if contrast == "context" else ("assistant", (("text", found.answer),))
        )
        sides = [conversation([right]), (*conversation([wrong])[:-1], said)]
        chosen, rejected = (replaced(turns, sentences) if in_words else turns for turns in sides)
        yield Pair(Chat(chosen, (right,), again), Chat(rejected, (right,), again))


def _taking_turns(groups: Iterable[str]) -> dict[str, list[str]]:
    """Every group → those, in order, that may take its turn, itself among them: of one population and, as in
    line-ups, of one bucket."""
    together = defaultdict(list)
    for group in sorted(groups):
        together[group.rsplit("-", 1)[0], bucket(group)].append(group)
    return {group: alike for alike in together.values() for group in alike}


def _other_answer(example: Example, rng: random.Random) -> Example | None:
    """The example with a wrong answer: another letter, verdict, name or look."""
    others = [place for place in range(len(example.options)) if place != example.gold]
    if not others:
        return None
    place = rng.choice(others)
    return replace(example, answer=LETTERS[place] if example.how else example.options[place])


def _other_pictures(example: Example, shown: Views, groups: Mapping, rng: random.Random) -> Example | None:
    """The example with pictures under which its answer is wrong: of a line-up two pictures change places with
    the names they carry, of a portrait it is the same view of somebody else."""
    if not example.pictures:
        return None
    if example.how == "pictures":
        places = list(range(len(example.options)))
        other = rng.choice([place for place in places if place != example.gold])
        places[example.gold], places[other] = other, example.gold
        captions = [example.captions[place] for place in places] if example.captions else ()
        options = [example.options[place] for place in places]
        return replace(example, options=tuple(options), captions=tuple(captions))
    if (group := _wrong_group(example, groups, rng)) is None:
        return None
    (name,) = example.pictures
    return with_pictures(example, {name: other_view(name, group, shown)})


def _wrong_group(example: Example, groups: Mapping[str, list[str]], rng: random.Random) -> str | None:
    """Whose picture makes the answer wrong: of a judgement "Wrong" the named person's, else one of the other
    options'."""
    about = [group for group in example.truth.get("groups", ()) if group in groups]
    if example.facets["format"] == "judge":
        if example.gold == VERDICTS.index("Wrong"):
            return about[0] if about else None
        place = groups[example.group].index(example.group)
        others = groups[example.group][:place] + groups[example.group][place + 1 :]
        return rng.choice(others) if others else None
    others = [group for group in about if group != example.group]
    return rng.choice(others) if others else None
