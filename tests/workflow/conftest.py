import pytest
from support import studies


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A tiny study, run from nothing to its report; copy it before changing anything."""
    folder = tmp_path_factory.mktemp("finished") / "study"
    folder.mkdir()
    studies.write_study(folder)
    studies.snakemake(folder)
    return folder


@pytest.fixture
def study(finished, tmp_path):
    """A copy of the finished study, to change."""
    return studies.copy_study(finished, tmp_path / "study")
