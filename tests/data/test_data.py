"""Downloads: from a hub on this machine, and what is said where there is none."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import yaml
from data.hub import Hub, serving
from PIL import Image

from mmrc_helpers import data
from mmrc_helpers.models.folder import problems
from mmrc_helpers.store import files
from mmrc_helpers.study.parameters import read_known
from mmrc_helpers.study.runs import PARAMS_FOLDER
from mmrc_helpers.study.yaml_files import read_yaml
from mmrc_helpers.worlds import WORLDS


def tiny_model() -> Path:
    """The folder of the committed model: real files of every kind that a model has."""
    return tiny.base_model() / "model"


def picture(color: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def place(tmp_path) -> Path:
    """A hub's folders: a model with files in other formats beside its own, and VSR's two tables."""
    model = tmp_path / "hub" / "model"
    shutil.copytree(tiny_model(), model)
    (model / "pytorch_model.bin").write_bytes(b"pickled")
    (model / "original").mkdir()
    (model / "original" / "params.json").write_text("{}")
    (tmp_path / "hub" / "vsr").mkdir()
    (tmp_path / "here").mkdir()
    return tmp_path


def write_vsr(place: Path, address: str) -> None:
    rows = [
        {"image": f"{n}.jpg", "image_link": f"{address}/train2017/{n}.jpg", "relation": "on", "label": n % 2,
         "caption": f"The cup is on table {n}."}
        for n in range(3)
    ]  # fmt: skip
    for part in ("train", "test"):
        text = "\n".join(json.dumps(row) for row in rows)
        (place / "hub" / "vsr" / f"{part}.jsonl").write_text(text)


def hub_of(place: Path, **more) -> Hub:
    folders = {"models/lab/tiny": "model", "datasets/cambridgeltl/vsr_zeroshot": "vsr"}
    return Hub({name: place / "hub" / folder for name, folder in folders.items()}, **more)


def download(place: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit status and output of the command line in a process of its own, with a Hub's cache of its own."""
    ours = {"HF_HUB_CACHE": str(place / "cache"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "mmrc_helpers.data", "download", "--models-folder", "models", *arguments]
    paths = os.pathsep.join([str(files.REPOSITORY), os.environ.get("PYTHONPATH", "")])
    outer = {**os.environ, "PYTHONPATH": paths, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        command, cwd=place / "here", env={**outer, **ours, **environment}, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def test_a_model_and_a_data_set_with_its_pictures_come_as_they_are_and_only_once(place, monkeypatch):
    with serving(hub_of(place)) as hub:
        write_vsr(place, hub.address)
        hub.pages = {f"/train2017/{n}.jpg": picture(c) for n, c in enumerate(("red", "green", "blue"))}
        asked = ("--models", "lab/tiny", "--datasets", "vsr")
        status, said = download(place, *asked, HF_ENDPOINT=hub.address)
        assert status == 0, said
        first, sizes = hub.asked, said.index("GB to fetch")
        assert sizes < said.index("tiny: is here")  # sizes are said first
        hub.asked = []
        status, said = download(place, *asked, HF_ENDPOINT=hub.address)
        assert status == 0 and "all here" in said and "0 to fetch" in said, said
        assert first and not hub.asked  # the second time no file is asked for
    got = place / "here" / "models" / "tiny"
    assert {path.name for path in got.iterdir() if path.is_file()} >= {"model.safetensors", "config.json"}
    assert not (got / "pytorch_model.bin").exists() and not (got / "original").exists()
    assert (got / "model.safetensors").read_bytes() == (tiny_model() / "model.safetensors").read_bytes()
    assert problems({"name": "tiny"}, {"models_folder": str(place / "here" / "models")}) == []
    assert_vsr_is_read(place, monkeypatch)


def assert_vsr_is_read(place: Path, monkeypatch) -> None:
    """The world finds tables and pictures where they were put, by the default of its parameters."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place / "cache"))
    facts = read_yaml(files.REPOSITORY / "params" / "worlds" / "vsr.yaml")["facts"]
    facts |= {"file": "hub:cambridgeltl/vsr_zeroshot", "pictures": str(place / "here" / "pictures" / "vsr")}
    made = WORLDS["vsr"].make(facts, 0)
    assert len(made.examples) == 3
    assert all(example.facets.get("picture", "here") == "here" for example in made.examples)


def test_what_was_cut_off_goes_on_from_there(place):
    asked = ("--models", "lab/tiny")
    with serving(hub_of(place, cut_off="model.safetensors", dead="tokenizer.json")) as hub:
        status, said = download(place, *asked, HF_ENDPOINT=hub.address)
        assert status == 1 and "run the same command again" in said, said
        weights = [first for name, first in hub.asked if name == "model.safetensors"]
        assert weights[0] == 0 and weights[1] > 0  # the same attempt asked for the rest
        hub.dead, hub.asked = "", []
        status, said = download(place, *asked, HF_ENDPOINT=hub.address)
        assert status == 0, said
        assert {name for name, _ in hub.asked} == {"tokenizer.json"}  # and the next one for what was missing
    got = place / "here" / "models" / "tiny" / "model.safetensors"
    assert got.read_bytes() == (tiny_model() / "model.safetensors").read_bytes()


def test_after_a_failure_the_others_go_on(place):
    with serving(hub_of(place)) as hub:
        write_vsr(place, hub.address)
        hub.pages = {"/train2017/0.jpg": picture("red"), "/train2017/1.jpg": b"<html>gone</html>"}
        asked = ("--models", "nobody/nothing,lab/tiny", "--datasets", "vsr")
        status, said = download(place, *asked, HF_ENDPOINT=hub.address)
    assert status == 1, said
    assert "nobody/nothing: the Hub has no such repository" in said
    assert "2 of 3 pictures could not be fetched" in said  # a missing one, and a page in place of one
    assert "lab/tiny: is here" in said and "vsr: is here" in said
    assert "2 of 3 are here; not nobody/nothing" in said
    assert [path.name for path in (place / "here" / "pictures" / "vsr").iterdir()] == ["0.jpg"]


@pytest.mark.parametrize("environment", [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}])
def test_without_network_one_sentence_an_item_says_what_to_copy_where(place, environment):
    status, said = download(place, "--models", "qwen3_vl_8b", "--datasets", "vsr,cv_bench", **environment)
    assert status == 1
    sentences = [line for line in said.splitlines() if "elsewhere run" in line]
    assert len(sentences) == 3
    model, vsr, cv_bench = sentences
    assert "17.5 GB" in model and model.endswith("to models/Qwen3-VL-8B-Instruct")
    assert f"to {place / 'cache'}, and its pictures to pictures/vsr" in vsr
    assert "datasets--nyu-visionx--CV-Bench" in cv_bench and cv_bench.endswith(f"to {place / 'cache'}")


def test_without_network_what_was_copied_by_hand_counts_as_here(place):
    shutil.copytree(tiny_model(), place / "here" / "models" / "tiny")
    status, said = download(place, "--models", "lab/tiny", HF_HUB_OFFLINE="1")
    assert status == 0 and "lab/tiny: is here" in said


def test_names_may_be_spelled_as_the_studies_are_and_unknown_ones_are_all_named(capsys):
    assert data._chosen("model", "qwen3vl_8b, Llama-3.2-11B", Path("m"))[1].name == "llama_3_2_11b"
    arguments = ["download", "--models", "qwen3_vl_9b,smolvlm2,nothing_like_it,x/..", "--datasets", "vsr"]
    assert data.main(arguments) == 2
    said = capsys.readouterr().err
    assert "qwen3_vl_9b is not known; did you mean qwen3_vl_8b?" in said
    assert "smolvlm2 is not known; did you mean smolvlm?" in said
    assert "nothing_like_it is not known; there are qwen3_vl_8b" in said
    assert "x/.. is not known; there are" in said


def test_a_disk_that_is_too_small_is_found_before_anything_is_fetched(place):
    with (place / "hub" / "model" / "model.safetensors").open("ab") as file:
        file.truncate(10**13)  # a file of holes
    with serving(hub_of(place)) as hub:
        status, said = download(place, "--models", "lab/tiny", HF_ENDPOINT=hub.address)
    assert status == 2 and "models needs about 1e+04 GB of disk" in said, said
    assert not hub.asked


def test_what_a_study_is_told_to_say_are_parameters_of_its_world():
    for name, item in read_yaml(data.HUB / "datasets.yaml").items():
        ((world, facts),) = yaml.safe_load(item["study"]).items()
        known = read_known(PARAMS_FOLDER / "worlds" / f"{world}.yaml").defaults["facts"]
        assert facts.keys() <= known.keys() and item["hub"] in str(facts), name
