"""All answers in Chromium: the page opened from its file; and the gallery."""

import contextlib

import finished_study
import pytest
from test_browser import chromium, environment, pytestmark, watched  # noqa: F401

from mmrc_helpers import gallery
from mmrc_helpers.analysis.browser import page as answers_page
from mmrc_helpers.study.runs import load_study

MOST_MILLISECONDS = 200  # of a step

# Presses a key `count` times; gives the milliseconds from each press to the frame behind the next one.
STEPS = """async ({selector, key, count}) => {
  const found = [], root = document.querySelector(selector);
  for (let n = 0; n < count; n++) {
    const began = performance.now();
    root.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    found.push(performance.now() - began);
  }
  return found.sort((a, b) => a - b);
}"""


@pytest.fixture(scope="module")
def study(environment):  # noqa: F811
    return load_study(finished_study.write(environment / "params"))


@pytest.fixture(scope="module")
def page_of_answers(study):
    return answers_page.write(study)


@pytest.fixture(scope="module")
def page_of_worlds(environment):  # noqa: F811
    return gallery.write(environment / "gallery.html")


@contextlib.contextmanager
def opened(chromium, file, scheme="light", width=1300, more=""):  # noqa: F811
    """The page offline; nothing may be requested and nothing may go wrong on it."""
    context = chromium.new_context(
        offline=True, color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    page = context.new_page()
    problems, requested = watched(page), []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(file.as_uri() + more)
    yield page
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == [] and problems == []
    context.close()


@pytest.mark.parametrize("width", [1300, 390])
def test_the_answers_page_steps_filters_and_compares_offline(chromium, page_of_answers, width):  # noqa: F811
    with opened(chromium, page_of_answers, width=width) as page:
        page.locator("article.answer").wait_for()
        total = page.locator(".position").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.evaluate("[...document.images].every(i => i.alt.length > 3)")
        first = page.locator("article.answer").get_attribute("data-id")
        steps = page.evaluate(STEPS, {"selector": "main", "key": "j", "count": 20})
        assert min(steps) < MOST_MILLISECONDS, steps  # the least: other tests run beside it
        assert page.locator("article.answer").get_attribute("data-id") != first
        page.keyboard.press("Home")
        assert page.locator("article.answer").get_attribute("data-id") == first
        page.keyboard.press("w")
        assert page.locator(".position").inner_text() != total
        assert page.locator("article.answer header .mark").inner_text() == "wrong"
        page.keyboard.press("b")
        page.keyboard.press("b")
        assert page.locator("article.answer").count() == 2
        page.keyboard.press("w")
        if width == 1300:
            page.get_by_label("format", exact=True).select_option(label="choice")
            assert "choice" in page.locator("article.answer .facets").first.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_address_leads_to_an_answer_and_pictures_are_there(chromium, page_of_answers, scheme):  # noqa: F811
    with opened(chromium, page_of_answers, scheme) as page:
        page.get_by_label("format", exact=True).select_option(label="choice")
        page.get_by_label("direction", exact=True).select_option(label="reverse")
        wanted = page.locator("article.answer").get_attribute("data-id")
        page.wait_for_function("id => decodeURIComponent(location.hash).includes(`id=${id}`)", arg=wanted)
        address = page.url.split("#")[1]
    with opened(chromium, page_of_answers, scheme, more=f"#{address}") as page:
        assert page.locator("article.answer").get_attribute("data-id") == wanted
        loaded = "[...document.querySelectorAll('article img')].every(i => i.complete && i.naturalWidth > 0)"
        page.wait_for_function(loaded)
        assert page.locator("article img").count() >= 4


def test_an_address_of_an_answer_that_is_not_held_says_so(chromium, page_of_answers):  # noqa: F811
    with opened(chromium, page_of_answers, more="#variant=forward&seed=0&id=lost") as page:
        assert "not among those held here" in page.locator(".position").inner_text()
        assert page.locator("article.answer").count() == 1


@pytest.mark.parametrize("width", [1300, 390])
def test_the_gallery_opens_offline_and_fits(chromium, page_of_worlds, width):  # noqa: F811
    with opened(chromium, page_of_worlds, width=width) as page:
        page.evaluate("[...document.images].forEach(i => { i.loading = 'eager'; })")
        page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
