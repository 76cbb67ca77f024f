"""The finding of simple-to-hard puzzles, on simulated answers and gradients whose numbers are known."""

import json
from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd
import pytest

from mmrc_helpers.analysis import FINDINGS, scores
from mmrc_helpers.analysis.evidence import Evidence
from mmrc_helpers.analysis.intervals import clopper_pearson
from mmrc_helpers.analysis.simple_to_hard import alignment, gates, plots, tables, verdict
from mmrc_helpers.figures import style

N = 100  # instances of each difficulty
VIEWS = ("text", "image", "image_via_text")
LESSONS = {
    "text": ("simple/text",),
    "image": ("simple/image",),
    "mix": ("simple/text", "simple/image", "simple/image_via_text"),
    "mix_plus": ("simple/text", "simple/image", "simple/image_via_text", "hard/text"),
    "ivt": ("simple/image_via_text",),
    "shuffled": ("simple/text", "simple/image"),
}
ALL = {"simple/text": 1.0, "simple/image": 1.0, "simple/image_via_text": 1.0}
USUAL = {
    "text": {"simple/text": 1.0},
    "mix": {**ALL, "hard/text": 0.1, "hard/image": 0.0},
    "mix_plus": {**ALL, "hard/text": 0.9, "hard/image": 0.6, "hard/image_via_text": 0.7},
    "shuffled": {},
}
REPORT = {"finding": "simple_to_hard", "read": "mix_plus", "beside": "mix", "controls": ("shuffled",)}
MIXES = {name: {lesson: 1 for lesson in lessons} for name, lessons in LESSONS.items()}
MIXES["mix_plus"] = {**MIXES["mix_plus"], "hard/text": 3}


def answers(variant, seed=0, shares=None, dropped=(), misread=0.0, views=VIEWS) -> pd.DataFrame:
    """Prepared answers: of every cell the first instances are right, as many as the share says (a list: one
    for each seed). misread: share of the answers about pictures, the last ones, that read wrongly. dropped:
    cells asked once more without the picture, with their shares."""
    return _answers(variant, seed, json.dumps([shares or {}, dict(dropped), misread, views])).copy()


@lru_cache(maxsize=128)  # studies differ in few of their runs
def _answers(variant: str, seed: int, told: str) -> pd.DataFrame:
    rows = []
    shares, dropped, misread, views = json.loads(told)
    cells = {(d, v, "none"): shares.get(f"{d}/{v}", 0.0) for d, v in product(("simple", "hard"), views)}
    cells |= {(*cell.split("/"), "image"): share for cell, share in dropped.items()}
    for (difficulty, view, drop), share in cells.items():
        share = share[seed % len(share)] if isinstance(share, list) else share
        for k in range(N):
            parts = {"answer": float(k < share * N)}
            if view != "text":
                parts["reading"] = 1.0 if k < N - round(misread * N) else 0.5
            if view == "image_via_text":
                parts["transcription"] = parts["reading"]
            row = {"id": f"{difficulty}-{k}-{view}-{drop}", "group": f"{difficulty}-{k}", "split": "test"}
            row |= {"task": "readout", "difficulty": difficulty, "view": view, "cot": "yes", "drop": drop}
            row |= {"options": [], "how": "", "gold": -1, "truth": {}, "pictures": [], "question": "?"}
            row |= {"logprobs": [], "picks": [], "orders": 1, "all_orders": 1.0, "answer": f"sum {k}"}
            row |= {"text": "", "parsed": "sum", "parts": parts, "p_gold": 0.0}
            rows.append(row | {"correct_text": k < share * N, "correct_logprob": False})
    return scores.prepare(pd.DataFrame(rows), variant, seed).assign(world="tables", phase=1)


def evidence(seeds=(0, 1), report=REPORT, options=None, lessons=None, traced=None, **variants) -> Evidence:
    """A whole study; variant → shares, None leaves it out. options: variant → those of `answers`."""
    shares = {name: of for name, of in (USUAL | variants).items() if of is not None}
    runs = [
        answers(name, seed, of, **(options or {}).get(name, {}))
        for name, of in shares.items()
        for seed in seeds
    ]
    taught = {name: LESSONS.get(name, ()) for name in shares}
    lessons = lessons or {name: ({"mix": MIXES[name], "thousands": 0.0},) for name in shares if name in MIXES}
    tables_ = traced or {"logprobs": pd.DataFrame(), "gradients": pd.DataFrame()}
    facets = {"tables": ("difficulty", "view")}
    return Evidence(
        scores.join(runs), report, taught, facets, None, lessons, lambda name="logprobs": tables_[name]
    )


def said_of(variant: str, **study) -> str:
    return verdict.verdict(evidence(**study)).parts[variant].verdict


# --- the verdict --------------------------------------------------------------------------------------------

REACHED = {**ALL, "hard/text": 0.95, "hard/image": 0.97}
VERDICTS = {
    "HARD images are as good as SIMPLE ones": ({"mix_plus": REACHED}, verdict.REACHES),
    "better than nothing, worse than SIMPLE": ({}, verdict.PARTLY),
    "HARD images stay at chance": ({"mix_plus": {**ALL, "hard/text": 0.9}}, verdict.NOT),
    "HARD text was not learned": ({"mix_plus": {**REACHED, "hard/text": 0.6}}, verdict.INCONCLUSIVE),
    "SIMPLE images were not learned": ({"mix_plus": {**REACHED, "simple/image": 0.8}}, verdict.INCONCLUSIVE),
    "one seed did not learn": (
        {"mix_plus": {**REACHED, "simple/image": [1.0, 1.0, 0.78]}, "seeds": (0, 1, 2)},
        verdict.INCONCLUSIVE,
    ),
    "a little, for certain": ({"mix_plus": {**ALL, "hard/text": 0.9, "hard/image": 0.07}}, verdict.PARTLY),
    "a gap that is neither there nor absent": (
        {"mix_plus": {**REACHED, "simple/image": 0.93, "hard/image": 0.87}}, verdict.INCONCLUSIVE,
    ),
    "one seed reaches, the other does not": (
        {"mix_plus": {**ALL, "hard/text": 0.9, "hard/image": [0.9, 0.0]}}, verdict.INCONCLUSIVE,
    ),
    "a single seed": ({"seeds": (0,)}, verdict.INCONCLUSIVE),
    "the null knows the answers": ({"shuffled": {"simple/text": 0.4}}, verdict.INCONCLUSIVE),
    "HARD images can be learned": (
        {"report": {**REPORT, "learnable": "text"}, "text": {**ALL, "hard/image": 0.9},
         "mix_plus": {**ALL, "hard/text": 0.9}}, verdict.NOT,
    ),
    "HARD images cannot be learned": (
        {"report": {**REPORT, "learnable": "text"}, "text": {**ALL, "hard/image": 0.5},
         "mix_plus": {**ALL, "hard/text": 0.9}}, verdict.INCONCLUSIVE,
    ),
    "no control": ({"report": {**REPORT, "controls": ()}}, verdict.INCONCLUSIVE),
    "answers survive without the picture": (
        {"options": {"mix_plus": {"dropped": {"simple/image": 0.5}}}}, verdict.INCONCLUSIVE,
    ),
    "the picture is dropped and missed": (
        {"options": {"mix_plus": {"dropped": {"simple/image": 0.0}}}}, verdict.PARTLY,
    ),
    "the untrained model is as good": ({"untrained": {"hard/image": 0.6}}, verdict.INCONCLUSIVE),
}  # fmt: skip


@pytest.mark.parametrize("study, wanted", VERDICTS.values(), ids=VERDICTS)
def test_the_verdict_on_a_supervision_is_that_of_a_careful_reader(study, wanted):
    assert said_of("mix_plus", **study) == wanted


def test_the_study_is_told_in_one_sentence_with_every_supervision():
    found = verdict.verdict(evidence())
    assert found.verdict == f"mix_plus {verdict.PARTLY}; mix {verdict.NOT}"
    low, high = (round(100 * end) for end in scores.accuracy(_cell("mix_plus", "hard/image")).safe)
    assert f"hard image 60 % [{low}, {high}] (by seed 60 % / 60 %, 100 instances" in found.sentence
    assert f"text {verdict.NOT}" in found.sentence, "the others in a word"
    assert "+60 [" in found.notes["mix_plus against mix, hard image"]
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_supervision_without_images_is_read_where_it_was_taught():
    assert tables.target_of(evidence(), "text") == "hard/image"
    study = evidence(ivt={"simple/image_via_text": 1.0, "hard/image_via_text": 0.5})
    assert tables.target_of(study, "ivt") == "hard/image_via_text"
    assert "hard image_via_text 50 %" in verdict.verdict(study).parts["ivt"].sentence


def test_phases_that_prepare_a_supervision_are_no_part_of_it():
    lessons = {"text": ({"mix": MIXES["ivt"]}, {"mix": {**MIXES["text"], "simple/image": 0}})}
    study = evidence(lessons=lessons)
    assert tables.lessons_of(study, "text") == ("simple/text",)
    assert tables.target_of(study, "text") == "hard/image"


def test_a_study_without_the_variant_or_without_puzzles_has_no_verdict():
    assert verdict.verdict(evidence(mix_plus=None)).verdict == verdict.INCONCLUSIVE
    other = evidence()
    people = other.answers.drop(columns=["difficulty", "view"]).assign(direction="forward", format="free")
    without = Evidence(people, REPORT, other.taught, {"tables": ("direction", "format")})
    found = verdict.verdict(without)
    assert found.parts["mix_plus"].verdict == verdict.INCONCLUSIVE and "was not asked" in found.sentence
    for name in ("gates", "gaps", "reading", "sizes", "alignment"):
        assert isinstance(FINDINGS["simple_to_hard"].figures[name](without), str)


# --- tables -------------------------------------------------------------------------------------------------


def _cell(variant, cell, **study):
    return tables.of_cells(tables.asked(evidence(**study)))[variant, cell]


def test_intervals_are_clustered_by_instance_over_seeds():
    one = scores.accuracy(_cell("mix_plus", "hard/image", seeds=(0,)))
    assert (one.low, one.high) == pytest.approx(clopper_pearson(60, N)) and one.groups == N
    two = scores.accuracy(_cell("mix_plus", "hard/image"))
    assert two.groups == N and len(two.seeds) == 2, "the instances of both seeds are the same ones"
    # The same instances in both seeds are no more evidence than in one; as independent ones they would be.
    assert two.high - two.low == pytest.approx(one.high - one.low, rel=0.2)


def test_the_modality_gap_is_paired_on_the_same_instances():
    shares = {"mix_plus": {**ALL, "hard/text": 0.5, "hard/image": 0.5}}
    rows = tables.asked(evidence(seeds=(0,), **shares))
    gap = (
        tables.view_gaps(rows).set_index(["variant", "difficulty", "view"]).loc[("mix_plus", "hard", "image")]
    )
    # Every instance that is right as text is right as a picture: unpaired, the interval would be ± 14 points.
    assert gap.gap == 0 and gap.groups == N and gap.high - gap.low < 0.1
    s2h = tables.difficulty_gaps(rows).set_index(["variant", "view"]).loc[("mix_plus", "image")]
    assert s2h.gap == pytest.approx(0.5) and s2h.low < 0.45 and s2h.high > 0.55


def test_reading_is_told_apart_from_reasoning():
    options = {"mix_plus": {"misread": 0.3}}  # the last 30 instances; the first 60 are right
    table = tables.reading_and_reasoning(tables.asked(evidence(options=options)))
    row = table.set_index(["variant", "difficulty", "view"]).loc[("mix_plus", "hard", "image")]
    assert row.reading == pytest.approx(0.7) and row.reasoning == pytest.approx(60 / 70)
    assert row.share_read == pytest.approx(0.7 + 0.3 * 0.5) and row.text == pytest.approx(0.9)
    shares = [row.read_right, row.read_wrong, row.misread_right, row.misread_wrong]
    assert shares == pytest.approx([0.6, 0.1, 0.0, 0.3])
    via = table.set_index(["variant", "difficulty", "view"]).loc[("mix_plus", "hard", "image_via_text")]
    assert via.reading == pytest.approx(0.7) and via.reasoning == pytest.approx(1.0)


def test_only_supervisions_in_several_sizes_have_a_curve():
    lessons = {name: ({"mix": MIXES[name], "thousands": 30.0},) for name in ("mix", "mix_plus")}
    lessons["text"] = ({"mix": MIXES["mix_plus"], "thousands": 60.0},)  # the mix of mix_plus, twice as large
    table = tables.over_sizes(evidence(lessons=lessons))
    assert set(table["supervision"]) == {"text"}, "named after the first variant taught so"
    hard = table[table["cell"] == "hard/image"]
    assert list(hard["thousands"]) == [30.0, 60.0] and list(hard["value"]) == pytest.approx([0.6, 0.0])
    chained = {**lessons, "text": ({"mix": {}, "thousands": 1.0}, *lessons["text"])}
    assert tables.over_sizes(evidence(lessons=chained)).empty, "two phases are another supervision"


def test_the_table_holds_gaps_parts_and_seeds():
    table = tables.everything(evidence()).set_index(["variant", "condition"])
    assert [name.split("/")[0] for name in table.columns] == sorted(
        (name.split("/")[0] for name in table.columns), key=tables.DIFFICULTIES.index
    )
    assert table.loc[("mix_plus", "accuracy"), "hard/image"].startswith("60.0")
    assert table.loc[("mix_plus", "SIMPLE minus this (S2H gap)"), "hard/image"].startswith("+40.0")
    assert table.loc[("mix_plus", "text minus this (modality imbalance)"), "hard/image"].startswith("+30.0")
    assert table.loc[("mix_plus", "part: transcription"), "hard/image_via_text"].startswith("100.0")
    assert table.loc[("mix_plus", "read without a mistake"), "hard/image"].startswith("100.0")
    assert list(dict.fromkeys(table.index.get_level_values(0))) == list(USUAL)


# --- gradients ----------------------------------------------------------------------------------------------

CELLS = [f"{difficulty} {view}" for difficulty in ("simple", "hard") for view in VIEWS]
TOKENS = dict(zip(CELLS, (20, 20, 60, 40, 40, 80), strict=True))


def vectors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {cell: rng.normal(size=12) + 1 for cell in CELLS}


def traced(variants=("mix", "mix_plus"), cells=CELLS, seeds=(0, 1), adam=False) -> dict[str, pd.DataFrame]:
    gradients, logprobs = [], []
    for variant, seed, step in product(variants, seeds, (0, 10)):
        run = {"variant": variant, "seed": seed, "phase": 1, "step": step, "supervised_tokens": step}
        own = vectors(seed + step)
        for cell in cells:
            difficulty, view = cell.split(" ")
            row = {"candidate": "right", "difficulty": difficulty, "view": view, "tokens": TOKENS[cell]}
            logprobs.append(run | row | {"id": cell, "group": cell})
        for left, right, kind in product(cells, cells, ("none", "adam") if adam else ("none",)):
            inner = float(own[left] @ own[right])
            row = {"layer": "all", "preconditioner": kind, "left": left, "right": right, "inner": inner}
            norms = np.linalg.norm(own[left]) * np.linalg.norm(own[right])
            gradients.append(
                run | row | {"cosine": inner / norms, "transfer": inner / (own[right] @ own[right])}
            )
    return {"gradients": pd.DataFrame(gradients), "logprobs": pd.DataFrame(logprobs)}


def products(own: dict[str, np.ndarray]) -> pd.DataFrame:
    matrix = np.stack(list(own.values()))
    return pd.DataFrame(matrix @ matrix.T, index=list(own), columns=list(own))


def test_alignment_of_hard_images_with_themselves_is_one():
    found = alignment.mixed(products(vectors()), {"hard image": 1.0})
    assert found["cosine"] == pytest.approx(1) and found["transfer"] == pytest.approx(1)


def test_alignment_of_one_lesson_is_that_of_its_cell():
    own = vectors()
    found = alignment.mixed(products(own), {"simple text": 1.0})
    one, goal = own["simple text"], own["hard image"]
    assert found["transfer"] == pytest.approx(one @ goal / (goal @ goal))
    assert found["cosine"] == pytest.approx(one @ goal / np.linalg.norm(one) / np.linalg.norm(goal))


def test_alignment_of_a_mix_is_that_of_the_gradient_of_its_loss():
    own, shares = vectors(3), alignment.weights({"simple/text": 1, "hard/text": 3, "hard/image": 0}, TOKENS)
    assert shares == pytest.approx({"simple text": 20 / 140, "hard text": 120 / 140})
    whole = sum(share * own[cell] for cell, share in shares.items())
    found, goal = alignment.mixed(products(own), shares), own["hard image"]
    assert found["inner"] == pytest.approx(whole @ goal)
    assert found["cosine"] == pytest.approx(whole @ goal / np.linalg.norm(whole) / np.linalg.norm(goal))
    by_lesson = {cell: alignment.mixed(products(own), {cell: 1.0})["transfer"] for cell in shares}
    assert found["transfer"] == pytest.approx(sum(shares[cell] * by_lesson[cell] for cell in shares)), (
        "linear"
    )


def test_a_gradient_that_is_not_there_has_no_alignment():
    own = vectors() | {"simple text": np.zeros(12)}
    found = alignment.mixed(products(own), {"simple text": 1.0})
    assert np.isnan(found["cosine"]) and found["transfer"] == 0


def test_every_run_is_aligned_by_the_mix_of_its_phase():
    table = alignment.of_supervisions(evidence(traced=traced(adam=True)))
    assert len(table) == 2 * 2 * 2 * 2 and (table["cosine"].abs() <= 1).all()
    row = table[(table["variant"] == "mix_plus") & (table["seed"] == 1) & (table["step"] == 10)].iloc[0]
    wanted = alignment.mixed(products(vectors(11)), alignment.weights(MIXES["mix_plus"], TOKENS))
    assert row["transfer"] == pytest.approx(wanted["transfer"])
    assert len(alignment.ends(table)) == 4
    few = traced(cells=[cell for cell in CELLS if cell != "hard text"])
    assert set(alignment.of_supervisions(evidence(traced=few))["variant"]) == {"mix"}, (
        "a lesson is not probed"
    )


def test_a_null_is_not_aligned_because_its_answers_are_not_those_of_the_gradients():
    lessons = {
        name: ({"mix": MIXES[name], "shuffle_answers": name == "mix"},) for name in ("mix", "mix_plus")
    }
    table = alignment.of_supervisions(evidence(lessons=lessons, traced=traced()))
    assert set(table["variant"]) == {"mix_plus"}


# --- figures ------------------------------------------------------------------------------------------------


def test_every_figure_is_drawn_or_says_why_not():
    lessons = {name: ({"mix": MIXES[name], "thousands": 30.0},) for name in ("mix", "mix_plus")}
    lessons["text"] = ({"mix": MIXES["mix_plus"], "thousands": 60.0},)
    whole = evidence(lessons=lessons, traced=traced(adam=True))
    for name, draw in FINDINGS["simple_to_hard"].figures.items():
        drawn = draw(whole)
        if name in ("gates", "gaps", "reading", "sizes", "alignment", "scores"):
            assert style.image(drawn), name
    assert plots.plot_sizes(evidence()) == plots.NO_SIZES
    assert plots.plot_alignment(evidence()) == plots.NO_GRADIENTS
    assert "mix_plus, SIMPLE − HARD (S2H gap), image +40" in plots.plot_gaps(whole).get_label()
    assert "failed" in plots.plot_gates(evidence(mix_plus={**ALL, "hard/text": 0.2})).get_label()
    control = evidence(text=None, mix=None, mix_plus=None)
    assert plots.plot_gates(control) == plots.NO_GATES  # as in its own notebook


def test_every_gate_says_its_number():
    found = tables.of_cells(tables.asked(evidence()))
    for gate in gates.gates(evidence(), "mix_plus", found, {}):
        assert gate.passed and gate.gate in gate.reason and "%" in gate.reason
