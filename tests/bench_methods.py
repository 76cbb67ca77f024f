"""Preference training against stock TRL: the same model, rows and batch on one CPU thread.
`python tests/bench_methods.py [fp32 | bf16]`; lines as those of bench.py.

The unit is pairs a second of processor time, so that a busy machine counts less. The model has the shape of a
small Qwen3-VL (26 M weights of language, 46 M of vision); every pair has its own picture of 256 tokens.
The vision part is frozen on both sides and LoRA learns in the language part. What ours pays once (features,
reference) is said beside."""

import copy
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers as hf
from models import toys
from models.loaded import Toy, drawn
from training.phases import ASKED, NAMES, asked, phase_of, started, trainer_of
from training.test_preference import as_stock
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from mmrc_helpers.store.pictures import Shards, write_shards
from mmrc_helpers.tasks.rows import Pair

SIDE, BATCH, STEPS = 512, 4, 3
PICTURES = tuple(f"{k}.png" for k in range(BATCH * STEPS))
TEXT = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "num_attention_heads": 8,
        "num_key_value_heads": 8, "head_dim": 64}  # fmt: skip
EYES = {"hidden_size": 512, "intermediate_size": 2048, "depth": 12, "num_heads": 8, "out_hidden_size": 512,
        "num_position_embeddings": 1024, "deepstack_visual_indexes": [3, 6, 9]}  # fmt: skip


def build(root: Path) -> Toy:
    """The model in a folder, and pictures of 16 x 16 tokens."""
    kind, small, processor = toys.qwen3_vl()
    made = small.to_dict()
    text = {**made["text_config"], **TEXT}
    text["rope_parameters"] = {**text["rope_parameters"], "mrope_section": [12, 10, 10]}
    ids = {name: value for name, value in made.items() if name.endswith("token_id")}
    config = hf.Qwen3VLConfig(text_config=text, vision_config={**made["vision_config"], **EYES}, **ids)
    torch.manual_seed(0)
    kind(config).save_pretrained(root / "model")
    processor.save_pretrained(root / "model")
    write_shards(root, {name: (k, SIDE, SIDE) for k, name in enumerate(PICTURES)}, drawn, 1, lambda *_: None)
    return Toy("qwen3_vl", root / "model", Shards(root))


class Clock(TrainerCallback):
    """Processor seconds of each step."""

    def __init__(self):
        self.steps = []

    def on_step_begin(self, *_, **__):
        self.began = time.process_time()

    def on_step_end(self, *_, **__):
        self.steps.append(time.process_time() - self.began)


def speed(trainer, clock: Clock) -> float:
    """Pairs a second, by the fastest step."""
    trainer.train()
    return BATCH / min(clock.steps)


def ours(toy: Toy, root: Path, method: str, pairs, precision: str, **own) -> tuple[float, float]:
    """Pairs a second, and processor seconds before the first step."""
    clock = Clock()
    phase = phase_of(toy, root, method, pairs, own=own, steps=STEPS, batch=BATCH, precision=precision)
    phase.callbacks.append(clock)
    began = time.process_time()
    trainer = trainer_of(phase)
    return speed(trainer, clock), time.process_time() - began - sum(clock.steps)


def stock(toy: Toy, root: Path, pairs, precision: str) -> float:
    """Pairs a second of TRL as it comes, its patch embedding a convolution."""
    phase = phase_of(toy, root, "dpo", pairs, steps=STEPS, batch=BATCH, precision=precision)
    plain = hf.AutoModelForImageTextToText.from_pretrained(toy.folder, dtype=torch.float32)
    clock = Clock()
    trainer = DPOTrainer(
        model=started(toy, phase.train, plain),
        args=DPOConfig(**{**phase.arguments, "output_dir": str(root / "stock"), "max_length": None}),
        train_dataset=as_stock(toy, pairs),
        processing_class=toy.processor,
        callbacks=[clock],
    )
    return speed(trainer, clock)


def main(precision: str) -> None:
    torch.set_num_threads(1)
    root = Path(tempfile.mkdtemp())
    toy = build(root)
    told = [f"This is {name}." for name in NAMES] * STEPS
    pairs, others = [], []
    for k, picture in enumerate(PICTURES):
        wrong = PICTURES[k - 1]
        pairs.append(Pair(*(asked((picture,), ASKED, answer) for answer in told[k : k + 2])))
        others.append(Pair(*(asked((shown,), ASKED, told[k]) for shown in (picture, wrong))))
    began = time.process_time()
    assert toy.frozen.pictures.groups
    print(f"bench features_once {(time.process_time() - began) / len(PICTURES):.3g} s a picture")
    peer = stock(toy, root, pairs, precision)
    pixels = copy.copy(toy)
    object.__setattr__(pixels, "frozen", toy.pixels)
    lines = {
        "dpo": (toy, "dpo", pairs, {}),
        "dpo_features_reference": (toy, "dpo", pairs, {"share_prompt": False}),
        "dpo_features": (toy, "dpo", pairs, {"share_prompt": False, "cache_reference": False}),
        "dpo_pixels": (pixels, "dpo", pairs, {"share_prompt": False, "cache_reference": False}),
        "adpo": (toy, "adpo", others, {}),
        "adpo_pixels": (pixels, "adpo", others, {"cache_reference": False}),
    }
    for name, (which, method, rows, own) in lines.items():
        found, before = ours(which, root / name, method, rows, precision, **own)
        once = f"once {before:.3g} s for {len(rows)} pairs"
        print(f"bench {name}_{precision} {found:.3g} pairs/s peer {peer:.3g} ratio {found / peer:.3g} {once}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "fp32")
