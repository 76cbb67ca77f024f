"""A rehearsal goes the whole way of a study, cut short, and leaves nothing."""

import os

from mmrc_helpers import run as command
from mmrc_helpers.study import rehearsal, stages
from mmrc_helpers.study.runs import load_study

STUDY = """
extends: adpo
files: {max_train_samples: 16, max_eval_samples: 4}
machine: {launcher: python}
phases: [{method: sft}, {}]
report: {read: adpo, controls: []}
variants: {adpo: {}}
"""


def test_a_rehearsal_trains_two_steps_of_every_phase_and_keeps_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY)
    assert command.main([str(path), "--debug"]) == 0
    said = capsys.readouterr().out
    assert "adpo: phase 1 (sft), loss " in said and "phase 2 (adpo), loss 0.6931 → " in said
    assert " answers about files" in said and "nothing was kept" in said
    assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []
    assert os.environ["MMRC_ARTIFACTS"] == str(tmp_path / "artifacts")


def test_a_rehearsal_changes_nothing_but_steps_and_what_is_kept():
    run = load_study("reversal").runs[-1]
    short = rehearsal.shortened(run)
    assert [phase["steps"] for phase in short.params["phases"]] == [2]
    assert stages.data_stage(short).key == stages.data_stage(run).key
    assert not short.params["dynamics"]["probes"] and run.params["dynamics"]["probes"]
    assert short.params["phases"][0]["teach"] == run.params["phases"][0]["teach"]
