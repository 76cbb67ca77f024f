"""Group-relative policy optimization by TRL's GRPOTrainer: the model answers each question several times, the
world grades the answers, and those above their question's mean gain.

How an answer is drawn is seeded by its question and its number among the answers to it, so that the same
answers are written however the work is split over passes and processes.

Letters: R answers of a pass, L tokens of the longest one, V words of the vocabulary.
"""

import copy
import random
import warnings
from collections.abc import Sequence

import torch
from datasets import Dataset
from torch.nn.functional import pad
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer
from trl.models import prepare_deepspeed, unwrap_model_for_generation
from trl.trainer.utils import add_fused_lm_head

from mmrc_helpers.errors import raise_all
from mmrc_helpers.execution import worker
from mmrc_helpers.models.load import base_model
from mmrc_helpers.models.score import to_device
from mmrc_helpers.store import files
from mmrc_helpers.training.branches import Answer, can_branch, reading, scored
from mmrc_helpers.training.checks import not_installed
from mmrc_helpers.training.phase import Ours, Phase
from mmrc_helpers.training.rewards import rewards_of

SAID = "said.jsonl"  # answers to the first questions of a logged step, with what they were worth
SHOWN = 2  # questions of a step whose answers are kept


class Trainer(Ours, GRPOTrainer):
    """TRL's trainer over tasks, with our encoder: features in place of pixels, and a prompt is read once for
    all of its answers in a pass. The answers (or their tokens, as the loss says) of the *global* batch weigh
    equally, however it is split."""

    def __init__(self, phase: Phase, **kwargs):
        self.phase, self.asked = phase, []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
            super().__init__(rollout_func=_written, **kwargs)
        self.eos_token_ids = sorted({*self.eos_token_ids, phase.encoder.end})

    def keep_reference(self, frozen: torch.nn.Module, beta: float) -> None:
        """Measures the KL divergence from a frozen copy of the model. (TRL would load one from disk.)"""
        frozen.requires_grad_(False)
        add_fused_lm_head(frozen, temperature=self.temperature)
        if self.is_deepspeed_enabled:
            frozen = prepare_deepspeed(frozen, self.accelerator)
        else:
            frozen = self.accelerator.prepare_model(frozen, evaluation_mode=True)
        self.beta, self.ref_model = beta, frozen

    def _generate_and_score_completions(self, inputs):
        self.asked = [row["row"] for row in inputs]
        found = super()._generate_and_score_completions(inputs)
        return {**found, "rows": torch.tensor(self.asked)}

    def _compute_loss(self, model, inputs):
        self.asked = inputs["rows"].tolist()
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, **_
    ):
        """Log-probabilities and entropies of the answers' tokens, (R, logits_to_keep)."""
        own_RL, real_RL = (
            input_ids[:, -logits_to_keep:].cpu(),
            attention_mask[:, -logits_to_keep:].bool().cpu(),
        )
        prompts = [self.phase.tokens[row][0] for row in self.asked]
        answers = [
            Answer(tuple(prompt.ids_T.tolist()), tuple(ids[real].tolist()), prompt.pictures)
            for prompt, ids, real in zip(prompts, own_RL, real_RL, strict=True)
        ]
        size = batch_size or len(answers)
        found = [self._scored(model, answers[k : k + size]) for k in range(0, len(answers), size)]
        logps, entropies = (
            torch.cat([pad(values, (0, logits_to_keep - values.shape[1])) for values in part])
            for part in zip(*found, strict=True)
        )
        return logps, entropies, None

    def _scored(self, model, answers: Sequence[Answer]) -> tuple[torch.Tensor, torch.Tensor]:
        own = base_model(self.model)
        share = self.phase.method["share_prompt"] and can_branch(own)
        batch = reading(self.phase.encoder, answers, share, own.config._attn_implementation)
        with self.accelerator.autocast():
            out = scored(model, **to_device(batch, self.accelerator.device))
        return out.log_probs, torch.zeros_like(out.log_probs) if out.entropy is None else out.entropy


class Drawn(LogitsProcessor):
    """Draws every next token by a generator of its answer's own: of log p plus Gumbel noise the largest is a
    sample of p."""

    def __init__(self, seeds: Sequence[str], device: torch.device):
        self.generators = [
            torch.Generator(device).manual_seed(random.Random(seed).getrandbits(63)) for seed in seeds
        ]

    def __call__(self, input_ids, scores):
        noise_RV = torch.empty(scores.shape, device=scores.device)
        for row, generator in zip(noise_RV, self.generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() - noise_RV.clamp(min=1e-30).log()


def _written(prompts: Sequence, trainer: Trainer) -> dict:
    """TRL's `rollout_func`: one answer to each of the questions in `trainer.asked`."""
    tokens = [trainer.phase.tokens[row][0] for row in trainer.asked]
    ids, logprobs = (_by_vllm if trainer.use_vllm else _by_model)(tokens, trainer)
    return {"prompt_ids": [row.ids_T.tolist() for row in tokens], "completion_ids": ids, "logprobs": logprobs}


def _by_model(tokens: Sequence, trainer: Trainer) -> tuple[list[list[int]], None]:
    phase, device = trainer.phase, trainer.accelerator.device
    first = trainer.accelerator.process_index * len(tokens)
    numbers = [(first + place) % trainer.num_generations for place in range(len(tokens))]
    seeds = [f"{phase.seed}/{row}/{k}" for row, k in zip(trainer.asked, numbers, strict=True)]
    method, inputs = phase.method, to_device(phase.encoder.batch(tokens, left=True), device)
    del inputs["labels"], inputs["position_ids"]  # generate finds positions by itself
    warpers = [TemperatureLogitsWarper(method["temperature"])]
    warpers += [TopKLogitsWarper(method["top_k"])] if method["top_k"] else []
    warpers += [TopPLogitsWarper(method["top_p"])] if method["top_p"] < 1 else []
    # Whole, so that nothing of the model's own settings (such as a repetition penalty) gets in.
    settings = {
        "max_new_tokens": method["max_new_tokens"],
        "do_sample": False,
        "repetition_penalty": 1.0,
        "eos_token_id": trainer.eos_token_ids,
        "pad_token_id": phase.encoder.tokenizer.pad_token_id,
        "suppress_tokens": [phase.encoder.image] if phase.encoder.image >= 0 else None,
    }
    with (
        unwrap_model_for_generation(
            trainer.model_wrapped, trainer.accelerator, generation_kwargs=settings
        ) as model,
        torch.no_grad(),
        trainer.accelerator.autocast(),
    ):
        made_RT = model.generate(
            **inputs,
            generation_config=GenerationConfig(**settings, disable_compile=True),
            logits_processor=LogitsProcessorList([*warpers, Drawn(seeds, device)]),
        )
    answers = made_RT[:, inputs["input_ids"].shape[1] :].tolist()
    return [_ended(ids, set(trainer.eos_token_ids)) for ids in answers], None


def _ended(ids: list[int], ends: set[int]) -> list[int]:
    """The tokens up to the first that ends an answer."""
    end = next((place for place, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: end + 1]


def _by_vllm(tokens: Sequence, trainer: Trainer) -> tuple[list, list]:
    read = trainer.phase.encoder.pictures.shards.read if any(row.pictures for row in tokens) else None
    _, ids, logprobs, _ = trainer.vllm_generation.generate(
        prompts=[row.ids_T.tolist() for row in tokens],
        images=[[read(name) for name in row.pictures] or None for row in tokens] if read else None,
        num_generations=trainer.num_generations,
    )
    return ids, [[of_token[0] for of_token in answer] for answer in logprobs]


class Guard(TrainerCallback):
    """Ends the phase when the model is further from its start than `kl_limit`, and keeps some of what it
    says."""

    def __init__(self, phase: Phase):
        self.path, self.limit, self.rows = phase.folder / SAID, phase.method["kl_limit"], phase.rows
        self.trainer: Trainer

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            kept = [row for row in files.resume_jsonl(self.path) if row["step"] <= state.global_step]
            files.write_jsonl(self.path, kept)

    def on_step_end(self, args, state, control, **kwargs):
        if not self.limit:
            return
        passes = self.trainer._metrics["train"]["kl"][-args.gradient_accumulation_steps :]
        if (kl := sum(passes) / len(passes)) > self.limit:
            worker.warn(
                f"training ends at step {state.global_step} of {state.max_steps}: {kl:.3g} nats per token "
                f"from where the phase began, more than grpo.kl_limit {self.limit:g}"
            )
            control.should_log = control.should_training_stop = True

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or "loss" not in logs:
            return
        kept, said = SHOWN * self.trainer.num_generations, self.trainer._logs
        answers = list(zip(said["prompt"], said["completion"], said["advantages"], strict=True))[:kept]
        files.append_jsonl(
            self.path,
            [
                {
                    "step": state.global_step,
                    "task": prompt[-1]["content"],
                    "text": completion[-1]["content"],
                    "advantage": advantage,
                    **{f"reward_{name}": values[k] for name, values in said["rewards"].items()},
                }
                for k, (prompt, completion, advantage) in enumerate(answers)
            ],
        )


def trainer(phase: Phase) -> Trainer:
    """The trainer of a phase over tasks."""
    method, full = phase.method, not phase.train["lora_r"]
    raise_all(not_installed(method))
    rewards, weights = rewards_of(phase)
    arguments = GRPOConfig(
        **phase.arguments,
        num_generations=method["completions"],
        max_completion_length=method["max_new_tokens"],
        temperature=method["temperature"],
        top_p=method["top_p"],
        top_k=method["top_k"],
        loss_type=method["loss"],
        scale_rewards=method["scale"],
        beta=0.0 if full else method["beta"],
        mask_truncated_completions=method["mask_truncated"],
        reward_weights=weights,
        disable_dropout=True,
        shuffle_dataset=False,
        use_vllm=method["vllm"],
    )
    frozen = copy.deepcopy(phase.model) if full and method["beta"] else None
    prompts = [[{"role": "user", "content": row.example.id}] for row in phase.rows]
    guard = Guard(phase)
    made = Trainer(
        phase,
        model=phase.model,
        reward_funcs=rewards,
        args=arguments,
        train_dataset=Dataset.from_dict({"prompt": prompts, "row": range(len(prompts))}),
        processing_class=phase.processor if method["vllm"] else phase.encoder.tokenizer,
        callbacks=[*phase.callbacks, guard],
    )
    guard.trainer = made
    if frozen is not None:
        made.keep_reference(frozen, method["beta"])
    return made
