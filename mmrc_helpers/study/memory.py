"""How much memory each stage of a run needs on each GPU, said before anything starts; what fits on a card;
and what to write where it does not. No model is loaded: every number is arithmetic over shapes.

`plan(run)` gives rows and `table(rows)` shows them. Checked against measured peaks of toys on a CPU
(tests/study/test_memory.py); on GPUs not measured. The rows of a phase, which wait in the host's memory, are
left out.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mmrc_helpers.errors import listed
from mmrc_helpers.execution.machine import count_ranks, micro_batch
from mmrc_helpers.study import lengths
from mmrc_helpers.study.advice import Phase, Stages, changes, may_quantize
from mmrc_helpers.study.image_tokens import Cut, cut
from mmrc_helpers.study.needs import PARTS, Asked, Setting, evaluating, training
from mmrc_helpers.study.runs import Run
from mmrc_helpers.study.weights import count, layers_of, picture_size, weights_of
from mmrc_helpers.training import rows_of_a_step


def plan(run: Run, gpu_gb: float = 0.0, tokens: int = 0, pictures: int = 0) -> list[dict]:
    """Rows for the stages of a run: each as the file has it, and each training phase in other settings too.

    gpu_gb: memory of one GPU, GB (10^9 bytes); 0: machine.gpu_gb, else what the driver says, else not known.
    tokens: of the longest row. pictures: of a row. Both 0: as counted where data are there, else
    train.max_length, which no row exceeds, or without training the pictures and 1,024; and as many pictures
    as a choice has options.

    A row has stage, setting, processes, rows and tokens of a pass, whether these are counted, pictures of a
    row, picture_tokens and picture_keys of one, the layers that read these (crossed), the model's parameters,
    the PARTS and their peak `total` (GB of one process; less than their sum where activations are gone before
    gradients are whole), `card` (GB, 0: not known), fits (yes, no, "?") and change: what to write where it
    does not fit. Raises UserError where the model's sizes are not known.
    """
    machine = run.params["machine"]
    card = gpu_gb or machine["gpu_gb"] or _gpu_gb()
    cpu = machine["accelerator"] == "cpu" or (machine["accelerator"] == "auto" and not card)
    processes = count_ranks(machine) or 1
    card = _host_gb() / processes if cpu else card
    asked = _asked(run, tokens, pictures, cpu)
    counts = not tokens and not pictures
    taught = lengths.taught(run, asked.weights) if counts else [(0, 0)] * len(run.params["phases"])
    phases = [
        Phase(
            _counted(replace(asked, tokens=tokens or phase["max_length"]), *found),
            phase,
            written_setting(run, phase),
        )
        for phase, found in zip(run.params["phases"], taught, strict=True)
    ]
    asked = _counted(asked, *lengths.asked(run, asked.weights)) if counts else asked
    batch, quantize = run.params["evaluate"]["batch"], run.params["model"]["quantize"]
    alone = Setting(processes, "none", batch, False, quantize)
    row = _row("evaluate", "as written", alone, asked, card) | _filled(evaluating(asked, alone), card)
    rows = [*_of_training(run, phases, card), row]
    for_training, for_evaluation = changes(Stages(phases, asked, alone, card)) if card else ("", "")
    for row in rows:
        change = for_evaluation if row["stage"] == "evaluate" else for_training
        lacking = row["fits"] == "no" or "quantize" in for_evaluation  # which changes training as well
        row["change"] = change if lacking and row["setting"] == "as written" else ""
    return rows


def _of_training(run: Run, phases: Sequence[Phase], card: float) -> list[dict]:
    """The rows of the phases: each as written, and in other settings."""
    return [
        _row(f"train {number}, {phase.params['method']['name']}", name, setting, phase.asked, card)
        | _filled(training(phase.asked, phase.params, setting), card)
        for number, phase in enumerate(phases, 1)
        for name, setting in {"as written": phase.written, **_others(run, phase)}.items()
    ]


def table(rows: Sequence[Mapping]) -> str:
    """The rows as text: a line each, GB of one process, and what to change."""
    names = ("stage", "setting", "processes", "rows", "tokens", *PARTS, "total", "card", "fits")
    cells = [[_shown(row[name] or "?" if name == "card" else row[name]) for name in names] for row in rows]
    titles = [name.replace("_", " ") for name in names]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
             for line in (titles, *cells)]  # fmt: skip
    lead = {"no": "does not fit", "yes": "changes with it"}
    told = [f"{row['stage']} {lead[row['fits']]}: {row['change']}" for row in rows if row["change"]]
    units = "GB of one process; total is the peak on its device, host what waits in the host's memory."
    size = f"The model has {_billions(rows[0]['parameters'])} weights."
    return "\n".join(
        [*lines, units, size, *_of_lengths(rows), *_of_pictures(rows), *told, *_of_no_card(rows)]
    )


def _of_lengths(rows: Sequence[Mapping]) -> list[str]:
    """Where the lengths of rows come from."""
    guessed = sorted({row["tokens"] for row in rows if not row["counted"]})
    most = f"The column tokens: of the longest row or question of about {lengths.MOST:,} in the data"
    if not guessed:
        return [f"{most}."]
    allowed = "" if all(row["stage"] == "evaluate" for row in rows) else ", as train.max_length allows"
    return [
        f"The column tokens: rows of {listed(guessed)} tokens are planned{allowed}; shorter ones need less, "
        "and they are counted once data and model are there."
    ]


def _of_pictures(rows: Sequence[Mapping]) -> list[str]:
    """What the pictures of a row take of its tokens, and that they do not fit into it; and what is read of
    them beside the text."""
    one, shown, most = (rows[0][name] for name in ("picture_tokens", "pictures", "tokens"))
    if not one:
        return []
    lacking = f"; raise train.max_length above {one * shown}" if one * shown >= most else ""
    keys, crossed = rows[0]["picture_keys"], rows[0]["crossed"]
    beside = f" in the text, and {keys:,} keys in each of {crossed} layers that attend to it" if keys else ""
    return [
        f"A picture takes {one} token{'s' * (one > 1)}{beside}; "
        f"{shown} in a row {one * shown} of its {most}{lacking}."
    ]


def _of_no_card(rows: Sequence[Mapping]) -> list[str]:
    """What a GPU has to have, where none is seen, and how to be told what fits."""
    if rows[0]["card"]:
        return []
    most = max(row["total"] for row in rows if row["setting"] == "as written")
    return [
        f"No GPU is seen here. As written it takes {most:.3g} GB of each; what fits on yours, and what to "
        "change, is told with its memory in the study: `machine: {gpu_gb: 80}`."
    ]


def written_setting(run: Run, phase: Mapping) -> Setting:
    """How the study's file has a training phase computed."""
    machine = run.params["machine"]
    processes, over = count_ranks(machine) or 1, "hostfile" if machine["hostfile"] else "processes"
    rows = micro_batch(rows_of_a_step(phase), processes, machine["micro_batch"], over=over)
    quantize = run.params["model"]["quantize"]
    checkpointing, offload = machine["gradient_checkpointing"], machine["offload"]
    zero = "3" if machine["fsdp"] else machine["zero"]  # both shard everything that is kept
    return Setting(processes, zero, rows, checkpointing, quantize, offload)


def _asked(run: Run, tokens: int, pictures: int, cpu: bool) -> Asked:
    weights, world = weights_of(run), run.params["world"]["facts"]
    shown = pictures or world.get("options", 1)
    size = _shrunk(picture_size(world) or (256, 256), run.params["model"]["max_image_size"])
    found = cut(weights.family, weights.settings, size) if weights.settings else Cut(0, 0, 0)
    usual = 1024 + shown * found.tokens  # where nothing is trained, no max_length is said
    longest = tokens or max([phase["max_length"] for phase in run.params["phases"]], default=usual)
    return Asked(run, weights, longest, shown, found, cpu)


def _counted(asked: Asked, tokens: int, pictures: int) -> Asked:
    """What is planned for rows that were counted; 0 tokens: they were not."""
    return replace(asked, tokens=tokens, pictures=pictures, counted=True) if tokens else asked


def _shrunk(size: tuple[int, int], most: int) -> tuple[int, int]:
    """Width and height once the longer side is at most `most`; 0: as they are."""
    by = min(1.0, most / max(size)) if most else 1.0
    return round(size[0] * by), round(size[1] * by)


def _row(stage: str, name: str, setting: Setting, asked: Asked, card: float) -> dict:
    return {"stage": stage, "setting": name, "processes": setting.processes, "rows": setting.micro_batch,
            "tokens": asked.tokens, "counted": asked.counted, "pictures": asked.pictures,
            "picture_tokens": asked.cut.tokens,
            "picture_keys": asked.cut.keys, "crossed": layers_of(asked.weights).crossed,
            "parameters": count(asked.weights), "card": card}  # fmt: skip


def _filled(parts: Mapping[str, float], card: float) -> dict:
    """The parts in GB, and whether they fit."""
    fits = "?" if not card else "yes" if parts["total"] <= card * 1e9 else "no"
    return {**{name: round(size / 1e9, 3) for name, size in parts.items()}, "fits": fits}


def _others(run: Run, phase: Phase) -> dict[str, Setting]:
    """Other settings of a training phase, by what they differ in."""
    written = phase.written
    found, whole = {}, written.quantize == "none"
    zeros = (("0", "2", "3") if whole else ("0", "2")) if written.processes > 1 else ()
    for zero in dict.fromkeys((written.zero, *zeros)):
        for checkpointing in (False, True):
            words = [f"zero {zero}"] * (zero != "none") + ["checkpointing"] * checkpointing
            plain = replace(written, zero=zero, checkpointing=checkpointing, offload=False)
            found[", ".join(words) or "plain"] = plain
    if whole and (written.zero != "none" or zeros):
        found["zero 3, checkpointing, offload"] = replace(written, zero="3", checkpointing=True, offload=True)
    if may_quantize(run):
        found["nf4, checkpointing"] = replace(written, zero="none", checkpointing=True, quantize="nf4")
    return {name: setting for name, setting in found.items() if setting != written}


def _host_gb() -> float:
    """GB of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _gpu_gb() -> float:
    """GB of the smallest GPU here, as the driver says; 0 without one."""
    if not shutil.which("nvidia-smi"):
        return 0.0
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    said = subprocess.run(command, capture_output=True, text=True).stdout.split()
    mebibytes = [float(word) for word in said if word.isdigit()]
    return min(mebibytes, default=0.0) * 1024**2 / 1e9


def _billions(number: int) -> str:
    """8767123696 → "8.77 billion", 2712345 → "2.71 million"."""
    return f"{number / 1e9:.3g} billion" if number >= 1e9 else f"{number / 1e6:.3g} million"


def _shown(value) -> str:
    return value if isinstance(value, str) else f"{value:.3g}" if isinstance(value, float) else str(value)
