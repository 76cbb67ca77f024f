"""All answers to look at: nothing is lost or altered on the way to the script, and a page keeps its limit and
says what it holds."""

import base64
import gzip
import json
import re
from dataclasses import replace

import finished_study
import numpy as np
import pytest

import mmrc_helpers as mm
from mmrc_helpers.analysis.browser import page
from mmrc_helpers.analysis.browser.contents import Pictures, gather, packed, picture
from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files, folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import load_study
from mmrc_helpers.worlds import WORLDS


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMRC_ARTIFACTS", str(folder / "artifacts"))
        yield load_study(finished_study.write(folder / "params"))


@pytest.fixture(scope="module")
def contents(study):
    return gather(study)


def rows_of(study) -> list[dict]:
    return [
        row for run in study.runs for row in files.read_jsonl(stages.eval_stage(run).folder / "answers.jsonl")
    ]


def data_of(text: str) -> dict:
    """What a page's script unpacks."""
    packs = re.search(r'id="contents">([^<]*)</script>', text)[1]
    return json.loads(gzip.decompress(base64.b64decode(packs)))


def _holds_each_order(row: dict, shown: list, question: dict) -> None:
    """The probabilities in each order are those that were written, favour what was favoured, and average to
    the mean."""
    assert len(shown) == (row["orders"] if row["orders"] > 1 else 0)
    if shown:
        chances = np.exp(np.array(shown) / -10_000)
        assert chances.mean(0) == pytest.approx(np.exp(row["logprobs"]), abs=2e-4)
        size = len(row["options"])
        letters = [question["said"][(int(line.argmax()) - k) % size] for k, line in enumerate(chances)]
        assert letters == row["picks"]


def test_every_answer_is_there_behind_the_question_that_was_asked(study, contents):
    rows, pictures = rows_of(study), Pictures()
    data = packed(contents, pictures)
    answers, texts = data["answers"], data["texts"]
    assert len(rows) == len(answers["question"]) == data["total"] > 1000
    for k, row in enumerate(rows):
        question = data["questions"][answers["question"][k]]
        words = [said for kind, said in question["prompt"] if kind == "text"]
        assert question["id"] == row["id"] and question["gold"] == row["gold"]
        assert (words[-1] if words else "") == row["question"]
        assert [-value / 10_000 for value in answers["logprobs"][k]] == pytest.approx(
            row["logprobs"], abs=6e-5
        )
        _holds_each_order(row, answers["order_logprobs"][k], question)
        assert list(texts[answers["picks"][k]]) == row["picks"] and texts[answers["text"][k]] == row["text"]
        assert answers["by_logprob"][k] == row["correct_logprob"]
        assert dict(zip(data["facets"], question["facets"], strict=True)) == {
            name: row.get(name, "") for name in data["facets"]
        }


def test_pictures_are_those_that_the_model_was_shown(contents):
    pictures = Pictures()
    data = packed(contents, pictures)
    lineups = 0
    for held, question in zip(data["questions"], contents.questions, strict=True):
        of = question.example
        shown = [said for kind, said in held["prompt"] if kind == "image"]
        shown += held["options"] if of.how == "pictures" else []
        lineups += of.how == "pictures"
        assert [pictures.bytes(k) for k in sorted(shown)] == [
            picture(question.data, name)
            for name in sorted(of.pictures, key=lambda name: pictures.number(question.data, name))
        ]
    assert lineups and len(data["sizes"]) == len(set(data["sizes"])) * len(pictures.places)


def test_the_same_question_in_another_variant_is_one_question(study, contents):
    asked = {(run.seed, row["id"]) for run in study.runs
             for row in files.read_jsonl(stages.eval_stage(run).folder / "answers.jsonl")}  # fmt: skip
    assert len(contents.questions) == len(asked) < len(contents.answers) / 2


def test_a_page_that_holds_all_says_so_and_asks_nothing_of_the_network(contents):
    text = "".join(page.rendered(contents))
    data = data_of(text)
    assert len(data["answers"]["question"]) == data["total"]
    assert f"All {data['total']:,} answers to {len(data['questions']):,} questions." in text
    assert not re.findall(r'(?:src|href)="(?!data:|report\.html)[^"]*"', text) and "url(" not in text
    assert "default-src 'none'" in text and finished_study.HOSTILE not in text


def test_a_page_shows_every_picture_that_it_names(contents):
    text = "".join(page.rendered(contents))
    data, drawn = data_of(text), re.search(r'id="pictures">([^<]*)</script>', text)[1]
    assert len(data["places"]) == len(data["sizes"]) and data["places"][-1][1] == len(drawn)
    assert all(base64.b64decode(drawn[a:b])[8:12] == b"WEBP" for a, b in data["places"])


def test_pictures_are_compressed_before_answers_are_left_out(contents):
    whole = "".join(page.rendered(contents))
    fewer = "".join(page.rendered(contents, len(whole) - 100_000))
    assert "Pictures are compressed." in fewer and "compressed" not in re.search('class="held">.*', whole)[0]
    assert data_of(fewer)["answers"] == data_of(whole)["answers"] and len(fewer) < len(whole) - 100_000


def test_a_page_keeps_its_limit_and_says_how_many_answers_it_holds(contents):
    limit = page.ROOM + 60_000
    pieces = page.rendered(contents, limit)
    text = "".join(pieces)
    data, runs = data_of(text), len(contents.askings)
    held, asked = len(data["answers"]["question"]), len(data["questions"])
    assert len(text.encode()) <= limit and 0 < held < data["total"]
    assert (
        f"{held:,} of {data['total']:,} answers, to {asked:,} of {len(contents.questions):,} questions"
        in text
    )
    variants = len({asking["variant"] for asking in contents.askings})
    assert held == asked * variants and runs > variants  # every question with the answers of all its runs


def test_what_a_page_leaves_out_is_left_out_evenly(contents):
    units = page._units(contents)
    cell = [tuple(contents.questions[unit[0]].example.facets.values()) for unit in units]
    first = units[: len(set(cell)) * 3]  # as many as there are cells in three data folders
    folder = [contents.questions[unit[0]].data for unit in first]
    assert len(set(zip(cell, folder, strict=False))) == len(first)
    assert sorted(number for unit in units for number in unit) == list(range(len(contents.questions)))


def test_a_page_for_which_nothing_fits_is_refused(contents):
    with pytest.raises(UserError, match="one question alone needs more than"):
        page.rendered(contents, page.ROOM + 10)


def test_a_page_is_written_once_and_again_when_answers_are_made_again(study):
    assert not page.is_current(study)
    written = page.write(study)
    assert written == folders.study_folder(study.name) / "answers.html" and page.is_current(study)
    made = stages.eval_stage(study.runs[0]).folder / "made.json"
    whole = made.read_bytes()
    files.write_json(made, files.read_json(made) | {"files": {"answers.jsonl": [1, "another sum"]}})
    assert not page.is_current(study)
    made.write_bytes(whole)
    assert page.is_current(study)


def test_answers_to_what_is_not_asked_any_more_are_named(study, monkeypatch):
    """As after a change of a world without a new version of it."""
    world = WORLDS["people"]
    fewer = replace(world, ask=lambda data, ask, teach: world.ask(data, ask, teach)[1:])
    monkeypatch.setitem(WORLDS, "people", fewer)
    with pytest.raises(UserError, match="test/.* not asked any more; .*--redo eval"):
        gather(study)


def test_a_notebook_is_sent_contents_once_and_pictures_one_by_one(study):
    browser = mm.browse(study.runs[0])
    data = json.loads(gzip.decompress(browser.contents()))
    assert browser.contents() is browser.contents()
    assert data["total"] == len(data["answers"]["question"]) > 100
    assert browser._pictures.bytes(0).startswith(b"\x89PNG")


def test_a_run_without_answers_is_refused_at_once(tmp_path, monkeypatch, study):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path))
    with pytest.raises(UserError, match="no answers yet"):
        mm.browse(study)


def test_a_mistake_links_to_its_place_among_all_answers(study, contents):
    sheet = mm.show_mistakes(study.runs[0]).data
    links = re.findall(r'href="\.\./answers\.html#([^"]*)"', sheet)
    assert links and "variant=untrained" in links[0] and "id=test%2F" in links[0]
