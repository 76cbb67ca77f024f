"""What a study has to say for its stages to fit on a card: the cheapest change with which all of them do,
since the sections `machine` and `model` are one for all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mmrc_helpers.study.needs import Asked, Setting, evaluating, training
from mmrc_helpers.study.runs import Run
from mmrc_helpers.training import rows_of_a_step

MOST_PROCESSES = 1024


@dataclass(frozen=True)
class Phase:
    """A training phase, what is planned for in it, and how the study's file has it computed."""

    asked: Asked
    params: Mapping
    written: Setting


@dataclass(frozen=True)
class Stages:
    """What has to fit: the phases and the evaluation, as written, on cards of so many GB."""

    phases: Sequence[Phase]
    asked: Asked
    evaluated: Setting
    card: float

    @property
    def run(self) -> Run:
        return self.asked.run

    @property
    def written(self) -> Setting:
        """How training is computed, with the rows of the largest pass of any phase."""
        return max((phase.written for phase in self.phases), key=lambda setting: setting.micro_batch)

    def trains(self, setting: Setting) -> bool:
        """Whether every phase fits in this setting."""
        return all(
            training(phase.asked, phase.params, _own(phase, setting))["total"] <= self.card * 1e9
            for phase in self.phases
        )


def changes(of: Stages) -> tuple[str, str]:
    """What to write for training and for evaluation, as a study's file would say it, or that nothing helps;
    empty where nothing is to be changed. Weights in 4 bits are so for both."""
    asked = _fewer_questions(of, of.evaluated)
    if asked is None and may_quantize(of.run):
        asked = _fewer_questions(of, replace(of.evaluated, quantize="nf4"))
        if asked and (not of.phases or _fitting(of, asked.quantize)):
            return _training(of, asked.quantize), _evaluation(of, asked)
        asked = None
    return _training(of, of.evaluated.quantize), _evaluation(of, asked)


def may_quantize(run: Run) -> bool:
    """Whether the weights may be held in 4 bits and are not yet: they are files, and only adapters are
    trained."""
    model = run.params["model"]
    adapted = all(phase["lora_r"] for phase in run.params["phases"])
    return model["source"] != "scratch" and model["quantize"] == "none" and adapted


def _own(phase: Phase, setting: Setting) -> Setting:
    """A setting in a phase whose steps may have fewer rows than a pass could take."""
    return replace(setting, micro_batch=min(setting.micro_batch, phase.written.micro_batch))


# --- evaluation --------------------------------------------------------------------------------------------


def _fewer_questions(of: Stages, setting: Setting) -> Setting | None:
    """The setting with as many questions of a pass as fit; None if not even one does."""
    while evaluating(of.asked, setting)["total"] > of.card * 1e9:
        if setting.micro_batch == 1:
            return None
        setting = replace(setting, micro_batch=setting.micro_batch // 2)
    return setting


def _evaluation(of: Stages, setting: Setting | None) -> str:
    if setting is None:
        return "the model itself does not fit; take a larger card or a smaller model"
    fewer = f"evaluate: {{batch: {setting.micro_batch}}}"
    batch = [fewer] if setting.micro_batch < of.evaluated.micro_batch else []
    if setting.quantize != of.evaluated.quantize:
        told = ", ".join(["model: {quantize: nf4}", *batch])
        return f"the model itself does not fit; write {told}, or take a larger card"
    return f"write {fewer}" if batch else ""


# --- training ----------------------------------------------------------------------------------------------


def _training(of: Stages, quantize: str) -> str:
    """The first change in order of its price after which all phases fit, as it would be written."""
    if not of.phases:
        return ""
    if setting := _fitting(of, quantize):
        told = _as_yaml(of, setting)
        return f"write {told}" if told else ""
    none = f"no number of GPUs of {of.card:.3g} GB is enough"
    if quantize != "none" or of.asked.cpu:  # which cannot be sharded; all processes share one memory
        none = f"no setting fits into {of.card:.3g} GB" if of.asked.cpu else none
        return f"{none}; take a larger card, a smaller model, or shorten train.max_length"
    processes = of.written.processes
    while (processes := 2 * processes) <= MOST_PROCESSES:
        setting = replace(of.written, processes=processes, zero="3", micro_batch=1, checkpointing=True)
        if of.trains(setting):
            told = f"{_as_yaml(of, setting)}{_more_rows(of, processes)}"
            return f"it needs {processes} GPUs of {of.card:g} GB: {told}"
    return f"{none}; shorten train.max_length or take an adapter (lora_r)"


def _fitting(of: Stages, quantize: str) -> Setting | None:
    """The cheapest setting with weights of this kind in which all phases fit; None if there is none."""
    start = of.written
    if quantize != start.quantize:
        sharded = {"zero": "none", "offload": False} if start.zero == "3" else {}
        start = replace(start, quantize=quantize, **sharded)
    return next(filter(of.trains, (start, *_cheaper(of, start))), None)


def _cheaper(of: Stages, start: Setting) -> Iterator[Setting]:
    """Settings of falling need, each with what the ones before it changed: smaller passes cost nothing,
    checkpointing costs time, ZeRO exchange, and 4 bits change the result."""
    setting = start
    rows = {
        (rows_of_a_step(phase.params) // start.processes, phase.written.micro_batch) for phase in of.phases
    }
    for fewer in range(start.micro_batch - 1, 0, -1):
        if all(count % min(fewer, most) == 0 for count, most in rows):
            yield (setting := replace(setting, micro_batch=fewer))
    yield (setting := replace(setting, checkpointing=True))
    whole = start.quantize == "none"
    if setting.processes > 1:
        for zero in ("2", "3") if whole else ("2",):
            yield replace(setting, zero=zero)
        if whole:
            yield replace(setting, zero="3", offload=True)
    if whole and may_quantize(of.run):
        yield replace(setting, zero="none", offload=False, quantize="nf4")


def _more_rows(of: Stages, processes: int) -> str:
    """The rows of a step that divide over so many processes, where those that are written do not."""
    uneven = [phase.params["batch"] for phase in of.phases if rows_of_a_step(phase.params) % processes]
    return f", train: {{batch: {-(-max(uneven) // processes) * processes}}}" if uneven else ""


def _as_yaml(of: Stages, setting: Setting) -> str:
    """What differs from what is written, as a study's file would say it, with what has to change beside it;
    empty if nothing does."""
    machine, before, given = _machine(setting), _machine(of.written), of.run.params["machine"]
    differing = {name: value for name, value in machine.items() if value != before[name]}
    if given["fsdp"] and {"zero", "offload"} & set(differing):
        differing = {"fsdp": "false", "zero": machine["zero"]} | differing
    if given["launcher"] == "python" and "processes" in differing:
        differing = {"launcher": "deepspeed"} | differing
    told = ", ".join(f"{name}: {value}" for name, value in differing.items())
    sections = [f"machine: {{{told}}}"] if told else []
    if setting.quantize != of.written.quantize:
        sections.append("model: {quantize: nf4}")
    probes, keeps = (of.run.params["dynamics"][name] for name in ("probes", "snapshots"))
    if setting.zero == "3" and probes and not keeps:  # under it no process has the whole model to probe
        adapted = all(phase.params["lora_r"] for phase in of.phases)
        sections.append(f"dynamics: {{{'snapshots: true' if adapted else 'probes: 0'}}}")
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
