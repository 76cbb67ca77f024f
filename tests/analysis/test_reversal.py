"""The verdict on simulated studies: a curse, its refutation, format-bound knowledge, and all that forbids a
verdict."""

import json

import pytest
import synthetic

from mmrc_helpers.analysis import reversal, scores

CURSE = {"naming": synthetic.NAMING, "forward": synthetic.FORWARD}
REFUTED = {"naming": synthetic.EVERYTHING, "forward": synthetic.EVERYTHING}
FORMAT_BOUND = {"naming": synthetic.NAMING, "forward": synthetic.EVERYTHING}


def judged(arms, **options) -> reversal.Verdict:
    return reversal.verdict(synthetic.study(arms, **options))


@pytest.mark.parametrize(
    ("arms", "expected", "prior"),
    [
        (CURSE, reversal.CONFIRMED, "reversal curse confirmed"),
        (REFUTED, reversal.REFUTED, "refuted"),
        (FORMAT_BOUND, reversal.FORMAT_BOUND, "refuted"),
        ({"forward": synthetic.EVERYTHING}, reversal.REFUTED, "refuted"),
        ({"forward": synthetic.NAMING}, reversal.INCONCLUSIVE, "reversal curse confirmed"),
    ],
)
def test_each_verdict_is_reached_by_its_own_pattern(arms, expected, prior):
    verdict = judged(arms, people=160)
    assert verdict.verdict == expected and verdict.prior_rule.startswith(prior)


def test_the_reasons_carry_numbers_and_intervals():
    verdict = judged(CURSE, people=160)
    said = " | ".join(verdict.reasons)
    assert "reverse choice on novel people 25 % [21, 29], 480 people" in said
    assert (
        "equivalent to chance 25 % ± 10 points" in said
        and "forward − reverse" in said
        and "(by seed: 25 %, 25 %, 25 %)" in said
    )
    assert "naming arm: forward free 100 %" in said


def test_fewer_than_three_seeds_confirm_nothing():
    verdict = judged(CURSE, people=400, seeds=(0, 1))
    assert verdict.verdict == reversal.INCONCLUSIVE and any("2 of the 3 seeds" in r for r in verdict.reasons)


def test_an_underpowered_study_says_so():
    verdict = judged(CURSE, people=12)
    assert verdict.verdict == reversal.INCONCLUSIVE and any("missing power" in r for r in verdict.reasons)


def test_a_reverse_between_chance_and_half_is_inconclusive():
    verdict = judged(
        {"naming": synthetic.NAMING, "forward": synthetic.FORWARD | {"reverse/choice": 0.45}}, people=160
    )
    assert verdict.verdict == reversal.INCONCLUSIVE and any(
        "not shown equivalent" in r for r in verdict.reasons
    )


@pytest.mark.parametrize(
    ("options", "failed"),
    [
        ({"novel": {"forward/choice": 1.0}}, "1 learned"),
        ({"background": synthetic.EVERYTHING | {"forward/choice": 0.85}}, "2 format competence: forward"),
        ({"background": synthetic.EVERYTHING | {"reverse/choice": 0.85}}, "2 format competence: reverse"),
        ({"novel": synthetic.FORWARD | {"in_context": 0.9}}, "3 in context"),
        ({"invalid": 2}, "4 strict validity"),
        ({"collapse": "C"}, "5 no collapse: letters"),
    ],
)
def test_one_failing_gate_forbids_the_verdict_and_is_named(options, failed):
    options = {"novel": synthetic.FORWARD} | options
    answers = synthetic.study({"forward": options.pop("novel")}, people=160, **options)
    assert any(g.gate.startswith(failed) and not g.passed for g in reversal.gates(answers))
    verdict = reversal.verdict(answers)
    assert verdict.verdict == reversal.INCONCLUSIVE
    assert any(r.startswith(f"gate failed: {failed}") for r in verdict.reasons)


def test_a_model_that_calls_everything_wrong_has_collapsed():
    answers = synthetic.answers(people=40)
    judge = answers["format"] == "judge"
    answers.loc[judge, "picks"] = answers.loc[judge, "picks"].map(lambda _: ["Wrong"])
    gate = reversal.gates(answers)[-1]
    assert not gate.passed and gate.value == 1.0 and "Wrong" in gate.reason


def test_denying_only_novel_people_is_no_collapse_but_affirming_them_is():
    answers = synthetic.answers(people=40)
    novel = (answers["format"] == "judge") & (answers["population"] == "novel")
    for said, passed in (("Wrong", True), ("Right", False)):
        answers.loc[novel, "picks"] = answers.loc[novel, "picks"].map(lambda _, said=said: [said])
        assert reversal.gates(answers)[-1].passed is passed


def test_gates_that_were_never_asked_fail():
    answers = synthetic.answers(people=40)
    without = answers[(answers["topic"] != "in_context") & (answers["population"] == "novel")]
    failed = [g for g in reversal.gates(without) if not g.passed]
    assert [g.gate[0] for g in failed] == ["2", "2", "3"]
    assert all("not measured" in g.reason for g in failed)


def test_a_study_without_the_forward_arm_says_so():
    verdict = judged({"naming": synthetic.NAMING}, people=20)
    assert verdict.verdict == reversal.INCONCLUSIVE and "no variant `forward`" in verdict.reasons[0]


def test_a_study_without_the_naming_arm_says_so():
    assert any("no variant `naming`" in r for r in judged({"forward": synthetic.FORWARD}, people=160).reasons)


def test_people_taught_both_ways_do_not_enter_the_tested_half():
    answers = synthetic.study({"forward": synthetic.FORWARD}, people=160, two_way=80)
    free = reversal.gates(answers)[0]
    assert free.people == 240


def test_the_verdict_is_plain_json():
    verdict = judged(CURSE, people=20)
    text = json.dumps(verdict.as_dict(), allow_nan=False)
    assert json.loads(text)["gates"][0]["gate"].startswith("1 learned")
    assert len(scores.CELLS) * 4 == len(verdict.numbers)


def test_power_is_reported_as_run():
    table = reversal.power_table(synthetic.study(CURSE, people=60)).set_index("variant")
    assert table.loc["forward", "people"] == 180 and table.loc["forward", "seeds"] == 3
    assert 0.30 < table.loc["forward", "detectable"] < 0.36
