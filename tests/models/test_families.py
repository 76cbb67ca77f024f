"""What every family promises: only answers carry loss, and the fast ways give what the plain way gives."""

import numpy as np
import pytest
import torch
from models.loaded import CPU, PLAIN

from mmrc_helpers.models import chat, load, score
from mmrc_helpers.models.answer import Answerer, averaged
from mmrc_helpers.models.encode import IGNORED, Encoder
from mmrc_helpers.tasks.example import Example, candidates, pictures_of, question

CLOSE = 5e-6


def says(*parts, answer=None):
    """A conversation of one question; names of pictures end in .png."""
    shown = tuple(("image" if part.endswith(".png") else "text", part) for part in parts)
    asked = (("user", shown),)
    return asked if answer is None else (*asked, ("assistant", (("text", answer),)))


TEXT = says("Who is the keeper of the lighthouse?", answer="This is Juniper Vale.")
ONE = says("wide.png", "Who is shown here?", answer="This is Otto Marsh.")
LINEUP = says("A.", "small.png", "\nB.", "tall.png", "\nWhich picture shows Otto Marsh?", answer="B")
SIDE_BY_SIDE = says("other.png", "tall.png", "Which picture shows Otto Marsh?", answer="A")
SEVERAL = (*ONE, *says("Right or wrong: this is Juniper Vale.", answer="Wrong"), *TEXT)
CHATS = {"text": TEXT, "one": ONE, "lineup": LINEUP, "side by side": SIDE_BY_SIDE, "several": SEVERAL}


def fitting(toy, *names):
    """The conversations that the family can read."""
    chosen = [CHATS[name] for name in names or CHATS]
    return [turns for turns in chosen if toy.pixels.image >= 0 or not pictures_of(turns)]


def plain_inputs(toy, turns, opened=False) -> dict:
    """What the processor itself makes of a conversation."""
    (text,) = chat.render(toy.pixels.tokenizer, [turns], toy.pixels.form, opened)
    shown = [toy.shards.read(name) for name in pictures_of(turns)]
    if toy.pixels.image < 0:
        return dict(toy.processor([text], add_special_tokens=False, return_tensors="pt"))
    more = {"images": [shown]} if shown else {}
    made = dict(toy.processor(text=[text], add_special_tokens=False, return_tensors="pt", **more))
    if toy.family == "mllama" and shown:  # it adds a BOS where one stands already
        assert made["input_ids"][0, 0] == toy.pixels.tokenizer.bos_token_id
    return made


@torch.no_grad()
def logits_of(toy, inputs) -> torch.Tensor:
    return toy.model(**{key: value for key, value in inputs.items() if key != "labels"}).logits


@pytest.mark.parametrize("name", CHATS)
def test_only_answers_and_the_end_of_their_turn_carry_loss(toy, name):
    for turns in fitting(toy, name):
        (row,) = toy.pixels.tokens([turns])
        end = toy.pixels.tokenizer.convert_ids_to_tokens(toy.pixels.end)
        answers = [parts[0][1] for role, parts in turns if role == "assistant"]
        found = toy.pixels.tokenizer.decode(row.ids_T[row.supervised_T]).split(end)
        assert [text.strip() for text in found] == [*answers, ""]
        assert not (row.ids_T[row.supervised_T] == toy.pixels.image).any()


@pytest.mark.parametrize("name", CHATS)
def test_tokens_are_those_of_the_processor(toy, name):
    for turns in fitting(toy, name):
        (row,), (opened,) = toy.pixels.tokens([turns]), toy.pixels.tokens([turns[:-1]], complete=False)
        assert row.ids_T.tolist() == plain_inputs(toy, turns)["input_ids"][0].tolist()
        assert opened.ids_T.tolist() == plain_inputs(toy, turns[:-1], opened=True)["input_ids"][0].tolist()
        assert row.ids_T[: len(opened.ids_T)].tolist() == opened.ids_T.tolist()


def test_an_answer_is_scored_in_the_tokens_it_is_trained_in(toy):
    for answer in ("B", "Right", "This is Juniper Vale.", "naïve 名前", "A. B.\nC."):
        (row,) = toy.pixels.tokens([says("Who is shown here?", answer=answer)])
        assert row.ids_T[row.supervised_T].tolist() == [*toy.pixels.answer_ids(answer), toy.pixels.end]
        assert toy.pixels.tokenizer.decode(toy.pixels.answer_ids(answer)).strip() == answer


@pytest.mark.parametrize("name", [name for name in CHATS if name != "lineup"])
def test_pixels_and_features_give_the_logits_of_the_processor(toy, name):
    for turns in fitting(toy, name):
        expected = logits_of(toy, plain_inputs(toy, turns))
        for encoder in (toy.pixels, toy.frozen):
            found = logits_of(toy, encoder.batch(encoder.tokens([turns])))
            assert (found - expected).abs().max() < CLOSE


def test_features_give_the_logits_of_pixels_between_words(seeing):
    rows = seeing.pixels.tokens([LINEUP])
    found = [logits_of(seeing, encoder.batch(rows)) for encoder in (seeing.pixels, seeing.frozen)]
    assert (found[0] - found[1]).abs().max() < CLOSE


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("source", ["pixels", "frozen"])
def test_a_row_in_a_batch_is_what_it_is_alone(toy, source, left):
    encoder = getattr(toy, source)
    rows = encoder.tokens(fitting(toy))
    batch = encoder.batch(rows, left=left)
    together = logits_of(toy, batch)
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()
    for b, row in enumerate(rows):
        alone = logits_of(toy, encoder.batch([row]))[0]
        own = together[b][-len(alone) :] if left else together[b][: len(alone)]
        assert (own - alone).abs().max() < CLOSE


@pytest.mark.parametrize("left", [False, True])
def test_positions_are_the_models_own(named_toy, left):
    for family in ("qwen2_5_vl", "qwen3_vl"):
        toy = named_toy(family)
        batch = toy.pixels.batch(toy.pixels.tokens(fitting(toy)), left=left)
        own, _ = toy.model.model.get_rope_index(
            batch["input_ids"],
            mm_token_type_ids=batch["mm_token_type_ids"],
            image_grid_thw=batch["image_grid_thw"],
            attention_mask=batch["attention_mask"],
        )
        real = batch["attention_mask"].bool()
        assert torch.equal(own[:, real], batch["position_ids"][:, real])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_scores_are_those_of_one_plain_row_for_each_answer(toy, attention):
    toy.model.set_attn_implementation(attention)
    texts = ("This is Juniper Vale.", "This is Otto Marsh.", "B", "This")
    requests = [(turns[:-1], text) for turns in fitting(toy) for text in texts]
    found, _ = Answerer(toy.model, toy.frozen, CPU, 3, 4, 4).continuations(requests)
    for (turns, text), value in zip(requests, found, strict=True):
        (row,) = toy.pixels.tokens([(*turns, ("assistant", (("text", text),)))])
        places = np.flatnonzero(row.supervised_T)[-len(toy.pixels.answer_ids(text)) - 1 : -1]
        logp = logits_of(toy, toy.pixels.batch([row]))[0].log_softmax(-1)
        alone = sum(logp[place - 1, row.ids_T[place]].item() for place in places)
        assert value == pytest.approx(alone, abs=2e-5)
    toy.model.set_attn_implementation("eager")


def example(turns, **more) -> Example:
    return Example("id", "group", "test", prompt=turns[-1][1], **more)


def test_what_is_written_from_features_is_what_pixels_give_alone(toy):
    asked = [example(turns[:1]) for turns in fitting(toy, "text", "one", "side by side")]
    found = Answerer(toy.model, toy.frozen, CPU, 8, 4, 6).written(asked)
    for one, text in zip(asked, found, strict=True):
        inputs = plain_inputs(toy, question(one), opened=True)
        made = toy.model.generate(**inputs, max_new_tokens=6, do_sample=False, eos_token_id=toy.pixels.end,
                                  pad_token_id=toy.pixels.tokenizer.pad_token_id)  # fmt: skip
        alone = made[0, inputs["input_ids"].shape[1] :]
        assert text == toy.pixels.tokenizer.decode(alone, skip_special_tokens=True)


def test_written_answers_do_not_follow_a_folders_own_settings(named_toy):
    toy = named_toy("smolvlm")
    asker, asked = Answerer(toy.model, toy.frozen, CPU, 8, 4, 12), [example(TEXT[:1])]
    plain = asker.written(asked)
    toy.model.generation_config.repetition_penalty = 9.0
    assert asker.written(asked) == plain
    toy.model.generation_config.repetition_penalty = None


def test_options_are_averaged_over_their_orders(toy):
    lettered = example((("user", (("text", "Who?\n"), ("options", "words"))),),
                       options=("Otto Marsh", "Juniper Vale", "one"), gold=1)  # fmt: skip
    judged = example(TEXT[:1], options=("Right", "Wrong"), gold=0)
    written = example(TEXT[:1])
    asker = Answerer(toy.model, toy.frozen, CPU, 8, 2, 4)
    logprobs, picks, rights, _ = asker.scored([lettered, judged, written])
    by_hand = []
    for shift in range(2):
        values, _ = asker.continuations([(question(lettered, shift), letter) for letter in "ABC"])
        by_hand.append(np.roll(np.exp(values) / np.exp(values).sum(), shift))
        favoured = int(np.argmax(values))
        assert picks[0][shift] == "ABC"[favoured] and rights[0][shift] == ((favoured + shift) % 3 == 1)
    assert np.exp(logprobs[0]) == pytest.approx(np.array(by_hand), abs=1e-5)
    assert np.exp(averaged(logprobs[0])) == pytest.approx(np.mean(by_hand, 0), abs=1e-5)
    assert logprobs[1].shape == (1, 2) and rights[1] == [picks[1] == ["Right"]]
    assert (len(averaged(logprobs[2])), picks[2], rights[2]) == (0, [], [])


def test_an_answer_that_is_one_of_the_options_is_known_before_it_is_written(toy):
    plain = example(TEXT[:1])
    long = Answerer(toy.model, toy.frozen, CPU, 8, 4, 3).written([plain])[0]
    for text in (long, "Otto Marsh"):
        asked = example(TEXT[:1], options=(text, "Right"), gold=0, answer=text)
        for longest in (1, 2, 40):
            asker = Answerer(toy.model, toy.frozen, CPU, 8, 4, longest)
            *_, (said,) = asker.scored([asked])
            assert said in (None, asker.written([plain])[0])


def test_a_saved_model_says_the_same_again(toy, tmp_path):
    toy.model.save_pretrained(tmp_path)
    toy.processor.save_pretrained(tmp_path)
    again = load.load_model(tmp_path, PLAIN).eval()
    load.choose_attention(again, CPU)
    encoder = Encoder(load.load_processor(tmp_path, PLAIN), toy.pixels.pictures)
    rows = toy.pixels.tokens(fitting(toy))
    batch = encoder.batch(encoder.tokens(fitting(toy)))
    assert torch.equal(batch["input_ids"], toy.pixels.batch(rows)["input_ids"])
    batch.pop("labels")
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, logits_of(toy, toy.pixels.batch(rows)))


def test_training_reaches_every_adapter_weight_and_nothing_else(toy):
    model = load.add_lora(
        load.load_model(toy.folder, PLAIN),
        {"lora_r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "freeze_vision": True, "lora_parts": ["language"],
         "lora_targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]},
    )  # fmt: skip
    for name, weight in model.named_parameters():  # B starts at zero, and A would get no gradient
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    model(**toy.frozen.batch(toy.frozen.tokens(fitting(toy)))).loss.backward()
    learning = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert learning == {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert learning and all("lora_" in name for name in learning)
    assert all((w.grad != 0).any() for name, w in model.named_parameters() if name in learning)
    vision = {id(weight) for weight in load.vision_part(model).parameters()}
    assert not any(id(w) in vision for w in model.parameters() if w.requires_grad)


def test_conversations_that_begin_alike_are_read_once_and_answered_as_alone(toy):
    """The orders of a choice, then another question about the same pictures: one row in place of five."""
    seen = (("image", "small.png"), ("text", "and"), ("image", "wide.png")) if toy.pixels.image >= 0 else ()
    asked = (
        "This was seen by the keeper of the lighthouse, in a grey coat and round glasses, with a red beard."
    )
    options = ("Otto Marsh", "Juniper Vale", "This", "one of the words")
    choice = example((("user", (*seen, ("text", f"{asked} Who?\n"), ("options", "words"))),), options=options)
    judged = example((("user", (*seen, ("text", f"{asked} Right?"))),), options=("Right", "Wrong"))
    requests = [request for shift in range(4) for request in candidates(choice, shift)] + candidates(judged)
    asker = Answerer(toy.model, toy.frozen, CPU, 16, 4, 4)
    rows = []
    count = toy.model.register_forward_pre_hook(
        lambda _, args, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    together = asker.continuations(requests)
    count.remove()
    assert rows == [1]
    alone = [asker.continuations([request]) for request in requests]
    assert together[0] == pytest.approx([values[0] for values, _ in alone], abs=2e-5)
    assert together[1] == [said[0] for _, said in alone]


def test_requests_come_back_each_to_its_own_place(toy):
    requests = [(turns[:-1], text) for text in ("B", "Right") for turns in fitting(toy)]
    places = [n for numbers, *_ in score.answer_batches(
        toy.model, toy.model.dtype, toy.frozen, requests, 2, CPU) for n in numbers]  # fmt: skip
    assert sorted(places) == list(range(len(requests)))
