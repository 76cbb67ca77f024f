"""Gold answers to analogies are graded right, broken ones wrong, and the parts say what is wrong."""

import re
from dataclasses import replace

import pytest
from analogies_made import examples_made, examples_of, made

from mmrc_helpers.errors import UserError
from mmrc_helpers.worlds.analogies import WORLD, words
from mmrc_helpers.worlds.analogies.grading import legacy_option_right, legacy_right
from mmrc_helpers.worlds.puzzles import tsv
from mmrc_helpers.worlds.puzzles.mixes import without_reasoning


def _check_gold(count: int) -> None:
    for style in ("full", "terse"):
        for difficulty in ("simple", "hard"):
            for example in examples_made(difficulty, count, style):
                assert "".join(words.blocks(example.answer)) == example.answer
                for asked in (example, without_reasoning(example, words.blocks)):
                    graded = WORLD.grade(asked, asked.answer)
                    assert graded.right and set(graded.parts.values()) == {1.0}
                assert asked.answer.endswith(example.truth["block"])


def test_gold_answers_are_right_in_every_view_with_and_without_reasoning():
    _check_gold(500)


@pytest.mark.slow
def test_10000_gold_answers_are_right():
    _check_gold(10_000)


def _other(option: str) -> str:
    return str(int(option) % 4 + 1)


def _moved(block: str) -> str:
    """Right labels, but the next option is the consistent one and the answer."""
    *lines, blank, last = block.split("\n")
    lines = [
        line.replace("not consistent", "consistent").replace(", consistent", ", not consistent")
        for line in lines
    ]
    lines[1 + int(_other(last[-1]))] = lines[1 + int(_other(last[-1]))].replace("not ", "")
    return "\n".join([*lines, blank, f"Answer: {_other(last[-1])}"])


def _relation(block: str, line: int) -> str:
    """Another relation in one line."""
    lines = block.split("\n")
    old = lines[line].split(", ")[1].rstrip(")")
    lines[line] = lines[line].replace(old, "AND" if old != "AND" else "OR")
    return "\n".join(lines)


def _attribute(block: str, line: int) -> str:
    lines = block.split("\n")
    old = lines[line].split("(")[1].split(",")[0]
    lines[line] = lines[line].replace(old, "shape type" if old != "shape type" else "shape color")
    return "\n".join(lines)


BROKEN = {  # kind → what becomes of the block, and whether it can still be read
    "another number": (lambda b: b[:-1] + _other(b[-1]), True),
    "wrong option with right labels": (_moved, True),
    "all options consistent": (lambda b: b.replace("not consistent", "consistent"), True),
    "no option consistent": (lambda b: b.replace(", consistent", ", not consistent"), True),
    "other relation of an example": (lambda b: _relation(b, 0), True),
    "other attribute of an example": (lambda b: _attribute(b, 1), True),
    "other relation of an option": (lambda b: _relation(b, 3), True),
    "other attribute of an option": (lambda b: _attribute(b, 5), True),
    "trailing text": (lambda b: b + "\nThat is all.", False),
    "trailing word": (lambda b: b + " or so", False),
    "other case of the answer": (lambda b: b.replace("Answer", "answer"), False),
    "other case of a verdict": (lambda b: b.replace("not consistent", "Not consistent"), False),
    "two answers": (lambda b: b + f" or {_other(b[-1])}", False),
    "a letter": (lambda b: b[:-1] + "ABCD"[int(b[-1]) - 1], False),
    "no such option": (lambda b: b[:-1] + "5", False),
    "no blank line": (lambda b: b.replace("\n\n", "\n"), False),
    "a line missing": (lambda b: b.replace(b.split("\n")[2] + "\n", ""), False),
    "options in another order": (lambda b: re.sub(r"(Option 2.*\n)(Option 3.*\n)", r"\2\1", b), False),
    "a label without its comma": (lambda b: re.sub(r"\((\w+ \w+),", r"(\1", b, count=1), False),
    "a comma missing": (lambda b: b.replace("), ", ") "), False),
    "a space more": (lambda b: b.replace("Option 2: ", "Option 2:  "), False),
    "an unknown attribute": (lambda b: b.replace("(shape ", "(figure ").replace("(line ", "(stroke "), False),
    "answer alone": (lambda b: b.split("\n")[-1], False),
    "a second block started": (lambda b: b + "\n" + b.split("\n")[0], False),
    "nothing": (lambda b: "", False),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_answers_are_wrong(kind):
    broken, readable = BROKEN[kind]
    for difficulty in ("simple", "hard"):
        for example in examples_of(difficulty, 500)[1::3]:
            _, reasoning, block = words.blocks(example.answer)
            graded = WORLD.grade(example, reasoning + broken(block) if kind != "nothing" else "")
            assert not graded.right and not graded.parts["block"]
            assert (graded.answer != "invalid") == readable


def test_the_parts_tell_what_is_wrong():
    example = examples_of("simple", 500)[2]
    text, reasoning, block = words.blocks(example.answer)
    moved = WORLD.grade(example, text + reasoning + _moved(block))
    assert moved.parts["examples"] == moved.parts["options"] == moved.parts["format"] == 1
    assert moved.parts["option"] == 0 and moved.answer == _other(block[-1])
    label = WORLD.grade(example, text + reasoning + _relation(block, 0))
    assert label.parts["option"] == 1 and label.parts["examples"] == 0.5 and not label.right
    torn = WORLD.grade(example, text + reasoning + block.split("\n")[-1])
    assert torn.parts["option"] == 1 and torn.parts["format"] == 0 and torn.answer == "invalid"
    lines = text.split("\n")
    lines[1], lines[12] = lines[1].replace("1: ", "1:"), "Option 1: 1 shape"
    misread = WORLD.grade(example, "\n".join(lines) + reasoning + block)
    assert misread.right and misread.parts["transcription"] == 10 / 12
    assert WORLD.grade(example, block).parts["transcription"] == 0


def test_legacy_scores_take_what_they_took_but_no_wrong_option():
    for example in examples_of("hard", 500)[::3]:
        block = example.truth["block"]
        scores = {
            "whatever\n" + example.answer: (True, True),
            _relation(block, 0): (False, True),
            _moved(block): (False, False),
            block + " or so": (False, True),
            "Answer: 1": (False, False),
            "": (False, False),
        }
        for said, expected in scores.items():
            assert (legacy_right(example, said), legacy_option_right(example, said)) == expected


def test_a_puzzle_written_as_tsv_and_read_again_is_graded_alike(tmp_path):
    for number, view in ((0, "text"), (1, "image")):
        examples = examples_of("hard", 500)[number:60:3]
        tsv.write_tsv(examples, lambda name: name.encode(), tmp_path / f"{view}.tsv")
        imported, _ = tsv.read_tsv(tmp_path / f"{view}.tsv")
        for example, again in zip(examples, imported, strict=True):
            assert (again.facets["task"], again.facets["view"]) == ("analogies", view)
            for said in (example.answer, *(broken(example.truth["block"]) for broken, _ in BROKEN.values())):
                assert WORLD.grade(again, said) == WORLD.grade(example, said)
            assert not WORLD.grade(again, WORLD.alternatives(again, None)["wrong"]).right


def test_an_imported_answer_of_another_form_is_named():
    example = replace(examples_of("hard", 500)[0], id="row-000007", truth={"block": "Answer: 1"})
    with pytest.raises(UserError, match="row-000007: its answer is not the block"):
        WORLD.grade(example, "Answer: 1")


def test_near_misses_are_wrong_and_of_one_piece():
    for style in ("full", "terse"):
        data = made(style=style)
        for example in data.examples:
            found = WORLD.alternatives(example, data)
            assert (
                list(found) == ["right", "wrong", "format_only", "random"]
                and found["right"] == example.answer
            )
            wrong = WORLD.grade(example, found["wrong"])
            assert not wrong.right and wrong.parts["format"] == 1 and wrong.parts["option"] == 0
            assert len(found["wrong"].splitlines()) == len(example.answer.splitlines())
            said = found["wrong"].split("both " if style == "terse" else "Both examples: ")[1].split("\n")[0]
            assert f" {said}" in words.blocks(found["wrong"])[2].split("\n")[0]
            assert not WORLD.grade(example, found["format_only"]).right
            assert not WORLD.grade(example, found["random"]).right
