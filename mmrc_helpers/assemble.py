"""`python -m mmrc_helpers.assemble NAME --language A --clip B --convnext C`: three downloaded models become
one that sees with two encoders (models/two_encoders.py), in a folder that studies name as `model.name`."""

import argparse
import sys
from collections.abc import Sequence
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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 done, 1 the program failed, 2 wrong input."""
    options = _parser().parse_args(arguments)
    return terminal.status(lambda: _assemble(options))


def _assemble(options: argparse.Namespace) -> int:
    parts = {name: getattr(options, name) for name in PARTS}
    folder = assembled(options.name, parts, options.models_folder, options.cells)
    print(f"{show(folder)}: is here; in a study: model: {{source: folder, name: {folder.name}}}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mmrc_helpers.assemble", description=__doc__)
    parser.add_argument("name", help="the new folder in the models folder")
    for name, (hub, what) in PARTS.items():
        default = hub.partition("/")[2]
        parser.add_argument(f"--{name}", default=default, help=f"folder of {what}; {default} if not said")
    parser.add_argument(
        "--cells", type=int, default=32, help="cells of the joint grid on a side, 32 pixels each"
    )
    parser.add_argument("--models-folder", type=Path, default=files.REPOSITORY / "models")
    return parser


def assembled(name: str, parts: dict[str, str], models: Path, cells: int) -> Path:
    """The folder of the assembled model; made unless it is there. Raises one UserError that says of every
    part that is missing what to download, and where to put it."""
    check_file_name(name, "assemble")
    machine = {"models_folder": str(models)}
    inputs = {part: where({"name": own}, machine) for part, own in parts.items()}
    raise_all(
        f"--{part}: no model at {folder}. Download {PARTS[part][1]} where there is network, for example with "
        f"`hf download {PARTS[part][0]} --local-dir {folder}`, or name another folder of {models}"
        for part, folder in inputs.items()
        if not (folder / "config.json").is_file()
    )
    to = where({"name": name}, machine)
    recipe = {
        "kind": "assemble",
        "version": VERSION,
        "params": {"cells": cells, "parts": parts},
        "inputs": {part: str(folder) for part, folder in inputs.items()},
        "machine": for_stage("data", read_known(PARAMS_FOLDER / "base.yaml").defaults["machine"]),
    }
    with disk.writing_into(to), folders.claim(to):
        if to.exists():
            if folders.read_recipe(to).get("params") != recipe["params"]:
                raise UserError(f"{show(to)} holds something else; take another name")
            return to
        disk.require(to, sum(disk.size(folder) for folder in inputs.values()))
        part = folders.begin(to, recipe)
        return folders.finish(
            part, launch.run_module("mmrc_helpers.programs.assemble", part, recipe["machine"])
        )


if __name__ == "__main__":
    surroundings.enter("mmrc_helpers.assemble")
    sys.exit(main())
