"""What made the numbers: the folders, how long each took, and what else its last digits depend on."""

from pathlib import Path

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import reading
from mmrc_helpers.store import files, folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Run, Study


def sources(opened: Run | Study) -> pd.DataFrame:
    """One row per run: the folders below artifacts/ of its notebooks and of every kind of stage."""
    rows = []
    for run in reading.all_runs(opened):
        row = {"variant": run.variant, "seed": run.seed}
        row["notebooks"] = folders.name_of(folders.run_folder(run.study, run.name))
        for stage in stages.stages_of(run):
            name = stage.relative
            row[stage.kind] = f"{row[stage.kind]}, {name}" if stage.kind in row else name
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def provenance(opened: Run | Study) -> pd.DataFrame:
    """One row per stage folder in use: what made it, when needed by whom, how long it took, and what else its
    last digits depend on: the device, how many processes and threads of each, and the rows of one pass."""
    rows: dict[Path, dict] = {}
    for run in reading.all_runs(opened):
        for stage in stages.stages_of(run):
            row = rows.setdefault(stage.folder, {"stage": stage.kind, "runs": []})
            row["runs"].append(run.name)
            row["folder"] = stage.relative
            made, machine = _how(stage.folder)
            row |= {name: machine.get(name, 0) for name in ("processes", "threads", "micro_batch")}
            row |= {
                "minutes": made["seconds"] / 60 if made else np.nan,
                "device": made.get("device", "device not noted") if made else "not made",
            }
            row |= {"commit": made.get("commit", "")[:12], "packages": made.get("packages", {})}
    return pd.DataFrame([row | {"runs": ", ".join(row["runs"])} for row in rows.values()])


def _how(folder: Path) -> tuple[dict, dict]:
    """What finished a stage, and how it was told to compute; empty if it is not made."""
    if not folders.is_complete(folder):
        return {}, {}
    return files.read_json(folder / "made.json"), files.read_json(folder / "recipe.json")["machine"]


def packages(table: pd.DataFrame) -> pd.DataFrame:
    """Versions in use, one row per package; more than one version means that stages were made at different
    times."""
    versions: dict[str, set] = {}
    for installed in table["packages"]:
        for name, version in installed.items():
            versions.setdefault(name, set()).add(version)
    rows = [
        {"package": name, "version": ", ".join(sorted(found))} for name, found in sorted(versions.items())
    ]
    return pd.DataFrame(rows)
