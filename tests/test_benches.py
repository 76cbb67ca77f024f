"""The benchmarks measure what they say: lines, utilisation by hand, budgets; cases fail alone; growth at its
smallest; the whole of `make bench-gpu` at toy size."""

import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import bench_growth
import pytest
from bench_lines import CASE_SECONDS, LEAST, Budget, Places, Workers, flops, line, peak_of

SCRIPT = Path(__file__).parent / "bench_gpu.py"
FIGURE = re.compile(
    r"bench (toy_\S+) ([\d.e+-]+ \S+ peer \S+ ratio \S+ goal \S+|not measured: \S.*)", re.ASCII
)


def test_a_line_says_how_many_times_better_ours_is():
    assert line("rate", 30, "rows/s", 10, 2.5) == "bench rate 30 rows/s peer 10 ratio 3 goal 2.5"
    assert line("peak", 10, "MB", 30) == "bench peak 10 MB peer 30 ratio 3 goal -"
    assert line("alone", 0.5, "s") == "bench alone 0.5 s peer - ratio - goal -"


def test_the_peak_of_a_card_is_that_of_the_card_and_not_of_its_neighbour():
    assert peak_of("NVIDIA H200") == 989e12 and peak_of("NVIDIA H200 NVL") == 835e12
    assert peak_of("NVIDIA L4") == 121e12 and peak_of("NVIDIA L40S") == 362e12
    assert peak_of("NVIDIA A100-SXM4-80GB") == 312e12 and peak_of("this CPU") is None


def test_utilisation_counts_what_is_counted_by_hand():
    """One layer, 2 heads of 4, width 8: a frozen 8 x 8 matrix, an adapter 8 x 2 x 8; a row of 3 tokens."""
    matrix, adapter, row = 8 * 8, 8 * 2 + 2 * 8, 3
    forward = row * 2 * (matrix + adapter)
    causal = 2 * (2 * 8) * (row * row) / 2  # queries with keys and weights with values, each 2 x 8 a pair
    assert flops(Places(read=3, read_squares=9), matrix, adapter, 8, 1) == forward + causal
    backward = row * 2 * (matrix + 2 * adapter) + 2 * causal
    trained = flops(Places(trained=3, trained_squares=9), matrix, adapter, 8, 1)
    assert trained == forward + causal + backward


def test_a_case_gets_what_is_left_and_none_begins_too_late():
    clock = iter([0.0, 0.0, 150.0, 200.0 - LEAST + 1])
    budget = Budget(200.0, lambda: next(clock))
    assert [budget.of_a_case() for _ in range(3)] == [CASE_SECONDS, 50.0, 0.0]


def refuse():
    raise MemoryError("CUDA out of memory: 2 GiB\nmore words")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def workers():
    begun = Workers("fork")
    yield begun
    begun.close()


def test_cases_fail_alone_and_say_why(workers):
    budget, short = Budget(60), Budget(60, iter([0.0, 59.9]).__next__)
    assert workers.measured(partial(dict, rate=2.0), budget) == {"rate": 2.0}
    assert workers.measured(refuse, budget) == {"reason": "MemoryError: CUDA out of memory: 2 GiB"}
    assert "ended with -9" in workers.measured(die, budget)["reason"]
    assert workers.measured(partial(dict, rate=2.0), short) == {"reason": "the time was over"}


def test_a_case_that_hangs_is_ended(workers):
    assert workers.measured(signal.pause, Budget(60, case=0.2)) == {"reason": "it took more than 0 s"}


def test_the_exponent_is_the_slope():
    assert bench_growth.slope((10, 100), [1.0, 100.0]) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("name", "size"),
    [("people", 40), ("people_taught", 40), ("people_asked", 40), ("views", 1), ("points", 2),
     ("checkpoints", 3), ("tables", 5), ("grids", 5), ("answers", 720)],
)  # fmt: skip
def test_what_grows_is_measured_at_its_smallest(name, size):
    found = bench_growth.measured(name, size)
    assert found["seconds"] > 0 and found["peak"] > 1


@pytest.mark.slow
def test_the_whole_of_the_gpu_bench_runs_at_toy_size_and_refuses_without_a_gpu():
    """Every figure is there or says why not; at real size the models are as large as those published."""
    paths = os.pathsep.join([str(SCRIPT.parent.parent), str(SCRIPT.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def run(*arguments):
        command = [sys.executable, str(SCRIPT), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    refused = run()
    assert refused.returncode == 2 and "--toy" in refused.stderr.splitlines()[-1]
    assert "bench " not in refused.stdout
    done = run("--toy", "--seconds", "3000")
    assert done.returncode == 0, done.stderr[-2000:]
    told = done.stdout[done.stdout.index("card ") :].splitlines()  # what deepspeed says comes before
    head, figures = told[:3], told[3:]
    assert re.match(r"card this CPU; commit \w+; torch", head[0]) and "--toy" in head[1]
    found = {match[1]: match[2] for match in map(FIGURE.fullmatch, figures)}
    missing = {name for name, told in found.items() if told.startswith("not measured")}
    assert {name.rsplit("_", 1)[-1] for name in missing} == {"mfu", "published", "eval"}
    for shape in ("qwen3_vl_8b", "smolvlm_2b", "llava_7b"):
        for method in ("sft", "dpo", "adpo", "grpo"):
            assert " peer - " not in found[f"toy_{shape}_{method}"]
            assert f"toy_{shape}_{method}_peak" in found
    assert {"toy_qwen3_vl_8b_choices", "toy_sdxl_turbo_portraits_tiny_vae"} <= set(found)


@pytest.mark.slow
def test_the_models_of_the_gpu_bench_are_as_large_as_those_they_are_shaped_like():
    import bench_models
    import torch

    from mmrc_helpers.models import plain

    wanted = {"qwen3_vl_8b": (8.77, 256), "smolvlm_2b": (2.25, 1416), "llava_7b": (7.57, 1176)}
    for shape, (billions, tokens) in wanted.items():
        kind, config, processor, side = bench_models.SHAPES[shape]("real")
        with torch.device("meta"):
            model = kind._from_config(config, dtype=torch.bfloat16)
        assert sum(weight.numel() for weight in model.parameters()) / 1e9 == pytest.approx(billions, abs=0.01)
        assert len(plain.picture_ids(processor, (side, side))) == tokens
    unet = bench_models.pipeline("real", True, torch.device("meta")).unet
    assert sum(weight.numel() for weight in unet.parameters()) / 1e9 == pytest.approx(2.567, abs=0.001)
