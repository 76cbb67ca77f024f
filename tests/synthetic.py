"""Answers of simulated studies, written as evaluation writes them, so that every table has a value known by
hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import scores

LETTERS = "ABCD"
NAMING = {"forward/free": 1.0}
FORWARD = {"forward/free": 1.0, "forward/choice": 1.0, "forward/judge": 1.0, "reverse/judge": 0.5}
EVERYTHING = dict.fromkeys(scores.CELLS, 1.0)


def answers(variant="forward", seed=0, people=80, novel=FORWARD, background=None, **options) -> pd.DataFrame:
    """Prepared answers of one run. `novel` and `background` give the exact share of right answers per cell
    (cells left out are at chance); see `rows` for the options."""
    return scores.prepare(pd.DataFrame(rows(seed, people, novel, background, **options)), variant, seed)


def study(arms: dict[str, dict], seeds=(0, 1, 2), **options) -> pd.DataFrame:
    """Prepared answers of all arms (variant → novel shares) and seeds."""
    return pd.concat(
        [answers(variant, seed, novel=novel, **options) for variant, novel in arms.items() for seed in seeds]
    )


def rows(seed=0, people=80, novel=FORWARD, background=None, collapse="", two_way=0, drops=(), invalid=0):
    """Answer rows: each person asked once in every cell (twice in judging), in the picture and the text drop
    on request. collapse: this letter is always favoured. two_way: so many novel people are marked. invalid:
    so many generated texts per cell are invalid."""
    rng = np.random.default_rng(seed)
    made = []
    for population, shares in (("novel", novel), ("background", background or EVERYTHING)):
        for cell in (*scores.CELLS, "in_context"):
            share = {"in_context": 1.0, **shares}.get(cell, 0.5 if cell.endswith("judge") else 0.25)
            for drop in ("none", *(drops if population == "novel" else ())):
                right = _spread(people, share if drop == "none" else 0.25, rng)
                for person in range(people):
                    for match in (True, False) if cell.endswith("judge") else (True,):
                        row = _row(population, cell, person, bool(right[person]), match, drop, collapse, seed)
                        row["two_way"] = population == "novel" and person < two_way
                        if person < invalid:
                            row |= {"parsed": "invalid", "text": "well", "correct_text": False}
                        made.append(row)
    return made


def write(folder: Path, made: list[dict]) -> Path:
    """The rows as answers.jsonl in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return folder


def _spread(people: int, share: float, rng) -> np.ndarray:
    """`round(share * people)` right answers in random order, so that the share is exact."""
    return rng.permutation(np.arange(people) < round(share * people))


def _row(population, cell, person, right, match, drop, collapse, seed):
    topic = "in_context" if cell == "in_context" else "identity"
    direction, format = ("reverse/choice" if cell == "in_context" else cell).split("/")
    group, gold = f"{population}-{person}", person % 4
    lineup = direction == "reverse" and format == "choice"
    names = [f"{population}-{(person + 7 * k) % 1000}-17.png" if lineup else f"Name {k}" for k in range(4)]
    favoured = gold if right else (gold + 1) % 4
    if format == "judge":
        gold, names = 0 if match else 1, ["Right", "Wrong"]
        favoured = gold if right else 1 - gold
    logprobs = [np.log(0.85 if k == favoured else 0.15 / (len(names) - 1)) for k in range(len(names))]
    picks = (
        [LETTERS[(favoured - shift) % 4] for shift in range(4)] if format == "choice" else [names[favoured]]
    )
    if collapse and format == "choice":
        picks = [collapse] * 4
    probed = lineup and drop == "none" and topic == "identity"
    return {
        "id": f"{seed}/{group}/{cell}/{match}/{drop}",
        "group": group,
        "population": population,
        "topic": topic,
        "direction": direction,
        "format": format,
        "order": "name_first" if cell == "reverse/judge" else "image_first",
        "distractors": "random" if format == "choice" else "",
        "two_way": False,
        "drop": drop,
        "choices": names,
        "choice_groups": [group] * len(names),
        "gold": gold,
        "logprobs": logprobs,
        "picks": picks,
        "orders": len(picks),
        "answer": f"This is {group}.",
        "text": "A",
        "parsed": names[favoured],
        "correct_logprob": right,
        "correct_text": right,
        "p_gold": float(np.exp(logprobs[gold])),
        "storage": [-float((k - gold) % 4) for k in range(4)] if probed else None,
        "storage_correct": True if probed else None,
        "images": names if lineup else [f"{group}-17.png"],
    }
