"""For those who only want to rank: the engine behind one class, without files and without a study.

    from layerrank import Reranker

    reranker = Reranker("resources/models/smollm2-135m-instruct", "listwise", "attention", window="10-13")
    for result in reranker.rank("how do wings make lift", ["Bread rises in the oven.", "Air flows over a wing."]):
        print(f"{result.score:8.4f}  {result.passage}")

A model is a folder of transformers: safetensors, configuration, tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Cost, Passage, Query
from layerrank.core.windows import LayerWindow
from layerrank.models.decoder import load_config, load_decoder, load_tokenizer
from layerrank.prompts.icr import fitting_family
from layerrank.ranking.cells import Cell
from layerrank.ranking.engine import Engine, check_failures
from layerrank.ranking.frameworks import WHOLE


@dataclass(frozen=True, slots=True)
class Result:
    """One passage of a ranking.

    index: its place among the passages given, from 0.
    score: higher is better; n, n - 1, … where only an order is known (sorts to a top k, written permutations).
    """

    passage: str | Passage
    index: int
    score: float


class Reranker:
    """Ranks passages for queries with one framework and one mechanism.

    Args:
        model: Model folder.
        framework: `pointwise`, `pairwise`, `setwise` or `listwise`.
        mechanism: `generation`, `likelihood` or `attention`.
        window: Attention: layers, `all` or `10-13`, 0-based, both ends included; layers above are not loaded.
        framework_settings: Such as `{"c": 3, "k": 10}`; listwise attention takes the whole list at once by default.
        mechanism_settings: Such as `{"strategy": "query_last"}` or `{"prompt": "qlm"}`.
        family: Attention: prompt family; by default the first one that fits the model's chat template.
        instruction: Attention: `IE` or `QA`.
        query_span: Attention: overrides the family's.
        dtype: `float32` or `bfloat16`.
        device: By default the first CUDA device, else the processor.
        batch_tokens: Tokens of one batch.
        queries_at_once: Queries side by side in `rank_many`.

    Raises:
        UserError: A setting is unknown or does not fit the model.
    """

    def __init__(
        self,
        model: str | Path,
        framework: str = "listwise",
        mechanism: str = "attention",
        window: str = "all",
        *,
        framework_settings: Mapping[str, Any] | None = None,
        mechanism_settings: Mapping[str, Any] | None = None,
        family: str | None = None,
        instruction: str = "IE",
        query_span: str | None = None,
        dtype: str = "float32",
        device: str | None = None,
        batch_tokens: int = 8192,
        queries_at_once: int = 64,
    ) -> None:
        folder = Path(model)
        own = dict(framework_settings or {})
        attention: dict[str, Any] = {}
        if mechanism == "attention":
            attention["windows"] = LayerWindow.parse(window, int(load_config(folder).num_hidden_layers))
            attention["family"] = family or fitting_family(load_tokenizer(folder))
            if framework == "listwise":
                own = {"size": WHOLE, **own}
        elif window != "all":
            raise UserError(f"window {window!r}: {mechanism} has no layer window")
        self.cell = Cell(
            framework,
            mechanism,
            own,
            mechanism_settings or {},
            instruction=instruction,
            query_span=query_span,
            **attention,
        )
        self.decoder = load_decoder(folder, layers=self.cell.layers, head=self.cell.head, dtype=dtype, device=device)
        self._engine = Engine(
            self.cell.sorter,
            self.cell.build(self.decoder),
            name=self.cell.name,
            batch_tokens=batch_tokens,
            queries_at_once=queries_at_once,
            cut=self.cell.cut(self.decoder),
        )
        self.costs: list[Cost] = []
        """What the last call of `rank` or `rank_many` cost, query by query; a query's `qid` is its place."""

    def rank(self, query: str, passages: Sequence[str | Passage]) -> list[Result]:
        """The passages, best first. They come in the order of the first stage, best first, or in any other."""
        return self.rank_many([(query, passages)])[0]

    def rank_many(self, queries: Sequence[tuple[str, Sequence[str | Passage]]]) -> list[list[Result]]:
        """Rank every (query, passages), in the order given, many of them side by side.

        Raises:
            UserError: A prompt is longer than the model's context (before anything is run), or more answers were not
                well-formed than `max_failure_rate` allows.
        """
        rows = [_candidates(place, query, passages) for place, (query, passages) in enumerate(queries)]
        self._engine.check(rows)
        done = {ranked.ranking.qid: ranked for ranked in self._engine.rank(rows)}
        ordered = [done[row.query.qid] for row in rows]
        self.costs = [ranked.cost for ranked in ordered]
        check_failures(self.cell.name, self.costs, self.cell.mechanism_settings.get("max_failure_rate", 1.0))
        return [
            [
                Result(passages[index], index, score)
                for index, score in zip(ranked.order.indices, ranked.ranking.scores, strict=True)
            ]
            for (_, passages), ranked in zip(queries, ordered, strict=True)
        ]


def _candidates(place: int, query: str, passages: Sequence[str | Passage]) -> Candidates:
    """Passages by their places, so that one that is given twice stays two."""
    shown = tuple(
        Passage(str(index), passage) if isinstance(passage, str) else Passage(str(index), passage.text, passage.title)
        for index, passage in enumerate(passages)
    )
    return Candidates(Query(str(place), query), shown, tuple(float(len(shown) - index) for index in range(len(shown))))
