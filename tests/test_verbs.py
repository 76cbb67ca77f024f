"""Every verb of the package on a finished study: what it returns, that it escapes what comes from data, and
that the package stays quick to import."""

import html
import inspect
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import finished_study
import pandas as pd
import pytest
from IPython.display import HTML, Image

import mmrc_helpers as mm
from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files, folders
from mmrc_helpers.study import stages

TABLES = ("make_data", "check_data", "plan_training", "train", "check_exposure", "evaluate", "score", "trace")
DYNAMICS = ("plot_curves", "plot_margins", "plot_candidates", "plot_examples", "plot_alignment")
PICTURES = {  # verb → the notebook of a run that calls it
    "plot_training": "02_train",
    **dict.fromkeys(("plot_scores", "plot_answers", "plot_controls", "plot_gates"), "03_evaluate"),
    **dict.fromkeys(DYNAMICS, "04_dynamics"),
}
SHEETS = ("show_facts", "show_questions", "show_batch", "show_mistakes", "show_provenance")


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verbs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMRC_ARTIFACTS", str(folder / "artifacts"))
        yield str(finished_study.write(folder / "params"))


@pytest.fixture
def run(study_file):
    return mm.open_run(study_file, "forward", 0)


@pytest.fixture
def study(study_file):
    return mm.open_study(study_file)


def test_importing_the_package_is_quick_and_loads_no_torch():
    start = time.perf_counter()
    loaded = "import sys, mmrc_helpers; print('torch' in sys.modules, 'pandas' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"] and time.perf_counter() - start < 1


def test_no_verb_loads_torch(study_file):
    said = "mm.score(run); mm.plot_scores(run); mm.show_facts(run); print('torch' in sys.modules)"
    code = f"import sys, mmrc_helpers as mm; run = mm.open_run({study_file!r}, 'forward', 0); {said}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_the_package_offers_about_25_verbs_that_explain_themselves():
    verbs = {name: f for name, f in vars(mm).items() if inspect.isfunction(f) and not name.startswith("_")}
    assert len(verbs) <= 30 and all(f.__doc__ for f in verbs.values())


@pytest.mark.parametrize("verb", TABLES)
def test_table_verbs_return_tables(run, verb):
    assert isinstance(getattr(mm, verb)(run), pd.DataFrame)


def pictures_of(executed: Path) -> dict[str, str]:
    """Name → alternative text of every picture that an executed notebook shows."""
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    shown = [out for cell in cells for out in cell.get("outputs", ()) if "image/png" in out.get("data", {})]
    about = [out["metadata"]["image/png"] for out in shown]
    return {of["name"]: of["alt"] for of in about}


@pytest.mark.parametrize("verb", PICTURES)
def test_plot_verbs_return_pictures_with_alternative_text(simulated, verb):
    """As the notebooks show them, which are executed once for all tests."""
    executed, name = simulated.executed(PICTURES[verb]), verb.removeprefix("plot_")
    assert len(pictures_of(executed)[name]) > 40
    saved = {path.suffix for path in (executed.parent / "figures").glob(f"{name}.*")}
    assert saved == {".png", ".pdf", ".svg", ".tex"}


@pytest.mark.parametrize("verb", SHEETS)
def test_sheets_show_markup_in_data_as_text(run, verb):
    sheet = getattr(mm, verb)(run)
    assert isinstance(sheet, HTML) and "<script" not in sheet.data and "<img src" not in sheet.data


def test_a_hostile_name_is_seen_as_text(run):
    assert (
        "&lt;script&gt;" in mm.show_facts(run, 1000, 1).data and "&lt;script&gt;" in mm.show_batch(run).data
    )


def test_the_data_keep_their_promises(run):
    assert mm.check_data(run)["kept"].all()


def test_a_broken_shard_is_named(run):
    (path, *_) = sorted((stages.data_stage(run).folder / "pictures").glob("*.parquet"))
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    try:
        for verb in (mm.check_data, mm.show_facts):
            with pytest.raises(UserError, match=f"{path.name}.*--redo data"):
                verb(run)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("name", "verbs"),
    [
        ("metrics.jsonl", (mm.train, mm.plot_training)),
        ("exposure.json", (mm.check_exposure, mm.show_provenance)),
        ("batch.json", (mm.show_batch,)),
        ("dynamics/logprobs.parquet", (mm.trace, mm.plot_curves)),
    ],
)
def test_what_training_left_is_compared_before_it_is_shown(run, name, verbs):
    path = stages.train_stages(run)[-1].folder / name
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"0", b"1", 1))
    try:
        for verb in verbs:
            with pytest.raises(UserError, match=f"{name} is not what was written; .*rm -r"):
                verb(run)
    finally:
        path.write_bytes(whole)


def test_the_untrained_control_has_no_training_to_show(study_file):
    run = mm.open_run(study_file, "untrained", 0)
    for verb in (mm.plan_training, mm.train, mm.show_batch, mm.plot_training, mm.check_exposure, mm.trace):
        assert "o phases" in verb(run).data
    for verb in DYNAMICS:
        assert getattr(mm, verb)(run).data.count(".") == 1, "one sentence"


def test_a_study_without_probes_says_so_in_one_sentence(tmp_path):
    (tmp_path / "quiet.yaml").write_text("model: {source: scratch}\ntrain: {steps: 5, taught_tokens: 0}\n")
    study = mm.open_study(str(tmp_path / "quiet.yaml"))
    found = {getattr(mm, verb)(study.runs[0]).data for verb in (*DYNAMICS, "trace")}
    found |= {mm.plot_curves(study).data}
    said = "Training was not traced: dynamics.probes is 0 in this study."
    assert found == {f'<p class="does-not-apply">{said}</p>'}


def test_training_is_shown_before_there_are_answers(run, tmp_path, monkeypatch):
    for stage in (stages.data_stage(run), *stages.train_stages(run)):
        link = tmp_path / stage.folder.relative_to(files.artifacts_root())
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(stage.folder)
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path))
    for verb in (mm.make_data, mm.check_data, mm.train, mm.check_exposure):
        assert isinstance(verb(run), pd.DataFrame)
    assert mm.plot_training(run) and mm.show_batch(run)


def test_the_verdict_is_shown_and_written(study):
    shown = mm.verdict(study).data
    written = json.loads((folders.study_folder("finished") / "verdict.json").read_text())
    assert written["verdict"] in shown and written["finding"] == "reversal"
    said = re.findall(r"<p><strong>(.*?)</strong></p>", shown)
    assert len(said) == 2 and written["sentence"] == html.unescape(said[1]) and "<details><summary>" in shown
    assert set(written["parts"]) == {"free", "choice", "judge"} and written["missing_runs"] == []


def test_study_verbs_read_all_variants(study, simulated):
    assert set(mm.score(study).index.get_level_values("variant")) == {"untrained", "naming", "forward"}
    told = pictures_of(simulated.executed("05_report_reversal"))
    assert all("forward" in told[name] for name in ("scores", "gates", "controls", "curves"))
    assert all(len(told[name]) > 40 for name in ("binding", "calibration", "transfer"))
    picture = mm.plot_answers(study)
    assert isinstance(picture, Image) and "forward" in picture.metadata["alt"]
    assert "simulated" in mm.show_provenance(study).data and "<img" in mm.show_mistakes(study).data


def test_a_figure_that_a_finding_lacks_is_named(study):
    with pytest.raises(UserError, match="'bindings' is not known; did you mean binding"):
        mm.plot(study, "bindings")


def test_an_unknown_variant_names_its_neighbour(study_file):
    with pytest.raises(UserError, match="forward"):
        mm.open_run(study_file, "forwart", 0)


def test_a_study_without_answers_says_what_to_do(tmp_path, monkeypatch, study_file):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path))
    with pytest.raises(UserError, match="no answers yet"):
        mm.score(mm.open_run(study_file, "forward", 0))
