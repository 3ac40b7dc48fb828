"""The explorer's page: query views → one self-contained HTML file, its data packed query by query.

Texts, ids and labels travel inside the packed data and are shown as text alone, so nothing that a collection holds can
act on the page. Scores of windows are float32 of the exact ones; orders and values are the exact ones. Tokens and heads
are quantised to 8 bits for shading, a scale for each layer and passage. What `N/A` alone pays tokens and heads, from
which the query's own attention follows, stands in a block beside each query's, which is unpacked when it is asked for.
"""

from __future__ import annotations

import base64
import functools
import gzip
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt

from layerrank.attention.explorer.view import NA, RAW, QueryView, View, discordance
from layerrank.core.windows import LayerWindow

FORMAT = 1


@dataclass(frozen=True)
class Preset:
    """A window that the page offers by name.

    Attributes:
        label: as readers see it.
        default: the window of queries that have none of their own.
        windows: by query.
        upper_bound: chosen on the test queries.
    """

    label: str
    default: LayerWindow
    windows: Mapping[str, LayerWindow]
    upper_bound: bool = False

    def of(self, qid: str) -> LayerWindow:
        """The window of a query."""
        return self.windows.get(qid, self.default)


@dataclass(frozen=True)
class Curves:
    """What stands behind the slider: the mean measure by layer over the study's queries, and what scores owe to what.

    Attributes:
        profile: of each layer; None in place of each where the study measured none.
        passage: share of the passage in the variance of scores, by layer; empty where the study has no orders.
        place: share of the place in the prompt, likewise.
    """

    profile: Sequence[float | None]
    passage: Sequence[float] = ()
    place: Sequence[float] = ()


def render(
    views: Sequence[QueryView],
    *,
    title: str,
    subtitle: str,
    measure: str,
    curves: Curves,
    presets: Sequence[Preset],
    links: Sequence[tuple[str, str, str]] = (),
) -> str:
    """The page, deterministic to the byte.

    Args:
        views: of the queries shown, all of one model.
        title: of the page.
        subtitle: what is shown: collection, model, how the queries were chosen.
        measure: in ir_measures' syntax.
        curves: behind the slider.
        presets: windows by name; the first is where the page opens.
        links: (label, address from here, address from here inside a zipped report) of pages beside this one.
    """
    layers = views[0].layers if views else 0
    header = {
        "format": FORMAT,
        "title": title,
        "subtitle": subtitle,
        "measure": measure,
        "layers": layers,
        "heads": int(views[0].sums["query"].shape[1]) if views else 0,
        "profile": list(curves.profile),
        "passage": list(curves.passage),
        "place": list(curves.place),
        "links": [list(link) for link in links],
        "presets": [
            {
                "label": preset.label,
                "upper": preset.upper_bound,
                "windows": [[window.start, window.end] for window in map(preset.of, (v.query.qid for v in views))],
            }
            for preset in presets
        ],
        "queries": [_listed(view) for view in views],
        "grade": max((grade for view in views for grade in view.grades if grade is not None), default=1),
    }
    return _template().render(
        title=title,
        style=_asset("explorer.css"),
        script=_asset("explorer.js"),
        header=packed(header, _overview(views, layers)),
        blocks=[packed(*_block(view)) for view in views],
        beside=[None if view.na is None else packed(*_na_block(view, view.na)) for view in views],
    )


def packed(meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Meta and arrays as text: base64 of gzip of a JSON head (its length first, uint32) and the arrays' bytes.

    Bytes of float32 arrays stand plane by plane, which compresses better. The head's `arrays` gives name, type, shape.
    """
    head = {**meta, "arrays": [[name, str(array.dtype), list(array.shape)] for name, array in arrays.items()]}
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8", "replace")
    body = b"".join(_planes(array) for array in arrays.values())
    data = len(text).to_bytes(4, "little") + text + body
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode("ascii")


def _planes(array: npt.NDArray[Any]) -> bytes:
    raw = np.ascontiguousarray(array)
    if raw.dtype.itemsize == 1:
        return raw.tobytes()
    return np.ascontiguousarray(raw.view(np.uint8).reshape(-1, raw.dtype.itemsize).T).tobytes()


def _listed(view: QueryView) -> dict[str, Any]:
    """What the list of queries shows before a query is opened."""
    return {
        "qid": view.query.qid,
        "text": view.query.text,
        "first": view.first_value,
        "ceiling": view.ceiling,
        "passages": len(view.passages),
    }


def _overview(views: Sequence[QueryView], layers: int) -> dict[str, npt.NDArray[Any]]:
    """What the list says of each query under each window, arrays [Q, W].

    values: the measure. changed: share of passage pairs ranked the other way round than by all layers. mover, moved:
    the passage furthest from its first-stage rank, and its rank. stability: mean Kendall's τ over pairs of orders.
    """
    shape = (len(views), layers * (layers + 1) // 2)
    found: dict[str, npt.NDArray[Any]] = {
        "values": np.full(shape, np.nan, dtype=np.float32),
        "changed": np.zeros(shape, dtype=np.float32),
        "stability": np.full(shape, np.nan, dtype=np.float32),
        "mover": np.zeros(shape, dtype=np.uint16),
        "moved": np.zeros(shape, dtype=np.uint16),
    }
    for row, view in enumerate(views):
        own = view.views[0]
        if own.values is not None:
            found["values"][row] = own.values
        n = len(view.passages)
        if n < 2:
            continue
        everything = view.order(LayerWindow(0, layers - 1))
        found["changed"][row] = discordance(own.orders, np.broadcast_to(everything, own.orders.shape))
        ranks = np.argsort(own.orders, axis=1)
        found["mover"][row] = np.abs(ranks - np.arange(n)).argmax(axis=1)
        found["moved"][row] = np.take_along_axis(ranks, found["mover"][row].astype(np.int64)[:, None], axis=1)[:, 0]
        whole = [other.orders for other in view.views if other.orders.shape == own.orders.shape]
        if pairs := list(itertools.combinations(whole, 2)):
            found["stability"][row] = np.mean([1 - 2 * discordance(one, other) for one, other in pairs], axis=0)
    return found


def _block(view: QueryView) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """One query's meta and arrays."""
    small = np.uint8 if len(view.passages) <= 256 else np.uint16
    tokens, token_scale = _by_passage(view, view.signal)
    heads, head_scale = quantised(view.heads(), (0, 1))
    best, best_head = _best(view.heads())
    meta = {
        "passages": [
            {"pid": passage.pid, "title": passage.title, "grade": grade, "score": float(score), "pieces": list(pieces)}
            for passage, grade, score, pieces in zip(
                view.passages, view.grades, view.first_scores, view.pieces, strict=True
            )
        ],
        "views": [_view_meta(one) for one in view.views],
        "runs": {name: {"order": run.order.tolist(), "value": run.value} for name, run in view.runs.items()},
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "tokens": tokens,
        "token_scale": token_scale,
        "heads": heads,
        "head_scale": head_scale,
        "best": best,
        "best_head": best_head,
        "query": view.sums["query"].sum(axis=1, dtype=np.float32),
        "na": view.sums["na"].sum(axis=1, dtype=np.float32),
    }
    for number, one in enumerate(view.views):
        arrays[f"orders{number}"] = one.orders.astype(small)
        arrays[f"scores{number}"] = one.scores.astype(np.float32)
        ranked = np.take_along_axis(one.scores, one.orders, axis=1)  # told here: float32 makes ties of its own
        arrays[f"ties{number}"] = (ranked[:, 1:] == ranked[:, :-1]).astype(np.uint8)
        if one.values is not None:
            arrays[f"values{number}"] = one.values.astype(np.float32)
    return meta, arrays


def _na_block(view: QueryView, na: npt.NDArray[np.float32]) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """What `N/A` alone pays tokens and heads, and the query alone heads; its tokens are the sum of the two blocks'."""
    tokens, scale = _by_passage(view, na)
    arrays: dict[str, npt.NDArray[Any]] = {"tokens": tokens, "token_scale": scale}
    for signal in (RAW, NA):
        heads, head_scale = quantised(view.heads(signal), (0, 1))
        best, best_head = _best(view.heads(signal))
        arrays |= {f"{signal}_heads": heads, f"{signal}_head_scale": head_scale}
        arrays |= {f"{signal}_best": best, f"{signal}_best_head": best_head}
    return {}, arrays


def _best(heads: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint16]]:
    """Of each layer and passage the most that a head gives, float32[L, N], and which head that is, uint16[L, N]."""
    return heads.max(axis=1), heads.argmax(axis=1).astype(np.uint16)


def _view_meta(view: View) -> dict[str, Any]:
    return {"name": view.name, "places": view.places.tolist()}


def _by_passage(
    view: QueryView, signal: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """A signal per token as int8[L, T], with its scale float32[L, N]."""
    tokens = np.zeros(signal.shape, dtype=np.int8)
    scales = np.zeros((view.layers, len(view.pieces)), dtype=np.float32)
    begin = 0
    for passage, pieces in enumerate(view.pieces):
        span = slice(begin, begin + len(pieces))
        tokens[:, span], scales[:, passage] = quantised(signal[:, span], (1,))
        begin = span.stop
    return tokens, scales


def quantised(
    values: npt.NDArray[np.float32], axes: tuple[int, ...]
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Values as int8 and their scale, the largest magnitude over `axes` divided by 127: value ≈ int8 · scale."""
    largest = np.abs(values).max(axis=axes, keepdims=True, initial=0.0) if values.size else np.zeros((1,) * values.ndim)
    scale = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    return np.rint(values / scale).astype(np.int8), np.squeeze(scale, axis=axes)


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("explorer.html.j2")


@functools.cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
