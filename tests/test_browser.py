"""What a reader sees: the report opened offline in Chromium, and JupyterLab running a notebook to its end."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import finished_study
import papermill
import pytest

from mmrc_helpers.execution.pages import render_html

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


@pytest.fixture(scope="module")
def report(environment) -> Path:
    """The page of a finished study's report."""
    study = str(finished_study.write(environment / "params"))
    output = environment / "report.ipynb"
    papermill.execute_notebook(
        NOTEBOOKS / "05_report_reversal.ipynb",
        output,
        {"study": study},
        kernel_name="python3",
        progress_bar=False,
    )
    return render_html(output, environment / "report.html")


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
    assert page.locator("details[open]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == [] and problems == []
    context.close()


def test_jupyterlab_runs_the_first_notebook_to_its_end(chromium, environment):
    folder = environment / "work"
    folder.mkdir()
    shutil.copy(NOTEBOOKS / "01_data.ipynb", folder)
    with lab(folder) as address:
        page = chromium.new_page(viewport={"width": 1300, "height": 1000})
        page.goto(address)
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=90_000)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        last = page.locator(".jp-CodeCell").last
        last.locator(".sheet img").first.wait_for(timeout=240_000)
        assert last.locator(".jp-InputPrompt").inner_text() == "[6]:"
        for wrong in ("error", "stderr"):
            assert page.locator(f"[data-mime-type='application/vnd.jupyter.{wrong}']").count() == 0
        assert page.locator(".sheet img").count() > 20
        page.screenshot(path=environment / "lab.png", full_page=True)
        page.close()


@contextlib.contextmanager
def lab(folder: Path):
    """A JupyterLab server on a free port for the time of a `with`; gives the notebook's address."""
    token, port = secrets.token_hex(16), _free_port()
    options = [f"--ServerApp.root_dir={folder}", f"--port={port}", "--no-browser", "--allow-root"]
    options += [f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"]
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/api?token={token}", server)
            yield f"http://127.0.0.1:{port}/lab/tree/01_data.ipynb?token={token}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=20)
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(address: str, process: subprocess.Popen) -> None:
    for _ in range(120):
        assert process.poll() is None, "JupyterLab ended before it answered"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    raise AssertionError("JupyterLab did not answer within a minute")
