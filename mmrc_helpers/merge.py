"""`python -m mmrc_helpers.merge STUDY --variant V --seed S`: the model of a trained run as a folder of its
own, its adapter merged into full weights, with a model card that says how it was made and what it answers."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.execution import launch, surroundings, terminal
from mmrc_helpers.execution.machine import for_stage
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import PARAMS_FOLDER, Run, Study, find_run, load_study

VERSION = 1  # raised when the meaning of what the program writes changes


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 done, 1 the program failed, 2 wrong input."""
    options = _parser().parse_args(arguments)
    return terminal.status(lambda: _merge(options))


def _merge(options: argparse.Namespace) -> int:
    study = load_study(options.study, options.params_folder)
    run = find_run(study, options.variant, options.seed)
    to = options.to or files.artifacts_root() / "models" / f"{run.study}-{run.name}"
    folder = merged(study, run, to.expanduser().absolute())
    differ = files.read_json(folder / "made.json")["logits_differ"]
    print(f"{show(folder)}: logits differ from those with the adapter by at most {differ:.1e}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mmrc_helpers.merge", description=__doc__)
    parser.add_argument("study", help="a name in params/, or a YAML file")
    parser.add_argument("--variant", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--to", type=Path, help="a new folder; artifacts/models/STUDY-VARIANT-sSEED if not said"
    )
    parser.add_argument("--params-folder", type=Path, default=PARAMS_FOLDER, help="where the studies are")
    return parser


def merged(study: Study, run: Run, to: Path) -> Path:
    """The folder `to` with the run's model and its card; made unless it is there. Raises UserError if the run
    is not trained, or `to` holds something else."""
    inputs = {name: stage.folder for name, stage in stages.eval_stage(run).inputs.items() if name != "data"}
    if not run.params["phases"]:
        raise UserError(f"{run.study}: {run.variant} is not trained, so there is nothing to merge")
    for folder in inputs.values():
        if not folders.is_complete(folder):
            raise UserError(
                f"{show(folder)} is not there; run `python -m mmrc_helpers.run {run.study}` first"
            )
    machine = for_stage("data", run.params["machine"])
    recipe = {
        "kind": "merge",
        "version": VERSION,
        "params": {"model": plain(run.params["model"])},
        "inputs": {name: str(folders.check(folder)) for name, folder in inputs.items()},
        "machine": machine,
    }
    with disk.writing_into(to), folders.claim(to):
        if to.exists() and any(to.iterdir()):
            if folders.read_recipe(to).get("inputs") != recipe["inputs"] or not folders.is_complete(to):
                raise UserError(
                    f"{show(to)} holds something else; name a folder that is not there yet with --to"
                )
            return to
        disk.require(to, 2 * sum(disk.size(folder) for folder in inputs.values()))
        part = folders.begin(to, recipe)
        facts = launch.run_module("mmrc_helpers.programs.merge", part, machine)
        files.write_text(part / "README.md", _card(study, run, part, facts))
        for name in ("log.txt", "done.json"):
            (part / name).unlink()
        return folders.finish(part, facts)


def _card(study: Study, run: Run, folder: Path, facts: dict) -> str:
    from mmrc_helpers.analysis.card import card  # pandas, only here

    return card(study, run, folder, facts["logits_differ"])


if __name__ == "__main__":
    surroundings.enter("mmrc_helpers.merge")
    sys.exit(main())
