"""The memory planner: sizes as models have them, tokens as processors make them, peaks as measured."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import yaml

from mmrc_helpers.errors import UserError
from mmrc_helpers.models import folder as model_folder
from mmrc_helpers.store import files
from mmrc_helpers.study import memory, needs, weights
from mmrc_helpers.study.image_tokens import cut
from mmrc_helpers.study.runs import load_study
from mmrc_helpers.study.yaml_files import read_yaml

REAL = ("qwen3vl_8b", "qwen3vl_32b", "qwen25vl_3b", "qwen25vl_7b", "smolvlm", "idefics3_8b", "llava16_7b",
        "llama32_11b")  # fmt: skip
MODELS = {of["folder"]: of for of in read_yaml(model_folder.PUBLISHED).values() if "shape" in of}
SIZES = {"model_type": "qwen3_vl", "vocab_size": 2048, "hidden_size": 256, "intermediate_size": 768,
         "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4,
         "head_dim": 64}  # fmt: skip
GROUPED = {"model_type": "llama", "vocab_size": 8192, "hidden_size": 256, "intermediate_size": 512,
           "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2}  # fmt: skip
WIDE = {**SIZES, "hidden_size": 768, "intermediate_size": 2048, "vocab_size": 4096, "head_dim": 192}
LORA = {"lora_r": 16, "lora_alpha": 16}
CASES = {  # what differs from full training in float32 of 5 rows of 192 tokens by AdamW
    "warm up": {},
    "full": {},
    "muon": {"train": {"optimizer": "muon"}},
    "autocast": {"train": {"precision": "bf16"}},
    "checkpointing": {"checkpointing": True},
    "lora": {"train": LORA},
    "lora with dropout": {"train": {**LORA, "lora_dropout": 0.1}},
    "lora in bfloat16": {"train": {**LORA, "precision": "bf16"}, "dtype": "bfloat16"},
    "lora in bfloat16, checkpointing": {
        "train": {**LORA, "precision": "bf16"}, "dtype": "bfloat16", "checkpointing": True},
    "grouped queries": {"sizes": GROUPED},
    "more weights than tokens": {"sizes": WIDE, "rows": 2, "tokens": 64},
    "more weights than tokens, muon": {
        "sizes": WIDE, "rows": 2, "tokens": 64, "train": {"optimizer": "muon"}},
}  # fmt: skip


def study_of(folder: Path, text: str, name: str = "planned"):
    """The first run of a study of this text."""
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return load_study(path).runs[0]


def case_of(number: int, name: str) -> dict:
    """A case in full, as peak.py reads it."""
    of = CASES[name]
    sizes = of.get("sizes", SIZES)
    train = {"optimizer": "adamw", "precision": "fp32", "lora_r": 0, "lora_alpha": 16, "lora_dropout": 0.0,
             "learning_rate": 0.001, "muon_learning_rate": 0.02, "beta2": 0.98, "weight_decay": 0.0,
             "freeze_vision": True,
             "lora_targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
             "lora_parts": ["language"], **of.get("train", {})}  # fmt: skip
    dtype = of.get("dtype", "float32")
    model = {"name": f"m{number}", "dtype": dtype, "quantize": "none", "trust_remote_code": False}
    shape = {"rows": of.get("rows", 5), "tokens": of.get("tokens", 192)}
    return {**shape, "sizes": sizes, "train": train, "model": model,
            "checkpointing": of.get("checkpointing", False)}  # fmt: skip


def planned(folder: Path, case: dict) -> dict:
    """The plan's row for the training of a case."""
    model = {name: case["model"][name] for name in ("name", "dtype")}
    machine = {"launcher": "python", "accelerator": "cpu", "models_folder": str(folder),
               "micro_batch": case["rows"], "gradient_checkpointing": case["checkpointing"]}  # fmt: skip
    study = {"model": {"source": "folder", **model}, "machine": machine,
             "train": {**case["train"], "batch": case["rows"]}}  # fmt: skip
    run = study_of(folder, yaml.safe_dump(study))
    return memory.plan(run, tokens=case["tokens"])[0]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux")
def test_the_plan_is_within_a_fifth_of_measured_peaks(tmp_path):
    cases = {name: case_of(number, name) for number, name in enumerate(CASES)}
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    paths = os.pathsep.join([str(files.REPOSITORY), os.environ.get("PYTHONPATH", "")])
    freed_at_once = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, str(Path(__file__).with_name("peak.py")), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **freed_at_once}
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    peaks = json.loads((tmp_path / "peaks.json").read_text())
    own = {name: planned(tmp_path, case)["total"] * 1e9 - needs.TRAINER for name, case in cases.items()}
    told = {name: own[name] / peaks[name] for name in cases}
    assert {name: ratio for name, ratio in told.items() if not 0.8 < ratio < 1.2} == {}


def test_a_new_model_has_the_weights_that_its_sizes_say(tmp_path):
    """The committed model was made from the sizes in its study, but for its vocabulary."""
    run = load_study("tiny_base").runs[0]
    made = weights.of_folder(tiny.base_model() / "model")
    words = made.shapes["lm_head.weight"][0]
    side = run.params["world"]["facts"]["image_size"]
    told = weights.of_scratch({**run.params["model"]["scratch"], "vocabulary": words}, side)
    assert dict(told.shapes) == dict(made.shapes)
    assert (told.family, told.heads, told.tower) == (made.family, made.heads, made.tower)
    settings = {"unit": 32, "least": 1024, "most": 1048576}
    assert told.settings == made.settings == settings


@pytest.mark.parametrize("folder", MODELS)
def test_published_sizes_add_up_to_the_published_files(folder):
    told = weights.of_published(folder, Path(folder))
    assert 2 * weights.count(told) / 1e9 == pytest.approx(MODELS[folder]["gb"], rel=0.01)
    assert weights.layers_of(told).count == MODELS[folder]["shape"]["layers"]


@pytest.mark.parametrize(
    ("folder", "size", "tokens"),
    [  # measured with the real processors (families.md of the facts), tile marks added where there are tiles
        ("Qwen2.5-VL-7B-Instruct", (448, 448), 256),
        ("Qwen2.5-VL-7B-Instruct", (640, 360), 299),
        ("Qwen3-VL-8B-Instruct", (64, 64), 64),
        ("Qwen3-VL-8B-Instruct", (640, 360), 220),
        ("SmolVLM-Instruct", (512, 512), 1377 + 39),
        ("SmolVLM-Instruct", (640, 360), 1053 + 30),
        ("Idefics3-8B-Llama3", (64, 64), 2873 + 39),
        ("llava-v1.6-mistral-7b-hf", (64, 64), 1176),
        ("llava-v1.6-mistral-7b-hf", (448, 448), 2928),
        ("llava-v1.6-mistral-7b-hf", (640, 360), 1948),
    ],
)
def test_pictures_take_as_many_tokens_as_measured(folder, size, tokens):
    assert cut(MODELS[folder]["family"], MODELS[folder]["image"], size).tokens == tokens


def test_pictures_of_puzzles_have_their_own_size_and_the_limits_of_the_study():
    run = load_study("s2h_qwen25vl").runs[-1]
    assert memory.plan(run)[0]["picture_tokens"] == 1248, "1500 x 800 pixels in 1280 squares of 28"
    untrained = load_study("s2h_qwen25vl").runs[0]
    assert "raise train.max_length" not in memory.table(memory.plan(untrained))
    run = load_study("simple_to_hard").runs[-1]
    assert memory.plan(run)[0]["picture_tokens"] == 16 and weights.picture_size({}) == ()


def planned_as(folder: Path, machine="", train="", more="", processes=8, batch=16, **how) -> list[dict]:
    """The plan of a study of Qwen3-VL-8B that is not here."""
    text = (
        "model: {source: folder, name: Qwen3-VL-8B-Instruct, dtype: bfloat16}\n"
        f"machine: {{accelerator: cuda, processes: {processes}, micro_batch: 2, {machine}}}\n"
        f"train: {{batch: {batch}, max_length: 2048, steps: 10, taught_tokens: 0, {train}}}\n{more}"
    )
    return memory.plan(study_of(folder, text), **how)


def by_setting(rows: list[dict]) -> dict[str, dict]:
    """The rows of the training phase."""
    return {row["setting"]: row for row in rows if row["stage"].startswith("train")}


def test_sharding_lowers_what_it_shards(tmp_path):
    rows = by_setting(planned_as(tmp_path, train="lora_r: 0"))
    zero0, zero2, zero3 = (rows[f"zero {stage}, checkpointing"] for stage in (0, 2, 3))
    assert zero2["optimizer"] == pytest.approx(zero0["optimizer"] / 8, rel=0.01)
    assert zero2["gradients"] == pytest.approx(zero0["gradients"] / 8, rel=0.01)
    assert zero2["weights"] == zero0["weights"]
    assert zero3["weights"] == pytest.approx(zero0["weights"] / 8, rel=0.01)
    assert zero3["total"] < zero2["total"] < zero0["total"]
    assert rows["as written"]["activations"] > 10 * rows["checkpointing"]["activations"]


def test_what_is_offloaded_waits_in_the_hosts_memory(tmp_path):
    rows = by_setting(planned_as(tmp_path, train="lora_r: 0"))
    here, away = rows["zero 3, checkpointing"], rows["zero 3, checkpointing, offload"]
    moved = ("weights", "gradients", "optimizer")
    assert away["host"] == pytest.approx(sum(here[name] for name in moved), rel=0.01)
    assert not any(away[name] for name in moved) and here["host"] == 0
    assert away["total"] == pytest.approx(here["total"] - here["weights"] - here["optimizer"], rel=0.05)


def test_an_adapter_needs_no_reference_and_full_training_a_copy_unless_it_is_asked_ahead(tmp_path):
    method = "method: dpo, lora_dropout: 0.0"
    assert planned_as(tmp_path, train=method)[0]["reference"] == 0
    live = "dpo: {cache_reference: false}"
    full = planned_as(tmp_path, train=f"{method}, lora_r: 0", more=live)[0]
    assert full["reference"] == pytest.approx(full["weights"])
    assert planned_as(tmp_path, train=f"{method}, lora_r: 0")[0]["reference"] == 0


def test_four_bits_shrink_the_language_part_alone(tmp_path):
    rows = by_setting(planned_as(tmp_path))
    saved = rows["as written"]["weights"] - rows["nf4, checkpointing"]["weights"]
    assert saved == pytest.approx((2 - 0.516) * 6.946, rel=0.01)  # billions of weights in 36 layers


@pytest.mark.parametrize("train", ["lora_r: 16", "lora_r: 0"])
@pytest.mark.parametrize("card", [16, 24, 40, 80])
def test_what_it_says_to_change_fits(tmp_path, train, card):
    written = planned_as(tmp_path, train=train, gpu_gb=card)[0]
    if written["fits"] == "yes":
        assert written["change"] == ""
        return
    said = re.search(r"machine: \{(.*?)\}", written["change"])
    if said is None:
        assert "no number of GPUs" in written["change"]
        return
    quantized = ", quantize: nf4}" if "nf4" in written["change"] else "}"
    changed = yaml.safe_load(f"{{{said[1]}}}")
    text = (
        f"model: {{source: folder, name: Qwen3-VL-8B-Instruct, dtype: bfloat16{quantized}\n"
        f"machine: {json.dumps({'accelerator': 'cuda', 'processes': 8, 'micro_batch': 2, **changed})}\n"
        f"train: {{batch: {max(16, changed.get('processes', 8))}, max_length: 2048, {train}}}\n"
    )
    assert memory.plan(study_of(tmp_path, text), gpu_gb=card)[0]["fits"] == "yes", written["change"]


def followed(folder: Path, text: str, card: float) -> tuple[list[dict], list[dict]]:
    """The rows as written of a study, and of the study that says what they say to write."""
    before, content = memory.plan(study_of(folder, text), gpu_gb=card), yaml.safe_load(text)
    for row in before:
        for name, said in re.findall(r"(\w+): (\{.*?\})", row["change"]):
            content[name] = {**content.get(name, {}), **yaml.safe_load(said)}
    after = memory.plan(study_of(folder, yaml.safe_dump(content), "followed"), gpu_gb=card)
    return tuple([row for row in rows if row["setting"] == "as written"] for rows in (before, after))


FOLLOWED = {  # what a study of Qwen3-VL-8B on 8 GPUs says, and GB of cards on which it does not fit
    "an adapter": ("machine: {processes: 8, zero: none}", (12, 16, 18, 24)),
    "one GPU": ("machine: {processes: 1, zero: none}", (14, 16, 24)),
    "sharded": ('machine: {processes: 8, zero: "3"}', (12, 16, 18)),
    "sharded by FSDP": ("machine: {processes: 8, fsdp: true, zero: none}", (12, 16)),
    "two phases": ("phases: [{batch: 8}, {method: dpo, lora_dropout: 0.0}]", (14, 16, 24)),
    "nothing trained": ("phases: []", (12, 16)),
}


@pytest.mark.parametrize(("kind", "card"), [(kind, card) for kind in FOLLOWED for card in FOLLOWED[kind][1]])
def test_a_study_that_follows_what_is_said_fits_as_a_whole(tmp_path, kind, card):
    text = (
        "model: {source: folder, name: Qwen3-VL-8B-Instruct, dtype: bfloat16}\n"
        "train: {batch: 16, max_length: 2048, steps: 10, taught_tokens: 0}\n"
        f"{FOLLOWED[kind][0]}\n"
    )
    before, after = followed(tmp_path, text, card)
    assert "no" in [row["fits"] for row in before]
    assert {row["fits"] for row in after} == {"yes"}, [row["change"] for row in before]
    assert [row["change"] for row in after] == [""] * len(after)


def test_four_bits_for_evaluation_are_what_training_is_planned_with(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: qwen3vl_8b\nmachine: {gpu_gb: 16}")
    rows = memory.plan(load_study(tmp_path / "mine.yaml").runs[-1])
    train, *_, evaluate = (row["change"] for row in rows if row["setting"] == "as written")
    assert "model: {quantize: nf4}" in train and 'zero: "3"' not in train
    assert re.search(r"write model: \{quantize: nf4\}, evaluate: \{batch: \d+\}, or take a larger", evaluate)


def test_the_table_shows_every_row_and_what_to_change(tmp_path):
    rows = planned_as(tmp_path, gpu_gb=24)
    text = memory.table(rows)
    assert len(text.splitlines()) == 1 + len(rows) + 4 + sum(bool(row["change"]) for row in rows)
    assert "A picture takes 64 tokens; 4 in a row 256 of its 2048." in text
    assert "The model has 8.77 billion weights." in text.splitlines()
    short = memory.table(planned_as(tmp_path, tokens=200))
    assert "4 in a row 256 of its 200; raise train.max_length above 256." in short
    assert "train 1, sft does not fit: write machine: {micro_batch: 1" in text


def test_what_is_read_of_pictures_beside_the_text_is_said_with_it():
    told = memory.table(memory.plan(load_study("llama32_11b").runs[-1]))
    beside = "A picture takes 1 token in the text, and 6,404 keys in each of 8 layers that attend to it; "
    assert beside in told and "The model has 10.7 billion weights." in told


def test_where_no_gpu_is_seen_the_table_says_what_is_taken_and_how_to_be_told_what_fits(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(memory, "_gpu_gb", lambda: 0.0)
    rows = planned_as(tmp_path)
    most = max(row["total"] for row in rows if row["setting"] == "as written")
    lines = memory.table(rows).splitlines()
    assert [line.split()[-2:] for line in lines[1 : 1 + len(rows)]] == [["?", "?"]] * len(rows)
    assert lines[-1] == (
        f"No GPU is seen here. As written it takes {most:.3g} GB of each; what fits on yours, and what to "
        "change, is told with its memory in the study: `machine: {gpu_gb: 80}`.")  # fmt: skip
    assert "No GPU is seen" not in memory.table(planned_as(tmp_path, gpu_gb=80))


def loaded_with(folder: Path, change: str, **sections) -> None:
    """Reads the study of `planned_as` again with what a plan says to write, which no check may refuse."""
    text = {
        "model": {"source": "folder", "name": "Qwen3-VL-8B-Instruct", "dtype": "bfloat16"},
        "machine": {"accelerator": "cuda", "processes": 8, "micro_batch": 2},
        "train": {"batch": 16, "max_length": 2048, "steps": 10, "taught_tokens": 0},
    }
    said = yaml.safe_load(f"{{{change.removeprefix('write ')}}}")
    for name in {*text, *sections, *said}:
        text[name] = text.get(name, {}) | sections.get(name, {}) | said.get(name, {})
    study_of(folder, yaml.safe_dump(text), "changed")


REFUSED = {  # sections of a study, GB of a card → what would be refused if nothing else were written
    "adapters probed under ZeRO 3": ({"dynamics": {"probes": 4}}, 7, 'zero: "3".*snapshots: true'),
    "all weights probed under ZeRO 3": (
        {"dynamics": {"probes": 4}, "train": {"lora_r": 0}}, 40, 'zero: "3".*probes: 0'),
    "offload under FSDP": ({"machine": {"fsdp": True}}, 5.5, 'fsdp: false, zero: "3".*offload: true'),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_it_says_to_write_is_no_study_that_is_refused(tmp_path, kind):
    sections, card, says = REFUSED[kind]
    text = {name: json.dumps(of)[1:-1] for name, of in sections.items()}
    more = f"dynamics: {{{text.get('dynamics', '')}}}"
    row = planned_as(tmp_path, text.get("machine", ""), text.get("train", ""), more, gpu_gb=card)[0]
    assert re.search(f"^write .*{says}", row["change"])
    loaded_with(tmp_path, row["change"], **sections)


def test_more_processes_than_rows_need_more_rows_a_step(tmp_path):
    change = planned_as(tmp_path, train="lora_r: 0", processes=1, batch=4, gpu_gb=40)[0]["change"]
    assert change.startswith("it needs 8 GPUs of 40 GB: machine: {processes: 8, ")
    assert change.endswith(", train: {batch: 8}")


def test_weights_in_four_bits_are_not_sharded(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: qwen3vl_32b\nmachine: {gpu_gb: 8}")
    rows = memory.plan(load_study(tmp_path / "mine.yaml").runs[1])
    assert not [row["setting"] for row in rows if "zero 3" in row["setting"]]
    assert {row["stage"]: row["change"] for row in rows if row["change"]} == {
        "train 1, sft": "no number of GPUs of 8 GB is enough; take a larger card, a smaller model, or shorten"
        " train.max_length",
        "evaluate": "the model itself does not fit; take a larger card or a smaller model",
    }


def test_an_untrained_model_is_planned_for_with_its_pictures(tmp_path):
    run = load_study("idefics3_8b").runs[0]
    assert run.variant == "untrained"
    (row,) = memory.plan(run)
    assert row["tokens"] > 4 * row["picture_tokens"] == 4 * 2912
    assert "raise train.max_length" not in memory.table([row])


def test_processes_of_every_host_share_the_work(tmp_path):
    (tmp_path / "hosts").write_text("near1 slots=8\nnear2 slots=8\n")
    of = f"hostfile: {tmp_path / 'hosts'}"
    assert {row["processes"] for row in planned_as(tmp_path, of, processes=0)} == {16}
    with pytest.raises(UserError, match="24 rows do not divide into the 16 processes of machine.hostfile"):
        planned_as(tmp_path, of, processes=0, batch=24)


def test_a_model_of_unknown_size_says_where_to_put_it(tmp_path):
    text = "model: {source: folder, name: Mystery-7B}"
    with pytest.raises(UserError, match="Mystery-7B, and its sizes are not known; put its config.json"):
        memory.plan(study_of(tmp_path, text))
    folder = tmp_path / "Empty"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    text = f"model: {{source: folder, name: Empty}}\nmachine: {{models_folder: {tmp_path}}}"
    with pytest.raises(UserError, match="holds no \\*.safetensors"):
        memory.plan(study_of(tmp_path, text))


def broken_in(folder: Path, name: str, content) -> None:
    """Writes a text, or changes of its JSON, into a file of a folder."""
    path = folder / name
    if isinstance(content, dict):
        content = json.dumps({**json.loads(path.read_text()), **content})
    path.write_text(content)


def moved_behind_a_file(folder: Path) -> None:
    folder.rename(folder.with_name("other"))
    folder.write_text("")


BROKEN = {
    "a damaged processor": (
        lambda m: broken_in(m, "processor_config.json", "<html>"),
        "processor_config.json is damaged .*; download it again"),
    "a processor of another kind": (
        lambda m: broken_in(m, "processor_config.json", {"image_processor": {"patch_size": "big"}}),
        "does to pictures cannot be read .*; download it again"),
    "no section of text": (
        lambda m: broken_in(m, "config.json", {"text_config": "none"}),
        "config.json has the text_config 'none', which is no section; download it again"),
    "heads in words": (
        lambda m: broken_in(m, "config.json", {"text_config": {"num_attention_heads": "four"}}),
        "config.json has the num_attention_heads 'four', which is no number of heads; download it again"),
    "no tokenizer": (lambda m: (m / "tokenizer.json").unlink(), "holds no tokenizer"),
    "an adapter": (
        lambda m: (m / "config.json").rename(m / "adapter_config.json"), "holds an adapter alone; write"),
    "a file": (moved_behind_a_file, "is a file; write the name of the folder with the whole model"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_folder_that_is_no_whole_model_is_said_as_before_a_run(tmp_path, kind):
    text = f"model: {{source: folder, name: Mine}}\nmachine: {{models_folder: {tmp_path}}}"
    run = study_of(tmp_path, text)
    shutil.copytree(tiny.base_model() / "model", tmp_path / "Mine")
    memory.plan(run)
    breaks, says = BROKEN[kind]
    breaks(tmp_path / "Mine")
    with pytest.raises(UserError, match=f"^model.name: .*Mine.*{says}"):
        memory.plan(run)


def test_nothing_is_loaded_to_plan():
    code = (
        "import sys; from mmrc_helpers.study import memory; from mmrc_helpers.study.runs import load_study; "
        "memory.plan(load_study('qwen3vl_8b').runs[-1]); print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


@pytest.mark.parametrize("name", REAL)
def test_studies_of_real_models_name_known_ones_and_hold_a_choice_among_pictures(name):
    study = load_study(name)
    for run in study.runs:
        model, facts = run.params["model"], run.params["world"]["facts"]
        assert model["source"] == "folder" and model["name"] in MODELS
        known, side = MODELS[model["name"]], facts["image_size"]
        tokens = cut(known["family"], known["image"], (side, side)).tokens
        for phase in run.params["phases"]:
            assert phase["max_length"] >= facts["options"] * tokens + 250  # and some words
        memory.plan(run)
