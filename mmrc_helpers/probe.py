"""`python -m mmrc_helpers.probe MODEL --adapters FOLDER --data FILE`: what each of a folder's adapters makes
of every row of a file, without a study: tidy tables and figures in the folder --out.

The model alone is probed first. Whatever is killed goes on where it was with the same command.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from mmrc_helpers.errors import UserError, raise_all, show
from mmrc_helpers.execution import launch, surroundings, terminal
from mmrc_helpers.execution.machine import for_stage
from mmrc_helpers.models import folder
from mmrc_helpers.store import disk, files, folders, tables
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Run, load_study

VERSION = 1  # raised when the meaning of what the program writes changes
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
ALONE = "model alone"  # the first probe point, without any adapter


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 done, 1 the program failed, 2 wrong input."""
    options = _parser().parse_args(arguments)
    return terminal.status(lambda: _probe(options))


def _probe(options: argparse.Namespace) -> int:
    given = options.adapters.expanduser().resolve()
    adapters = adapters_in(given)
    source = given.parent if (given / ADAPTER[0]).is_file() else given
    out = (options.out or files.artifacts_root() / "probes" / given.name).expanduser().absolute()
    with disk.writing_into(out):
        probe(settings(options), adapters, source, out)
        written = _show(out, f"{options.model.name} with {options.adapters.name}")
    print(f"{len(adapters)} adapters probed; {len(written)} tables and figures are in {show(out)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mmrc_helpers.probe", description=__doc__.split("\n\n")[0]
    )
    add = parser.add_argument
    add("model", type=Path, help="the folder of the model that the adapters were trained on")
    add("--adapters", type=Path, required=True, help="a folder of adapters, or of one, in safetensors")
    add("--data", required=True, help="a table as the world of files reads it: dpo, reasoning, …")
    add(
        "--out",
        type=Path,
        help="where the results go; artifacts/probes/NAME of the adapters' folder if not said",
    )
    add("--layout", default="auto", help="what the columns of the table mean, as files.layout")
    add("--dtype", default="float32", help="weights in memory, as model.dtype")
    add("--quantize", default="none", help="as model.quantize")
    add("--processes", type=int, default=0, help="they share the work; 0: as many as cores and memory allow")
    add("--batch", type=int, default=16, help="rows of a forward pass")
    add("--accelerator", default="auto", help="as machine.accelerator")
    return parser


def adapters_in(place: Path) -> dict[str, int]:
    """Name → step of the adapters in a folder, or of the folder that is one itself, in order. The step is
    what its trainer noted beside each; if one lacks that, their numbers, 1, 2, … Raises UserError."""
    if not place.is_dir():
        raise UserError(f"--adapters: {show(place)} is no folder")
    if (place / ADAPTER[0]).is_file():
        found = [place]
    else:
        found = sorted((path.parent for path in place.glob(f"*/{ADAPTER[0]}")), key=_natural)
    if not found:
        raise UserError(
            f"--adapters: {show(place)} holds no adapter; each is a folder with {' and '.join(ADAPTER)}"
        )
    raise_all(f"--adapters: {show(path)} has no {ADAPTER[1]}; pickled weights are refused, save it again"
              for path in found if not (path / ADAPTER[1]).is_file())  # fmt: skip
    notes = [path / "trainer_state.json" for path in found]
    steps = [files.read_json(note)["global_step"] for note in notes if note.is_file()]
    if len(set(steps)) < len(found) or 0 in steps:
        steps = range(1, len(found) + 1)
    return dict(sorted(zip((path.name for path in found), steps, strict=True), key=lambda item: item[1]))


def _natural(path: Path) -> list:
    """Sorts checkpoint-20 before checkpoint-100."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def settings(options: argparse.Namespace) -> Run:
    """Model, data and machine as a study would give them, with everything checked that studies check."""
    model, data = options.model.expanduser().resolve(), options.data
    data = data if data.startswith("hub:") else str(Path(data).expanduser().resolve())
    said = {
        "model": {"source": "folder", "name": model.name, "dtype": options.dtype,
                  "quantize": options.quantize},
        "data": {"world": "files"},
        "files": {"path": data, "layout": options.layout, "eval_share": 0.0},
        "phases": [],
        "report": {"finding": "accuracy"},
        "machine": {"models_folder": str(model.parent), "processes": options.processes,
                    "micro_batch": options.batch, "accelerator": options.accelerator},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "probe.yaml"
        path.write_text(yaml.safe_dump(said), encoding="utf-8")
        try:
            return load_study(path).runs[0]
        except UserError as error:
            raise UserError(str(error).replace(f"{show(path)}: ", "")) from None


def probe(run: Run, adapters: Mapping[str, int], source: Path, out: Path) -> None:
    """Fills `out` by programs.probe, unless that is done. source: the folder that holds the adapters. Raises
    UserError if `out` holds something else."""
    machine = plain(run.params["machine"])
    weights = Path(machine["models_folder"]) / run.params["model"]["name"]
    raise_all(folder.problems(run.params["model"], machine))
    data = stages.make(stages.data_stage(run), machine)
    names = ("source", "name", "dtype", "quantize", "trust_remote_code")
    first = {"step": 0, "supervised_tokens": 0, "phase": 1, "checkpoint": ALONE}
    recipe = {
        "kind": "probe",
        "version": VERSION,
        "params": {
            "model": {name: run.params["model"][name] for name in names},
            "weights": {path.name: path.stat().st_size for path in sorted(weights.glob("*.safetensors"))},
            "adapters": {name: disk.checksum(source / name / ADAPTER[1]) for name in adapters},
            "points": [first, *({**first, "step": at, "checkpoint": name} for name, at in adapters.items())],
        },
        "inputs": {"data": str(data)},
        "machine": {**for_stage("dynamics", machine, disk.size(weights)), "adapters_folder": str(source)},
    }
    with folders.claim(out):
        if out.exists() and any(out.iterdir()):
            if folders.read_recipe(out).get("params") != recipe["params"] or not folders.is_complete(out):
                raise UserError(
                    f"--out: {show(out)} holds something else; name a folder that is not there yet"
                )
            return
        part = folders.begin(out, recipe)
        folders.finish(part, launch.run_module("mmrc_helpers.programs.probe", part, recipe["machine"]))


def _show(out: Path, title: str) -> list[Path]:
    """Writes tables and figures of what was probed; prints the ends of the curves."""
    from mmrc_helpers.analysis import probes

    table = pd.read_parquet(tables.table_path(folders.check(out, "dynamics/*.parquet"), "logprobs"))
    short = probes.summary(probes.examples(table))
    ends = short[short["step"].isin((short["step"].min(), short["step"].max()))]
    for row in ends[ends["measure"].isin(probes.CURVES)].itertuples():
        print(f"{row.checkpoint}, {row.subset}: {row.measure} {row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]")
    return probes.save(table, out, title)


if __name__ == "__main__":
    surroundings.enter("mmrc_helpers.probe")
    sys.exit(main())
