"""`python -m mmrc_helpers.probe`: a folder of adapters on every row of a file, whole, resumed and shared."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import preloaded
import pytest
import torch
from dynamics.test_probes import by_hand
from models.loaded import PLAIN, toy_of
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image

from mmrc_helpers import probe
from mmrc_helpers.errors import UserError
from mmrc_helpers.models import load
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.models.features import open_pictures
from mmrc_helpers.store import files, folders
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.tasks.example import question
from mmrc_helpers.worlds.files.pairs import build_pairs
from mmrc_helpers.worlds.folder import read_data

NAMES = ("checkpoint-5", "checkpoint-20", "checkpoint-100")


@pytest.fixture(scope="module", autouse=True)
def artifacts(tmp_path_factory):
    with preloaded.stages(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMRC_ARTIFACTS", str(tmp_path_factory.mktemp("probe") / "artifacts"))
        yield


@pytest.fixture(scope="module")
def toys_at(tmp_path_factory):
    return tmp_path_factory.mktemp("toys")


def adapters_of(family: str, toys_at: Path, place: Path, ranks=(2, 4, 2)) -> Path:
    """Adapters that change what a toy says, of different ranks, as a trainer leaves them."""
    for seed, (name, rank) in enumerate(zip(NAMES, ranks, strict=True)):
        torch.manual_seed(seed)
        model = load.load_model(toy_of(family, toys_at).folder, PLAIN)
        layers = load.lora_layers(model, {"lora_targets": ["q_proj", "up_proj"], "freeze_vision": True})
        made = get_peft_model(model, LoraConfig(r=rank, target_modules=layers, init_lora_weights=False))
        made.save_pretrained(place / name)
    return place


def pairs_at(place: Path, count: int = 20) -> Path:
    table = [
        {
            "question": f"Which picture shows {n} words?",
            "trace": f"This is {'a picture ' * (1 + n % 3)}of {n}.",
            "inverse_question": f"Who is the keeper of {n} coats?",
            "inverse_trace": f"The keeper {n} is Otto Marsh.",
        }
        for n in range(count)
    ]
    place.mkdir(parents=True, exist_ok=True)
    files.write_jsonl(place / "pairs.jsonl", build_pairs(table))
    return place / "pairs.jsonl"


def run(*arguments) -> int:
    return probe.main([*map(str, arguments), "--accelerator", "cpu"])


@pytest.fixture(scope="module")
def text(toys_at, tmp_path_factory):
    """Model, adapters, data and the results of a whole probe of a model that reads only text."""
    place = tmp_path_factory.mktemp("text")
    folder, data = adapters_of("qwen3_text", toys_at, place / "adapters"), pairs_at(place)
    model = toy_of("qwen3_text", toys_at).folder
    assert run(model, "--adapters", folder, "--data", data, "--out", place / "out", "--processes", 1) == 0
    return model, folder, data, place / "out"


def logprobs(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "dynamics" / "logprobs.parquet").sort_values(["step", "id", "candidate"])


def looped(folder: Path, adapters: Path, encoder: Encoder, examples, name: str) -> list[dict]:
    """Both sides of some rows, one at a time, under a freshly loaded model."""
    model = load.load_model(folder, PLAIN).eval()
    if name in NAMES:
        model = PeftModel.from_pretrained(model, adapters / name).eval()
    asked = [(e, side) for e in examples for side in (e.answer, e.truth["rejected"])]
    return [by_hand(model, encoder, question(e), text) for e, text in asked]


def check_against_loop(folder, adapters, encoder, out):
    source = folders.input_folder(out, "data")
    found = logprobs(out)
    assert found["step"].nunique() == 4 and set(found["checkpoint"]) == {probe.ALONE, *NAMES}
    some = read_data(source).examples[::7]
    for name in (probe.ALONE, *NAMES):
        here = found[found["checkpoint"] == name].set_index(["id", "candidate"])
        assert len(here) == 2 * len(read_data(source).examples)
        wanted = iter(looped(folder, adapters, encoder, some, name))
        for example in some:
            for side in ("right", "rejected"):
                row = here.loc[example.id, side]
                assert dict(row[list(one := next(wanted))]) == pytest.approx(one, abs=3e-5)


def test_every_row_is_probed_as_one_at_a_time_with_text_only_models(text):
    model, adapters, _, out = text
    check_against_loop(model, adapters, Encoder(load.load_processor(model, PLAIN)), out)


def test_a_vision_language_model_with_pictures(toys_at, tmp_path):
    asked = {"prompt": "Who is shown here?", "chosen": "This is Otto."}
    rows = [{**asked, "images": [f"{n}.png"], "rejected": f"A picture {n}"} for n in range(9)]
    for n in range(9):
        Image.new("RGB", (64 + 32 * (n % 2), 64), (20 * n, 90, 200 - 20 * n)).save(tmp_path / f"{n}.png")
    files.write_jsonl(tmp_path / "rows.jsonl", rows)
    folder = adapters_of("qwen3_vl", toys_at, tmp_path / "adapters")
    model, out = toy_of("qwen3_vl", toys_at).folder, tmp_path / "out"
    rows = tmp_path / "rows.jsonl"
    assert run(model, "--adapters", folder, "--data", rows, "--out", out, "--processes", 1) == 0
    processor, source = load.load_processor(model, PLAIN), folders.input_folder(out, "data")
    check_against_loop(model, folder, Encoder(processor, open_pictures(Shards(source), [], processor)), out)


def test_the_summary_holds_means_with_intervals_and_the_figures_are_there(text):
    *_, out = text
    short = pd.read_csv(out / "summary.csv").set_index(["checkpoint", "subset", "measure"])
    found = logprobs(out)
    right = found[(found["checkpoint"] == "checkpoint-20") & (found["candidate"] == "right")]
    for subset, part in (("all rows", right), ("inverse", right[right["direction"] == "inverse"])):
        row = short.loc["checkpoint-20", subset, "chosen"]
        assert row["mean"] == pytest.approx(part["logp_mean"].mean()) and row["rows"] == len(part)
        assert row["low"] < row["mean"] < row["high"] and row["groups"] == 20
    whole = short.xs("all rows", level="subset")
    assert (whole.xs("preferred", level="measure")["mean"] == 0.5).all(), "every swap undoes its pair"
    ends, names = ("png", "pdf", "svg", "tex"), ("curves", "inside", "examples")
    assert {path.name for path in (out / "figures").iterdir()} == {
        f"{n}.{end}" for n in names for end in ends
    }


def test_a_second_call_computes_nothing(text):
    model, adapters, data, out = text
    before = (out / "made.json").stat().st_mtime_ns
    assert run(model, "--adapters", adapters, "--data", data, "--out", out) == 0
    assert (out / "made.json").stat().st_mtime_ns == before


def test_what_was_killed_goes_on_where_it_was(text, tmp_path):
    model, adapters, data, whole = text
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mmrc_helpers.probe", model, "--adapters", adapters, "--data", data]
    command += ["--out", out, "--accelerator", "cpu", "--processes", 1]
    process = subprocess.Popen(list(map(str, command)), start_new_session=True, cwd=files.REPOSITORY)
    parts = tmp_path / "out.part" / "dynamics" / "parts"
    while not list(parts.glob("*.json")):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = sorted(parts.glob("*.json"))[0]
    content = json.loads(kept.read_text())
    for row in content["logprobs"]:
        row["kept"] = 1.0  # a mark that only a kept file carries into the table
    kept.write_text(json.dumps(content))
    assert run(model, "--adapters", adapters, "--data", data, "--out", out, "--processes", 1) == 0
    found = logprobs(out)
    assert found["kept"].sum() == len(content["logprobs"])
    pd.testing.assert_frame_equal(found.drop(columns="kept"), logprobs(whole), check_like=True)


def test_processes_share_the_work(text, tmp_path):
    model, adapters, data, whole = text
    out = tmp_path / "out"
    assert run(model, "--adapters", adapters, "--data", data, "--out", out, "--processes", 2) == 0
    pd.testing.assert_frame_equal(logprobs(out), logprobs(whole), check_like=True)


def test_one_adapter_alone_and_the_steps_that_trainers_noted(text, tmp_path):
    _, adapters, *_ = text
    assert probe.adapters_in(adapters) == dict(zip(NAMES, (1, 2, 3), strict=True))
    assert probe.adapters_in(adapters / NAMES[1]) == {NAMES[1]: 1}
    shutil.copytree(adapters, tmp_path / "noted")
    for name, step in zip(NAMES, (5, 20, 100), strict=True):
        files.write_json(tmp_path / "noted" / name / "trainer_state.json", {"global_step": step})
    assert probe.adapters_in(tmp_path / "noted") == dict(zip(NAMES, (5, 20, 100), strict=True))


def test_wrong_folders_are_named_in_one_sentence(text, toys_at, tmp_path, capsys):
    model, adapters, data, out = text
    with pytest.raises(UserError, match="is no folder"):
        probe.adapters_in(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no adapter; each is a folder with adapter_config.json and"):
        probe.adapters_in(model)
    shutil.copytree(adapters, tmp_path / "pickled")
    (tmp_path / "pickled" / NAMES[0] / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match="checkpoint-5 has no adapter_model.safetensors; pickled weights are"):
        probe.adapters_in(tmp_path / "pickled")
    other = adapters_of("llama_text", toys_at, tmp_path / "others", (2, 2, 2))
    wrong = [
        ((model, "--adapters", adapters, "--data", tmp_path / "no.jsonl"), "no.jsonl is not there"),
        ((tmp_path, "--adapters", adapters, "--data", data), "config.json is missing"),
        (
            (model, "--adapters", adapters, "--data", data, "--layout", "dp"),
            "'dp' is not known",
        ),
        ((model, "--adapters", other, "--data", data, "--out", out), "holds something else"),
        ((model, "--adapters", adapters, "--data", data, "--out", model), "holds something else"),
    ]
    capsys.readouterr()
    for arguments, told in wrong:
        assert run(*arguments) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and told in said


def test_an_adapter_of_another_model_is_named(text, toys_at, tmp_path, capsys):
    model, _, data, _ = text
    foreign = load.load_model(toy_of("qwen3_text", toys_at).folder, PLAIN)
    wide = type(foreign)(type(foreign.config)(**{**foreign.config.to_dict(), "hidden_size": 128}))
    get_peft_model(wide, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "wide")
    foreign, out = tmp_path / "wide", tmp_path / "out"
    assert run(model, "--adapters", foreign, "--data", data, "--out", out, "--processes", 1) == 2
    assert "wide does not fit the model" in capsys.readouterr().err
