"""Two studies or two variants side by side: paired where the same was asked, and never where it was not."""

import shutil
from pathlib import Path

import finished_study
import numpy as np
import pytest

from mmrc_helpers import run
from mmrc_helpers.analysis import comparing, reading
from mmrc_helpers.analysis.reversal import cells
from mmrc_helpers.errors import UserError
from mmrc_helpers.study.runs import load_study

ONE_SEED = finished_study.STUDY.replace("seeds: [0, 1, 2]", "seeds: [0]")
OTHERS = {
    "slower": ONE_SEED.replace("{steps: 300", "{learning_rate: 0.0005, steps: 300"),  # the same questions
    "larger": ONE_SEED.replace("novel: 16", "novel: 24"),
    "renamed": ONE_SEED.replace("  naming:", "  says:").replace("beside: naming", "beside: says"),
}


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    """A folder of finished studies: `finished`, and each of OTHERS."""
    folder = tmp_path_factory.mktemp("comparing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMRC_ARTIFACTS", str(folder / "artifacts"))
        for name, text in OTHERS.items():
            shutil.move(finished_study.write(folder / "params", text), folder / "params" / f"{name}.yaml")
        finished_study.write(folder / "params", ONE_SEED)
        yield folder / "params"


def compared(params: Path, one: str, other: str) -> comparing.Comparison:
    return comparing.compare(*(comparing.side(name, params) for name in (one, other)))


def test_two_variants_are_compared_group_by_group_in_every_cell(params):
    found = compared(params, "finished:forward", "finished:naming").table.set_index("cell")
    study = load_study("finished", params)
    asked = cells.of(cells.split(reading.evidence(study).answers), "forward")
    assert list(found.index) == list(asked) and found["paired"].all()
    for name, cell in asked.items():
        row = found.loc[name]
        assert (row["value"], row["value_low"]) == (cell.read.value, cell.read.low)
        assert row["difference"] == pytest.approx(row["value"] - row["other"])
        assert row["low"] <= row["difference"] <= row["high"]
    assert found.loc["forward/choice", "low"] > 0.3 and found.loc["forward/choice", "p_holm"] < 0.05
    assert found.loc["reverse/choice", "p_holm"] == 1


def test_two_studies_are_compared_in_the_variants_that_both_have(params):
    found = compared(params, "finished", "slower")
    assert list(found.table["variant"].unique()) == ["untrained", "naming", "forward"]
    assert found.table["paired"].all() and np.allclose(
        found.table["difference"], 0
    )  # the answers are the same
    rows = found.parameters.to_dict("records")
    assert rows == [
        {
            "parameter": "phase 1.learning_rate",
            "one": "0.001",
            "other": "0.0005",
            "variants": "naming, forward",
        }
    ]


def test_what_was_not_asked_alike_is_never_paired(params):
    found = compared(params, "finished:forward", "larger:forward")
    assert not found.table["paired"].any()
    assert any(note.startswith("* not asked the very same") for note in found.notes)
    named = compared(params, "larger:forward", "finished:forward").parameters
    assert ("world.facts.novel", "24", "16") in set(
        named[["parameter", "one", "other"]].itertuples(index=False)
    )


def test_variants_of_two_studies_are_compared_whatever_they_are_called(params):
    found = compared(params, "finished:naming", "renamed:says")
    assert list(found.table["variant"].unique()) == ["naming − says"] and found.parameters.empty


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("finished:forward", "slower", "name a variant of both, or of none of them"),
        ("finished", "finished", "finished is named twice"),
        ("finished:froward", "slower:forward", "'froward' is not known; did you mean forward?"),
        ("fnished", "slower", "no study named fnished; did you mean finished?"),
        ("finished", "smoke", "no answers yet|no evaluated variant of the same name"),
    ],
)
def test_what_cannot_be_compared_is_said_with_the_fix(params, one, other, said):
    with pytest.raises(UserError, match=said):
        compared(params, one, other)


def test_it_is_printed_in_80_columns_and_written_as_a_page(params, capsys):
    assert run.main(["--compare", "finished", "larger", "--params-folder", str(params)]) == 0
    said = capsys.readouterr().out
    *lines, last = said.splitlines()
    assert max(map(len, lines)) <= 80 and "world.facts.novel" in said
    page = Path(last.removeprefix("as a page: "))
    text = page.read_text("utf-8")
    assert page.name == "compare-finished-larger.html" and "world.facts.novel" in text
    assert "://" not in text and "<script" not in text and text.count("<table>") == 2
