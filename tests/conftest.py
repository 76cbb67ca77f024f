"""What several test files share."""

import signal
from pathlib import Path

import pytest

from mmrc_helpers.store import files, folders

# A shell's background job ignores Ctrl-C, and so would every process that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def artifacts_with_base(tmp_path_factory) -> Path:
    """An artifacts folder for the whole test run, into which the committed base model is linked."""
    root = tmp_path_factory.mktemp("study") / "artifacts"
    link_base(root)
    return root


def link_base(root: Path) -> None:
    """Links the repository's finished models into another artifacts folder, so they are not trained again."""
    (root / "train").mkdir(parents=True)
    for folder in (files.REPOSITORY / "artifacts" / "train").iterdir():
        if folders.is_complete(folder):
            (root / "train" / folder.name).symlink_to(folder)
