"""What worlds/portraits.py promises: one person, many views, every attribute to be seen."""

import random
import time

import numpy as np
import pytest

from mmrc_helpers.worlds.people.portraits import portrait
from mmrc_helpers.worlds.people.portraits.portrait import (
    ATTRIBUTES,
    describe,
    draw_attributes,
    render,
    visible,
)

PLAIN = {
    "gender": "man",
    "age": "forties",
    "appearance": "mediterranean",
    "hair_style": "long",
    "hair_color": "brown",
    "facial_feature": "none",
    "expression": "neutral",
    "glasses": "none",
    "headwear": "cap",
    "headwear_color": "red",
    "attire": "suit",
    "attire_color": "blue",
    "eye_color": "green",
    "face": "17",
}


def picture(person, seed=0, size=64) -> np.ndarray:
    return np.asarray(render(person, random.Random(seed), size), float)


def people(count: int, seed: int = 0) -> list[dict[str, str]]:
    rng = random.Random(seed)
    return [draw_attributes(rng) for _ in range(count)]


@pytest.mark.parametrize("size", [32, 64, 100, 256])
def test_a_view_is_an_rgb_picture_of_the_size_asked_for(size):
    view = render(PLAIN, random.Random(0), size)
    assert (view.mode, view.size) == ("RGB", (size, size))


def test_the_same_person_and_seed_give_the_same_bytes():
    for seed, person in enumerate(people(20)):
        reordered = dict(reversed(person.items()))
        one, two = (render(p, random.Random(seed)).tobytes() for p in (person, reordered))
        assert one == two


def test_numpy_global_state_is_left_alone():
    np.random.seed(3)
    before = np.random.get_state()[1].tobytes()
    render(PLAIN, random.Random(0))
    assert np.random.get_state()[1].tobytes() == before


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_value_of_an_attribute_looks_different(name):
    views = {value: picture({**PLAIN, name: value}) for value in ATTRIBUTES[name]}
    for one in views:
        for other in views:
            if one < other:
                changed = np.abs(views[one] - views[other]).max(-1) > 20
                assert changed.sum() >= 3, f"{name}: {one} and {other} look alike"


def test_colours_of_hair_headwear_and_attire_fill_many_pixels():
    for name in ("hair_color", "headwear_color", "attire_color"):
        first, *others = (picture({**PLAIN, name: value}) for value in ATTRIBUTES[name])
        assert all((np.abs(first - other).max(-1) > 20).sum() > 100 for other in others)


def test_what_is_not_visible_does_not_change_the_picture():
    for seed, person in enumerate(people(40)):
        for name in set(ATTRIBUTES) - set(visible(person)):
            for value in ATTRIBUTES[name]:
                assert (picture({**person, name: value}, seed) == picture(person, seed)).all(), (name, person)


def test_the_face_number_changes_the_picture_and_not_the_words():
    other = {**PLAIN, "face": "18"}
    assert describe(other) == describe(PLAIN)
    assert (picture(other) != picture(PLAIN)).mean() > 0.05


def test_views_of_one_person_differ():
    views = [picture(PLAIN, seed) for seed in range(8)]
    assert all(np.abs(one - other).mean() > 8 for i, one in enumerate(views) for other in views[:i])


def test_unseen_views_are_nearest_to_the_same_person():
    crowd = people(30, seed=4)

    def features(person, seed):
        return picture(person, seed).reshape(16, 4, 16, 4, 3).mean((1, 3)).ravel()

    centres = np.stack([np.mean([features(p, seed) for seed in range(12)], 0) for p in crowd])
    hits = [
        int(np.argmin(((centres - features(person, 100 + seed)) ** 2).sum(1)) == index)
        for index, person in enumerate(crowd)
        for seed in range(4)
    ]
    print(f"nearest centroid of 30: {np.mean(hits):.0%} right")
    assert np.mean(hits) > 0.6  # chance is 3 %


def test_there_are_far_more_than_five_thousand_people():
    assert len({describe(person) for person in people(6000)}) > 5900


def test_drawn_people_are_consistent():
    for person in people(2000):
        portrait.check(person)
        assert person["gender"] == "man" or person["facial_feature"] not in ("beard", "goatee", "moustache")
        assert person["facial_feature"] != "eye patch" or person["glasses"] == "none"
    values = {name: {person[name] for person in people(2000)} for name in ATTRIBUTES}
    assert values == {name: set(listed) for name, listed in ATTRIBUTES.items()}


def test_a_description_names_what_is_visible_and_nothing_else():
    for person in people(200):
        words = describe(person)
        for name, value in visible(person).items():
            stem = value.removesuffix("es") if name == "glasses" else value
            assert value == "none" or stem in words, (name, words)
    assert "None" not in describe(PLAIN) and "none" not in describe(PLAIN)


def test_a_description_changes_with_every_visible_attribute():
    for person in people(60):
        for name in visible(person):
            described = {describe({**person, name: value}) for value in ATTRIBUTES[name]}
            assert len(described) == len(ATTRIBUTES[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"headwear": "berret"}, "headwear: no such value 'berret'; did you mean beret"),
        ({"hair_color": "gray"}, "hair_color: no such value 'gray'; did you mean grey"),
        ({"hair_colour": "grey"}, "hair_colour: no such attribute; did you mean hair_color"),
    ],
)
def test_a_bad_attribute_names_the_near_miss(change, message):
    for verb in (describe, lambda person: render(person, random.Random(0))):
        with pytest.raises(ValueError, match=message):
            verb({**PLAIN, **change})


def test_a_missing_attribute_is_named():
    with pytest.raises(ValueError, match="glasses: missing"):
        describe({name: value for name, value in PLAIN.items() if name != "glasses"})


def test_the_speed_is_printed(capsys):
    crowd = people(20)
    for size, count in ((64, 60), (256, 5)):
        start = time.process_time()
        for index in range(count):
            render(crowd[index % 20], random.Random(index), size)
        with capsys.disabled():
            print(f"\n{size} px: {1000 * (time.process_time() - start) / count:.1f} ms a view")
