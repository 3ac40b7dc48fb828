"""Is the first stage what others have measured? The run's figures against those that the catalogue expects."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.evaluation import measures
from layerrank.first_stage.settings import Bm25

POLICIES = ("error", "warn", "off")
TOLERANCE = 0.0005
"""Largest difference that is none; published figures have four digits."""

_log = logging.getLogger(__name__)


def check(run: Path, qrels: Path, entry: Mapping[str, Any], settings: Bm25, policy: str) -> dict[str, Any]:
    """Compare a run with the entry's `expected` block; return what was expected, found and concluded.

    The status is `as expected`, `deviates`, `not compared` (with the reason) or `off`. Means are over all judged
    queries. Under the policy `error`, a deviation is a `UserError`; under `warn` it is logged.
    """
    if policy not in POLICIES:
        raise UserError(f"first_stage check is {policy!r}; allowed are {', '.join(POLICIES)}")
    expected = entry.get("expected")
    if policy == "off" or not expected:
        return {"status": "off", "reason": "by policy" if policy == "off" else "the catalogue expects no figures"}
    judgements = files.read_qrels(qrels)
    reason = _incomparable(expected, settings, len(judgements))
    if reason:
        _log.info("First stage not compared with the expected figures: %s", reason)
        return {"status": "not compared", "reason": reason}
    wanted = _comparable(expected, settings.depth)
    level = entry.get("relevance_level", 1)
    found = measures.means(measures.per_query(list(wanted), judgements, files.read_run(run), level))
    tolerance = expected.get("tolerance", TOLERANCE)
    wrong = [name for name in wanted if abs(found[name] - wanted[name]) > tolerance]
    if wrong:
        facts = ", ".join(f"{name} is {found[name]:.4f}, not {wanted[name]:.4f}" for name in wrong)
        message = f"{run}: the first stage deviates from the catalogue's expected figures: {facts}"
        if policy == "error":
            raise UserError(f"{message} (config key first_stage.check: warn or off to go on)")
        _log.warning("%s", message)
    return {
        "status": "deviates" if wrong else "as expected",
        "expected": wanted,
        "found": {name: round(value, 6) for name, value in found.items()},
        "tolerance": tolerance,
    }


def _incomparable(expected: Mapping[str, Any], settings: Bm25, queries: int) -> str:
    """Why the figures cannot be held against each other, or nothing."""
    for name in ("k1", "b"):
        if name in expected and expected[name] != getattr(settings, name):
            return f"{name} is {getattr(settings, name)}, expected figures are for {expected[name]}"
    if "queries" in expected and expected["queries"] != queries:
        return f"{queries} queries, expected figures are for {expected['queries']}"
    if not _comparable(expected, settings.depth):
        return f"depth {settings.depth} is less than the expected measures need"
    return ""


def _comparable(expected: Mapping[str, Any], depth: int) -> dict[str, float]:
    """The expected measures that a run of this depth can reach: those without a cutoff need the figures' own depth."""
    return {
        name: value
        for name, value in expected["measures"].items()
        if (_cutoff(name) or expected.get("depth", 0)) <= depth
    }


def _cutoff(measure: str) -> int:
    return int(measure.rpartition("@")[2]) if "@" in measure else 0
