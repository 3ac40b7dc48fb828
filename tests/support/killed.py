"""A ranking that ends in its middle as if its process were killed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from layerrank.ranking import engine as engines


@contextlib.contextmanager
def killed_after(count: int) -> Iterator[None]:
    """Let the engine give so many queries, then end; what is inside must not go on after it."""
    whole = engines.Engine.rank

    def rank(self, candidates):
        for number, ranked in enumerate(whole(self, candidates)):
            if number == count:
                raise KeyboardInterrupt
            yield ranked

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(engines.Engine, "rank", rank)
        yield
