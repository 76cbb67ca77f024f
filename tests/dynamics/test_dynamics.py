"""Probes in real training: what they see equals what snapshots show, and training never notices them."""

import subprocess
import sys
import time

import pandas as pd
import preloaded
import pytest
import tiny
from safetensors.torch import load_file

from mmrc_helpers.analysis import traces
from mmrc_helpers.execution.machine import for_stage
from mmrc_helpers.store import files, folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import find_run, load_study
from mmrc_helpers.worlds import WORLDS

STUDY = f"""
question: What moves while a phase trains?
{tiny.PEOPLE}
train:
  teach: {{cells: [forward/free, forward/choice], replay_mix: {{text: 0.0}}}}
  steps: 6
  taught_tokens: 0
  batch: 8
  lora_r: 4
  lora_dropout: 0.1
dynamics: {{probes: 3, spacing: even, examples: 3, gradients: 2}}
machine: {{launcher: python, threads: 1, save_steps: 2, log_steps: 1}}
variants:
  unseen: {{dynamics.probes: 0}}
  probed: {{}}
  kept: {{dynamics.snapshots: true}}
"""
KEYS = {
    "logprobs": ["step", "id", "candidate"],
    "storage": ["step", "id"],
    "gradients": ["step", "layer", "preconditioner", "left", "right"],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("params") / "probes.yaml"
    path.write_text(STUDY)
    return load_study(path)


@pytest.fixture
def artifacts(artifacts_with_base, tiny_data, monkeypatch):
    """One artifacts folder for the file: the data and the probed training are made once."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(artifacts_with_base))
    return artifacts_with_base


def make(stage, run, **machine):
    with preloaded.stages():
        return stages.make(stage, {**run.params["machine"], **machine}, tiny.quiet)


def weights(folder) -> dict:
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def probed(study, variant="probed") -> dict[str, pd.DataFrame]:
    run = find_run(study, variant, 0)
    (stage,) = stages.trace_stages(run)
    tables = traces.read_traces(make(stage, run))
    return {name: table.set_index(KEYS[name]).sort_index() for name, table in tables.items()}


def test_training_with_and_without_probes_ends_in_the_same_weights_bit_by_bit(study, artifacts):
    trained = []
    for variant in ("unseen", "probed", "kept"):
        run = find_run(study, variant, 0)
        trained.append(weights(make(stages.train_stages(run)[0], run)))
    assert all((trained[0][name] == other[name]).all() for other in trained[1:] for name in other)


def test_tables_hold_every_point_question_and_answer_once(study, artifacts):
    tables = probed(study)
    logprobs = tables["logprobs"].reset_index()
    assert logprobs["step"].unique().tolist() == [0, 3, 6]
    asked = logprobs[logprobs["candidate"] == "right"]
    assert (asked.groupby(["step", "population", "direction", "format"]).size() == 3).all()
    assert len(asked) == 3 * 2 * 6 * 3
    assert len(tables["storage"]) == 3 * 2 * 3
    assert tables["gradients"].index.get_level_values("step").unique().tolist() == [0, 6]
    groups = tables["gradients"].index.get_level_values("left").unique()
    assert len(groups) == 13 and {"novel forward/free", "text twin"} <= set(groups)
    assert set(tables["gradients"].index.get_level_values("layer")) == {"all", "0", "1", "2", "3"}
    for name, table in traces.read_traces(stages.traces_folders(find_run(study, "probed", 0))[0]).items():
        fixed = traces.COLUMNS[name]
        assert tuple(column for column in table if column in fixed) == fixed
        facets = () if name == "gradients" else WORLDS["people"].facets
        assert set(table.columns) - set(fixed) == set(facets) and not table.index.duplicated().any()
        assert not table.duplicated(KEYS[name]).any()


def test_probes_during_training_and_afterwards_agree(study, artifacts):
    during, after = probed(study), probed(study, "kept")
    for name, table in during.items():
        numbers = table.select_dtypes("number")
        assert table.index.equals(after[name].index) and len(table)
        # gradients are sums over tokens and weights: their digits are relative
        relative = 1e-4 if name == "gradients" else 0
        pd.testing.assert_frame_equal(numbers, after[name][numbers.columns], rtol=relative, atol=1e-4)


def test_a_killed_stage_goes_on_by_example_and_checkpoint_to_the_same_tables(study, artifacts):
    run = find_run(study, "kept", 0)
    (stage,) = stages.trace_stages(run)
    whole = traces.read_traces(make(stage, run))["logprobs"]
    folders.forget(stage.folder)
    part = folders.begin(stage.folder, stage.recipe(for_stage("dynamics", run.params["machine"])))
    command = [sys.executable, "-m", "mmrc_helpers.programs.trace", part]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as killed:
        while len(done := sorted(part.glob("dynamics/parts/*.json"))) < 4:
            assert killed.poll() is None, killed.stdout.read().decode()
            time.sleep(0.005)
        killed.kill()
    kept = files.read_json(done[0])
    kept["logprobs"][0]["logp_peak"] = 7.0  # a mark: what was done before is not done again
    files.write_json(done[0], kept)
    resumed = traces.read_traces(make(stage, run))["logprobs"]
    assert resumed.loc[0, "logp_peak"] == 7.0
    assert resumed.drop(columns="logp_peak").equals(whole.drop(columns="logp_peak"))
    assert resumed["logp_peak"][1:].equals(whole["logp_peak"][1:])
    folders.forget(stage.folder)


@pytest.mark.slow
def test_several_processes_give_the_tables_of_one(study, artifacts):
    run = find_run(study, "kept", 0)
    (stage,) = stages.trace_stages(run)
    one = traces.read_traces(make(stage, run))
    folders.forget(stage.folder)
    two = traces.read_traces(make(stage, run, launcher="torchrun", processes=2))
    assert all(one[name].equals(two[name]) for name in one)


@pytest.mark.slow
def test_two_ranks_probe_while_they_train(study, artifacts):
    run = find_run(study, "probed", 0)
    (stage,) = stages.trace_stages(run)
    before = probed(study)["logprobs"].xs(0, level="step")
    folders.forget(stage.folder)
    make(stage, run, launcher="torchrun", processes=2)
    after = probed(study)["logprobs"].xs(0, level="step")
    pd.testing.assert_frame_equal(before, after, atol=1e-4)
