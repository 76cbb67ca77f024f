"""Tensors made of chats and pictures, and the model side: masks, positions, cached features, adapters."""

import numpy as np
import pytest
import torch

from mmrc_helpers.errors import UserError
from mmrc_helpers.models import load, scratch
from mmrc_helpers.models.encode import IGNORED, Encoder, Pictures
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study.runs import load_study
from mmrc_helpers.training.optimizers import make_optimizer, rate_at
from mmrc_helpers.worlds.people import cast as world
from mmrc_helpers.worlds.people.portraits.portrait import render
from mmrc_helpers.worlds.people.questions import examples as questions

PARAMS = load_study("smoke").runs[-1].params
DATA = {**PARAMS["data"], "background": 8, "novel": 16, "train_views": 2, "test_views": 2}
SIZES = {**plain(PARAMS["model"]["scratch"]), "hidden_size": 48, "layers": 2, "intermediate_size": 64}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random model, an encoder over pixels, and examples of every kind."""
    folder = tmp_path_factory.mktemp("images")
    cast = world.cast(DATA, 0)
    examples = [e for e in questions(cast, DATA, 0) if e.split == "test"]
    import random

    for person in cast:
        for name in world.image_names(person, "test", DATA):
            render(person.attributes, random.Random(name), 64).save(folder / name)
    processor = scratch.scratch_processor(SIZES, world.sentences(cast, DATA))
    model = scratch.scratch_model(SIZES, processor, 64, 0)
    names = sorted({name for example in examples for name in example.images})
    descriptions = {person.group: person.description for person in cast}

    def encoder():
        return Encoder(processor, Pictures(folder, names, processor), descriptions)

    picked = {(e.topic, e.cell, e.order): e for e in examples}
    return model.eval(), encoder, list(picked.values())


def rows_of(encoder, examples, **options):
    return encoder.tokens([encoder.chat([example], **options) for example in examples])


def test_only_answers_and_the_end_of_their_turn_carry_loss(tiny):
    _, encoder, examples = tiny
    decode = encoder().processor.tokenizer.decode
    from mmrc_helpers.tasks.records import answer_text

    for example, row in zip(examples, rows_of(encoder(), examples), strict=True):
        assert decode(row.ids_T[row.supervised_T]) == answer_text(example) + "<|im_end|>"


def test_a_batch_pads_without_loss_and_without_attention(tiny):
    _, encoder, examples = tiny
    made = encoder()
    batch = made.batch(rows_of(made, examples))
    padding = batch["attention_mask"] == 0
    assert padding.any() and (batch["labels"][padding] == IGNORED).all()


def test_positions_equal_the_models_own(tiny):
    model, encoder, examples = tiny
    made = encoder()
    for left in (False, True):
        batch = made.batch(rows_of(made, examples), left=left)
        expected, _ = model.model.get_rope_index(
            batch["input_ids"],
            batch["mm_token_type_ids"],
            image_grid_thw=batch["image_grid_thw"],
            attention_mask=batch["attention_mask"],
        )
        real = batch["attention_mask"].bool()
        assert torch.equal(expected[:, real], batch["position_ids"][:, real])


def test_cached_features_give_the_logits_of_pixels(tiny):
    model, encoder, examples = tiny
    pixels, cached = encoder(), encoder()
    cached.pictures.freeze(model, CPU)
    rows = rows_of(pixels, examples)
    with torch.no_grad():
        expected, got = (model(**made.batch(rows)).logits for made in (pixels, cached))
    assert torch.allclose(expected, got, atol=1e-5)


def test_the_order_of_a_batch_does_not_move_pictures_between_rows(tiny):
    model, encoder, examples = tiny
    made = encoder()
    rows = rows_of(made, examples)
    with torch.no_grad():
        ahead = model(**made.batch(rows)).logits
        back = model(**made.batch(rows[::-1])).logits.flip(0)
    assert torch.allclose(ahead, back, atol=1e-4)


def test_the_text_twin_shows_descriptions_and_no_picture(tiny):
    _, encoder, examples = tiny
    made = encoder()
    example = next(e for e in examples if e.cell == "reverse/choice")
    (row,) = rows_of(made, [example], twin=True)
    text = made.processor.tokenizer.decode(row.ids_T)
    assert not row.pictures and all(made.descriptions[group] in text for group in example.choice_groups)


def test_any_text_survives_the_tokenizer(tiny):
    _, encoder, _ = tiny
    tokenizer = encoder().processor.tokenizer
    for text in ("A. Zephyr Blackwood\n", "naïve 名前 <script>", "  two  spaces"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_an_unknown_adapter_target_names_those_there_are(tiny):
    model, _, _ = tiny
    train = {**plain(PARAMS["phases"][0]), "lora_targets": ["q_prjo"]}
    with pytest.raises(UserError, match=r"no linear layer called \['q_prjo'\]; there are .*q_proj"):
        load.add_lora(model, train)


def test_rates_warm_up_hold_and_decay():
    train = {"steps": 100, "warmup_steps": 10, "hold": 0.5, "schedule": "linear", "final_rate": 0.1}
    rates = np.array([rate_at(step, train) for step in range(101)])
    assert rates[0] == 0.1 and (rates[9:51] == 1).all() and rates[-1] == 0.1
    assert (np.diff(rates[51:96]) < 0).all()


def test_muon_steps_hidden_matrices_and_adamw_the_rest_and_both_resume():
    train = {**plain(PARAMS["phases"][0]), "optimizer": "muon"}

    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            sum((weight**2).sum() for weight in model.parameters()).backward()
            optimizer.step()

    def new():
        torch.manual_seed(0)
        model = torch.nn.ModuleDict({"embed": torch.nn.Embedding(4, 4), "linear": torch.nn.Linear(4, 4)})
        return model, make_optimizer(model, train)

    (whole, optimizer), (first, begun) = new(), new()
    steps(whole, optimizer, 4)
    steps(first, begun, 2)
    _, resumed = new()
    resumed = make_optimizer(first, train)
    resumed.load_state_dict(begun.state_dict())
    steps(first, resumed, 2)
    for one, other in zip(whole.parameters(), first.parameters(), strict=True):
        assert torch.equal(one, other)
