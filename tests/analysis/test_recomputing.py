"""Whether a verdict still follows from its answers is found out by computing it again."""

import finished_study
import pytest

import mmrc_helpers as mm
from mmrc_helpers.analysis import recomputing
from mmrc_helpers.analysis.reversal import rules
from mmrc_helpers.store import files, folders

ONE_SEED = finished_study.STUDY.replace("seeds: [0, 1, 2]", "seeds: [0]")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recomputing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMRC_ARTIFACTS", str(folder / "artifacts"))
        yield mm.open_study(str(finished_study.write(folder / "params", ONE_SEED)))


@pytest.fixture
def verdict(study):
    """The path of verdict.json, as the study's own verdict left it."""
    mm.verdict(study)
    return folders.study_folder(study.name) / "verdict.json"


def test_a_verdict_follows_from_its_answers(study, verdict):
    found = recomputing.recompute(study)
    assert found.differing == () and found.largest == 0 and found.numbers > 100
    assert recomputing.told(found)[0].startswith("the verdict and its ")


def test_a_changed_number_is_found_and_named(study, verdict):
    content = files.read_json(verdict)
    content["numbers"][2]["value"] += 0.125
    content["sentence"] = "All is well."
    files.write_json(verdict, content)
    found = recomputing.recompute(study)
    assert found.largest == pytest.approx(0.125) and len(found.differing) == 2
    said = "\n".join(recomputing.told(found))
    assert "numbers.3.value: " in said and "sentence: 'All is well.', now " in said


def test_a_missing_row_is_found(study, verdict):
    content = files.read_json(verdict)
    content["numbers"].pop()
    files.write_json(verdict, content)
    assert [line.split(":")[0] for line in recomputing.recompute(study).differing] == ["numbers"]


def test_a_verdict_of_earlier_rules_is_named_as_that(study, verdict):
    files.write_json(verdict, {**files.read_json(verdict), "rules": 1})
    (said,) = recomputing.recompute(study).differing
    assert said.startswith(f"rules: 1, now {rules.VERSION}; `--redo report`")


def test_without_a_verdict_there_is_nothing_to_agree_with(study, verdict):
    verdict.unlink()
    (said,) = recomputing.recompute(study).differing
    assert "verdict.json is missing; `--report` writes it" in said
