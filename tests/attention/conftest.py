"""Tiny models that tests of a module share."""

from __future__ import annotations

import pytest
from support.tiny import save_tiny


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(architecture, changes of its configuration) → the folder of such a model, made once."""
    made = {}

    def folder(architecture, **changes):
        key = (architecture, *sorted(changes))
        if key not in made:
            tokenizer = "metaspace" if architecture.startswith("mistral") else "byte_level"
            made[key] = save_tiny(tmp_path_factory.mktemp("model") / architecture, architecture, tokenizer, **changes)
        return made[key]

    return folder
