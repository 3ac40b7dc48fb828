"""Which tests a worker of pytest-xdist is given together, and in which order.

Tests of a file share what its fixtures make, so one worker runs them; in the files of `SPREAD` each test stands alone.
What takes longest comes first, so that no worker is left with it at the end.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

LONGEST = (
    "tests/workflow/test_study.py::test_the_study_leaves_runs_of_every_cell_windows_tables_and_figures",
    "tests/workflow/test_served.py",
    "tests/workflow/test_trained.py",
    "tests/workflow/test_identity.py",
    "tests/workflow/test_paper_graph.py",
    "tests/study/test_drawn.py",
    "tests/workflow/test_study.py",
    "tests/workflow/",
)
"""Beginnings of node ids, in the order in which they are run; all others come after them, in that of their names."""

SPREAD = frozenset({"tests/workflow/test_study.py", "tests/docs/test_commands.py", "tests/layers/test_shape.py"})
"""Files whose tests share nothing, or share it among workers."""


class ByFile(LoadScopeScheduling):
    """Work units are files; in the files of `SPREAD`, tests."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in SPREAD else file


def sort(items: list[pytest.Item]) -> None:
    """Put what takes longest first."""

    def place(item: pytest.Item) -> int:
        return next((place for place, begin in enumerate(LONGEST) if item.nodeid.startswith(begin)), len(LONGEST))

    items.sort(key=place)
