"""Pictures of analogies show what the words say; the world makes, teaches and asks like all puzzle worlds."""

import io
import os
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import yaml
from analogies_made import ASK, FACTS, TEACH, facts, made, puzzles_of
from PIL import Image

from mmrc_helpers.errors import UserError
from mmrc_helpers.worlds.analogies import WORLD, draw, drawing, values, views, words
from mmrc_helpers.worlds.drops import NOISES, noise_name
from mmrc_helpers.worlds.puzzles import asking, making


def _pixels(panel: values.Panel, side: int) -> np.ndarray:
    return np.asarray(drawing.panel_image(panel, side)).astype(int)


@pytest.mark.parametrize("side", [24, 30, 180])
def test_panels_of_other_values_look_different(side):
    room = values.room_of(FACTS)
    kinds = {
        "line": [
            (kind, color) for kind in room.values["line", "type"] for color in room.values["line", "color"]
        ],
        "shape": [
            (kind, color, size, (1, 1))
            for kind in room.values["shape", "type"]
            for color in room.values["shape", "color"]
            for size in room.values["shape", "size"]
        ],
    }
    for kind, items in kinds.items():
        seen = [_pixels(values.Panel(kind, (item,)), side) for item in items]
        apart = [abs(one - other).max() for n, one in enumerate(seen) for other in seen[:n]]
        assert min(apart) >= 20


def test_a_picture_shows_what_the_words_say():
    width, height = 800, 900
    for puzzle in puzzles_of("simple", 40):
        image = np.asarray(drawing.picture(puzzle.panels, width, height, 0.05)).astype(int)
        corners = drawing._corners(width, height, 200)
        for panel, (x, y) in zip(puzzle.panels, corners, strict=True):
            inside = image[y + 10 : y + 190, x + 10 : x + 190]
            if panel.kind == "line":
                assert values.values_of(panel, "color") <= set(inside[3:-3, 3:-3].ravel())
                continue
            where = {place: (kind, color, size) for kind, color, size, place in panel.items}
            for row, column in values.PLACES:
                box = inside[row * 60 + 2 : row * 60 + 58, column * 60 + 2 : column * 60 + 58]
                if (row, column) not in where:
                    assert (box == 255).all()
                    continue
                kind, color, size = where[row, column]
                assert box[28, 28] == color
                assert abs(int((box < 255).any(0).sum()) - size * 180 / 160) < 0.15 * size * 180 / 160 + 2


@pytest.mark.parametrize("picture", [[96, 108], [128, 128], [112, 126], [800, 900], [640, 400]])
def test_pictures_have_the_asked_size_and_few_bytes(picture):
    file = draw(facts(picture=picture), 0, ("hard", "test", 0))
    image = Image.open(io.BytesIO(file))
    assert list(image.size) == picture and image.mode == "L"
    share = 25 if picture == [800, 900] else 10  # of three bytes a pixel, which prior work keeps
    assert len(file) < picture[0] * picture[1] * 3 / share
    made = making.made(facts(picture=picture), 0, views, draw)
    noise = Image.open(io.BytesIO(made.draw(made.pictures[noise_name(3)])))
    assert noise.size == image.size


# --- the world --------------------------------------------------------------------------------------------


def test_a_world_keeps_its_promises():
    for promise, found, wanted in WORLD.promises(made()):
        assert found == wanted, promise


def test_views_share_group_scene_and_lesson_and_differ_in_what_they_show():
    data = made()
    for number in range(0, len(data.examples), 3):
        text, image, via = data.examples[number : number + 3]
        assert len({text.group, image.group, via.group, text.scene, image.scene, via.scene}) == 1
        assert [e.lesson.split("/")[1] for e in (text, image, via)] == FACTS["views"]
        assert not text.pictures and image.pictures == via.pictures == (text.group,)
        assert text.truth["text"] in making.spoken(text) and text.truth["text"] not in making.spoken(image)
        assert via.answer == f"{text.truth['text']}\n\n{image.answer}" and text.answer == image.answer
        assert WORLD.facets == ("task", "difficulty", "view", "cot", "drop", "rule")
        assert set(text.facets) == set(WORLD.facets)


def test_mixes_and_questions_come_in_the_asked_lessons():
    data = made()
    mix = {"simple/text": 1, "simple/image": 1, "hard/text": 2}
    taught = list(WORLD.teach(data, TEACH | {"mix": TEACH["mix"] | mix}, 0))
    assert Counter(chat.examples[0].lesson for chat in taught) == {
        "simple/text": 6,
        "simple/image": 6,
        "hard/text": 12,
    }
    bare = list(WORLD.teach(data, TEACH | {"mix": TEACH["mix"] | mix, "cot": False}, 0))
    assert all(chat.turns[-1][1][0][1] == chat.examples[0].truth["block"] for chat in bare)
    asked = WORLD.ask(data, ASK | {"drops": ["image"]}, TEACH)
    assert Counter((e.lesson, e.facets["drop"]) for e in asked) == {
        ("simple/text", "none"): 6, ("simple/image", "none"): 6, ("hard/text", "none"): 6,
        ("hard/image", "none"): 6, ("simple/image", "image"): 6, ("hard/image", "image"): 6,
    }  # fmt: skip
    pairs = list(WORLD.pairs(data, TEACH | {"mix": TEACH["mix"] | mix}, 0, "answer"))
    assert len(pairs) == 24 and all(p.chosen.turns[0] == p.rejected.turns[0] for p in pairs)
    assert all(not WORLD.grade(p.rejected.examples[0], p.rejected.turns[-1][1][0][1]).right for p in pairs)


def test_a_world_of_120000_is_made_at_once_and_read_where_asked():
    many = {"simple": 120_000, "medium": 0, "hard": 120_000}
    world = WORLD.make(facts(train=many), 0)
    assert len(world.examples) == 3 * 240_012 and len(world.pictures) == 240_012 + NOISES
    last = "hard-train-119999"
    assert world.draw(world.pictures[last]) == draw(facts(), 0, ("hard", "train", 119_999))
    assert WORLD.size(facts(train=many)) > 240_000 * 5_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape_sizes": [20, 30]}, "analogies.shape_sizes: 2 values are too few; name at least 3"),
        ({"line_types": ["ring", "ring", "falling", "rising"]}, "analogies.line_types: ring comes twice"),
        ({"style": "terse", "shape_sizes": [10, 18, 26, 34, 42, 50]}, "style terse has 5 words"),
        ({"picture": [48, 54]}, "48 x 54 pixels are too few"),
        ({"picture": [1000, 300]}, "leave panels small"),
        ({"picture": [800]}, "analogies.picture: [800] is no width and height"),
        ({"views": []}, "analogies.views"),
    ],
)
def test_facts_that_cannot_be_made_are_named(changes, message):
    assert message in "\n".join(WORLD.check(facts(**changes)))
    assert not list(WORLD.check(facts()))


def test_a_tokenizer_hears_every_word():
    for style in ("full", "terse"):
        heard = "\n".join(WORLD.sentences(facts(style=style), 0))
        for named in words.names_of(values.room_of(FACTS), style).values():
            for word in named.values():
                assert asking.digits_apart(word) in heard
        assert not any(len(number) > 1 for number in re.findall(r"[0-9]+", heard))


def test_too_few_test_instances_are_named():
    with pytest.raises(UserError, match="the world's test.hard"):
        WORLD.ask(made(test={"simple": 6, "medium": 0, "hard": 0}), ASK, TEACH)


def test_an_instance_is_the_same_alone_among_more_and_in_another_process():
    few = list(WORLD.make(facts(), 5).examples)
    more = {e.id: e for e in WORLD.make(facts(train={"simple": 20, "medium": 0, "hard": 14}), 5).examples}
    assert all(more[e.id].answer == e.answer and more[e.id].prompt == e.prompt for e in few)
    code = (
        "import sys, yaml; from mmrc_helpers.worlds.analogies import views, draw; "
        "facts = yaml.safe_load(sys.stdin); place = ('hard', 'train', 7); "
        "sys.stdout.write(views(facts, 5, place)[0].answer + draw(facts, 5, place).hex())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        input=yaml.safe_dump(facts()),
        text=True,
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    place = ("hard", "train", 7)
    assert other.stdout == more["hard-train-000007-text"].answer + draw(facts(), 5, place).hex()
