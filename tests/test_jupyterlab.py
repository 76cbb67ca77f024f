"""JupyterLab in Chromium: it runs the first notebook to its end, and mm.browse steps through the answers of a
run."""

import contextlib
import json
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

import finished_study
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
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


def test_jupyterlab_runs_the_first_notebook_to_its_end(chromium, environment, lab):  # noqa: F811
    shutil.copy(NOTEBOOKS / "01_data.ipynb", environment / "work")
    page = chromium.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(lab("01_data"))
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=90_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = page.locator(".jp-CodeCell").last
    last.locator(".sheet img").first.wait_for(timeout=240_000)
    assert last.locator(".jp-InputPrompt").inner_text() == "[7]:"
    for wrong in ("error", "stderr"):
        assert page.locator(f"[data-mime-type='application/vnd.jupyter.{wrong}']").count() == 0
    assert page.locator(".sheet img").count() > 20
    page.screenshot(path=environment / "lab.png", full_page=True)
    page.close()


def test_jupyterlab_browses_the_answers_of_a_run(chromium, environment, lab):  # noqa: F811
    study = load_study(finished_study.write(environment / "params"))
    source = f"import mmrc_helpers as mm\nmm.browse(mm.open_run({str(study.path)!r}, 'forward', 0))"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    nbformat.write(
        new_notebook(cells=[new_code_cell(source)], metadata=kernel), environment / "work" / "browse.ipynb"
    )
    page = chromium.new_page(viewport={"width": 1500, "height": 1000})
    page.goto(lab("browse"))
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator("article.answer").wait_for(timeout=120_000)
    first = page.locator("article.answer").get_attribute("data-id")
    steps = page.evaluate(STEPS, {"selector": ".answers-browser", "key": "j", "count": 10})
    assert min(steps) < MOST_MILLISECONDS, json.dumps(steps)  # the least: other tests run beside it
    assert page.locator("article.answer").get_attribute("data-id") != first
    page.get_by_label("direction", exact=True).select_option(label="reverse")
    page.get_by_label("format", exact=True).select_option(label="choice")
    page.wait_for_function("document.querySelectorAll('article img[src^=\"blob:\"]').length >= 4")
    page.screenshot(path=environment / "browse.png")
    page.close()


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
