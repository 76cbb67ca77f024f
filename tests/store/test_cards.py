"""Cards beside artifacts say what is there, in the front matter that hubs read."""

import yaml

from mmrc_helpers.programs import generate
from mmrc_helpers.store import cards, files
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import find_run, load_study


def parts_of(folder) -> tuple[dict, str, dict]:
    """Front matter, text and parameters of a card."""
    _, head, body = (folder / cards.CARD).read_text(encoding="utf-8").split("---\n", 2)
    told = body.rpartition("```yaml\n")[2].removesuffix("```\n")
    return yaml.safe_load(head), body, yaml.safe_load(told)


def test_data_come_with_their_card(tmp_path):
    study = tmp_path / "few.yaml"
    study.write_text(
        "question: Sums?\ndata: {world: sums}\nsums: {largest: 3}\ntrain: {teach: {views: [text]}}\n"
        "report: {finding: accuracy}\nseeds: [0]\nvariants: {untrained: {phases: []}}\n"
    )
    run = load_study(study).runs[0]
    folder = tmp_path / "sums-1.part"
    folder.mkdir()
    files.write_json(folder / "recipe.json", stages.data_stage(run).recipe(run.params["machine"]))
    generate.main(folder)
    head, body, told = parts_of(folder)
    examples = files.read_jsonl(folder / "examples.jsonl")
    tests = sum(example["split"] == "test" for example in examples)
    assert (
        head["pretty_name"] == "sums-1" and head["license"] == "mit" and body.startswith("\n# sums-1: data\n")
    )
    assert f"{len(examples):,} questions ({len(examples) - tests:,} for train, {tests:,} for test)" in body
    assert "16 facts" in body and told["world"]["facts"]["largest"] == 3


def test_data_of_a_users_files_keep_their_licence(tmp_path):
    files.write_jsonl(tmp_path / "examples.jsonl", [{"id": "1", "split": "train"}])
    files.write_jsonl(tmp_path / "facts.jsonl", [{"title": "one"}])
    params = {"world": {"name": "files", "facts": {}}, "files": {"/home/me/rows.jsonl": "sum"}}
    cards.write_data_card(tmp_path, {"seed": 0, "params": params})
    head, body, _ = parts_of(tmp_path)
    assert head["license"] == "other" and "whose licence holds: /home/me/rows.jsonl" in body


def test_models_come_with_their_card(tmp_path):
    run = find_run(load_study("smoke"), "forward", 0)
    recipe = stages.train_stages(run)[0].recipe(run.params["machine"])
    files.write_json(tmp_path / "exposure.json", {"rows": 1234, "supervised_tokens": 56789})
    files.write_jsonl(tmp_path / "metrics.jsonl", [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 0.125}])
    cards.write_model_card(tmp_path, recipe)
    head, body, told = parts_of(tmp_path)
    assert head["base_model"] == recipe["inputs"]["model"] and head["datasets"] == [recipe["inputs"]["data"]]
    assert "1,234 rows with 56,789 supervised tokens; the last loss it logged was 0.125" in body
    assert told["train"]["method"]["name"] == "sft" and head["tags"] == ["mmrc_helpers", "sft"]
