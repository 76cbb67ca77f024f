"""Studies of spatial training ask what they say: arms that differ in one thing, published numbers."""

from mmrc_helpers.store.keys import plain
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import find_run, load_study

STUDY = load_study("spatial")


def phases(variant: str, study=STUDY) -> list[dict]:
    return plain(find_run(study, variant, 0).params["phases"])


def methods(variant: str) -> list[str]:
    return [phase["method"]["name"] for phase in phases(variant)]


def test_every_chain_of_phases_is_an_arm():
    chains = {name: methods(name) for name in STUDY.variants}
    assert chains == {
        "untrained": [],
        "sft": ["sft"],
        "sft_dpo": ["sft", "dpo"],
        "sft_grpo": ["sft", "grpo"],
        "sft_dpo_grpo": ["sft", "dpo", "grpo"],
        "blind": ["sft", "dpo", "grpo"],
        "reverse": ["sft"],
        "both": ["sft"],
    }
    assert {run.seed for run in STUDY.runs if run.variant in ("sft_dpo_grpo", "blind")} == {0, 1}


def test_the_null_differs_from_the_chain_in_seeing_the_truth_alone():
    chain, blind = phases("sft_dpo_grpo"), phases("blind")
    assert blind[-1].pop("teach") == chain[-1].pop("teach") | {"blind": True} and blind == chain
    trained = [stages.train_stages(find_run(STUDY, name, 0)) for name in ("sft_dpo_grpo", "blind")]
    assert [one.key == other.key for one, other in zip(*trained, strict=True)] == [True, True, False]


def test_new_shapes_are_taught_in_the_directions_that_an_arm_says():
    taught = {name: phases(name)[0]["teach"]["directions"] for name in STUDY.variants if phases(name)}
    assert {name for name, of in taught.items() if of == ["reverse"]} == {"reverse"}
    assert {name for name, of in taught.items() if of == ["forward", "reverse"]} == {"both"}
    base = load_study("spatial_base")
    assert all(phase["teach"]["replay"] == 1.0 for phase in phases("base", base)), (
        "it never sees a novel shape"
    )
    shown, asked = (
        dict(find_run(*of, 0).params["world"]["facts"]) for of in ((base, "base"), (STUDY, "sft"))
    )
    assert shown.pop("novel") < asked.pop("novel") and shown == asked  # background scenes are the same ones


def test_the_real_model_is_trained_by_the_published_numbers():
    study = load_study("spatial_qwen25vl_3b")
    sft, dpo, grpo = phases("sft_dpo_grpo", study)
    for phase in (sft, dpo, grpo):
        assert (phase["lora_r"], phase["lora_alpha"], len(phase["lora_targets"])) == (64, 16, 7)
        assert phase["warmup_steps"] == phase["steps"] / 10 and phase["weight_decay"] == 0.01
    assert (sft["learning_rate"], sft["batch"], sft["lora_dropout"], sft["max_length"]) == (
        2e-5,
        8,
        0.05,
        2048,
    )
    assert (dpo["learning_rate"], dpo["batch"], dpo["method"]["beta"]) == (5e-7, 8, 0.1)
    said = {name: grpo["method"][name] for name in ("completions", "temperature", "top_p", "max_new_tokens")}
    assert said == {"completions": 4, "temperature": 0.7, "top_p": 0.9, "max_new_tokens": 256}
    assert (grpo["learning_rate"], grpo["batch"] * said["completions"]) == (1e-6, 16)
    run = find_run(study, "sft", 0)
    assert (
        run.params["model"]["quantize"] == "nf4"
        and run.params["world"]["facts"]["image_size"] ** 2 == 200_704
    )
