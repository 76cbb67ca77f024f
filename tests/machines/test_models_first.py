"""A downloaded model is looked at before anything is made from it: whatever is wrong is one message, and no
data are drawn first."""

import json
import shutil
from pathlib import Path

import pytest
import tiny

from mmrc_helpers import run
from mmrc_helpers.errors import UserError
from mmrc_helpers.models import folder as model_folder
from mmrc_helpers.store import files
from mmrc_helpers.study import preflight
from mmrc_helpers.study.runs import load_study

STUDY = """
extends: smoke
model: {{source: folder, name: {name}}}
machine: {{models_folder: "{models}"}}
"""


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with a whole model, the embedded one, and empty artifacts."""
    shutil.copytree(tiny.base_model() / "model", tmp_path / "models" / "whole")
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path


def study(place: Path, name: str = "whole", models: str = "") -> str:
    (place / "mine.yaml").write_text(STUDY.format(name=name, models=models or place / "models"))
    return str(place / "mine.yaml")


def no_data(place: Path) -> bool:
    return not list((place / "artifacts").glob("data/*"))


NAMES = {  # model.name: what is said
    "Qwen/Qwen3-VL-8B-Instruct": "Qwen3-VL-8B-Instruct`, then write model.name: Qwen3-VL-8B-Instruct",
    "Qwen/whole": "Qwen/whole is the hub's id; the folder is there, so write model.name: whole",
    "~/models/whole": "write model.name: whole and machine.models_folder: ~/models",
    "/scratch/whole": "write model.name: whole and machine.models_folder: /scratch",
    "whole/": "write model.name: whole",
    "https://hub/Qwen/Qwen3-VL": "download it (`hf download OWNER/Qwen3-VL --local-dir models/Qwen3-VL`)",
    "../whole": "no folder in machine.models_folder",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_folder_says_what_to_write(place, capfd, name):
    assert run.main([study(place, name)]) == 2
    assert NAMES[name] in capfd.readouterr().err and no_data(place)


def test_all_that_is_wrong_with_the_files_is_said_before_any_work(place, capfd):
    (place / "models" / "whole" / "tokenizer.json").write_text("")
    (place / "models" / "whole" / "model.safetensors").write_bytes(
        b"version https://git-lfs.github.com/spec/v1"
    )
    (place / "models" / "whole" / "processor_config.json").unlink()
    assert run.main([study(place)]) == 2
    said = capfd.readouterr().err
    assert "3 problems" in said and "git lfs pull" in said and "tokenizer.json is damaged" in said
    assert "holds no processor" in said and no_data(place)


def changed(name: str, change):
    def harm(model: Path) -> None:
        content = json.loads((model / name).read_text())
        change(content)
        (model / name).write_text(json.dumps(content))

    return harm


HARM = {  # seen only by whoever loads it: what is said
    "no words in the tokenizer": (
        changed("tokenizer.json", lambda c: c["model"].update(vocab={})),
        "cannot be",
    ),
    "a broken template": (
        lambda m: (m / "chat_template.jinja").write_text("{% if %}"),
        "its chat template does",
    ),
    "the config of another family": (
        changed("config.json", lambda c: c.update(model_type="llava")),
        "cannot be",
    ),
    "a family of the future": (
        changed("config.json", lambda c: c.update(model_type="qwen9_vl")),
        "is a qwen9_vl, no family known here",
    ),
    "other sizes": (
        changed("config.json", lambda c: c["text_config"].update(hidden_size=8)),
        "has another shape",
    ),
    "broken generation": (
        lambda m: (m / "generation_config.json").write_text("[1]"),
        "cannot be loaded (TypeError",
    ),
}
CASES = [pytest.param(*case, id=name, marks=pytest.mark.slow) for name, case in HARM.items()]


@pytest.mark.parametrize(("harm", "says"), CASES)
def test_what_only_loading_shows_is_said_before_any_work(place, capfd, harm, says):
    harm(place / "models" / "whole")
    assert run.main([study(place)]) == 2
    said = capfd.readouterr().err
    assert says in said and "Traceback" not in said and said.count("\n") == 1 and no_data(place)


@pytest.mark.slow
def test_a_login_node_without_a_gpu_looks_at_the_model_of_jobs_that_have_some(place):
    path = Path(study(place))
    text = path.read_text().replace("machine: {", "machine: {cluster: slurm, accelerator: cuda, ")
    path.write_text(text)
    preflight.check(load_study(path).runs)
    (place / "models" / "whole" / "chat_template.jinja").write_text("{% if %}")
    with pytest.raises(UserError, match="its chat template does"):
        preflight.check(load_study(path).runs)


@pytest.mark.slow
def test_adapters_that_find_no_layer_are_said_before_any_work(place, capfd):
    path = Path(study(place))
    path.write_text(path.read_text() + "train: {lora_r: 4, lora_targets: [q_proj, qkv]}\n")
    assert run.main([str(path)]) == 2
    said = capfd.readouterr().err
    assert "no linear layer of the language part is called qkv; the vision part has it" in said and no_data(
        place
    )


def test_a_whole_model_passes(place):
    preflight.check(load_study(study(place)).runs)
    assert no_data(place)


PLACES = {"~/models": "{home}/models", "$HOME/models": "{home}/models", "models": "{repository}/models"}


@pytest.mark.parametrize("given", PLACES)
def test_the_folder_of_models_means_what_it_means_in_a_shell(place, monkeypatch, given):
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.chdir(place)
    found = model_folder.where({"name": "whole"}, {"models_folder": given})
    assert str(found) == PLACES[given].format(home=place, repository=files.REPOSITORY) + "/whole"


@pytest.mark.parametrize("given", ["~no_such_user/models", "$NO_SUCH_NAME/models"])
def test_a_folder_of_models_that_means_nothing_is_refused(given):
    with pytest.raises(
        UserError, match="machine.models_folder: .* names no place here; write the whole path"
    ):
        model_folder.where({"name": "whole"}, {"models_folder": given})
