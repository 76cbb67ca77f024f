"""Turns before a question, and one answer behind several contexts."""

from dataclasses import asdict, replace

from mmrc_helpers.tasks.example import (
    Example,
    candidates,
    conversation,
    example_line,
    question,
    read_examples,
)

SYSTEM = ("system", (("text", "Be brief."),))
RIGHT = (SYSTEM, ("user", (("image", "cat"), ("text", "What is it?"))))
WRONG = (SYSTEM, ("user", (("image", "dog"), ("image", "owl"), ("text", "What is it?"))))
EXAMPLE = Example(
    "a",
    "fact",
    "test",
    RIGHT[1][1],
    options=("A cat.", "A cat."),
    gold=1,
    before=(SYSTEM,),
    contexts=(WRONG, RIGHT),
)


def test_turns_before_a_question_come_first_in_every_conversation():
    assert question(EXAMPLE) == RIGHT
    said = replace(EXAMPLE, answer="A cat.")
    assert conversation([said]) == (*RIGHT, ("assistant", (("text", "A cat."),)))


def test_of_contexts_the_same_answer_is_compared_behind_each():
    assert candidates(EXAMPLE) == [(WRONG, "A cat."), (RIGHT, "A cat.")]


def test_of_options_each_is_compared_behind_one_question():
    free = Example("b", "fact", "test", (("text", "Who?"),), "Ada", options=("Ada", "Ben"), gold=0)
    assert candidates(free) == [(question(free), "Ada"), (question(free), "Ben")]
    lettered = Example(
        "c", "fact", "test", (("text", "Who?\n"), ("options", "words")), options=("Ada", "Ben"), gold=0
    )
    assert candidates(lettered, 1) == [(question(lettered, 1), "A"), (question(lettered, 1), "B")]


def test_the_pictures_of_contexts_belong_to_the_example():
    assert EXAMPLE.pictures == ("cat", "dog", "owl", "cat")


def test_contexts_survive_their_file(tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text(example_line(EXAMPLE), encoding="utf-8")
    (again,) = read_examples(path)
    assert asdict(again) == asdict(EXAMPLE)
