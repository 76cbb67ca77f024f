"""The part `methods` of bench.py: every method against stock TRL, with the same model, rows and batch on one
CPU thread; each case in a process of its own, so that its peak of memory is its own.

Rates are per second of processor time, so that a busy machine counts less. The model has the shape of a small
Qwen3-VL (26 M weights of language, 46 M of vision); every row has its own picture of 256 tokens, the vision
part is frozen and LoRA learns in the language part. `stock` is TRL as it comes; `linear` has transformers'
own matrix product for the patch embedding, off by default. Stock TRL has no ADPO: its peer is DPO, which
reads as many pictures and tokens. What ours pays once (features, reference) stands beside as `…_once`."""

import copy
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import transformers as hf
import trl.trainer.utils
from models import toys
from models.loaded import Toy, drawn
from training.phases import ASKED, NAMES, TRAIN, asked, defaults, phase_of, started, trainer_of
from training.test_preference import as_stock
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
from trl.kernels import chunked_logprob

from mmrc_helpers.store.pictures import Shards, write_shards
from mmrc_helpers.tasks.example import Example, rotate
from mmrc_helpers.tasks.rows import Chat, Pair, Task

SIDE, BATCH, STEPS = 512, 4, 2
COMPLETIONS, NEW_TOKENS = 4, 24
TEXT = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "num_attention_heads": 8,
        "num_key_value_heads": 8, "head_dim": 64}  # fmt: skip
EYES = {"hidden_size": 512, "intermediate_size": 2048, "depth": 12, "num_heads": 8, "out_hidden_size": 512,
        "num_position_embeddings": 1024, "deepstack_visual_indexes": [3, 6, 9]}  # fmt: skip


def build(root: Path) -> None:
    """The model in a folder, and pictures of 16 x 16 tokens."""
    kind, small, processor = toys.qwen3_vl()
    config = shaped(small, TEXT, EYES)
    torch.manual_seed(0)
    kind(config).save_pretrained(root / "model")
    processor.save_pretrained(root / "model")
    draw(root, SIDE, STEPS)


def draw(root: Path, side: int, steps: int) -> None:
    """The pictures of so many steps."""
    wanted = {name: (k, side, side) for k, name in enumerate(pictures(steps))}
    write_shards(root, wanted, drawn, 1, lambda *_: None)


def pictures(steps: int) -> list[str]:
    return [f"{k}.png" for k in range(BATCH * steps)]


def told(number: int) -> str:
    return f"This is {NAMES[number % len(NAMES)]}."


def shaped(small, text: dict, eyes: dict, **more):
    """The configuration of a toy with other sizes of its language and vision part."""
    made = small.to_dict()
    ropes = {**made["text_config"].get("rope_parameters", {}), **text.get("rope_parameters", {})}
    text = {**made["text_config"], **text, "rope_parameters": ropes}
    return type(small)(
        **{**made, "text_config": text, "vision_config": {**made["vision_config"], **eyes}, **more}
    )


def now_on(device: torch.device) -> float:
    """Seconds: of this process's processors, or with a GPU by the clock when all its work is done."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


class Clock(TrainerCallback):
    """Seconds of each step."""

    def __init__(self, device: torch.device):
        self.device, self.steps, self.runs = device, [], False

    def on_step_begin(self, *_, **__):
        self.began, self.runs = now_on(self.device), True

    def on_step_end(self, *_, **__):
        self.steps.append(now_on(self.device) - self.began)
        self.runs = False


class Timed:
    """A method of a trainer that keeps the seconds of its calls."""

    def __init__(self, trainer, name: str, device: torch.device):
        self.own, self.device, self.seconds = getattr(trainer, name), device, []
        setattr(trainer, name, self)

    def __call__(self, *args, **kwargs):
        began = now_on(self.device)
        found = self.own(*args, **kwargs)
        self.seconds.append(now_on(self.device) - began)
        return found


# --- rows --------------------------------------------------------------------------------------------------


def answers(steps: int) -> list[Pair]:
    """Two answers behind each picture."""
    return [
        Pair(*(asked((picture,), ASKED, told(number)) for number in (k, k + 1)))
        for k, picture in enumerate(pictures(steps))
    ]


def contexts(steps: int) -> list[Pair]:
    """One answer behind its picture and behind another."""
    shown = pictures(steps)
    return [
        Pair(*(asked((picture,), ASKED, told(k)) for picture in (shown[k], shown[k - 1])))
        for k in range(len(shown))
    ]


def tasks(steps: int) -> list[Task]:
    """A question behind each picture."""
    return [
        Task(asked((picture,), ASKED, "").turns[:-1], Example(f"{k}", f"{k}", "train", (), told(k)))
        for k, picture in enumerate(pictures(steps))
    ]


def chats(steps: int) -> list[Chat]:
    """An answer behind each picture."""
    return [pair.chosen for pair in answers(steps)]


def in_every_order(examples: Sequence[Example], orders: int) -> list[Example]:
    """Lettered examples, each once in every cyclic order of its options."""
    return [replace(example, options=tuple(rotate(example.options, shift)),
                    captions=tuple(rotate(example.captions, shift)))
            for example in examples for shift in range(orders)]  # fmt: skip


ROWS: dict[str, Callable] = {"dpo": answers, "adpo": contexts, "grpo": tasks, "sft": chats}
WRITING = {"completions": COMPLETIONS, "max_new_tokens": NEW_TOKENS}


# --- one case, in a process of its own ----------------------------------------------------------------------


def case(name: str, precision: str, root: Path) -> dict[str, float]:
    """The rates of a case, its processor seconds before the first step and its peak of memory in MB. A case
    is a method, its kind, and for a toy in place of the model behind an @ its family."""
    torch.set_num_threads(1)
    name, _, family = name.partition("@")
    method, _, kind = name.partition("_")
    toy = Toy(family or "qwen3_vl", root / (family or "model"), Shards(root))
    found = timed(toy, root, method, kind, precision)
    return {**found, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def timed(
    toy: Toy, root: Path, method: str, kind: str, precision: str, steps: int = STEPS, ready: Callable = id
) -> dict[str, float]:
    """Trains a method for some steps, ours or in another `kind`: rows (answers of GRPO) a second in a `step`,
    in GRPO's parts too, the seconds of the `best` step, and those before the first, `once`. ready: hears the
    clock of the steps before the first."""
    own, began = WRITING if method == "grpo" else {}, now_on(toy.device)
    if kind in ("stock", "linear"):
        trainer = _stock(toy, root, method, precision, steps, own, kind == "linear")
    else:
        own = {**own, **OWN.get(kind, {})}
        trainer = _ours(toy, root, method, precision, steps, own, kind == "pixels")
    clock, parts = Clock(toy.device), {}
    trainer.add_callback(clock)
    if method == "grpo":
        reading = "_get_per_token_logps_and_entropies"
        named = {"writing": "_generate", "scoring": reading}
        parts = {part: Timed(trainer, name, toy.device) for part, name in named.items()}
    ready(clock)
    trainer.train()
    once = now_on(toy.device) - began - sum(clock.steps)
    count = BATCH * own.get("completions", 1)
    rates = {part: count / min(timer.seconds) for part, timer in parts.items()}
    return {**rates, "step": count / min(clock.steps), "best": min(clock.steps), "once": once}


# Ours with one of its switches off.
OWN = {"unshared": {"share_prompt": False},
       "pixels": {"share_prompt": False, "cache_reference": False}}  # fmt: skip


def _ours(toy: Toy, root: Path, method: str, precision: str, steps: int, own: dict, pixels: bool):
    toy = unfrozen(toy) if pixels else toy
    settings = _settings(toy, precision, steps)
    model = started(toy, {**defaults("base")["train"], **TRAIN}, toy.model)
    folder, rows = Path(tempfile.mkdtemp(dir=root)), ROWS[method](steps)
    return trainer_of(phase_of(toy, folder, method, rows, own=own, model=model, **settings))


def _settings(toy: Toy, precision: str, steps: int) -> dict:
    machine = {"accelerator": toy.device.type}
    return {"steps": steps, "batch": BATCH, "precision": precision, "machine": machine}


def _stock(toy: Toy, root: Path, method: str, precision: str, steps: int, own: dict, linear: bool):
    trl.trainer.utils._use_triton = chunked_logprob._use_triton  # which training.phase changes
    folder, rows = Path(tempfile.mkdtemp(dir=root)), ROWS[method](steps)
    settings = {**_settings(toy, precision, steps), "model": torch.nn.Identity()}
    arguments = dict(phase_of(unfrozen(toy), folder, method, rows, own=own, **settings).arguments)
    pairs = as_stock(toy, answers(steps))
    model = toy.model
    if toy.device.type == "cpu":
        fused = {"fusion_config": {"patch_embeddings": True}} if linear else {}
        model = hf.AutoModelForImageTextToText.from_pretrained(toy.folder, dtype=torch.float32, **fused)
    model = started(toy, {**defaults("base")["train"], "lora_r": 4, "lora_alpha": 8}, model)
    made = {"model": model, "processing_class": toy.processor}
    if method == "dpo":
        args = DPOConfig(**arguments, max_length=None)
        return DPOTrainer(args=args, train_dataset=pairs, **made)
    if method == "sft":
        rows = pairs.rename_column("chosen", "completion").remove_columns("rejected")
        return SFTTrainer(args=SFTConfig(**arguments, max_length=None), train_dataset=rows, **made)
    rows = pairs.remove_columns(["chosen", "rejected"])
    settings = {"num_generations": COMPLETIONS, "max_completion_length": NEW_TOKENS, "temperature": 1.0}
    args = GRPOConfig(**arguments, **settings, beta=0.0, shuffle_dataset=False)
    return GRPOTrainer(args=args, train_dataset=rows, reward_funcs=_rewarded, **made)


def unfrozen(toy: Toy) -> Toy:
    """The toy whose encoder takes pixels."""
    found = copy.copy(toy)
    found.__dict__["frozen"] = toy.pixels
    return found


def _rewarded(completions, **_) -> list[float]:
    return [float(len(set(said[-1]["content"]))) for said in completions]


# --- all cases ---------------------------------------------------------------------------------------------

# case of ours → its peer, the number that is compared, its unit and the least ratio in fp32 and bf16
COMPARED = (
    ("dpo", "dpo_stock", "step", "pairs/s", 12, 8),
    ("dpo", "dpo_linear", "step", "pairs/s", 4, 3),
    ("dpo_unshared", "dpo_stock", "step", "pairs/s", None, None),
    ("dpo_pixels", "dpo_stock", "step", "pairs/s", None, None),
    ("adpo", "dpo_stock", "step", "pairs/s", 7, 4.5),
    ("adpo", "dpo_linear", "step", "pairs/s", 4, 3),
    ("sft", "sft_stock", "step", "rows/s", 2, 2),
    ("grpo", "grpo_stock", "scoring", "answers/s", 3, 3),
    ("grpo", "grpo_stock", "writing", "answers/s", 2, 2),
    ("grpo", "grpo_stock", "step", "answers/s", None, None),
)


def methods(say: Callable, precisions: tuple[str, ...] = ("fp32", "bf16")) -> None:
    """Prints every comparison by `say` (name, value, unit, peer, goal)."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        build(root)
        for precision in precisions:
            found: dict[str, dict[str, float]] = {}
            for ours, peer, part, unit, *goals in COMPARED:
                for one in (peer, ours):
                    if one not in found:
                        found[one] = _apart(one, precision, root)
                goal = goals[precision == "bf16"]
                told = f"{ours}_{precision}{'' if part == 'step' else f'_{part}'}"
                told += "_linear" if peer.endswith("linear") else ""
                say(told, found[ours][part], unit, found[peer][part], goal)
                if part == "step" and peer.endswith("stock"):
                    say(f"{ours}_{precision}_once", found[ours]["once"], "s", found[peer]["once"])
                    say(f"{ours}_{precision}_peak", found[ours]["peak"], "MB", found[peer]["peak"])
        for family in toys.SEEING:
            toys.build(family, root / family)
            rates = {one: _apart(f"{one}@{family}", "fp32", root)["step"] for one in ("dpo", "adpo")}
            # stock TRL's collator makes no masks of cross-attention for answers
            peer = _apart(f"dpo_stock@{family}", "fp32", root)["step"] if family != "mllama" else None
            for one, rate in rates.items():
                say(f"{one}_toy_{family}", rate, "pairs/s", peer)


def _apart(name: str, precision: str, root: Path) -> dict[str, float]:
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here.parent), str(here)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, name, precision, str(root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}, {precision}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(case(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
