"""What a reader sees: pages opened offline in Chromium, in which axe-core finds nothing serious."""

import csv
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from mmrc_helpers.execution.pages import render_index

AXE = "axe-core@4.11.1"  # rules of accessibility, fetched for the test; it is not part of the repository
VIEWS = {"light": ("light", 1400), "dark": ("dark", 1400), "phone": ("light", 390)}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed (Debian: apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A folder with artifacts and Jupyter's own folders, the package importable by kernels."""
    place = tmp_path_factory.mktemp("browser")
    path = os.pathsep.join([str(NOTEBOOKS.parent), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
        for name in ("MMRC_ARTIFACTS", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(place / name.lower()))
        yield place


@pytest.fixture(scope="module", autouse=True)
def executed(simulated) -> dict[str, Path]:
    """The pages of a finished study's notebooks, where a run has put them; made before Chromium is started,
    whose event loop the processes that execute them would inherit."""
    names = ("05_report_reversal", "05_report_accuracy", "03_evaluate")
    return {name: simulated.executed(name).with_suffix(".html") for name in names}


@pytest.fixture(scope="module")
def report(executed) -> Path:
    return executed["05_report_reversal"]


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    """The source of axe-core, of this version, from the npm index."""
    npm, place = shutil.which("npm"), tmp_path_factory.mktemp("axe")
    if not npm:
        pytest.skip("npm is not installed, which fetches axe-core")
    command = [npm, "pack", AXE, "--silent", "--pack-destination", str(place)]
    fetched = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)
    if fetched.returncode:
        pytest.skip(f"the npm index cannot be reached: {fetched.stderr.strip()[-200:]}")
    with tarfile.open(next(place.glob("axe-core-*.tgz"))) as packed:
        return packed.extractfile("package/axe.min.js").read().decode()


def watched(page) -> list[str]:
    """What goes wrong on the page, as it happens."""
    problems: list[str] = []
    page.on("requestfailed", lambda request: problems.append(f"request failed: {request.url[:200]}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    return problems


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_offline_without_a_request_or_an_error(chromium, report, scheme):
    context = chromium.new_context(offline=True, color_scheme=scheme)
    page = context.new_page()
    problems, requested = watched(page), []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(report.as_uri())
    pictures = page.locator("img")
    assert pictures.count() >= 7 and page.title().startswith("Can a model")
    assert all(page.evaluate("[...document.images].map(i => i.alt.length > 3 && i.naturalWidth > 0)"))
    assert page.locator("main details[open]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == [] and problems == []
    context.close()


@pytest.fixture
def opened(chromium, report):
    """The report in a window, offline."""
    with chromium.new_context(offline=True, viewport={"width": 1400, "height": 900}) as context:
        page = context.new_page()
        page.goto(report.as_uri())
        yield page


def test_the_verdict_and_the_main_figure_stand_on_the_first_screen(opened):
    figure, verdict = opened.locator(".lead figure img"), opened.locator(".lead .verdict p")
    assert verdict.count() == 2
    for shown in (figure, verdict.first):
        box = shown.bounding_box()
        assert box["y"] + box["height"] < 900, box
    assert figure.bounding_box()["x"] > verdict.first.bounding_box()["x"] + 200


def test_tables_are_sorted_and_saved(opened, tmp_path):
    table = opened.locator(".numbers table")
    heads = table.locator("thead th").all_inner_texts()
    column = heads.index("reverse/judge")
    values = lambda: [  # noqa: E731  (read anew after each click)
        float(text.split()[0].replace("−", "-")) for text in
        table.locator(f"tbody tr > :nth-child({column + 1})").all_inner_texts() if text.strip()
    ]  # fmt: skip
    before = values()
    for click, wanted in (("ascending", sorted(before)), ("descending", sorted(before, reverse=True))):
        table.get_by_role("button", name="reverse/judge").click()
        assert values() == wanted != before
        assert table.locator("thead th").nth(column).get_attribute("aria-sort") == click
    with opened.expect_download() as saved:
        opened.get_by_role("button", name="Save as CSV: The same in numbers").click()
    saved.value.save_as(tmp_path / "numbers.csv")
    with (tmp_path / "numbers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert saved.value.suggested_filename == "the-same-in-numbers.csv"
    assert rows[0] == heads and len(rows) == table.locator("tr").count() and all(row[0] for row in rows)


def test_figures_are_enlarged_and_saved(opened, tmp_path):
    figure, dialog = opened.locator("figure.plot").first, opened.locator("dialog")
    figure.get_by_role("button", name="Enlarge").click()
    assert dialog.is_visible() and dialog.locator("img").get_attribute("alt")
    opened.keyboard.press("Escape")
    assert not dialog.is_visible()
    with opened.expect_download() as saved:
        figure.get_by_role("button", name="PNG", exact=True).click()
    saved.value.save_as(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_every_link_leads_somewhere_and_every_number_to_its_folder(opened, report):
    links = opened.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    inside = {link[1:] for link in links if link.startswith("#")}
    assert inside <= set(opened.locator("[id]").evaluate_all("all => all.map(e => e.id)"))
    # the page of all answers is written by the run, behind the report
    beside = {link for link in links if not link.startswith("#")} - {"answers.html"}
    assert all((report.parent / link).exists() for link in beside), beside
    assert {"figures/scores.pdf", "figures/scores.svg", "figures/scores.png"} <= beside
    numbers = opened.locator(".numbers tbody td").evaluate_all(
        "all => all.filter(d => d.textContent.trim()).map(d => d.querySelector('a').getAttribute('href'))"
    )
    assert set(numbers) == {"#from-untrained", "#from-naming", "#from-forward"}
    assert all(opened.locator(f"{row} a[href*='eval/answers-']").count() for row in set(numbers))


def test_on_paper_all_is_unfolded_and_nothing_to_click_is_left(opened):
    opened.emulate_media(media="print")
    assert not opened.locator("nav").is_visible() and not opened.locator("button.save").first.is_visible()
    assert opened.locator(".verdict table").is_visible() and opened.locator("thead").first.is_visible()
    assert not opened.locator("details.code pre").first.is_visible()
    assert len(opened.pdf(format="A4")) > 50_000


@pytest.fixture(scope="module")
def pages(executed, report) -> list[Path]:
    """One page of every kind: reports, a run with pictures, an index."""
    rows = [{"name": "forward, seed 0", "status": "finished", "links": {"report": "report.html"}}]
    index = render_index(report.parent / "index.html", "finished", "A question?", rows)
    return [*executed.values(), index]


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_serious_on_any_page(chromium, pages, axe, view):
    scheme, width = VIEWS[view]
    size = {"width": width, "height": 900}
    with chromium.new_context(offline=True, color_scheme=scheme, viewport=size, bypass_csp=True) as context:
        for path in pages:
            page = context.new_page()
            page.goto(path.as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
            page.evaluate(axe)
            found = page.evaluate("axe.run({resultTypes: ['violations']})")  # of the rest one place a rule
            told = [(of["id"], of["nodes"][0]["html"]) for of in found["violations"]
                    if of["impact"] in ("serious", "critical")]  # fmt: skip
            assert told == [] and len(found["passes"]) > 10, f"{path.name}: {told}"
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path.name
