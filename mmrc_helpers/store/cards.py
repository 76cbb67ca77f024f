"""README.md beside finished data and models: the data card and the model card that a hub shows, written from
the recipe and the files themselves, so that whoever copies a folder knows what it is and what it is not."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from mmrc_helpers.store import files

CARD = "README.md"
SPLITS = ("train", "test")
NAMED = 8  # files of a user's that a card names


def write_data_card(folder: Path, recipe: Mapping, licence: str = "") -> None:
    """The data card of a folder that holds examples.jsonl, facts.jsonl and, if its world draws, pictures/.
    licence: a sentence about the weights that have painted them, if some have."""
    world, given = recipe["params"]["world"], recipe["params"].get("files", {})
    asked = _questions(folder / "examples.jsonl")
    with (folder / "facts.jsonl").open(encoding="utf-8") as lines:
        counted = sum(1 for line in lines if line.strip())
    told = ", ".join(f"{asked[split]:,} for {split}" for split in SPLITS)
    more = f" and {len(given) - NAMED} more, which recipe.json names" if len(given) > NAMED else ""
    source = (
        f"They were read from files of a user, whose licence holds: {', '.join(sorted(given)[:NAMED])}{more}."
        if given
        else f"They were made by code, with seed {recipe['seed']}."
    )
    head = {"pretty_name": folder.name.removesuffix(".part"), "tags": ["mmrc_helpers", world["name"]]}
    head |= {"license": "other" if given or licence else "mit"}
    source = f"{source} {licence}".strip()
    body = f"""
Facts of the world `{world["name"]}` and questions about them. {source}

## What is in it

- `examples.jsonl`: {sum(asked.values()):,} questions ({told}), one a line: its group (the fact it is
  about), split, prompt in parts, answer, compared options, and facets, the columns it is counted under.
- `facts.jsonl`: {counted:,} facts with title, text and the names of their pictures.
- `pictures/`, where there are any: shards of parquet, read by name.
- `recipe.json`: all parameters. `made.json`: who made it when, with sizes and SHA-256 of every file.

## Use and limits

Made to teach a model facts in some cells of a world and to ask for them in others. Questions of the split
`test` are for asking only. What a model learns from these data says nothing about other data: the world is
narrow, and its wordings and pictures are far fewer than those of nature.
"""
    _write(folder, head, "data", body, {"world": world})


def write_model_card(folder: Path, recipe: Mapping) -> None:
    """The model card of a folder that holds an adapter or a model, exposure.json and metrics.jsonl."""
    model, train, inputs = recipe["params"]["model"], recipe["params"]["train"], recipe["inputs"]
    shown, steps = files.read_json(folder / "exposure.json"), files.read_jsonl(folder / "metrics.jsonl")
    start = inputs.get("model") or model.get("name") or "new weights"
    loss = f"; the last loss it logged was {steps[-1]['loss']:.4g}" if steps else ""
    kind, reader = ("adapter", "peft") if train["lora_r"] else ("model", "transformers")
    head = {"library_name": reader, "base_model": start, "datasets": [inputs["data"]]}
    head |= {"tags": ["mmrc_helpers", train["method"]["name"]]}
    body = f"""
One training phase by `{train["method"]["name"]}`, from `{start}`, on the data `{inputs["data"]}`. It saw
{shown["rows"]:,} rows with {shown["supervised_tokens"]:,} supervised tokens{loss}. `{kind}/` is loaded by
{reader}; its licence is that of the weights it started from.

## What is in it

- `{kind}/`: the weights. `exposure.json`: what was shown, cell by cell. `metrics.jsonl`: loss and rates over
  the steps. `batch.json`: the first rows token by token. `recipe.json`: all parameters.
- `made.json`: on what it was made, in how many seconds, with sizes and SHA-256 of every file.

## Use and limits

Made to be asked what training in one cell leaves unreachable in another, and for nothing else. It may have
forgotten other things; how well it answers stands in the answers that were asked of it (`eval/`) and in the
report of its study, not here.
"""
    _write(folder, head, kind, body, {"train": train})


def _questions(path: Path) -> dict[str, int]:
    """Split → number of questions; a line is read as text, since there may be hundreds of thousands."""
    marks = {split: f'"split": "{split}"' for split in SPLITS}
    counts = dict.fromkeys(SPLITS, 0)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            for split, mark in marks.items():
                counts[split] += mark in line
    return counts


def _write(folder: Path, head: Mapping, kind: str, body: str, params: Mapping) -> None:
    name = folder.name.removesuffix(".part")
    told = yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True)
    front = yaml.safe_dump(dict(head), sort_keys=False)
    text = f"---\n{front}---\n\n# {name}: {kind}\n{body}\n## Parameters\n\n```yaml\n{told}```\n"
    files.write_text(folder / CARD, text)
