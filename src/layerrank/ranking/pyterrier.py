"""layerrank in PyTerrier's pipelines: `first_stage >> LayerRank(Reranker(…))`. Needs the extra `pyterrier`, no Java."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

try:
    import pyterrier as pt
except ImportError:
    raise ImportError("layerrank.pyterrier needs the package pyterrier: pip install 'layerrank[pyterrier]'") from None

if TYPE_CHECKING:
    import pandas as pd

    from layerrank.ranking.reranker import Reranker

COLUMNS = ("query", "text")
"""What a frame of results must have beside qid and docno; a column `title` is shown to the model where there is one."""


class LayerRank(pt.Transformer):
    """Re-ranks a frame of candidates, all queries of it at once, so that batches fill across queries.

    In: qid, query, docno, text, and title where there is one; a row a candidate, a query's in the order of the first
    stage, best first. Out: the same rows, each query's best first, with `score` and `rank` (from 0) of this ranking;
    other columns stay.

    Args:
        reranker: A `layerrank.Reranker`; its `costs` tell what the last frame took.
    """

    schematic: ClassVar[dict[str, Any]] = {"help_url": None}
    """What PyTerrier draws it by. It would look for a page of it on its own site, by the network."""

    def __init__(self, reranker: Reranker) -> None:
        super().__init__()
        self.reranker = reranker

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """The frame re-ranked.

        Raises:
            pyterrier.validate.InputValidationError: A column is missing.
            UserError: As `Reranker.rank_many`.
        """
        pt.validate.result_frame(inp, extra_columns=list(COLUMNS), context=self)
        return self.reranker.transform(inp)

    def __repr__(self) -> str:
        return f"LayerRank({self.reranker!r})"
