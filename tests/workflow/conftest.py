"""A tiny study that workers share: the first that needs it makes it."""

import pytest
from filelock import FileLock
from support import studies


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id):
    """A tiny study, run from nothing to its report; copy it before changing anything."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent
    folder, done = base / "finished" / "study", base / "finished" / "done"
    with FileLock(base / "finished.lock"):
        if not done.exists():
            folder.mkdir(parents=True)
            studies.write_study(folder)
            studies.snakemake(folder, fresh=base / "finished" / "fresh")
            done.touch()
    return folder


@pytest.fixture
def study(finished, tmp_path):
    """A copy of the finished study, to change."""
    return studies.copy_study(finished, tmp_path / "study")
