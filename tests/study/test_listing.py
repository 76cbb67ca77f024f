"""The index of studies: what there is at a glance, in 80 columns and as a page, and computing nothing."""

import multiprocessing
import os
import re
from pathlib import Path

import pytest
from PIL import Image

from mmrc_helpers import run
from mmrc_helpers.store import crates, files, folders
from mmrc_helpers.study import listing, stages
from mmrc_helpers.study.runs import load_study

STUDY = """
question: Does <b>this</b> show?
cost: nothing
model: {source: scratch}
phases: []
seeds: [0, 1]
"""


@pytest.fixture
def params(tmp_path, monkeypatch) -> Path:
    """A folder with one study, mini, of which nothing is made yet."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mini.yaml").write_text(STUDY)
    return tmp_path / "params"


def finish(params: Path, *seeds: int) -> None:
    """Finishes the stages of these seeds."""
    for chosen in load_study(params / "mini.yaml").runs:
        for stage in stages.stages_of(chosen) if chosen.seed in seeds else ():
            folders.finish(folders.begin(stage.folder, stage.recipe({})), {"seconds": 1.0})


def report(name: str = "mini", verdict: str = "better & better", **more) -> Path:
    """A report with its verdict and main figure."""
    folder = folders.study_folder(name)
    files.make_folder(folder / "figures")
    files.write_text(folder / "report.html", "<p>report</p>")
    files.write_json(folder / "verdict.json", {"verdict": verdict, **more})
    Image.new("RGB", (1600, 800), "white").save(folder / "figures" / "scores.png")
    return folder


def of_mini(params: Path) -> listing.Entry:
    return next(entry for entry in listing.entries(params) if entry.name == "mini")


def test_an_entry_says_how_much_is_made(params):
    assert of_mini(params).state == "not run"
    finish(params, 0)
    assert of_mini(params).state == "1 of 2 runs, 2 of 4 stages, no report"
    finish(params, 1)
    report()
    found = of_mini(params)
    assert found.state == "2 of 2 runs, 4 of 4 stages, report" and found.verdict == "better & better"


def test_a_report_of_a_study_that_has_changed_since_is_told_as_that(params):
    report()
    assert of_mini(params).state == "not run as it is now; report of an earlier state"


def test_a_verdict_without_all_runs_says_so(params):
    report(missing_runs=["a, seed 1"])
    assert of_mini(params).verdict == "better & better (without 1 runs)"


def test_every_study_of_the_repository_is_listed_in_80_columns(params, capsys):
    assert run.main(["--list", "--params-folder", str(params)]) == 0
    said = capsys.readouterr().out
    assert {"reversal", "hello", "mini"} <= set(re.findall(r"^(\w+)  ", said, re.MULTILINE))
    assert max(map(len, said.splitlines())) <= 80
    assert not (params.parent / "artifacts").exists()  # looking makes nothing


def test_a_study_that_cannot_be_read_hides_no_other(params, capsys):
    (params / "broken.yaml").write_text("train: {batsh: 3}\n")
    assert run.main(["--list", "--params-folder", str(params)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "broken cannot be read: " in said and "did you mean batch?" in said and "mini not run" in said


def test_the_page_links_what_is_there_shows_markup_as_text_and_loads_nothing(params):
    finish(params, 0, 1)
    report()
    files.write_text(folders.study_folder("mini") / "index.html", "")
    page = listing.write_index(params)
    text = page.read_text("utf-8")
    assert page == params.parent / "artifacts" / "studies" / "index.html"
    assert 'href="mini/report.html"' in text and 'href="mini/index.html"' in text
    assert "mini/answers.html" not in text
    assert "&lt;b&gt;this&lt;/b&gt;" in text and "better &amp; better" in text
    assert text.count("<img ") == 1 and 'src="data:image/png;base64,' in text and 'width="640"' in text
    assert "://" not in text and "<script" not in text
    assert text.index("<h2>mini</h2>") < text.index("<h2>reversal</h2>")  # results come first


def test_studies_that_end_together_leave_one_whole_page(params):
    finish(params, 0, 1)
    report()
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=listing.write_index, args=(params,)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    folder = params.parent / "artifacts" / "studies"
    assert [path.name for path in folder.iterdir() if path.is_file()] == ["index.html"]
    assert (folder / "index.html").read_text().endswith("</html>\n")


def test_a_page_that_is_older_than_a_report_is_behind_it(params):
    mark = report() / "report.json"
    files.write_json(mark, {})
    assert listing.is_behind(mark)
    page = listing.write_index(params)
    assert not listing.is_behind(mark)
    os.utime(page, (1, 1))
    assert listing.is_behind(mark)
    page.parent.chmod(0o555)
    try:
        assert listing.is_behind(mark) == (os.geteuid() == 0)  # who only reads need not write it; root may
    finally:
        page.parent.chmod(0o755)


def test_a_damaged_figure_is_left_out(params):
    folder = report()
    (folder / "figures" / "scores.png").write_bytes(b"no picture")
    assert "<img" not in listing.write_index(params).read_text()


def test_an_imported_study_is_listed_with_what_opens_it(params, tmp_path):
    about = {"study": "theirs", "question": "Whose?", "weights": False}
    verdict = b'{"verdict": "as expected"}'
    contents = {"params/theirs.yaml": b"", "studies/theirs/verdict.json": verdict}
    crates.pack(tmp_path / "theirs.zip", about, contents)
    assert run.main(["--import", str(tmp_path / "theirs.zip")]) == 0
    found = listing.entries(params)[-1]
    assert (found.name, found.question, found.verdict) == ("theirs", "Whose?", "as expected")
    assert "imported, only read: MMRC_ARTIFACTS=" in found.state
