"""The worked examples of CONTRIBUTING.md do what they say: they are cut out of it and run."""

import importlib.util
import json
import re
import shutil
import sys
import tomllib
from types import ModuleType

import pytest
import synthetic
import yaml
from models.loaded import toy_of
from training import phases

from mmrc_helpers import analysis, training
from mmrc_helpers.analysis.evidence import Evidence
from mmrc_helpers.store import files

WHERE = re.compile(r"```\w+\n# (\S+?)(?:, in (\w+))?\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def blocks() -> dict[str, str]:
    """Path, or table, → the text that belongs there."""
    text = (files.REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return {table or path: block for path, table, block in WHERE.findall(text)}


def module_of(path: str, text: str, folder, monkeypatch) -> ModuleType:
    """The module of this text, importable by its path in the repository."""
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    name = path.removesuffix(".py").replace("/", ".")
    spec = importlib.util.spec_from_file_location(name, place)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def entry_of(text: str, names: dict):
    """Name and value of an entry of a table, as its module would read it."""
    ((name, value),) = eval("{" + text + "}", names).items()
    return name, value


def test_the_citation_names_this_version_and_licence():
    project = tomllib.loads((files.REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = yaml.safe_load((files.REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert {"cff-version", "message", "title", "authors", "abstract"} <= set(cited)
    assert f"## {project['version']}\n" in (files.REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_they_are_about_twenty_lines_long(blocks):
    for path, text in blocks.items():
        code = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)
        lines = [line for line in code.splitlines() if line and not line.startswith(("import", "from"))]
        assert len(lines) <= 20, path


@pytest.fixture
def focal(blocks, tmp_path, monkeypatch):
    """The method of the example, as if it stood in the house."""
    path = "mmrc_helpers/training/focal.py"
    module_of(path, blocks[path], tmp_path, monkeypatch)
    name, method = entry_of(blocks["METHODS"], vars(training))
    monkeypatch.setitem(training.METHODS, name, method)
    params = shutil.copytree(files.REPOSITORY / "params", tmp_path / "params")
    (params / "methods" / "focal.yaml").write_text(blocks["params/methods/focal.yaml"])
    monkeypatch.setattr(phases, "PARAMS", params)
    return name


def test_the_method_trains_a_toy(focal, tmp_path):
    toy = toy_of("qwen3_vl", tmp_path)
    losses = {}
    for label, method, own in (("sft", "sft", {}), ("0", focal, {"focus": 0.0}), ("2", focal, {})):
        _, rows = phases.trained(phases.phase_of(toy, tmp_path / label, method, own=own, steps=4))
        losses[label] = [row["loss"] for row in rows]
    assert losses["0"] == pytest.approx(losses["sft"], abs=1e-5)  # without focus: what it came from
    assert all(0 < focused < plain for focused, plain in zip(losses["2"], losses["sft"], strict=True))
    assert losses["2"][-1] < losses["2"][0]


@pytest.fixture
def order(blocks, tmp_path, monkeypatch):
    """The finding of the example."""
    path = "mmrc_helpers/analysis/order.py"
    module = module_of(path, blocks[path], tmp_path, monkeypatch)
    name, finding = entry_of(blocks["FINDINGS"], {**vars(analysis), "order": module})
    assert name == "order"
    return finding


def test_the_finding_reads_answers(order):
    study, facets = synthetic.evidence(), {"people": ("direction", "format")}
    for share, word in ((1.0, "steady"), (0.5, "swayed")):  # right in all orders, or in half of them
        answers = study.answers.assign(all_orders=share * study.answers["correct"])
        evidence = Evidence(answers, study.report, study.taught, facets)
        found, table = order.verdict(evidence), order.table(evidence)
        assert found.verdict == word and found.sentence.endswith(" in every order.")
        assert set(table["cell"]) == {"forward/choice", "reverse/choice"} and (table["accuracy"] > 0).all()
        assert table["swayed"].tolist() == pytest.approx((table["accuracy"] * (share < 1)).tolist())
        json.dumps(found.as_dict(), allow_nan=False)
    assert set(analysis.OF_ANY_WORLD) == set(order.figures)
