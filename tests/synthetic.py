"""Answers of simulated studies, written as evaluation writes them, so that every table has a value known by
hand."""

import json
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import scores
from mmrc_helpers.analysis.evidence import Evidence

LETTERS = "ABCD"
CELLS = (
    "forward/free", "forward/choice", "forward/judge",
    "reverse/free", "reverse/choice", "reverse/choice, name first", "reverse/judge",
)  # fmt: skip
CHANCE = {"forward/free": 0.0, "forward/choice": 0.25, "forward/judge": 0.5, "reverse/free": 0.15,
          "reverse/choice": 0.25, "reverse/judge": 0.5, "in_context": 1.0, "named": 1.0}  # fmt: skip
NAMING = {"forward/free": 1.0}
FORWARD = {"forward/free": 1.0, "forward/choice": 1.0, "forward/judge": 1.0}
EVERYTHING = dict.fromkeys(CELLS, 1.0)
TAUGHT = {
    "untrained": (),
    "naming": ("forward/free",),
    "forward": ("forward/free", "forward/choice", "forward/judge"),
    "both": tuple(cell for cell in CELLS if "," not in cell),
}  # fmt: skip
TAUGHT["shuffled"] = TAUGHT["forward"]
REPORT = {"finding": "reversal", "read": "forward", "beside": "naming", "learnable": "both",
          "controls": ("untrained", "shuffled"), "variants": ()}  # fmt: skip


def evidence(
    seeds=(0, 1, 2), controls=(0,), report=REPORT, taught=TAUGHT, people=160, **variants
) -> Evidence:
    """A whole study: variant → shares of novel people, or (shares, options of `rows`); None leaves a variant
    out. What is not named is as it should be: `both` learns all, the controls nothing. seeds: of `untrained`,
    `naming` and `forward`; controls: of the others."""
    usual = {"untrained": {}, "naming": NAMING, "forward": FORWARD, "both": EVERYTHING, "shuffled": {}}
    runs = []
    for variant, wanted in (usual | variants).items():
        shares, options = wanted if isinstance(wanted, tuple) else (wanted, {})
        if shares is not None:
            drops = ("image", "text") if variant in (report.get("read"), report.get("beside")) else ()
            options = {"people": people, "drops": drops} | options
            own = options.pop("seeds", seeds if variant in ("untrained", "naming", "forward") else controls)
            runs += [answers(variant, seed, novel=shares, **options) for seed in own]
    return Evidence(scores.join(runs), report, taught)


def answers(variant="forward", seed=0, people=80, novel=FORWARD, background=None, **options) -> pd.DataFrame:
    """Prepared answers of one run. `novel` and `background` give the exact share of right answers per cell
    (cells left out are at chance); see `rows` for the options."""
    return _prepared(variant, seed, people, _frozen([novel, background, options])).copy()


def study(variants: Mapping[str, dict], seeds=(0, 1, 2), **options) -> pd.DataFrame:
    """Prepared and joined answers of all variants (→ novel shares) and seeds."""
    return scores.join(
        answers(variant, seed, novel=novel, **options)
        for variant, novel in variants.items()
        for seed in seeds
    )


@lru_cache(maxsize=64)
def _prepared(variant: str, seed: int, people: int, frozen: str) -> pd.DataFrame:
    return scores.prepare(_frame(seed, people, frozen), variant, seed)


@lru_cache(maxsize=64)
def _frame(seed: int, people: int, frozen: str) -> pd.DataFrame:
    novel, background, options = json.loads(frozen)
    return pd.DataFrame(list(rows(seed, people, novel, background, **options)))


def _frozen(value) -> str:
    return json.dumps(value, sort_keys=True)


def rows(
    seed=0,
    people=80,
    novel=FORWARD,
    background=None,
    collapse="",
    two_way=0,
    drops=(),
    survives=(),
    invalid=0,
    overflows=None,
    denies=(),
    probe=False,
    formats=("free", "choice", "judge"),
) -> Iterator[dict]:
    """Answer rows: each person asked once in every cell (twice in judging), in the picture and the text drop
    on request. A share may be a list, one for each seed.

    collapse: this letter is always favoured. two_way: so many novel people are counted apart. survives:
    cells that stay right when dropped. invalid: so many written texts per cell are invalid; or {cell: …}.
    overflows: so many answers per cell have log-probabilities that are no numbers: {cell: …}.
    denies: judge cells whose answers about novel people are all "Wrong" though their ranks stay right. probe:
    with the naming probe, whose share is the novel "named". formats: those that are asked.
    """
    rng = np.random.default_rng([seed, people])
    for population, shares in (("novel", novel), ("background", background or EVERYTHING)):
        asked = [cell for cell in CELLS if cell.split("/")[1].split(",")[0] in formats]
        for cell in (*asked, "in_context"):
            share = _share(cell, shares, seed)
            named = _spread(people, _share("named", shares, seed), rng)
            for drop in ("none", *(drops if population == "novel" and cell != "in_context" else ())):
                keeps = drop == "none" or cell in survives
                right = _spread(people, share if keeps else _share(cell, {}, seed), rng)
                spoilt = invalid if isinstance(invalid, int) else invalid.get(cell, 0)
                for person in range(people):
                    for match in (True, False) if cell.endswith("judge") else (True,):
                        row = dict(_row(population, cell, person, bool(right[person]), match, drop, seed))
                        if cell in denies and population == "novel":
                            row |= _denied(row)
                        if collapse and row["format"] == "choice":
                            row["picks"] = [collapse] * 4
                        if person < two_way and population == "novel":
                            row["population"] = "two_way"
                        if person < (overflows or {}).get(cell, 0):
                            row |= {"logprobs": [float("nan")] * len(row["logprobs"])}
                        if person < spoilt:
                            row |= {"parsed": "invalid", "text": "well", "correct_text": False}
                        yield row
                        if probe and cell.startswith("reverse/choice") and drop == "none":
                            yield from _probe(row, bool(named[person]))


def write(folder: Path, made) -> Path:
    """The rows as answers.jsonl in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return folder


def _share(cell: str, shares: Mapping, seed: int) -> float:
    plain = cell.removesuffix(", name first")
    share = shares.get(cell, shares.get(plain, CHANCE[plain]))
    return share[seed % len(share)] if isinstance(share, list) else share


def _spread(people: int, share: float, rng) -> np.ndarray:
    """`round(share * people)` right answers in random order, so that the share is exact."""
    return rng.permutation(np.arange(people) < round(share * people))


@lru_cache(maxsize=1 << 15)  # studies differ in few of their rows
def _row(population, cell, person, right, match, drop, seed) -> dict:
    topic = "in_context" if cell == "in_context" else "identity"
    direction, format = ("reverse/choice" if cell == "in_context" else cell.split(",")[0]).split("/")
    # Novel people are others in every seed, background people the same.
    group, own = (
        f"{population}-{person:04d}",
        f"{population} {person}" + f" of {seed}" * (population == "novel"),
    )
    gold, options = person % 4, [f"{own} or {k}" for k in range(4)]
    pictured = direction == "reverse" and format == "choice"
    if pictured:
        options = [f"{population}-{(person + 7 * k) % 1000:04d}-17.png" for k in range(4)]
    if format == "judge":
        gold, options = 0 if match else 1, ["Right", "Wrong"]
    if format == "free":
        options = [f"This is {o}." if direction == "forward" else f"look {(person + k) % 5}." for k, o in
                   enumerate(options)]  # fmt: skip
    favoured = (gold if right else gold + 1) % len(options)
    logprobs = [math.log(0.15 / (len(options) - 1))] * len(options)
    logprobs[favoured] = math.log(0.85)
    compared = LETTERS[: len(options)] if format == "choice" else options
    picks = (
        [compared[(favoured - shift) % 4] for shift in range(4)]
        if format == "choice"
        else [options[favoured]]
    )
    order = "name_first" if cell in ("reverse/judge", "reverse/choice, name first") else "image_first"
    return {
        "id": f"{group}/{cell}/{match}/{drop}",
        "group": group,
        "split": "test",
        "world": "people",
        "phase": 1,
        "population": population,
        "topic": topic,
        "direction": direction,
        "format": format,
        "order": order,
        "distractors": "random" if format == "choice" else "",
        "drop": drop,
        "options": options,
        "how": {"choice": "pictures" if pictured else "words"}.get(format, ""),
        "gold": gold,
        "truth": {"about": "looks"} if cell == "reverse/free" else {"groups": [group] * len(options)},
        "pictures": options if pictured else [f"{group}-17.png"],
        "question": f"What about {own}?" if direction == "reverse" or format == "judge" else "Who is this?",
        "logprobs": logprobs,
        "p_gold": float(np.exp(logprobs[gold])),
        "order_logprobs": [logprobs] * 4 if format == "choice" else [],
        "picks": picks if format != "free" else [],
        "orders": 4 if format == "choice" else 1,
        "all_orders": float(right),
        "answer": compared[gold],
        "text": compared[favoured],
        "parsed": compared[favoured],
        "parts": {"answer": float(right), "format": 1.0},
        "correct_logprob": right,
        "correct_text": right,
    }


def _denied(row: dict) -> dict:
    """The judgement below one half for everybody, its rank kept."""
    affirmed = 0.45 if row["logprobs"][0] > np.log(0.5) else 0.05
    said = {"parsed": "Wrong", "text": "Wrong", "picks": ["Wrong"]}
    right = row["gold"] == 1
    return said | {"logprobs": [float(np.log(affirmed)), float(np.log(1 - affirmed))],
                   "correct_logprob": right, "correct_text": right}  # fmt: skip


def _probe(row: dict, named: bool) -> Iterator[dict]:
    """The naming probe of a line-up: every picture, with every name; the asked name is likeliest for its own
    picture if it is stored, for the next one otherwise."""
    likeliest = row["gold"] if named else (row["gold"] + 1) % 4
    names = [f"This is {row['group']}, {k}." for k in range(4)]
    for place in range(4):
        logits = np.where(np.arange(4) == row["gold"], 2.0 if place == likeliest else 0.0, 1.0)
        logprobs = (logits - np.log(np.exp(logits).sum())).tolist()
        about = {"topic": "storage", "direction": "forward", "format": "free", "how": "", "gold": place}
        about |= {"id": f"{row['id']}/storage/{place}", "options": names, "logprobs": logprobs, "answer": ""}
        about |= {"truth": {"lineup": row["id"], "place": place}, "pictures": [row["pictures"][place]]}
        yield row | about | {"picks": [], "orders": 1, "parsed": "invalid", "text": "", "correct_text": False}
