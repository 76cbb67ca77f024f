"""Preferences by TRL's DPOTrainer: DPO compares two answers to one question, ADPO two contexts of one answer.
Both are one trainer over pairs of answers behind prompts; ours is what a pair is and where its reference
comes from.

Letters: B pairs of a forward pass, L tokens of the longest answer; 2B rows are the chosen, then the rejected.
"""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.nn.functional import pad
from trl import DPOConfig, DPOTrainer
from trl.models import prepare_deepspeed

from mmrc_helpers.execution import worker
from mmrc_helpers.models.load import base_model
from mmrc_helpers.store import files
from mmrc_helpers.training.branches import Answer, can_branch, last_answer, reading, scored
from mmrc_helpers.training.phase import Ours, Phase, by_length_in_batches, length

REFERENCE = "reference.jsonl"  # each pair's log-probabilities under the model that the phase starts from
Pair = tuple[Answer, Answer]  # chosen, rejected


class Trainer(Ours, DPOTrainer):
    """TRL's trainer over pairs; a prompt that both answers share is read once.

    The loss is the mean over the pairs of the *global* batch, however it is split over passes and processes,
    and its part `sft` the mean over the chosen tokens of the global batch.
    """

    def __init__(self, phase: Phase, pairs: Sequence[Pair], **kwargs):
        self.phase, self.pairs = phase, pairs
        self.known: dict[str, tuple[float, float]] = {}
        self.is_live = not kwargs["args"].precompute_ref_log_probs
        super().__init__(data_collator=self.collated, **kwargs)
        self.precompute_ref_logps = True  # the loss finds the reference in its inputs, wherever it comes from
        if not self.is_live and "ref" in getattr(self.model, "peft_config", ()):
            self.model.delete_adapter("ref")  # TRL's copy of the adapter; what it would say is known

    def _prepare_dataset(self, dataset, *_):
        return dataset  # the rows are tokens already

    def collated(self, rows: Sequence[Mapping]) -> dict:
        """A batch of pairs with its reference, unless that is computed as it trains."""
        pairs = [self.pairs[row["row"]] for row in rows]
        batch = self._unreferenced(pairs)
        batch["chosen_tokens"] = torch.tensor(self.chosen_tokens(rows[0]["row"]))
        if not self.is_live:
            free = self.phase.method["reference_free"]
            found_B2 = torch.tensor([(0.0, 0.0) if free else self.known[content_of(pair)] for pair in pairs])
            batch["ref_chosen_logps"], batch["ref_rejected_logps"] = found_B2.unbind(1)
        return batch

    def _unreferenced(self, pairs: Sequence[Pair]) -> dict:
        """The forward pass that scores the answers of pairs, and what TRL's loss reads, (2B, 1 + L): the
        answers alone, behind a place for what predicts their first token."""
        answers = [pair[side] for side in (0, 1) for pair in pairs]
        model = base_model(self.model)
        share = self.phase.method.get("share_prompt", False) and can_branch(model)
        batch = reading(self.phase.encoder, answers, share, model.config._attn_implementation)
        ids_RL = torch.zeros_like(batch["source_RL"])
        for row, answer in enumerate(answers):
            ids_RL[row, : len(answer.ids)] = torch.tensor(answer.ids)
        mask_RL = pad((batch["source_RL"] >= 0).long(), (1, 0))
        batch |= {"input_ids": pad(ids_RL, (1, 0)), "completion_mask": mask_RL, "attention_mask": mask_RL}
        return batch

    def chosen_tokens(self, row: int) -> int:
        """Tokens of the chosen answers in the global batch that holds this row."""
        size = self.phase.train["batch"]
        first = row - row % size
        return sum(len(chosen.ids) for chosen, _ in self.pairs[first : first + size])

    def _precompute_ref_logps(self, dataset, name, batch_size):
        """Fills `known` from the phase's file and computes what is missing there: every process its share,
        pass by pass, so that an interruption costs one pass."""
        if self.phase.method["reference_free"]:
            return dataset
        path, processes = self.phase.folder / REFERENCE, worker.world_size()
        if worker.rank() == 0:
            files.resume_jsonl(path)
        self.accelerator.wait_for_everyone()
        self._learn(files.resume_jsonl(path))
        self.accelerator.wait_for_everyone()
        missing = {content_of(pair): row for row, pair in enumerate(self.pairs)}
        rows = [row for key, row in missing.items() if key not in self.known]
        model = prepare_deepspeed(self.model, self.accelerator) if self.is_deepspeed_enabled else self.model
        training = self.model.training
        self.model.eval()
        for first in range(0, len(rows), batch_size * processes):
            part = rows[first : first + batch_size * processes]
            own = part[worker.rank() :: processes] or part[:1]  # under ZeRO-3 every process takes part
            found = gather_object(self._reference(model, own))
            if worker.rank() == 0:
                files.append_jsonl(path, {row["pair"]: row for row in found}.values())
            self._learn(found)
            worker.beat()
        self.model.train(training)
        return dataset

    def _reference(self, model, rows: Sequence[int]) -> list[dict]:
        batch = self._unreferenced([self.pairs[row] for row in rows])
        values = self.compute_ref_log_probs(model, self._prepare_inputs(batch))
        return [
            {"pair": content_of(self.pairs[row]), "chosen": chosen, "rejected": rejected}
            for row, chosen, rejected in zip(rows, *(side.tolist() for side in values), strict=True)
        ]

    def _learn(self, rows: Sequence[Mapping]) -> None:
        self.known |= {row["pair"]: (row["chosen"], row["rejected"]) for row in rows}

    def compute_ref_log_probs(self, model, inputs):
        return super().compute_ref_log_probs(_reader(model), inputs)

    def _compute_loss(self, model, inputs, return_outputs):
        if self.is_live:
            found = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
            inputs["ref_chosen_logps"], inputs["ref_rejected_logps"] = found
        seen: list = []
        loss = super()._compute_loss(_reader(model, seen), inputs, return_outputs)
        if weight := self.phase.method["losses"]["sft"]:
            chosen_BL, _ = seen[0].log_probs.chunk(2)
            share = -chosen_BL.sum() / inputs["chosen_tokens"]
            # what follows divides by the passes, and the exchange of gradients by the processes
            parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes
            loss = loss + weight * parts * share
        return loss


def _reader(model: Callable, seen: list | None = None) -> Callable:
    """The model as TRL calls it, over a batch of `collated`. seen: takes what it said."""

    def read(forward, source_RL, **_):
        found = scored(model, forward, source_RL)
        if seen is not None:
            seen.append(found)
        return found

    return read


def content_of(pair: Pair) -> str:
    """Names a pair by its tokens and pictures."""
    told = repr([(a.prompt_ids, a.ids, a.pictures) for a in pair])
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def losses_of(method: Mapping) -> tuple[list[str], list[float]]:
    """TRL's loss types and their weights; `sft` is added by our trainer, over the global batch.

    TRL smooths no labels of `sigmoid`; the smoothed loss −(1−ε)·log σ(βh) − ε·log σ(−βh) is
    2(1−ε)·sigmoid − (1−2ε)·robust, with robust = (−(1−ε)·log σ(βh) + ε·log σ(−βh)) / (1−2ε).
    """
    weights = {name: weight for name, weight in method["losses"].items() if weight} or {"sigmoid": 1.0}
    smoothing = method["label_smoothing"]
    found = [(name, weight) for name, weight in weights.items() if name not in ("sft", "sigmoid")]
    if plain := weights.get("sigmoid"):
        smoothed = [("sigmoid", 2 * (1 - smoothing) * plain), ("robust", (2 * smoothing - 1) * plain)]
        found = (smoothed if smoothing else [("sigmoid", plain)]) + found
    return [name for name, _ in found], [weight for _, weight in found]


def trainer(phase: Phase) -> Trainer:
    """The trainer of a phase over pairs."""
    method, full = phase.method, not phase.train["lora_r"]
    ordered = by_length_in_batches(phase, phase.tokens, length)
    pairs = [(last_answer(chosen), last_answer(rejected)) for chosen, rejected in ordered]
    types, weights = losses_of(method)
    known = method["cache_reference"] or method["reference_free"]
    arguments = DPOConfig(
        **phase.arguments,
        max_length=None,
        loss_type=types,
        loss_weights=weights,
        beta=method["beta"],
        label_smoothing=method["label_smoothing"],
        f_divergence_type=method["f_divergence"],
        f_alpha_divergence_coef=method["f_alpha"],
        ld_alpha=None if method["ld_alpha"] == 1 else method["ld_alpha"],
        use_weighting=method["wpo"],
        discopop_tau=method["discopop_tau"],
        sync_ref_model=method["sync_steps"] > 0,
        ref_model_sync_steps=method["sync_steps"],
        ref_model_mixup_alpha=method["sync_mix"],
        precompute_ref_log_probs=known,
    )
    return Trainer(
        phase,
        pairs,
        model=phase.model,
        ref_model=copy.deepcopy(phase.model) if full and not known else None,
        args=arguments,
        train_dataset=Dataset.from_dict({"row": range(len(pairs))}),
        processing_class=getattr(phase.processor, "tokenizer", phase.processor),
        callbacks=list(phase.callbacks),
    )
