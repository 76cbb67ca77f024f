"""Features of a frozen vision part: made once, the same whoever asks, shared, and within a budget."""

import multiprocessing
import os
import time

import pytest
import torch
from models.loaded import CPU, drawn

from mmrc_helpers.execution import worker
from mmrc_helpers.models import features, kept, load
from mmrc_helpers.models.features import Frozen, Pixels, open_pictures
from mmrc_helpers.store import pictures
from mmrc_helpers.store.pictures import Shards, write_shards

COUNT = 12


@pytest.fixture
def shards(tmp_path, monkeypatch) -> Shards:
    """Twelve pictures in shards of five, in groups of at most three."""
    monkeypatch.setattr(pictures, "SHARD", 5)
    monkeypatch.setattr(kept, "PIXELS", 3 * 64 * 64)
    wanted = {f"{k:02}.png": (k, 64, 64) for k in range(COUNT)}
    write_shards(tmp_path, wanted, drawn, 1, lambda done, total: None)
    return Shards(tmp_path)


def files_of(folder) -> dict:
    return {path.name: path.stat().st_ino for path in sorted(folder.glob("*/*.safetensors"))}


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_pictures_features_do_not_depend_on_who_asks(seeing, shards, tmp_path):
    model, processor = seeing.model, seeing.processor
    everything = open_pictures(shards, shards.names, processor, model, CPU, folder=tmp_path / "features")
    few = open_pictures(shards, ["11.png", "03.png"], processor, model, CPU)
    assert isinstance(few, Frozen)
    for name in ("03.png", "11.png"):
        assert equal(few.features(name), everything.features(name))


def test_features_are_computed_once_and_shared(named_toy, shards, tmp_path):
    toy, folder = named_toy("qwen3_vl"), tmp_path / "features"
    open_pictures(shards, ["00.png"], toy.processor, toy.model, CPU, folder=folder)
    first = files_of(folder)
    assert len(first) == 1  # the group of the picture that was asked for, and no other
    source = open_pictures(shards, shards.names, toy.processor, toy.model, CPU, folder=folder)
    whole = files_of(folder)
    assert len(whole) == 5 and first.items() <= whole.items()  # 3 + 2, 3 + 2, 2 pictures
    open_pictures(shards, shards.names, toy.processor, toy.model, CPU, folder=folder)
    assert files_of(folder) == whole
    assert all(
        path.stat().st_mode & 0o044 for path in folder.glob("*/*.safetensors")
    )  # a group may read them
    in_memory = open_pictures(shards, shards.names, toy.processor, toy.model, CPU)
    assert all(equal(source.features(name), in_memory.features(name)) for name in shards.names)


def test_another_tower_or_another_processing_has_features_of_its_own(named_toy, shards, tmp_path):
    toy, folder = named_toy("qwen3_vl"), tmp_path / "features"
    open_pictures(shards, shards.names, toy.processor, toy.model, CPU, folder=folder)
    changed = load.load_model(toy.folder, {"dtype": "float32", "trust_remote_code": False})
    load.choose_attention(changed, CPU)
    with torch.no_grad():
        changed.model.language_model.layers[0].mlp.up_proj.weight.add_(1)
    open_pictures(shards, shards.names, toy.processor, changed, CPU, folder=folder)
    assert len(list(folder.iterdir())) == 1  # the language part has no say in it
    with torch.no_grad():
        load.vision_part(changed).visual.blocks[0].mlp.linear_fc1.bias[0] += 1e-3
    open_pictures(shards, shards.names, toy.processor, changed, CPU, folder=folder)
    assert len(list(folder.iterdir())) == 2
    processor = load.load_processor(toy.folder, {"trust_remote_code": False})
    processor.image_processor.image_mean = [0.4, 0.5, 0.5]
    open_pictures(shards, shards.names, processor, toy.model, CPU, folder=folder)
    assert len(list(folder.iterdir())) == 3


def _torn(content: bytes) -> bytes:
    return content[:-10]


def _flipped(content: bytes) -> bytes:
    return content[:-10] + bytes([content[-10] ^ 1]) + content[-9:]


@pytest.mark.parametrize("harm", [_torn, _flipped])
def test_a_damaged_file_is_made_again(harm, named_toy, shards, tmp_path):
    toy, folder = named_toy("qwen3_vl"), tmp_path / "features"
    good = open_pictures(shards, shards.names, toy.processor, toy.model, CPU, folder=folder)
    before = {name: {key: v.clone() for key, v in good.features(name).items()} for name in shards.names}
    path = next(folder.glob("*/*.safetensors"))
    path.write_bytes(harm(path.read_bytes()))
    again = open_pictures(shards, shards.names, toy.processor, toy.model, CPU, folder=folder)
    assert all(equal(before[name], again.features(name)) for name in shards.names)


def test_what_was_not_used_for_longest_makes_room(named_toy, shards, tmp_path):
    toy, folder = named_toy("qwen3_vl"), tmp_path / "features"
    first = open_pictures(shards, ["00.png"], toy.processor, toy.model, CPU, folder=folder)
    (old,) = files_of(folder)
    for path in folder.glob("*/*.safetensors"):
        os.utime(path, (1, 1))
        torn, young = path.with_name(".torn.123"), path.with_name(".young.456")
        for beside in (torn, young):
            beside.write_bytes(b"half")
        os.utime(torn, (1, 1))
    size = sum(path.stat().st_size for path in folder.glob("*/*.safetensors"))
    open_pictures(
        shards, ["05.png"], toy.processor, toy.model, CPU, budget_bytes=int(1.5 * size), folder=folder
    )
    assert len(files_of(folder)) == 1 and old not in files_of(folder)
    assert young.exists() and not torn.exists()
    assert torch.isfinite(first.features("00.png")["pooled"]).all()  # made again for the one that needs it
    assert old in files_of(folder)


def test_too_many_features_mean_pixels_and_a_warning(seeing, shards, capsys):
    frozen = open_pictures(shards, shards.names, seeing.processor, seeing.model, CPU)
    real = sum(values.nbytes for group in frozen.memory.values() for values in group.values())
    assert real - 8 * 32 * len(frozen.memory) <= frozen.needed() <= 1.3 * real
    source = open_pictures(shards, shards.names, seeing.processor, seeing.model, CPU, frozen.needed() - 1)
    assert type(source) is Pixels and "encoded in every batch" in capsys.readouterr().out


def test_pixels_are_kept_up_to_a_limit(named_toy, shards, monkeypatch):
    toy = named_toy("qwen3_vl")
    source = Pixels(shards, toy.processor)
    one = sum(values.nbytes for values in source.arguments("00.png").values())
    monkeypatch.setattr(features, "IN_MEMORY", 4 * one)
    for name in shards.names:
        source.arguments(name)
    assert len(source._made) == 4
    assert torch.equal(source.arguments("11.png")["pixel_values"], source.arguments("11.png")["pixel_values"])


def test_a_text_only_model_has_no_pictures(named_toy, shards):
    assert open_pictures(shards, [], named_toy("qwen3_text").processor) is None


def _process(rank, toy, shards, folder, made):
    """One of two processes that need the same features; it counts the groups it computed itself."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    own = Frozen._computed

    def counted(self, digest):
        made.append(rank)
        time.sleep(0.05)
        return own(self, digest)

    Frozen._computed = counted
    source = open_pictures(shards, shards.names, toy.processor, toy.model, CPU, folder=folder)
    assert worker.world_size() == 2 and all(len(source.features(name)["pooled"]) for name in shards.names)


def test_processes_share_the_work(named_toy, shards, tmp_path):
    toy = named_toy("qwen3_vl")
    assert toy.model is not None  # loaded before the processes part
    context = multiprocessing.get_context("fork")
    with context.Manager() as manager:
        made = manager.list()
        arguments = (toy, shards, tmp_path / "features", made)
        processes = [context.Process(target=_process, args=(rank, *arguments)) for rank in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0]
        assert sorted(made) == [0, 0, 0, 1, 1]  # five groups, each by one of them


def test_a_process_whose_partner_never_comes_helps_itself(named_toy, shards, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(features, "PATIENCE", 0.3)
    toy = named_toy("qwen3_vl")
    source = open_pictures(shards, shards.names, toy.processor, toy.model, CPU, folder=tmp_path / "features")
    assert all(len(source.features(name)["pooled"]) for name in shards.names)
