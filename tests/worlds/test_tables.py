"""World `tables`: lengths are honoured, nothing but the marks shows the path, grading is strict."""

import io
import random
import re

import numpy as np
import pytest
from PIL import Image
from puzzle_facts import sections

from mmrc_helpers.worlds import INVALID
from mmrc_helpers.worlds.tables import WORLD, drawing, grading, paths, words
from mmrc_helpers.worlds.tables.instances import Table, pools, sample, truth

STYLES = [
    {"facts__tasks": ["readout"]},
    {"facts__tasks": ["consecutive"]},
    {"facts__tasks": ["consecutive", "readout"], "small": True},
    {"facts__tasks": ["readout", "consecutive"], "facts__running_totals": True},
]


def instances(count: int, **changes):
    """(table, its examples in every view), half simple and half hard, both splits."""
    facts = sections("tables", count, **changes)["facts"]
    for index in range(count):
        place = (("simple", "hard")[index % 2], ("train", "test")[index // 2 % 2], index)
        yield sample(facts, 0, place), words.views(facts, 0, place)


def check_gold(count: int, **changes) -> None:
    for table, examples in instances(count, **changes):
        assert grading.walk(examples[0].truth) == list(table.path)
        for example in examples:
            grade = WORLD.grade(example, example.answer)
            assert grade.right and set(grade.parts.values()) == {1.0}, (grade, example.answer)
            assert grade.answer == str(sum(table.summands))


@pytest.mark.parametrize("changes", STYLES)
def test_gold_answers_are_graded_right_by_a_verifier_that_sees_only_the_marks(changes):
    check_gold(125, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("changes", STYLES)
def test_ten_thousand_gold_answers_are_graded_right(changes):
    check_gold(2500, **changes)


def one(view: str = "image_via_text", **changes):
    """A table of five marked cells, none of them 0, with its example."""
    facts = sections("tables", 1, facts__tasks=["consecutive"], **changes)["facts"]
    facts["consecutive"]["simple"] = [5, 5]
    for index in range(10_000):
        table = sample(facts, 0, ("simple", "train", index))
        if 0 not in table.summands and len(set(table.summands)) == 5 and sum(table.summands) % 10 != 0:
            examples = words.views(facts, 0, ("simple", "train", index))
            return table, next(example for example in examples if example.facets["view"] == view)
    raise AssertionError("no such table")


def broken() -> dict[str, tuple[str, dict[str, float]]]:
    """Kinds of wrong answers to `one()`: the text, and parts that must come out so."""
    table, example = one()
    gold, total, values = example.answer, sum(table.summands), table.summands
    added = " + ".join(map(str, values))
    swapped = " + ".join(map(str, [values[1], values[0], *values[2:]]))
    head, tail = gold.split("The total is")
    product, month = table.named(table.path[0])
    other = table.products[0] if product != table.products[0] else table.products[1]
    marked = f"{values[0]} *"
    return {
        "two summands swapped": (gold.replace(added, swapped), {"summands": 0.6, "total": 1, "answer": 1}),
        "wrong total": (
            gold.replace(f"= {total}.", f"= {total + 1}."),
            {"total": 0, "summands": 1, "answer": 1},
        ),
        "wrong answer": (gold.replace(f"Answer: {total}", f"Answer: {total + 1}"), {"answer": 0, "total": 1}),
        "right total, wrong summands": (
            gold.replace(added, f"{total - 4} + 1 + 1 + 1 + 1"),
            {"summands": 0.0, "total": 1},
        ),
        "a summand left out": (gold.replace(added, added.split(" + ", 1)[1]), {"answer": 1}),
        "trailing text": (gold + "\nI am sure.", {"format": 0}),
        "other case": (gold.replace("Answer:", "answer:"), {"format": 0}),
        "no final line": (gold.rsplit("\n", 1)[0].strip(), {"format": 0}),
        "words for the number": (gold.replace(f"Answer: {total}", "Answer: many"), {"format": 0}),
        "a leading zero": (gold.replace(f"Answer: {total}", f"Answer: 0{total}"), {"format": 0}),
        "two answers": (gold + f"\nAnswer: {total}", {"format": 0}),
        "a unit": (gold + " units", {"format": 0}),
        "no cells listed": (head.split("The cells")[0] + "The total is" + tail, {"format": 0, "total": 1}),
        "no total": (re.sub(r"The total is .*\n\n", "", gold), {"format": 0, "total": 0, "answer": 1}),
        "no transcription": (gold[gold.index("The cells") :], {"format": 0, "transcription": 0}),
        "broken transcription": (gold.replace(r"\end{tabular}", ""), {"format": 0}),
        "chatter between": (gold.replace("The total", "So far so good.\n\nThe total"), {"format": 0}),
        "nothing": ("", {"format": 0}),
        "the table alone": (gold.split("\n\n")[0], {"format": 0}),
    } | {
        # still right, as only reading and transcription suffer; see the test below
        "a cell under another name": (
            gold.replace(f"\t{product}\t{month}", f"\t{other}\t{month}"),
            {"path": 0.8},
        ),
        "a mark left out in the transcription": (gold.replace(marked, str(values[0]), 1), {"format": 1}),
    }


SPARED = ("a cell under another name", "a mark left out in the transcription")


@pytest.mark.parametrize("kind", [kind for kind in broken() if kind not in SPARED])
def test_broken_answers_are_graded_wrong(kind):
    _, example = one()
    text, parts = broken()[kind]
    assert text != example.answer
    grade = WORLD.grade(example, text)
    assert not grade.right
    assert {name: grade.parts[name] for name in parts} == pytest.approx(parts), grade
    if parts.get("format") == 0 and "total" not in parts and "transcription" not in parts:
        assert grade.answer == INVALID and set(grade.parts.values()) == {0.0}


@pytest.mark.parametrize("kind", SPARED)
def test_misread_names_show_in_the_parts_and_not_in_the_grade(kind):
    _, example = one()
    text, parts = broken()[kind]
    grade = WORLD.grade(example, text)
    assert text != example.answer and grade.right and min(grade.parts.values()) < 1
    assert {name: grade.parts[name] for name in parts} == pytest.approx(parts)


def test_a_transcription_is_asked_allowed_or_refused_by_the_view():
    for view, with_it, without in (("text", 0, 1), ("image", 1, 1), ("image_via_text", 1, 0)):
        _, example = one(view)
        whole = one("image_via_text")[1].answer
        bare = one("text")[1].answer
        assert WORLD.grade(example, whole).parts["format"] == with_it
        assert WORLD.grade(example, bare).parts["format"] == without


def test_reading_and_reasoning_errors_are_told_apart():
    table, example = one()
    misread = example.answer.replace(f"\t{table.summands[0]}\n", f"\t{table.summands[1]}\n", 1)
    parts = WORLD.grade(example, misread).parts
    assert parts["reading"] == pytest.approx(0.8) and parts["path"] == 1 and parts["transcription"] == 1


def test_the_terse_answer_is_graded_by_its_listed_cells():
    table, example = one("text", facts__style="terse", facts__running_totals=True)
    assert WORLD.grade(example, example.answer).right
    other = example.answer.replace(
        f" {table.summands[0]} {table.summands[0]}\n", f" 0 {table.summands[0]}\n", 1
    )
    assert other != example.answer and not WORLD.grade(example, other).right


def test_the_legacy_scorer_sees_only_the_summands():
    table, example = one()
    kinds = broken()
    assert grading.legacy_right(example, example.answer)
    for kind in ("wrong total", "wrong answer", "trailing text", "no cells listed"):
        assert grading.legacy_right(example, kinds[kind][0]), kind
    for kind in ("two summands swapped", "a summand left out"):
        assert not grading.legacy_right(example, kinds[kind][0]), kind
    bare = f"The total is {sum(table.summands)}.\n\nAnswer: {sum(table.summands)}"
    assert not grading.legacy_right(example, bare)  # prior work reads "14,14" here


# --- instances ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("difficulty", "least", "most"), [("simple", 5, 10), ("medium", 15, 20), ("hard", 25, 30)]
)
def test_consecutive_lengths_are_those_asked(difficulty, least, most):
    facts = sections("tables", facts__tasks=["consecutive"])["facts"]
    tables = [sample(facts, 0, (difficulty, "train", index)) for index in range(300)]
    lengths = {len(table.path) for table in tables}
    assert lengths == set(range(least, most + 1))
    for table in tables:
        places = [row * 10 + column for row, column in table.path]
        steps = {b - a for a, b in zip(places, places[1:], strict=False)}
        assert steps in ({1}, {-1})
    backwards = sum(table.path[0] > table.path[-1] for table in tables)
    assert 100 < backwards < 200


def test_fixed_labels_are_the_first_names_in_their_order():
    fixed, drawn = (sections("tables", facts__fixed_labels=of)["facts"] for of in (True, False))
    for index in range(50):
        ours, theirs = (sample(facts, 0, ("simple", "test", index)) for facts in (fixed, drawn))
        rows, columns = len(ours.products), len(ours.months)
        products, months = pools(fixed)
        assert (ours.products, ours.months) == (products[:rows], months[:columns])
        assert theirs.products != ours.products


def test_readout_paths_are_lines_of_neighbours_that_never_touch_themselves():
    facts = sections("tables")["facts"]
    lengths = {}
    for difficulty in ("simple", "medium", "hard"):
        for index in range(200):
            table = sample(facts, 0, (difficulty, "train", index))
            assert paths.is_simple(list(table.path)) and len(set(table.path)) == len(table.path)
            assert 7 <= len(table.products) <= 12 and 7 <= len(table.months) <= 10
            lengths.setdefault((difficulty, table.shape), []).append(len(table.path))
    assert {shape for difficulty, shape in lengths if difficulty == "simple"} == {"random", "sine", "spiral"}
    assert {shape for difficulty, shape in lengths if difficulty == "hard"} == {"sine", "spiral", "compose"}
    means = {kind: sum(found) / len(found) for kind, found in lengths.items()}
    assert 8 < means["simple", "random"] < 15 and 14 < means["simple", "sine"] < 19
    assert 18 < means["simple", "spiral"] < 30 and 30 < means["hard", "sine"] < 40  # ranges of the facts
    assert 27 < means["hard", "spiral"] < 45 and 40 < means["hard", "compose"] < 50


def test_one_piece_is_a_line_and_four_pieces_turn():
    rng = random.Random("pieces")

    def turns(path):
        steps = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(path, path[1:], strict=False)]
        return sum(a != b for a, b in zip(steps, steps[1:], strict=False))

    for shape, pieces, wanted in (
        ("random", 1, {0}),
        ("random", 3, {2}),
        ("sine", 3, {1, 2}),
        ("spiral", 4, {3}),
    ):
        found = [path for _ in range(200) if (path := paths.readout(rng, shape, 10, 10, pieces))]
        assert len(found) > 10 and {turns(path) for path in found} <= wanted | {max(wanted) - 1}
    found = [path for _ in range(3000) if (path := paths.readout(rng, "random", 12, 10, 4))]
    assert len(found) > 100 and all(paths.is_simple(path) for path in found)
    assert not paths.is_simple([(0, 0), (0, 1), (1, 1), (1, 0)])
    assert not paths.is_simple([(0, 0), (0, 1), (0, 0)])


def test_the_marks_alone_tell_the_order():
    marks = {"order": "steps", "marked": ["**.", ".*.", "**."], "start": [2, 0]}
    assert grading.walk(marks) == [(2, 0), (2, 1), (1, 1), (0, 1), (0, 0)]
    with pytest.raises(ValueError, match="do not tell"):
        grading.walk({"order": "steps", "marked": ["***", ".*."], "start": [0, 1]})
    with pytest.raises(ValueError, match="no path starts"):
        grading.walk({"order": "rows", "marked": ["***"], "start": [0, 1]})


# --- nothing else tells -------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["full", "terse"])
def test_a_text_without_its_marks_carries_no_trace_of_them(style):
    rng = random.Random("leak")
    for table, _ in instances(60):
        rows, columns = len(table.products), len(table.months)
        anywhere = [divmod(place, columns) for place in rng.sample(range(rows * columns), rng.randint(1, 20))]
        other = Table(table.task, table.shape, table.products, table.months, table.values, tuple(anywhere))
        texts = [words.text(one, style) for one in (table, other)]
        assert texts[0] != texts[1]
        assert texts[0].replace(" *", "") == texts[1].replace(" *", "")


def test_values_on_the_path_are_as_random_as_the_others():
    on, off = [0] * 10, [0] * 10
    for table, _ in instances(400):
        for r, row in enumerate(table.values):
            for c, value in enumerate(row):
                (on if (r, c) in table.path else off)[value] += 1
    for counts in (on, off):
        expected = sum(counts) / 10
        assert (
            sum((count - expected) ** 2 / expected for count in counts) < 27.9
        )  # chi², 9 degrees, p = 0.001


def test_a_picture_marks_the_cells_of_the_path_and_no_others():
    for small in (False, True):
        facts = sections("tables", 1, small=small)["facts"]
        for index in range(6):
            table = sample(facts, 0, ("hard", "test", index))
            image = Image.open(io.BytesIO(drawing.picture(table, facts))).convert("RGB")
            pixels = np.asarray(image).astype(int)
            yellow = (pixels[..., 0] > 200) & (pixels[..., 2] < 60)
            blue = np.flatnonzero(
                pixels[len(pixels) // 40, :, 2] < 200
            )  # the header; there is no corner cell
            left, height = blue[0], len(pixels) / (len(table.products) + 1)
            width = (len(pixels[0]) - left) / len(table.months)
            for r in range(len(table.products)):
                for c in range(len(table.months)):
                    rows = slice(round((r + 1) * height), round((r + 2) * height))
                    columns = slice(round(left + c * width), round(left + (c + 1) * width))
                    share = yellow[rows, columns].mean()
                    assert share > 0.25 if (r, c) in table.path else share < 0.1


def test_pictures_differ_by_every_value_and_every_mark():
    facts = sections("tables", 1, small=True)["facts"]
    table = sample(facts, 0, ("simple", "train", 0))
    seen = {drawing.picture(table, facts)}
    for row in range(len(table.values)):
        for column in range(len(table.months)):
            values = [list(line) for line in table.values]
            values[row][column] = (values[row][column] + 1) % 10
            other = Table(*list(vars(table).values())[:4], tuple(map(tuple, values)), table.path)
            seen.add(drawing.picture(other, facts))
            marks = tuple(cell for cell in table.path if cell != (row, column)) or table.path
            marks = marks if len(marks) < len(table.path) else (*marks, (row, column))
            seen.add(drawing.picture(Table(*list(vars(table).values())[:5], marks), facts))
    assert len(seen) == 1 + 2 * len(table.values) * len(table.months)


# --- limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"facts__products": 5}, "tables.readout.rows: 12 rows"),
        ({"facts__picture": [40, 40]}, "tables.picture"),
        ({"facts__tasks": ["consecutive"], "facts__consecutive__hard": [25, 60]}, "tables.consecutive.hard"),
        (
            {"facts__tasks": ["consecutive"], "facts__consecutive__simple": [0, 5]},
            "tables.consecutive.simple",
        ),
        ({"facts__readout__rows": [9, 7]}, "tables.readout.rows"),
        ({"facts__readout__columns": []}, "tables.readout.columns"),
        (
            {"facts__readout__rows": [3, 3], "facts__readout__columns": [3, 3]},
            "tables.readout.simple.random: no path of 3, 4 pieces",
        ),
        ({"facts__tasks": []}, "tables.tasks"),
        ({"facts__views": ["text", "text"]}, "tables.views"),
        ({"facts__picture": []}, "tables.picture"),
        ({"facts__picture": [120, 80]}, "tables.picture: 120 x 80 pixels cut off the words of 12 rows of 10"),
        (
            {"facts__readout__hard": {"random": [], "sine": [], "spiral": [], "compose": []}},
            "tables.readout.hard",
        ),
    ],
)
def test_sizes_that_cannot_be_made_are_named(changes, said):
    problems = list(WORLD.check(sections("tables", **changes)["facts"]))
    assert len(problems) == 1 and said in problems[0]


def test_shapes_that_no_asked_path_has_are_told_before_anything_is_made():
    def problems(**changes):
        found = sections("tables", 3, **changes)
        return list(WORLD.check_asked(found["facts"], found["ask"]))

    (said,) = problems(ask__shapes=["compose"])
    assert "evaluate.ask.shapes: compose, but simple paths are random, sine, spiral; name one" in said
    assert not problems(ask__shapes=["compose"], ask__difficulties=["hard"])
    assert not problems(ask__shapes=["spiral"])
    assert problems(ask__shapes=["spiral"], facts__tasks=["consecutive"])


def test_truth_holds_no_path():
    for table, examples in instances(10):
        assert set(truth(table)) == {"order", "products", "months", "values", "marked", "start"}
        assert all("path" not in example.truth for example in examples)
