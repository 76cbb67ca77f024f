"""The gallery: every world with its axes, every cell with an example and its solution, in one file."""

import re
from html import escape, unescape

import pytest

from mmrc_helpers import gallery
from mmrc_helpers.tasks.example import answer_of
from mmrc_helpers.worlds import WORLDS


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    return gallery.write(tmp_path_factory.mktemp("gallery") / "gallery.html").read_text("utf-8")


def part_of(page: str, world: str) -> str:
    return re.search(rf'<section id="{world}">.*?</section>', page, re.DOTALL)[0]


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_tells_its_axes_and_shows_its_cells(page, name):
    part, world = part_of(page, name), WORLDS[name]
    told = re.findall(r"<dt class=(\w+)>(\w+)</dt>", part)
    assert [facet for _, facet in told] == list(world.facets)
    assert {facet for kind, facet in told if kind == "spans"} == set(world.cells)
    if name in gallery.FROM_FILES:
        assert "user's own files" in unescape(part) and "<article>" not in part
        return
    _, examples = gallery._made(name, world)
    shown = [of for views in gallery.cells(name, examples).values() for of in views]
    assert {e.cell(*world.cells) for e in shown} == {e.cell(*world.cells) for e in examples}
    assert part.count("<article>") == len(shown) > 0
    for example in shown:
        assert escape(answer_of(example)) in part and world.grade(example, answer_of(example)).right


@pytest.mark.parametrize("name", ["tables", "grids", "analogies"])
def test_an_instance_is_shown_in_all_of_its_views(name):
    world = WORLDS[name]
    _, examples = gallery._made(name, world)
    for views in gallery.cells(name, examples).values():
        assert {e.facets["view"] for e in views} == {"text", "image", "image_via_text"}
        assert len({e.group for e in views}) == 1


def test_it_needs_nothing_else_and_every_picture_is_described(page):
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) and "url(" not in page
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) > 20 and all(re.search(r'alt="Picture [^"]{3,}"', of) for of in pictures)
    assert "<script" not in page and len(page) < 5e6
