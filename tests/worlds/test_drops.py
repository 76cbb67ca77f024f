"""Noise in place of pictures."""

import numpy as np

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds.drops import NOISES, Noise, draw_noise, noises, with_drops, without_pictures


def question(*names: str, how: str = "") -> Example:
    shown = [("options", how)] if how else [("image", name) for name in names]
    prompt, options = (*shown, ("text", "Which?")), names if how else ("a", "b")
    return Example("q", "g", "test", prompt, facets={"drop": "none"}, options=options, gold=0)


def test_noise_is_always_the_same_and_no_two_are():
    drawn = {name: draw_noise(noise) for name, noise in noises(31, 20).items()}
    assert len({image.tobytes() for image in drawn.values()}) == NOISES
    assert all(image.size == (31, 20) and image.mode == "RGB" for image in drawn.values())
    assert draw_noise(Noise(3, 31, 20)).tobytes() == drawn["noise-3.png"].tobytes()


def test_coarse_noise_is_made_of_squares():
    pixels = np.asarray(draw_noise(Noise(0, 50, 30, grain=8)))
    assert pixels.shape == (30, 50, 3) and (pixels[:8, :8] == pixels[0, 0]).all()
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) >= 14


def test_every_picture_becomes_another_noise_wherever_it_stands():
    for example in (question("a.png", "b.png"), question("a.png", "b.png", how="pictures")):
        dropped = without_pictures(example)
        assert len(set(dropped.pictures)) == 2 and set(dropped.pictures) < set(noises())
        assert without_pictures(example).pictures == dropped.pictures
        assert (dropped.id, dropped.facets) == ("q/image", {"drop": "image"}) and dropped.how == example.how
    many = question(*(f"{n}.png" for n in range(NOISES + 4)))
    assert set(without_pictures(many).pictures) == set(noises())


def test_questions_without_pictures_lose_nothing():
    examples = [question("a.png"), question()]
    assert with_drops(examples, {"drops": []}) == examples
    assert [e.facets["drop"] for e in with_drops(examples, {"drops": ["image"]})] == ["none", "none", "image"]
