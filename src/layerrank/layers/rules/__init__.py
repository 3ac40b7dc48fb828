"""Rules that choose a window of layers: one module a rule, all in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layerrank.layers.rules import best, depth, fixed, label_free, oracle, peak, settings
from layerrank.layers.rules.kind import Kind, Seen

__all__ = ["RULES", "Kind", "Rule", "Seen", "parse_rule", "rule_schema"]

RULES: Mapping[str, Kind] = {
    kind.name: kind for kind in (fixed.KIND, depth.KIND, peak.KIND, best.KIND, label_free.KIND, oracle.KIND)
}
Rule = settings.Rule[Kind]


def parse_rule(given: Mapping[str, Any]) -> Rule:
    """The rule that `given` names under `rule`, with the settings beside it.

    Raises `UserError` that names the key, the value and what is allowed.
    """
    return settings.parse(given, RULES, "selection rule")


def rule_schema() -> dict[str, Any]:
    """JSON schema of a rule and its settings, as a study gives them: for each rule its own."""
    return settings.schema(RULES)
