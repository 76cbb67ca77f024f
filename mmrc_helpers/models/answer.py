"""Asks a model questions: the log-probabilities of their options, and what it writes by itself.

The batches follow from the questions alone, so whoever calls with the same questions gets the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmrc_helpers.models import score
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.tasks.example import Example, candidates, compared, question, rotate


@dataclass(frozen=True, eq=False)
class Answerer:
    """A model with what is needed to ask it. batch: rows of a forward pass. orders: over how many cyclic
    orders lettered options are averaged. max_new_tokens: the longest written answer."""

    model: torch.nn.Module
    encoder: Encoder
    device: torch.device
    batch: int
    orders: int
    max_new_tokens: int

    def scored(
        self, examples: Sequence[Example]
    ) -> tuple[list[np.ndarray], list[list[str]], list[list[bool]], list[str | None]]:
        """Of every example: the log-probabilities of its options, (orders, options), options in canonical
        order, normalised over them; the text favoured in each order; whether that is right; and what the
        model writes by itself (as `written`) if that is one of the options, else None. Empty where an
        example has no options."""
        requests = [
            request
            for example in examples
            for shift in range(self.orders_of(example))
            for request in candidates(example, shift)
        ]
        answered = iter(zip(requests, *self.continuations(requests), strict=True))
        logprobs, picks, rights, texts = [], [], [], []
        for example in examples:
            options = compared(example)
            orders = [[next(answered) for _ in options] for _ in range(self.orders_of(example))]
            shown = [_normalised([value for _, value, _ in order]) for order in orders]
            canonical = [rotate(list(line), -shift % len(line)) if example.how else line
                         for shift, line in enumerate(shown)]  # fmt: skip
            logprobs.append(np.array(canonical))
            picks.append([options[int(line.argmax())] for line in shown])
            rights.append([int(np.argmax(line)) == example.gold for line in canonical])
            first = orders[0] if orders else ()
            own = [text for (turns, text), _, by_itself in first if by_itself and turns == question(example)]
            texts.append(self._decoded([self.encoder.answer_ids(own[0])])[0] if own else None)
        return logprobs, picks, rights, texts

    def orders_of(self, example: Example) -> int:
        """Over how many option orders an example is averaged: of unlettered options there is one."""
        if not example.options:
            return 0
        return min(self.orders, len(example.options)) if example.how else 1

    def continuations(self, requests: Sequence[score.Request]) -> tuple[list[float], list[bool]]:
        """Of each request: log p(text | conversation), summed over its tokens without the end of the turn;
        and whether the model by itself writes exactly this, which saves generating it."""
        found, by_itself, tokens = [0.0] * len(requests), [True] * len(requests), [0] * len(requests)
        for numbers, logp_RDV, target_RD, real_RD in score.answer_batches(
            self.model, self.model.dtype, self.encoder, requests, self.batch, self.device, ends=True
        ):
            answer_RD = real_RD & (target_RD != self.encoder.end)
            sums_R = (score.of_targets(logp_RDV, target_RD) * answer_RD).sum(1)
            favoured_R = ((logp_RDV.argmax(-1) == target_RD) | ~real_RD).all(1)
            of_each = (sums_R.tolist(), favoured_R.tolist(), real_RD.sum(1).tolist())
            for number, value, favoured, count in zip(numbers, *of_each, strict=True):
                found[number] += value
                by_itself[number] &= favoured
                tokens[number] += count
        fits = [count <= self.max_new_tokens for count in tokens]
        return found, [favoured and fit for favoured, fit in zip(by_itself, fits, strict=True)]

    @torch.no_grad()
    def written(self, examples: Sequence[Example]) -> list[str]:
        """What the model writes, greedily; options are shown in their canonical order."""
        rows = self.encoder.tokens([question(example) for example in examples], complete=False)
        texts = []
        for first in range(0, len(rows), self.batch):
            inputs = self.encoder.batch(rows[first : first + self.batch], left=True)
            inputs = score.to_device(inputs, self.device)
            del inputs["labels"], inputs["position_ids"]  # generate finds positions by itself
            made_BT = self.model.generate(
                **inputs,
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                repetition_penalty=1.0,  # else the model's own setting bends what it would say
                eos_token_id=[self.encoder.end, self.encoder.tokenizer.eos_token_id],
                pad_token_id=self.encoder.tokenizer.pad_token_id,
            )
            answers = made_BT[:, inputs["input_ids"].shape[1] :]
            texts += self._decoded(answers)
        return texts

    def _decoded(self, answers: Sequence) -> list[str]:
        return self.encoder.tokenizer.batch_decode(answers, skip_special_tokens=True)


def averaged(logprobs: np.ndarray) -> np.ndarray:
    """Log-probabilities (orders, options) as those of the mean probability over the orders, (options,)."""
    return np.log(np.exp(logprobs).mean(0)) if len(logprobs) else np.zeros(0)


def _normalised(logprobs: Sequence[float]) -> np.ndarray:
    """The log-probabilities, shifted so that their exponentials sum to one."""
    values = np.array(logprobs)
    return values - np.logaddexp.reduce(values)
