"""The rate schedule, and an optimizer made of two."""

import numpy as np
import torch

from mmrc_helpers.training.optimizers import make_optimizer, rate_at

TRAIN = {
    "optimizer": "muon",
    "learning_rate": 0.001,
    "muon_learning_rate": 0.02,
    "weight_decay": 0.0,
    "beta2": 0.98,
}


def test_rates_warm_up_hold_and_decay():
    train = {"steps": 100, "warmup_steps": 10, "hold": 0.5, "schedule": "linear", "final_rate": 0.1}
    rates = np.array([rate_at(step, train) for step in range(101)])
    assert rates[0] == 0.1 and (rates[9:51] == 1).all() and rates[-1] == 0.1
    assert (np.diff(rates[51:96]) < 0).all()


def test_muon_steps_hidden_matrices_and_adamw_the_rest_and_both_resume():
    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            sum((weight**2).sum() for weight in model.parameters()).backward()
            optimizer.step()

    def new():
        torch.manual_seed(0)
        model = torch.nn.ModuleDict({"embed": torch.nn.Embedding(4, 4), "linear": torch.nn.Linear(4, 4)})
        return model, make_optimizer(model, TRAIN)

    (whole, optimizer), (first, begun) = new(), new()
    steps(whole, optimizer, 4)
    steps(first, begun, 2)
    _, resumed = new()
    resumed = make_optimizer(first, TRAIN)
    resumed.load_state_dict(begun.state_dict())
    steps(first, resumed, 2)
    for one, other in zip(whole.parameters(), first.parameters(), strict=True):
        assert torch.equal(one, other)
