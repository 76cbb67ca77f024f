"""`make bench-gpu`: every method beside stock TRL, choices and portraits at real size on one GPU, in at most
8 minutes; `python tests/bench_gpu.py --toy` runs the same on a CPU at toy size.

Models have random weights, made on the device; nothing is downloaded. Lines are those of bench.py; MFU is
explained at `bench_lines.flops`. Cases come in order of importance, each in a process of its own with a
limit; what fails or does not fit into the time is `not measured`, with the reason.
"""

import argparse
import contextlib
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

# Read when libraries are imported: nothing is looked up, and to ask for a GPU does not start CUDA.
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", PYTORCH_NVML_BASED_CUDA_CHECK="1")

import bench_models  # noqa: E402
import torch  # noqa: E402
from bench_lines import CASE_SECONDS, Budget, Places, Workers, flops, line, peak_of  # noqa: E402
from bench_methods import BATCH, STEPS, Clock, draw, in_every_order, now_on, timed, told  # noqa: E402
from models.loaded import Toy  # noqa: E402
from training.phases import ASKED  # noqa: E402

from mmrc_helpers.models import load, qwen  # noqa: E402
from mmrc_helpers.models.answer import Answerer  # noqa: E402
from mmrc_helpers.models.encode import Encoder  # noqa: E402
from mmrc_helpers.models.features import open_pictures  # noqa: E402
from mmrc_helpers.store.pictures import Shards  # noqa: E402
from mmrc_helpers.tasks.example import Example, rotate  # noqa: E402

SECONDS = 465  # of all cases
GPU_STEPS = 4
# Choices scored, generated one by one, in how many orders of their options, and tokens of a written answer.
QUESTIONS, LOOPED, ORDERS, LETTER = 32, 4, 4, 3
PORTRAITS, SIDE = 16, 512


# --- cases -------------------------------------------------------------------------------------------------


def built(shape: str, size: str, root: Path, device: torch.device) -> Toy:
    """A model of a family with random weights on a device, its processor, and pictures."""
    kind, config, processor, side = bench_models.SHAPES[shape](size)
    folder, toy_size = root / shape, size == "toy"
    processor.save_pretrained(folder)
    config.save_pretrained(folder)
    draw(root, side, STEPS if toy_size else GPU_STEPS)
    torch.manual_seed(0)
    with torch.device(device):
        model = kind._from_config(config, dtype=torch.float32 if toy_size else torch.bfloat16)
    load.choose_attention(model.eval(), device)
    toy = Toy(config.model_type, folder, Shards(root), device)
    toy.__dict__["model"] = model
    return toy


def method(shape: str, size: str, name: str, root: Path, device: torch.device) -> dict[str, float]:
    """The rate of a method (ours, or of NAME_stock stock TRL's), its peak of memory in MB and its FLOP/s."""
    toy, (of, _, kind) = built(shape, size, root, device), name.partition("_")
    if kind != "stock" and toy.model.config.model_type in load.QWEN:
        qwen.read_patches_quickly(toy.model.model.visual.patch_embed.proj)  # as load_model does
    if device.type == "cpu":
        toy.model.save_pretrained(toy.folder)  # which stock TRL reads
    places, whole = Places(), toy.model
    layers = whole.get_decoder().layers
    matrices = sum(weight.numel() for weight in layers.parameters() if weight.ndim > 1)

    def ready(clock):
        """Features and references are there."""
        layers[0].register_forward_pre_hook(partial(_count, places, clock), with_kwargs=True)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    steps = STEPS if size == "toy" else GPU_STEPS
    found = timed(toy, root, of, kind, "fp32" if size == "toy" else "bf16", steps, ready)
    learned = sum(w.numel() for n, w in layers.named_parameters() if w.ndim > 1 and "lora_" in n)
    text = whole.config.get_text_config()
    queries = text.num_attention_heads * getattr(
        text, "head_dim", text.hidden_size // text.num_attention_heads
    )
    spent = flops(places, matrices, learned, queries, text.num_hidden_layers) / steps
    peak = torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else _resident()
    return {"rate": found["step"], "peak": peak, "flops": spent / found["best"]}


def _count(places: Places, clock: Clock, _, args, kwargs) -> None:
    """Hears what enters the first language layer; before the steps nothing counts."""
    if not clock.runs:
        return
    hidden_BTH = args[0] if args else kwargs["hidden_states"]
    rows, length = hidden_BTH.shape[:2]
    if torch.is_grad_enabled():
        places.trained += rows * length
        places.trained_squares += rows * length**2
    else:
        places.read += rows * length
        places.read_squares += rows * length**2


def _resident() -> float:
    """The most memory that this process held, MB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def choices(shape: str, size: str, kind: str, root: Path, device: torch.device) -> dict[str, float]:
    """Choices a second, each in all orders of its options, as an evaluation asks them: features of the
    pictures, and letters scored in one forward pass; beside it every order generated by itself, from pixels.
    kind: names are chosen for a picture ("choices") or pictures for a name ("lineups")."""
    toy = built(shape, size, root, device)
    shown = list(toy.shards.names)
    ask = _lineup if kind == "lineups" else _choice
    examples = [ask(shown, k) for k in range(QUESTIONS)]

    def ours():
        seen = open_pictures(toy.shards, shown, toy.processor, toy.model, device)
        return Answerer(toy.model, Encoder(toy.processor, seen), device, 16, ORDERS, LETTER).scored(examples)

    alone = Answerer(toy.model, toy.pixels, device, 1, 1, LETTER)
    seconds = _best(ours, device)
    looped = _best(lambda: alone.written(in_every_order(examples[:LOOPED], ORDERS)), device)
    return {"rate": len(examples) / seconds, "peer": LOOPED / looped}


def _choice(shown: Sequence[str], number: int) -> Example:
    prompt = (("image", shown[number % len(shown)]), ("text", f"{ASKED}\n"), ("options", "words"))
    return _lettered(number, prompt, [told(number + k) for k in range(ORDERS)])


def _lineup(shown: Sequence[str], number: int) -> Example:
    prompt = (("text", f"{told(number)}\n"), ("options", "pictures"), ("text", ASKED))
    return _lettered(number, prompt, rotate(shown, number % len(shown))[:ORDERS])


def _lettered(number: int, prompt: tuple, options: Sequence[str]) -> Example:
    return Example(f"{number}", f"{number}", "test", prompt, options[0], {}, tuple(options), 0)


def portraits(size: str, tiny: bool, root: Path, device: torch.device) -> dict[str, float]:
    """Pictures a second of a pipeline of SDXL-Turbo's shape: one step, no guidance, in batches."""
    draws = bench_models.pipeline(size, tiny, device)
    count, side = (PORTRAITS, SIDE) if size != "toy" else (2, 64)
    seeds = [torch.Generator(device).manual_seed(k) for k in range(count)]
    asked = {"prompt": [ASKED] * count, "num_inference_steps": 1, "guidance_scale": 0.0, "generator": seeds}
    seconds = _best(lambda: draws(**asked, height=side, width=side, output_type="pil"), device)
    return {"rate": count / seconds}


def _best(work: Callable, device: torch.device) -> float:
    """Seconds that `work` takes, the best of some times, on a GPU after one that warms up."""
    times, seconds = 3 if device.type == "cpu" else 2, []
    for _ in range(times if device.type == "cpu" else times + 1):
        began = now_on(device)
        work()
        seconds.append(now_on(device) - began)
    return min(seconds[-times:])


# --- all of it ----------------------------------------------------------------------------------------------

ORDER = (
    ("qwen3_vl_8b", "sft"), ("smolvlm_2b", "adpo"), ("llava_7b", "adpo"), ("qwen3_vl_8b", "dpo"),
    ("qwen3_vl_8b", "choices"), ("", "portraits"), ("smolvlm_2b", "dpo"), ("llava_7b", "dpo"),
    ("qwen3_vl_8b", "lineups"), ("qwen3_vl_8b", "adpo"), ("qwen3_vl_8b", "grpo"), ("smolvlm_2b", "sft"),
    ("llava_7b", "sft"), ("smolvlm_2b", "grpo"), ("llava_7b", "grpo"),
)  # fmt: skip
PUBLISHED = {"smolvlm_2b": (3.2, 8), "llava_7b": (2.4, 5)}  # ADPO, samples/s on an H100, batch 4; least ratio
UNITS = {"sft": "rows/s", "dpo": "pairs/s", "adpo": "pairs/s", "grpo": "answers/s"}
LEAST_RATIO = {"dpo": 2.5}


def lines(size: str, device: torch.device, card: str, budget: Budget) -> Iterator[str]:
    """Every figure as it is there, or why it is not measured."""
    workers, known = Workers("fork" if device.type == "cpu" else "spawn"), {}

    def of(work: Callable, *names: str) -> Mapping:
        if names not in known:
            with tempfile.TemporaryDirectory() as root:
                known[names] = workers.measured(partial(work, *names, Path(root), device), budget)
        return known[names]

    with contextlib.closing(workers):
        for shape, name in ORDER:
            told = f"{'toy' if size == 'toy' else 'gpu'}_{shape or 'sdxl_turbo'}_{name}"
            if name == "portraits":
                for tiny in (False, True):
                    found = of(portraits, size, tiny)
                    goal = 1000 / 15 if tiny and size != "toy" else None  # 15 ms a picture
                    yield _said(f"{told}{'_tiny_vae' * tiny}", found, "images/s", None, goal)
            elif name in ("choices", "lineups"):
                found = of(choices, shape, size, name)
                yield _said(told, found, "questions/s", found.get("peer"), 10)
                yield f"bench {told}_lmms_eval not measured: lmms-eval is not among the pinned packages"
            else:
                ours = of(method, shape, size, name)
                stock = of(method, shape, size, f"{'dpo' if name == 'adpo' else name}_stock")
                yield from _of_method(told, shape, name, ours, stock, card)


def _of_method(told: str, shape: str, name: str, ours: Mapping, stock: Mapping, card: str) -> Iterator[str]:
    """The lines of a method: stock TRL's DPO stands beside ADPO, which it does not have."""
    yield _said(told, ours, UNITS[name], stock.get("rate"), LEAST_RATIO.get(name))
    if "reason" in stock:
        yield f"bench {told}_stock not measured: {stock['reason']}"
    if "reason" in ours:
        return
    if name == "adpo" and shape in PUBLISHED:
        at_size = not told.startswith("toy")
        yield line(f"{told}_published", ours["rate"], UNITS[name], *PUBLISHED[shape]) if at_size else (
            f"bench {told}_published not measured: a toy is not what was published")  # fmt: skip
    yield line(f"{told}_peak", ours["peak"], "MB", stock.get("peak"))
    if peak := peak_of(card):
        goal = 40 if (shape, name) == ("qwen3_vl_8b", "sft") else None
        share = 100 * stock["flops"] / peak if "flops" in stock else None
        yield line(f"{told}_mfu", 100 * ours["flops"] / peak, "percent", share, goal)
    else:
        yield f"bench {told}_mfu not measured: the bf16 peak of {card} is not known"


def _said(name: str, found: Mapping, unit: str, peer: float | None, goal: float | None) -> str:
    if "reason" in found:
        return f"bench {name} not measured: {found['reason']}"
    return line(name, found["rate"], unit, peer, goal)


def card_of() -> str:
    """The name of the first GPU as its driver says, without starting CUDA here; empty without one."""
    with contextlib.suppress(FileNotFoundError):
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        said = subprocess.run(asked, capture_output=True, text=True)
        return said.stdout.split("\n")[0].strip() if said.returncode == 0 else ""
    return ""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench_gpu.py")
    parser.add_argument("--toy", action="store_true", help="the whole script at toy size on a CPU")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of all cases")
    asked = parser.parse_args(arguments)
    if not asked.toy and not (card_of() and torch.cuda.is_available()):
        print(
            "no CUDA device is visible here; --toy runs the whole script on a CPU at toy size",
            file=sys.stderr,
        )
        return 2
    size, device = ("toy", torch.device("cpu")) if asked.toy else ("real", torch.device("cuda", 0))
    card = "this CPU" if asked.toy else card_of()
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"
    print(f"card {card}; commit {commit}; torch {torch.__version__}; Python {platform.python_version()}")
    print(f"command python tests/bench_gpu.py {' '.join(arguments)}".rstrip())
    print(f"batch {BATCH}, {'toy sizes, seconds of processors' if asked.toy else 'bf16, LoRA, frozen tower'}")
    # A toy tries the script, not the machine, which may be busy with other things.
    budget = Budget(asked.seconds, case=asked.seconds if asked.toy else CASE_SECONDS)
    for one in lines(size, device, card, budget):
        print(one, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
