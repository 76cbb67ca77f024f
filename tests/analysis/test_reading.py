"""What findings are given of finished stages, and the README's table that is written from them."""

import json

import finished_study
import pytest

import mmrc_helpers as mm
from mmrc_helpers.analysis import FINDINGS, reading, readme
from mmrc_helpers.errors import UserError
from mmrc_helpers.store import folders
from mmrc_helpers.study.runs import find_run

FORWARD = ("forward/free", "forward/choice", "forward/judge")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMRC_ARTIFACTS", str(folder / "artifacts"))
        yield mm.open_study(str(finished_study.write(folder / "params")))


def test_the_evidence_of_a_study_says_what_variants_were_taught(study):
    found = reading.evidence(study)
    assert found.taught == {"untrained": (), "naming": ("forward/free",), "forward": FORWARD}
    assert found.untrained == "untrained" and found.facets == {
        "people": ("population", "direction", "format")
    }
    assert set(found.answers["seed"]) == {0, 1, 2} and set(found.answers["world"]) == {"people"}
    assert found.answers["cluster"].str.startswith("background").any(), (
        "background people are the same in all seeds"
    )
    assert found.answers["cluster"].str.startswith("1/novel").any()


def test_the_evidence_of_a_run_is_read_from_its_own_variant(study):
    found = reading.evidence(find_run(study, "naming", 1))
    assert found.report["read"] == "naming" and set(found.answers["variant"]) == {"naming"}
    assert not isinstance(FINDINGS["reversal"].figures["gates"](found), str)


def test_the_readmes_table_is_written_from_the_verdict_and_the_stages(study):
    mm.verdict(study)
    content = json.loads((folders.study_folder(study.name) / "verdict.json").read_text())
    assert content["rules"] == 4 and set(content["parts"]) == {"free", "choice", "judge"}
    text = readme.readme_table(study)
    head, rule, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert head.startswith("| variant | taught in | seeds | forward free | forward choice |")
    assert rows[2].startswith("| forward | forward free, forward choice, forward judge | 3 | ")
    number = next(
        row for row in content["numbers"] if row["variant"] == "forward" and row["cell"] == "forward/choice"
    )
    assert (
        f"| {100 * number['value']:.0f} [{100 * number['low']:.0f}, {100 * number['high']:.0f}] (" in rows[2]
    )
    assert "*background, in forward*" in rows[3] and rows[4].startswith("| *chance* |")
    assert content["sentence"] in text and "By rules 1 of 2026-11-21: inconclusive" in text
    assert "cosine of forward and reverse gradients, every seed" in text
    assert "hours on cpu, simulated (1 process of " in text and "gives other digits." in text


def test_a_verdict_of_earlier_rules_is_not_written_into_the_readme(study):
    mm.verdict(study)
    path = folders.study_folder(study.name) / "verdict.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rules": 2}))
    with pytest.raises(UserError, match=r"of earlier rules \(2, now 4\); run `make report STUDY=finished`"):
        readme.readme_table(study)
    path.unlink()
    with pytest.raises(UserError, match="does not exist; run `make report"):
        readme.readme_table(study)
