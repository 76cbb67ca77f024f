"""JupyterLab in Chromium: it runs the first notebook to its end, and mm.browse steps through the answers of a
run."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import finished_study
import nbformat
import pytest
from nbformat.v4 import new_code_cell
from test_answers_in_browser import MOST_MILLISECONDS, STEPS
from test_browser import NOTEBOOKS, chromium, environment, pytestmark  # noqa: F401

from mmrc_helpers.study.runs import load_study


@pytest.fixture(scope="module")
def lab(environment):  # noqa: F811
    """A JupyterLab server on a free port; gives the address of a notebook in the folder `work`."""
    folder = environment / "work"
    folder.mkdir()
    token, port = secrets.token_hex(16), _free_port()
    options = [f"--ServerApp.root_dir={folder}", f"--port={port}", "--no-browser", "--allow-root"]
    options += [f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"]
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/api?token={token}", server)
            yield (
                lambda name: f"http://127.0.0.1:{port}/lab/workspaces/{name}/tree/{name}.ipynb?token={token}"
            )
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=20)
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


@pytest.fixture(scope="module")
def page(chromium, environment, lab):  # noqa: F811
    """JupyterLab, in which the first notebook has run, and behind its cells one that browses answers."""
    study = load_study(finished_study.write(environment / "params"))
    notebook = nbformat.read(NOTEBOOKS / "01_data.ipynb", as_version=4)
    source = f"import mmrc_helpers as mm\nmm.browse(mm.open_run({str(study.path)!r}, 'forward', 0))"
    notebook.cells.append(new_code_cell(source))
    nbformat.write(notebook, environment / "work" / "01_data.ipynb")
    page = chromium.new_page(viewport={"width": 1500, "height": 1000})
    page.goto(lab("01_data"))
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=90_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator("article.answer").wait_for(timeout=300_000)
    yield page
    page.close()


def test_jupyterlab_runs_the_first_notebook_to_its_end(page, environment):  # noqa: F811
    *_, last, browses = page.locator(".jp-CodeCell").all()
    last.locator(".sheet img").first.wait_for()
    prompts = [cell.locator(".jp-InputPrompt").inner_text() for cell in (last, browses)]
    assert prompts == ["[7]:", "[8]:"]
    for wrong in ("error", "stderr"):
        assert page.locator(f"[data-mime-type='application/vnd.jupyter.{wrong}']").count() == 0
    assert page.locator(".sheet img").count() > 20
    page.screenshot(path=environment / "lab.png", full_page=True)


def test_jupyterlab_browses_the_answers_of_a_run(page, environment):  # noqa: F811
    first = page.locator("article.answer").get_attribute("data-id")
    steps = page.evaluate(STEPS, {"selector": ".answers-browser", "key": "j", "count": 10})
    assert min(steps) < MOST_MILLISECONDS, json.dumps(steps)  # the least: other tests run beside it
    assert page.locator("article.answer").get_attribute("data-id") != first
    page.get_by_label("direction", exact=True).select_option(label="reverse")
    page.get_by_label("format", exact=True).select_option(label="choice")
    page.wait_for_function("document.querySelectorAll('article img[src^=\"blob:\"]').length >= 4")
    page.screenshot(path=environment / "browse.png")


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
