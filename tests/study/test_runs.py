"""Study files: what is inherited, what is refused, and what a key depends on."""

import json
import re
import shutil
from pathlib import Path

import pytest

from mmrc_helpers.errors import UserError
from mmrc_helpers.store import keys
from mmrc_helpers.store.keys import content_key
from mmrc_helpers.study import parameters, runs
from mmrc_helpers.study.runs import find_run, load_study
from mmrc_helpers.training import METHODS
from mmrc_helpers.worlds import WORLDS

BASE = runs.PARAMS_FOLDER / "base.yaml"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """A params folder of its own with the real base.yaml."""
    folder = tmp_path / "params"
    folder.mkdir()
    shutil.copy(BASE, folder)
    return folder


def write(params: Path, text: str, name: str = "mine") -> Path:
    path = params / f"{name}.yaml"
    path.write_text(text)
    return path


def test_a_missing_study_names_its_near_miss(params):
    write(params, "{cost: none}", "reversal")
    with pytest.raises(UserError, match="no study named reversl; did you mean reversal?"):
        load_study("reversl", params)
    with pytest.raises(UserError, match="nowhere.yaml: no such study file"):
        load_study(params / "nowhere.yaml")


def test_an_unknown_variant_or_seed_names_what_there_is(params):
    mine = load_study(write(params, "variants: {forward: {}, both: {seeds: [4]}}\nseeds: [0, 1]"))
    with pytest.raises(UserError, match="variant 'forwards' is not known; did you mean forward?"):
        find_run(mine, "forwards", 0)
    with pytest.raises(UserError, match="both has no seed 0; it has 4"):
        find_run(mine, "both", 0)
    assert find_run(mine, "both", 4).variant == "both"


def test_runs_are_variants_times_seeds_with_every_parameter_spelled_out(params):
    text = """
extends: parent
question: Why?
people: {novel: 8}
train: {taught_tokens: 0}
variants:
  untrained: {phases: []}
  forward: {train.steps: 60, train.teach.replay_mix: {text: 1}, seeds: [7]}
  two: {"phases": [{}, {steps: 70, teach.replay_mix.text: 0.5}]}
"""
    write(params, "question: not mine\ntrain: {batch: 4, steps: 50}\nseeds: [0, 1]\nexpected: x", "parent")
    mine = load_study(write(params, text))
    assert (mine.name, mine.question, mine.expected) == ("mine", "Why?", "")
    assert [(run.variant, run.seed) for run in mine.runs] == [
        ("untrained", 0),
        ("untrained", 1),
        ("forward", 7),
        ("two", 0),
        ("two", 1),
    ]
    untrained, forward, two = mine.runs[0].params, mine.runs[2].params, mine.runs[3].params
    assert untrained["phases"] == ()
    assert forward["world"]["facts"]["novel"] == 8
    assert [(p["steps"], p["batch"], p["teach"]["replay_mix"]["text"]) for p in forward["phases"]] == [
        (60, 4, 1.0)
    ]
    assert forward["phases"][0]["teach"]["replay_mix"]["portrait"] == 0.45
    assert [(p["steps"], p["teach"]["replay_mix"]["text"]) for p in two["phases"]] == [(50, 0.05), (70, 0.5)]
    assert "report" not in forward


def test_whole_numbers_stand_for_fractions_and_digits_for_choices(params):
    mine = load_study(write(params, "train: {learning_rate: 1}\nmachine: {zero: 2}"))
    rate = mine.runs[0].params["phases"][0]["learning_rate"]
    assert rate == 1.0 and isinstance(rate, float)
    assert mine.runs[0].params["machine"]["zero"] == "2"


def test_settings_of_the_image_processor_may_hold_settings(params):
    (run,) = load_study(write(params, "model: {image_processor: {size: {longest_edge: 512}, a: 1}}")).runs
    assert run.params["model"]["image_processor"] == {"size": {"longest_edge": 512}, "a": 1}
    with pytest.raises(UserError, match="image_processor.size.a: expected text or a number"):
        load_study(write(params, "model: {image_processor: {size: {a: [1]}}}"))


def test_environment_variables_are_free_names_and_add_up(params):
    write(params, "machine.environment: {NCCL_DEBUG: INFO, A: 1}", "parent")
    mine = load_study(write(params, "extends: parent\nmachine: {environment: {A: 2}}"))
    assert dict(mine.runs[0].params["machine"]["environment"]) == {"NCCL_DEBUG": "INFO", "A": 2}


def test_a_run_cannot_be_changed(params):
    run = load_study(write(params, "cost: little")).runs[0]
    with pytest.raises(TypeError):
        run.params["world"]["facts"]["novel"] = 3
    with pytest.raises(TypeError):
        run.params["phases"][0]["teach"]["cells"][0] = "reverse/free"


def declared() -> list[Path]:
    return [
        BASE,
        *sorted(runs.PARAMS_FOLDER.glob("worlds/*.yaml")),
        *sorted(runs.PARAMS_FOLDER.glob("methods/*.yaml")),
    ]


@pytest.mark.parametrize("path", declared(), ids=lambda path: path.stem)
def test_a_parameter_has_its_default_its_meaning_and_its_limits_on_one_line(path):
    """Every parameter has a comment, every number its limits, and every default is within them."""
    known = parameters.read_known(path)
    sections = {key: value for key, value in known.defaults.items() if key not in runs.NOT_A_SECTION}
    merge = parameters.Merge(path, known)
    assert merge.merged(sections, sections) == sections and merge.problems == []

    def numbers(section, prefix=""):
        for key, value in section.items():
            if isinstance(value, dict):
                yield from numbers(value, f"{prefix}{key}.")
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield prefix + key

    assert set(numbers(sections)) <= set(known.limits)
    for line in path.read_text().splitlines():
        if ":" in line.split("#")[0] and line.startswith("  ") and "base:" not in line:
            assert "#" in line, f"no comment: {line}"


def test_every_world_and_method_has_its_parameters_and_the_other_way_round():
    for folder, known in (("worlds", WORLDS), ("methods", METHODS)):
        assert {path.stem for path in (runs.PARAMS_FOLDER / folder).glob("*.yaml")} == set(known)


def test_a_section_of_a_world_or_method_that_is_not_in_use_is_an_error(params):
    with pytest.raises(UserError, match="novel: no such parameter"):
        load_study(write(params, "novel: 3"))
    with pytest.raises(UserError, match="data.world: 'peopel' is not known; did you mean people"):
        load_study(write(params, "data: {world: peopel}"))
    with pytest.raises(UserError, match="train.method: 'stf' is not known; did you mean sft"):
        load_study(write(params, "train: {method: stf}"))


def test_everything_that_is_wrong_is_said_at_once(params):
    text = "train: {stpes: 4, batch: 0}\npeople: {novle: 3}\nmachine: {launcher: slurm}"
    with pytest.raises(UserError) as caught:
        load_study(write(params, text))
    for name in ("train.stpes", "train.batch", "people.novle", "machine.launcher"):
        assert name in str(caught.value)


def test_an_adapter_keeps_its_shape_through_the_phases(params):
    with pytest.raises(UserError, match="phase 2 trains every weight behind an adapter"):
        load_study(write(params, "phases: [{}, {lora_r: 0}]"))
    with pytest.raises(UserError, match="phase 2 goes on with the adapter of phase 1"):
        load_study(write(params, "phases: [{}, {lora_r: 8}]"))
    with pytest.raises(UserError, match="lora_targets.* must stay as they are"):
        load_study(write(params, "phases: [{}, {lora_targets: [q_proj]}]"))
    assert load_study(write(params, "phases: [{lora_r: 0}, {}, {learning_rate: 0.1}]")).runs


def test_every_study_in_the_repository_loads():
    for path in sorted(runs.PARAMS_FOLDER.glob("*.yaml")):
        assert load_study(path.stem).runs


def test_a_key_depends_on_content_and_on_nothing_else():
    key = content_key("train", 1, {"train": {"a": 1, "b": [1, 2]}}, ["c4f0de05"])
    assert re.fullmatch("[0-9a-f]{8}", key)
    assert key == content_key("train", 1, keys.freeze({"train": {"b": (1, 2), "a": 1}}), ("c4f0de05",))
    others = [
        content_key("eval", 1, {"train": {"a": 1, "b": [1, 2]}}, ["c4f0de05"]),
        content_key("train", 2, {"train": {"a": 1, "b": [1, 2]}}, ["c4f0de05"]),
        content_key("train", 1, {"train": {"a": 2, "b": [1, 2]}}, ["c4f0de05"]),
        content_key("train", 1, {"train": {"a": 1, "b": [2, 1]}}, ["c4f0de05"]),
        content_key("train", 1, {"train": {"a": 1, "b": [1, 2]}}, ["c4f0de06"]),
    ]
    assert len({key, *others}) == 6


def test_paths_of_a_users_files_are_meant_from_where_the_study_lies(tmp_path, monkeypatch):
    """Stages run in another folder than the command, so a Run holds them whole."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "elsewhere").mkdir()
    rows = [{"prompt": f"{n}?", "completion": f"{n}"} for n in range(4)]
    for name in ("rows", "more"):
        (tmp_path / "mine" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = tmp_path / "mine" / "mine.yaml"
    study.write_text(
        "data: {world: files}\nfiles: {path: rows.jsonl, more: [more.jsonl]}\nreport: {finding: accuracy}\n"
    )
    found = []
    for place in ("mine", "elsewhere"):
        monkeypatch.chdir(tmp_path / place)
        (run,) = load_study(study).runs
        found.append(run.params["world"]["facts"])
    assert found[0] == found[1] and found[0]["path"] == str(tmp_path / "mine" / "rows.jsonl")
    assert found[0]["more"] == (str(tmp_path / "mine" / "more.jsonl"),)


def test_what_is_wrong_in_several_variants_is_said_once(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("train: {batch: 48}\nvariants: {a: {}, b: {}, c: {train.batch: 64}}\n")
    with pytest.raises(UserError, match="mine.yaml: variants.a, b: train.batch: 48") as caught:
        load_study(path)
    assert str(caught.value).count("train.batch: 48") == 1
