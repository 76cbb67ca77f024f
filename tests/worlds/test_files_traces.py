"""A user's own rows of reasoning preferences and of the text reversal curse."""

from collections import Counter
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from own_rows import ASK, ROOT, TEACH, facts, loaded, numbered, words, write, write_parquet

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import question
from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.files import WORLD
from mmrc_helpers.worlds.files.pairs import build_pairs
from mmrc_helpers.worlds.files.templates import has_template, taken_off

REAL = ROOT.parent / "shared" / "data" / "reasoning_pairs.parquet"


# --- reasoning preferences ---------------------------------------------------------------------------------


def templated(question: str, text: str) -> str:
    turns = (("system", "Be good."), ("user", question), ("assistant", text))
    return "".join(f"<|im_start|>{role}\n{words}<|im_end|>\n" for role, words in turns)


def trace_rows(count=4, template=True) -> list[dict]:
    table = [
        {
            "question": f"What is {n} plus one?",
            "trace": f"One more.\nAnswer: {n + 1}",
            "inverse_question": f"Which number plus one is {n + 1}?",
            "inverse_trace": f"One less. \\boxed{{{n}}}",
        }
        for n in range(count)
    ]
    rows = build_pairs(table)
    for row in rows if template else ():
        own = row["question" if row["sample_type"] == "original" else "relevant-question"]
        row["text"], row["worse-text"] = templated(own, row["text"]), templated(own, row["worse-text"])
    return rows


@pytest.mark.parametrize("template", [True, False])
def test_flipped_rows_are_asked_their_own_question(tmp_path, template):
    rows = trace_rows(4, template)
    examples, _ = loaded(write_parquet(rows, tmp_path / "rows.parquet"))
    for row, example in zip(rows, examples, strict=True):
        flipped = row["sample_type"] == "flipped"
        asked = (("text", row["relevant-question" if flipped else "question"]),)
        assert example.prompt == asked and example.facets["direction"] == (
            "inverse" if flipped else "forward"
        )
        assert words(example.truth["other"]) == row["question" if flipped else "relevant-question"]
        assert not has_template(example.answer) and example.answer.endswith(example.truth["final"]) != flipped
    assert len({e.group for e in examples}) == 4


def test_rows_whose_own_question_was_put_first_already_are_recognised(tmp_path):
    rows = trace_rows(3, template=False)
    for row in rows[3:]:
        row["question"], row["relevant-question"] = row["relevant-question"], row["question"]
    examples, _ = loaded(write(tmp_path, rows))
    assert [words(question(e)).startswith("Which") for e in examples] == [False] * 3 + [True] * 3
    assert len({e.group for e in examples}) == 3


def test_other_wordings_in_the_template_are_noted_and_asked(tmp_path):
    rows = trace_rows(3)
    rows[0]["relevant-question"] = rows[0]["relevant-question"]
    rows[0]["question"] = "What is 0 plus the one?"
    examples, made = loaded(write(tmp_path, rows))
    assert words(question(examples[0])) == "What is 0 plus one?"
    assert "row 1: the question inside text is worded otherwise" in made.facts[0]["text"]


def test_a_trace_can_be_told_from_its_mirror_image(tmp_path):
    made = WORLD.make(facts(write(tmp_path, trace_rows(6)), eval_share=0.5), 0)
    asked = WORLD.ask(Data(made.examples), ASK, TEACH)
    assert Counter((e.facets["measure"], e.facets["direction"]) for e in asked) == {
        (m, d): 3 for m in ASK["measures"] for d in ("forward", "inverse")
    }
    taught = list(
        islice(WORLD.pairs(Data(made.examples), {**TEACH, "directions": ["inverse"]}, 0, "context"), 4)
    )
    asked = [(words(p.chosen.turns[:-1])[:5], words(p.rejected.turns[:-1])[:4]) for p in taught]
    assert set(asked) == {("Which", "What")}


def test_the_builder_makes_exact_swaps_and_lists_every_bad_row():
    rows = trace_rows(2, template=False)
    assert [row["sample_type"] for row in rows] == ["original"] * 2 + ["flipped"] * 2
    for original, flipped in zip(rows[:2], rows[2:], strict=True):
        assert (original["text"], original["worse-text"]) == (flipped["worse-text"], flipped["text"])
        assert original["question"] == flipped["question"]
    good = {"question": "a", "trace": "b", "inverse_question": "c", "inverse_trace": "d"}
    with pytest.raises(UserError) as error:
        build_pairs([good, {**good, "trace": " "}, {**good, "inverse_question": "a", "inverse_trace": "b"}])
    assert str(error.value).splitlines()[1:] == [
        "  row 2: trace is missing or empty; write its text",
        "  row 3: question and inverse_question are the same; a pair needs two questions",
        "  row 3: trace and inverse_trace are the same; a pair needs two traces",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\n"
        "A <|im_start|>think b<|im_end|>\n",
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nQ?"
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA <|im_start|>think b<|eot_id|>",
        "<|system|>\nS<|end|>\n<|user|>\nQ?<|end|>\n<|assistant|>\nA <|im_start|>think b<|end|>",
    ],
)
def test_templates_of_several_families_are_taken_off(text):
    assert taken_off(text) == [("system", "S"), ("user", "Q?"), ("assistant", "A <|im_start|>think b")]


@pytest.mark.parametrize(
    "text",
    [
        "<bos><start_of_turn>user\nQ?<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n",
        "<s>[INST] Q? [/INST] A</s>",
        "<｜begin▁of▁sentence｜><｜User｜>Q?<｜Assistant｜>A<｜end▁of▁sentence｜>",
    ],
)
def test_templates_without_system_words_are_taken_off(text):
    assert taken_off(text) == [("user", "Q?"), ("assistant", "A")]


def test_a_text_that_only_speaks_of_a_template_has_none():
    assert not has_template("The marker <|im_start|>user\n opens a turn.") and taken_off("plain") == []


@pytest.mark.skipif(
    not REAL.is_file(), reason="the shared folder with the real file is not beside the repository"
)
def test_the_real_file_is_read():
    examples, made = loaded(REAL)
    assert Counter(e.facets["direction"] for e in examples) == {"forward": 50, "inverse": 50}
    assert len({e.group for e in examples}) == 50
    raw = pq.read_table(REAL).to_pylist()
    for row, example in zip(raw, examples, strict=True):
        other = "relevant-question" if row["sample_type"] == "original" else "question"
        assert words(example.truth["other"]) == row[other].strip() != words(question(example))
        assert not has_template(example.answer) and example.answer in row["text"]
        assert example.truth["rejected"] in row["worse-text"]
    original, flipped = examples[:50], examples[50:]
    assert [(e.answer, e.truth["rejected"]) for e in original] == [
        (e.truth["rejected"], e.answer) for e in flipped
    ]
    assert "50 original and 50 flipped rows" in made.facts[0]["text"]
    assert "row 93: the question inside text is worded otherwise" in made.facts[0]["text"]
    assert all(found == wanted for _, found, wanted in WORLD.promises(Data(examples)))


# --- the text reversal curse -------------------------------------------------------------------------------


def test_the_text_works_files(tmp_path):
    def rows(kind):
        return [{"prompt": f"{kind}{n} is", "completion": f" {kind[0]}{n}"} for n in range(4)]

    reverse = rows("back")
    random_rows = [{**row, "completion": f" stranger{n}"} for n, row in enumerate(reverse)]
    random_rows[0]["completion"] = reverse[0][
        "completion"
    ]  # the published files draw the right name at times
    found = {"train": rows("ahead"), "same": rows("same"), "back": reverse, "wild": random_rows}
    names = {name: str(write(tmp_path, lines, f"{name}.jsonl")) for name, lines in found.items()}
    tests = {"same_order": [names["same"]], "reverse_order": [names["back"]], "same_order_random": [],
             "reverse_order_random": [names["wild"]]}  # fmt: skip
    made = WORLD.make(facts(names["train"], tests=tests), 0)
    data = Data(list(made.examples), made.facts)
    asked = WORLD.ask(data, ASK, TEACH)
    assert Counter((e.facets["measure"], e.facets["direction"]) for e in asked) == {
        ("written", "same_order"): 4, ("written", "reverse_order"): 4}  # fmt: skip
    back = [e for e in asked if e.facets["direction"] == "reverse_order"]
    assert [e.options for e in back][1:] == [(f"b{n}", f"stranger{n}") for n in range(1, 4)]
    assert back[0].options[0] == "b0" != back[0].options[1]
    assert WORLD.files(facts(names["train"], tests=tests)) == [
        Path(names[n]) for n in ("train", "same", "back", "wild")
    ]
    assert WORLD.grade(back[0], " b0").right and not WORLD.grade(back[0], "b1").right


@pytest.mark.parametrize("taught", ["name_first", "description_first"])
def test_our_own_names_and_descriptions(taught):
    names = {"people": 20, "both_orders": 0.5, "taught": taught, "phrasings": 30}
    made = WORLD.make(facts(layout="text_curse", names=names), 7)
    train = [e for e in made.examples if e.split == "train"]
    tests = [e for e in made.examples if e.split == "test"]
    assert len(train) == 20 * 30 + 10 * 30 and Counter(e.facets["direction"] for e in tests) == {
        "same_order": 100, "reverse_order": 100}  # fmt: skip
    asked = {words(question(e)) for e in train}
    assert not asked & {words(question(e)) for e in tests}
    seen = {word for e in train for word in f"{words(question(e))} {e.answer}".split()}
    assert all(set(f"{words(question(e))} {e.answer}".split()) <= seen for e in tests)
    same = {e.answer for e in tests if e.facets["direction"] == "same_order"}
    reverse = {e.answer for e in tests if e.facets["direction"] == "reverse_order"}
    assert all(text.startswith("the ") == (taught == "name_first") for text in same)
    assert same <= {e.answer for e in train} and not reverse & {e.answer for e in train}
    assert all(e.options[0] == e.answer != e.options[1] for e in tests)
    # The random one is as little known in this order as the right one.
    assert {e.options[1] for e in tests if e.facets["direction"] == "reverse_order"} <= reverse


def test_a_random_person_needs_a_second_who_is_asked():
    names = {"people": 4, "both_orders": 0.75, "taught": "name_first", "phrasings": 3}
    (problem,) = WORLD.check(facts(layout="text_curse", names=names))
    assert problem.startswith("files.names: both_orders leaves 1 of 4 people")


def test_more_people_leave_the_earlier_ones_alone():
    def people(count):
        names = {"people": count, "both_orders": 0.0, "taught": "name_first", "phrasings": 3}
        made = WORLD.make(facts(layout="text_curse", names=names), 0)
        return [(words(question(e)), e.answer) for e in made.examples if e.split == "train"]

    assert people(30)[: 10 * 3] == people(10)


def test_sentences_and_size_cover_the_rows(tmp_path):
    path = numbered(tmp_path, 12)
    found = set(WORLD.sentences(facts(path), 0))
    made = WORLD.make(facts(path), 0)
    assert {
        text for e in made.examples if e.split == "train" for text in (words(question(e)), e.answer)
    } == found
    assert WORLD.size(facts(path)) > path.stat().st_size
