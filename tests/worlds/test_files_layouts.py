"""What the columns of a user's own rows mean, and what such rows are taught and asked."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest
from own_rows import ASK, COLORS, TEACH, adpo, facts, loaded, numbered, picture, pixel, words, write

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import candidates, example_line, question, read_examples
from mmrc_helpers.worlds import INVALID, Data
from mmrc_helpers.worlds.files import WORLD

# --- layouts -----------------------------------------------------------------------------------------------


def test_prompt_and_completion(tmp_path):
    path = write(tmp_path, [{"prompt": f"Say {n} ", "completion": f" {n}"} for n in range(3)])
    examples, _ = loaded(path)
    assert [(e.prompt, e.answer) for e in examples] == [((("text", f"Say {n}"),), str(n)) for n in range(3)]


def test_conversational_prompt_and_completion(tmp_path):
    row = {
        "prompt": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
        "completion": [{"role": "assistant", "content": "Good day."}],
    }
    (example,), _ = loaded(write(tmp_path, [row]))
    assert question(example) == (("system", (("text", "Be kind."),)), ("user", (("text", "Hello"),)))
    assert example.answer == "Good day."


@pytest.mark.parametrize("names", [("messages", "role", "content"), ("conversations", "from", "value")])
def test_messages_of_several_turns(tmp_path, names):
    column, role, content = names
    who = ("user", "assistant") if role == "role" else ("human", "gpt")
    said = ["One?", "1", "Two?", "2"]
    row = {column: [{role: who[k % 2], content: text} for k, text in enumerate(said)]}
    (example,), _ = loaded(write(tmp_path, [row]))
    assert [role for role, _ in example.before] == ["user", "assistant"]
    assert (example.prompt, example.answer) == ((("text", "Two?"),), "2")
    (chat,) = islice(WORLD.teach(Data([example]), TEACH, 0), 1)
    assert [words([turn]) for turn in chat.turns] == said


def test_pictures_stand_where_their_placeholders_stand(tmp_path):
    names = [picture(tmp_path, f"{color}.png", color) for color in COLORS[:3]]
    rows = [
        {"prompt": "Is <image> or <image> like <image>?", "completion": "No", "images": names},
        {"prompt": "What are they?", "completion": "Colors", "images": names[:2]},
        {"prompt": "What is it?", "completion": "Red", "images": names[:1]},
    ]
    examples, made = loaded(write(tmp_path, rows))
    kinds = ["".join("i" if kind == "image" else "t" for kind, _ in e.prompt) for e in examples]
    assert kinds == ["tititit", "iit", "it"]
    assert len(made.pictures) == 3 and examples[0].pictures == tuple(made.pictures)
    assert examples[1].pictures == examples[0].pictures[:2]


def test_parts_with_and_without_their_own_pictures(tmp_path):
    names = [picture(tmp_path, f"{color}.png", color) for color in COLORS[:2]]
    parts = [{"type": "image"}, {"type": "text", "text": "or"}, {"type": "image", "image": names[1]}]
    row = {
        "messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "Red"}],
        "images": [names[0]],
    }
    (example,), made = loaded(write(tmp_path, [row]))
    assert [made.draw(made.pictures[n])[:4] for n in example.pictures] == [b"\x89PNG"] * 2
    colors = [pixel(made, name) for name in example.pictures]
    assert colors == [(255, 0, 0), (0, 128, 0)]


def test_preferences_with_their_prompt(tmp_path):
    name = picture(tmp_path, "a.png")
    row = {"prompt": "Color?", "chosen": "Red", "rejected": "Blue", "images": [name]}
    (example,), _ = loaded(write(tmp_path, [row]))
    assert (example.answer, example.truth["rejected"], len(example.pictures)) == ("Red", "Blue", 1)


def test_preferences_with_the_prompt_inside_both_sides(tmp_path):
    ask = {"role": "user", "content": "Color?"}
    row = {side: [ask, {"role": "assistant", "content": said}] for side, said in
           (("chosen", "Red"), ("rejected", "Blue"))}  # fmt: skip
    (example,), _ = loaded(write(tmp_path, [row]))
    assert (words(question(example)), example.answer, example.truth["rejected"]) == ("Color?", "Red", "Blue")


def test_contexts_with_their_own_pictures(tmp_path):
    examples, _ = loaded(write(tmp_path, adpo(tmp_path)))
    for example in examples:
        assert [kind for kind, _ in example.prompt] == ["image", "text"]
        kinds = [kind for kind, _ in example.truth["other"][0][1]]
        assert kinds == ["image", "image", "text"]


def test_contexts_that_share_their_pictures_differ_in_words(tmp_path):
    name = picture(tmp_path, "a.png")
    row = {"response": "Yes", "chosen": "Is it red?", "rejected": "Is it blue?", "images": [name]}
    (example,), made = loaded(write(tmp_path, [row]))
    assert len(made.pictures) == 1 and words(example.truth["other"]) == "Is it blue?"
    assert example.truth["other"][0][1][0] == example.prompt[0] == ("image", example.pictures[0])


def test_contexts_with_one_prompt_column(tmp_path):
    rows = [{"prompt": r.pop("chosen"), **r} for r in adpo(tmp_path)]
    for row in rows:
        row.pop("rejected")
    examples, _ = loaded(write(tmp_path, rows))
    assert all(words(e.truth["other"]) == words(question(e)) == "What is it?" for e in examples)


def test_contexts_as_messages(tmp_path):
    row = {
        "response": [{"role": "assistant", "content": "Paris"}],
        "chosen": [{"role": "user", "content": "Capital of France?"}],
        "rejected": [{"role": "user", "content": "Capital of Spain?"}],
    }
    (example,), _ = loaded(write(tmp_path, [row]))
    assert (example.answer, words(example.truth["other"])) == ("Paris", "Capital of Spain?")


@pytest.mark.parametrize(
    ("solution", "final"),
    [
        ("72", "72"),
        (72, "72"),
        ("48 + 24 = 72\n#### 72", "72"),
        (r"so \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("It follows.\nAnswer: left", "left"),
    ],
)
def test_tasks_come_to_a_final_answer(tmp_path, solution, final):
    (example,), _ = loaded(write(tmp_path, [{"prompt": "How many?", "solution": solution}]))
    assert example.truth["final"] == final


def test_the_layout_is_told_where_columns_fit_two(tmp_path):
    row = {"prompt": "Color?", "chosen": "Red", "rejected": "Blue", "response": "Red", "answer": "Red"}
    path = write(tmp_path, [row])
    with pytest.raises(UserError, match="fit the layouts dpo, adpo, grpo; say which"):
        loaded(path)
    assert loaded(path, layout="grpo")[0][0].truth["final"] == "Red"
    assert loaded(path, layout="dpo")[0][0].truth["rejected"] == "Blue"


# --- rows and questions ------------------------------------------------------------------------------------


def test_pairs_of_answers_and_pairs_of_contexts(tmp_path):
    answers, _ = loaded(
        write(tmp_path, [{"prompt": f"{n}?", "chosen": "y", "rejected": "n"} for n in range(3)])
    )
    for pair in islice(WORLD.pairs(Data(answers), TEACH, 0, "answer"), 6):
        assert pair.chosen.turns[:-1] == pair.rejected.turns[:-1]
        assert (words(pair.chosen.turns[-1:]), words(pair.rejected.turns[-1:])) == ("y", "n")
    contexts, _ = loaded(write(tmp_path, adpo(tmp_path), "contexts.jsonl"))
    for pair in islice(WORLD.pairs(Data(contexts), TEACH, 0, "context"), 6):
        assert pair.chosen.turns[-1] == pair.rejected.turns[-1]
        assert pair.chosen.turns[:-1] == question(pair.chosen.examples[0])
        assert pair.rejected.turns[:-1] == pair.chosen.examples[0].truth["other"]


@pytest.mark.parametrize(
    ("contrast", "lack"), [("context", "a wrong context"), ("answer", "a rejected answer")]
)
def test_a_contrast_without_its_side_is_one_sentence(tmp_path, contrast, lack):
    examples, _ = loaded(numbered(tmp_path, 2))
    with pytest.raises(UserError, match=lack):
        next(WORLD.pairs(Data(examples), TEACH, 0, contrast))


def test_both_sides_are_taught_on_request(tmp_path):
    rows = [{"prompt": f"{n}?", "chosen": f"y{n}", "rejected": f"n{n}"} for n in range(3)]
    examples, _ = loaded(write(tmp_path, rows))
    teach = {**TEACH, "sides": ["chosen", "rejected"]}
    said = [words(chat.turns[-1:]) for chat in islice(WORLD.teach(Data(examples), teach, 0), 6)]
    assert sorted(said) == ["n0", "n1", "n2", "y0", "y1", "y2"]


def test_contexts_are_told_apart_and_responses_selected(tmp_path):
    made = WORLD.make(facts(write(tmp_path, adpo(tmp_path, 6)), eval_share=0.5), 0)
    asked = WORLD.ask(Data(made.examples), ASK, TEACH)
    cells = Counter((e.facets["measure"], e.facets["drop"]) for e in asked)
    assert cells == {("written", "none"): 3} | {
        (m, p): 3 for m in ("response_selection", "prompt_discrimination") for p in ("none", "image")
    }
    assert len({e.id for e in asked}) == len(asked)
    said = {e.group: e.answer for e in made.examples}
    for example in asked:
        right = candidates(example)[example.gold] if example.options else (question(example), example.answer)
        assert right == (question(example), said[example.group])
        if example.facets["measure"] == "response_selection":
            assert len(set(example.options)) == 2 and not example.contexts
        if example.facets["measure"] == "prompt_discrimination":
            assert example.options == (said[example.group],) * 2
        assert bool(example.pictures) == (example.facets["drop"] == "none")
        assert bool(example.answer) == (example.facets["measure"] == "written")


def test_without_pictures_equal_contexts_tie_and_ties_are_half_the_time_right(tmp_path):
    made = WORLD.make(facts(write(tmp_path, adpo(tmp_path, 6)), eval_share=0.0), 0)
    tests = [replace(e, split="test", id=f"{e.id}/{n}") for e in made.examples for n in range(40)]
    asked = WORLD.ask(Data(tests), {**ASK, "measures": ["prompt_discrimination"]}, TEACH)
    blind = [e for e in asked if e.facets["drop"] == "image"]
    assert len(blind) == 240 and all(e.contexts[0] == e.contexts[1] for e in blind)
    assert 90 <= sum(e.gold == 0 for e in blind) <= 150


def test_examples_survive_their_file(tmp_path):
    made = WORLD.make(facts(write(tmp_path, adpo(tmp_path)), eval_share=0.5), 0)
    asked = WORLD.ask(Data(made.examples), ASK, TEACH)
    path = tmp_path / "examples.jsonl"
    path.write_text("".join(map(example_line, [*made.examples, *asked])), encoding="utf-8")
    again = read_examples(path)
    assert [e.contexts for e in again] == [e.contexts for e in (*made.examples, *asked)]
    first, second = (
        next(WORLD.pairs(Data(examples), TEACH, 0, "context"))
        for examples in (made.examples, again[: len(made.examples)])
    )
    assert first.rejected.turns == second.rejected.turns


def test_grades_are_exact_after_normalisation(tmp_path):
    (example,), _ = loaded(write(tmp_path, [{"prompt": "?", "completion": "A red  Café."}]))
    table = [
        ("A red Café", True),
        (" A red\nCafe\u0301. ", True),
        ("a red café", False),
        ("A red Café!", False),
        ("", False),
    ]
    assert [WORLD.grade(example, text).right for text, _ in table] == [right for _, right in table]
    assert WORLD.grade(example, " ").answer == INVALID


def test_final_answers_are_graded_by_value(tmp_path):
    (example,), _ = loaded(write(tmp_path, [{"prompt": "?", "answer": "1,000"}]))
    table = [
        ("1000", True), ("1000.0", True), ("It is so.\nAnswer: 1000", True), (r"thus \boxed{1000}", True),
        ("about 1000", False), ("1000\n2000", False), ("Answer: 999", False), ("", False),
    ]  # fmt: skip
    assert [WORLD.grade(example, text).right for text, _ in table] == [right for _, right in table]


def test_alternatives_start_with_the_right_answer(tmp_path):
    rows = [{"prompt": f"{n}?", "chosen": f"yes {n} it is", "rejected": f"no {n}"} for n in range(9)]
    examples, _ = loaded(write(tmp_path, rows))
    found = WORLD.alternatives(examples[2], Data(examples))
    assert list(found) == ["right", "rejected", "other", "permuted", "random"]
    assert found["other"] not in (found["right"], found["rejected"])
    assert (
        sorted(found["permuted"].split()) == sorted(found["right"].split())
        and found["permuted"] != found["right"]
    )
    compared = replace(examples[2], answer="", options=(examples[2].answer, "no"), gold=0)
    assert WORLD.alternatives(compared, Data(examples)) == found


def test_the_demo_set_is_drawn_here():
    made = WORLD.make(facts(), 0)
    data = Data(list(made.examples), made.facts)
    assert all(found == wanted for _, found, wanted in WORLD.promises(data))
    for pair in islice(WORLD.pairs(data, TEACH, 0, "context"), 10):
        sides = [made.draw(made.pictures[next(c for k, c in chat.turns[0][1] if k == "image")])
                 for chat in (pair.chosen, pair.rejected)]  # fmt: skip
        assert all(side.size == (64, 64) and side.mode == "RGB" for side in sides)
        assert sides[0].tobytes() != sides[1].tobytes()
    assert WORLD.files(facts()) == [] and not list(WORLD.check(facts()))


def test_what_is_read_is_said_first(tmp_path):
    made = WORLD.make(facts(write(tmp_path, adpo(tmp_path, 4)), eval_share=0.25), 0)
    assert made.facts[0]["title"] == "Read as adpo; 3 rows to train on, 1 to test"
    assert {fact["group"] for fact in made.facts[1:]} == {e.group for e in made.examples}
    assert all({"group", "title", "text", "pictures"} <= set(fact) for fact in made.facts)
