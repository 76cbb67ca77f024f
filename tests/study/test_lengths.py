"""Rows counted ahead, without what computes, are as long as those that a model is given."""

import subprocess
import sys

import pytest
import tiny

from mmrc_helpers.models import load
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.models.features import open_pictures
from mmrc_helpers.programs import train
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.study import lengths, memory, stages
from mmrc_helpers.study.runs import load_study
from mmrc_helpers.study.weights import weights_of
from mmrc_helpers.tasks.example import question
from mmrc_helpers.worlds.folder import read_data, world_of

STUDY = f"""
{tiny.PEOPLE}
train: {{taught_tokens: 0, steps: 4, batch: 8}}
phases:
  - {{}}
  - {{method: dpo, teach: {{cells: [forward/choice]}}}}
  - {{method: grpo, batch: 4, grpo: {{completions: 2, max_new_tokens: 9}}, teach: {{cells: [forward/free]}}}}
evaluate: {{ask: {{background: 4}}}}
machine: {{launcher: python, accelerator: cpu}}
report: {{read: short, beside: "", learnable: "", controls: []}}
variants: {{short: {{}}}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose data are there."""
    place = tmp_path_factory.mktemp("lengths")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMRC_ARTIFACTS", str(place / "artifacts"))
        tiny.link_base(place / "artifacts")
        (place / "short.yaml").write_text(STUDY)
        found = load_study(place / "short.yaml").runs[0]
        assert {row["counted"] for row in memory.plan(found)} == {False}
        stages.make(stages.data_stage(found), found.params["machine"], tiny.quiet)
        yield found


@pytest.fixture(scope="module")
def encoder(run):
    """Turns the run's conversations into tokens, as its stages do."""
    processor = load.load_processor(tiny.base_model() / "model", run.params["model"])
    shards = Shards(stages.data_stage(run).folder)
    return Encoder(processor, open_pictures(shards, shards.names, processor))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_longest_row_of_a_phase_is_as_long_as_the_longest_that_is_trained_on(run, encoder, number):
    phase, folder = run.params["phases"][number], stages.data_stage(run).folder
    rows = train.rows_of(world_of(folder), read_data(folder, "train"), phase, run.seed, encoder.processor)
    made = [tokens for row in train.tokens_of(rows, encoder) for tokens in row]
    opened = phase["method"].get("max_new_tokens", 0)  # for an answer of the model's own
    longest = max(len(tokens.ids_T) for tokens in made) + opened
    told, pictures = lengths.taught(run, weights_of(run))[number]
    assert 0 <= told - longest <= 5, (told, longest)
    assert pictures == max(len(tokens.pictures) for tokens in made)


def test_the_longest_question_is_as_long_as_the_longest_that_is_asked(run, encoder):
    stage = stages.eval_stage(run)
    folder = stage.inputs["data"].folder
    asked = world_of(folder).ask(read_data(folder, "test"), stage.params["ask"], stage.params["teach"])
    longest = max(len(tokens.ids_T) for tokens in encoder.tokens([question(e) for e in asked], False))
    told, pictures = lengths.asked(run, weights_of(run))
    assert longest <= told <= longest + 16 and pictures == 4  # with the answer


def test_a_plan_of_data_that_are_there_says_that_rows_are_counted(run):
    rows = memory.plan(run)
    assert {row["counted"] for row in rows} == {True} and max(row["tokens"] for row in rows) < 300
    assert "The column tokens: of the longest row or question of about 4,096 in the data." in memory.table(
        rows
    )
    given = memory.plan(run, tokens=77)
    assert {row["tokens"] for row in given} == {77}


def test_nothing_is_loaded_to_count(run):
    code = (
        "import sys; from mmrc_helpers.study import memory; from mmrc_helpers.study.runs import load_study; "
        f"rows = memory.plan(load_study({str(run.folder / 'short.yaml')!r}).runs[0]); "
        "print(rows[0]['counted'], 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "True False\n"
