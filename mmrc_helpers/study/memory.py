"""How much memory each stage of a run needs on each GPU, said before anything starts; what fits on a card;
and what to write where it does not. No model is loaded: every number is arithmetic over shapes.

`plan(run)` gives rows and `table(rows)` shows them. Checked against measured peaks of toys on a CPU
(tests/study/test_memory.py); on GPUs not measured.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mmrc_helpers.execution.machine import count_ranks, micro_batch
from mmrc_helpers.study.image_tokens import Cut, cut
from mmrc_helpers.study.needs import PARTS, Asked, Setting, evaluating, training
from mmrc_helpers.study.runs import Run
from mmrc_helpers.study.weights import picture_size, weights_of
from mmrc_helpers.training import rows_of_a_step


def plan(run: Run, gpu_gb: float = 0.0, tokens: int = 0, pictures: int = 0) -> list[dict]:
    """Rows for the stages of a run: each as the file has it, and each training phase in other settings too.

    gpu_gb: memory of one GPU, GB (10^9 bytes); 0: machine.gpu_gb, else what the driver says, else not known.
    tokens: of the longest row; 0: train.max_length, which none exceeds, or without training the pictures and
    1,024. pictures: of a row; 0: as many as a choice has options.

    A row has stage, setting, processes, rows and tokens of a pass, pictures of a row and tokens of one, the
    PARTS and their peak `total` (GB of one process; less than their sum where activations are gone before
    gradients are whole), `card` (GB, 0: not known), fits (yes, no, "?") and change: what to write where it
    does not fit. Raises UserError where the model's sizes are not known.
    """
    machine = run.params["machine"]
    card = gpu_gb or machine["gpu_gb"] or _gpu_gb()
    cpu = machine["accelerator"] == "cpu" or (machine["accelerator"] == "auto" and not card)
    processes = count_ranks(machine) or 1
    card = _host_gb() / processes if cpu else card
    asked = _asked(run, tokens, pictures, cpu)
    rows = []
    for number, phase in enumerate(run.params["phases"], 1):
        own = replace(asked, tokens=tokens or phase["max_length"])
        written = written_setting(run, phase)
        for name, setting in {"as written": written, **_others(run, written, phase)}.items():
            row = _row(f"train {number}, {phase['method']['name']}", name, setting, own, card)
            row = row | _filled(training(own, phase, setting), card)
            lacking = row["fits"] == "no" and name == "as written"
            rows.append(row | {"change": _training_change(own, phase, written, card) if lacking else ""})
    batch, quantize = run.params["evaluate"]["batch"], run.params["model"]["quantize"]
    alone = Setting(processes, "none", batch, False, quantize)
    row = _row("evaluate", "as written", alone, asked, card) | _filled(evaluating(asked, alone), card)
    return [*rows, row | {"change": _evaluate_change(asked, alone, card) if row["fits"] == "no" else ""}]


def table(rows: Sequence[Mapping]) -> str:
    """The rows as text: a line each, GB of one process, and what to change."""
    names = ("stage", "setting", "processes", "rows", "tokens", *PARTS, "total", "card", "fits")
    cells = [[_shown(row[name] or "?" if name == "card" else row[name]) for name in names] for row in rows]
    titles = [name.replace("_", " ") for name in names]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
             for line in (titles, *cells)]  # fmt: skip
    changes = [f"{row['stage']} does not fit: {row['change']}" for row in rows if row["change"]]
    units = "GB of one process; total is the peak on its device, host what waits in the host's memory."
    return "\n".join([*lines, units, *_of_pictures(rows), *changes, *_of_no_card(rows)])


def _of_pictures(rows: Sequence[Mapping]) -> list[str]:
    """What the pictures of a row take of its tokens, and that they do not fit into it."""
    one, count, most = (rows[0][name] for name in ("picture_tokens", "pictures", "tokens"))
    if not one:
        return []
    lacking = f"; raise train.max_length above {one * count}" if one * count >= most else ""
    return [f"A picture takes {one} tokens; {count} in a row {one * count} of its {most}{lacking}."]


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


def _shrunk(size: tuple[int, int], most: int) -> tuple[int, int]:
    """Width and height once the longer side is at most `most`; 0: as they are."""
    by = min(1.0, most / max(size)) if most else 1.0
    return round(size[0] * by), round(size[1] * by)


def _row(stage: str, name: str, setting: Setting, asked: Asked, card: float) -> dict:
    return {"stage": stage, "setting": name, "processes": setting.processes, "rows": setting.micro_batch,
            "tokens": asked.tokens, "pictures": asked.pictures, "picture_tokens": asked.cut.tokens,
            "card": card}  # fmt: skip


def _filled(parts: Mapping[str, float], card: float) -> dict:
    """The parts in GB, and whether they fit."""
    fits = "?" if not card else "yes" if parts["total"] <= card * 1e9 else "no"
    return {**{name: round(size / 1e9, 3) for name, size in parts.items()}, "fits": fits}


def _others(run: Run, written: Setting, phase: Mapping) -> dict[str, Setting]:
    """Other settings of a training phase, by what they differ in."""
    found, whole = {}, written.quantize == "none"
    zeros = (("0", "2", "3") if whole else ("0", "2")) if written.processes > 1 else ()
    for zero in dict.fromkeys((written.zero, *zeros)):
        for checkpointing in (False, True):
            words = [f"zero {zero}"] * (zero != "none") + ["checkpointing"] * checkpointing
            plain = replace(written, zero=zero, checkpointing=checkpointing, offload=False)
            found[", ".join(words) or "plain"] = plain
    if whole and (written.zero != "none" or zeros):
        found["zero 3, checkpointing, offload"] = replace(written, zero="3", checkpointing=True, offload=True)
    if whole and _may_quantize(run):
        found["nf4, checkpointing"] = replace(written, zero="none", checkpointing=True, quantize="nf4")
    return {name: setting for name, setting in found.items() if setting != written}


def _may_quantize(run: Run) -> bool:
    """Whether the weights may be held in 4 bits: they are files, and only adapters are trained."""
    return run.params["model"]["source"] != "scratch" and all(
        phase["lora_r"] for phase in run.params["phases"]
    )


def _training_change(asked: Asked, phase: Mapping, written: Setting, card: float) -> str:
    """The first change in order of its price after which a phase fits, as it would be written."""
    for setting in _cheaper(asked.run, written, phase):
        if training(asked, phase, setting)["total"] <= card * 1e9:
            return f"write {_as_yaml(asked.run, phase, written, setting)}"
    none = f"no number of GPUs of {card:g} GB is enough"
    if written.quantize != "none":  # which cannot be sharded
        return f"{none}; take a larger card, a smaller model, or shorten train.max_length"
    processes = written.processes
    while (processes := 2 * processes) <= 1024:
        setting = replace(written, processes=processes, zero="3", micro_batch=1, checkpointing=True)
        if training(asked, phase, setting)["total"] <= card * 1e9:
            rows = f", train: {{batch: {processes}}}" if processes > rows_of_a_step(phase) else ""
            told = _as_yaml(asked.run, phase, written, setting)
            return f"it needs {processes} GPUs of {card:g} GB: {told}{rows}"
    return f"{none}; shorten train.max_length or take an adapter (lora_r)"


def _cheaper(run: Run, written: Setting, phase: Mapping) -> Iterator[Setting]:
    """Settings of falling need, each with what the ones before it changed: smaller passes cost nothing,
    checkpointing costs time, ZeRO exchange, and 4 bits change the result."""
    setting, rows = written, rows_of_a_step(phase) // written.processes
    for fewer in range(written.micro_batch - 1, 0, -1):
        if rows % fewer == 0:
            yield (setting := replace(setting, micro_batch=fewer))
    yield (setting := replace(setting, checkpointing=True))
    whole = written.quantize == "none"
    if setting.processes > 1:
        for zero in ("2", "3") if whole else ("2",):
            yield replace(setting, zero=zero)
        if whole:
            yield replace(setting, zero="3", offload=True)
    if whole and _may_quantize(run):
        yield replace(setting, zero="none", offload=False, quantize="nf4")


def _as_yaml(run: Run, phase: Mapping, written: Setting, setting: Setting) -> str:
    """What differs, as a study's file would say it, with what has to change beside it."""
    machine, before = _machine(setting), _machine(written)
    differing = {name: value for name, value in machine.items() if value != before[name]}
    if run.params["machine"]["fsdp"] and {"zero", "offload"} & set(differing):
        differing = {"fsdp": "false", "zero": machine["zero"]} | differing
    told = ", ".join(f"{name}: {value}" for name, value in differing.items())
    sections = [f"machine: {{{told}}}"]
    if setting.quantize != written.quantize:
        sections.append("model: {quantize: nf4}")
    probes, keeps = (run.params["dynamics"][name] for name in ("probes", "snapshots"))
    if setting.zero == "3" and probes and not keeps:  # under it no process has the whole model to probe
        sections.append(f"dynamics: {{{'snapshots: true' if phase['lora_r'] else 'probes: 0'}}}")
    return ", ".join(sections)


def _machine(setting: Setting) -> dict[str, str]:
    """A setting in the words of the machine section."""
    return {
        "processes": str(setting.processes),
        "zero": f'"{setting.zero}"',
        "micro_batch": str(setting.micro_batch),
        "gradient_checkpointing": str(setting.checkpointing).lower(),
        "offload": str(setting.offload).lower(),
    }


def _evaluate_change(asked: Asked, setting: Setting, card: float) -> str:
    while setting.micro_batch > 1:
        setting = replace(setting, micro_batch=setting.micro_batch // 2)
        if evaluating(asked, setting)["total"] <= card * 1e9:
            return f"write evaluate: {{batch: {setting.micro_batch}}}"
    smaller = replace(setting, quantize="nf4")
    if _may_quantize(asked.run) and evaluating(asked, smaller)["total"] <= card * 1e9:
        return "the model itself does not fit; write model: {quantize: nf4} or take a larger card"
    return "the model itself does not fit; take a larger card or a smaller model"


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


def _shown(value) -> str:
    return value if isinstance(value, str) else f"{value:.3g}" if isinstance(value, float) else str(value)
