"""How much a result depends on a setting: each variant of a study against its base, query by query."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from layerrank.core.errors import UserError
from layerrank.core.frames import CELL, SENSITIVITY
from layerrank.core.progress import counted
from layerrank.core.systems import CEILING, parse_system
from layerrank.evaluation import intervals

BASE = "base"
TIE = 1e-9


def sensitivity(
    values: pd.DataFrame, seed: int, resamples: int = 2000, against: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Each variant's systems against the same systems of `base`, or of another variant, on the queries that both have.

    Args:
        values: per-query values, columns `frames.VALUES`, the variant `base` among them.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        against: the variant that a variant is held against, where that is not `base`.

    Returns:
        Columns `SENSITIVITY`: `base` and `value` are means over the common queries, `difference` is value minus base
        with its 95 % bootstrap interval; `wins`, `ties`, `losses` count queries; `changed` is the mean absolute
        difference of a query, which differences of opposite sign do not hide; `ceiling` is the variant's mean under an
        ideal re-ranking. Systems that the base lacks, controls and upper bounds are left out, and so is a variant of a
        model without a base: one that is served runs the grid alone.

    Raises:
        UserError: a variant shares no query and system with a base of its collection and model.
    """
    key = ["collection", "model", "system", "measure", "qid", "against"]
    base = values.rename(columns={"value": "base", "variant": "against"})[[*key, "base"]]
    others = values[values["variant"] != BASE]
    others = others.assign(against=[(against or {}).get(variant, BASE) for variant in others["variant"]])
    pairs = others.merge(base, on=key)
    known = set(zip(values["collection"], values["model"], values["variant"], strict=True))
    met = set(zip(pairs["collection"], pairs["model"], pairs["variant"], strict=True))
    for cell in dict.fromkeys(zip(others["collection"], others["model"], others["variant"], strict=True)):
        held = (*cell[:2], (against or {}).get(cell[2], BASE))
        if cell not in met and (held in known or held[2] not in {variant for *_, variant in known}):
            raise UserError(f"{cell[0]}, {cell[1]}: variant {cell[2]} shares no query and system with a base")
    ceilings = pairs[pairs["system"] == CEILING].groupby([*CELL, "measure"])["value"].mean().to_dict()
    rows = []
    systems = pairs.groupby([*CELL, "system", "measure"], sort=False)
    for names, group in counted(systems, "differences", "systems", total=systems.ngroups):
        if parse_system(str(names[3])).aside:
            continue
        value, before = group["value"].to_numpy(np.float64), group["base"].to_numpy(np.float64)
        differences = value - before
        spread = intervals.mean_interval(differences, resamples=resamples, seed=seed)
        wins, losses = int((differences > TIE).sum()), int((differences < -TIE).sum())
        rows.append(
            (
                *(*names, len(group), before.mean(), value.mean(), differences.mean()),
                *(float(spread.low), float(spread.high)),
                *(wins, len(group) - wins - losses, losses, np.abs(differences).mean()),
                ceilings.get((*names[:3], names[4]), np.nan),
            )
        )
    return pd.DataFrame(rows, columns=list(SENSITIVITY))
