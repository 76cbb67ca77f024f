"""The world of scenes: truths hold by margins and as drawn, both directions and both pictures of a scene
agree, and training shows what `teach` names and nothing else."""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import ndimage

from mmrc_helpers.errors import UserError
from mmrc_helpers.study.parameters import read_known
from mmrc_helpers.study.runs import PARAMS_FOLDER
from mmrc_helpers.tasks.example import answer_of, example_line, user_turn
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.scenes import WORLD, measuring
from mmrc_helpers.worlds.scenes.drawing import RGB, Plan, draw
from mmrc_helpers.worlds.scenes.questions import CELLS, examples
from mmrc_helpers.worlds.scenes.relations import CONVERSES, OPTIONS, PHRASES
from mmrc_helpers.worlds.scenes.scene import scenes

PARAMS = yaml.safe_load((Path(__file__).parents[2] / "params/worlds/scenes.yaml").read_text())
FACTS = {**PARAMS["facts"], "background": 54, "novel": 54, "test_scenes": 27}


@pytest.fixture(scope="module")
def data() -> Data:
    made = WORLD.make(FACTS, 0)
    return Data(list(made.examples), made.facts)


@pytest.fixture(scope="module")
def drawn():
    return list(scenes({**FACTS, "background": 360, "novel": 0, "test_scenes": 0}, 0))


def placed(scene, shot, look) -> list:
    return [place for place, thing in enumerate(shot.plan.things) if thing.look == look]


def test_every_relation_holds_by_its_margin_and_its_converse_from_the_other_side(drawn):
    seen = Counter()
    for scene in drawn:
        if scene.kind == "counting":
            continue
        for shot in scene.shots:
            things = shot.plan.things
            a, others = placed(scene, shot, scene.a)[0], placed(scene, shot, scene.b)
            reference = placed(scene, shot, scene.c) if scene.kind == "separation" else []
            assert measuring.relation(scene.kind, things, a, [*others, *reference]) == shot.relation
            if scene.kind not in ("enclosure", "company"):
                back = measuring.relation(scene.kind, things, others[0], [a, *reference])
                assert back == CONVERSES[shot.relation]
            seen[shot.relation] += 1
    forward = {relation for options in OPTIONS.values() for relation in options}
    assert set(seen) == forward and min(seen.values()) >= 5


def test_all_seventeen_relations_and_four_comparisons_are_asked(data):
    asked = {e.facets["relation"] for e in data.examples if e.facets["task"] in ("relation", "comparison")}
    assert asked == set(PHRASES) and len(asked) == 17 + 4


def centre(shot, look) -> np.ndarray:
    """Where the pixels of one thing alone lie, as (x, y) shares."""
    alone = [thing for thing in shot.plan.things if thing.look == look][:1]
    pixels = np.asarray(draw(replace(shot.plan, size=256, things=tuple(alone), horizon=1.0))).astype(int)
    rows, columns = np.nonzero(np.abs(pixels - RGB[look[0]]).sum(2) < 40)
    return np.array([columns.mean(), rows.mean()]) / 256


def test_a_study_may_name_these_relations_and_no_others(data):
    limits = read_known(PARAMS_FOLDER / "worlds" / "scenes.yaml").limits
    assert limits["teach.relations"] == limits["ask.relations"] == (*PHRASES, "count", "place")
    assert {e.facets["relation"] for e in data.examples} == set(limits["ask.relations"])


def test_what_is_drawn_left_or_above_is_left_or_above(drawn):
    for scene in [scene for scene in drawn if scene.kind == "direction"]:
        for shot in scene.shots:
            x, y = centre(shot, scene.a) - centre(shot, scene.b)
            across, upright = "right" if x > 0 else "left", "below" if y > 0 else "above"
            assert shot.relation == (across if abs(x) > abs(y) else upright)


def test_as_many_are_drawn_as_are_counted(drawn):
    counted = [(scene, shot) for scene in drawn if scene.kind == "counting" for shot in scene.shots]
    for scene, shot in counted:
        things = tuple(thing for thing in shot.plan.things if thing.look == scene.a)
        pixels = np.asarray(draw(Plan(64, things))).astype(int)
        assert ndimage.label(pixels.sum(2) < 600)[1] == shot.number
    assert {shot.number for _, shot in counted} == set(range(13))


def test_the_nearer_of_two_covers_the_other(drawn):
    for scene in [scene for scene in drawn if scene.kind == "depth"]:
        for shot in scene.shots:
            pixels = np.asarray(draw(replace(shot.plan, size=256))).astype(int)
            for look, hides in (
                (scene.a, shot.relation == "in front of"),
                (scene.b, shot.relation == "behind"),
            ):
                thing = next(thing for thing in shot.plan.things if thing.look == look)
                alone = np.asarray(draw(replace(shot.plan, size=256, things=(thing,)))).astype(int)
                own = np.abs(alone - RGB[look[0]]).sum(2) < 30
                seen = (np.abs(pixels - RGB[look[0]]).sum(2) < 30) & own
                assert (seen.sum() / own.sum() > 0.97) == hides


@pytest.mark.parametrize("size", [32, 64, 500, 1024])
def test_any_size_shows_the_same_scene(drawn, size):
    shot = drawn[0].shots[0]
    image = draw(replace(shot.plan, size=size))
    small = np.asarray(image.resize((32, 32))).astype(int)
    assert image.size == (size, size) and image.mode == "RGB"
    assert np.abs(small - np.asarray(draw(replace(shot.plan, size=32))).astype(int)).mean() < 6


def test_distractors_share_a_word_with_what_is_asked_about(drawn):
    for scene in [scene for scene in drawn if scene.kind != "counting"]:
        asked = {scene.a, scene.b, scene.c}
        for shot in scene.shots:
            others = {thing.look for thing in shot.plan.things} - asked
            assert len(others) == 2
            assert all(
                look[0] in (scene.a[0], scene.b[0]) or look[1] in (scene.a[1], scene.b[1]) for look in others
            )


@pytest.mark.parametrize("distractors", [0, 4])
def test_there_is_room_for_any_number_of_distractors(distractors):
    made = list(scenes({**FACTS, "distractors": distractors, "novel": 0}, 0))
    assert {scene.kind for scene in made} == {*OPTIONS, "counting"}


def test_promises_are_kept(data):
    for promise, found, wanted in WORLD.promises(data):
        assert found == wanted > 0, promise


def test_a_policy_that_answers_truly_earns_everything_and_the_empty_answer_nothing(data):
    for example in data.examples:
        grade, empty = WORLD.grade(example, answer_of(example)), WORLD.grade(example, "")
        assert grade.right and set(grade.parts.values()) == {1.0}
        assert not empty.right and set(empty.parts.values()) == {0.0}
        assert set(grade.parts) == set(empty.parts)


def test_the_other_answers_of_a_question_are_wrong(data):
    for example in data.examples[::7]:
        for place in range(len(example.options)):
            said = answer_of(replace(example, gold=place, answer=example.options[place]))
            assert WORLD.grade(example, said).right == (place == example.gold)


def test_where_a_thing_is_said_to_be_its_pixels_are_and_what_is_there_is_that_thing(drawn):
    shots = {shot.picture: shot for scene in drawn for shot in scene.shots}
    asked = [e for s in drawn for e in examples(s, FACTS) if e.facets["task"] == "location"]
    pairs = {(e.scene, e.id.rsplit("-", 1)[1]): {} for e in asked}
    for e in asked:
        pairs[(e.scene, e.id.rsplit("-", 1)[1])][e.facets["direction"]] = e
    for pair in list(pairs.values())[::9]:
        column, row = map(int, pair["forward"].answer.split())
        shot, look = shots[pair["forward"].scene], tuple(pair["reverse"].answer.split())
        (thing,) = (thing for thing in shot.plan.things if thing.look == look)
        assert ((column - 1) / CELLS <= thing.x < column / CELLS) and (
            (row - 1) / CELLS <= thing.y < row / CELLS
        )
        assert f"the {' '.join(look)}" in user_turn(pair["forward"])[-1][1].lower()
        assert re.findall(r"\d", user_turn(pair["reverse"])[-1][1]) in (
            [str(column), str(row)],
            [str(row), str(column)],
        )
    assert len(pairs) > 500


def test_a_list_names_every_thing_from_left_to_right(drawn):
    for scene in drawn:
        shots = {shot.picture: shot for shot in scene.shots}
        for example in (e for e in examples(scene, FACTS) if e.facets["task"] == "listing"):
            things = sorted(shots[example.scene].plan.things, key=lambda thing: thing.x)
            told = [item.split() for item in example.answer.split(", ")]
            assert [tuple(words[:2]) for words in told] == [thing.look for thing in things]
            assert [int(words[2]) for words in told] == [1 + int(thing.x * CELLS) for thing in things]


def test_places_are_taught_and_contrasted_where_they_are_named(data):
    chats = taught(data, replay=0.5, tasks=["relation"], replay_tasks=["location"])
    assert {e.facets["task"] for c in chats if c.replayed for e in c.examples} == {"location"}
    assert {e.facets["task"] for c in chats if not c.replayed for e in c.examples} == {"relation"}
    teach = {**PARAMS["teach"], "tasks": ["location", "listing"], "directions": ["forward", "reverse"]}
    for contrast in ("answer", "context"):
        for pair in islice(WORLD.pairs(data, teach, 0, contrast), 100):
            example = pair.chosen.examples[0]
            said = WORLD.grade(example, pair.rejected.turns[-1][1][0][1])
            assert said.right == (contrast == "context")
    drawn_at = {e.scene: set() for e in data.examples}
    for e in data.examples:
        if e.facets["task"] in ("location", "listing"):
            drawn_at[e.scene].add((e.facets["direction"], user_turn(e)[-1][1].lower(), e.answer))
    for e in data.examples:
        if e.facets["task"] in ("location", "listing"):
            said = (e.facets["direction"], user_turn(e)[-1][1].lower(), e.answer)
            assert said not in drawn_at[e.truth["twin"]]


def test_no_letter_stands_for_a_relation(data):
    letters = Counter((e.answer, answer_of(e)) for e in data.examples if e.how and len(e.options) == 4)
    shares = [letters["left", letter] / sum(letters["left", one] for one in "ABCD") for letter in "ABCD"]
    assert max(shares) < 0.5


def test_ids_are_unique_and_test_wordings_are_new_but_of_known_words(data):
    assert len({example.id for example in data.examples}) == len(data.examples)
    train, unseen = set(), set()
    for example in data.examples:
        words = set(re.findall(r"\w+", user_turn(example)[-1][1].lower()))
        if example.facets["wording"] == "unseen":
            unseen |= words
        else:
            train |= words
    assert unseen <= train


def test_questions_that_ask_between_the_same_relations_are_guessed_alike(data):
    listed = {}
    for example in data.examples:
        if example.facets["task"] in ("relation", "comparison"):
            listed.setdefault(example.truth["about"], set()).add(frozenset(example.options))
    assert len(listed) > 8 and all(len(options) == 1 for options in listed.values())


def test_the_tokenizer_sees_every_word(data):
    words = {word for text in WORLD.sentences(FACTS, 0) for word in re.findall(r"\w+", text)}
    for example in data.examples:
        assert set(re.findall(r"\w+", f"{user_turn(example)[-1][1]} {answer_of(example)}")) <= words


def digest(facts: dict, seed: int) -> str:
    """What a fresh process with another string hash makes, as JSON."""
    program = (
        "import json, sys; from mmrc_helpers.worlds.scenes import WORLD;"
        "facts, seed = json.loads(sys.argv[1]);"
        "made = WORLD.make(facts, seed); print(json.dumps([e.id + str(e.prompt) for e in made.examples]"
        " + [fact['drawn'] for fact in made.facts]))"
    )
    run = [sys.executable, "-c", program, json.dumps([facts, seed])]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout


def test_the_same_seed_makes_the_same_world_anywhere():
    facts = {**FACTS, "background": 9, "novel": 9, "test_scenes": 9}
    assert digest(facts, 3) == digest(facts, 3) != digest(facts, 4)


def test_more_scenes_leave_the_earlier_ones_and_another_seed_leaves_background_ones():
    few = {s.group: s for s in scenes({**FACTS, "novel": 27, "background": 27}, 0)}
    many = {s.group: s for s in scenes(FACTS, 0)}
    other = {s.group: s for s in scenes(FACTS, 1)}
    assert all(many[group] == scene for group, scene in few.items())
    assert all(
        (other[g] == s) == (s.population == "background") for g, s in many.items() if s.kind != "counting"
    )


def test_no_colour_and_no_shape_is_seen_in_both_populations():
    seen = {"background": set(), "novel": set()}
    for scene in scenes(FACTS, 0):
        for thing in (thing for shot in scene.shots for thing in shot.plan.things):
            seen[scene.population] |= {thing.colour, thing.shape}
    assert all(len(words) == 12 for words in seen.values()) and not seen["background"] & seen["novel"]


def taught(data: Data, count: int = 300, **changes) -> list:
    return list(islice(WORLD.teach(data, {**PARAMS["teach"], **changes}, 0), count))


def test_only_what_teach_names_is_taught_on_novel_shapes(data):
    chats = taught(
        data, tasks=["relation", "counting"], directions=["reverse", "forward"], formats=["choice"]
    )
    facets = [example.facets for chat in chats for example in chat.examples]
    assert {f["population"] for f in facets} == {"novel"}
    assert {f["task"] for f in facets} == {"relation", "counting"} and {f["format"] for f in facets} == {
        "choice"
    }
    assert {f["direction"] for f in facets} == {"forward", "reverse"}
    forward = taught(data, tasks=["relation"], relations=["left", "right"])
    assert {e.facets["direction"] for chat in forward for e in chat.examples} == {"forward"}
    assert {e.facets["relation"] for chat in forward for e in chat.examples} == {"left", "right"}


def test_replay_is_of_background_shapes_in_both_directions(data):
    chats = taught(data, count=1000, replay=0.3)
    again = [chat for chat in chats if chat.replayed]
    assert 0.25 < len(again) / len(chats) < 0.35
    assert {e.facets["population"] for chat in again for e in chat.examples} == {"background"}
    assert {e.facets["direction"] for chat in again for e in chat.examples} == {"forward", "reverse"}


def test_tasks_and_relations_are_taught_as_often_as_each_other(data):
    counts = Counter(chat.examples[0].facets["task"] for chat in taught(data, count=2000))
    assert max(counts.values()) < 1.25 * min(counts.values()) and len(counts) == 4


def test_turns_are_about_one_picture_and_none_follows_from_another(data):
    chats = taught(data, turns=3, tasks=["relation", "location"], directions=["forward", "reverse"])
    for chat in chats:
        assert len({example.scene for example in chat.examples}) == 1
        assert sum(kind == "image" for _, parts in chat.turns for kind, _ in parts) == 1
        things = [example.truth.get("thing") for example in chat.examples]
        assert things == [None] or len(set(things)) == len(things) <= 3
    assert sum(len(chat.examples) == 3 for chat in chats) > 50


def test_under_shuffle_half_of_the_pictures_are_the_other_one(data):
    swapped = [
        chat.turns[0][1][0][1] != chat.examples[0].scene for chat in taught(data, count=600, shuffle=True)
    ]
    assert 0.4 < sum(swapped) / len(swapped) < 0.6
    assert not any(chat.turns[0][1][0][1] != chat.examples[0].scene for chat in taught(data))


def pairs(data: Data, contrast: str) -> list:
    return list(islice(WORLD.pairs(data, PARAMS["teach"], 0, contrast), 200))


def test_pairs_of_answers_prefer_the_right_one(data):
    for pair in pairs(data, "answer"):
        example = pair.chosen.examples[0]
        assert pair.chosen.turns[0] == pair.rejected.turns[0]
        assert WORLD.grade(example, pair.chosen.turns[-1][1][0][1]).right
        rejected = WORLD.grade(example, pair.rejected.turns[-1][1][0][1])
        assert not rejected.right and rejected.parts["format"] == 1


def test_pairs_of_contexts_differ_in_the_picture_alone_and_the_answer_is_wrong_of_the_other(data):
    by_scene = {
        (e.scene, e.facets["direction"], e.facets["task"], e.facets["format"]): e for e in data.examples
    }
    for pair in pairs(data, "context"):
        example, said = pair.chosen.examples[0], pair.chosen.turns[-1]
        assert (
            pair.rejected.turns[-1] == said and pair.rejected.turns[0][1][1:] == pair.chosen.turns[0][1][1:]
        )
        assert pair.rejected.turns[0][1][0] == ("image", example.truth["twin"])
        if example.facets["format"] == "free":
            key = (example.truth["twin"], *(example.facets[k] for k in ("direction", "task", "format")))
            assert not WORLD.grade(by_scene[key], said[1][0][1]).right


def test_the_test_asks_what_ask_names_and_drops_pictures(data):
    plain = WORLD.ask(data, PARAMS["ask"], {})
    assert {e.split for e in plain} == {"test"} and {e.facets["wording"] for e in plain} == {"unseen"}
    dropped = WORLD.ask(data, {**PARAMS["ask"], "drops": ["image"]}, {})
    noisy = [e for e in dropped if e.facets["drop"] == "image"]
    assert len(noisy) == len(plain) and len({e.id for e in dropped}) == len(dropped)
    assert all(name.startswith("noise-") for e in noisy for name in e.pictures)
    few = WORLD.ask(
        data, {**PARAMS["ask"], "scenes": 9, "directions": ["reverse"], "populations": ["novel"]}, {}
    )
    assert len({e.group for e in few}) <= 9 and {e.facets["direction"] for e in few} == {"reverse"}


def test_every_picture_that_is_shown_is_made(data):
    made = WORLD.make(FACTS, 0)
    asked = WORLD.ask(data, {**PARAMS["ask"], "drops": ["image"]}, {})
    assert {name for e in [*data.examples, *asked] for name in e.pictures} <= set(made.pictures)


def test_alternatives_begin_with_the_truth_and_are_otherwise_wrong(data):
    for example in data.examples[::5]:
        found = WORLD.alternatives(example, data)
        assert next(iter(found)) == "right" and len(set(found.values())) == len(found)
        right = {kind for kind, text in found.items() if WORLD.grade(example, text).right}
        assert right == {"right", "rephrased"} & set(found)


def test_a_reward_whose_truth_is_empty_is_the_one_of_prior_work(data):
    """Scaled to −1…1 as there: 0.0 for a plain answer, −0.3 for one that names a relation, right or not."""
    chats = taught(data, count=40, tasks=["relation"], formats=["free"], blind=True)
    example = next(chat.examples[0] for chat in chats if chat.examples[0].answer == "under")
    weights = {"exact": 0.5, "relation": 0.3, "format": 0.2}

    def reward(text: str) -> float:
        parts = WORLD.grade(example, text).parts
        return round(2 * sum(weights[part] * worth for part, worth in parts.items()) - 1, 6)

    assert (reward("under"), reward("behind"), reward("purple")) == (-0.3, -0.3, 0.0)
    assert WORLD.grade(example, "under").right and not WORLD.grade(example, "purple").right


def test_what_cannot_be_taught_or_asked_is_one_sentence(data):
    with pytest.raises(UserError, match="hold none of"):
        taught(data, relations=["atop"])
    bare = Data([e for e in data.examples if e.facets["population"] == "novel"])
    with pytest.raises(UserError, match="no background scenes"):
        taught(bare, replay=0.5)
    with pytest.raises(UserError, match="no such test question"):
        WORLD.ask(bare, {**PARAMS["ask"], "populations": ["background"]}, {})
    assert list(WORLD.check(FACTS)) == []
    assert len(list(WORLD.check({**FACTS, "novel": 3, "test_scenes": 2}))) == 2
    assert len(list(WORLD.check({**FACTS, "novel": 0, "background": 0}))) == 1


@pytest.mark.parametrize("size", [64, 256])
def test_the_size_is_estimated_from_above_and_not_by_far(size, tmp_path):
    facts = {**FACTS, "image_size": size, "background": 27, "novel": 27, "test_scenes": 9}
    made = WORLD.make(facts, 0)
    written = sum(len(example_line(e).encode()) for e in made.examples) + len(json.dumps(made.facts))
    for name, plan in made.pictures.items():
        made.draw(plan).save(tmp_path / name, compress_level=1)
    written += sum(path.stat().st_size for path in tmp_path.iterdir())
    assert written < WORLD.size(facts) < 3 * written
