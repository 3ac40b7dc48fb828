"""layerrank: where in a language model's layers relevance emerges, and what it costs to rank with it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from layerrank.core import versions
from layerrank.core.errors import UserError

if TYPE_CHECKING:
    from layerrank.ranking import pyterrier as pyterrier
    from layerrank.ranking.reranker import Reranker as Reranker

__version__ = versions.LAYERRANK
__all__ = ["Reranker", "UserError", "__version__"]

_LATER: Mapping[str, str] = {"Reranker": "layerrank.ranking.reranker", "pyterrier": "layerrank.ranking.pyterrier"}
"""Name → its module, or the module that has it; imported when first asked for: it brings torch, or is optional."""


def __getattr__(name: str) -> Any:
    """What is in `_LATER`."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from layerrank.models.threads import yield_soon

    yield_soon()
    module = importlib.import_module(_LATER[name])
    return getattr(module, name, module)
