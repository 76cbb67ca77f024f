"""Ask a model the test questions: `deepspeed --module mmrc_helpers.programs.evaluate FOLDER`, where FOLDER
holds recipe.json.

An answer is scored twice: by the log-probability of its options, averaged over option orders, and by the
world's grade of what the model writes. The questions are cut into chunks that depend on nothing but the
questions, and every process takes every k-th chunk, so one process and many give the same file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from mmrc_helpers.execution import worker
from mmrc_helpers.models import load, start
from mmrc_helpers.models.answer import Answerer, averaged
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.models.features import open_pictures, place_of
from mmrc_helpers.store import files, folders
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.tasks.example import Example, answer_of
from mmrc_helpers.tasks.orders import chosen
from mmrc_helpers.worlds import World
from mmrc_helpers.worlds.folder import read_data, sentences_of, world_of

CHUNK = 64  # questions between two writes; a fixed number, because batches decide the last digits
DIGITS = 4  # log-probabilities are rounded: the digits beyond depend on the machine


def main(folder: Path) -> None:
    """Write answers.jsonl: one row for every test question; rows that exist are kept. With `sample` in the
    recipe, only about so many questions are asked, in the batches in which all of them would be."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    recipe = folders.read_recipe(folder)
    params, source = recipe["params"], folders.input_folder(folder, "data")
    device = load.device_of(recipe["machine"])
    if device.type == "cpu":
        # One process on one core: sums then run in the same order for any number of processes.
        torch.set_num_threads(1)
    world = world_of(source)
    questions = world.ask(read_data(source, "test"), params["ask"], params["teach"])
    if worker.world_size() > 1:
        torch.distributed.init_process_group("gloo")
    done = _answered(folder)
    answerer = open_answerer(folder, recipe, source, questions, device)
    chunks = [questions[first : first + CHUNK] for first in range(0, len(questions), CHUNK)]
    if sample := recipe.get("sample", 0):
        chunks = chosen(chunks, -(-sample // CHUNK), lambda chunk: chunk[0].id)
    # What is left is shared out anew, so that after a restart no process waits long for the others.
    left = [chunk for chunk in chunks if not done.issuperset(e.id for e in chunk)]
    own = folder / f"answers-{worker.rank()}.jsonl"
    for number, chunk in enumerate(left):
        if number % worker.world_size() == worker.rank():
            files.append_jsonl(own, answer(chunk, answerer, world))
        worker.progress(len(chunks) - len(left) + number + 1, len(chunks))
    worker.wait_for_all()
    if worker.rank() == 0:
        _merge(folder, [example for chunk in chunks for example in chunk])


def open_answerer(
    folder: Path, recipe: Mapping, source: Path, questions: Sequence[Example], device
) -> Answerer:
    """The stage's model, ready to be asked."""
    params, evaluate = recipe["params"]["model"], recipe["params"]["evaluate"]
    processor = start.processor_of(folder, recipe, sentences_of)
    if start.is_new(recipe):
        model = start.new_model(folder, recipe, processor)
    else:
        weights, adapter = load.starting_point(folder, recipe)
        model = load.load_model(weights, params, adapter, linear_patches=recipe["machine"]["linear_patches"])
    model = model.to(device).eval()
    load.choose_attention(model, device)
    names = sorted({name for example in questions for name in example.pictures})
    frozen = load.base_model(model)
    shards = Shards(source, params.get("max_image_size", 0))
    pictures = open_pictures(shards, names, processor, frozen, device, *place_of(recipe["machine"]))
    orders, longest = evaluate["orders"], evaluate["max_new_tokens"]
    return Answerer(model, Encoder(processor, pictures), device, evaluate["batch"], orders, longest)


def answer(chunk: Sequence[Example], answerer: Answerer, world: World) -> list[dict]:
    """The rows of a chunk in answers.jsonl."""
    scored, picks, rights, said = answerer.scored(chunk)
    texts = {e.id: text for e, text in zip(chunk, said, strict=True) if answer_of(e)}
    open_ended = [e for e in chunk if texts.get(e.id, "") is None]  # the others are only compared
    written = answerer.written(open_ended) if open_ended else []
    texts |= dict(zip([e.id for e in open_ended], written, strict=True))
    columns = zip(chunk, scored, picks, rights, strict=True)
    return [row(e, *of, texts.get(e.id, ""), world) for e, *of in columns]


def row(example: Example, by_order: np.ndarray, picks: list, rights: list, text: str, world: World) -> dict:
    """One line of answers.jsonl. by_order: log-probabilities, (orders, options)."""
    grade = world.grade(example, text) if answer_of(example) else None
    logprobs = averaged(by_order)
    compared = len(logprobs) > 0
    rounded = np.round(logprobs, DIGITS)
    return {
        "id": example.id,
        "group": example.group,
        **example.facets,
        "options": example.options,
        "how": example.how,
        "gold": example.gold,
        "truth": example.truth,
        "pictures": example.pictures,
        "question": next((c for kind, c in reversed(example.prompt) if kind == "text"), ""),
        "logprobs": rounded.tolist(),
        "p_gold": round(float(np.exp(logprobs[example.gold])), DIGITS)
        if compared and example.gold >= 0
        else None,
        "order_logprobs": np.round(by_order, DIGITS).tolist() if len(by_order) > 1 else [],
        "picks": picks,
        "orders": len(rights),
        "all_orders": float(np.mean(rights)) if rights else None,
        "answer": answer_of(example),
        "text": text,
        "parsed": grade.answer if grade else "",
        "parts": dict(grade.parts) if grade else {},
        "correct_logprob": bool(np.argmax(rounded) == example.gold) if compared else None,
        "correct_text": grade.right if grade else None,
    }


def _answered(folder: Path) -> set[str]:
    """What earlier attempts have answered. Rank 0 reads it for all, which also mends torn last lines: nobody
    writes before everybody has heard."""
    heard: list = [None]
    if worker.rank() == 0:
        paths = folder.glob("answers-*.jsonl")
        heard = [{found["id"] for path in paths for found in files.resume_jsonl(path)}]
    if worker.world_size() > 1:
        torch.distributed.broadcast_object_list(heard)
    return heard[0]


def _merge(folder: Path, questions: Sequence[Example]) -> None:
    """All processes' rows in the order of the questions."""
    paths = folder.glob("answers-*.jsonl")
    rows = {found["id"]: found for path in paths for found in files.read_jsonl(path)}
    files.write_jsonl(folder / "answers.jsonl", [rows[example.id] for example in questions])


if __name__ == "__main__":
    worker.run_main(main)
