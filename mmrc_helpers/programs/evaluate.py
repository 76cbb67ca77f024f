"""Ask a model the test questions: `deepspeed --module mmrc_helpers.programs.evaluate FOLDER`, where FOLDER
holds recipe.json.

An answer is scored twice: by the log-probability of its options, averaged over option orders, and by strict
parsing of what the model generates. The questions are cut into chunks that depend on nothing but the
questions, and every process takes every k-th chunk, so one process and many give the same file.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mmrc_helpers.execution import worker
from mmrc_helpers.models import load, score
from mmrc_helpers.models.encode import Encoder, Pictures
from mmrc_helpers.store import files, folders
from mmrc_helpers.tasks.records import LETTERS, Example, answer_text, read_examples, rotate, two_way_groups
from mmrc_helpers.worlds.people import grade

CHUNK = 64  # questions between two writes; a fixed number, because batches decide the last digits
DIGITS = 4  # log-probabilities are rounded: the digits beyond depend on the machine


def main(folder: Path) -> None:
    """Write answers.jsonl: one row for every test question and drop; rows that exist are kept."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    recipe = folders.read_recipe(folder)
    data = folders.input_folder(folder, "data")
    device = load.device_of(recipe["machine"])
    if device.type == "cpu":
        # One process on one core: sums then run in the same order for any number of processes.
        torch.set_num_threads(1)
    people = {person["group"]: person for person in files.read_json(data / "people.json")}
    examples = read_examples(data / "examples.jsonl")
    if worker.world_size() > 1:
        torch.distributed.init_process_group("gloo")
    done = _answered(folder)
    asker = Asker(folder, recipe, people, device, _questions(examples, recipe["params"]["evaluate"], people))
    two_way = two_way_groups((e for e in examples if e.population == "novel"), recipe["params"]["two_way"])
    chunks = asker.chunks()
    # What is left is shared out anew, so that after a restart no process waits long for the others.
    left = [chunk for chunk in chunks if not done.issuperset((e.id, drop) for e, drop in chunk)]
    own = folder / f"answers-{worker.rank()}.jsonl"
    for number, chunk in enumerate(left):
        if number % worker.world_size() == worker.rank():
            rows = asker.ask(chunk)
            files.append_jsonl(own, [{**row, "two_way": row["group"] in two_way} for row in rows])
        worker.progress(len(chunks) - len(left) + number + 1, len(chunks))
    worker.wait_for_all()
    if worker.rank() == 0:
        _merge(folder, chunks)


def _answered(folder: Path) -> set[tuple[str, str]]:
    """Id and drop of what earlier attempts have answered. Rank 0 reads it for all, which also mends torn last
    lines: nobody writes before everybody has heard."""
    heard: list = [None]
    if worker.rank() == 0:
        paths = folder.glob("answers-*.jsonl")
        heard = [{(row["id"], row["drop"]) for path in paths for row in files.resume_jsonl(path)}]
    if worker.world_size() > 1:
        torch.distributed.broadcast_object_list(heard)
    return heard[0]


def _merge(folder: Path, chunks: Sequence) -> None:
    """All processes' rows in the order of the questions."""
    rows = {
        (row["id"], row["drop"]): row
        for path in folder.glob("answers-*.jsonl")
        for row in files.read_jsonl(path)
    }
    ordered = [rows[example.id, drop] for chunk in chunks for example, drop in chunk]
    files.write_jsonl(folder / "answers.jsonl", ordered)


def _questions(examples: Sequence[Example], evaluate: Mapping, people: Mapping) -> list[tuple[Example, str]]:
    """Test questions with their drop, in an order in which neighbours have alike prompts."""
    background = sorted(group for group, person in people.items() if person["population"] == "background")
    asked = set(background[: evaluate["background"]]) | {
        g for g, p in people.items() if p["population"] == "novel"
    }
    test = [e for e in examples if e.split == "test" and e.group in asked]
    pairs = [(example, "none") for example in test]
    for drop in evaluate["drops"]:
        pairs += [
            (e, drop) for e in test if e.population == "novel" and e.topic == "identity" and _loses(e, drop)
        ]
    return sorted(pairs, key=lambda p: (p[1], p[0].topic, p[0].cell, p[0].order, p[0].distractors, p[0].id))


def _loses(example: Example, drop: str) -> bool:
    """Whether the drop takes something away: a picture if there is one, and words that name somebody."""
    return bool(example.images) if drop == "image" else example.cell != "forward/free"


class Asker:
    """A loaded model with everything needed to ask it questions."""

    def __init__(self, folder: Path, recipe: Mapping, people: Mapping, device: torch.device, questions: list):
        params = recipe["params"]
        words = {word.strip(",") for person in people.values() for word in person["description"].split()}
        self.words = sorted(words)
        self.evaluate, self.twin, self.device, self.people = (
            params["evaluate"],
            params["text_twin"],
            device,
            people,
        )
        self.questions = questions
        weights, adapter = load.starting_point(folder, recipe)
        self.model = load.load_model(weights, params["model"], adapter).to(device).eval()
        load.choose_attention(self.model, device)
        self.processor = load.load_processor(weights, params["model"])
        descriptions = {group: person["description"] for group, person in people.items()}
        descriptions["noise"] = self.babble("word " * 12, random.Random("noise"))
        names = [] if self.twin else sorted({name for example, _ in questions for name in example.images})
        images = folders.input_folder(folder, "data") / "images"
        noise = {f"noise-{k}.png": _noise(k, images / names[0]) for k in range(16)} if names else {}
        self.encoder = Encoder(self.processor, Pictures(images, names, self.processor, noise), descriptions)
        self.encoder.pictures.freeze(load.base_model(self.model), device)

    def chunks(self) -> list[list[tuple[Example, str]]]:
        """The questions in fixed pieces, whatever the number of processes."""
        return [self.questions[first : first + CHUNK] for first in range(0, len(self.questions), CHUNK)]

    def ask(self, chunk: Sequence[tuple[Example, str]]) -> list[dict]:
        """The answer rows of a chunk."""
        shown = [self.without(example, drop) for example, drop in chunk]
        scored, picks = self.option_logprobs(shown)
        texts = self.generate(shown)
        stored = self.storage([e if d == "none" and self.evaluate["storage"] else None for e, d in chunk])
        return [self.row(*item) for item in zip(chunk, shown, scored, picks, texts, stored, strict=True)]

    def without(self, example: Example, drop: str) -> Example:
        """The example after a drop: noise for its pictures, or random words for its question and its named
        options."""
        rng = random.Random(f"{example.id}/{drop}")
        if drop == "image":
            noise = {
                name: f"noise-{k}.png"
                for name, k in zip(example.images, rng.sample(range(16), 8), strict=False)
            }
            pictured = example.choices == example.images
            images = tuple(noise[name] for name in example.images)
            return replace(example, images=images, choices=images if pictured else example.choices)
        if drop == "text":
            named = example.cell == "forward/choice"
            choices = tuple(self.babble(c, rng) for c in example.choices) if named else example.choices
            return replace(example, question=self.babble(example.question, rng), choices=choices)
        return example

    def babble(self, text: str, rng: random.Random) -> str:
        """As many random words as the text has."""
        return " ".join(rng.choices(self.words, k=len(text.split())))

    def option_logprobs(self, examples: Sequence[Example]) -> tuple[list[np.ndarray], list[list[str]]]:
        """Log-probabilities of every example's options in canonical order, normalised over the options and
        averaged over option orders, and the option favoured in each order."""
        requests, owners = [], []
        for row, example in enumerate(examples):
            for shift in range(self.orders(example)):
                for option in _options(example):
                    requests.append((self.encoder.question(example, shift, self.twin), option))
                    owners.append((row, shift))
        logprobs = iter(self.continuations(requests))
        found = {}
        for row, _ in dict.fromkeys(owners):
            found.setdefault(row, []).append(_normalised([next(logprobs) for _ in _options(examples[row])]))
        return self._averaged(examples, found)

    def _averaged(
        self, examples: Sequence[Example], found: Mapping
    ) -> tuple[list[np.ndarray], list[list[str]]]:
        means, picks = [], []
        for row, example in enumerate(examples):
            shown = np.array(found[row])  # one line for every order, options as shown
            canonical = [rotate(list(line), -shift % len(line)) if example.format == "choice" else line
                         for shift, line in enumerate(shown)]  # fmt: skip
            means.append(np.log(np.exp(canonical).mean(0)))
            picks.append([_options(example)[k] for k in shown.argmax(1)] if example.format != "free" else [])
        return means, picks

    def orders(self, example: Example) -> int:
        """Over how many option orders an example is averaged."""
        return min(self.evaluate["orders"], len(example.choices)) if example.format == "choice" else 1

    def continuations(self, requests: Sequence[tuple[list[dict], str]]) -> list[float]:
        """log p(text | conversation) of each request, summed over its tokens without the end of the turn."""
        found = [0.0] * len(requests)
        batches = score.answer_batches(
            self.model, self.model.dtype, self.encoder, requests, self.evaluate["batch"], self.device
        )
        for numbers, logp_RDV, target_RD, real_RD in batches:
            logp_RD = score.of_targets(logp_RDV, target_RD) * real_RD
            for number, value in zip(numbers, logp_RD.sum(1).tolist(), strict=True):
                found[number] = value
        return found

    @torch.no_grad()
    def generate(self, examples: Sequence[Example]) -> list[str]:
        """Greedy answers, choices shown in their canonical order."""
        rows = self.encoder.tokens([self.encoder.question(e, 0, self.twin) for e in examples], complete=False)
        texts = []
        for first in range(0, len(rows), self.evaluate["batch"]):
            batch = score.to_device(
                self.encoder.batch(rows[first : first + self.evaluate["batch"]], left=True), self.device
            )
            del batch["labels"], batch["position_ids"]
            made_BT = self.model.generate(
                **batch, max_new_tokens=self.evaluate["max_new_tokens"], do_sample=False
            )
            answers = made_BT[:, batch["input_ids"].shape[1] :]
            texts += self.processor.tokenizer.batch_decode(answers, skip_special_tokens=True)
        return texts

    def storage(self, examples: Sequence[Example | None]) -> list[list[float] | None]:
        """For each line-up, log p(name | picture k) less its mean over the names in the line-up; None for
        other rows.

        The subtraction removes what a picture does to every name, so that the largest value says which
        picture the model binds to the name: knowledge that is stored, reachable or not.
        """
        requests = []
        for example in filter(_is_lineup, examples):
            requests += score.lineup_requests(
                self.encoder, example, self._naming_question, self.called, self.twin
            )
        logprobs = iter(self.continuations(requests) if requests else [])
        return [
            score.bindings([next(logprobs) for _ in range(len(e.images) ** 2)], e).tolist()
            if _is_lineup(e)
            else None
            for e in examples
        ]

    @property
    def _naming_question(self) -> str:
        return next(
            e.question for e, _ in self.questions if e.cell == "forward/free" and e.topic == "identity"
        )

    def called(self, group: str) -> str:
        """The name under which a person is asked for."""
        return self.people[group]["called"]

    def row(
        self, asked: tuple[Example, str], shown: Example, logprobs: np.ndarray, picks: list, text: str, stored
    ):
        """One line of answers.jsonl."""
        example, drop = asked
        target = answer_text(example)
        return {
            **{name: getattr(example, name) for name in (
                "id", "group", "population", "topic", "direction", "format", "order", "distractors", "images",
                "choices", "choice_groups", "gold", "question")},
            "drop": drop,
            "logprobs": np.round(logprobs, DIGITS).tolist(),
            "p_gold": round(float(np.exp(logprobs[example.gold])), DIGITS),
            "picks": picks,
            "orders": self.orders(example),
            "answer": target,
            "text": text,
            "parsed": grade.parse(shown, text),
            "correct_logprob": int(np.argmax(np.round(logprobs, DIGITS))) == example.gold,
            "correct_text": grade.is_right(example, text, target),
            "storage": np.round(stored, DIGITS).tolist() if stored is not None else None,
            "storage_correct": int(np.argmax(stored)) == example.gold if stored is not None else None,
        }  # fmt: skip


def _options(example: Example) -> list[str]:
    """The texts whose probabilities are compared: letters, verdicts, or whole answers."""
    if example.format == "choice":
        return list(LETTERS[: len(example.choices)])
    if example.format == "judge":
        return list(example.choices)
    if example.direction == "forward" and example.topic == "identity":
        return [f"This is {choice}." for choice in example.choices]
    return [f"{choice}." for choice in example.choices]


def _is_lineup(example: Example | None) -> bool:
    return example is not None and score.is_lineup(example)


def _normalised(logprobs: Sequence[float]) -> np.ndarray:
    values = np.array(logprobs)
    return values - np.logaddexp.reduce(values)


def _noise(number: int, like: Path) -> Image.Image:
    """An RGB picture of uniform noise, as large as the picture `like`."""
    with Image.open(like) as image:
        width, height = image.size
    values = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


if __name__ == "__main__":
    worker.run_main(main)
