"""`mmrc_helpers.check` looks at a study: what is right passes, what is wrong fails."""

from dataclasses import replace
from importlib.util import find_spec

import pytest

from mmrc_helpers import check
from mmrc_helpers.check import FAILED, PASSED, WARNING
from mmrc_helpers.models import mlx
from mmrc_helpers.store import files
from mmrc_helpers.study.parameters import read_known
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.tasks.rows import Chat, Pair, Task
from mmrc_helpers.worlds import WORLDS, Data, Grade

STUDY = """
data: {world: scenes}
model: {source: scratch}
scenes: {background: 8, novel: 16, test_scenes: 8, distractors: 0, kinds: [direction, size]}
train: {taught_tokens: 0, steps: 2, batch: 8, lora_r: 0, teach: {tasks: [relation, comparison]}}
machine: {launcher: python}
report: {finding: spatial, read: chain}
phases: [{}, {method: dpo}, &grpo {method: grpo, grpo: {weights: {exact: 0.7, format: 0.3}}}]
variants:
  chain: {}
  blind: {phases: [{<<: *grpo, teach.blind: true}]}
"""
SCENES = WORLDS["scenes"]


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """What the command says of a study file, and its exit status."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))

    def run(text: str, *options: str) -> tuple[int, str]:
        (tmp_path / "mine.yaml").write_text(text)
        status = check.main([str(tmp_path / "mine.yaml"), *options])
        found = capsys.readouterr()
        return status, found.out + found.err

    return run


def test_a_sound_study_passes_and_a_blind_reward_is_a_warning(told):
    status, said = told(STUDY)
    assert status == 0 and FAILED not in said, said
    for name in ("data: ", "formats of the test: all of", "chain, phase 1 (sft): 256 rows",
                 "chain, phase 2 (dpo): pairs: all of 256 differ in their answers alone"):  # fmt: skip
        assert f"passed  {name}" in said, said
    assert "passed  chain, phase 3 (grpo): reward: mean of the truth 1.00, nothing 0.00" in said
    assert "warning blind, phase 1 (grpo): reward: mean of the truth" in said and "blind on purpose" in said


def test_what_cannot_be_taught_is_one_failed_item_and_the_status(told):
    status, said = told(STUDY.replace("tasks: [relation, comparison]", "relations: [inside]"))
    assert status == 1 and "failed  chain, phase 1 (sft): scenes: the " in said and "1 warning" not in said
    status, said = told("data: {world: scene}")
    assert status == 2 and said.startswith("error: ") and "did you mean scenes?" in said


@pytest.mark.slow
def test_by_torch_every_phase_of_every_variant_takes_two_steps(told):
    status, said = told(STUDY, "--backend", "torch")
    assert status == 0, said
    assert "passed  chain: two steps of every phase: phase 1 (sft), loss " in said
    assert "phase 3 (grpo), loss " in said and "passed  blind: two steps of every phase" in said


def test_mlx_that_is_not_installed_is_a_failed_item(told):
    if find_spec("mlx_vlm"):
        pytest.skip("MLX is installed here")
    status, said = told(STUDY, "--backend", "mlx")
    assert status == 1 and "failed  backend mlx: " in said and "pip install -e '.[mlx]'" in said


def phase(method: str, **own) -> dict:
    train = dict(read_known(files.REPOSITORY / "params" / "base.yaml").defaults["train"])
    settings = read_known(files.REPOSITORY / "params" / "methods" / f"{method}.yaml").defaults
    return {**train, "method": {"name": method, **settings, **own}}


def pair(question: str, chosen: str, rejected: str, other: str = "") -> Pair:
    def side(asked: str, answer: str) -> Chat:
        return Chat((("user", (("text", asked),)), ("assistant", (("text", answer),))))

    return Pair(side(question, chosen), side(other or question, rejected))


PAIRS = {
    "all of 1 differ in their answers alone": ("answers", [pair("Where?", "left", "right")], PASSED),
    "1 with two equal sides": ("answers", [pair("Where?", "left", "left")], FAILED),
    "1 with an empty side": ("answers", [pair("Where?", "left", " ")], FAILED),
    "1 with two questions": ("answers", [pair("Where?", "left", "right", "Who?")], FAILED),
    "all of 1 differ in their contexts alone": ("contexts", [pair("Where?", "left", "left", "Who?")], PASSED),
    "1 with two answers": ("contexts", [pair("Where?", "left", "right", "Who?")], FAILED),
}


@pytest.mark.parametrize("said", PAIRS)
def test_pairs_differ_where_their_method_looks(said):
    kind, pairs, status = PAIRS[said]
    (found,) = check.pair_items("x", pairs, phase("dpo"), kind)
    assert (found.status, found.said) == (status, said)


def test_an_unusual_beta_is_a_warning():
    *_, found = check.pair_items("x", [pair("Where?", "left", "right")], phase("dpo", beta=5.0), "answers")
    assert found.status == WARNING and "5; usual are 0.01 to 1" in found.said


LEFT = Example(
    "id", "group", "test", (("text", "…"),), "left", {"task": "relation", "format": "free"},
    ("left", "right", "above"), 0, truth={"reversed": "right", "a": "red circle", "b": "blue square"},
)  # fmt: skip
TASK = Task((("user", (("text", "…"),)),), LEFT)
REWARDS = {
    "the world's own": (SCENES, {"exact": 1.0}, PASSED, "the truth 1.00, nothing 0.00, others 0.00"),
    "one that asks for form alone": (SCENES, {"format": 1.0}, FAILED, "no wrong answer earns less"),
    "one that weighs a part which no grade has": (
        SCENES, {"exact": 1.0, "exactt": 1.0}, FAILED, "no grade has a part exactt; did you mean exact?",
    ),
    "one that never sees the truth": (
        replace(SCENES, grade=lambda example, text: Grade(text, not text, {"exact": float(not text)})),
        {"exact": 1.0}, FAILED, "1 empty ones as much",
    ),
    "one that pays for the opposite": (
        replace(SCENES, grade=lambda example, text: Grade(text, True, {"exact": float(text == "right")})),
        {"exact": 1.0}, FAILED, "1 wrong answers earn more than the truth",
    ),
    "one beyond its limits": (
        replace(SCENES, grade=lambda example, text: Grade(text, True, {"exact": 2.0 * (text == "left")})),
        {"exact": 1.0}, FAILED, "not between 0 and 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REWARDS)
def test_the_truth_must_reach_the_reward(name):
    world, weights, status, said = REWARDS[name]
    found = list(check.reward_items("x", world, [TASK], phase("grpo", weights=weights)))
    assert any(item.status == status and said in item.said for item in found), found


def test_a_grade_that_takes_wrong_answers_for_right_fails():
    (right, wrong) = check.graded_items("formats", SCENES, [LEFT])
    assert (right.status, wrong.status) == (PASSED, PASSED)
    lenient = replace(SCENES, grade=lambda example, text: Grade(text, True))
    *_, wrong = check.graded_items("formats", lenient, [LEFT])
    assert wrong.status == FAILED and "2 of 2 wrong ones do as well" in wrong.said
    strict = replace(SCENES, grade=lambda example, text: Grade(text, False))
    right, *_ = check.graded_items("formats", strict, [LEFT])
    assert right.status == FAILED and "1 of 1 right answers count as wrong" in right.said


def test_a_broken_promise_fails():
    broken = replace(SCENES, promises=lambda data: [("kept", 1, 1), ("broken", 1, 2)])
    statuses = {item.name: item.status for item in check.data_items(broken, Data([LEFT]))}
    assert statuses == {"data": PASSED, "kept": PASSED, "broken": FAILED}


def test_a_configuration_of_today_is_said_in_older_words_for_mlx():
    rope = {"rope_theta": 1e4, "rope_type": "default", "mrope_section": [8, 8, 8]}
    config = {"model_type": "qwen3_vl", "text_config": {"hidden_size": 8, "rope_parameters": rope},
              "vision_config": {"model_type": "qwen3_vl_vision", "depth": 3}}  # fmt: skip
    older = mlx.as_version_4(config)
    assert older["vision_config"] == {"model_type": "qwen3_vl", "depth": 3}
    assert older["text_config"] == {"hidden_size": 8, "rope_theta": 1e4, "rope_scaling": {
        "rope_type": "default", "mrope_section": [8, 8, 8]}}  # fmt: skip
    assert mlx.as_version_4(older) == older and "rope_parameters" in config["text_config"]


def test_a_short_name_says_where_its_model_would_be_and_how_much_it_takes(tmp_path):
    with pytest.raises(
        check.UserError, match="needs about 3.3 GB of memory.*download --models mlx-community/"
    ):
        mlx.folder_of("qwen3-vl-2b", str(tmp_path))
    with pytest.raises(check.UserError, match="did you mean smolvlm?"):
        mlx.folder_of("smolvml", str(tmp_path))
    assert mlx.folder_of(str(tmp_path), "") == tmp_path


@pytest.mark.parametrize(("mix", "found"), [("caption: 1.0", PASSED), ("lineup: 1.0", FAILED)])
def test_an_alignment_needs_one_picture_in_each_row(told, mix, found):
    status, said = told(f"""
extends: tiny_base
people: {{background: 16, novel: 16, passers_by: 8, train_scenes: 1, text_scenes: 8}}
phases:
  - {{method: align, learns: vision, freeze_vision: false, steps: 1, teach.replay_mix: {{{mix}}}}}
""")
    assert (status == 0) == (found == PASSED) and f"{found}  base, phase 1 (align): pictures: " in said, said
