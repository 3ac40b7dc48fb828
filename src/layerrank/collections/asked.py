"""What a study asks of a collection's queries: so many for its folds, and some by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.reading import shown


def check_asked(collection: str, qids: Iterable[str], asked: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Hold a study's settings against the judged queries that it runs; return their number.

    Args:
        collection: its name, for the message.
        qids: the judged queries.
        asked: `folds`, so many by key of the configuration, and `queries`, ids by key.

    Raises:
        UserError: fewer queries than folds, or an id that is none of them.
    """
    known = frozenset(qids)
    for key, folds in asked.get("folds", {}).items():
        if folds > len(known):
            raise UserError(
                f"config key {key}: {folds} folds need as many judged queries,"
                f" collection {collection!r} has {len(known)}"
            )
    for key, names in asked.get("queries", {}).items():
        for name in names:
            if name not in known:
                raise UserError(f"config key {key}: {shown(name)} is no judged query of collection {collection!r}")
    return {"queries": len(known)}
