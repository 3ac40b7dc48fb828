"""layerrank: where in a language model's layers relevance emerges, and what it costs to rank with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerrank.core import versions
from layerrank.core.errors import UserError

if TYPE_CHECKING:
    from layerrank.ranking.reranker import Reranker as Reranker

__version__ = versions.LAYERRANK
__all__ = ["Reranker", "UserError", "__version__"]


def __getattr__(name: str) -> Any:
    """`Reranker`, when it is first asked for: it imports torch, which an analysis must not."""
    if name != "Reranker":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from layerrank.ranking.reranker import Reranker

    return Reranker
