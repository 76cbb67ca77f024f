"""Study files: what is inherited, what is refused, and what a key depends on."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from mmrc_helpers import schema, study
from mmrc_helpers.study import UserError, content_key, find_run, load_study

BASE = study.PARAMS_FOLDER / "base.yaml"


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


BAD = {
    "misspelt parameter": ("train: {epcohs: 3, stpes: 4}", "train.epcohs: no such parameter"),
    "near miss": ("train: {stpes: 4}", "mine.yaml: train.stpes: no such parameter; did you mean steps?"),
    "misspelt section": ("trian: {steps: 4}", "trian: no such parameter; did you mean train?"),
    "misspelt deep": ("train.replay_mix.potrait: 1", "train.replay_mix.potrait: .* did you mean portrait?"),
    "misspelt in variant": ("variants: {a: {train.stpes: 4}}", "train.stpes: .* did you mean steps?"),
    "misspelt in phase": ("phases: [{stpes: 4}]", "train.stpes: .* did you mean steps?"),
    "2e-4 as text": ("train: {learning_rate: 2e-4}", r"train.learning_rate: .*'2e-4'.* write 0.0002"),
    "text for a number": ("train: {learning_rate: fast}", "train.learning_rate: expected a number such as"),
    "infinite number": ("train: {learning_rate: .inf}", "train.learning_rate: expected a number"),
    "not a number": ("train: {learning_rate: .nan}", "train.learning_rate: expected a number"),
    "bool for a count": ("train: {steps: true}", "train.steps: expected a whole number"),
    "fraction for a count": ("train: {steps: 2.5}", "train.steps: expected a whole number"),
    "number for a switch": ("train: {freeze_vision: 1}", "train.freeze_vision: expected true or false"),
    "bool for text": ("model: {name: no}", "model.name: expected text; got False"),
    "null": ("train: {steps: null}", "train.steps: expected a whole number .*None"),
    "empty section": ("train:", "train: expected a mapping"),
    "list for a section": ("train: [1]", "train: expected a mapping"),
    "word for a list": ("train: {cells: forward/free}", "train.cells: expected a list"),
    "nested list": ("train: {cells: [[forward/free]]}", "train.cells: expected a flat list"),
    "repeated element": ("train: {cells: [forward/free, forward/free]}", "train.cells: .* given twice"),
    "unknown cell": ("train: {cells: [sideways/free]}", "train.cells: 'sideways/free' .*forward/free"),
    "unknown choice": (
        "machine: {launcher: slurm}",
        "machine.launcher: 'slurm' .* deepspeed, torchrun, python",
    ),
    "negative count": ("data: {novel: -1}", "data.novel: must be at least 0; got -1"),
    "no length": ("train: {steps: 0, novel_tokens: 0}", "train.steps, train.novel_tokens: give one of them"),
    "two lengths": (
        "train: {steps: 9, novel_tokens: 9}",
        "train.steps, train.novel_tokens: give one of them",
    ),
    "zero rows": ("train: {batch: 0}", "train.batch: must be at least 1; got 0"),
    "one process too many": (
        "machine: {launcher: python, processes: 2}",
        "machine.launcher: python starts one process, but machine.processes is 2; use deepspeed or torchrun",
    ),
    "share above one": ("train: {replay: 1.5}", "train.replay: must be at most 1.0; got 1.5"),
    "too many options": ("data: {options: 30}", "data.options: must be at most"),
    "more people than names": ("data: {novel: 900}", "1000 people, but only 400 names"),
    "nothing to replay": (
        "train.replay_mix: {portrait: 0, lineup: 0, recall: 0, twin: 0, attribute: 0, caption: 0, text: 0, "
        "in_context: 0}",
        "train.replay_mix: all zero",
    ),
    "unknown parent": ("extends: reversel", "no study named reversel"),
    "circular parent": ("extends: mine", "extends: goes in a circle: mine → mine"),
    "parent with a path": ("extends: ../base", "extends: '../base' is not a name"),
    "model study with a path": ("model: {study: ../tiny}", "model.study: '../tiny' is not a name"),
    "duplicate name": ("train: {steps: 3, steps: 4}", "mine.yaml: steps is given twice \\(line 1\\)"),
    "duplicate variant": ("variants:\n  a: {}\n  a: {}", "a is given twice \\(line 3\\)"),
    "whole and dotted": ("train: {steps: 3}\ntrain.steps: 4", "train.steps: given twice"),
    "broken YAML": ("train: {steps: 3", "mine.yaml: not valid YAML: .*line"),
    "a YAML tag": ("train: !!python/object:os.system {}", "not valid YAML"),
    "a list of studies": ("- a", "expected a mapping of sections"),
    "empty file": ("", "expected a mapping of sections"),
    "number as a name": ("3: {}", "3: a name must be text"),
    "no variants": ("variants: {}", "variants: expected at least one"),
    "variant with a path": ("variants: {../a: {}}", "'../a' is not a name"),
    "variant in capitals": ("variants: {A: {}}", "'A' is not a name"),
    "variant as a number": ("variants: {1: {}}", "variants: 1 is not a name"),
    "variant as a word": ("variants: {a: fast}", "variants.a: expected a mapping"),
    "question in a variant": (
        "variants: {a: {question: why}}",
        "variants.a.question: belongs to the whole study",
    ),
    "report in a variant": (
        "variants: {a: {report.matrix: true}}",
        "variants.a.report.matrix: belongs to the",
    ),
    "no seeds": ("seeds: []", "seeds: expected different whole numbers"),
    "one seed unlisted": ("seeds: 3", "seeds: expected different whole numbers"),
    "negative seed": ("seeds: [-1]", "seeds: expected different whole numbers"),
    "seed as text": ("seeds: ['1']", "seeds: expected different whole numbers"),
    "seed twice": ("seeds: [1, 1]", "seeds: expected different whole numbers"),
    "bad seeds in a variant": ("variants: {a: {seeds: [true]}}", "variants.a: seeds: expected"),
    "phases as a mapping": ("phases: {}", "phases: expected a list of overrides"),
    "phase as a word": ("phases: [sft]", "phases: expected a list of overrides"),
    "unknown arm": (
        "report: {arms: [forwrad]}\nvariants: {forward: {}}",
        "report.arms: variant 'forwrad' is not known; did you mean forward?",
    ),
    "nested environment": (
        "machine: {environment: {A: {B: 1}}}",
        "machine.environment.A: expected text or a",
    ),
    "question as a number": ("question: 3", "question: expected text"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_study_file_is_refused_with_one_clear_sentence(params, text, message):
    with pytest.raises(UserError) as error:
        load_study(write(params, text))
    assert re.search(message, str(error.value)), str(error.value)
    assert "mine.yaml" in str(error.value) or "no study named" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["../mine", "a/b", "..", "/etc/passwd", "Mine", "", "mine.yml/x"])
def test_a_study_name_is_never_a_path(params, name):
    with pytest.raises(UserError, match="is not a name"):
        load_study(name, params)


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
data: {novel: 8}
train: {novel_tokens: 0}
variants:
  untrained: {phases: []}
  forward: {train.steps: 60, train.replay_mix: {text: 1}, seeds: [7]}
  two: {"phases": [{}, {steps: 70, replay_mix.text: 0.5}]}
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
    assert forward["data"]["novel"] == 8
    assert [(p["steps"], p["batch"], p["replay_mix"]["text"]) for p in forward["phases"]] == [(60, 4, 1.0)]
    assert forward["phases"][0]["replay_mix"]["portrait"] == 0.45
    assert [(p["steps"], p["replay_mix"]["text"]) for p in two["phases"]] == [(50, 0.05), (70, 0.5)]
    assert "report" not in forward


def test_whole_numbers_stand_for_fractions_and_digits_for_choices(params):
    mine = load_study(write(params, "train: {learning_rate: 1}\nmachine: {zero: 2}"))
    rate = mine.runs[0].params["phases"][0]["learning_rate"]
    assert rate == 1.0 and isinstance(rate, float)
    assert mine.runs[0].params["machine"]["zero"] == "2"


def test_environment_variables_are_free_names_and_add_up(params):
    write(params, "machine.environment: {NCCL_DEBUG: INFO, A: 1}", "parent")
    mine = load_study(write(params, "extends: parent\nmachine: {environment: {A: 2}}"))
    assert dict(mine.runs[0].params["machine"]["environment"]) == {"NCCL_DEBUG": "INFO", "A": 2}


def test_a_run_cannot_be_changed(params):
    run = load_study(write(params, "cost: little")).runs[0]
    with pytest.raises(TypeError):
        run.params["data"]["novel"] = 3
    with pytest.raises(TypeError):
        run.params["phases"][0]["cells"][0] = "reverse/free"


def test_base_documents_bounds_and_choices_of_every_parameter():
    """Every parameter of base.yaml has a comment, every number its bounds, and every default passes them."""
    base = yaml.safe_load(BASE.read_text())
    sections = {key: value for key, value in base.items() if key not in study.NOT_A_SECTION}
    assert schema.merge(sections, sections, BASE) == sections

    def numbers(section, prefix=""):
        for key, value in section.items():
            if isinstance(value, dict):
                yield from numbers(value, f"{prefix}{key}.")
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield prefix + key

    assert set(numbers(sections)) == set(schema.BOUNDS)
    for line in BASE.read_text().splitlines():
        if ":" in line.split("#")[0] and line.startswith("  ") and "base:" not in line:
            assert "#" in line, f"no comment: {line}"


def test_every_study_in_the_repository_loads():
    for path in sorted(study.PARAMS_FOLDER.glob("*.yaml")):
        assert load_study(path.stem).runs


def test_a_key_depends_on_content_and_on_nothing_else():
    key = content_key("train", 1, {"train": {"a": 1, "b": [1, 2]}}, ["c4f0de05"])
    assert re.fullmatch("[0-9a-f]{8}", key)
    assert key == content_key("train", 1, study.freeze({"train": {"b": (1, 2), "a": 1}}), ("c4f0de05",))
    others = [
        content_key("eval", 1, {"train": {"a": 1, "b": [1, 2]}}, ["c4f0de05"]),
        content_key("train", 2, {"train": {"a": 1, "b": [1, 2]}}, ["c4f0de05"]),
        content_key("train", 1, {"train": {"a": 2, "b": [1, 2]}}, ["c4f0de05"]),
        content_key("train", 1, {"train": {"a": 1, "b": [2, 1]}}, ["c4f0de05"]),
        content_key("train", 1, {"train": {"a": 1, "b": [1, 2]}}, ["c4f0de06"]),
    ]
    assert len({key, *others}) == 6
