"""Probes: their steps, questions and answers, their numbers against a hand computation, and the index."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from models.loaded import CPU, toy_of

from mmrc_helpers.analysis import traces
from mmrc_helpers.dynamics import gradients, points
from mmrc_helpers.dynamics.observing import observe, observed
from mmrc_helpers.models import score
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Run, find_run, load_study
from mmrc_helpers.worlds import WORLDS, Data
from mmrc_helpers.worlds.people.ask import CELLS


@pytest.mark.parametrize("spacing", ["log", "even", "both"])
@pytest.mark.parametrize("count", [2, 3, 7, 12])
def test_points_begin_at_the_start_and_end_at_the_last_step(spacing, count):
    steps = points.schedule(725, {"probes": count, "spacing": spacing})
    assert steps[0] == 0 and steps[-1] == 725 and len(steps) <= count
    assert steps == sorted(set(steps))


def test_spacings_are_what_their_names_say():
    even = points.schedule(100, {"probes": 5, "spacing": "even"})
    log = points.schedule(1023, {"probes": 11, "spacing": "log"})
    assert even == [0, 25, 50, 75, 100] and log == [2**k - 1 for k in range(11)]
    assert points.schedule(100, {"probes": 1, "spacing": "log"}) == [100]


def test_gradients_are_spread_over_the_points():
    assert points.spread([0, 1, 3, 7, 15], 3) == [0, 3, 15]
    assert points.spread([0, 5], 4) == [0, 5] and points.spread([0, 5], 0) == []


SMOKE = find_run(load_study("smoke"), "forward", 0)
PEOPLE = WORLDS["people"]


@pytest.fixture(scope="module")
def people() -> Data:
    made = PEOPLE.make({**SMOKE.params["world"]["facts"], "background": 24}, 0)
    return Data(list(made.examples), made.facts)


@pytest.fixture(scope="module")
def asked(people):
    return PEOPLE.ask(people, SMOKE.params["evaluate"]["ask"], {**SMOKE.params["untaught"], "two_way": 0.25})


def test_every_cell_asks_people_of_both_populations_from_the_test_split(asked):
    chosen = points.chosen(PEOPLE, asked, 4)
    assert all(e.split == "test" and e.facets["topic"] == "identity" for e in chosen)
    assert not [e for e in chosen if e.facets["population"] == "two_way"]
    for population in ("novel", "background"):
        for cell in CELLS:
            name = f"{population} {cell}"
            of = [e for e in chosen if points.cell_name(PEOPLE, e) == name]
            assert len({e.group for e in of}) == len(of) == 4
            if "judge" in cell:
                assert sorted(e.gold for e in of) == [0, 0, 1, 1]


def test_a_world_without_a_choice_of_its_own_is_probed_in_every_cell():
    sums = WORLDS["sums"]
    data = Data(list(sums.make({"largest": 12}, 0).examples))
    chosen = points.chosen(sums, sums.ask(data, {}, {}), 3)
    assert Counter(points.cell_name(sums, e) for e in chosen) == {
        f"{view} {size}": 3 for view in ("text", "image") for size in ("small", "large")
    }


def test_alternatives_differ_and_make_sense_for_their_format(people, asked):
    names = {person["called"] for person in people.facts}
    for example in points.chosen(PEOPLE, asked, 4):
        found = PEOPLE.alternatives(example, people)
        assert found["right"] and len(set(found.values())) == len(found)
        assert found == PEOPLE.alternatives(example, people)
        if example.cell("direction", "format") == "forward/free":
            assert len(found) == 7 and found["unseen"][8:-1] not in names
            assert sorted(found["permuted"].split()) == sorted(found["right"].split())
        if example.facets["format"] == "judge":
            assert sorted(found.values()) == ["Right", "Wrong"]


@pytest.mark.parametrize("piece", [score.PIECE, 3000])
@pytest.mark.parametrize("family", ["qwen3_vl", "smolvlm"])
def test_log_probabilities_equal_a_hand_computation(family, piece, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(score, "PIECE", piece)  # the smaller: one place after the other
    toy = toy_of(family, tmp_path_factory.mktemp("toys"))
    chats = [
        (("user", (("image", "small.png"), ("text", "Who is this?"))),),
        (("user", (("image", "wide.png"), ("text", "or"), ("image", "tall.png"), ("text", "Which?"))),),
    ]
    requests = [(chat, text) for chat in chats for text in ("This is Ada Byron.", "B", "This is red.")]
    found = observed(toy.model, toy.model.dtype, toy.frozen, requests, 8, CPU)
    for request, row in zip(requests, found, strict=True):
        assert row == pytest.approx(by_hand(toy.model, toy.pixels, *request), abs=2e-5)


@torch.no_grad()
def by_hand(model, encoder, chat, text) -> dict:
    """One answer alone, unpadded, from pixels, in float64."""
    answer = encoder.answer_ids(text)
    (prompt,) = encoder.tokens([chat], complete=False)
    read = type(prompt)(
        np.append(prompt.ids_T, answer), np.zeros(len(prompt.ids_T) + len(answer), bool), prompt.pictures
    )
    batch = encoder.batch([read])
    del batch["labels"]
    logits = model(**batch).logits[0, len(prompt.ids_T) - 1 : -1].double().numpy()
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    own = p[range(len(answer)), answer]
    one = np.eye(p.shape[1])[answer]
    return {
        "tokens": len(answer),
        "logp_sum": np.log(own).sum(),
        "logp_mean": np.log(own).mean(),
        "logp_peak": np.log(own).max(),
        "argmax_logp_sum": np.log(p.max(1)).sum(),
        "log1m_argmax_sum": np.log(1 - p.max(1)).sum(),
        "entropy_mean": -(p * np.log(p)).sum(1).mean(),
        "one_minus_p_mean": (1 - own).mean(),
        "residual_norm_mean": np.linalg.norm(p - one, axis=1).mean(),
    }


def test_numbers_stay_exact_when_the_model_is_certain():
    logits = torch.tensor([[[60.0, 0.0, 0.0, 0.0]]])
    (row,) = observe(logits.log_softmax(-1), torch.tensor([[0]]), torch.tensor([[True]]))
    rest = 3 * np.exp(-60.0)
    assert row["log1m_argmax_sum"] == pytest.approx(np.log(rest), rel=1e-5)
    assert row["residual_norm_mean"] == pytest.approx(0, abs=1e-12)


def only(rows, layer="all", preconditioner="none") -> dict:
    """(left, right) → row."""
    return {
        (r["left"], r["right"]): r
        for r in rows
        if (r["layer"], r["preconditioner"]) == (layer, preconditioner)
    }


def test_gradient_scores_pass_their_identities():
    torch.manual_seed(0)
    size = gradients.PIECE + 5  # more than one piece
    g, other = torch.randn(size), torch.randn(size)
    square = torch.rand(size)
    metric = square.sqrt() + gradients.EPSILON
    for kind, weight in (("none", torch.ones(size)), ("adam", 1 / metric)):
        across = (
            other - g * (other * g * weight).double().sum().float() / (g * g * weight).double().sum().float()
        )
        groups = {"g": [g], "equal": [g], "orthogonal": [across], "opposite": [-g], "doubled": [2 * g]}
        found = only(gradients.compare(groups, ["3"], [square]), preconditioner=kind)
        expected = {"equal": (1, 1), "orthogonal": (0, 0), "opposite": (-1, -1), "doubled": (2, 1)}
        for name, (transfer, cosine) in expected.items():
            assert found[name, "g"]["transfer"] == pytest.approx(transfer, abs=1e-5)
            assert found[name, "g"]["cosine"] == pytest.approx(cosine, abs=1e-5)


def test_gradient_scores_equal_a_direct_computation_per_layer():
    torch.manual_seed(1)
    model = (
        torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3)).double().float()
    )
    inputs = {"a": torch.randn(6, 5), "b": torch.randn(4, 5)}
    weights = list(model.parameters())
    layers = ["0", "0", "1", "1"]
    means, direct = {}, {}
    for name, rows in inputs.items():
        halves = [lambda part=part: model(part).square().mean() for part in rows.chunk(2)]
        means[name], _ = gradients.group_gradient(halves, weights)
        assert all(weight.grad is None for weight in weights)
        model(rows).square().mean().backward()
        direct[name] = [weight.grad.clone() for weight in weights]
        model.zero_grad(set_to_none=True)
    rows = gradients.compare(means, layers)
    for layer, wanted in (("all", [0, 1, 2, 3]), ("0", [0, 1]), ("1", [2, 3])):
        a, b = (torch.cat([direct[name][k].flatten() for k in wanted]) for name in "ab")
        row = only(rows, layer)["a", "b"]
        assert row["inner"] == pytest.approx((a @ b).item(), rel=1e-5)
        assert row["cosine"] == pytest.approx((a @ b / a.norm() / b.norm()).item(), rel=1e-5)
        assert row["transfer"] == pytest.approx((a @ b / (b @ b)).item(), rel=1e-5)


def test_a_zero_gradient_has_no_ratio():
    found = only(gradients.compare({"zero": [torch.zeros(3)], "g": [torch.ones(3)]}, [""]))
    assert found["g", "zero"]["transfer"] is None and found["zero", "g"]["cosine"] is None
    assert found["zero", "g"]["transfer"] == 0


def test_weights_are_sorted_into_decoder_layers():
    name = "base_model.model.model.language_model.layers.12.mlp.up_proj.lora_A.default.weight"
    assert (
        gradients.layer_of(name) == "12" and gradients.layer_of("model.visual.blocks.3.attn.qkv.weight") == ""
    )


def test_the_squeezing_index_is_the_weakest_part_of_the_signature():
    point = {
        "supervised_tokens": 0,
        "phase": 1,
        "population": "novel",
        "direction": "forward",
        "format": "free",
    }
    rows = []
    changes = {  # per token: argmax, right, wrong
        "squeezed": (0.3, -1.0, -2.0),
        "learned": (0.5, 0.5, -2.0),
        "flattened": (-0.1, -1.0, -1.0),
    }
    for step in (0, 10):
        for name, (argmax, right, wrong) in changes.items():
            for candidate, change in (("right", right), ("wrong_person", wrong)):
                grown = {
                    "logp_mean": -3 + change * (step > 0),
                    "argmax_logp_sum": 2 * (-1 + argmax * (step > 0)),
                }
                rows.append({**point, "step": step, "id": name, "candidate": candidate, "tokens": 2, **grown})
    table = traces.squeezing(pd.DataFrame(rows), ["population", "direction", "format"]).set_index("step")
    assert table.loc[0, "index"] == 0 and table.loc[0, "share"] == 0
    assert table.loc[10, "index"] == pytest.approx(0.3 / 3) and table.loc[10, "share"] == pytest.approx(1 / 3)
    assert table.loc[10, "right"] == pytest.approx(-0.5) and table.loc[10, "examples"] == 3


def test_a_later_phase_goes_on_where_the_one_before_ended(tmp_path):
    for phase, last in ((1, 10), (2, 4)):
        steps = [{"step": step, "supervised_tokens": 3 * step, "phase": phase} for step in (0, last)]
        path = traces.table_path(tmp_path / str(phase), "logprobs")
        path.parent.mkdir(parents=True)
        pd.DataFrame(steps).reindex(columns=list(traces.COLUMNS["logprobs"])).to_parquet(path)
    read = traces.read_run([tmp_path / "1", tmp_path / "2"])
    assert read["logprobs"]["step"].tolist() == [0, 10, 10, 14]
    assert read["logprobs"]["supervised_tokens"].tolist() == [0, 30, 30, 42]
    assert read["storage"].empty and traces.read_run([])["gradients"].empty


def test_missing_tables_are_empty_with_their_columns(tmp_path):
    for name, table in traces.read_traces(tmp_path).items():
        assert table.empty and tuple(table.columns) == traces.COLUMNS[name]
    assert traces.squeezing(traces.read_traces(tmp_path)["logprobs"], []).empty


def with_dynamics(**values) -> Run:
    params = plain(SMOKE.params)
    params["dynamics"].update(values)
    return Run(SMOKE.study, SMOKE.variant, SMOKE.seed, params)


def test_without_probes_dynamics_change_no_key_and_with_snapshots_only_what_is_kept_does():
    off = stages.keys(SMOKE)
    assert off == stages.keys(with_dynamics(examples=3, gradients=1, spacing="even"))
    assert stages.traces_folders(SMOKE) == []
    on = stages.keys(with_dynamics(probes=4))
    assert {name for name in off if off[name] != on[name]} == {"train-1", "eval"}
    kept = stages.keys(with_dynamics(probes=4, snapshots=True))
    asked = stages.keys(with_dynamics(probes=4, snapshots=True, examples=3))
    assert {name for name in kept if kept[name] != asked[name]} == {"traces-1"}
