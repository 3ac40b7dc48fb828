"""What systems cost: per-query costs summed up for tables and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from layerrank.core.errors import UserError
from layerrank.core.frames import COUNTS, SUMMARY
from layerrank.core.records import ANSWERS, OUTCOMES, WELL_FORMED, Cost


def summarise(costs: Mapping[str, Sequence[Cost]], collection: str, model: str, variant: str) -> pd.DataFrame:
    """One row a system: columns `SUMMARY`.

    Counts and `seconds` are means a query, tokens × layers NaN where nobody tells the layers of a served model;
    `seconds_median`, `_q1` and `_q3` are quartiles over queries; outcomes are totals over all queries; `failure_rate`
    is the share of written answers that were not well-formed, NaN where the system parses none. Raises `UserError`
    where a system has no costs.
    """
    rows = []
    for system, queries in costs.items():
        if not queries:
            raise UserError(f"{collection}, {model}, {variant}: {system} has no costs")
        seconds = np.array([cost.seconds for cost in queries])
        outcomes: Counter[str] = Counter()
        for cost in queries:
            outcomes.update(cost.outcomes)
        answers = outcomes[ANSWERS]
        rows.append(
            (
                *(collection, model, variant, system, len(queries)),
                *(_mean(queries, name) for name in COUNTS),
                *(float(seconds.mean()), *(float(np.quantile(seconds, share)) for share in (0.5, 0.25, 0.75))),
                *(outcomes[name] for name in OUTCOMES),
                1 - outcomes[WELL_FORMED] / answers if answers else np.nan,
            )
        )
    return pd.DataFrame(rows, columns=list(SUMMARY))


def _mean(queries: Sequence[Cost], name: str) -> float:
    """The mean of a count; NaN of tokens × layers where they were read by a model whose layers nobody tells."""
    if name.endswith("layer_tokens") and any(cost.prompt_tokens and not cost.layer_tokens for cost in queries):
        return float("nan")
    return float(np.mean([getattr(cost, name) for cost in queries]))
