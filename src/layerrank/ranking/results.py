"""What a ranking in Python gives back: passages as they were brought, best first, with what the ranking cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from layerrank.core.records import Cost

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 20
_WIDTH = 72


@dataclass(frozen=True, slots=True)
class Result:
    """One passage of a ranking.

    rank: from 1.
    index: its place among the passages given, from 0.
    id: as it was given: the record's, the row's label in a table, or else the same as `index`.
    score: higher is better. Of one order: the mechanism's own number, or n, n - 1, … where only an order is known
        (sorts to a top k, written permutations). Of several: the mean of its standardised scores.
    fields: what else its record holds.
    passage: the object that was given.
    """

    rank: int
    index: int
    id: Any
    score: float
    text: str
    title: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    passage: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class Results(Sequence[Result]):
    """The ranking of one query, best first: a sequence of `Result`.

    results: all passages, or the first `top_k`.
    cost: what the ranking took, over all orders; its `qid` is the query's place in the call.
    orders: in how many orders the model read the passages.
    agreement: mean Kendall τ between the rankings of these orders (1: the order played no part, 0: it decided);
        None for one order, or one passage.
    """

    query: str
    results: tuple[Result, ...]
    cost: Cost
    orders: int = 1
    agreement: float | None = None

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, place: int) -> Result: ...

    @overload
    def __getitem__(self, place: slice) -> Results: ...

    def __getitem__(self, place: int | slice) -> Result | Results:
        if isinstance(place, slice):
            return dataclasses.replace(self, results=self.results[place])
        return self.results[place]

    @property
    def ids(self) -> list[Any]:
        """Ids, best first."""
        return [result.id for result in self.results]

    def to_frame(self) -> pd.DataFrame:
        """A row a passage, best first: rank, index, id, score, text, title where there is one, and other fields.

        A field with the name of one of these columns stands as `given_…`.
        """
        import pandas as pd

        columns = ["rank", "index", "id", "score", "text"]
        columns += ["title"] if any(result.title for result in self.results) else []
        rows = [
            {
                **{name: getattr(result, name) for name in columns},
                **{f"given_{name}" if name in columns else name: each for name, each in result.fields.items()},
            }
            for result in self.results
        ]
        return pd.DataFrame(rows, columns=None if rows else columns)

    def __repr__(self) -> str:
        orders = "" if self.orders == 1 else f", {self.orders} orders"
        orders += "" if self.agreement is None else f" (agreement {self.agreement:.2f})"
        lines = [f"Results for {_line(self.query)!r}: {len(self)} passages{orders}, {self.cost.seconds:.2f} s"]
        if self.results:
            width = max(len(str(result.id)) for result in self.results[:_SHOWN])
            lines.append(f"{'rank':>4} {'score':>10}  {'id':>{width}}  text")
        for result in self.results[:_SHOWN]:
            text = _line(f"{result.title} · {result.text}" if result.title else result.text)
            lines.append(f"{result.rank:>4} {result.score:>10.4f}  {result.id!s:>{width}}  {text}")
        if len(self) > _SHOWN:
            lines.append(f"   … {len(self) - _SHOWN} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False, notebook=True))


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
