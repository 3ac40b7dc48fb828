"""What the workflow adds to snakemake-executor-plugin-slurm (2.x): a controller that restarts does no harm.

The plugin reads MinJobAge from the controller before every check of its jobs, and where none answers turns to sacct for
the whole check, which without an accounting database never answers: the run would wait for an hour, then forget jobs.
The setting does not change while a run lasts, so it is asked for once.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

PLUGIN = "snakemake_executor_plugin_slurm"
ATTEMPTS, PAUSE = 60, 5.0

_log = logging.getLogger(__name__)


def steady() -> None:
    """Have the executor, where it is loaded, keep the MinJobAge that it was once told."""
    plugin = sys.modules.get(PLUGIN)
    ask = getattr(plugin, "get_min_job_age", None)
    if ask is not None and not isinstance(ask, Remembered):
        plugin.get_min_job_age = Remembered(ask)  # type: ignore[union-attr]


class Remembered:
    """Calls `ask` until it answers, at most `attempts` times, `pause` seconds apart; then gives that answer always."""

    def __init__(self, ask: Callable[[], int | None], attempts: int = ATTEMPTS, pause: float = PAUSE) -> None:
        self._ask, self._attempts, self._pause = ask, attempts, pause
        self._answer: int | None = None

    def __call__(self) -> int | None:
        """MinJobAge in seconds, or None where the controller never answered."""
        for attempt in range(self._attempts):
            if self._answer is not None:
                break
            if attempt:
                _log.warning("SLURM's controller does not answer: asked again in %g s", self._pause)
                time.sleep(self._pause)
            self._answer = self._ask()
        return self._answer
