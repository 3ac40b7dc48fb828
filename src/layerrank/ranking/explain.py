"""Why a passage stands where it stands: the attention behind one ranking, as numbers, as words and as a page."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from layerrank.attention.explorer.page import Curves, Preset, render
from layerrank.attention.explorer.view import CALIBRATED, QueryView, describe, view_query
from layerrank.attention.probe import Probe
from layerrank.attention.scores import MASKED
from layerrank.core import files
from layerrank.core.errors import InputError
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import LayerWindow, window_label
from layerrank.prompts.icr import PromptSettings, passage_pieces

if TYPE_CHECKING:
    import pandas as pd

FRAME_HEIGHT = 900
"""Of the page inside a notebook, in pixels."""


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """One query's passages under one window of layers, with everything that gave them their scores.

    Attributes:
        view: rankings under every window of the layers read, in the order given and reversed, with tokens and heads.
        window: the layers that rank.
        ids: of the passages, in the order given.
        model: its name.
        by_head: float32[L, H, T], (q − n)[l, h, t] of each head, where it was asked for.
    """

    view: QueryView
    window: LayerWindow
    ids: tuple[Any, ...]
    model: str
    by_head: npt.NDArray[np.float32] | None = None

    @property
    def ranking(self) -> list[Any]:
        """The ids, best first."""
        return [self.ids[place] for place in self.view.order(self.window)]

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """float64[N]: the window's scores, passages in the order given."""
        return self.view.views[0].scores[self.view.column(self.window)]

    @property
    def scores_by_layer(self) -> npt.NDArray[np.float64]:
        """float64[L, N]: the scores of each layer as a window of its own. They do not add up (semantics.md §2)."""
        layers = [self.view.column(LayerWindow(layer, layer)) for layer in range(self.view.layers)]
        return self.view.views[0].scores[layers]

    def tokens(self, passage: Any = None, *, signal: str = CALIBRATED) -> list[tuple[str, float, bool]]:
        """Each token of a passage: its text, what the window gives it, and whether it counts.

        Args:
            passage: an id; the best passage where it is None.
            signal: `calibrated` (the query less `N/A`, whose mask drops tokens), `raw` (the query alone) or `na`.

        Raises:
            UserError: an unknown id or signal.
        """
        place = self._place(passage)
        values, kept = self.view.token_scores(place, self.window, signal)
        return list(zip(self.view.pieces[place], values.tolist(), kept.tolist(), strict=True))

    def spans(self, passage: Any = None) -> list[tuple[int, int]]:
        """[begin, end) of each token in characters of the passage as the prompt shows it, `[i] ` and title included."""
        ends = np.cumsum([len(piece) for piece in self.view.pieces[self._place(passage)]]).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def sentence(self, passage: Any = None, *, signal: str = CALIBRATED) -> str:
        """What carried a passage, in one sentence that follows from the numbers; arguments as of `tokens`."""
        return describe(self.view, self._place(passage), self.window, signal)

    def _place(self, passage: Any) -> int:
        if passage is None:
            if not self.ids:
                raise InputError("explain: there is no passage")
            return int(self.view.order(self.window)[0])
        if passage not in self.ids:
            raise InputError(f"explain: no passage {passage!r}; they are {', '.join(map(str, self.ids[:10]))}")
        return self.ids.index(passage)

    def __repr__(self) -> str:
        best = f": {self.sentence()}" if self.ids else ""
        window = window_label(str(self.window))
        return f"Explanation({self.view.query.text!r}, {len(self.ids)} passages, {window}{best})"

    def to_frame(self, *, heads: bool = False, signal: str = CALIBRATED) -> pd.DataFrame:
        """A row a passage, layer and token: passage, layer, token (its place), text, value; with `heads` head too.

        Values are those of `signal` (as of `tokens`), before the mask; a layer's heads add up to its value. Raises
        `UserError` where heads are wanted that were not read (`Reranker.explain(…, heads=True)`), or of another signal
        than the calibrated one.
        """
        import pandas as pd

        if heads and self.by_head is None:
            raise InputError("explain: heads were not read token by token; say explain(…, heads=True)")
        if heads and signal != CALIBRATED:
            raise InputError(f"explain: signal {signal!r}: heads are read token by token of {CALIBRATED!r} alone")
        pieces = self.view.pieces
        ids = np.repeat(np.arange(len(pieces)), [len(tokens) for tokens in pieces])
        place = np.concatenate([np.zeros(0, dtype=np.int64), *(np.arange(len(tokens)) for tokens in pieces)])
        text = np.array([piece for tokens in pieces for piece in tokens], dtype=object)
        values = self.by_head if heads and self.by_head is not None else self.view.tokens(signal)[:, None]
        layers, count, tokens_ = values.shape
        frame = pd.DataFrame(
            {
                "passage": pd.Series(np.tile(ids, layers * count)).map(dict(enumerate(self.ids))),
                "layer": np.repeat(np.arange(layers), count * tokens_),
                "head": np.tile(np.repeat(np.arange(count), tokens_), layers),
                "token": np.tile(place, layers * count),
                "text": np.tile(text, layers * count),
                "value": values.reshape(-1).astype(np.float64),
            }
        )
        return frame if heads else frame.drop(columns="head")

    def diffir_weights(self, qid: str = "q") -> str:
        """One line of a weights file of DiffIR: {qid: {id: {"text": [[begin, end, weight], …]}}}.

        Offsets are characters of the passage's text, which its title and `[i] ` are not part of; weights are what the
        window gives each token, 0 where the mask drops it.
        """
        documents = {}
        for number, id_ in enumerate(self.ids):
            shown = "".join(self.view.pieces[number])
            offset = len(shown) - len(self.view.passages[number].text.rstrip())  # the prompt strips the end of a text
            values, kept = self.view.token_scores(number, self.window)
            weights = [
                [max(0, begin - offset), end - offset, float(value) if keep else 0.0]
                for (begin, end), value, keep in zip(self.spans(id_), values, kept, strict=True)
                if end > offset and end > begin
            ]
            documents[str(id_)] = {"text": weights}
        return json.dumps({qid: documents}, ensure_ascii=False)

    def to_html(self) -> str:
        """The explorer's page of this query; self-contained, opens offline."""
        whole = LayerWindow(0, self.view.layers - 1)
        presets = [Preset(window_label(str(self.window)), self.window, {})]
        presets += [Preset("all layers read", whole, {})] if whole != self.window else []
        return render(
            [self.view],
            title=f"Why this order? {self.model}",
            subtitle=f"{len(self.ids)} passages, layers 0 to {self.view.layers - 1}.",
            measure="nDCG@10",
            curves=Curves([None] * self.view.layers),
            presets=presets,
        )

    def save(self, path: str | Path) -> None:
        """Write the page."""
        files.write_text(Path(path), self.to_html())

    def _repr_html_(self) -> str:
        """The page inside a notebook."""
        page = html.escape(self.to_html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:{FRAME_HEIGHT}px;border:0"></iframe>'


def explain(
    probe: Probe,
    settings: PromptSettings,
    query: str,
    passages: Sequence[Passage],
    ids: Sequence[Any],
    window: LayerWindow,
    *,
    strategy: str = MASKED,
    heads: bool = False,
) -> Explanation:
    """Read one query's passages in the order given and reversed, in two passes, and gather what ranks them.

    Raises `UserError` where a prompt is longer than the model's context.
    """
    decoder = probe.decoder
    shown = tuple(replace(passage, pid=_unique(place, ids)) for place, passage in enumerate(passages))
    rows = [
        Candidates(Query("q", query), order, tuple(float(len(order) - place) for place in range(len(order))))
        for order in (shown, shown[::-1])
    ]
    prompts = [settings.build(decoder.tokenizer, row) for row in rows]
    if decoder.context and prompts[0].prompt_tokens > decoder.context:
        raise InputError(
            f"explain: the prompt has {prompts[0].prompt_tokens} tokens in {len(shown)} passages, "
            f"the model reads {decoder.context}"
        )
    (given,) = probe.read(prompts[:1], last_layer=window.end, by_head=heads, na=True)
    signals = {"first stage": given}
    if len(shown) > 1:
        (signals["reversed"],) = probe.read(prompts[1:], last_layer=window.end)
    pieces = passage_pieces(decoder.tokenizer, settings.family, rows[0].query, shown, settings.instruction)
    view = view_query(rows[0], signals, pieces, strategy=strategy)
    return Explanation(view, window, tuple(ids), decoder.name, given.by_head)


def _unique(place: int, ids: Sequence[Any]) -> str:
    """An id as text, told apart from others that read the same."""
    name = str(ids[place])
    return name if [str(other) for other in ids].count(name) == 1 else f"{name} ({place})"
