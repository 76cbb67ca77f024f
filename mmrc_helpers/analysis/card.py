"""A model card: how the model of a run was made, and what it answered. Written from the study and the stage
folders, so that no number in it is typed by hand."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

from mmrc_helpers.analysis import provenance, reading
from mmrc_helpers.store import files, folders
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study.runs import Run, Study

USE = """\
```python
from transformers import {model}, {processor}

model = {model}.from_pretrained("FOLDER")
processor = {processor}.from_pretrained("FOLDER")
```"""
LIMITS = (
    "Made to answer the question of one study, on the facts of its world. It was tested on nothing else, and "
    "is not meant for use beyond research."
)


def card(study: Study, run: Run, folder: Path, differ: float) -> str:
    """The README.md beside the merged weights of a run in `folder`. differ: by how much its logits differ
    from those with the adapter."""
    sees = "vision_config" in files.read_json(folder / "config.json")
    model = "AutoModelForImageTextToText" if sees else "AutoModelForCausalLM"
    sections = {
        "Use": USE.format(model=model, processor="AutoProcessor" if sees else "AutoTokenizer"),
        "How it was made": "\n\n".join(_made(run, differ)),
        "Results": "\n\n".join(_results(study, run)),
        "Limits": LIMITS,
    }
    text = [f"# {study.name}: {run.variant}, seed {run.seed}\n\n{study.question}"]
    text += [f"## {title}\n\n{words}" for title, words in sections.items()]
    return _head(run) + "\n\n".join(text) + "\n"


def _head(run: Run) -> str:
    """What the Hub reads."""
    named = {"base_model": run.params["model"]["name"]} if run.params["model"]["source"] == "folder" else {}
    return f"---\n{yaml.safe_dump({'library_name': 'transformers', **named}, sort_keys=False)}---\n\n"


def _made(run: Run, differ: float) -> Iterator[str]:
    model, world = run.params["model"], run.params["world"]
    start = {
        "study": f"the embedded model of the study {model['study']}",
        "folder": f"{model['name']}",
        "scratch": "random weights",
    }[model["source"]]
    yield f"Trained from {start} on the world `{world['name']}`, version {world['version']}, in these phases:"
    yield markdown(reading.plan(run))
    if any(phase["lora_r"] for phase in run.params["phases"]):
        yield f"The adapter is merged into the weights; logits differ by at most {differ:.1e} on a question."
    if model["quantize"] != "none":
        yield f"Trained on weights held in {model['quantize']}, it is merged into those in full precision."
    told = {"facts": world["facts"], "phases": run.params["phases"]}
    yield f"Every parameter:\n\n```yaml\n{yaml.safe_dump(plain(told), sort_keys=False)}```"
    yield f"Packages:\n\n{markdown(provenance.packages(provenance.provenance(run)))}"


def _results(study: Study, run: Run) -> Iterator[str]:
    if not reading.is_evaluated(run):
        yield "This run is not evaluated."
        return
    yield "This run, percent with 95 % intervals:"
    yield markdown(reading.finding_of(run).table(reading.evidence(run)))
    verdict = folders.study_folder(study.name) / "verdict.json"
    if verdict.is_file():
        yield f"The study: {files.read_json(verdict)['sentence']}"


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
