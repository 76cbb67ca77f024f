"""World `tsv`: what is exported can be asked by any study; what is wrong with a file is told before."""

import base64
import csv
import io
from importlib import import_module
from pathlib import Path

import preloaded
import pytest
import tiny
import yaml
from PIL import Image
from puzzle_facts import sections

import mmrc_helpers as mm
from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import load_study
from mmrc_helpers.worlds import INVALID, Data
from mmrc_helpers.worlds.puzzles.tsv import write_all
from mmrc_helpers.worlds.tsv import WORLD

KINDS = pytest.mark.parametrize("kind", ["tables", "grids", "analogies"])
ASK = {"instances": 0, "drops": []}


def exported(kind: str, folder: Path, instances: int = 3, **changes) -> list[Path]:
    """The files of a small world of this kind."""
    made = import_module(f"mmrc_helpers.worlds.{kind}").WORLD.make(
        sections(kind, instances, **changes)["facts"], 0
    )
    return write_all(made.examples, lambda name: made.draw(made.pictures[name]), folder)


def facts_of(paths: list[Path]) -> dict:
    return {d: [str(p) for p in paths if d.upper() in p.name] for d in ("simple", "medium", "hard")}


@KINDS
def test_what_is_exported_is_asked_and_graded(kind, tmp_path):
    paths = exported(kind, tmp_path)
    assert len(paths) == 4  # simple and hard, in text and in pictures
    facts = facts_of(paths)
    assert list(WORLD.check(facts)) == [] and WORLD.files(facts) == paths and WORLD.size(facts) > 0
    made = WORLD.make(facts, 0)
    asked = WORLD.ask(Data(made.examples, made.facts), {**ASK, "drops": ["image"]}, {})
    whole = [example for example in asked if example.facets["drop"] == "none"]
    assert len(whole) == 2 * 2 * 3 and len(asked) == 3 * 2 * 3
    assert {e.cell(*WORLD.cells) for e in whole} == {
        f"{d}/{v}" for d in ("simple", "hard") for v in ("text", "image")
    }
    assert len({example.group for example in whole}) == 2 * 3, "text and picture of an instance are one group"
    assert len({example.id for example in asked}) == len(asked)
    for example in asked:
        assert set(example.pictures) <= set(made.pictures) and set(example.facets) <= set(WORLD.facets)
        best, worst = WORLD.grade(example, example.answer), WORLD.grade(example, "")
        assert best.right and best.parts["legacy"] == 1 and best.parts["format"] == 1
        assert not worst.right and worst.answer == INVALID and set(best.parts) == set(worst.parts)
    assert all(found == wanted for _, found, wanted in WORLD.promises(Data(made.examples)))
    for fact in made.facts:
        assert "[text]" in fact["text"] and "[image]" in fact["text"] and len(fact["pictures"]) == 1
    few = WORLD.ask(Data(made.examples, made.facts), {**ASK, "instances": 2}, {})
    assert len(few) == 2 * 2 * 2 and {e.group for e in few} < {e.group for e in whole}


def test_a_study_names_files_beside_it(tmp_path):
    exported("tables", tmp_path / "own")
    study = {"data": {"world": "tsv"}, "tsv": {"hard": ["own"]}, "variants": {"untrained": {"phases": []}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(study))
    (run,) = load_study(str(tmp_path / "mine.yaml")).runs
    assert run.params["world"]["facts"]["hard"] == (str(tmp_path / "own"),)
    assert len(WORLD.make(run.params["world"]["facts"], 0).examples) == 2 * 2 * 3


def written(path: Path, *rows, head=("index", "question", "answer")) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([head, *rows])
    return str(path)


BLOCK = "Example 1: (shape size, XOR)\nOption 1: (line type, OR), not consistent\n\nAnswer: 3"


@pytest.mark.parametrize(
    ("rows", "head", "said"),
    [
        ([], None, "holds no question"),
        ([["0_0", "What?", BLOCK]], None, "row 1: its answer is not the block of an analogy"),
        ([["0_0", "7"]], ("index", "answer"), "the columns question are missing"),
        ([["0_0", "What?", "seven"]], None, "row 1: answer: neither summands"),
        (
            [["0_0", "What?", "7", base64.b64encode(b"no picture").decode()]],
            ("index", "question", "answer", "image"),
            "row 1: its picture cannot be read (of no known format); save it again, as PNG or JPEG",
        ),
        ([["0_0"]], ("version https://git-lfs.github.com/spec/v1",), "a pointer of git-lfs"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_before_anything_is_made(rows, head, said, tmp_path):
    path = written(tmp_path / "a.tsv", *rows, **({"head": head} if head else {}))
    facts = {"simple": [path], "medium": [], "hard": []}
    (problem,) = WORLD.check(facts)
    assert said in problem and "a.tsv" in problem
    with pytest.raises(UserError):
        WORLD.make(facts, 0)


def test_files_that_are_not_there_or_not_named_are_told():
    assert "no file is named" in "".join(WORLD.check({"simple": [], "medium": [], "hard": []}))
    assert "tsv.hard: own/gone.tsv is not there" in "".join(
        WORLD.check({"simple": [], "medium": [], "hard": ["own/gone.tsv"]})
    )


def test_a_picture_that_is_cut_off_is_named_where_it_is_drawn(tmp_path):
    encoded = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(encoded, "PNG")
    cut = base64.b64encode(encoded.getvalue()[:-900]).decode()
    path = written(
        tmp_path / "a.tsv", ["0_0", "What?", "7", cut], head=("index", "question", "answer", "image")
    )
    made = WORLD.make({"simple": [path], "medium": [], "hard": []}, 0)
    with pytest.raises(UserError, match="a.tsv, row-000001: the picture is damaged .*; replace it"):
        made.draw(made.pictures["simple-0-row-000001"])


def test_many_wrong_rows_are_counted(tmp_path):
    path = written(tmp_path / "a.tsv", *[[f"0_{n}", "What?", BLOCK] for n in range(30)])
    assert "10 more like these" in list(WORLD.check({"simple": [path], "medium": [], "hard": []}))[-1]


def test_analogies_in_few_tokens_are_not_what_other_programs_read(tmp_path):
    with pytest.raises(UserError, match="write analogies.style: full"):
        exported("analogies", tmp_path, facts__style="terse")


def test_any_model_is_asked_and_what_it_was_asked_is_written_again(tmp_path, monkeypatch):
    paths = exported("tables", tmp_path / "own", instances=2, small=True)
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    tiny.link_base(tmp_path / "artifacts")
    study = {"data": {"world": "tsv"}, "tsv": facts_of(paths), "variants": {"untrained": {"phases": []}}}
    study |= {"evaluate": {"max_new_tokens": 4}, "machine": {"launcher": "python", "accelerator": "cpu"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(study))
    (run,) = load_study(str(tmp_path / "mine.yaml")).runs
    with preloaded.stages():
        for stage in stages.stages_of(run):
            stages.make(stage, run.params["machine"], tiny.quiet)
    answers = files.read_jsonl(stages.eval_stage(run).folder / "answers.jsonl")
    assert sorted((row["difficulty"], row["view"]) for row in answers) == sorted(
        (d, v) for d in ("simple", "hard") for v in ("text", "image") for _ in range(2)
    )
    again = mm.make_tsv(run, tmp_path / "again")
    assert sorted(path.read_bytes() for path in again) == sorted(path.read_bytes() for path in paths)
