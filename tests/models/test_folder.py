"""A downloaded model's folder is checked whole before any work, and everything wrong is said at once."""

import json
import shutil

import pytest
import transformers as hf

from mmrc_helpers.errors import UserError
from mmrc_helpers.models import folder, load
from mmrc_helpers.study import weights

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture
def models(named_toy, tmp_path):
    """A models folder with one toy called `tiny`, its weights in two shards with an index."""
    toy = named_toy("smolvlm")
    toy.model.save_pretrained(tmp_path / "tiny", max_shard_size="400KB")
    toy.processor.save_pretrained(tmp_path / "tiny")
    assert len(list((tmp_path / "tiny").glob("model-*.safetensors"))) > 1
    return tmp_path


def asked(models, name="tiny") -> tuple[dict, dict]:
    return {"name": name, "dtype": "float32", "trust_remote_code": False}, {"models_folder": str(models)}


def shard_of(models, number):
    return sorted((models / "tiny").glob("model-*.safetensors"))[number]


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def without_index(models):
    (models / "tiny" / "model.safetensors.index.json").unlink()


def pickled(models):
    for path in (models / "tiny").glob("model*.safetensors*"):
        path.unlink()
    (models / "tiny" / "pytorch_model.bin").write_bytes(b"pickle")


def emptied(models):
    for path in (models / "tiny").glob("model*.safetensors*"):
        path.unlink()


def renamed(models):
    path = models / "tiny" / "model.safetensors.index.json"
    content = json.loads(path.read_text())
    content["weight_map"]["model.ghost.weight"] = shard_of(models, 0).name
    path.write_text(json.dumps(content))


def as_folder(path):
    path.unlink()
    path.mkdir()


def as_link(path):
    path.unlink()
    path.symlink_to("../../blobs/4d7a")  # as a hub's cache has them, copied without its blobs


def configured(models, **changes):
    path = models / "tiny" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def as_adapter(models):
    for path in (models / "tiny").iterdir():
        path.unlink()
    (models / "tiny" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (models / "tiny" / "adapter_model.safetensors").write_bytes(b"")


def as_cache(models):
    place = models / "tiny" / "snapshots" / "4d7a"
    place.mkdir(parents=True)
    for path in list((models / "tiny").glob("*.*")):
        path.rename(place / path.name)


def one_folder_down(models):
    """As some archives unpack."""
    (models / "tiny").rename(models / "inner")
    (models / "tiny").mkdir()
    (models / "inner").rename(models / "tiny" / "tiny-v2")


def more_tokens(models):
    """Somebody added words to the tokenizer."""
    tokenizer = hf.AutoTokenizer.from_pretrained(models / "tiny")
    tokenizer.add_tokens([f"word{number}" for number in range(64)])
    tokenizer.save_pretrained(models / "tiny")


def points_to(models, place):
    path = models / "tiny" / "model.safetensors.index.json"
    content = json.loads(path.read_text())
    content["weight_map"]["model.ghost.weight"] = place
    path.write_text(json.dumps(content))


BREAKS = {
    "no config": (lambda m: (m / "tiny" / "config.json").unlink(), "config.json is missing"),
    "config is a folder": (lambda m: as_folder(m / "tiny" / "config.json"), "config.json is missing"),
    "config is a broken link": (lambda m: as_link(m / "tiny" / "config.json"), "config.json is missing"),
    "config is a page": (lambda m: (m / "tiny" / "config.json").write_text("<!DOCTYPE html>"), "is damaged"),
    "config is a list": (lambda m: (m / "tiny" / "config.json").write_text("[1]"), "names no model_type"),
    "empty tokenizer": (
        lambda m: (m / "tiny" / "tokenizer.json").write_text(""),
        "tokenizer.json is damaged",
    ),
    "header is a list": (
        lambda m: shard_of(m, 0).write_bytes(b"\3" + bytes(7) + b"[1]"),
        "is no file of weights",
    ),
    "header cut": (
        lambda m: shard_of(m, 0).write_bytes(shard_of(m, 0).read_bytes()[:99]),
        "is no file of weig",
    ),
    "four bytes": (lambda m: shard_of(m, 0).write_bytes(b"abcd"), "is no file of weights"),
    "shard outside": (
        lambda m: points_to(m, "../../weights"),
        "names ../../weights, which is no file of the",
    ),
    "shard anywhere": (
        lambda m: points_to(m, "/etc/passwd"),
        "names /etc/passwd, which is no file of the fol",
    ),
    "shard is a number": (lambda m: points_to(m, 3), "names 3, which is no file of the folder"),
    "processor is a page": (
        lambda m: (m / "tiny" / "processor_config.json").write_text("<html>"),
        "processor in .* cannot be loaded",
    ),
    "template broken": (
        lambda m: (m / "tiny" / "chat_template.jinja").write_text("{% if %}"),
        "does not write down what is said",
    ),
    "damaged config": (lambda m: (m / "tiny" / "config.json").write_text("{"), "config.json is damaged"),
    "no type": (lambda m: (m / "tiny" / "config.json").write_text('{"a": 1}'), "names no model_type"),
    "truncated shard": (lambda m: cut(shard_of(m, 1)), "it was cut off or damaged; download it again"),
    "missing shard": (lambda m: shard_of(m, 0).unlink(), "model-00001-of-.*is missing; download it again"),
    "no weights": (lambda m: shard_of(m, 0).write_bytes(b"<html>not found"), "is no file of weights"),
    "no index": (without_index, "but no model.safetensors.index.json"),
    "index of another": (renamed, "lacks 1 weights of the index, first model.ghost.weight"),
    "an index of nothing": (
        lambda m: (m / "tiny" / "model.safetensors.index.json").write_text('{"weight_map": {}}'),
        "index.json names no weights; download it again",
    ),
    "an adapter beside the weights": (
        lambda m: (m / "tiny" / "adapter_config.json").write_text("{}"),
        "holds an adapter beside its weights .*; move the adapter's files out, or merge it first",
    ),
    "pickled": (pickled, "only pickled weights"),
    "empty": (emptied, "holds no \\*.safetensors weights"),
    "lfs shard": (lambda m: shard_of(m, 0).write_bytes(POINTER), "pointers of git-lfs in place of model-0"),
    "lfs tokenizer": (
        lambda m: (m / "tiny" / "tokenizer.json").write_bytes(POINTER),
        "pointers of git-lfs in place of tokenizer.json; fetch the files with `git lfs pull`",
    ),
    "no tokenizer": (lambda m: (m / "tiny" / "tokenizer.json").unlink(), "holds no tokenizer"),
    "damaged tokenizer": (lambda m: (m / "tiny" / "tokenizer.json").write_text("{"), "tokenizer.json is dam"),
    "no processor": (lambda m: (m / "tiny" / "processor_config.json").unlink(), "holds no processor"),
    "an empty folder": (
        lambda m: [path.unlink() for path in (m / "tiny").iterdir()],
        "config.json is missing(.|\\n)*no \\*.safetensors(.|\\n)*no tokenizer",
    ),
    "an adapter": (as_adapter, "holds an adapter alone; write the folder of its model, or merge it into"),
    "a pipeline": (
        lambda m: (m / "tiny" / "config.json").rename(m / "tiny" / "model_index.json"),
        "paints pictures; write people.sdxl.model: tiny, and here a model that answers",
    ),
    "the hub's cache": (
        as_cache,
        "is the hub's cache; write machine.models_folder: .*/snapshots and model.name: 4d7a",
    ),
    "one folder further down": (
        one_folder_down,
        "holds its files in tiny-v2 below it; write model.name: tiny/tiny-v2",
    ),
    "GGUF alone": (
        lambda m: (emptied(m), (m / "tiny" / "tiny-q4.gguf").write_bytes(b"GGUF")),
        "holds no \\*.safetensors weights; other formats are refused",
    ),
    "in FP8": (
        lambda m: configured(m, quantization_config={"quant_method": "fp8"}),
        "is stored in fp8; take the version in bfloat16 or float32",
    ),
    "of MLX": (lambda m: configured(m, quantization={"bits": 4}), "is stored in 4 bits; take the version"),
    "a mixture of experts": (
        lambda m: configured(m, model_type="qwen3_vl_moe"),
        "is a qwen3_vl_moe, no family known here; those that see pictures are qwen2_5_vl, qwen3_vl",
    ),
    "tokens without weights": (
        more_tokens,
        "its tokenizer has tokens up to .*, but its weights only .*; take both from one version",
    ),
    "another token for pictures": (
        lambda m: configured(m, image_token_id=3),
        "config.json has image_token_id 3, but the processor .*; take both from one version",
    ),
    "no template": (lambda m: (m / "tiny" / "chat_template.jinja").unlink(), "has no chat template"),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_what_is_wrong_with_a_folder_is_said_before_any_work(models, kind):
    breaks, says = BREAKS[kind]
    assert load.downloaded(*asked(models)) == models / "tiny"
    breaks(models)
    with pytest.raises(UserError, match=f"model.name: .*{says}"):
        load.downloaded(*asked(models))


PLANNED = ("no config", "lfs shard", "truncated shard", "header cut", "pickled", "no index", "in FP8")


@pytest.mark.parametrize("kind", PLANNED)
def test_a_plan_says_it_as_well(models, kind):
    breaks, says = BREAKS[kind]
    breaks(models)
    with pytest.raises(UserError, match=f"model.name: .*{says}"):
        weights.of_folder(models / "tiny")


def test_weights_of_other_versions_beside_the_index_are_not_counted(models):
    told = weights.of_folder(models / "tiny")
    shutil.copy(shard_of(models, 0), models / "tiny" / "consolidated.safetensors")
    (models / "tiny" / "model-00009-of-00009.safetensors").write_bytes(b"of an older download")
    assert weights.of_folder(models / "tiny") == told
    assert load.downloaded(*asked(models)) == models / "tiny"


def test_all_problems_are_listed_at_once(models):
    for kind in ("no config", "truncated shard", "lfs tokenizer", "no processor"):
        BREAKS[kind][0](models)
    with pytest.raises(UserError) as error:
        load.downloaded(*asked(models))
    said = str(error.value)
    assert said.startswith("3 problems:") or said.startswith("4 problems:")
    assert "config.json is missing" in said and "cut off" in said and "git-lfs" in said


def test_a_name_without_a_folder_says_what_to_write(models, monkeypatch):
    with pytest.raises(
        UserError, match="hf download OWNER/big --local-dir .*/big`, or set machine.models_fol"
    ):
        load.downloaded(*asked(models, "big"))
    with pytest.raises(
        UserError, match="hf download Qwen/big --local-dir .*/big`, then write model.name: big"
    ):
        load.downloaded(*asked(models, "Qwen/big"))
    with pytest.raises(UserError, match="hf download Qwen/Qwen2.5-VL-3B-Instruct --local-dir .*lies$"):
        load.downloaded(*asked(models, "Qwen2.5-VL-3B-Instruct"))
    with pytest.raises(UserError, match="Qwen/tiny is the hub's id; the folder is there, so write .*: tiny"):
        load.downloaded(*asked(models, "Qwen/tiny"))
    with pytest.raises(UserError, match="its folder is there as tiny, so write that"):
        load.downloaded(*asked(models, "Ti-Ny"))
    with pytest.raises(UserError, match="model.name: is empty"):
        load.downloaded(*asked(models, ""))
    (models / "Qwen").mkdir()
    (models / "tiny").rename(models / "Qwen" / "tiny")  # laid out like the hub: its id is the name
    assert load.downloaded(*asked(models, "Qwen/tiny")) == models / "Qwen" / "tiny"


def test_a_tilde_is_the_home_folder(models, monkeypatch):
    monkeypatch.setenv("HOME", str(models.parent))
    assert load.downloaded(*asked(f"~/{models.name}")) == models / "tiny"


def test_a_family_that_is_not_known_is_refused_before_any_work(named_toy, models):
    known = named_toy("llava_next").processor
    images = hf.BlipImageProcessor(size={"height": 32, "width": 32})
    other = hf.BlipProcessor(images, known.tokenizer, chat_template=known.chat_template)
    (models / "tiny" / "processor_config.json").unlink()
    other.save_pretrained(models / "tiny")
    with pytest.raises(UserError, match="BlipProcessor is not a family known here; known are Qwen2.5-VL"):
        load.downloaded(*asked(models))


@pytest.mark.parametrize("name", ["patch_size", "merge_size"])
def test_other_patches_than_the_model_reads_are_refused(named_toy, tmp_path, name):
    shutil.copytree(named_toy("qwen3_vl").folder, tmp_path / "tiny")
    assert load.downloaded(*asked(tmp_path)) == tmp_path / "tiny"
    path = tmp_path / "tiny" / "processor_config.json"
    content = json.loads(path.read_text())
    content["image_processor"][name] *= 2
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"its processor has {name} .*, but config.json's vision_config .*"):
        load.downloaded(*asked(tmp_path))


def test_one_file_of_weights_needs_no_index(named_toy):
    toy = named_toy("llava_next")
    assert folder.problems(*asked(toy.folder.parent, toy.folder.name)) == []


def test_a_tokenizer_without_a_token_to_pad_with_gets_one(named_toy):
    toy = named_toy("llama_text")
    assert json.loads((toy.folder / "tokenizer_config.json").read_text()).get("pad_token") is None
    assert toy.processor.pad_token == toy.processor.eos_token
