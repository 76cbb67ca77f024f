"""Train one phase: `deepspeed --module mmrc_helpers.programs.train FOLDER`; FOLDER holds recipe.json."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from transformers import set_seed

from mmrc_helpers.dynamics.prober import merge
from mmrc_helpers.dynamics.watch import Watch
from mmrc_helpers.execution import worker
from mmrc_helpers.models import load, start
from mmrc_helpers.models.encode import Encoder, Tokens
from mmrc_helpers.models.features import open_pictures, place_of
from mmrc_helpers.store import cards, files, folders
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.tasks.example import answer_of, pictures_of
from mmrc_helpers.tasks.rows import Row, Task, chats_of, exposure, taken
from mmrc_helpers.training import METHODS
from mmrc_helpers.training.phase import (
    Metrics,
    Phase,
    Rescue,
    arguments_of,
    begin_exchange,
    check_lengths,
    check_shards,
    start_again,
    whole,
)
from mmrc_helpers.worlds import Data, World
from mmrc_helpers.worlds.folder import read_data, sentences_of, world_of


def main(folder: Path) -> dict:
    """Train the phase that the folder's recipe describes and write its adapter (or model) into the folder,
    and with a dynamics section what probes or snapshots saw on the way. Returns the seconds they took."""
    recipe = folders.read_recipe(folder)
    train, machine, seed = recipe["params"]["train"], recipe["machine"], recipe["seed"]
    device = load.device_of(machine)
    load.check_precision(train, device)
    set_seed(seed)  # the trainer's own seeding comes after the adapter's first weights
    source = folders.input_folder(folder, "data")
    world = world_of(source)
    processor = start.processor_of(folder, recipe, sentences_of)
    rows = rows_of(world, read_data(source, "train"), train, seed, processor)  # only these stay in memory
    train = {**train, "steps": len(rows) // train["batch"]}
    # ZeRO-3 begins with the exchange: what is loaded comes in shards, what is made here is made whole.
    model = start_model(folder, recipe, processor) if start.is_new(recipe) else None
    arguments = arguments_of(folder, train, machine, seed)
    held = begin_exchange(machine, arguments)  # noqa: F841  (while it lives)
    model = model or start_model(folder, recipe, processor)
    load.choose_attention(model, device)
    if "learns" in train:
        load.train_only(model, train["learns"])
    shards = Shards(source, recipe["params"]["model"].get("max_image_size", 0))
    encoder = Encoder(processor, pictures_for(rows, shards, processor, model, train, machine, device))
    tokens = tokens_of(rows, encoder)
    check_lengths(tokens, train["max_length"])
    check_shards(tokens, encoder, machine)
    if worker.rank() == 0:
        write_samples(folder, rows, tokens, processor, world)
    watch = Watch(folder, recipe, model, processor, rows, tokens)
    callbacks = [Metrics(folder, tokens, train["batch"]), Rescue(folder), watch]
    settings = (folder, train, machine, seed, callbacks, arguments)
    phase = Phase(*settings, model, processor, encoder, rows, tokens, world.grade)
    trainer = METHODS[train["method"]["name"]].trainer(phase)
    trainer.train(resume_from_checkpoint=start_again(trainer, folder))
    trainer.accelerator.wait_for_everyone()
    save(trainer, folder, train, processor)
    if worker.rank() == 0:
        cards.write_model_card(folder, recipe)
        if watch.prober:
            merge(folder)
    return {"probe_seconds": round(watch.seconds, 2)} if watch.points else {}


def rows_of(world: World, data: Data, train: Mapping, seed: int, processor) -> list[Row]:
    """The phase's rows in training order."""
    kind = METHODS[train["method"]["name"]].rows
    if kind in ("chats", "tasks"):
        stream = world.teach(data, train["teach"], seed)
    else:
        stream = world.pairs(data, train["teach"], seed, kind.removesuffix("s"))
    if kind == "tasks":
        stream = (Task(chat.turns[:-1], chat.examples[-1], chat.replayed) for chat in stream)
    return taken(stream, train["batch"], train["steps"], train["taught_tokens"], answer_cost(processor))


def answer_cost(processor) -> Callable[[Row], int]:
    """Counts the supervised tokens of a row: its answers' own and the ends of their turns."""
    encode = getattr(processor, "tokenizer", processor).encode

    @cache
    def cost(answer: str) -> int:
        return len(encode(answer, add_special_tokens=False)) + 1

    return lambda row: sum(cost(answer_of(e)) for chat in chats_of(row) for e in chat.examples)


def pictures_for(rows, shards: Shards, processor, model, train: Mapping, machine: Mapping, device):
    """The pictures of all rows: as features while the vision part is frozen, else as pixels."""
    names = sorted({name for row in rows for chat in chats_of(row) for name in pictures_of(chat.turns)})
    if not train["freeze_vision"]:
        return open_pictures(shards, names, processor)
    vision = load.vision_part(model).requires_grad_(False)
    with whole(vision):
        seeing = load.base_model(model)
        return open_pictures(shards, names, processor, seeing, device, *place_of(machine))


def tokens_of(rows: list[Row], encoder: Encoder) -> list[tuple[Tokens, ...]]:
    """The tokens of every conversation of every row; equal conversations are read once."""
    chats = [tuple(chat.turns for chat in chats_of(row)) for row in rows]
    complete = not isinstance(rows[0], Task)
    different = list(dict.fromkeys(turns for row in chats for turns in row))
    known = dict(zip(different, encoder.tokens(different, complete), strict=True))
    return [tuple(known[turns] for turns in row) for row in chats]


def write_samples(
    folder: Path, rows: list[Row], tokens: list, processor, world: World, count: int = 4
) -> None:
    """What the phase shows (exposure.json) and its first rows as the trainer sees them (batch.json): token
    texts, which carry loss, and their pictures."""
    decode = getattr(processor, "tokenizer", processor).decode
    shown = [
        {
            "tokens": [decode([token]) for token in row.ids_T.tolist()],
            "mask": row.supervised_T.astype(int).tolist(),
            "images": list(row.pictures),
            **({"side": ("chosen", "rejected")[place]} if len(of_row) == 2 else {}),
        }
        for of_row in tokens[:count]
        for place, row in enumerate(of_row)
    ]
    files.write_json(folder / "batch.json", shown)
    supervised = [sum(int(t.supervised_T.sum()) for t in row) for row in tokens]
    facets = [name for name in world.facets if name in world.cells or name == "topic"]
    files.write_json(folder / "exposure.json", exposure(rows, supervised, facets))


def save(trainer, folder: Path, train: Mapping, processor) -> None:
    """Writes the adapter, or the whole model with its processor."""
    saved = folder / ("adapter" if train["lora_r"] else "model")
    trainer.save_model(str(saved))
    if worker.rank() == 0:
        (saved / "training_args.bin").unlink()  # a pickle; recipe.json says the same
        if not train["lora_r"]:
            processor.save_pretrained(folder / "model")


def start_model(folder: Path, recipe: Mapping, processor):
    """The model that a phase starts from, with a trainable adapter when the phase wants one."""
    model_params, train = recipe["params"]["model"], recipe["params"]["train"]
    if start.is_new(recipe):
        model = start.new_model(folder, recipe, processor)
    else:
        weights, adapter = load.starting_point(folder, recipe)
        quick = recipe["machine"]["linear_patches"]
        model = load.load_model(weights, model_params, adapter, True, quick)
        if adapter is not None:
            return model
    return load.add_lora(model, train) if train["lora_r"] else model


if __name__ == "__main__":
    worker.run_main(main)
