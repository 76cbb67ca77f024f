"""The smoke study as a container or a cluster runs it: a user without a name or a home, a checkout that
cannot be written, artifacts on another disk, the POSIX locale, two of the cores, a deep TMPDIR, a shell in an
allocation."""

import os
import shlex
import shutil
import tempfile
from pathlib import Path

import pytest

from mmrc_helpers.store import files, folders

USER = 54321
ALLOCATION = {
    "SLURM_PROCID": "1",
    "SLURM_NTASKS": "4",
    "RANK": "1",
    "WORLD_SIZE": "4",
    "MASTER_ADDR": "10.255.255.1",
}
LOCALE = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def disk():
    """A folder of the user's on another disk than the checkout's and the temporary files'."""
    if not Path("/dev/shm").is_dir():
        pytest.skip("no second disk")
    folder = Path(tempfile.mkdtemp(prefix="container-", dir="/dev/shm"))
    os.chown(folder, USER, USER)
    yield folder
    shutil.rmtree(folder)


def read_only_checkout() -> list[str]:
    repository = shlex.quote(str(files.REPOSITORY))
    return [f"mount --bind {repository} {repository}", f"mount -o remount,bind,ro {repository}"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["python", "torchrun"])
def test_the_smoke_study_reaches_its_report_in_a_container(as_another, common, disk, launcher):
    deep = common / "/".join(["a-rather-long-name-of-a-folder"] * 5)
    deep.mkdir(parents=True)
    os.chown(deep, USER, USER)
    study = "smoke"
    if launcher != "python":
        study = str(common / "mine.yaml")
        (common / "mine.yaml").write_text(f"extends: smoke\nmachine: {{launcher: {launcher}}}\n")
    prepare = [*read_only_checkout(), 'taskset --cpu-list --pid "0,1" $$ >/dev/null']
    own = {"MMRC_ARTIFACTS": str(disk / "artifacts"), "TMPDIR": str(deep)} | ALLOCATION | LOCALE
    run = as_another("-m", "mmrc_helpers.run", study, user=USER, prepare=prepare, **own)
    said = run.stdout + run.stderr
    assert run.returncode == 0 and "Traceback" not in said, said
    assert "verdict: " in said and "base model" not in said
    name = Path(study).stem
    assert (disk / "artifacts" / "studies" / name / "report.html").stat().st_size > 10_000
    made = [path.parent for path in disk.glob("artifacts/*/*/made.json")]
    assert {path.parent.name for path in made} >= {"data", "train", "eval"}
    assert not [problem for folder in made for problem in folders.damage(folder)]
    assert all(
        path.stat().st_mode & 0o044 == 0o044 for folder in made for path in folder.rglob("*.safetensors")
    )
    left = {path.name for path in deep.glob("mmrc-*")}
    assert left <= {f"mmrc-home-{USER}"}, left  # the home that is lent, for the next time
    assert not list(disk.glob("artifacts/*/*.part"))
    again = as_another("-m", "mmrc_helpers.run", study, user=USER, prepare=prepare, **own)
    assert again.returncode == 0 and "making" not in again.stdout and "01_data" not in again.stdout, (
        again.stdout
    )
