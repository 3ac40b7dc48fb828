"""A tiny model, and a copy of it to damage."""

import shutil
from pathlib import Path

import pytest
from support.tiny import save_tiny


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama")


@pytest.fixture
def tiny(model, tmp_path):
    return Path(shutil.copytree(model, tmp_path / "tiny"))
