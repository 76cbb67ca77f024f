"""DPO and ADPO: the loss is what its papers say and what stock TRL computes, in every family, however the
work is split; the reference is asked once and never lost."""

import math
from functools import cache

import pytest
import torch
from datasets import Dataset, Image, List
from models import toys
from models.loaded import toy_of
from torch.nn.functional import logsigmoid
from training.phases import (
    answers,
    contexts,
    defaults,
    furthest,
    learned,
    nudge,
    phase_of,
    saved,
    started,
    swapped,
    trained,
    trainer_of,
)
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files
from mmrc_helpers.training import METHODS, checks
from mmrc_helpers.training.branches import can_branch, scored
from mmrc_helpers.training.phase import check_lengths
from mmrc_helpers.training.preference import REFERENCE

LOSSES = tuple(defaults("methods/dpo")["losses"])


def sums(model, toy, pairs) -> torch.Tensor:
    """log p of each side's answer, (pairs, 2), from pixels, one plain row at a time."""
    found = []
    for chat in (chat for pair in pairs for chat in (pair.chosen, pair.rejected)):
        (row,) = toy.pixels.tokens([chat.turns])
        inputs = toy.pixels.batch([row])
        labels = inputs.pop("labels")[0, 1:]
        logp_TV = model(**inputs).logits[0, :-1].float().log_softmax(-1)
        own = labels >= 0
        found.append(logp_TV[own].gather(1, labels[own][:, None]).sum())
    return torch.stack(found).view(-1, 2)


def loss_of(trainer, first: int = 0, count: int = 4) -> torch.Tensor:
    """The trainer's loss of some of its rows, ready for a gradient."""
    batch = trainer.collated([{"row": row} for row in range(first, first + count)])
    trainer.current_gradient_accumulation_steps = 1
    return trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch))


def closed_form(margins: torch.Tensor, beta: float, smoothing: float) -> torch.Tensor:
    """Of the margin h of a pair: −(1−ε)·log σ(βh) − ε·log σ(−βh), the mean over pairs."""
    kept, flipped = logsigmoid(beta * margins), logsigmoid(-beta * margins)
    return (-(1 - smoothing) * kept - smoothing * flipped).mean()


@pytest.mark.parametrize(("method", "smoothing"), [("adpo", 0.2), ("dpo", 0.0)])
def test_the_loss_is_the_closed_form_in_every_family(toy, tmp_path, method, smoothing):
    """Before and after training; against plain rows of pixels, the model with and without its adapter."""
    own = {"label_smoothing": smoothing, "beta": 0.3}
    trainer = trainer_of(phase_of(toy, tmp_path, method, own=own, steps=1))
    assert loss_of(trainer).item() == pytest.approx(math.log(2), abs=1e-6)
    trainer.train()
    trainer.model.eval()
    by_length = sorted(trainer.phase.rows, key=lambda row: longest(toy, row))
    with torch.no_grad():
        with trainer.model.disable_adapter():
            reference = sums(trainer.model, toy, by_length)
        chosen, rejected = (sums(trainer.model, toy, by_length) - reference).unbind(1)
        ours = loss_of(trainer)
    assert float((chosen - rejected).abs().max()) > 1e-3
    assert ours.item() == pytest.approx(closed_form(chosen - rejected, 0.3, smoothing).item(), abs=1e-5)


def longest(toy, row) -> int:
    return max(len(t.ids_T) for t in toy.pixels.tokens([row.chosen.turns, row.rejected.turns]))


def test_swapping_the_sides_turns_the_margin(qwen, tmp_path):
    trainer, rows = trained(phase_of(qwen, tmp_path, "adpo", contexts(4), steps=1))
    other = trainer_of(phase_of(qwen, tmp_path / "swapped", "adpo", swapped(contexts(4)), steps=1))
    other.model.load_state_dict(trainer.model.state_dict())
    margins = []
    for one in (trainer, other):
        loss_of(one)
        margins.append(one._metrics["train"]["rewards/margins"][-1])
    assert abs(margins[0]) > 1e-4 and margins[0] == pytest.approx(-margins[1], abs=1e-6)


def test_reading_a_prompt_once_changes_no_loss_and_no_gradient(toy, tmp_path):
    assert can_branch(toy.model)
    found = []
    for share in (True, False):
        rows = answers(4, toy.family in toys.SEEING)
        trainer = trainer_of(phase_of(toy, tmp_path, "dpo", rows, own={"share_prompt": share}, steps=1))
        assert (
            len(trainer.collated([{"row": row} for row in range(4)])["forward"]["input_ids"]) == 8 - 4 * share
        )
        nudge(trainer)
        loss = loss_of(trainer)
        loss.backward()
        gradients = {name: w.grad for name, w in trainer.model.named_parameters() if w.grad is not None}
        found.append((loss.item(), gradients))
    (one, shared), (other, apart) = found
    assert abs(one - math.log(2)) > 1e-4 and one == pytest.approx(other, abs=2e-6)
    size = max(float(gradient.abs().max()) for gradient in apart.values())
    assert furthest(shared, apart) < 1e-5 * size


class Kept(TrainerCallback):
    """Keeps what a trainer logs."""

    def __init__(self):
        self.rows = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.rows.append(dict(logs))


class WithoutLineBreak(DataCollatorForVisionPreference):
    """Stock TRL also counts the line break behind the end of an answer, which no model has to say."""

    def torch_call(self, examples):
        batch = super().torch_call(examples)
        mask = batch["completion_mask"]
        mask[torch.arange(len(mask)), mask.shape[1] - 1 - mask.flip(1).argmax(1)] = 0
        return batch


def as_stock(toy, pairs) -> Dataset:
    """Pairs of answers about one picture in TRL's own columns."""

    def messages(turns):
        return [
            {"role": role, "content": [{"type": "image"} if k == "image" else {"type": k, "text": c}
                                       for k, c in parts]} for role, parts in turns
        ]  # fmt: skip

    names = [next(content for kind, content in pair.chosen.turns[0][1] if kind == "image") for pair in pairs]
    data = {"prompt": [messages(pair.chosen.turns[:1]) for pair in pairs]}
    data |= {
        side: [messages(getattr(pair, side).turns[1:]) for pair in pairs] for side in ("chosen", "rejected")
    }
    data["images"] = [[{"bytes": toy.shards.bytes(name), "path": None}] for name in names]
    return Dataset.from_dict(data).cast_column("images", List(Image()))


def test_dpo_is_what_stock_trl_computes_from_pixels(qwen, tmp_path):
    """Losses, margins and gradient norms of three steps, with features, cached reference and shared prompts
    against none of them."""
    pairs = [pair for pair in answers(18) if pair.chosen.turns[0][1][0][0] == "image"]
    phase = phase_of(qwen, tmp_path, "dpo", pairs, steps=3)
    _, ours = trained(phase)
    ordered = [
        pair for k in (0, 4, 8) for pair in sorted(pairs[k : k + 4], key=lambda pair: longest(qwen, pair))
    ]
    arguments = {**phase.arguments, "output_dir": str(tmp_path / "stock"), "save_strategy": "no"}
    arguments |= {"learning_rate": phase.train["learning_rate"], "lr_scheduler_type": "constant"}
    kept = Kept()
    stock = DPOTrainer(
        model=started(qwen, phase.train),
        args=DPOConfig(**arguments, max_length=None, adam_beta2=phase.train["beta2"]),
        train_dataset=as_stock(qwen, ordered),
        processing_class=qwen.processor,
        data_collator=WithoutLineBreak(processor=qwen.processor, max_length=None),
        callbacks=[kept],
    )
    stock.train()
    for mine, theirs in zip(ours, kept.rows, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        assert mine["rewards_margins"] == pytest.approx(theirs["rewards/margins"], abs=1e-5)
        assert mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)
    assert ours[-1]["loss"] < ours[0]["loss"] - 0.01


@pytest.mark.parametrize("method", ["dpo", "adpo"])
def test_pads_are_never_attended(toy, tmp_path, method):
    trainer = trainer_of(phase_of(toy, tmp_path, method, steps=1))
    batch = trainer._unreferenced(trainer.pairs)
    forward, source_RL = batch["forward"], batch["source_RL"]
    ids_BT = forward["input_ids"]
    width = ids_BT.shape[1]
    ends_B = torch.stack([source_RL[source_RL // width == b].max() % width for b in range(len(ids_BT))])
    pads_BT = torch.arange(width)[None] > ends_B[:, None]
    assert pads_BT.any()
    with torch.no_grad():
        before = scored(trainer.model, forward, source_RL).log_probs
        noise = torch.randint(200, 300, ids_BT.shape, generator=torch.manual_seed(0))
        forward["input_ids"] = torch.where(pads_BT, noise, ids_BT)
        after = scored(trainer.model, forward, source_RL).log_probs
    assert torch.equal(before, after)


@pytest.mark.parametrize("method", ["dpo", "adpo"])
def test_pairs_weigh_equally_however_the_batch_is_split(qwen, tmp_path, method):
    found = []
    for micro in (6, 3, 1):
        own = {"losses": {"sigmoid": 1.0, "sft": 0.5, "ipo": 0.1}}
        split = {"own": own, "batch": 6, "machine": {"micro_batch": micro}}
        trainer, rows = trained(phase_of(qwen, tmp_path / str(micro), method, **split))
        found.append((learned(trainer), rows))
    for weights, rows in found[1:]:
        assert furthest(weights, found[0][0]) < 1e-5
        for one, other in zip(rows, found[0][1], strict=True):
            assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)
            assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


@pytest.fixture(scope="module")
def losses_alone(toy_root, tmp_path_factory):
    """The value of a loss alone for an adapter that was nudged; asked once for each loss and smoothing."""
    toy = toy_of("qwen3_vl", toy_root)

    @cache
    def of(name: str, smoothing: float) -> float:
        own = {"losses": {name: 1.0}, "label_smoothing": smoothing}
        return nudged_loss(toy, tmp_path_factory.mktemp(name), own).item()

    return of


def nudged_loss(toy, folder, own) -> torch.Tensor:
    trainer = trainer_of(phase_of(toy, folder, "dpo", answers(4), own=own, steps=1))
    nudge(trainer)
    loss = loss_of(trainer)
    loss.backward()
    assert any(float(w.grad.abs().sum()) > 0 for w in trainer.model.parameters() if w.grad is not None)
    return loss


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_a_gradient_and_losses_add_up(qwen, tmp_path, losses_alone, name):
    smoothing = 0.1 if name in checks.SMOOTHED else 0.0
    other = "ipo" if name == "nca_pair" else "nca_pair"
    mixed = {"losses": {other: 2.0, name: 0.5}, "label_smoothing": smoothing}
    expected = 2.0 * losses_alone(other, 0.0) + 0.5 * losses_alone(name, smoothing)
    assert nudged_loss(qwen, tmp_path, mixed).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "own",
    [
        {"f_divergence": "forward_kl"},
        {"f_divergence": "js_divergence"},
        {"f_divergence": "alpha_divergence", "f_alpha": 0.3},
        {"wpo": True},
        {"ld_alpha": 0.2},
        {"losses": {"discopop": 1.0}, "discopop_tau": 0.5},
        {"reference_free": True},
    ],
    ids=str,
)
def test_every_parameter_reaches_the_loss(qwen, tmp_path, losses_alone, own):
    (name,) = own.get("losses", {"sigmoid": 1.0})
    loss = nudged_loss(qwen, tmp_path, own).item()
    assert math.isfinite(loss) and abs(loss - losses_alone(name, 0.0)) > 1e-7


def test_without_a_reference_all_answers_are_alike_to_it(qwen, tmp_path):
    pairs = answers(4)
    trainer = trainer_of(phase_of(qwen, tmp_path, "dpo", pairs, own={"reference_free": True}, steps=1))
    with torch.no_grad():
        chosen, rejected = sums(trainer.model, qwen, pairs).unbind(1)
        assert loss_of(trainer).item() == pytest.approx(
            closed_form(chosen - rejected, 0.1, 0.0).item(), abs=1e-5
        )
    assert not (tmp_path / REFERENCE).exists()


# --- the reference -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dpo", "adpo"])
@pytest.mark.parametrize("lora_r", [4, 0])
def test_a_kept_reference_and_one_asked_in_every_step_are_one(qwen, tmp_path, method, lora_r):
    found = []
    for kept in (True, False):
        own = {"cache_reference": kept}
        phase = phase_of(qwen, tmp_path / str(kept), method, own=own, lora_r=lora_r, learning_rate=1e-3)
        trainer, rows = trained(phase)
        found.append((learned(trainer), [row["loss"] for row in rows]))
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-6)
    assert found[0][1][0] == pytest.approx(math.log(2), abs=1e-6) and found[0][1][1] < math.log(2) - 1e-3
    assert furthest(found[0][0], found[1][0]) < 1e-5


def test_a_reference_that_was_interrupted_goes_on_where_it_was(qwen, tmp_path):
    def made(folder):
        phase = phase_of(qwen, folder, "adpo", contexts(8), machine={"micro_batch": 2})
        return trainer_of(phase)

    whole = made(tmp_path / "whole").known
    path = tmp_path / "whole" / REFERENCE
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == len(whole) == 8
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / REFERENCE).write_bytes(b"".join(lines[:4]) + lines[4][:20])
    assert made(tmp_path / "again").known == whole
    assert (tmp_path / "again" / REFERENCE).read_bytes() == path.read_bytes()


def test_equal_pairs_are_asked_once(qwen, tmp_path):
    trainer = trainer_of(phase_of(qwen, tmp_path, "dpo", answers(2) * 4))
    assert len(files.read_jsonl(tmp_path / REFERENCE)) == len(trainer.known) == 2


@pytest.mark.parametrize("kept", [True, False])
def test_a_phase_behind_an_adapter_measures_from_where_it_starts(qwen, tmp_path, kept):
    first, _ = trained(phase_of(qwen, tmp_path / "sft", "sft"))
    before = learned(first)
    own = {"cache_reference": kept}
    phase = phase_of(qwen, tmp_path / "dpo", "dpo", answers(8), own=own, model=first.model)
    second, rows = trained(phase)
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-6) and rows[1]["loss"] < math.log(2)
    assert furthest(learned(second), before) > 1e-3
    assert len(saved(second, tmp_path / "saved")) == len(before)


@pytest.mark.parametrize("kept", [True, False])
def test_an_interrupted_phase_resumes_bit_by_bit(qwen, tmp_path, kept):
    def made(name):
        own, machine = {"cache_reference": kept}, {"save_steps": 2}
        return phase_of(qwen, tmp_path / name, "dpo", answers(16), own=own, steps=4, machine=machine)

    whole, _ = trained(made("whole"))
    checkpoint = tmp_path / "whole" / "checkpoints" / "checkpoint-2"
    resumed, _ = trained(made("resumed"), resume=str(checkpoint))
    assert furthest(learned(whole), learned(resumed)) == 0.0


# --- what is refused ---------------------------------------------------------------------------------------


def test_a_row_that_is_too_long_is_named_and_never_cut(qwen, tmp_path):
    phase = phase_of(qwen, tmp_path, "adpo", contexts(4), steps=1)
    lengths = [max(len(t.ids_T) for t in row) for row in phase.tokens]
    number = lengths.index(max(lengths)) + 1
    message = (
        f"row {number}, the longest, has {max(lengths)} tokens with 2 pictures, the limit is 40; raise it"
    )
    with pytest.raises(UserError, match=message):
        check_lengths(phase.tokens, 40)
    check_lengths(phase.tokens, max(lengths))


@pytest.mark.parametrize(
    ("own", "train", "machine", "message"),
    [
        ({"losses": {"exo_pair": 1.0}}, {}, {}, "label_smoothing: the loss exo_pair divides by it"),
        ({"losses": {"hinge": 1.0}, "label_smoothing": 0.1}, {}, {}, "label_smoothing: only"),
        ({"losses": {"nca_pair": 1.0}, "f_divergence": "forward_kl"}, {}, {}, "not defined for nca_pair"),
        ({"losses": {"aot": 1.0}, "wpo": True}, {}, {}, "dpo.wpo"),
        ({"losses": {"aot": 1.0}}, {}, {"micro_batch": 2}, "one pass of one process"),
        ({"losses": {"aot_unpaired": 1.0}}, {}, {"processes": 2}, "one pass of one process"),
        ({"sync_steps": 5}, {}, {}, "dpo.sync_steps"),
        ({"cache_reference": False}, {"lora_r": 0}, {"zero": "3"}, "dpo.cache_reference"),
        ({}, {"lora_dropout": 0.1}, {}, "train.lora_dropout"),
    ],
)
def test_parameters_that_do_not_fit_each_other_are_one_sentence_each(own, train, machine, message):
    base, method = defaults("base"), defaults("methods/dpo")
    method |= {k: {**method[k], **v} if isinstance(v, dict) else v for k, v in own.items()}
    train = {**base["train"], **train, "method": {"name": "dpo", **method}}
    problems = list(METHODS["dpo"].check(train, {**base["machine"], **machine}))
    assert len(problems) == 1 and message in problems[0]


def test_a_frozen_copy_may_follow_the_model(qwen, tmp_path):
    own = {"cache_reference": False, "sync_steps": 1, "sync_mix": 1.0}
    phase = phase_of(qwen, tmp_path, "dpo", answers(4) * 3, own=own, steps=3, lora_r=0, learning_rate=1e-3)
    _, rows = trained(phase)
    assert [row["loss"] for row in rows] == pytest.approx([math.log(2)] * 3, abs=1e-6)


def test_adpo_has_the_parameters_of_dpo_but_shared_prompts():
    dpo, adpo = defaults("methods/dpo"), defaults("methods/adpo")
    assert {**adpo, "share_prompt": True} == dpo
