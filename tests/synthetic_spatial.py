"""Answers of simulated spatial studies, written as evaluation writes them: the share of right answers after
every phase and in each direction is exact, so that what the finding says is known beforehand."""

from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import scores
from mmrc_helpers.analysis.evidence import Evidence

OPTIONS = {"direction": ("left", "right", "above", "below"), "size": ("larger", "smaller")}
CONVERSE = {"left": "right", "right": "left", "above": "below", "below": "above",
            "larger": "smaller", "smaller": "larger"}  # fmt: skip
METHODS = {
    "untrained": (),
    "sft": ("sft",),
    "chain": ("sft", "dpo", "grpo"),
    "null": ("sft", "dpo", "grpo"),
    "reverse": ("sft",),
}
CHANCE = {"forward": 0.4, "reverse": 0.4}
SFT = {"forward": 0.8, "reverse": 0.6}
# variant → shares of right answers about novel shapes after each phase
USUAL = {
    "untrained": [CHANCE],
    "sft": [SFT],
    "chain": [SFT, {"forward": 0.85, "reverse": 0.65}, {"forward": 1.0, "reverse": 0.7}],
    "null": [SFT, {"forward": 0.85, "reverse": 0.65}, {"forward": 0.5, "reverse": 0.45}],
    "reverse": [{"forward": 0.6, "reverse": 0.8}],
}
REPORT = {"finding": "spatial", "read": "chain", "beside": "sft", "controls": ("null",), "variants": ()}


def evidence(scenes=60, seeds=(0, 1), report=REPORT, logged=True, **variants) -> Evidence:
    """A whole study: variant → shares after each phase; None leaves one out."""
    shares = {name: of for name, of in (USUAL | variants).items() if of is not None}
    runs = [
        answers(name, seed, phase, share, scenes)
        for name, of in shares.items()
        for phase, share in zip(range(len(METHODS[name]) and 1, 9), of, strict=False)
        for seed in seeds
    ]
    phases = scores.join(runs)
    lessons = {
        name: ({"directions": ("reverse",) if name == "reverse" else ("forward",)},)
        for name in shares
        if METHODS[name]
    }
    ways = {name: lessons[name][-1]["directions"] if name in lessons else () for name in shares}
    taught = {name: tuple(f"relation/{way}" for way in of) for name, of in ways.items()}
    table = pd.concat([rewards(name, seed) for name in ("chain", "null") for seed in seeds])
    return Evidence(
        scores.last_phase(phases),
        report,
        taught,
        {"scenes": ("task", "direction")},
        phases,
        lessons,
        logged=lambda: table if logged else pd.DataFrame(),
        methods={name: METHODS[name] for name in shares},
    )


def answers(variant: str, seed: int, phase: int, shares: dict, scenes: int) -> pd.DataFrame:
    return _answers(variant, seed, phase, tuple(shares.items()), scenes).copy()


@lru_cache(maxsize=64)  # studies differ in few of their runs
def _answers(variant: str, seed: int, phase: int, shares: tuple, scenes: int) -> pd.DataFrame:
    shares = dict(shares)
    rng = np.random.default_rng([seed, phase, scenes])
    rows = []
    for population, kind, direction in product(("novel", "background"), OPTIONS, shares):
        share = 0.95 if population == "background" else shares[direction]
        for form, drop in (("free", "none"), ("choice", "none"), ("judge", "none"), ("free", "image")):
            share = share if drop == "none" else 1 / len(OPTIONS[kind])
            right = rng.permutation(np.arange(scenes) < round(share * scenes))
            rows += [
                _row(population, kind, direction, form, drop, scene, bool(right[scene]), seed)
                for scene in range(scenes)
            ]
    return scores.prepare(pd.DataFrame(rows), variant, seed).assign(world="scenes", phase=phase)


def _row(population, kind, direction, form, drop, scene, right, seed) -> dict:
    options = OPTIONS[kind]
    forward = options[scene % len(options)]
    relation = forward if direction == "forward" else CONVERSE[forward]
    shown, gold = options, options.index(relation)
    if form == "judge":
        shown, gold = ("True", "False"), scene // 4 % 2
    # Whoever is wrong says the converse.
    said = gold if right else (1 - gold if form == "judge" else options.index(CONVERSE[relation]))
    logprobs = [float(np.log(0.9 if k == said else 0.1 / (len(shown) - 1))) for k in range(len(shown))]
    compared = "ABCD" if form == "choice" else shown
    task = "statement" if form == "judge" else "comparison" if kind == "size" else "relation"
    group = f"{population}-{kind}-{scene:03d}" + f"-{seed}" * (population == "novel")
    return {
        "id": f"{group}/{task}/{direction}/{form}/{drop}",
        "group": group,
        "split": "test",
        "task": task,
        "direction": direction,
        "relation": relation,
        "format": form,
        "kind": kind,
        "wording": "unseen",
        "population": population,
        "drop": drop,
        "options": list(shown),
        "how": "words" if form == "choice" else "",
        "gold": gold,
        "truth": {},
        "pictures": [f"{group}.png"],
        "question": "Which?",
        "logprobs": logprobs,
        "p_gold": float(np.exp(logprobs[gold])),
        "picks": [compared[said]] if form != "free" else [],
        "orders": 1,
        "all_orders": float(right),
        "answer": compared[gold] if form != "free" else relation,
        "text": compared[said],
        "parsed": compared[said],
        "parts": {"exact": float(right), "format": 1.0},
        "correct_logprob": right,
        "correct_text": right,
    }


def rewards(variant: str, seed: int) -> pd.DataFrame:
    """What the phases of a run log: the reward of `chain` rises to one, that of the null to nine tenths while
    its exact answers vanish."""
    rows = [{"step": step, "loss": 1.0, "method": method, "phase": phase}
            for phase, method in ((1, "sft"), (2, "dpo")) for step in (10, 20)]  # fmt: skip
    for step in (10, 20, 30):
        done = step / 30
        exact = done if variant == "chain" else 1 - done
        row = {"step": step, "loss": 0.1, "method": "grpo", "phase": 3}
        row |= {"reward": 0.1 + 0.9 * done - 0.01 * seed}
        row |= {"rewards_right_mean": exact, "rewards_exact_mean": exact, "kl": done, "entropy": 1 - done}
        rows.append(row | {"completions_mean_length": 2.0})
    return pd.DataFrame(rows).assign(variant=variant, seed=seed)
