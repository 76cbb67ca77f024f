"""`python -m mmrc_helpers.execution.lab`: JupyterLab on working copies of the notebooks, in artifacts/lab, so
that saving one changes nothing that git or a study looks at. What was edited there is never written over."""

import os
import sys
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.execution import surroundings
from mmrc_helpers.execution.notebooks import sources_of
from mmrc_helpers.store import disk, files

FOLDER = "lab"
GIVEN = "given.json"  # in the working folder: the sources of each notebook as it was copied
OPTIONS = ("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")


def main() -> None:
    """Copies what is missing or out of date, then becomes JupyterLab with the options given."""
    surroundings.degrade(sys.stdout)
    surroundings.degrade(sys.stderr)
    try:
        folder = working_copies(files.REPOSITORY / "notebooks")
    except UserError as error:
        sys.exit(f"error: {error}")
    os.environ["MMRC_ARTIFACTS"] = str(files.artifacts_root())  # kernels work in another folder
    lab = ["-m", "jupyterlab", f"--notebook-dir={folder}", *OPTIONS, *sys.argv[1:]]
    os.execv(sys.executable, [sys.executable, *lab])


def working_copies(originals: Path) -> Path:
    """The folder of working copies of the notebooks in `originals`. A copy of which no cell was edited
    follows its original; beside one that was, a changed original is put as NAME.new.ipynb."""
    folder = files.artifacts_root() / FOLDER
    with disk.writing_into(folder):
        files.make_folder(folder)
        given = files.read_json(folder / GIVEN) if (folder / GIVEN).is_file() else {}
        for original in sorted(originals.glob("[!.]*.ipynb")):
            text, copy = original.read_text("utf-8"), folder / original.name
            new = sources_of(text, original)
            if given.get(original.name) != new or not copy.is_file():
                if copy.is_file() and sources_of(copy.read_text("utf-8"), copy) != given.get(original.name):
                    copy = copy.with_suffix(".new.ipynb")
                    print(
                        f"{show(folder / original.name)} holds your changes; the project's is now {copy.name}"
                    )
                files.write_text(copy, text)
                given[original.name] = new
        files.write_json(folder / GIVEN, given)
    return folder


if __name__ == "__main__":
    main()
