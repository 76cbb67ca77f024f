"""The reversal study beside its verdict: gates and their history, what is bound where, judging, numbers."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import synthetic
from synthetic import EVERYTHING, FORWARD, NAMING, REPORT

from mmrc_helpers.analysis import FINDINGS, accuracy, scores
from mmrc_helpers.analysis.evidence import Evidence
from mmrc_helpers.analysis.reversal import cells, gates, history, rules, tables, verdict

LOOKS = {"invalid": {"reverse/free": 3}}


@pytest.fixture(scope="module")
def default():
    """As the first default study came out, with the naming probe."""
    seeds = {"reverse/choice": [0.82, 0.68, 0.73], "reverse/choice, name first": [0.62, 0.58, 0.64]}
    found = {**FORWARD, **seeds, "reverse/judge": 0.8}
    naming = {**NAMING, "forward/choice": 0.36, "reverse/choice": 0.41, "named": 0.9}
    both = {**EVERYTHING, "reverse/free": 0.89}
    return synthetic.evidence(
        people=80,
        forward=(found, {**LOOKS, "probe": True}),
        naming=(naming, {"probe": True}),
        both=both,
    )


@pytest.fixture(scope="module")
def found(default):
    return verdict.verdict(default)


def checked(evidence, variant="forward", format="choice"):
    return {gate.gate: gate for gate in gates.gates(cells.split(evidence.answers), evidence, variant, format)}


def test_the_verdict_is_one_per_format_and_one_sentence_for_all(found):
    assert found.verdict == "free: inconclusive; choice: direction gap; judge: direction gap"
    assert (
        "choice, direction gap: reverse choice 74" in found.sentence and "judge (AUC) 80 %" in found.sentence
    )
    assert "39 points" in found.sentence  # with the name first
    assert (
        found.beside["choice"].verdict == "inconclusive" and found.beside["judge"].verdict == "format-bound"
    )
    assert found.rules == rules.VERSION == FINDINGS["reversal"].version == 4


def test_earlier_rules_and_prior_works_rule_stand_beside_the_verdict(found):
    """Version 1 asked for validity in all cells: 3 invalid looks forbid it; version 2 read three cells."""
    said = found.earlier
    third, prior = "rules 3 of 2026-11-28", "threshold rule of prior work"
    assert list(said) == ["rules 1 of 2026-11-21", "rules 2 of 2026-11-21", third, prior]
    assert said[third] == "free: inconclusive; choice: direction gap; judge: direction gap"
    first = said["rules 1 of 2026-11-21"]
    assert first.startswith("inconclusive (failed: 4 strict validity (lowest in reverse free)")
    assert said["rules 2 of 2026-11-21"].startswith("refuted (reverse choice 74")
    assert said["threshold rule of prior work"] == "refuted (forward 100 %, reverse 74.2 %)"


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({}, "forward failed"),
        (NAMING, "reversal curse confirmed"),
        (EVERYTHING, "refuted"),
        ({**EVERYTHING, "reverse/choice": 0.45}, "undecided"),
    ],
)
def test_prior_works_rule_has_thresholds_only(shares, expected):
    study = Evidence(synthetic.study({"x": shares}, seeds=(0,), people=20), {"read": "x"})
    assert history.threshold_rule(study).startswith(expected)


def test_every_rule_has_a_version_a_date_a_reason_and_what_it_changed():
    assert [rule.version for rule in rules.RULES] == list(range(1, len(rules.RULES) + 1))
    assert all(rule.date >= "2026-11-21" and rule.what and rule.reason for rule in rules.RULES)
    assert all(rule.changed.startswith("Made after results were seen") for rule in rules.RULES[1:])


def test_the_reasons_carry_numbers_seeds_and_intervals(found):
    line = next(line for line in found.reasons if line.startswith("choice: reverse choice 74"))
    assert "240 people, against chance 25 % (by seed 82.5 % / 67.5 % / 72.5 %, t over seeds" in line
    assert "gap to forward choice 26 points [" in line


def test_no_better_than_is_only_said_where_it_is_shown(found):
    notes = found.notes
    assert "better (Holm p < 0.001" in notes["forward against naming, forward choice"]
    assert "+16 [8, 24] points, better (Holm p = 0.00" in notes["naming against untrained, reverse choice"]
    assert "alike within 10 points" in notes["naming against untrained, reverse free"]
    assert "one seed" not in notes["naming against untrained, reverse free"]
    assert notes["power as run, reverse choice"].startswith("240 people in 3 seeds")


def test_a_gate_names_the_cells_outside_of_what_is_read(default):
    validity = checked(default)["4 strict validity"]
    assert validity.passed and "outside of what is read: reverse free 96.2 %" in validity.reason
    assert not checked(default, format="free")["4 strict validity"].passed


def test_only_what_was_taught_in_a_format_must_be_learned_in_it(default):
    learned = {"1 learned: forward free", "1 learned: forward choice"}
    assert {gate for gate in checked(default) if gate[0] == "1"} == learned
    assert {gate for gate in checked(default, "naming") if gate[0] == "1"} == {"1 learned: forward free"}
    taught = {**default.taught, "forward": ("forward/choice",)}
    only = Evidence(default.answers, default.report, taught)
    for format in ("free", "choice"):
        assert {gate for gate in checked(only, format=format) if gate[0] == "1"} == {
            "1 learned: forward choice"
        }


@pytest.mark.parametrize("names_first", [False, True])
def test_a_forward_choice_is_taught_in_one_order(default, names_first):
    answers = default.answers[default.answers["variant"] == "forward"]
    turned = answers[(answers["direction"] == "forward") & (answers["format"] == "choice")]
    both = pd.concat([answers, turned.assign(order="name_first")])
    lesson = {"forward": ({"names_first": names_first},)}
    table = cells.main_table(replace(default, answers=both, lessons=lesson), ["novel"])
    taught = table[table["taught"]]["cell"].tolist()
    order = cells.NAME_FIRST if names_first else ""
    assert [cell for cell in taught if "choice" in cell] == [f"forward/choice{order}"]


def test_validity_is_asked_where_the_verdict_is_read():
    """A variant that was taught by choosing answers who this is with a letter; its choices may be read."""
    taught = {**synthetic.TAUGHT, "forward": ("forward/choice",)}
    shares = ({"forward/choice": 1.0}, {"invalid": {"forward/free": 20}})
    study = synthetic.evidence(people=40, forward=shares, taught=taught)
    assert checked(study)["4 strict validity"].passed
    assert "outside of what is read: forward free 50 %" in checked(study)["4 strict validity"].reason
    assert not checked(study, format="free")["4 strict validity"].passed


def test_a_model_that_calls_everything_wrong_has_collapsed():
    study = synthetic.evidence(people=40)
    judged = study.answers["format"] == "judge"
    said = study.answers["picks"].where(~judged, pd.Series([["Wrong"]] * len(study.answers)))
    kept = Evidence(study.answers.assign(picks=said), study.report, study.taught)
    gate = checked(kept, format="judge")["5 no collapse"]
    assert not gate.passed and "Wrong in forward judge (AUC), background" in gate.reason


def test_letters_may_be_favoured_by_fifteen_points_beyond_an_even_share():
    study = synthetic.evidence(people=40)
    choice = study.answers["format"] == "choice"
    two = study.answers["options"].map(lambda options: options[:2]).where(choice, study.answers["options"])
    for said, passed in ((["A", "B"], True), (["A", "A"], False)):
        picks = study.answers["picks"].where(~choice, pd.Series([said] * len(study.answers)))
        kept = Evidence(study.answers.assign(picks=picks, options=two), study.report, study.taught)
        gate = checked(kept)["5 no collapse"]
        assert gate.passed is passed and gate.most == 0.65
    assert checked(study)["5 no collapse"].most == 0.4


def test_denying_only_novel_people_is_no_collapse_but_affirming_them_is():
    study = synthetic.evidence(people=40)
    novel = (study.answers["format"] == "judge") & (study.answers["population"] == "novel")
    for said, passed in (("Wrong", True), ("Right", False)):
        picks = study.answers["picks"].where(~novel, pd.Series([[said]] * len(study.answers)))
        kept = Evidence(study.answers.assign(picks=picks), study.report, study.taught)
        assert checked(kept, format="judge")["5 no collapse"].passed is passed


def test_gates_that_were_never_asked_fail():
    study = synthetic.evidence(people=40)
    asked = (study.answers["topic"] != "in_context") & (study.answers["population"] == "novel")
    found = gates.gates(cells.split(study.answers[asked]), study, "forward", "choice")
    failed = [gate for gate in found if not gate.passed]
    assert [gate.gate[0] for gate in failed] == ["2", "2", "2", "3"]
    assert all("not measured" in gate.reason for gate in failed)


def test_a_study_without_the_variant_that_is_read_says_so():
    study = synthetic.evidence(people=20, forward=None)
    found = verdict.verdict(study)
    assert found.verdict == "inconclusive" and "no evaluated variant forward," in found.reasons[0]


def test_variants_have_their_parts_by_declaration_not_by_name():
    """The same study with other names gives the same verdict."""
    study = synthetic.evidence(people=80)
    names = {"forward": "a", "naming": "b", "both": "c", "untrained": "d", "shuffled": "e"}
    report = {**REPORT, "read": "a", "beside": "b", "learnable": "c", "controls": ("d", "e")}
    answers = study.answers.assign(variant=study.answers["variant"].map(names))
    taught = {names[name]: cells for name, cells in study.taught.items()}
    renamed = verdict.verdict(Evidence(answers, report, taught))
    assert renamed.verdict == verdict.verdict(study).verdict == "curse"
    assert "alike within 10 points" in renamed.notes["a against d, reverse choice"]


def test_people_taught_both_ways_do_not_enter_the_tested_half():
    study = synthetic.evidence(people=80, forward=(FORWARD, {"two_way": 40}))
    table = cells.main_table(study)
    rows = table[(table["variant"] == "forward") & (table["cell"] == "forward/free")].set_index("population")
    assert rows["groups"].to_dict() == {"novel": 120, "two_way": 120, "background": 80}


def test_the_verdict_is_plain_json(found):
    text = json.dumps(found.as_dict(), allow_nan=False)
    content = json.loads(text)
    assert content["parts"]["choice"]["gates"][0]["gate"].startswith("1 learned") and content["rules"] == 4
    row = next(r for r in content["numbers"] if (r["variant"], r["cell"]) == ("forward", "reverse/choice"))
    assert len(row["by_seed"]) == 3 and row["taught"] is False


def test_answers_of_other_worlds_are_left_alone():
    study = synthetic.evidence(people=40)
    other = study.answers.head(20).assign(world="vsr", direction=np.nan, format=np.nan, topic=np.nan)
    mixed = Evidence(pd.concat([study.answers, other]), study.report, study.taught)
    assert verdict.verdict(mixed).sentence == verdict.verdict(study).sentence


# --- tables ----------------------------------------------------------------------------------------------


def test_judging_reports_detection_and_its_threshold():
    """A model that denies everything may still rank: accuracy one half, AUC 0.8."""
    found = ({**FORWARD, "reverse/judge": 0.8}, {"denies": ["reverse/judge"]})
    table = tables.judges(synthetic.evidence(people=40, forward=found))
    row = (
        table[(table["variant"] == "forward") & (table["population"] == "novel")]
        .set_index("direction")
        .loc["reverse"]
    )
    assert row["auc"] == pytest.approx(0.8) and row["accuracy"] == 0.5
    assert row[["tpr", "fpr", "separation", "share_right"]].tolist() == [0.0, 0.0, 0.0, 0.0]
    forward = table[(table["variant"] == "forward") & (table["population"] == "novel")].iloc[0]
    assert forward[["tpr", "fpr", "auc"]].tolist() == [1.0, 0.0, 1.0]


def test_the_naming_probe_is_read_from_rows_of_its_own():
    answers = synthetic.study({"x": {"named": 0.75}}, seeds=(0,), people=40, probe=True)
    found = tables.with_probe(answers)
    lineups = scores.pick(found, population="novel", topic="identity", direction="reverse", format="choice")
    assert lineups["storage_correct"].mean() == 0.75 and lineups["storage"].map(len).eq(4).all()
    assert found.loc[found["format"] == "judge", "storage_correct"].isna().all()
    without = tables.with_probe(answers[answers["topic"] != "storage"])
    assert without["storage_correct"].isna().all()


def test_what_is_bound_by_choosing_stands_beside_the_naming_probe():
    """A variant that was taught by choosing finds most people although the naming probe says little."""
    shares = {"named": 0.4, "forward/choice": 0.95, "reverse/choice": 0.65}
    study = synthetic.evidence(people=80, forward=(shares, {"probe": True, "seeds": (0,)}))
    row = tables.binding(study).set_index(["variant", "population"]).loc[("forward", "novel")]
    assert row[["naming", "choosing", "access"]].tolist() == pytest.approx([0.4, 0.95, 0.65], abs=0.01)
    parts = row[["bound_reached", "bound_unreached", "unbound_reached", "neither"]]
    assert parts.sum() == pytest.approx(1) and parts["bound_reached"] > 0.5


def test_the_table_of_everything_has_all_conditions(default):
    table = tables.everything(default)
    novel = table[(table["variant"] == "forward") & (table["population"] == "novel")].set_index("condition")
    assert list(novel.index) == [
        "primary", "by seed", "minus forward", "minus untrained", "minus naming", "right in every order",
        "accuracy (TPR / FPR)", "other scoring",
    ]  # fmt: skip
    assert novel.loc["primary", "reverse/choice"].startswith("74.2\u00a0[6")
    assert novel.loc["by seed", "reverse/choice"] == "82 / 68 / 72"
    assert novel.loc["minus forward", "reverse/choice"].startswith("-25.8")
    assert novel.loc["right in every order", "reverse/choice"] == "74.2"
    assert novel.loc["accuracy (TPR / FPR)", "reverse/judge"] == "80.0 (80 / 20)"
    assert "p\u00a0<\u00a00.001" in novel.loc["minus naming", "reverse/choice"]


def test_harder_distractors_stand_below_the_primary_condition():
    study = synthetic.evidence(people=40)
    hard = study.answers[(study.answers["format"] == "choice") & (study.answers["topic"] == "identity")]
    hard = hard.assign(distractors="matched", correct=0.0)
    table = tables.everything(Evidence(pd.concat([study.answers, hard]), study.report, study.taught))
    row = table[(table["variant"] == "forward") & (table["population"] == "novel")].set_index("condition")
    assert row.loc["like distractors", "forward/choice"].startswith("0.0")
    assert (
        row.loc["primary", "forward/choice"].startswith("100.0")
        and row.loc["like distractors", "forward/free"] == ""
    )


def test_power_is_reported_as_run():
    table = tables.power_table(synthetic.evidence(people=60)).set_index(["variant", "cell"])
    row = table.loc[("forward", "reverse/choice")]
    assert row["people"] == 180 and row["seeds"] == 3 and 0.30 < row["detectable"] < 0.36


# --- the finding of any world ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def puzzles():
    """A world of another kind: difficulty × view, written answers, drops."""
    rng, rows = np.random.default_rng(0), []
    shares = {"simple/text": 0.9, "simple/image": 0.7, "hard/text": 0.5, "hard/image": 0.1}
    empty = {
        "options": [],
        "how": "",
        "gold": -1,
        "truth": {},
        "pictures": [],
        "question": "Sum?",
        "text": "",
    }
    empty |= {"logprobs": [], "picks": [], "orders": 0, "all_orders": None, "correct_logprob": None}
    for variant, seed in (("untrained", 0), ("mix", 0), ("mix", 1)):
        for cell, share in shares.items():
            difficulty, view = cell.split("/")
            for drop in ("none", "image") if view == "image" else ("none",):
                known = share if variant == "mix" and drop == "none" else 0.05
                for k in range(40):
                    right = bool(rng.random() < known)
                    row = {
                        "id": f"{cell}/{k}/{drop}",
                        "group": f"puzzle-{k}",
                        "answer": f"{k}",
                        "parsed": f"{k}",
                    }
                    row |= {"difficulty": difficulty, "view": view, "drop": drop, "correct_text": right}
                    row |= {"parts": {"total": float(right), "path": 0.5}, "variant": variant, "seed": seed}
                    rows.append(empty | row)
    table = pd.DataFrame(rows)
    runs = [
        scores.prepare(part.drop(columns=["variant", "seed"]), variant, seed).assign(world="tables", phase=1)
        for (variant, seed), part in table.groupby(["variant", "seed"], sort=False)
    ]
    report = {"finding": "accuracy", "read": "mix", "beside": "", "controls": ("untrained",), "variants": ()}
    facets = {"tables": ("difficulty", "view")}
    return Evidence(scores.join(runs), report, {"untrained": (), "mix": ("simple/text",)}, facets)


def test_the_generic_finding_reads_any_world(puzzles):
    table = accuracy.scored(puzzles)
    assert set(table["cell"]) == {"simple/text", "simple/image", "hard/text", "hard/image"}
    assert table[(table["variant"] == "mix")].set_index("cell").loc["simple/text", "groups"] == 40
    found = accuracy.verdict(puzzles)
    assert found.verdict.startswith("3 better, 1 ") and "hard/image" in " ".join(found.reasons)
    json.dumps(found.as_dict(), allow_nan=False)


def test_the_generic_table_has_parts_and_drops(puzzles):
    table = accuracy.everything(puzzles).set_index(["variant", "condition"])
    assert table.loc[("mix", "part: path"), "hard/text"].startswith("50.0")
    assert table.loc[("mix", "image dropped"), "simple/text"] == ""
    assert table.loc[("mix", "minus untrained"), "simple/text"].startswith("+")
    assert ("mix", "by log-probability") not in table.index


def test_every_finding_offers_the_same_figures_and_says_what_would_refute_it():
    for finding in FINDINGS.values():
        assert {"scores", "gates", "controls", "answers", "transfer", "calibration"} <= set(finding.figures)
        assert finding.controls and finding.version >= 1
