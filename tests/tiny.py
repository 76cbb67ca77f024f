"""What test files share: people few enough for any test, and artifacts folders that know committed models.

Studies that write these people and seed 0 in the same artifacts folder share one data stage.
"""

from pathlib import Path

from mmrc_helpers.execution import guard
from mmrc_helpers.store import files, folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import load_study

PEOPLE = (
    "people: {background: 8, novel: 16, train_views: 2, test_views: 1, train_scenes: 1, text_scenes: 8}\n"
)


def link_base(root: Path) -> None:
    """Links the repository's finished models into another artifacts folder, so they are not trained again."""
    (root / "train").mkdir(parents=True)
    for folder in (files.REPOSITORY / "artifacts" / "train").iterdir():
        if folders.is_complete(folder):
            (root / "train" / folder.name).symlink_to(folder)


def base_model() -> Path:
    """The folder of the embedded model below the artifacts root as it is now."""
    return stages.base_stage(load_study("reversal").runs[0]).folder


def is_alive(pid: int) -> bool:
    """Whether there is such a process that is more than a zombie."""
    return guard.parent(pid) is not None


def quiet(*_, **__) -> None:
    """In place of `print` where a stage is made."""
