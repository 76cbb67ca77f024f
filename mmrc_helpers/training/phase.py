"""What every method has in common: a phase's settings for a stock trainer, its optimizer and rates, sealed
checkpoints, and the metrics it leaves."""

import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import deepspeed
import torch
import trl.trainer.utils
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin, broadcast_object_list, imports
from transformers import TrainerCallback, TrainingArguments

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import worker
from mmrc_helpers.execution.machine import PROJECT, micro_batch, shards_weights
from mmrc_helpers.models.encode import Encoder, Tokens
from mmrc_helpers.models.features import Frozen
from mmrc_helpers.store import files
from mmrc_helpers.tasks.rows import Row
from mmrc_helpers.training import checkpoints, rows_of_a_step
from mmrc_helpers.training.optimizers import make_optimizer, rate_at

# On devices without Triton TRL's head scores every place of a row, lest a compiler there sees a new shape in
# every batch. Nothing is compiled here, so that only places with a label need be scored.
trl.trainer.utils._use_triton = lambda device: True
# Accelerate reads a package's metadata each time it asks whether it is there: several times in every step.
imports._is_package_available = cache(imports._is_package_available)
# Nor does DeepSpeed compile an exchange of its own on CPUs, for a minute and by a compiler: gloo is there.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


@dataclass(frozen=True)
class Phase:
    """Everything that a method's trainer is made from.

    train: the phase's section, with `steps` counted out. rows and their tokens: in training order, one entry
    of `tokens` for each conversation of a row (two for pairs). grade: (example, text) → worlds.Grade.
    """

    folder: Path
    train: Mapping
    machine: Mapping
    seed: int
    callbacks: Sequence[TrainerCallback]
    arguments: Mapping
    model: torch.nn.Module
    processor: object
    encoder: Encoder
    rows: Sequence[Row]
    tokens: Sequence[tuple[Tokens, ...]]
    grade: Callable

    @property
    def method(self) -> Mapping:
        """The method's own parameters."""
        return self.train["method"]


def arguments_of(folder: Path, train: Mapping, machine: Mapping, seed: int) -> dict:
    """Settings that every trainer of transformers understands; gradient accumulation follows from the global
    batch, an uneven division is a UserError."""
    processes, rows = worker.world_size(), rows_of_a_step(train)
    micro = micro_batch(rows, processes, machine["micro_batch"])
    use_cpu = not torch.cuda.is_available() or machine["accelerator"] == "cpu"
    return {
        "output_dir": str(folder / "checkpoints"),
        "max_steps": train["steps"],
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": rows // (processes * micro),
        "max_grad_norm": train["max_grad_norm"],
        "bf16": train["precision"] == "bf16",
        "fp16": train["precision"] == "fp16",
        "use_cpu": use_cpu,
        "gradient_checkpointing": machine["gradient_checkpointing"],
        "deepspeed": machine["deepspeed"] or None,
        **({"fsdp": True, "fsdp_config": {"state_dict_type": "FULL_STATE_DICT"}} if machine["fsdp"] else {}),
        "logging_steps": min(machine["log_steps"], train["steps"]),
        "save_steps": machine["save_steps"],
        "seed": seed,
        "train_sampling_strategy": "sequential",  # the rows already lie in training order
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "report_to": machine["tracker"],
        "run_name": folder.name.removesuffix(".part"),
        "project": PROJECT,
        "trackio_static_space_id": False,  # nor does trackio publish anything
        "disable_tqdm": True,
    }


def begin_exchange(machine: Mapping, arguments: Mapping) -> TrainingArguments:
    """Introduces the processes to each other before the trainer does: ZeRO-3 wants to know them when it loads
    a model, and does so in shards as long as what is returned here is kept. A single process without
    DeepSpeed must not look like one of many, or it is wrapped for exchange with none."""
    if machine["deepspeed"]:
        deepspeed.init_distributed("gloo" if arguments["use_cpu"] else "nccl")
    elif worker.world_size() == 1:
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            os.environ.pop(name, None)
    return TrainingArguments(**arguments)


def whole(part: torch.nn.Module):
    """While it is entered, every process has all weights of a part whose shards ZeRO-3 spreads over them."""
    return deepspeed.zero.GatheredParameters(list(part.parameters()))


def check_shards(tokens: Sequence[tuple[Tokens, ...]], encoder: Encoder, machine: Mapping) -> None:
    """UserError for rows with and without pictures while a vision part is sharded that runs in training:
    processes whose pass shows no picture would never join those that gather it."""
    seeing = {any(t.pictures for t in row) for row in tokens}
    sharded = shards_weights(machine)
    if sharded and len(seeing) > 1 and not isinstance(encoder.pictures, Frozen):
        raise UserError(
            f"{sharded} shards the vision part, which rows without pictures never run, so that "
            "processes would wait for each other for ever; write zero: 2, keep features "
            "(train.freeze_vision: true, a larger machine.features_gb), or teach only rows with pictures"
        )


def check_lengths(tokens: Sequence[tuple[Tokens, ...]], limit: int) -> None:
    """UserError when a row is longer than `train.max_length`: cutting it would cut pictures or answers."""
    longest, number = max((length(row), number) for number, row in enumerate(tokens, 1))
    if longest > limit:
        pictures = max(len(t.pictures) for t in tokens[number - 1])
        raise UserError(
            f"train.max_length: row {number}, the longest, has {longest} tokens with {pictures} pictures, "
            f"the limit is {limit}; raise it to {longest}, ask less per row or shrink the pictures"
        )


def by_length_in_batches(phase: Phase, tokens: Sequence, of: Callable) -> list:
    """The rows of every global batch from short to long, so that its micro-batches hold little padding; the
    batch's gradient is the same. As they are if `machine.by_length` is off."""
    batch = phase.train["batch"]
    starts = range(0, len(tokens), batch)
    if not phase.machine["by_length"]:
        return list(tokens)
    return [row for first in starts for row in sorted(tokens[first : first + batch], key=of)]


def length(row: tuple[Tokens, ...]) -> int:
    """Tokens of a row's longest conversation."""
    return max(len(tokens.ids_T) for tokens in row)


class Ours:
    """Mixed into a stock trainer: the phase's optimizer and rates, and checkpoints that are sealed."""

    phase: Phase

    @property
    def layout(self) -> dict:
        return checkpoints.layout_of(self.phase.machine, worker.world_size())

    def create_accelerator_and_postprocess(self):
        """The trainer's accelerator. Accelerate (1.15) shards by FSDP on GPUs alone; torch does on CPUs, too,
        once the state that all accelerators share says so."""
        if self.args.fsdp and self.args.use_cpu:
            plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
            if self.args.bf16:
                plugin.set_mixed_precision("bf16")
            state = Accelerator(cpu=True, mixed_precision="bf16" if self.args.bf16 else "no").state
            PartialState._shared_state["distributed_type"] = state.distributed_type = DistributedType.FSDP
            state.fsdp_plugin = plugin
        super().create_accelerator_and_postprocess()

    def _save_checkpoint(self, model, trial):
        folder, step = Path(self.args.output_dir), self.state.global_step
        if worker.rank() == 0:  # what an earlier attempt left of it must not mix with the new
            shutil.rmtree(folder / f"checkpoint-{step}", ignore_errors=True)
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # every process has written its part
        if worker.rank() == 0:
            checkpoints.seal(folder / f"checkpoint-{step}", self.layout)
            checkpoints.keep_newest(folder, step, self.phase.machine["keep_checkpoints"])

    def create_model_card(self, *args, **kwargs):
        """None in checkpoints, where TRL writes one each time; what a phase ends in has ours."""

    def _save(self, output_dir=None, state_dict=None):
        """Writes the model without the copy of its adapter that a reference is."""
        if "ref" not in getattr(self.model, "peft_config", ()):
            return super()._save(output_dir, state_dict)
        self.model.save_pretrained = partial(self.model.save_pretrained, selected_adapters=["default"])
        super()._save(output_dir, state_dict)
        del self.model.save_pretrained

    def create_optimizer(self, model=None):
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.model, self.phase.train)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        if self.lr_scheduler is None:
            share = lambda step: rate_at(step, self.phase.train)  # noqa: E731  (LambdaLR wants a callable)
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, share)
        return self.lr_scheduler


def start_again(trainer: Ours, folder: Path) -> str | None:
    """The checkpoint that all processes go on from, as rank 0 finds it; None without one."""
    found = [None]
    if worker.rank() == 0:
        whole = checkpoints.newest_whole(folder / "checkpoints", trainer.layout, worker.warn)
        found = [str(whole) if whole else None]
    return broadcast_object_list(found)[0]


class Metrics(TrainerCallback):
    """Writes metrics.jsonl and the progress line from what the trainer logs: loss, rate, gradient norm, and
    what the method adds (rewards, margins, …); at the machine's intervals, also when resumed."""

    RENAMED = {"mean_token_accuracy": "token_accuracy"}
    LEFT_OUT = {"epoch", "num_tokens", "step_time", "total_flos"}

    def __init__(self, folder: Path, tokens: Sequence[tuple[Tokens, ...]], batch: int):
        self.path, self.batch = folder / "metrics.jsonl", batch
        counts = [
            [sum(len(t.ids_T) for t in row), sum(int(t.supervised_T.sum()) for t in row)] for row in tokens
        ]
        self.counts = torch.tensor(counts).cumsum(0)
        self.written = self.step = 0  # tokens of answers that the model wrote itself, up to which step

    def on_train_begin(self, args, state, control, **kwargs):
        # a checkpoint brings back the intervals that it was saved under; the machine's are meant
        state.save_steps, state.logging_steps = args.save_steps, args.logging_steps
        if state.is_world_process_zero:  # the steps since the checkpoint are done, and logged, again
            rows = [row for row in files.resume_jsonl(self.path) if row["step"] <= state.global_step]
            files.write_jsonl(self.path, rows)
            self.step = state.global_step
            self.written = rows[-1]["supervised_tokens"] if rows and not self.counts[-1, 1] else 0

    def on_step_end(self, args, state, control, **kwargs):
        worker.progress(state.global_step, state.max_steps)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and "loss" in logs and math.isfinite(logs["loss"]):
            seen, supervised = self.counts[min(state.global_step * self.batch, len(self.counts)) - 1].tolist()
            if length := logs.get("completions/mean_length"):
                rows = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
                self.written += round(length * rows * (state.global_step - self.step))
                self.step, supervised = state.global_step, self.written
            told = {
                self.RENAMED.get(k, k.replace("/", "_")): v for k, v in logs.items() if k not in self.LEFT_OUT
            }
            numbers = {k: v for k, v in told.items() if isinstance(v, int | float) and math.isfinite(v)}
            row = {"step": state.global_step, **numbers, "tokens": seen, "supervised_tokens": supervised}
            files.append_jsonl(self.path, [row])
            worker.progress(state.global_step, state.max_steps, loss=logs["loss"])


class Rescue(TrainerCallback):
    """A checkpoint when a cluster's job is told that its time is nearly up. Rank 0 hears of it and names the
    step at which all processes save: two ahead, since none can end that one without rank 0."""

    def __init__(self, folder: Path):
        self.step = folder / "checkpoints" / "save_at.json"

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:  # of an earlier job
            self.step.unlink(missing_ok=True)

    def on_step_end(self, args, state, control, **kwargs):
        if state.is_world_process_zero and worker.time_is_up() and not self.step.exists():
            files.make_folder(self.step.parent)
            files.write_json(self.step, state.global_step + 2)
        if self.step.exists() and files.read_json(self.step) == state.global_step:
            control.should_save = True

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero and (told := worker.time_is_up()):
            told.unlink(missing_ok=True)
