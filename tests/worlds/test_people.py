"""The world of people: unique, seeded by place, no leaks between splits; and the rows made of it."""

import random
from collections import Counter
from dataclasses import asdict
from itertools import islice

import pytest

from mmrc_helpers.errors import UserError
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study.runs import load_study
from mmrc_helpers.tasks.example import (
    LETTERS,
    answer_of,
    conversation,
    example_line,
    pictures_of,
    question,
    read_examples,
)
from mmrc_helpers.tasks.rows import exposure, taken
from mmrc_helpers.worlds import INVALID, Data
from mmrc_helpers.worlds.people import WORLD, ask, forms, promises, teach
from mmrc_helpers.worlds.people import cast as world
from mmrc_helpers.worlds.people.ask import CELLS
from mmrc_helpers.worlds.people.grade import grade, parse
from mmrc_helpers.worlds.people.portraits.portrait import ATTRIBUTES
from mmrc_helpers.worlds.people.questions import examples as questions

PARAMS = load_study("smoke").runs[-1].params
DATA = {**PARAMS["world"]["facts"], "background": 20, "novel": 32, "passers_by": 6, "text_scenes": 20}
CAST = world.cast(DATA, 0)
EXAMPLES = list(questions(CAST, DATA, 0))
PEOPLE = Data(EXAMPLES, [world.record(person, DATA) for person in CAST])
TEACH = {**plain(PARAMS["untaught"]), "cells": ["forward/free"]}
ASK = {"background": 4, "drops": ["image", "text"], "storage": True}


def cost(row) -> int:
    return sum(len(answer_of(e).split()) + 1 for e in row.examples)


def rows_of(tokens=500, seed=0, **changes):
    train = Data([e for e in EXAMPLES if e.split == "train"], PEOPLE.facts)
    return taken(WORLD.teach(train, {**TEACH, **changes}, seed), 8, tokens=tokens, cost=cost)


def cell(example) -> str:
    return example.cell("direction", "format")


def test_ten_thousand_people_have_names_descriptors_and_looks_of_their_own():
    data = {**DATA, "background": 0, "novel": 10_000, "passers_by": 0, "first_names": 80, "last_names": 150}
    crowd = world.cast(data, 0)
    for values in ([p.name for p in crowd], [p.descriptor for p in crowd], [p.description for p in crowd]):
        assert len(set(values)) == 10_000
    firsts, lasts = world.names({"first_names": 80, "last_names": 6400})
    assert len({*firsts, *lasts}) == 80 + 6400


def test_a_crowd_draws_its_line_ups_without_shuffling_everybody(monkeypatch):
    """The questions are as those of few people: nobody twice, in no line-up with another bucket."""
    monkeypatch.setattr("mmrc_helpers.worlds.people.questions.CROWD", 4)
    drawn = list(questions(CAST, {**DATA, "matched_distractors": True}, 0))
    few = list(questions(CAST, DATA, 0))
    assert {e.id for e in few if "recall" in e.id} == {e.id for e in drawn if "recall" in e.id}
    groups = {p.group: p.population for p in CAST}
    for e in drawn:
        beside = e.truth.get("groups", ())
        if e.facets["format"] == "choice" and beside:
            assert e.group in beside and len(set(beside)) == len(beside) > 1
            assert len({(groups[g], groups[g] == "novel" and forms.bucket(g)) for g in beside}) == 1


def test_pictures_are_told_when_they_are_asked_for():
    made = WORLD.make(DATA, 0)
    assert len(made.pictures) == len(list(made.pictures)) == len(set(made.pictures))
    shown = {name for row in made.facts for name in row["pictures"]}
    assert shown < set(made.pictures) and all(name in made.pictures for name in shown)
    attributes, seed, side = made.pictures["novel-0003-01.png"]
    assert attributes == CAST[[p.group for p in CAST].index("novel-0003")].attributes
    assert (seed, side) == ("0/view/novel-0003-01.png", DATA["image_size"])
    with pytest.raises(KeyError):
        made.pictures["novel-9999-01.png"]


def test_more_scenes_leave_the_earlier_questions_as_they_were():
    more = {e.id: e for e in questions(CAST, {**DATA, "train_scenes": DATA["train_scenes"] + 1}, 0)}
    assert all(asdict(more[example.id]) == asdict(example) for example in EXAMPLES)


def test_background_people_are_the_same_for_every_seed_and_novel_people_are_not():
    other = world.cast(DATA, 1)
    for mine, theirs in zip(CAST, other, strict=True):
        assert (mine == theirs) == (mine.population != "novel")


def test_tests_show_other_views_and_other_phrasings_than_training():
    shown = {
        split: {n for e in EXAMPLES if e.split == split for n in e.pictures} for split in ("train", "test")
    }
    assert not shown["train"] & shown["test"]
    for kind, phrases in world.PHRASES.items():
        assert not set(phrases["train"]) & set(phrases.get("test", ())) or kind == "text"


def test_example_ids_are_unique_and_lines_read_back(tmp_path):
    assert max(Counter(e.id for e in EXAMPLES).values()) == 1
    path = tmp_path / "examples.jsonl"
    path.write_text("".join(example_line(e) for e in EXAMPLES))
    again = read_examples(path)
    assert [question(e, 1) for e in again] == [question(e, 1) for e in EXAMPLES]
    assert [example_line(e) for e in again] == [example_line(e) for e in EXAMPLES]
    one, other = (e for e in again if e.scene == again[0].scene and cell(e) == "forward/choice")
    assert one.facets is other.facets and one.group is other.group  # kept once, or a crowd fills the memory


def test_every_cell_is_asked_of_every_novel_person():
    for person in CAST:
        if person.population == "novel":
            asked = {cell(e) for e in EXAMPLES if e.split == "test" and e.group == person.group}
            assert asked == set(CELLS)


def test_gold_answers_are_right_and_choices_hold_them_once():
    names = {p.group: p.name for p in CAST}
    for e in EXAMPLES:
        if e.options and e.facets["format"] != "judge":
            assert len(set(e.options)) == len(e.options)
            assert grade(e, answer_of(e)).right and not grade(e, "Nobody").right
        if cell(e) == "forward/choice" and e.facets["topic"] == "identity":
            assert e.options[e.gold] == names[e.group]
        if cell(e) == "reverse/choice" and e.facets["population"] == "novel":
            assert e.options[e.gold].startswith(e.group)


def test_a_written_question_about_looks_says_which_attribute_it_asks_for():
    asked = [e for e in EXAMPLES if e.id.split("/")[2].startswith(("recall", "caption"))]
    assert {e.truth["about"] for e in asked} == set(world.TOPICS)
    for e in asked:
        topic = e.truth["about"]
        assert world.TOPICS[topic] in e.prompt[-1][1]
        assert e.answer in {f"{value}." for value in ATTRIBUTES[topic]}


def test_lineups_of_people_taught_both_ways_never_hold_the_others():
    both = teach.two_way_groups(EXAMPLES, 0.5)
    assert 0 < len(both) < 32
    for e in EXAMPLES:
        if e.facets["population"] == "novel" and e.truth.get("groups"):
            assert len({group in both for group in e.truth["groups"]}) == 1
    assert list(promises.check(DATA, [{**TEACH, "two_way": 0.3}])) and not list(promises.check(DATA, [TEACH]))


def test_letters_follow_the_shown_order():
    example = next(e for e in EXAMPLES if cell(e) == "forward/choice" and len(e.options) == 4)
    for shift in range(4):
        text = question(example, shift)[0][1][-1][1]
        assert f"{answer_of(example, shift)}. {example.options[example.gold]}\n" in text


@pytest.mark.parametrize(
    ("format", "text", "expected"),
    [
        ("choice", "B", "B"),
        ("choice", "B.", "B"),
        ("choice", "The correct one", INVALID),
        ("choice", "E", INVALID),
        ("choice", "AB", INVALID),
        ("choice", "", INVALID),
        ("judge", "Right.", "Right"),
        ("judge", "right", INVALID),
        ("judge", "Right or wrong", INVALID),
        ("free", "This is Zephyr Blackwood.", "Zephyr Blackwood"),
        ("free", "Zephyr Blackwood", "Zephyr Blackwood"),
        ("free", "This is", INVALID),
        ("free", "", INVALID),
        ("free", "the curator of Obsidian Gallery", "the curator of Obsidian Gallery"),
    ],
)
def test_parsing_is_strict(format, text, expected):
    what = {"topic": "identity", "direction": "forward", "format": format, "population": "novel"}
    fields = {"id": "i", "group": "g", "split": "test", "gold": 1}
    example = forms.example(question="?", choices=("a", "b", "c", "d"), **what, **fields)
    assert parse(example, text) == expected


def test_the_promises_are_kept():
    assert all(found == wanted for _, found, wanted in WORLD.promises(PEOPLE))


def test_every_drop_takes_its_part_away_and_the_probe_asks_every_picture():
    asked = WORLD.ask(PEOPLE, ASK, TEACH)
    assert len({e.id for e in asked}) == len(asked)
    whole = {e.id: e for e in asked if e.facets["drop"] == "none"}
    for e in asked:
        before = whole[e.id.removesuffix(f"/{e.facets['drop']}")]
        if e.facets["drop"] == "image":
            assert e.pictures and not set(e.pictures) & set(before.pictures)
        if e.facets["drop"] == "text":
            assert e.pictures == before.pictures and e.prompt != before.prompt
    probes = [e for e in asked if e.facets["topic"] == "storage"]
    lineups = [e for e in whole.values() if cell(e) == "reverse/choice" and e.facets["topic"] == "identity"]
    assert len(probes) == sum(len(e.options) for e in lineups)
    for e in probes:
        assert e.pictures == (whole[e.truth["lineup"]].options[e.truth["place"]],)


def test_a_text_twin_is_asked_without_pictures():
    asked = WORLD.ask(PEOPLE, ASK, {**TEACH, "text_twin": True})
    assert not any(e.pictures for e in asked)


def test_probed_people_are_the_same_number_in_every_cell_and_alternatives_differ():
    asked = WORLD.ask(PEOPLE, ASK, TEACH)
    chosen = ask.probed(asked, 3)
    counts = Counter((e.facets["population"], cell(e)) for e in chosen)
    assert set(counts) == {(p, c) for p in ("novel", "background") for c in CELLS} and set(
        counts.values()
    ) == {3}
    for e in chosen:
        texts = WORLD.alternatives(e, PEOPLE)
        assert next(iter(texts)) == "right" and len(set(texts.values())) == len(texts)


def test_a_variant_teaches_its_cells_and_nothing_else():
    taught = {cell(e) for row in rows_of() if not row.replayed for e in row.examples}
    assert taught == {"forward/free"}


def test_variants_show_as_many_novel_tokens_whatever_they_teach():
    totals = []
    for cells in (("forward/free",), ("forward/choice", "forward/judge"), CELLS):
        rows = rows_of(cells=cells, tokens=2000)
        totals.append(exposure(rows, [cost(row) for row in rows], ("population", "direction", "format")))
        assert len(rows) % 8 == 0
    shown = [total["taught_tokens"] for total in totals]
    assert max(shown) - min(shown) < 100 and min(shown) >= 2000


def test_single_questions_can_be_shared_out_evenly_over_the_cells():
    cells = ("forward/free", "forward/choice", "forward/judge")
    rows = rows_of(cells=cells, turns=1, even_cells=True, tokens=4000)
    asked = Counter(cell(e) for row in rows if not row.replayed for e in row.examples)
    assert set(asked) == set(cells) and max(asked.values()) < 1.2 * min(asked.values())
    assert all(len(row.examples) == 1 for row in rows)


def test_shuffled_names_keep_nobodys_own_picture():
    for row in rows_of(shuffle_names=True):
        if not row.replayed:
            assert all(not name.startswith(e.group) for e in row.examples for name in e.pictures)


def test_two_way_people_are_taught_in_every_cell_and_the_others_only_forward():
    both = teach.two_way_groups(EXAMPLES, 0.5)
    rows = [e for row in rows_of(two_way=0.5, tokens=4000) if not row.replayed for e in row.examples]
    assert {cell(e) for e in rows if e.group in both} == set(CELLS)
    assert {cell(e) for e in rows if e.group not in both} == {"forward/free"}


def test_replay_can_leave_a_direction_out_and_names_can_come_before_the_picture():
    kept = ["forward/free", "forward/choice", "forward/judge"]
    mix = {kind: 0.0 for kind in TEACH["replay_mix"]} | {"portrait": 0.5, "caption": 0.5}
    rows = rows_of(replay_cells=kept, replay_mix=mix, tokens=2000)
    again = [e for row in rows if row.replayed for e in row.examples if e.facets["topic"] == "identity"]
    assert {cell(e) for e in again} == set(kept)
    for row in rows_of(cells=["forward/choice"], names_first=True, turns=1):
        if not row.replayed:
            kinds = [kind for kind, _ in row.turns[0][1]]
            assert kinds == ["text", "image"]


def test_who_is_taught_with_the_names_first_is_asked_that_way_too():
    before = ask.ask(PEOPLE, ASK, TEACH)
    asked = ask.ask(PEOPLE, ASK, {**TEACH, "names_first": True})
    more = [e for e in asked if e.id not in {of.id for of in before}]
    choices = [e for e in before if cell(e) == "forward/choice" and e.facets["topic"] == "identity"]
    whole = [e for e in choices if e.facets["drop"] == "none"]
    assert [e.id for e in more] == [f"{e.id}/names_first" for e in whole] and whole
    for one, other in zip(whole, more, strict=True):
        assert sorted(one.prompt) == sorted(other.prompt) and (one.options, one.gold) == (
            other.options,
            other.gold,
        )
        assert [kind for kind, _ in other.prompt] == ["text", "options", "image"]
        assert other.facets == {**one.facets, "order": "name_first"}
    assert ask.probed(asked, 4) == ask.probed(before, 4)


def test_rows_follow_the_seed_alone():
    one, again, other = ([row.turns for row in rows_of(seed=seed)] for seed in (0, 0, 1))
    assert one == again != other


def test_a_stream_without_anything_taught_is_refused_when_tokens_are_wanted():
    with pytest.raises(UserError, match="train.taught_tokens: .*give train.steps"):
        rows_of(replay=1.0)


@pytest.mark.parametrize("contrast", ["answer", "context"])
def test_a_pair_prefers_the_truth_in_every_cell_it_teaches(contrast):
    train = Data([e for e in EXAMPLES if e.split == "train"], PEOPLE.facts)
    cells = [c for c in CELLS if contrast == "answer" or c != "reverse/free"]
    found = list(islice(WORLD.pairs(train, {**TEACH, "cells": cells, "replay": 0.0}, 0, contrast), 200))
    assert {cell(pair.chosen.examples[0]) for pair in found} == set(cells)
    for pair in found:
        (example,) = pair.chosen.examples
        right, wrong = pair.chosen.turns, pair.rejected.turns
        assert right == conversation([example]) and right != wrong
        said = wrong[-1][1][0][1]
        assert grade(example, right[-1][1][0][1]).right
        assert grade(example, said).right == (contrast == "context")
        if contrast == "context" and cell(example) != "reverse/choice":
            assert set(pictures_of(wrong)) != set(pictures_of(right))


def pairs_of(count: int, contrast: str, **changes) -> list:
    train = Data([e for e in EXAMPLES if e.split == "train"], PEOPLE.facts)
    return list(islice(WORLD.pairs(train, {**TEACH, **changes}, 0, contrast), count))


def test_pairs_repeat_what_was_known_as_often_as_told_and_never_show_a_test_picture():
    mix = dict.fromkeys(TEACH["replay_mix"], 0.0) | {"lineup": 1.0, "portrait": 1.0}
    found = pairs_of(400, "context", cells=["forward/free", "reverse/judge"], replay=0.3, replay_mix=mix)
    assert 0.2 < sum(pair.chosen.replayed for pair in found) / 400 < 0.4
    known = {e.facets["population"] for pair in found if pair.chosen.replayed for e in pair.chosen.examples}
    assert known == {"background"}
    tested = {name for person in CAST for name in world.image_names(person, "test", DATA)}
    assert tested.isdisjoint(name for pair in found for name in pictures_of(pair.rejected.turns))


@pytest.mark.parametrize("lesson", ["in_context", "attribute", "lineup"])
def test_in_the_wrong_line_up_the_answer_names_another_picture(lesson):
    mix = dict.fromkeys(TEACH["replay_mix"], 0.0) | {lesson: 1.0}
    for pair in pairs_of(30, "context", replay=1.0, replay_mix=mix):
        (right,), letter = pair.chosen.examples, pair.chosen.turns[-1][1][0][1]
        place = LETTERS.index(letter)
        asked = right.options[right.gold]
        assert pictures_of(pair.chosen.turns)[place] == asked
        assert pictures_of(pair.rejected.turns)[place] != asked
        if right.captions:  # a picture keeps the name it carries
            told = "".join(content for _, content in pair.rejected.turns[0][1])
            moved = pictures_of(pair.rejected.turns).index(asked)
            assert f"{LETTERS[moved]}.{asked} {right.captions[right.gold]}" in told


@pytest.mark.parametrize("contrast", ["answer", "context"])
def test_pairs_over_descriptions_show_no_picture(contrast):
    cells = ["forward/free", "reverse/choice"]
    found = pairs_of(60, contrast, cells=cells, replay=0.0, text_twin=True)
    assert not any(pictures_of(chat.turns) for pair in found for chat in (pair.chosen, pair.rejected))
    assert all(pair.chosen.turns != pair.rejected.turns for pair in found)


def test_permuted_names_are_permuted_on_both_sides_of_a_pair():
    """Whoever is shown as the named person in one pair is never shown as a wrong one in another."""
    options = {"cells": ["forward/free"], "replay": 0.0}
    named: dict[bool, dict[str, set]] = {}
    for shuffled in (False, True):
        right, wrong = {}, {}
        for pair in pairs_of(300, "context", shuffle_names=shuffled, **options):
            name = pair.chosen.turns[-1][1][0][1]
            for found, chat in ((right, pair.chosen), (wrong, pair.rejected)):
                (shown,) = pictures_of(chat.turns)
                found.setdefault(name, set()).add(shown.rsplit("-", 1)[0])
        assert all(len(groups) == 1 for groups in right.values())
        assert not any(groups & wrong[name] for name, groups in right.items())
        named[shuffled] = right
    assert all(named[True][name] != named[False][name] for name in named[True])


def test_a_contrast_that_no_taught_question_has_is_refused():
    with pytest.raises(UserError, match="no question that it teaches has another context"):
        pairs_of(1, "context", cells=["reverse/free"], replay=0.0)


def test_a_question_with_the_name_first_leads_its_conversation():
    scene = [e for e in EXAMPLES if e.scene == next(e.scene for e in EXAMPLES if cell(e) == "reverse/judge")]
    for seed in range(20):
        asked = teach._asked(scene, TEACH, random.Random(seed))
        assert not any(example.facets["order"] == "name_first" for example in asked[1:])
