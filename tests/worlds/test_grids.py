"""World `grids`: the search follows its rules, the replay never leaves the grid, grading is strict."""

import io
import random
import re
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from PIL import Image
from puzzle_facts import sections

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import INVALID
from mmrc_helpers.worlds.grids import WORLD, drawing, grading, search, words
from mmrc_helpers.worlds.grids.instances import OBJECTS, OBSTACLES, Grid, sample, truth

STYLES = [{}, {"small": True}]


def instances(count: int, **changes):
    """(grid, its examples in every view), half simple and half hard, both splits."""
    facts = sections("grids", count, **changes)["facts"]
    for index in range(count):
        place = (("simple", "hard")[index % 2], ("train", "test")[index // 2 % 2], index)
        yield sample(facts, 0, place), words.views(facts, 0, place)


def check_gold(count: int, **changes) -> None:
    for grid, examples in instances(count, **changes):
        for example in examples:
            grade = WORLD.grade(example, example.answer)
            assert grade.right and set(grade.parts.values()) == {1.0}, (grade, example.answer)
            assert grade.answer == " ".join(grid.moves)


@pytest.mark.parametrize("changes", STYLES)
def test_gold_answers_are_graded_right_by_a_replay_that_sees_only_the_grid(changes):
    check_gold(250, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("changes", STYLES)
def test_ten_thousand_gold_answers_are_graded_right(changes):
    check_gold(5000, **changes)


# --- a grid made by hand ------------------------------------------------------------------------------------

NAMES = (("S", "O", "O"), ("heart", "square", "O"), ("O", "O", "D"))
CODES = [[1, 0, 0], [3, -1, 0], [0, 0, 2]]
GOLD = "down down right right"
UNLETTERED = ("\n b &", "\n x &")


def one(style: str = "full", view: str = "image_via_text") -> Example:
    """The grid above as an example."""
    states = search.search(CODES, [(1, 0), (2, 2)], (0, 0), 20)
    grid = Grid(NAMES, (0, 0), (2, 2), ((1, 0),), tuple(states))
    return Example(
        id="hand",
        group="hand",
        split="test",
        prompt=(),
        answer=words.answer(grid, style, view == "image_via_text"),
        facets={"view": view, "cot": "yes"},
        truth=truth(grid),
    )


def moved(moves: str) -> str:
    """The right answer with other moves."""
    return one().answer.replace(f"Answer: {GOLD}", f"Answer: {moves}")


WRITTEN, *REST = words.blocks(one().answer)
RECORDED = "".join(REST)

BROKEN = {
    "object missing": (moved("right right down down"), {"objects": 0, "reaches": 1, "legal": 1}),
    "through an obstacle": (moved("down right right down"), {"objects": 1, "reaches": 1, "legal": 0}),
    "off the top edge and back": (moved(f"up down {GOLD}"), {"legal": 0, "reaches": 0, "objects": 0}),
    "off the left edge and back": (moved(f"left right {GOLD}"), {"legal": 0, "reaches": 0}),
    "off the bottom edge": (moved("down down down up right right"), {"legal": 0, "reaches": 0, "objects": 1}),
    "stops short": (moved("down down right"), {"reaches": 0, "legal": 1, "objects": 1}),
    "goes on after the destination": (moved(f"{GOLD} up"), {"reaches": 0, "legal": 1}),
    "other case": (moved("Down down right right"), {"format": 0}),
    "commas": (moved("down, down, right, right"), {"format": 0}),
    "an unknown move": (moved("down down right forward"), {"format": 0}),
    "double space": (moved("down  down right right"), {"format": 0}),
    "no moves": (moved("").strip(), {"format": 0}),
    "no path": (moved("No path exists"), {"format": 0}),
    "trailing text": (one().answer + "\nDone.", {"format": 0}),
    "trailing full stop": (one().answer + ".", {"format": 0}),
    "answer in other case": (one().answer.replace("Answer:", "answer:"), {"format": 0}),
    "two answers": (one().answer + f"\nAnswer: {GOLD}", {"format": 0}),
    "chatter between": (one().answer.replace("Answer:", "Easy.\nAnswer:"), {"format": 0}),
    "no record": (WRITTEN + f"Answer: {GOLD}", {"format": 0, "legal": 1, "objects": 1}),
    "no transcription": (RECORDED, {"format": 0, "transcription": 0, "legal": 1}),
    "a row under another letter": (one().answer.replace(*UNLETTERED), {"format": 0}),
    "nothing": ("", {"format": 0}),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_answers_are_graded_wrong(kind):
    text, parts = BROKEN[kind]
    assert text != one().answer
    grade = WORLD.grade(one(), text)
    assert not grade.right
    assert {name: grade.parts[name] for name in parts} == parts, grade
    if parts == {"format": 0}:
        assert grade.answer == INVALID and set(grade.parts.values()) == {0.0}


def test_any_way_that_keeps_the_rules_is_right():
    for moves in (GOLD, "down up right right down down", "right left down down right right"):
        grade = WORLD.grade(one(), moved(moves))
        assert grade.right and grade.answer == moves


def test_objects_are_counted_up_to_the_first_illegal_move():
    grid = [["S", "sun", "heart"], ["O", "dot", "O"], ["D", "O", "O"]]
    assert grading.replay(grid, ["right", "down"])["objects"] == 0.5
    assert grading.replay(grid, ["right", "down", "up", "right"])["objects"] == 0.5
    assert grading.replay(grid, ["right", "right"])["objects"] == 1.0


def test_misreadings_show_in_the_parts_and_not_in_the_grade():
    example = one()
    written = WORLD.grade(example, example.answer.replace("heart &", "sun &", 1))
    assert (
        written.right
        and written.parts["transcription"] == pytest.approx(8 / 9)
        and written.parts["reading"] == 1
    )
    named = WORLD.grade(example, example.answer.replace("closed square", "closed cross"))
    assert named.right and 0 < named.parts["reading"] < 1 and named.parts["transcription"] == 1
    untrue = WORLD.grade(example, example.answer.replace("(b, b) closed square", "outside"))
    assert 0 < untrue.parts["reading"] < 1


def test_a_transcription_is_asked_allowed_or_refused_by_the_view():
    for view, with_it, without in (("text", 0, 1), ("image", 1, 1), ("image_via_text", 1, 0)):
        example = one(view=view)
        assert WORLD.grade(example, one(view="image_via_text").answer).parts["format"] == with_it
        assert WORLD.grade(example, one(view="text").answer).parts["format"] == without


def test_the_terse_answer_is_graded_alike():
    example = one("terse")
    assert WORLD.grade(example, example.answer).right
    assert not WORLD.grade(example, example.answer.replace(GOLD, "right right down down")).right


def test_the_legacy_scorer_accepts_what_prior_work_accepts():
    legacy = {kind: grading.legacy_right(one(), text) for kind, (text, _) in BROKEN.items()}
    assert grading.legacy_right(one(), one().answer)
    for kind in (
        "off the top edge and back",
        "goes on after the destination",
        "no record",
        "no transcription",
    ):
        assert legacy[kind], kind
    for kind in ("object missing", "through an obstacle", "off the bottom edge", "stops short", "commas"):
        assert not legacy[kind], kind


# --- the search ---------------------------------------------------------------------------------------------


def test_the_search_goes_nearest_first_and_back_from_a_dead_end():
    codes = [[1, 0, -1, 2], [0, -1, -2, 0], [0, 0, 0, 0]]
    states = search.search(codes, [(0, 3)], (0, 0), 20)
    assert [(state.cell, state.move) for state in states] == [
        ((0, 0), "right"), ((0, 1), ""), ((0, 0), "down"), ((1, 0), "down"), ((2, 0), "right"),
        ((2, 1), "right"), ((2, 2), "right"), ((2, 3), "up"), ((1, 3), "up"),
    ]  # fmt: skip
    assert states[1].refused == (
        ("right", "closed"),
        ("up", "outside"),
        ("down", "closed"),
        ("left", "visited"),
    )
    assert states[2].refused == (("right", "visited"), ("up", "outside"))
    assert search.moves_of(states) == ["down", "down", "right", "right", "right", "up", "up"]
    assert search.search(codes, [(0, 3)], (0, 0), 8) is None  # one state too few
    assert search.search([[1, -1, 2]], [(0, 2)], (0, 0), 9) is None


def test_the_search_leaves_later_goals_alone_and_forgets_visits_at_an_object():
    states = search.search([[3, 1, 4, 2]], [(0, 0), (0, 2), (0, 3)], (0, 1), 20)
    assert [(state.cell, state.move, state.collected) for state in states] == [
        ((0, 1), "left", -1), ((0, 0), "right", 0), ((0, 1), "right", -1), ((0, 2), "right", 1),
    ]  # fmt: skip
    assert (
        search.search([[1, 2, 3]], [(0, 2), (0, 1)], (0, 0), 20) is None
    )  # the way leads over the destination
    blocked = search.search([[1, 2, 3], [0, 0, 0]], [(0, 2), (0, 1)], (0, 0), 20)
    assert ("right", "later") in blocked[0].refused


def test_objects_are_met_nearest_first():
    assert search.collection_order((0, 0), [(5, 5), (1, 1), (2, 0), (6, 5)]) == [
        (1, 1),
        (2, 0),
        (5, 5),
        (6, 5),
    ]


def test_of_equally_near_objects_the_upper_then_the_left_is_met_first():
    here, near = (2, 2), [(1, 3), (2, 0), (3, 1), (1, 1), (4, 4)]
    for listed in permutations(near):
        assert search.collection_order(here, listed)[0] == (1, 1)


@pytest.mark.parametrize("changes", STYLES)
def test_the_gold_answer_follows_from_what_is_seen(changes):
    """Solved again from the cells of the text alone, whichever object is seen first: no draw decides."""
    facts, rng, several = sections("grids", **changes)["facts"], random.Random(0), 0
    for grid, examples in instances(60, **changes):
        asked = next(e for e in examples if e.facets["view"] == "text")
        names = tuple(map(tuple, grading.transcribed(asked.prompt[0][1].split("\n\n")[0].split("\n"))))
        for _ in range(3):
            seen = solved(names, rng)
            assert words.answer(seen, facts["style"], False) == asked.answer
            several += len(seen.objects) > 1
        assert seen.names == grid.names  # which are all that a picture is drawn from
    assert drawing.picture(grid, facts) == drawing.picture(seen, facts)
    assert several > 60


def solved(names: tuple[tuple[str, ...], ...], rng: random.Random) -> Grid:
    """The reference solution of a grid of which only the names are known, objects found in random order."""
    kinds = {"S": search.START, "D": search.DESTINATION, "O": search.EMPTY, **dict.fromkeys(OBSTACLES, -1)}
    cells = {(r, c): name for r, row in enumerate(names) for c, name in enumerate(row)}
    start, destination = (next(cell for cell, name in cells.items() if name == end) for end in "SD")
    found = [cell for cell, name in cells.items() if name in OBJECTS]
    order = search.collection_order(start, rng.sample(found, len(found)))
    codes = [[kinds.get(name, 0) for name in row] for row in names]
    for number, (row, column) in enumerate(order):
        codes[row][column] = search.OBJECT + number
    states = search.search(codes, [*order, destination], start, 10**6)
    return Grid(names, start, destination, tuple(order), tuple(states))


@pytest.mark.parametrize("changes", STYLES)
def test_the_record_says_only_what_is_true_of_a_walk(changes):
    for grid, _ in instances(120, **changes):
        here, left, visited = grid.start, list(grid.objects), {grid.start}
        trail = [here]
        for state in grid.states:
            assert state.cell == here
            for move, reason in state.refused:
                cell = (here[0] + grading.STEPS[move][0], here[1] + grading.STEPS[move][1])
                inside = 0 <= cell[0] < len(grid.names) and 0 <= cell[1] < len(grid.names[0])
                name = grid.names[cell[0]][cell[1]] if inside else ""
                assert {
                    "outside": not inside,
                    "visited": cell in visited,
                    "closed": name in OBSTACLES,
                    "later": cell in left[1:] or (cell == grid.destination and bool(left)),
                }[reason]
            if not state.move:
                trail.pop()
                here = trail[-1]
                continue
            here = (here[0] + grading.STEPS[state.move][0], here[1] + grading.STEPS[state.move][1])
            assert here not in visited and grid.names[here[0]][here[1]] not in OBSTACLES
            visited.add(here)
            trail.append(here)
            if left and here == left[0]:
                left.pop(0)
                visited = {here}
        assert here == grid.destination and not left


# --- instances ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("difficulty", ["simple", "medium", "hard"])
def test_sizes_are_those_asked(difficulty):
    facts = sections("grids")["facts"]
    grids = [sample(facts, 0, (difficulty, "train", index)) for index in range(200)]
    for name, found in (
        ("objects", [len(grid.objects) for grid in grids]),
        ("states", [len(grid.states) for grid in grids]),
        ("obstacle_kinds", [len({n for row in grid.names for n in row} & set(OBSTACLES)) for grid in grids]),
    ):
        least, most = facts[name][difficulty]
        assert min(found) >= (1 if name == "obstacle_kinds" else least) and max(found) <= most, name
        assert max(found) - min(found) > (most - least) / 2 - 1
    assert {len(grid.names) for grid in grids} == {len(grid.names[0]) for grid in grids} == set(range(8, 13))
    counts = [
        sum(len(grid.objects) == n for grid in grids) for n in range(facts["objects"][difficulty][0], 6)
    ]
    wanted = 200 / (facts["objects"][difficulty][1] - facts["objects"][difficulty][0] + 1)
    assert all(abs(count - wanted) < 5 * wanted**0.5 for count in counts if count)


def test_obstacles_between_start_and_destination_have_the_asked_density():
    for grid, _ in instances(100):
        rows = sorted((grid.start[0], grid.destination[0]))
        columns = sorted((grid.start[1], grid.destination[1]))
        assert rows[0] != rows[1] and columns[0] != columns[1]
        box = [
            grid.names[r][c] for r in range(rows[0], rows[1] + 1) for c in range(columns[0], columns[1] + 1)
        ]
        wanted = int(0.35 * (len(box) - 2))
        objects = sum(name in OBJECTS for name in box)  # may lie where an obstacle was
        assert wanted - objects <= sum(name in OBSTACLES for name in box) <= wanted


def test_a_picture_shows_start_destination_and_every_symbol():
    for small in (False, True):
        facts = sections("grids", 1, small=small)["facts"]
        grid = sample(facts, 0, ("hard", "test", 0))
        image = Image.open(io.BytesIO(drawing.picture(grid, facts))).convert("RGB")
        pixels = np.asarray(image).astype(int)
        height, width = len(pixels) / (len(grid.names) + 1), len(pixels[0]) / (len(grid.names[0]) + 1)
        for r, row in enumerate(grid.names):
            for c, name in enumerate(row):
                inside = pixels[
                    round(r * height) + 3 : round((r + 1) * height) - 2,
                    round((c + 1) * width) + 3 : round((c + 2) * width) - 2,
                ].reshape(-1, 3)
                dark, middle = (inside.max(1) < 80).mean(), np.median(inside, axis=0)
                if name == "S":
                    assert middle[2] > 200 and middle[0] < 150
                elif name == "D":
                    assert middle[1] > 90 and middle[0] < 50
                else:
                    assert (dark > 0.02) == (name != "O"), name
        seen = {drawing.picture(grid, facts)}
        symbols = [*OBJECTS, *OBSTACLES]
        for name in symbols:
            row = (name, *grid.names[0][1:])
            seen.add(drawing.picture(replace(grid, names=(row, *grid.names[1:])), facts))
        assert len(seen) >= len(symbols)


def test_a_text_says_what_lies_in_each_cell():
    for grid, examples in instances(20):
        text = next(e for e in examples if e.facets["view"] == "text").prompt[0][1].split("\n\n")[0]
        assert grading.transcribed(text.split("\n")) == [list(row) for row in grid.names]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"facts__rows": [12, 8]}, "grids.rows"),
        ({"facts__columns": [8, 30]}, "grids.columns"),
        ({"facts__objects__hard": [2, 40]}, "grids.objects.hard"),
        ({"facts__obstacle_pool": 3}, "grids.obstacle_kinds.hard"),
        ({"facts__states__simple": [10]}, "grids.states.simple"),
        ({"facts__picture": [50, 1000]}, "grids.picture"),
        ({"facts__picture": [50]}, "grids.picture"),
        ({"facts__rows": []}, "grids.rows"),
        ({"facts__views": []}, "grids.views"),
        ({"facts__rows": [2, 12], "facts__columns": [3, 12]}, "grids.objects.hard: 5 objects"),
    ],
)
def test_sizes_that_cannot_be_made_are_named(changes, said):
    problems = list(WORLD.check(sections("grids", **changes)["facts"]))
    assert len(problems) == 1 and said in problems[0]


def test_in_a_large_grid_every_letter_is_another_one():
    facts = sections(
        "grids", 1, facts__rows=[20, 20], facts__columns=[20, 20], facts__objects__simple=[0, 0]
    )["facts"]
    facts |= {"density": 0.0, "states": {**facts["states"], "simple": [1, 40]}}
    example = words.views(facts, 0, ("simple", "train", 0))[0]
    said = [WORLD.alternatives(replace(example, id=str(k)), None)["format_only"] for k in range(30)]
    assert len(set(re.findall(r"\(([a-z]), ", " ".join(said)))) == 20
