"""Nothing leaves its folder, nothing is told to others, and no secret is written down."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import machine
from mmrc_helpers.store import files
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import PARAMS_FOLDER, load_study
from mmrc_helpers.tasks.example import read_examples
from mmrc_helpers.worlds.folder import read_facts

TINY = """
model: {source: scratch}
phases: []
people: {background: 8, novel: 16, train_views: 1, test_views: 1, train_scenes: 1, text_scenes: 8}
machine: {launcher: python}
"""
EXAMPLE = {"id": "0", "group": "novel-0", "split": "test", "prompt": [["text", "Who is this?"]]}
NAMES = ["../../secret.png", "/etc/passwd", "a/b.png", "..", ""]
SHOWN = {  # a field of an example → how it holds the name of a picture, or a name itself
    "prompt": lambda name: [["image", name]],
    "before": lambda name: [["user", [["image", name]]]],
    "contexts": lambda name: [[["user", [["image", name]]]]],
    "group": lambda name: name,
}


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)
    return folder / f"{name}.yaml"


@pytest.mark.parametrize("name", ["../reversal", "a/b", "/etc/passwd", "..", "a\\b", "A", ""])
def test_a_study_whose_name_could_be_a_path_is_refused(name):
    with pytest.raises(UserError, match="is not a name|no such study"):
        load_study(name)


@pytest.mark.parametrize("name", ["../x", "a/b", "/abs", "..", ".hidden", "a\\b", "a\nb"])
@pytest.mark.parametrize("where", ["variants: {%s: {}}", "model: {study: %s}"])
def test_names_in_a_study_file_cannot_be_paths(tmp_path, name, where):
    quoted = '"' + name.replace("\\", "\\\\").replace("\n", "\\n") + '"'
    with pytest.raises(UserError, match="is not a (plain file )?name"):
        load_study(write(tmp_path, "bad", where % quoted))


@pytest.mark.parametrize("name", ["../x", "/abs", "..", ".hidden", "a\\b", "a\nb"])
def test_a_model_lies_in_the_models_folder(tmp_path, name):
    quoted = '"' + name.replace("\\", "\\\\").replace("\n", "\\n") + '"'
    with pytest.raises(UserError, match="is no folder in machine.models_folder; write model.name"):
        load_study(write(tmp_path, "bad", f"model: {{source: folder, name: {quoted}}}"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", SHOWN)
def test_names_of_pictures_in_data_cannot_be_paths(tmp_path, name, field):
    files.append_jsonl(tmp_path / "examples.jsonl", [{**EXAMPLE, field: SHOWN[field](name)}])
    with pytest.raises(UserError, match="examples.jsonl: .* is not a plain file name"):
        read_examples(tmp_path / "examples.jsonl")


@pytest.mark.parametrize("name", NAMES)
def test_options_that_are_pictures_and_facts_cannot_be_paths(tmp_path, name):
    lineup = {**EXAMPLE, "prompt": [["options", "pictures"]], "options": ["0.png", name], "gold": 0}
    files.append_jsonl(tmp_path / "examples.jsonl", [lineup])
    with pytest.raises(UserError, match="examples.jsonl: .* is not a plain file name"):
        read_examples(tmp_path / "examples.jsonl")
    whole = {"group": "novel-0", "title": "Ada Lovelace", "text": "", "pictures": ["0.png"]}
    for fact in ({**whole, "group": name}, {**whole, "pictures": [name]}):
        files.write_jsonl(tmp_path / "facts.jsonl", [fact])
        with pytest.raises(UserError, match="facts.jsonl: .* is not a plain file name"):
            read_facts(tmp_path)


@pytest.mark.parametrize(
    "given",
    [
        "HF_TOKEN: abc",
        "WANDB_API_KEY: abc",
        "aws_secret_access_key: abc",
        "DB_PASSWORD: abc",
        "HTTPS_PROXY: 'http://me:abc@proxy:3128'",
    ],
)
def test_a_secret_in_a_study_file_is_refused_with_the_cure(tmp_path, given):
    with pytest.raises(UserError, match="looks like a secret.*export it in the shell"):
        load_study(write(tmp_path, "bad", f"machine: {{environment: {{{given}}}}}"))


def test_settings_that_only_sound_like_secrets_are_allowed(tmp_path):
    text = "machine: {environment: {NCCL_IB_PKEY: 1, TOKENIZERS_PARALLELISM: 'true', NCCL_DEBUG: INFO}}"
    (chosen,) = load_study(write(tmp_path, "good", text)).runs
    assert len(chosen.params["machine"]["environment"]) == 3


def test_an_exported_secret_is_written_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("HF_TOKEN", "canary-4711")
    (chosen,) = load_study(write(tmp_path / "params", "mini", TINY)).runs
    stages.make(stages.data_stage(chosen), chosen.params["machine"], lambda *_, **__: None)
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    made = {"mini.yaml", "recipe.json", "log.txt", "done.json", "made.json"}
    made |= {"00000.parquet", "examples.jsonl", "facts.jsonl"}
    assert made <= {path.name for path in paths}
    assert not [path for path in paths if b"canary-4711" in path.read_bytes()]


def test_remote_code_is_off_in_every_study():
    for path in PARAMS_FOLDER.glob("*.yaml"):
        assert not any(run.params["model"]["trust_remote_code"] for run in load_study(path).runs)


def test_yaml_cannot_make_objects(tmp_path):
    with pytest.raises(UserError, match="not valid YAML"):
        load_study(write(tmp_path, "bad", "question: !!python/object/apply:os.system ['true']"))


def test_the_libraries_report_to_nobody():
    code = "from huggingface_hub import constants as c; print(c.HF_HUB_OFFLINE, c.HF_HUB_DISABLE_TELEMETRY)"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "DISABLE"))}
    command = [sys.executable, "-c", code]
    for settings in (machine.NO_NETWORK, {"DISABLE_TELEMETRY": machine.NO_NETWORK["DISABLE_TELEMETRY"]}):
        said = subprocess.run(command, env={**clean, **settings}, capture_output=True, text=True, check=True)
        assert said.stdout.split()[1] == "True"
    assert machine.NO_NETWORK["HF_HUB_OFFLINE"] == "1" and machine.NO_NETWORK["WANDB_MODE"] == "disabled"
