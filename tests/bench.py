"""`make bench`: what this machine does, measured; `python tests/bench.py [PART ...]`: only some parts of it.

Every figure is one line, `bench NAME VALUE UNIT peer PEER ratio R goal G`. PEER is what is usually done in
its place, measured here on the same work; of puzzles, what the published code took once on another machine.
R says how many times better ours is (faster; of MB, smaller). G is the least ratio to be reached, or where
there is no peer the most seconds. Compare numbers only within one run.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import bench_growth
import bench_methods
import numpy as np
import tiny
import torch
from bench_lines import line
from bench_methods import in_every_order

from mmrc_helpers.dynamics import adapters
from mmrc_helpers.dynamics.points import schedule
from mmrc_helpers.dynamics.prober import Prober
from mmrc_helpers.execution import launch
from mmrc_helpers.models import load, score, scratch
from mmrc_helpers.models.answer import Answerer
from mmrc_helpers.models.chat import form_of, render
from mmrc_helpers.models.encode import Encoder, Tokens
from mmrc_helpers.models.features import open_pictures
from mmrc_helpers.store import files, folders
from mmrc_helpers.store.keys import plain
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.study import stages
from mmrc_helpers.study.parameters import read_known
from mmrc_helpers.study.runs import PARAMS_FOLDER, find_run, load_study
from mmrc_helpers.tasks.example import Example, answer_of, candidates, conversation, pictures_of, question
from mmrc_helpers.tasks.rows import taken
from mmrc_helpers.training.optimizers import make_optimizer
from mmrc_helpers.worlds import WORLDS
from mmrc_helpers.worlds.drops import Noise
from mmrc_helpers.worlds.folder import read_data
from mmrc_helpers.worlds.reasoning import sample_rows

CPU = torch.device("cpu")
PUBLISHED = {
    "tables": 0.10,
    "grids": 0.11,
    "analogies": 0.26,
}  # seconds a picture on one core: the code of arXiv 2501.02669
NOTHING = (
    "from mmrc_helpers.execution import worker\n"
    "if __name__ == '__main__':\n    worker.run_main(lambda folder: None)\n"
)


def say(name: str, value: float, unit: str, peer: float | None = None, goal: float | None = None) -> None:
    """Prints one figure."""
    print(line(name, value, unit, peer, goal), flush=True)


def best(work: Callable, times: int = 3) -> float:
    """Seconds that `work` takes, the best of so many times."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


class Bed:
    """The embedded model and the data of the smoke study, made once for all parts, in a folder that goes."""

    def __init__(self, place: Path):
        os.environ["MMRC_ARTIFACTS"] = str(place)
        tiny.link_base(place)
        self.run = find_run(load_study("smoke"), "forward", 0)
        data = stages.data_stage(self.run)
        self.source = stages.make(data, self.run.params["machine"], tiny.quiet)
        self.world, self.shards = WORLDS["people"], Shards(self.source)
        self.train, self.test = (read_data(self.source, split) for split in ("train", "test"))
        self.weights = stages.base_stage(self.run).folder / "model"
        self.processor = load.load_processor(self.weights, self.run.params["model"])

    def model(self):
        """The embedded model, its vision part frozen."""
        model = load.load_model(self.weights, self.run.params["model"])
        load.vision_part(model).requires_grad_(False)
        return model

    def encoder(self, chats: Sequence, model=None, folder: Path | None = None) -> Encoder:
        """An encoder of these conversations: of pixels, or with a model of features once computed."""
        names = sorted({name for turns in chats for name in pictures_of(turns)})
        return Encoder(self.processor, open_pictures(self.shards, names, self.processor, model, CPU,
                                                     folder=folder))  # fmt: skip


def launchers(bed: Bed) -> None:
    """Seconds to start a module that does nothing and see it done."""
    machine = {**bed.run.params["machine"], "accelerator": "cpu"}
    for launcher, processes in (
        ("python", 1),
        ("torchrun", 1),
        ("deepspeed", 1),
        ("torchrun", 2),
        ("deepspeed", 2),
    ):
        chosen = {**machine, "launcher": launcher, "processes": processes}
        say(f"launch_{launcher}_{processes}", best(partial(_launch, chosen)), "s")


def _launch(machine: dict) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "idle").mkdir()
        (place / "idle" / "work.py").write_text(NOTHING)
        files.write_json(place / "recipe.json", {})
        own = {"PYTHONPATH": f"{place}{os.pathsep}{files.REPOSITORY}"}
        launch.run_module("idle.work", place, {**machine, "environment": own}, tiny.quiet)


def drawing(bed: Bed) -> None:
    """Seconds a picture: portraits, and the puzzles as large as their authors draw them."""
    made = bed.world.make(bed.run.params["world"]["facts"], 0)
    _draw("portrait", made)
    for name, published in PUBLISHED.items():
        study = f"data: {{world: {name}}}\nphases: []\nmodel: {{source: scratch}}\n"
        path = files.artifacts_root() / f"bench_{name}.yaml"
        path.write_text(study)
        facts = load_study(path).runs[0].params["world"]["facts"]
        _draw(f"picture_{name}", WORLDS[name].make(facts, 0), published, goal=20)


def _draw(name: str, made, peer: float | None = None, goal: float | None = None, count: int = 40) -> None:
    drawn = (one for key in made.pictures if not isinstance(one := made.pictures[key], Noise))
    wanted = list(islice(drawn, count))
    say(name, best(lambda: [made.draw(one) for one in wanted]) / count, "s", peer, goal)


def encoding(bed: Bed) -> None:
    """Conversations a second from words and picture files to a batch. The peer calls the processor on every
    batch, as collators do."""
    chats = [conversation([e]) for e in bed.train.examples if e.pictures][:256]
    parts = [chats[first : first + 32] for first in range(0, len(chats), 32)]
    form = form_of(bed.processor)

    def ours():
        encoder = bed.encoder(chats)
        for part in parts:
            encoder.batch(encoder.tokens(part))

    def stock():
        for part in parts:
            images = [[bed.shards.read(name) for name in pictures_of(turns)] for turns in part]
            texts = render(bed.processor.tokenizer, part, form, opened=False)
            bed.processor(text=texts, images=images, padding=True, return_tensors="pt")

    say("encode", len(chats) / best(ours), "rows/s", len(chats) / best(stock), goal=1)


def features(bed: Bed) -> None:
    """Pictures a second as a batch needs them: features read from disk, against the vision part run anew."""
    model = bed.model()
    chats = [conversation([e]) for e in bed.train.examples if len(e.pictures) == 1][:256]
    rows = [pictures_of(turns) for turns in chats]
    kept = bed.encoder(chats, model, files.artifacts_root() / "features").pictures
    pixels = bed.encoder(chats).pictures
    with torch.no_grad():
        anew = best(lambda: model.get_image_features(**pixels.inputs(rows), return_dict=True))
    say("features", len(rows) / best(lambda: kept.inputs(rows)), "pictures/s", len(rows) / anew, goal=10)


def scoring(bed: Bed) -> None:
    """Questions scored a second: a conversation read once for all its options, against one row an option."""
    model = bed.model().eval()
    load.choose_attention(model, CPU)
    ask = bed.run.params["evaluate"]["ask"]
    asked = [e for e in bed.world.ask(bed.test, ask, bed.run.params["untaught"]) if e.options][:128]
    encoder = bed.encoder([question(e) for e in asked], model)
    answerer = Answerer(model, encoder, CPU, batch=64, orders=1, max_new_tokens=1)
    requests = [request for e in asked for request in candidates(e)]
    ours, stock = best(lambda: answerer.scored(asked)), best(lambda: _rows(model, encoder, requests, 64))
    say("options", len(asked) / ours, "questions/s", len(asked) / stock, goal=2)


@torch.no_grad()
def _rows(model, encoder: Encoder, requests: Sequence[score.Request], batch: int) -> list[float]:
    """log p of every answer, each in a row of its own behind its conversation."""
    prompts = encoder.tokens([turns for turns, _ in requests], complete=False)
    found = []
    for first in range(0, len(requests), batch):
        part = prompts[first : first + batch]
        answers = [encoder.answer_ids(text) for _, text in requests[first : first + batch]]
        rows = []
        for prompt, answer in zip(part, answers, strict=True):
            ids = np.append(prompt.ids_T, answer)
            rows.append(Tokens(ids, np.zeros(len(ids), bool), prompt.pictures))
        inputs = encoder.batch(rows)
        del inputs["labels"]
        logp_BTV = model(**inputs).logits.float().log_softmax(-1)
        for b, (prompt, answer) in enumerate(zip(part, answers, strict=True)):
            before = len(prompt.ids_T) - 1
            found.append(logp_BTV[b, range(before, before + len(answer)), answer].sum().item())
    return found


def choosing(bed: Bed) -> None:
    """Lettered questions a second, each in every order of its options, with the features of their pictures:
    names for a picture, and pictures for a name. The peer generates every order by itself, from pixels."""
    model = bed.model().eval()
    load.choose_attention(model, CPU)
    evaluate = find_run(load_study("reversal"), "forward", 0).params["evaluate"]
    asked = list(bed.world.ask(bed.test, evaluate["ask"], bed.run.params["untaught"]))
    for name, how in (("choices", "words"), ("lineups", "pictures")):
        examples = [e for e in asked if e.how == how and e.lesson in ("portrait", "lineup")][:128]
        some = examples[:: max(1, len(examples) // 4)]
        ours = best(partial(_chosen, bed, model, examples, evaluate))
        looped = best(partial(_written_alone, bed, model, in_every_order(some, evaluate["orders"])))
        say(name, len(examples) / ours, "questions/s", len(some) / looped, goal=10)


def _chosen(bed: Bed, model, examples: Sequence[Example], evaluate: dict) -> None:
    encoder = bed.encoder([question(e) for e in examples], model)
    Answerer(model, encoder, CPU, evaluate["batch"], evaluate["orders"], 3).scored(examples)


def _written_alone(bed: Bed, model, examples: Sequence[Example]) -> None:
    Answerer(model, bed.encoder([question(e) for e in examples]), CPU, 1, 1, 3).written(examples)


def training(bed: Bed) -> None:
    """Tokens a second of a training step on line-ups. The peer is what a stock trainer does: pixels through
    the vision part in every step, PyTorch's fused attention."""
    model = bed.model()
    chats = [conversation([e]) for e in bed.train.examples if e.lesson == "lineup"][:32]
    stock = _steps(model, bed.encoder(chats), chats, "sdpa")
    frozen = bed.encoder(chats, model)
    load.choose_attention(model, CPU)
    chosen = model.config.get_text_config()._attn_implementation
    say("train_step", _steps(model, frozen, chats, chosen), "tokens/s", stock, goal=1.5)


def _steps(model, encoder: Encoder, chats: Sequence, attention: str) -> float:
    """Tokens a second of forward and backward passes in bf16."""
    model.set_attn_implementation(attention)
    rows = encoder.tokens(chats)

    def step():
        with torch.autocast("cpu", torch.bfloat16):
            model(**encoder.batch(rows)).loss.backward()
        model.zero_grad()

    return sum(len(row.ids_T) for row in rows) / best(step, 5)


def probing(bed: Bed) -> None:
    """Answers probed a second, against the loop that prior work runs: one question with one answer at a time,
    picture files read and encoded anew, every logit of the sequence made. And what probes add to a training
    of the reversal study, per cent of its time."""
    run = find_run(load_study("reversal"), "forward", 0)
    train, dynamics = plain(run.params["phases"][0]), run.params["dynamics"]
    model = bed.model()
    model = load.add_lora(model, train) if train["lora_r"] else model
    load.choose_attention(model, CPU)
    params = {"model": {}, "train": train, "ask": run.params["evaluate"]["ask"], "dynamics": dynamics}
    machine = {**run.params["machine"], "micro_batch": 32}
    prober = Prober(model, bed.processor, bed.source, params, CPU, machine)
    asked = [
        (question(e), text) for e in prober.chosen for text in bed.world.alternatives(e, prober.data).values()
    ]
    bound = [(question(b), name) for b in prober.bindings for name in b.options]
    with torch.no_grad():
        point = best(lambda: [prober.answers(prober.chosen[k : k + 16])
                              for k in range(0, len(prober.chosen), 16)], 2)  # fmt: skip
    some = asked[::9]
    looped = best(lambda: [_rows(model, bed.encoder([turns]), [(turns, text)], 1) for turns, text in some], 1)
    say("probes", (len(asked) + len(bound)) / point, "answers/s", len(some) / looped, goal=10)
    (steps, step), compared = _training_step(bed, model, train), best(prober.gradients, 1)
    cost = len(schedule(steps, dynamics)) * point + dynamics["gradients"] * compared
    say("probes_of_training", 100 * cost / (cost + steps * step), "percent")


def _training_step(bed: Bed, model, train: dict) -> tuple[int, float]:
    """Steps that this phase takes on the people here, and the seconds of one, optimizer included."""
    lengths = bed.encoder([])

    def cost(row) -> int:
        return sum(len(lengths.answer_ids(answer_of(e))) + 1 for e in row.examples)

    stream = bed.world.teach(bed.train, train["teach"], 0)
    rows = taken(stream, train["batch"], train["steps"], train["taught_tokens"], cost)
    chats = [row.turns for row in rows[: 3 * train["batch"]]]
    encoder, optimizer = bed.encoder(chats, model), make_optimizer(model, train)
    tokens = encoder.tokens(chats)

    def step():
        batch = encoder.batch([tokens.pop() for _ in range(train["batch"])])
        with torch.autocast("cpu", torch.bfloat16):
            model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return len(rows) // train["batch"], best(step, 3)


def methods(bed: Bed) -> None:
    """Every method against stock TRL, on a model of its own: see bench_methods.py."""
    bench_methods.methods(say)


def growth(bed: Bed) -> None:
    """What people, views, checkpoints and instances cost as they grow: see bench_growth.py."""
    bench_growth.growth(say)


def probed_adapters(bed: Bed, count: int = 20) -> None:
    """Pairs probed a second under a folder of adapters: portraits with a right and a wrong name, and traces
    without pictures, where arithmetic leaves less to gain. The peer is the loop of prior work: for each
    adapter the model is loaded anew, each answer read alone, pictures encoded anew, every logit made."""
    shown = [e for e in bed.test.examples if len(e.pictures) == 1 and e.facets["format"] == "free"]
    wrong = [(e, bed.world.alternatives(e, bed.test).get("wrong_person")) for e in shown]
    portraits = [replace(e, truth={"rejected": text}) for e, text in wrong if text][:100]
    _probed("probed_adapters", bed, bed.weights, portraits, count, 5)
    traces = _text_model(files.artifacts_root() / "text")
    _probed("probed_adapters_text", bed, files.artifacts_root() / "text", traces, count, 1)


def _probed(name: str, bed: Bed, weights: Path, examples: Sequence[Example], count: int, goal: float) -> None:
    params, place = bed.run.params["model"], files.artifacts_root() / name
    train = {**plain(load_study("reasoning_dpo_7b").runs[1].params["phases"][0]), "lora_r": 16}
    for number in range(count):
        made = load.add_lora(load.load_model(weights, params), train)
        made.save_pretrained(place / f"{number:02}")
    paths, processor = sorted(place.iterdir()), load.load_processor(weights, params)

    def encoder(names: Sequence[str], model=None) -> Encoder:
        return Encoder(processor, open_pictures(bed.shards, names, processor, model, CPU))

    def ours():
        model = load.load_model(weights, params).eval()
        load.choose_attention(model, CPU)
        whole = encoder(sorted({picture for e in examples for picture in e.pictures}), model)
        for path in paths:
            model = adapters.put_on(model, path)
            adapters.rows_of(model, whole, examples, 16, CPU)

    def loop(path: Path):
        model = load.load_model(weights, params, path).eval()
        for example in examples:
            for request in adapters.sides(example).values():
                _rows(model, encoder(example.pictures), [request], 1)

    some = paths[:: max(1, count // 3)]  # the loop takes equally long for each adapter
    looped = best(lambda: [loop(path) for path in some], 1) / len(some)
    say(name, count * len(examples) / best(ours, 1), "pairs/s", len(examples) / looped, goal=goal)


def _text_model(place: Path) -> list[Example]:
    """Writes a small Qwen3 that reads only text; 100 pairs of traces."""
    files.make_folder(place)
    files.write_jsonl(place / "pairs.jsonl", sample_rows(100))
    facts = read_known(PARAMS_FOLDER / "worlds" / "files.yaml").defaults["facts"]
    facts = {**facts, "path": str(place / "pairs.jsonl"), "eval_share": 0.0}
    sizes = {**plain(load_study("smoke").runs[0].params["model"]["scratch"]), "kind": "qwen3"}
    tokenizer = scratch.scratch_tokenizer(sizes, WORLDS["files"].sentences(facts, 0))
    tokenizer.save_pretrained(place)
    scratch.scratch_text_model(sizes, tokenizer, 0).save_pretrained(place)
    return list(WORLDS["files"].make(facts, 0).examples)


def smoke(bed: Bed) -> None:
    """Seconds of the smoke study: its stages, all of it with notebooks and report, and all of it again."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "artifacts"
        tiny.link_base(root)
        total = best(partial(_run_smoke, root), 1)
        own = [path for path in root.glob("*/*") if folders.is_complete(path) and not path.is_symlink()]
        for path in sorted(own):
            say(f"smoke_{path.parent.name}_{path.name}", files.read_json(path / "made.json")["seconds"], "s")
        say("smoke", total, "s", goal=60)
        say("smoke_again", best(partial(_run_smoke, root), 1), "s", goal=15)


def _run_smoke(root: Path) -> None:
    environment = {**os.environ, "MMRC_ARTIFACTS": str(root)}
    command = [sys.executable, "-m", "mmrc_helpers.run", "smoke"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


PARTS = (
    launchers,
    drawing,
    encoding,
    features,
    scoring,
    choosing,
    training,
    probing,
    probed_adapters,
    methods,
    growth,
    smoke,
)


def main(names: Sequence[str]) -> int:
    known = {part.__name__: part for part in PARTS}
    if unknown := set(names) - set(known):
        print(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as place:
        bed = Bed(Path(place) / "artifacts")
        for name in names or known:
            known[name](bed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
