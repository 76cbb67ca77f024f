"""Bad input: one clear sentence that names the fix, exit status 2, and nothing that was made is lost."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from mmrc_helpers import run
from mmrc_helpers.analysis import reading, scores
from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import machine
from mmrc_helpers.models import load
from mmrc_helpers.store import files, folders
from mmrc_helpers.study import runs
from mmrc_helpers.tasks.example import example_line, read_examples
from mmrc_helpers.tasks.rows import taken
from mmrc_helpers.worlds import WORLDS, Data
from mmrc_helpers.worlds.people import cast as world
from mmrc_helpers.worlds.people.questions import examples as questions

SMOKE = runs.load_study("smoke").runs[-1]
DATA = SMOKE.params["world"]["facts"]
TEACH = SMOKE.params["phases"][0]["teach"]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with params and with artifacts, in which a stage is finished; it must stay as it is."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "params").mkdir()
    shutil.copy(runs.PARAMS_FOLDER / "base.yaml", tmp_path / "params")
    (tmp_path / "params" / "good.yaml").write_text("variants: {forward: {}}")
    part = folders.begin(folders.folder_of("data", "people", "c4f0de05"), {"key": "c4f0de05"})
    (part / "people.json").write_text("[]")
    folders.finish(part, {})
    before = content(tmp_path / "artifacts")
    yield tmp_path
    assert content(tmp_path / "artifacts").items() >= before.items()


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(place: Path, capfd, *arguments: str) -> str:
    """What the command line says to this, having checked its form."""
    assert run.main([*arguments, "--params-folder", str(place / "params")]) == 2
    said = capfd.readouterr().err
    assert re.fullmatch(r"error: (.+|\d+ problems:(\n  .+)+)\n", said), said
    return said


STUDIES = {
    "misspelt parameter": ("train: {epcohs: 3, stpes: 4}", "train.epcohs: no such parameter"),
    "near miss": ("train: {stpes: 4}", "mine.yaml: train.stpes: no such parameter; did you mean steps?"),
    "misspelt section": ("trian: {steps: 4}", "trian: no such parameter; did you mean train?"),
    "misspelt deep": (
        "train.teach.replay_mix.potrait: 1",
        "train.teach.replay_mix.potrait: .* did you mean portrait?",
    ),
    "misspelt in variant": ("variants: {a: {train.stpes: 4}}", "train.stpes: .* did you mean steps?"),
    "misspelt in phase": ("phases: [{stpes: 4}]", "train.stpes: .* did you mean steps?"),
    "2e-4 as text": ("train: {learning_rate: 2e-4}", r"train.learning_rate: .*'2e-4'.* write 0.0002"),
    "text for a number": ("train: {learning_rate: fast}", "train.learning_rate: expected a number such as"),
    "infinite number": ("train: {learning_rate: .inf}", "train.learning_rate: expected a number"),
    "not a number": ("train: {learning_rate: .nan}", "train.learning_rate: expected a number"),
    "bool for a count": ("train: {steps: true}", "train.steps: expected a whole number"),
    "fraction for a count": ("train: {steps: 2.5}", "train.steps: expected a whole number"),
    "number for a switch": ("train: {freeze_vision: 1}", "train.freeze_vision: expected true or false"),
    "bool for text": ("model: {name: false}", "model.name: expected text; got False"),
    "null": ("train: {steps: null}", "train.steps: expected a whole number .*None"),
    "empty section": ("train:", "train: expected a mapping"),
    "list for a section": ("train: [1]", "train: expected a mapping"),
    "word for a list": ("train.teach: {cells: forward/free}", "train.teach.cells: expected a list"),
    "nested list": ("train.teach: {cells: [[forward/free]]}", "train.teach.cells: expected a flat list"),
    "repeated element": (
        "train.teach: {cells: [forward/free, forward/free]}",
        "train.teach.cells: .* given twice",
    ),
    "unknown cell": (
        "train.teach: {cells: [sideways/free]}",
        "train.teach.cells: 'sideways/free' .*forward/free",
    ),
    "unknown choice": (
        "machine: {launcher: slurm}",
        "machine.launcher: 'slurm' .* deepspeed, torchrun, accelerate, python",
    ),
    "negative count": ("people: {novel: -1}", "people.novel: must be at least 0; got -1"),
    "two lengths": (
        "train: {steps: 9, taught_tokens: 9}",
        "train.steps, train.taught_tokens: give one of them",
    ),
    "zero rows": ("train: {batch: 0}", "train.batch: must be at least 1; got 0"),
    "one process too many": (
        "machine: {launcher: python, processes: 2}",
        "machine.launcher: python starts one process, but machine.processes is 2; use deepspeed or torchrun",
    ),
    "processes beside the slots of a hostfile": (
        "machine: {processes: 4, hostfile: hosts}",
        "machine.processes: 4 says nothing beside machine.hostfile, .*; write processes: 0, or hostfile",
    ),
    "share above one": ("train.teach: {replay: 1.5}", "train.teach.replay: must be at most 1; got 1.5"),
    "too many options": ("people: {options: 30}", "people.options: must be at most"),
    "more people than names": ("people: {novel: 900}", "1000 people, but only 400 names"),
    "nothing to replay": (
        "train.teach.replay_mix: {portrait: 0, lineup: 0, recall: 0, twin: 0, attribute: 0, caption: 0, "
        "text: 0, in_context: 0}",
        "train.teach.replay_mix: all zero",
    ),
    "asked and not made": (
        "extends: simple_to_hard\ntables: {test: {hard: 0}}",
        "evaluate.ask: the data holds no hard/text test instances; raise the world's test.hard",
    ),
    "unknown parent": ("extends: reversel", "no study named reversel"),
    "circular parent": ("extends: mine", "extends: goes in a circle: mine → mine"),
    "parent with a path": ("extends: ../base", "extends: '../base' is not a name"),
    "model study with a path": ("model: {study: ../tiny}", "model.study: '../tiny' is not a name"),
    "duplicate name": ("train: {steps: 3, steps: 4}", "mine.yaml: steps is given twice \\(line 1\\)"),
    "duplicate variant": ("variants:\n  a: {}\n  a: {}", "a is given twice \\(line 3\\)"),
    "whole and dotted": ("train: {steps: 3}\ntrain.steps: 4", "train.steps: given twice"),
    "broken YAML": ("train: {steps: 3", "mine.yaml: not valid YAML: .*line"),
    "a YAML tag": ("train: !!python/object:os.system {}", "not valid YAML"),
    "a list of studies": ("- a", "expected a mapping of sections"),
    "empty file": ("", "expected a mapping of sections"),
    "number as a name": ("3: {}", "3: a name must be text"),
    "no variants": ("variants: {}", "variants: expected at least one"),
    "variant with a path": ("variants: {../a: {}}", "'../a' is not a name"),
    "variant in capitals": ("variants: {A: {}}", "'A' is not a name"),
    "variant as a number": ("variants: {1: {}}", "variants: 1 is not a name"),
    "variant as a word": ("variants: {a: fast}", "variants.a: expected a mapping"),
    "question in a variant": (
        "variants: {a: {question: why}}",
        "variants.a.question: belongs to the whole study",
    ),
    "report in a variant": (
        "variants: {a: {report.beside: b}}",
        "variants.a.report.beside: belongs to the",
    ),
    "no seeds": ("seeds: []", "seeds: expected different whole numbers"),
    "one seed unlisted": ("seeds: 3", "seeds: expected different whole numbers"),
    "negative seed": ("seeds: [-1]", "seeds: expected different whole numbers"),
    "seed as text": ("seeds: ['1']", "seeds: expected different whole numbers"),
    "seed twice": ("seeds: [1, 1]", "seeds: expected different whole numbers"),
    "bad seeds in a variant": ("variants: {a: {seeds: [true]}}", "variants.a: seeds: expected"),
    "phases as a mapping": ("phases: {}", "phases: expected a list of overrides"),
    "phase as a word": ("phases: [sft]", "phases: expected a list of overrides"),
    "unknown variant": (
        "report: {variants: [forwrad]}\nvariants: {forward: {}}",
        "report.variants: variant 'forwrad' is not known; did you mean forward?",
    ),
    "nested environment": (
        "machine: {environment: {A: {B: 1}}}",
        "machine.environment.A: expected text or a",
    ),
    "environment of a launcher": (
        "machine: {environment: {WORLD_SIZE: 4, NCCL_DEBUG: INFO}}",
        "machine.environment: WORLD_SIZE is set by the launcher; leave it out",
    ),
    "environment with a space": (
        "machine: {environment: {'NCCL DEBUG': INFO}}",
        "machine.environment.'NCCL DEBUG': is no name or value of a variable",
    ),
    "environment of two lines": (
        'machine: {environment: {NCCL_DEBUG: "INFO\\nRANK=3"}}',
        "machine.environment.'NCCL_DEBUG': is no name or value of a variable",
    ),
    "question as a number": ("question: 3", "question: expected text"),
    "every weight of a model in 4 bit": (
        "model: {quantize: nf4}\ntrain: {lora_r: 0}",
        "model.quantize: weights in 4 bit cannot be trained; give train.lora_r",
    ),
    "a new model in 4 bit": (
        "model: {source: scratch, quantize: nf4}\ntrain: {lora_r: 4}",
        "model.quantize: a model made from scratch has no files",
    ),
    "shards of a model in 4 bit": (
        "model: {quantize: nf4}\ntrain: {lora_r: 4}\nmachine: {zero: 3}\ndynamics: {probes: 0}",
        "model.quantize: weights in 4 bit cannot be sharded by machine.zero 3; write zero: 2",
    ),
    "batch that does not divide": (
        "train: {batch: 48}",
        "train.batch: 48 rows do not divide into machine.processes: 1 x machine.micro_batch: 32; change one",
    ),
    "batch smaller than the processes": (
        "train: {batch: 3}\nmachine: {processes: 4}",
        "train.batch: 3 rows do",
    ),
    "probes of shards": (
        "machine: {zero: 3}\ndynamics: {probes: 2}",
        "dynamics.probes: under machine.zero 3 .*dynamics.snapshots: true",
    ),
    "waiting without shards": ("machine: {offload: true}", "machine.offload: moves what ZeRO 2 or 3 shards"),
    "shards by two": ("machine: {processes: 2, zero: 2, fsdp: true}", "machine.fsdp: .* write zero: none"),
    "FSDP in one process": ("machine: {fsdp: true}", "machine.fsdp: .*say how many in machine.processes"),
    "FSDP of every weight": (
        "machine: {processes: 2, fsdp: true}\ntrain: {lora_r: 0}",
        "train.lora_r: 0 .*zero: 3",
    ),
    "FSDP under Muon": ("machine: {processes: 2, fsdp: true}\ntrain: {optimizer: muon}", "muon.*write adamw"),
    "FSDP and probes": (
        "machine: {processes: 2, fsdp: true}\ndynamics: {probes: 2}",
        "dynamics.probes: under machine.fsdp .*zero: 2",
    ),
    "shards in one process": ("machine: {launcher: python, zero: 2}", "machine.zero: 2 .*; use deepspeed"),
}


@pytest.mark.parametrize(("text", "message"), STUDIES.values(), ids=STUDIES)
def test_a_bad_study_file_is_refused(place, capfd, text, message):
    (place / "params" / "mine.yaml").write_text(text)
    said = refused(place, capfd, "mine", "--dry-run")
    assert re.search(message, said), said
    assert "mine.yaml" in said or "no study named" in said


COMMANDS = {
    **{
        f"the study {name!r}": ([name], "is not a name")
        for name in ("../good", "a/b", "..", "/etc/passwd", "Good", "", "good.yml/x")
    },
    "unknown study": (["goood"], "no study named goood; did you mean good?"),
    "unknown file": (["nowhere.yaml"], "nowhere.yaml: no such study file"),
    "unknown variant": (["good", "--variant", "forwrd"], "'forwrd' is not known; did you mean forward?"),
    "unknown seed": (["good", "--seed", "7"], "no seed 7 here; there are 0"),
    "no notebooks": (["good", "--notebooks", "nowhere"], "05_report_reversal.ipynb does not exist"),
}


@pytest.mark.parametrize(("arguments", "message"), COMMANDS.values(), ids=COMMANDS)
def test_a_wrong_command_is_refused(place, capfd, arguments, message):
    assert message in refused(place, capfd, *arguments)


@pytest.mark.parametrize("wrong", [["--redo", "evaluate"], ["--seed", "one"], ["--sed", "1", "--fast"]])
def test_a_wrong_option_says_what_there_is(place, capfd, wrong):
    with pytest.raises(SystemExit) as ended:
        run.main(["good", *wrong])
    assert ended.value.code == 2 and "error: " in capfd.readouterr().err


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def whole_example() -> bytes:
    example = next(iter(questions(world.cast(DATA, 0), DATA, 0)))
    return example_line(example).encode()


def rows(teach: dict) -> list:
    data = Data([e for e in people() if e.split == "train"])
    return taken(WORLDS["people"].teach(data, {**TEACH, **teach}, 0), 16, tokens=100, cost=lambda row: 1)


def people(**data) -> list:
    data = {**DATA, **data}
    return list(questions(world.cast(data, 0), data, 0))


PNG = b"\x89PNG\r\n\x1a\n truncated"
FILES = {
    "no examples": (lambda p: read_examples(p / "examples.jsonl"), "missing; .*--redo data"),
    **{
        name: (
            lambda p, line=line: read_examples(written(p / "e.jsonl", whole_example() + line)),
            "e.jsonl, line 2: not a whole example .*--redo data",
        )
        for name, line in {
            "torn example": b'{"id": "a", "scen',
            "example without columns": b'{"id": "a"}',
            "example with an unknown column": b'{"id": "a", "colour": "red"}',
            "a number for an example": b"3",
            "a list for an example": b"[]",
            "an example that is not UTF-8": b'{"id": "\xff"}',
        }.items()
    },
    "torn row": (lambda p: files.read_jsonl(written(p / "a.jsonl", b'{}\n{"a')), "a.jsonl, line 2, .*rm -r"),
    "row that is not UTF-8": (
        lambda p: files.read_jsonl(written(p / "a.jsonl", b'{}\n{"a": "\xff"}\n')),
        "a.jsonl, line 2, is damaged; .*rm -r",
    ),
    "no rows": (lambda p: files.read_jsonl(p / "a.jsonl"), "a.jsonl is missing; .*rm -r"),
    "torn recipe": (
        lambda p: folders.read_recipe(written(p / "recipe.json", b'{"key').parent),
        "recipe.json is damaged .*rm -r",
    ),
    "input that is gone": (
        lambda p: folders.input_folder(
            written(p / "train" / "sft" / "recipe.json", b'{"inputs": {"data": "data/x"}}').parent, "data"
        ),
        "data/x is missing; run the study again",
    ),
    "no answers": (
        lambda p: scores.read_answers(written(p / "answers.jsonl", b"").parent, "forward", 0),
        "no answers in answers.jsonl; evaluate again: --redo eval",
    ),
    "nothing evaluated": (
        lambda p: reading.answers(SMOKE),
        "no answers yet; run `python -m mmrc_helpers.run",
    ),
    "no place to write": (
        lambda p: files.make_folder(written(p / "file", b"") / "artifacts"),
        "cannot write to .*; set MMRC_ARTIFACTS to a folder of yours",
    ),
    "a place that cannot be": (
        lambda p: files.make_folder(Path("/proc/artifacts")),
        "cannot write to /proc/artifacts .*; set MMRC_ARTIFACTS",
    ),
    "fp16 on a CPU": (
        lambda p: load.check_precision({"precision": "fp16"}, torch.device("cpu")),
        "train.precision: fp16 needs a GPU; write bf16 or fp32",
    ),
    "no hostfile": (
        lambda p: machine.count_ranks({"launcher": "deepspeed", "hostfile": str(p / "hosts")}),
        "machine.hostfile: .*hosts does not exist; its lines are `HOST slots=GPUS`",
    ),
    "more people than names": (lambda p: people(novel=1000), "raise people.first_names or people.last_names"),
    "too few people": (
        lambda p: people(novel=8),
        "people.novel: too few people for line-ups of 4 .*raise it",
    ),
    "nothing to teach": (
        lambda p: rows({"cells": ()}),
        "train.teach.cells is empty, .*set train.teach.replay to 1.0",
    ),
    "tokens of nothing": (
        lambda p: rows({"replay": 1.0}),
        "train.taught_tokens: .*give train.steps",
    ),
}


@pytest.mark.parametrize(("read", "message"), FILES.values(), ids=FILES)
def test_what_a_stage_cannot_use_is_one_sentence_with_the_fix(place, read, message):
    with pytest.raises(UserError) as error:
        read(place)
    assert re.search(message, str(error.value)), str(error.value)
    assert "\n" not in str(error.value)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match="machine.accelerator: cuda, .*; write auto or cpu"):
        machine.uses_cuda({"accelerator": "cuda"})
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no GPU is visible; set it to cpu or auto"):
            load.device_of({"accelerator": "cuda"})
