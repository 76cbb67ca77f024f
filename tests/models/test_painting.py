"""Painted portraits: the same for any number of processes and after a kill, nobody like anybody before them,
and folders of models that are refused."""

import hashlib
import json
import shutil
from itertools import combinations
from pathlib import Path

import painter_toy
import pytest
import torch

from mmrc_helpers import run as command
from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import launch
from mmrc_helpers.execution.machine import for_stage
from mmrc_helpers.models import painting
from mmrc_helpers.models.folder import painter_problems
from mmrc_helpers.models.painting import Subject
from mmrc_helpers.programs import generate
from mmrc_helpers.store import folders
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import load_study
from mmrc_helpers.worlds.people import WORLD

SETTINGS = {
    **{"model": "sdxl-toy", "tiny_vae": "", "side": 64, "steps": 1, "batch": 2, "kept": 16},
    **{"variety": 0.6, "alike": 0.95, "tries": 20},
}
STUDY = """
extends: smoke
people: {pictures: sdxl, background: 2, novel: 8, options: 2, train_views: 2, test_views: 1, train_scenes: 1,
         text_scenes: 4, image_size: 16, sdxl: {model: sdxl-toy, side: 64, steps: 1, alike: 0.6}}
machine: {models_folder: MODELS, accelerator: cpu, threads: 1}
"""


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder with a pipeline and a small decoder, written once for the test run."""
    folder = tmp_path_factory.mktemp("painters")
    painter_toy.write(folder)
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    """So little is computed at once that threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def machine(models) -> dict:
    return {"models_folder": str(models), "accelerator": "cpu"}


def subjects(count: int) -> list[Subject]:
    return [
        Subject(
            f"novel-{k:04d}",
            tuple(f"novel-{k:04d}-{v:02d}.png" for v in range(3)),
            tuple(f"a woman in {word}, view {v}" for v in range(3)),
            "0",
        )
        for k, word in enumerate(("red", "green", "blue", "grey", "white", "pink")[:count])
    ]


def sums(tables) -> dict[str, str]:
    return {group: hashlib.sha256(path.read_bytes()).hexdigest() for group, path in tables.items()}


def test_any_number_of_processes_paints_the_same_and_nobody_is_like_anybody_before(
    machine, tmp_path, monkeypatch, capsys
):
    settings, everybody = {**SETTINGS, "alike": 0.45}, subjects(6)
    tables = painting.paint(everybody, settings, machine, tmp_path / "one")
    attempts = {group: int(path.stem.rpartition("-")[2]) for group, path in tables.items()}
    assert any(attempts.values())  # else nothing of this is tested
    told = ", ".join(group for group, attempt in attempts.items() if attempt)
    assert (
        f"painted again, because they looked like somebody before them: {told}\n" in capsys.readouterr().out
    )
    thumbs = {of.group: painting.read_thumbs(tables[of.group]) for of in everybody}
    for one, other in combinations(thumbs, 2):
        assert (thumbs[one] @ thumbs[other].T).max() < settings["alike"]
    for number, of in enumerate(everybody):  # each has the first attempt that is like nobody before
        for attempt in range(attempts[of.group]):
            passed = painting.read_thumbs(painting.table_of(tmp_path / "one", of.group, attempt))
            assert max((thumbs[o.group] @ passed.T).max() for o in everybody[:number]) >= settings["alike"]
    place, painter = tmp_path / "two", painting.Painter(settings, machine)
    place.mkdir()
    monkeypatch.setenv("WORLD_SIZE", "2")
    while (found := painting._settled(everybody, settings, place))[1]:
        for rank in "10":
            monkeypatch.setenv("RANK", rank)
            painting._paint_share(found[1], {of.group: of for of in everybody}, painter, place, 0)
    assert sums({g: painting.table_of(place, g, a) for g, a in found[0].items()}) == sums(tables)
    monkeypatch.delenv("WORLD_SIZE")
    fewer = painting.paint(everybody[:3], settings, machine, place)
    assert sums(fewer) == dict(list(sums(tables).items())[:3])


def test_whoever_is_never_unlike_the_others_is_an_error(machine, tmp_path):
    with pytest.raises(
        UserError, match=r"novel-0001 looks like somebody before it in all of 2 attempts; raise"
    ):
        painting.paint(subjects(2), {**SETTINGS, "alike": -1.0, "tries": 2}, machine, tmp_path / "painted")


def test_a_small_decoder_takes_the_place_of_the_large_one(machine):
    painted = [
        list(painting.Painter({**SETTINGS, "tiny_vae": vae}, machine).pictures(subjects(1)[0], 0))
        for vae in ("", "taesd-toy")
    ]
    assert {image.size for images in painted for image in images} == {(16, 16)}
    assert painted[0][0].tobytes() != painted[1][0].tobytes()
    said = painting.licence({**SETTINGS, "tiny_vae": "taesdxl"})
    assert said.endswith(" They were decoded by taesdxl; its licence: MIT.")


def test_parts_that_do_not_fit_each_other_are_one_sentence(models, tmp_path):
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "sdxl-toy" / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "block_out_channels": [32, 64]}))
    with pytest.raises(UserError, match=r"people\.sdxl: .*sdxl-toy cannot be loaded \(.*\); download"):
        painting.Painter(SETTINGS, {"models_folder": str(tmp_path), "accelerator": "cpu"})


@pytest.fixture
def stage(models, tmp_path, monkeypatch):
    """The data stage of a painted study, and what its recipe is."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    path = tmp_path / "painted.yaml"
    path.write_text(STUDY.replace("MODELS", str(models)))
    run = load_study(path).runs[0]
    return path, stages.data_stage(run), run.params["machine"]


def test_a_data_folder_is_painted_goes_on_after_a_kill_and_names_the_licence(stage, monkeypatch):
    path, data, machine = stage
    part = folders.begin(data.folder, data.recipe(for_stage("paint", machine)))
    painted, count = painting.write_table, []

    def killed_at_seven(path, pictures):
        count.append(path)
        if len(count) == 7:
            raise KeyboardInterrupt
        painted(path, pictures)

    with monkeypatch.context() as patch:
        patch.setattr(painting, "write_table", killed_at_seven)
        with pytest.raises(KeyboardInterrupt):
            generate.main(part)
    before = {table: table.stat().st_mtime_ns for table in (part / "painted").glob("*.parquet")}
    assert len(before) == 6
    with monkeypatch.context() as patch:
        patch.setattr(generate.shutil, "rmtree", lambda *_, **__: None)  # so that the tables can be looked at
        generate.main(part)
    assert before == {table: table.stat().st_mtime_ns for table in before}
    shards = Shards(part)
    wanted = dict(WORLD.make(data.params["world"]["facts"], 0).pictures)
    assert set(shards.names) == set(wanted) and shards.read("novel-0000-00.png").size == (16, 16)
    assert (
        "painted by the weights sdxl-toy. Licence of the weights: not known here"
        in (part / "README.md").read_text()
    )
    assert painting.licence({"model": "sdxl-turbo", "tiny_vae": ""}).endswith(
        "Non-Commercial Research Community License."
    )
    generate.main(part)
    assert not (part / "painted").exists()


def test_a_dry_run_says_how_many_pictures_are_to_be_painted(stage, capsys):
    path, data, _ = stage
    assert command.main([str(path), "--dry-run"]) == 0
    assert f"30 pictures for {data.relative} are to be painted by sdxl-toy (64 x 64 pixels, 1 steps)" in (
        capsys.readouterr().out
    )


def test_prompts_name_the_looks_and_differ_between_views():
    facts = load_study("qwen3vl_8b_sdxl").runs[0].params["world"]["facts"]
    made = WORLD.make({**facts, "background": 8, "novel": 16}, 0)
    told = {name: person["description"] for person in made.facts for name in person["pictures"]}
    for name, looks in told.items():
        assert looks in made.pictures[name].prompt
        assert len(made.pictures[name].prompt.replace(",", " ,").split()) < 60  # CLIP reads 77 tokens
    assert len({made.pictures[name].prompt for name in told}) > 0.9 * len(told)
    assert WORLD.painting(facts)["pictures"] == 100 * 20


@pytest.mark.slow
def test_two_processes_of_a_launcher_paint_what_one_paints(stage):
    _, data, machine = stage
    found = {}
    for count in (1, 2):
        machine = {**machine, "launcher": "torchrun" if count > 1 else "python", "processes": count}
        part = folders.begin(data.folder, data.recipe(for_stage("paint", machine)))
        launch.run_module(
            "mmrc_helpers.programs.generate", part, for_stage("paint", machine), lambda *_, **__: None
        )
        shards = Shards(part)
        found[count] = {name: shards.sum(name) for name in shards.names}
        shutil.rmtree(part)
    assert found[1] == found[2]


# --- folders that are refused ------------------------------------------------------------------------------


def removed(*names: str):
    def change(folder: Path) -> None:
        for name in names:
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()

    return change


def pickled(folder: Path) -> None:
    weights = folder / "sdxl-toy" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))


def cut_off(folder: Path) -> None:
    weights = folder / "sdxl-toy" / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])


def pointer(folder: Path) -> None:
    weights = folder / "taesd-toy" / "diffusion_pytorch_model.safetensors"
    weights.write_text("version https://git-lfs.github.com/spec/v1\n")


def another_kind(folder: Path) -> None:
    index = folder / "sdxl-toy" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "FluxPipeline"}))


def written(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


def tiny_inside(folder: Path) -> None:
    shutil.copytree(folder / "taesd-toy", folder / "sdxl-toy" / "vae", dirs_exist_ok=True)


def whole_beside(folder: Path) -> None:
    shutil.copytree(folder / "sdxl-toy" / "vae", folder / "taesd-toy", dirs_exist_ok=True)


WRONG = {
    "absent": (removed("sdxl-toy"), "people.sdxl.model: no model at "),
    "how to get it": (
        removed("sdxl-toy"),
        "`python -m mmrc_helpers.data download --models sdxl_turbo` fetches it",
    ),
    "no decoder": (removed("taesd-toy"), "people.sdxl.tiny_vae: no model at "),
    "no index": (
        removed("sdxl-toy/model_index.json"),
        "model_index.json is missing; download the whole model",
    ),
    "no part": (removed("sdxl-toy/text_encoder_2"), "text_encoder_2 is missing; download the whole model"),
    "no scheduler": (
        removed("sdxl-toy/scheduler"),
        "scheduler_config.json is missing; download the whole",
    ),
    "no words": (
        removed("sdxl-toy/tokenizer/tokenizer.json"),
        "tokenizer.json is missing; download",
    ),
    "no config": (removed("sdxl-toy/unet/config.json"), "config.json is missing"),
    "pickled": (pickled, "unet holds only pickled weights, which run code when they are loaded"),
    "cut off": (cut_off, "it was cut off or damaged; download it again"),
    "pointer": (pointer, "is a pointer of git-lfs; fetch the file with `git lfs pull`"),
    "another kind": (
        another_kind,
        "is a FluxPipeline, no StableDiffusionXLPipeline; take the folder of",
    ),
    "an index of nothing": (
        written("sdxl-toy/model_index.json", "{}"),
        "model_index.json names no pipeline",
    ),
    "an index of another form": (written("sdxl-toy/model_index.json", "[]"), "is damaged (no JSON object); "),
    "a damaged part": (written("sdxl-toy/unet/config.json", "{{"), "config.json is damaged (Expecting"),
    "another decoder": (
        tiny_inside,
        "vae is of another class than AutoencoderKL; download the whole model",
    ),
    "a decoder that is not tiny": (whole_beside, "taesd-toy is of another class than AutoencoderTiny"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_folder_that_cannot_paint_is_refused_in_one_sentence(case, models, tmp_path):
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    change, said = WRONG[case]
    settings, machine = {**SETTINGS, "tiny_vae": "taesd-toy"}, {"models_folder": str(tmp_path)}
    assert painter_problems(settings, machine) == []
    change(tmp_path)
    (problem,) = painter_problems(settings, machine)
    assert said in problem and problem.startswith("people.sdxl")
