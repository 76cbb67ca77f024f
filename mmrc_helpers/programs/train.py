"""Train one phase: `deepspeed --module mmrc_helpers.programs.train FOLDER`, where FOLDER holds recipe.json.

TRL's SFTTrainer does the training. What is ours is the order of the rows, the loss mask and, while the vision
part is frozen, features in place of pixels.
"""

import math
import os
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import deepspeed
import torch
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from transformers import TrainerCallback, set_seed
from trl import SFTConfig, SFTTrainer

from mmrc_helpers.dynamics.prober import merge
from mmrc_helpers.dynamics.watch import Watch
from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import worker
from mmrc_helpers.models import load
from mmrc_helpers.models.encode import Encoder, Pictures, Tokens
from mmrc_helpers.models.scratch import scratch_model, scratch_processor
from mmrc_helpers.store import files, folders
from mmrc_helpers.study.runs import micro_batch
from mmrc_helpers.tasks.records import Row, exposure, read_examples, training_rows
from mmrc_helpers.training import checkpoints
from mmrc_helpers.training.optimizers import make_optimizer, rate_at
from mmrc_helpers.worlds.people import cast as world


def main(folder: Path) -> dict:
    """Train the phase that the folder's recipe describes and write its adapter (or model) into the folder,
    and with a dynamics section what probes or snapshots saw on the way. Returns the seconds they took."""
    recipe = folders.read_recipe(folder)
    train, machine, seed = recipe["params"]["train"], recipe["machine"], recipe["seed"]
    data = folders.input_folder(folder, "data")
    device = load.device_of(machine)
    load.check_precision(train, device)
    set_seed(seed)  # the trainer's own seeding comes after the adapter's first weights
    if worker.world_size() == 1 and not machine["deepspeed"]:
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            os.environ.pop(name, None)  # else a launcher's single process is wrapped for exchange with none
    examples = [e for e in read_examples(data / "examples.jsonl") if e.split == "train"]
    processor = start_processor(folder, recipe)
    rows = training_rows(examples, train, seed, answer_cost(processor))
    train = {**train, "steps": len(rows) // train["batch"]}
    # ZeRO-3 takes effect with the arguments: what is loaded comes in shards, what is made here is made whole.
    model = start_model(folder, recipe, processor) if _is_new(recipe) else None
    arguments = training_arguments(folder, train, machine, seed)
    model = model or start_model(folder, recipe, processor)
    load.choose_attention(model, device)
    names = sorted({name for row in rows if not row.twin for e in row.examples for name in e.images})
    people = files.read_json(data / "people.json")
    encoder = Encoder(
        processor, Pictures(data / "images", names, processor), {p["group"]: p["description"] for p in people}
    )
    different = list(dict.fromkeys(rows))
    chats = [encoder.chat(row.examples, twin=row.twin) for row in different]
    tokens_of = dict(zip(different, encoder.tokens(chats), strict=True))
    tokens = [tokens_of[row] for row in rows]
    check_lengths(tokens, train["max_length"])
    if worker.rank() == 0:
        files.write_json(
            folder / "exposure.json", exposure(rows, [int(t.supervised_T.sum()) for t in tokens])
        )
        files.write_json(folder / "batch.json", sample_batch(rows, tokens, processor))
    if train["freeze_vision"]:
        vision = load.vision_part(model)
        vision.requires_grad_(False)
        if machine["zero"] != "3":  # whose shards only come together inside a training step
            encoder.pictures.freeze(load.base_model(model).to(device), device)
    ordered = by_length_in_batches(tokens, train["batch"])
    watch = Watch(folder, recipe, model, processor, rows, tokens)
    trainer = PhaseTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"row": range(len(tokens))}),
        data_collator=lambda batch: encoder.batch([ordered[item["row"]] for item in batch]),
        processing_class=processor.tokenizer,
        callbacks=[Metrics(folder, rows, tokens, train["batch"]), watch],
        phase=train,
        layout=checkpoints.layout_of(machine, worker.world_size()),
        keep=machine["keep_checkpoints"],
    )
    trainer.train(resume_from_checkpoint=start_again(trainer, folder))
    trainer.accelerator.wait_for_everyone()
    saved = folder / ("adapter" if train["lora_r"] else "model")
    trainer.save_model(str(saved))
    if worker.rank() == 0:
        (saved / "training_args.bin").unlink()  # a pickle; recipe.json says the same
        if not train["lora_r"]:
            processor.save_pretrained(folder / "model")
        if watch.prober:
            merge(folder)
    return {"probe_seconds": round(watch.seconds, 2)} if watch.points else {}


def start_again(trainer: "PhaseTrainer", folder: Path) -> str | None:
    """The checkpoint that all processes go on from, as rank 0 finds it; None without one."""
    found = [None]
    if worker.rank() == 0:
        whole = checkpoints.newest_whole(folder / "checkpoints", trainer.layout, worker.warn)
        found = [str(whole) if whole else None]
    return broadcast_object_list(found)[0]


def start_processor(folder: Path, recipe: Mapping):
    """The processor of the model that a phase starts from; a new one for a new model."""
    if not _is_new(recipe):
        return load.load_processor(load.starting_point(folder, recipe)[0], recipe["params"]["model"])
    made = folders.read_recipe(folders.input_folder(folder, "data"))
    sentences = world.sentences(world.cast(made["params"]["data"], made["seed"]), made["params"]["data"])
    return scratch_processor(recipe["params"]["model"]["scratch"], sentences)


def start_model(folder: Path, recipe: Mapping, processor):
    """The model that a phase starts from, with a trainable adapter when the phase wants one."""
    model_params, train = recipe["params"]["model"], recipe["params"]["train"]
    if _is_new(recipe):
        data = folders.read_recipe(folders.input_folder(folder, "data"))["params"]["data"]
        model = scratch_model(model_params["scratch"], processor, data["image_size"], recipe["seed"])
    else:
        weights, adapter = load.starting_point(folder, recipe)
        model = load.load_model(weights, model_params, adapter, trainable=True)
        if adapter is not None:
            return model
    return load.add_lora(model, train) if train["lora_r"] else model


def _is_new(recipe: Mapping) -> bool:
    """Whether the phase is the first of a model that is made here."""
    return recipe["params"]["model"]["source"] == "scratch" and "model" not in recipe["inputs"]


def answer_cost(processor) -> Callable[[str], int]:
    """Counts the supervised tokens of an answer: its own and the end of the turn."""
    return cache(lambda answer: len(processor.tokenizer.encode(answer, add_special_tokens=False)) + 1)


def check_lengths(tokens: list[Tokens], limit: int) -> None:
    """UserError when a row is longer than `train.max_length`: cutting it would cut pictures or answers."""
    longest = max(map(_length, tokens))
    if longest > limit:
        raise UserError(
            f"train.max_length: the longest row has {longest} tokens, the limit is {limit}; "
            "raise it or lower train.turns"
        )


def by_length_in_batches(tokens: list[Tokens], batch: int) -> list[Tokens]:
    """The rows of every global batch from short to long, so that its micro-batches hold little padding; the
    batch's gradient is the same."""
    starts = range(0, len(tokens), batch)
    return [row for first in starts for row in sorted(tokens[first : first + batch], key=_length)]


def _length(row: Tokens) -> int:
    return len(row.ids_T)


def sample_batch(rows: list[Row], tokens: list[Tokens], processor, count: int = 4) -> list[dict]:
    """The first rows as the trainer sees them: token texts, which carry loss, and their pictures."""
    decode = processor.tokenizer.decode
    return [
        {
            "tokens": [decode([token]) for token in row_tokens.ids_T.tolist()],
            "mask": row_tokens.supervised_T.astype(int).tolist(),
            "images": list(row_tokens.pictures),
            "replayed": row.replayed,
        }
        for row, row_tokens in zip(rows[:count], tokens[:count], strict=True)
    ]


def training_arguments(folder: Path, train: Mapping, machine: Mapping, seed: int) -> SFTConfig:
    """Trainer settings; gradient accumulation follows from the global batch, an uneven division is a
    UserError."""
    processes = worker.world_size()
    micro = micro_batch(train["batch"], processes, machine["micro_batch"])
    arguments = SFTConfig(
        output_dir=str(folder / "checkpoints"),
        max_steps=train["steps"],
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=train["batch"] // (processes * micro),
        max_grad_norm=train["max_grad_norm"],
        bf16=train["precision"] == "bf16",
        fp16=train["precision"] == "fp16",
        use_cpu=not torch.cuda.is_available() or machine["accelerator"] == "cpu",
        gradient_checkpointing=machine["gradient_checkpointing"],
        deepspeed=machine["deepspeed"] or None,
        logging_steps=machine["log_steps"],
        save_steps=machine["save_steps"],
        seed=seed,
        train_sampling_strategy="sequential",  # the rows already lie in training order
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
    )
    if machine["deepspeed"]:
        # ZeRO-3 wants to know the processes when it loads a model, before the trainer introduces them.
        deepspeed.init_distributed("gloo" if arguments.use_cpu else "nccl")
    return arguments


class PhaseTrainer(SFTTrainer):
    """TRL's trainer with the phase's optimizer and rate schedule, and with checkpoints that are sealed."""

    def __init__(self, *args, phase: Mapping, layout: Mapping, keep: int, **kwargs):
        self.phase, self.layout, self.keep = phase, layout, keep
        super().__init__(*args, **kwargs)

    def _save_checkpoint(self, model, trial):
        folder, step = Path(self.args.output_dir), self.state.global_step
        if worker.rank() == 0:  # what an earlier attempt left of it must not mix with the new
            shutil.rmtree(folder / f"checkpoint-{step}", ignore_errors=True)
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # every process has written its part
        if worker.rank() == 0:
            checkpoints.seal(folder / f"checkpoint-{step}", self.layout)
            checkpoints.keep_newest(folder, step, self.keep)

    def create_optimizer(self, model=None):
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.model, self.phase)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        if self.lr_scheduler is None:
            share = lambda step: rate_at(step, self.phase)  # noqa: E731  (LambdaLR wants a callable)
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, share)
        return self.lr_scheduler


class Metrics(TrainerCallback):
    """Writes metrics.jsonl and the progress line from what the trainer logs."""

    def __init__(self, folder: Path, rows: list[Row], tokens: list[Tokens], batch: int):
        self.path, self.batch = folder / "metrics.jsonl", batch
        self.lengths = torch.tensor([[len(t.ids_T), int(t.supervised_T.sum())] for t in tokens]).cumsum(0)

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:  # the steps since the checkpoint are done, and logged, again
            rows = files.resume_jsonl(self.path)
            files.write_jsonl(self.path, [row for row in rows if row["step"] <= state.global_step])

    def on_step_end(self, args, state, control, **kwargs):
        worker.progress(state.global_step, state.max_steps)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and "loss" in logs and math.isfinite(logs["loss"]):
            seen, supervised = self.lengths[
                min(state.global_step * self.batch, len(self.lengths)) - 1
            ].tolist()
            row = {
                "step": state.global_step,
                "loss": logs["loss"],
                "token_accuracy": logs.get("mean_token_accuracy"),
                "entropy": logs.get("entropy"),
                "learning_rate": logs["learning_rate"],
                "grad_norm": logs.get("grad_norm"),
                "tokens": seen,
                "supervised_tokens": supervised,
            }
            files.append_jsonl(self.path, [row])
            worker.progress(state.global_step, state.max_steps, loss=logs["loss"])


if __name__ == "__main__":
    worker.run_main(main)
