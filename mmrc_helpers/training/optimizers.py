"""The optimizer and the rate schedule of a training phase."""

import math
from collections.abc import Mapping

import torch


def rate_at(step: int, train: Mapping) -> float:
    """Share of the peak rate at a step: linear warm-up, hold, then linear or cosine decay to `final_rate`."""
    warm = min(1.0, (step + 1) / max(1, train["warmup_steps"]))
    if train["schedule"] == "constant":
        return warm
    start = train["hold"] * train["steps"]
    gone = max(0.0, step - start) / max(1.0, train["steps"] - start)
    if train["schedule"] == "cosine":
        return warm * (
            train["final_rate"] + (1.0 - train["final_rate"]) * (1.0 + math.cos(math.pi * gone)) / 2
        )
    return warm * max(train["final_rate"], 1.0 - gone)


def make_optimizer(model, train: Mapping) -> torch.optim.Optimizer:
    """AdamW on every trainable weight, or Muon on the hidden matrices with AdamW on the rest."""
    weights = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    adam = {
        "lr": train["learning_rate"],
        "betas": (0.9, train["beta2"]),
        "weight_decay": train["weight_decay"],
    }
    if train["optimizer"] == "adamw":
        return torch.optim.AdamW([weight for _, weight in weights], fused=True, **adam)
    matrices = [weight for name, weight in weights if _is_hidden_matrix(name, weight)]
    others = [weight for name, weight in weights if not _is_hidden_matrix(name, weight)]
    muon = torch.optim.Muon(matrices, lr=train["muon_learning_rate"], momentum=0.95, weight_decay=0.0)
    return Joined(muon, torch.optim.AdamW(others, fused=True, **adam)) if others else muon


def _is_hidden_matrix(name: str, weight: torch.Tensor) -> bool:
    return weight.ndim == 2 and not any(part in name for part in ("embed", "lm_head"))


class Joined(torch.optim.Optimizer):
    """Several optimizers behind the interface of one, because a trainer holds only one."""

    def __init__(self, *parts: torch.optim.Optimizer):
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.param_groups = [group for part in parts for group in part.param_groups]

    def step(self, closure=None):
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True):
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self):
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state):
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
