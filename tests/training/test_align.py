"""Alignment: which words a picture's tokens are pulled to, what moves, and what it refuses."""

from dataclasses import replace

import pytest
import torch
from models.loaded import toy_of
from training.phases import PICTURES, alone, asked, chats, furthest, learned, phase_of, trained, trainer_of

from mmrc_helpers.errors import UserError
from mmrc_helpers.models import load
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.tasks.rows import Chat
from mmrc_helpers.training import METHODS, align

SEEING = ("qwen3_vl", "idefics3", "llava_next")
EYES = {"lora_r": 0, "freeze_vision": False, "learns": "vision"}


def aligning(toy, folder, rows=(), **settings):
    """A phase that aligns a toy's pictures, seen as pixels."""
    return phase_of(toy, folder, "align", rows, **{**EYES, **settings})


def about(*answers: tuple[str, str]) -> Chat:
    """A conversation whose answers are (what each is about, what is said)."""
    turns = tuple(turn for _, text in answers for turn in asked((), "What?", text).turns)
    examples = [Example(str(k), "g", "train", (), text, truth={"about": of})
                for k, (of, text) in enumerate(answers)]  # fmt: skip
    return Chat(turns, tuple(examples))


@pytest.fixture(params=SEEING)
def seeing(request, toy_root):
    return toy_of(request.param, toy_root)


def test_answers_are_ordered_by_what_they_are_about_and_one_answer_by_its_tokens(qwen):
    tokenizer = qwen.pixels.tokenizer
    ids = lambda text: tuple(tokenizer(f" {text}", add_special_tokens=False)["input_ids"])  # noqa: E731
    hat, hair = ("a hat", "Otto Vale."), ("hair", "grey beard.")
    wanted = [ids("Otto Vale"), ids("grey beard")]
    assert align.units(about(hat, hair), tokenizer) == align.units(about(hair, hat), tokenizer) == wanted
    assert align.units(about(hair), tokenizer) == [(token,) for token in ids("grey beard")]
    without = replace(about(hair, hat), examples=())
    assert align.units(without, tokenizer) == wanted[::-1], "as they were said"


@pytest.mark.parametrize(("tokens", "said"), [(4, 6), (6, 4), (4, 4), (1, 5), (16, 1), (5, 7)])
def test_every_token_holds_something_and_everything_is_held(tokens, said):
    held = align.shares(tokens, said)
    assert held.shape == (tokens, said) and torch.allclose(held.sum(1), torch.ones(tokens))
    assert (held.sum(0) > 0).all()
    first = held.argmax(1)
    assert (first.diff() >= 0).all(), "in order"


def test_the_loss_is_the_distance_from_the_mean_embeddings(qwen, tmp_path):
    phase = aligning(qwen, tmp_path, steps=1)
    trainer = trainer_of(phase)
    batch = trainer.data_collator([{"row": row} for row in range(4)])
    loss = trainer.compute_loss(trainer.model, batch).item()
    words = qwen.model.get_input_embeddings().weight.detach()
    found = []
    for chat, (tokens,) in zip(phase.rows, phase.tokens, strict=True):
        said = align.units(chat, qwen.pixels.tokenizer)
        made = qwen.pixels.pictures.arguments(tokens.pictures[0])
        (seen,) = qwen.model.get_image_features(**made, return_dict=True).pooler_output
        wanted = align.shares(len(seen), len(said)) @ torch.stack([words[list(u)].mean(0) for u in said])
        found.append((seen - wanted).square().mean() / words.var())
    assert loss == pytest.approx(torch.stack(found).mean().item(), rel=1e-5)
    assert "logits" in trainer.model(input_ids=torch.tensor([[1, 2]])), "what probes it still does"


@pytest.mark.parametrize("learns", ["vision", "projector"])
@pytest.mark.parametrize("distance", ["squared", "cosine"])
def test_pictures_come_nearer_and_only_the_eyes_move(seeing, tmp_path, distance, learns):
    settings = {"learns": learns, "own": {"distance": distance}, "steps": 20, "learning_rate": 3e-3}
    phase = aligning(seeing, tmp_path, alone(4) * 20, **settings)
    before = {name: weight.detach().clone() for name, weight in phase.model.named_parameters()}
    trainer, rows = trained(phase)
    assert rows[-1]["loss"] < 0.95 * rows[0]["loss"]
    moved = {load.part_of(name) for name, weight in trainer.model.named_parameters()
             if not torch.equal(weight, before[name])}  # fmt: skip
    assert moved == {"projector", learns}


def test_pictures_weigh_equally_however_the_batch_is_split(qwen, tmp_path):
    found = []
    for micro in (8, 2, 1):
        split = {"batch": 8, "learning_rate": 1e-3, "machine": {"micro_batch": micro}}
        found.append(trained(aligning(qwen, tmp_path / str(micro), **split)))
    for trainer, rows in found[1:]:
        assert furthest(learned(trainer), learned(found[0][0])) < 1e-4  # a step moves a weight by 1e-3
        for one, other in zip(rows, found[0][1], strict=True):
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
            assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


def test_an_interrupted_phase_goes_on_as_if_it_had_not_been(qwen, tmp_path):
    rows = alone(16)
    at_once, _ = trained(aligning(qwen, tmp_path / "whole", rows, steps=4))
    trained(aligning(qwen, tmp_path / "half", rows, steps=4, machine={"save_steps": 2}))
    half = tmp_path / "half" / "checkpoints" / "checkpoint-2"
    again, _ = trained(aligning(qwen, tmp_path / "half", rows, steps=4), str(half))
    assert furthest(learned(again), learned(at_once)) < 1e-6


def test_what_it_cannot_align_is_said(qwen, toy_root, tmp_path):
    with pytest.raises(UserError, match="align: .* rows show no picture, or several, .*caption: 1.0"):
        trainer_of(aligning(qwen, tmp_path, chats(8)))
    silent = [asked(PICTURES[:1], "Who is shown here?", ".")] * 8
    with pytest.raises(UserError, match="align: 8 of 8 rows .* or say nothing"):
        trainer_of(aligning(qwen, tmp_path, silent))
    with pytest.raises(UserError, match="reads pictures beside its words"):
        trainer_of(aligning(toy_of("mllama", toy_root), tmp_path))
    (problem,) = METHODS["align"].check({"method": {}}, {})
    assert "train.learns: vision" in problem
