"""GRPO: answers are drawn from the model, worth what the world says, and weigh equally however the work is
split, in every family."""

import math

import pytest
import torch
from training.phases import (
    defaults,
    furthest,
    graded,
    learned,
    nudge,
    phase_of,
    saved,
    tasks,
    trained,
    trainer_of,
)

from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.training import METHODS
from mmrc_helpers.training.grpo import SAID, Drawn

SMALL = {"completions": 4, "max_new_tokens": 8}


def run(toy, folder, own=None, steps=2, batch=2, **settings):
    """Training over as many tasks as it takes: the trainer and its metrics."""
    return trained(
        phase_of(toy, folder, "grpo", own={**SMALL, **(own or {})}, steps=steps, batch=batch, **settings)
    )


def test_answers_are_scored_as_plain_rows_of_pixels_in_every_family(toy, tmp_path):
    """With one reading of a prompt for all its answers, and without."""
    for share in (True, False):
        phase = phase_of(toy, tmp_path, "grpo", own={**SMALL, "share_prompt": share}, steps=1, batch=3)
        trainer = trainer_of(phase)
        nudge(trainer)
        trainer.model.train()
        inputs = trainer._generate_and_score_completions(
            [{"prompt": p, "row": r} for p, r in asked_of(trainer)]
        )
        trainer.asked = inputs["rows"].tolist()
        ids, mask = inputs["completion_ids"], inputs["completion_mask"].bool()
        whole = [
            torch.cat([inputs[f"prompt_{part}"], inputs[f"completion_{part}"]], 1) for part in ("ids", "mask")
        ]
        with torch.no_grad():
            ours, entropies, _ = trainer._get_per_token_logps_and_entropies(
                trainer.model, *whole, ids.shape[1]
            )
            for number, row in enumerate(trainer.asked):
                answer = ids[number][mask[number]]
                logp_LV = plain(trainer.model, toy, phase.rows[row], answer)
                own = logp_LV.gather(1, answer[:, None])[:, 0]
                entropy = -(logp_LV.exp() * logp_LV).sum(1)
                assert (ours[number][mask[number]] - own).abs().max() < 2e-5
                assert (entropies[number][mask[number]] - entropy).abs().max() < 2e-5


def asked_of(trainer):
    """The rows of the first batch as the trainer's sampler gives them."""
    rows = [row for row in range(trainer.phase.train["batch"]) for _ in range(trainer.num_generations)]
    return [(trainer.train_dataset[row]["prompt"], row) for row in rows]


def plain(model, toy, task, answer: torch.Tensor) -> torch.Tensor:
    """Log-probabilities along an answer, (L, V), from one plain row of pixels."""
    (prompt,) = toy.pixels.tokens([task.prompt], complete=False)
    inputs = toy.pixels.batch([prompt])
    count = len(prompt.ids_T)
    longer = prompt.__class__(
        torch.cat([inputs["input_ids"][0], answer]).numpy(),
        torch.zeros(count + len(answer), dtype=torch.bool).numpy(),
        prompt.pictures,
    )
    inputs = toy.pixels.batch([longer])
    del inputs["labels"]
    return model(**inputs).logits[0, count - 1 : -1].float().log_softmax(-1)


@pytest.mark.parametrize("loss", ["dapo", "grpo", "dr_grpo", "luspo"])
def test_answers_weigh_equally_however_the_batch_is_split(qwen, tmp_path, loss):
    found = []
    for micro in (12, 4, 1) if loss == "dapo" else (12, 2):
        own = {"loss": loss, "beta": 0.1}
        trainer, rows = run(qwen, tmp_path / str(micro), own, batch=3, machine={"micro_batch": micro})
        found.append((learned(trainer), rows, files.read_jsonl(tmp_path / str(micro) / SAID)))
    for weights, rows, said in found[1:]:
        assert [row["text"] for row in said] == [row["text"] for row in found[0][2]]
        assert furthest(weights, found[0][0]) < 1e-5
        for one, other in zip(rows, found[0][1], strict=True):
            assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)
            assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)
            assert one["reward"] == other["reward"]


def test_draws_follow_the_distribution_and_do_not_depend_on_their_neighbours():
    logits_V = torch.tensor([2.0, 1.0, 0.0, -1.0, float("-inf")])
    seeds = [str(number) for number in range(20_000)]
    draws = Drawn(seeds, torch.device("cpu"))(None, logits_V.expand(len(seeds), -1)).argmax(1)
    found, wanted = draws.bincount(minlength=5) / len(seeds), logits_V.softmax(0)
    assert (found - wanted).abs().max() < 4 * math.sqrt(0.25 / len(seeds))
    alone = [Drawn([seed], torch.device("cpu"))(None, logits_V[None]).argmax().item() for seed in seeds[:50]]
    assert alone == draws[:50].tolist()


def test_it_learns_what_the_grade_rewards(qwen, tmp_path):
    _, rows = run(qwen, tmp_path, {"completions": 8}, steps=15, batch=4, lora_r=0)
    first, last = (sum(row["reward"] for row in part) / 4 for part in (rows[:4], rows[-4:]))
    assert last > first + 0.2


def test_rewards_are_the_weighted_parts_of_the_grade_and_logged_apart(qwen, tmp_path):
    weights = {"several": 2.0, "short": 0.5}
    _, rows = run(qwen, tmp_path, {"weights": weights, "length_cost": 0.4, "length_free": 0.5})
    for row in rows:
        parts = {name: row[f"rewards_{name}_mean"] for name in ("right", "several", "short", "length_cost")}
        expected = 2.0 * parts["several"] + 0.5 * parts["short"] + 0.4 * parts["length_cost"]
        assert row["reward"] == pytest.approx(expected, abs=1e-6)
        assert -1.0 <= parts["length_cost"] < 0.0
    for said in files.read_jsonl(tmp_path / SAID):
        grade = graded(Example("", "", "", ()), said["text"])
        assert said["reward_right"] == grade.right and said["reward_several"] == grade.parts["several"]


def test_a_part_that_no_grade_has_is_named_with_the_near_miss(qwen, tmp_path):
    phase = phase_of(qwen, tmp_path, "grpo", own={**SMALL, "weights": {"severel": 1.0}}, steps=1)
    with pytest.raises(UserError, match="grpo.weights: .*severel.*did you mean several"):
        trainer_of(phase)


@pytest.mark.parametrize("lora_r", [4, 0])
def test_the_divergence_is_from_the_start_of_the_phase(qwen, tmp_path, lora_r):
    first, _ = run(qwen, tmp_path / "first", lora_r=lora_r, learning_rate=3e-3)
    before = learned(first)
    phase = phase_of(qwen, tmp_path / "second", "grpo", own={**SMALL, "beta": 0.05}, batch=2, lora_r=lora_r,
                     learning_rate=3e-3, model=first.model)  # fmt: skip
    second, rows = trained(phase)
    assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-6) and rows[1]["kl"] > 1e-5
    if lora_r:
        assert len(saved(second, tmp_path / "saved")) == len(before)


def test_training_ends_when_the_model_is_too_far_from_its_start(qwen, tmp_path, capsys):
    own = {"beta": 1e-6, "kl_limit": 0.01}
    trainer, rows = run(qwen, tmp_path, own, steps=12, learning_rate=3e-2)
    assert 1 < trainer.state.global_step < 12 and rows[-1]["step"] == trainer.state.global_step
    assert rows[-1]["kl"] > 0.01 >= rows[-2]["kl"]
    assert "warning: training ends at step" in capsys.readouterr().out


def test_answers_that_were_cut_off_can_be_left_out(qwen, tmp_path):
    trainer, rows = run(qwen, tmp_path, {"mask_truncated": True, "max_new_tokens": 3})
    assert [row["completions_clipped_ratio"] for row in rows] == [1.0, 1.0]
    assert [row["grad_norm"] for row in rows] == [0.0, 0.0]


def test_an_interrupted_phase_resumes_bit_by_bit(qwen, tmp_path):
    def made(name):
        own = {**SMALL, "beta": 0.1}
        return phase_of(qwen, tmp_path / name, "grpo", own=own, steps=4, batch=2, machine={"save_steps": 2})

    whole, rows = trained(made("whole"))
    checkpoint = tmp_path / "whole" / "checkpoints" / "checkpoint-2"
    resumed, _ = trained(made("resumed"), resume=str(checkpoint))
    assert furthest(learned(whole), learned(resumed)) == 0.0


def test_pictures_are_encoded_once_for_all_answers_and_passes(qwen, tmp_path, monkeypatch):
    own = {**SMALL, "beta": 0.1}
    trainer = trainer_of(phase_of(qwen, tmp_path, "grpo", tasks(4), own=own, batch=2))

    def encoded(*_, **__):
        raise AssertionError("a picture was encoded again")

    core = trainer.model.get_base_model().model
    monkeypatch.setattr(core.visual, "forward", encoded)
    trainer.train()
    assert trainer.state.global_step == 2


def test_vllm_is_refused_in_one_sentence_where_it_is_not_installed(qwen, tmp_path):
    phase = phase_of(qwen, tmp_path, "grpo", own={**SMALL, "vllm": True}, steps=1)
    with pytest.raises(UserError, match="grpo.vllm: vllm is not installed here"):
        trainer_of(phase)


@pytest.mark.parametrize(
    ("own", "train", "machine", "message"),
    [
        ({"kl_limit": 0.1}, {}, {}, "grpo.kl_limit: without beta"),
        ({"beta": 0.1}, {"lora_r": 0}, {"zero": "3"}, "grpo.beta: under machine.zero 3"),
        ({}, {"lora_dropout": 0.1}, {}, "train.lora_dropout"),
        ({"weights": {"answer": "much"}}, {}, {}, "grpo.weights.answer: expected a number"),
        ({"weights": {"exact": 0.0, "near": 0}}, {}, {}, "grpo.weights: all are 0"),
    ],
)
def test_parameters_that_do_not_fit_each_other_are_one_sentence_each(own, train, machine, message):
    base, method = defaults("base"), {"name": "grpo", **defaults("methods/grpo"), **own}
    train = {**base["train"], **train, "method": method}
    problems = list(METHODS["grpo"].check(train, {**base["machine"], **machine}))
    assert len(problems) == 1 and message in problems[0]
