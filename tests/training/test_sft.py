"""Supervised fine-tuning: every supervised token of the global batch weighs the same, and only those are
scored."""

import pytest
import torch
import trl.trainer.utils
from training.phases import furthest, learned, phase_of, trained, trainer_of

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import worker
from mmrc_helpers.training import checkpoints
from mmrc_helpers.training.phase import check_shards


@pytest.mark.parametrize("lora_r", [4, 0])
def test_tokens_weigh_equally_however_the_batch_is_split(qwen, tmp_path, lora_r):
    found = []
    for micro in (32, 8, 1):
        split = {"batch": 32, "machine": {"micro_batch": micro}, "learning_rate": 1e-3, "lora_r": lora_r}
        trainer, rows = trained(phase_of(qwen, tmp_path / str(micro), "sft", **split))
        found.append((learned(trainer), rows))
    for weights, rows in found[1:]:
        assert furthest(weights, found[0][0]) < 1e-5
        for one, other in zip(rows, found[0][1], strict=True):
            assert one["loss"] == pytest.approx(other["loss"], abs=2e-6)
            assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


@pytest.mark.parametrize("method", ["sft", "adpo"])
def test_the_order_by_length_changes_no_result(qwen, tmp_path, method):
    found = []
    for sorted_ in (True, False):
        machine = {"by_length": sorted_, "micro_batch": 2}
        trainer, rows = trained(phase_of(qwen, tmp_path / str(sorted_), method, batch=8, machine=machine))
        found.append((learned(trainer), rows))
    assert furthest(found[0][0], found[1][0]) < 1e-5
    assert [row["loss"] for row in found[0][1]] == pytest.approx(
        [row["loss"] for row in found[1][1]], abs=2e-6
    )


def test_only_places_with_a_label_are_scored_and_their_loss_is_the_models_own(toy, tmp_path, monkeypatch):
    trainer = trainer_of(phase_of(toy, tmp_path, "sft", steps=1))
    batch = trainer.data_collator([{"row": row} for row in range(4)])
    scored, function = [], trl.trainer.utils._ChunkedLogProbFunction

    class Counted(function):
        @staticmethod
        def forward(ctx, hidden, *rest):
            scored.append(len(hidden))
            return function.forward(ctx, hidden, *rest)

    monkeypatch.setattr(trl.trainer.utils, "_ChunkedLogProbFunction", Counted)
    labels = batch["labels"]
    loss = trainer.compute_loss(trainer.model, trainer._prepare_inputs(dict(batch)))
    assert scored == [int((labels[:, 1:] >= 0).sum())]
    with torch.no_grad():
        inputs = {name: value for name, value in batch.items() if name not in ("labels", "use_cache")}
        logp = trainer.model(**inputs).logits[:, :-1].float().log_softmax(-1)
    own = labels[:, 1:] >= 0
    expected = -logp[own].gather(1, labels[:, 1:][own][:, None]).mean()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_rows_without_pictures_are_refused_where_they_would_wait_for_ever(qwen, tmp_path):
    phase = phase_of(qwen, tmp_path, "sft", steps=1)
    sharded, whole = {**phase.machine, "zero": "3"}, {**phase.machine, "zero": "2"}
    with pytest.raises(UserError, match="machine.zero 3 shards the vision part"):
        check_shards(phase.tokens, qwen.pixels, sharded)
    check_shards(phase.tokens, qwen.pixels, whole)
    check_shards(phase.tokens, qwen.frozen, sharded)


def test_a_checkpoint_is_written_when_the_time_of_a_job_is_up(qwen, tmp_path, monkeypatch):
    told = tmp_path / "time_is_up"
    monkeypatch.setenv(worker.JOB, str(told))
    told.touch()
    phase = phase_of(qwen, tmp_path, "sft", steps=4, machine={"save_steps": 100})
    trained(phase)
    found = checkpoints.newest_whole(tmp_path / "checkpoints", trainer_of(phase).layout, print)
    assert not told.exists() and (tmp_path / "checkpoints" / "checkpoint-3" / checkpoints.MANIFEST).exists()
    assert found.name in ("checkpoint-3", "checkpoint-4")


def test_a_resumed_phase_saves_and_logs_as_the_machine_says_now(qwen, tmp_path):
    often = {"machine": {"save_steps": 1, "log_steps": 1, "keep_checkpoints": 9}, "steps": 4}
    trained(phase_of(qwen, tmp_path, "sft", **often))
    first = str(tmp_path / "checkpoints" / "checkpoint-1")
    assert (tmp_path / "checkpoints" / "checkpoint-3").exists()
    seldom = {"machine": {"save_steps": 4, "log_steps": 3}, "steps": 4}
    trainer, rows = trained(phase_of(qwen, tmp_path, "sft", **seldom), first)
    assert (trainer.state.save_steps, trainer.state.logging_steps) == (4, 3)
    assert [row["step"] for row in rows] == [1, 3]
