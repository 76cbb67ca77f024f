"""Numbers that every method gave on a fixed toy, after one step and after five: they change only on purpose.

To renew them: python tests/training/test_pinned.py"""

import json
import sys
import tempfile
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from models.loaded import toy_of
from training.phases import phase_of, trained

PINNED = Path(__file__).with_name("pinned.json")
OWN = {
    "sft": {},
    "dpo": {"losses": {"sigmoid": 0.8, "bco_pair": 0.2, "sft": 0.1}, "label_smoothing": 0.1},
    "adpo": {},
    "grpo": {"completions": 4, "max_new_tokens": 8, "beta": 0.05, "weights": {"right": 1.0, "short": 0.5}},
}
# Which numbers, and how far they may be from those of another machine.
EXACT = ("tokens", "supervised_tokens", "reward", "completions_mean_length")
CLOSE = (
    "loss",
    "rewards_chosen",
    "rewards_margins",
    "logps_chosen",
    "logps_rejected",
    "entropy",
    "kl",
    "grad_norm",
)


def numbers(toy, folder: Path, method: str) -> dict[str, dict[str, float]]:
    """Of steps 1 and 5: what is logged and named above."""
    _, rows = trained(phase_of(toy, folder, method, own=OWN[method], steps=5, learning_rate=5e-3))
    return {
        str(step): {k: rows[step - 1][k] for k in EXACT + CLOSE if k in rows[step - 1]} for step in (1, 5)
    }


@pytest.mark.parametrize("method", list(OWN))
def test_the_first_five_steps_give_the_numbers_they_gave(qwen, tmp_path, method):
    found, pinned = numbers(qwen, tmp_path, method), json.loads(PINNED.read_text())[method]
    for step, wanted in pinned.items():
        assert found[step].keys() == wanted.keys()
        for name, value in wanted.items():
            assert found[step][name] == pytest.approx(value, rel=2e-3, abs=0 if name in EXACT else 2e-4), name


if __name__ == "__main__":
    root = Path(tempfile.mkdtemp())
    made = {method: numbers(toy_of("qwen3_vl", root), root / method, method) for method in OWN}
    PINNED.write_text(json.dumps(made, indent=1) + "\n")
