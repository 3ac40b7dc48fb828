"""For those who only want to rank: the engine behind one class, without files and without a study.

    from layerrank import Reranker

    reranker = Reranker("resources/models/smollm2-135m-instruct-3905fcad8222")
    for result in reranker.rank("how do wings make lift", ["Bread rises in the oven.", "Air flows over a wing."]):
        print(result.rank, result.score, result.text)

A model is a folder of transformers: safetensors, configuration, tokenizer.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from layerrank.attention.probe import Probe
from layerrank.core.errors import InputError, UserError
from layerrank.core.heads import check_published, head_names, heads_named
from layerrank.core.progress import progress as progressing
from layerrank.core.records import Candidates, Cost, Query
from layerrank.core.secrets import masked
from layerrank.core.windows import LayerWindow, window_label
from layerrank.models.classifier import Classifier
from layerrank.models.decoder import Decoder, device_named, dtype_named
from layerrank.models.folder import is_classifier, load_config, load_tokenizer
from layerrank.models.identity import is_served, read_record
from layerrank.models.sources import HUB_NAME, fetch_named
from layerrank.prompts.icr import INSTRUCTIONS, QUERY_SPANS, PromptSettings, family_named, fitting_family
from layerrank.ranking import averaging
from layerrank.ranking.cells import CROSS_ENCODER, MECHANISMS, TRAINED, Cell
from layerrank.ranking.engine import Engine, check_failures
from layerrank.ranking.frameworks import KINDS, WHOLE
from layerrank.ranking.passages import Given, read_passages, read_text, whole_number
from layerrank.ranking.results import Result, Results

if TYPE_CHECKING:
    import pandas as pd

    from layerrank.ranking.explain import Explanation

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _raises_value_errors(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """What a user brought wrongly is a `ValueError` to those who call from Python."""

    @functools.wraps(function)
    def wrapped(*arguments: _P.args, **named: _P.kwargs) -> _R:
        try:
            return function(*arguments, **named)
        except InputError:
            raise
        except UserError as error:
            raise InputError(masked(str(error))) from None

    return wrapped


class Reranker:
    """Ranks passages for queries with one framework and one mechanism.

    Told neither these nor anything that belongs to one of them, it ranks by the query's likelihood given each passage
    by itself (`pointwise`, `likelihood`, prompt `qlm`): the best cell for small models, and no order plays a part in
    it (docs/python.md has the numbers). Told one of them, the other is `listwise` or `attention`. A cross-encoder
    (a trained reranker with a head of one score) ranks by that score.

    Args:
        model: Model folder, or a repository of the hub (`Qwen/Qwen3-0.6B`) where there is no folder of that name.
        revision: Of the hub's repository: the commit. Otherwise that of a branch or tag, the main one unless said, as
            it is now; a warning of the log says it, and so does `reranker.decoder.revision`.
        cache: Folder that models of the hub are fetched into, once; a study's of the same name has the same copy.
        framework: `pointwise`, `pairwise`, `setwise` or `listwise`.
        mechanism: `generation`, `likelihood` or `attention`; `cross_encoder` for one that is, pointwise.
        window: Attention: layers, `all`, `"10-13"`, `(10, 13)` or `12`; 0-based, both ends included. Layers above are
            not loaded. By default the middle third of them; with `heads` all.
        heads: Attention: only these heads: a published set by name (`core-llama-3.1-8b`), a file of `choose-heads`, of
            QRHead or of CoRe, `"13-18,14-1"` or [(13, 18), …]. Layers above the deepest one are not loaded.
        orders: In how many orders the model reads the passages of a query. 1 (the default): the order given, best
            first, which says much to a small model. From 2 on the order given plays no part: orders are drawn from the
            texts themselves, every second one the reverse of the one before, and a passage's score is the mean of its
            standardised scores (semantics.md §8). Costs so many times as much, which is in the results' cost.
        framework_settings: Such as `{"c": 3, "k": 10}`; listwise attention takes the whole list at once by default.
        mechanism_settings: Such as `{"strategy": "query_last"}` or `{"prompt": "qlm"}`.
        family: Attention: prompt family; by default the first one that fits the model's chat template.
        instruction: Attention: `IE` or `QA`.
        query_span: Attention: overrides the family's.
        dtype: `float32`, `bfloat16` or `float16` by any name in use (`fp32`, `bf16`, `half`, torch's own). `auto`:
            bfloat16 on a CUDA device that has it, else float32.
        device: Such as `cpu`, `cuda:1`, or `auto` to spread a model over several; by default the first CUDA device,
            else the processor.
        batch_tokens: Tokens of one batch.
        queries_at_once: Queries side by side in `rank_many`.

    Raises:
        UserError: A setting is unknown or does not fit the model. All errors of this class that a user can cause are
            of this kind, say so in one line, and are a `ValueError` too.
    """

    @_raises_value_errors
    def __init__(
        self,
        model: str | os.PathLike[str],
        framework: str | None = None,
        mechanism: str | None = None,
        window: str | int | LayerWindow | Sequence[int] | None = None,
        *,
        heads: Any = None,
        orders: int | None = None,
        framework_settings: Mapping[str, Any] | None = None,
        mechanism_settings: Mapping[str, Any] | None = None,
        family: str | None = None,
        instruction: str | None = None,
        query_span: str | None = None,
        dtype: Any = "auto",
        device: Any = None,
        batch_tokens: int = 8192,
        queries_at_once: int = 64,
        revision: str | None = None,
        cache: str | os.PathLike[str] = "resources",
    ) -> None:
        told = (
            framework,
            mechanism,
            window,
            heads,
            orders,
            framework_settings,
            mechanism_settings,
            family,
            instruction,
            query_span,
        )
        nothing_said = all(each is None for each in told)
        if nothing_said:
            framework, mechanism, mechanism_settings = "pointwise", "likelihood", {"prompt": "qlm"}
        framework = "listwise" if framework is None else framework
        mechanism = "attention" if mechanism is None else mechanism
        instruction = "IE" if instruction is None else instruction
        _one_of("framework", framework, KINDS)
        _one_of("mechanism", mechanism, [*MECHANISMS, *TRAINED])
        _one_of("instruction", instruction, INSTRUCTIONS)
        self.orders = 1 if orders is None else whole_number(orders, "orders")
        if framework == "pointwise" and self.orders > 1:
            raise UserError(f"orders: {orders!r}: pointwise shows one passage at a time, expected 1")
        place = device_named(device)
        dtype = dtype_named(dtype, place)
        own = _settings("framework_settings", framework_settings)
        reading = _settings("mechanism_settings", mechanism_settings)
        if heads is not None:
            if mechanism != "attention":
                raise UserError(f"heads: {mechanism} reads no attention; use mechanism='attention'")
            if "heads" in reading:
                raise UserError("heads: given twice, in mechanism_settings too")
            reading["heads"] = head_names(heads_named(heads))
        folder = _folder(model, revision, cache)
        check_published(heads, read_record(folder).get("repo"))
        if is_served(folder):
            raise UserError(
                f"model: {str(model)!r}: served; expected one at hand (`layerrank rerank` ranks with a server)"
            )
        if nothing_said and is_classifier(folder):
            mechanism, reading = CROSS_ENCODER, {}
        attention: dict[str, Any] = {}
        if mechanism == "attention":
            chosen = "all" if window is None and reading.get("heads") is not None else window
            attention["windows"] = _window(chosen, int(load_config(folder).num_hidden_layers))
            attention["family"] = fitting_family(load_tokenizer(folder)) if family is None else _family(family)
            if query_span is not None:
                _one_of("query_span", query_span, QUERY_SPANS)
            if framework == "listwise":
                own = {"size": WHOLE, **own}
        elif window not in (None, "all"):
            raise UserError(f"window {window!r}: {mechanism} has no layer window")
        self.cell = Cell(
            framework,
            mechanism,
            own,
            reading,
            instruction=instruction,
            query_span=query_span,
            **attention,
        )
        budget = whole_number(batch_tokens, "batch_tokens"), whole_number(queries_at_once, "queries_at_once")
        self.decoder: Decoder | Classifier = self.cell.load(folder, dtype=dtype, device=place)
        self._engine = Engine(
            self.cell.sorter,
            self.cell.build(self.decoder, batch_tokens=budget[0]),
            name=self.cell.name,
            batch_tokens=budget[0],
            queries_at_once=budget[1],
            cut=self.cell.cut(self.decoder),
        )
        self.costs: list[Cost] = []
        """What the last call of `rank` or `rank_many` cost, query by query; a query's `qid` is its place."""

    def __repr__(self) -> str:
        prompt = self.cell.mechanism_settings.get("prompt")
        parts = [f"{self.cell.framework} {self.cell.mechanism}{f' {prompt}' if prompt else ''}"]
        if isinstance(self.cell.windows, LayerWindow):
            window = self.cell.windows
            whole = window == LayerWindow(0, self.decoder.layers - 1)
            parts.append(f"{window_label('all' if whole else str(window))} of {self.decoder.layers}")
        parts += [] if self.orders == 1 else [f"{self.orders} orders"]
        parts.append(f"{self.decoder.dtype} on {self.decoder.device}")
        return f"Reranker({self.decoder.name!r}, {', '.join(parts)})"

    @_raises_value_errors
    def rank(
        self,
        query: str,
        passages: Any,
        *,
        ids: Iterable[str | int] | None = None,
        top_k: int | None = None,
    ) -> Results:
        """The passages, best first.

        Args:
            passages: An iterable of texts, of records with a text (mappings, named tuples, data classes) or of
                (id, text) pairs; a mapping id → passage; a pandas Series or DataFrame; or earlier `Results`. In the
                order of the first stage, best first, or in any other. A record's text and id are in fields of the names
                that collections use (core/formats), its title in `title`; ids and all other fields come back with the
                results. The same passage or id twice is two passages.
            ids: One a passage, in place of their own.
            top_k: Only so many of the best come back; all passages are read.

        Raises:
            UserError: No text to rank by, no texts to rank (empty ones included), or a prompt longer than the model's
                context.
        """
        return self._rank([(_query(query, "query"), read_passages(passages, ids))], top_k, progress=False)[0]

    @_raises_value_errors
    def rank_many(
        self, queries: Iterable[tuple[str, Any]], *, top_k: int | None = None, progress: bool | None = None
    ) -> list[Results]:
        """Rank every (query, passages), in the order given, many of them side by side.

        Args:
            queries: Pairs; passages as for `rank`.
            top_k: As for `rank`.
            progress: Show a bar; None: on a terminal, for more than one query.

        Raises:
            UserError: As `rank`, before anything is run; or more answers were not well-formed than `max_failure_rate`
                allows.
        """
        return self._rank(list(_pairs(queries)), top_k, progress)

    @_raises_value_errors
    def explain(
        self, query: str, passages: Any, *, ids: Iterable[str | int] | None = None, heads: bool = False
    ) -> Explanation:
        """Why the passages stand where they stand: scores by layer, tokens, a sentence, and the explorer's page.

        The whole list is read in one prompt, in the order given and reversed, whatever the framework.

        Args:
            query: As for `rank`.
            passages: As for `rank`.
            ids: As for `rank`.
            heads: Keep what each head pays each token, for `Explanation.to_frame(heads=True)`.

        Raises:
            UserError: A mechanism other than attention, or a prompt longer than the model's context.
        """
        from layerrank.ranking.explain import explain

        if self.cell.mechanism != "attention":
            raise UserError(f"explain: {self.cell.mechanism} keeps no attention; use mechanism='attention'")
        assert isinstance(self.cell.windows, LayerWindow) and self.cell.family is not None
        assert isinstance(self.decoder, Decoder)
        given = read_passages(passages, ids)
        return explain(
            Probe(self.decoder),
            PromptSettings(self.cell.family, self.cell.instruction, self.cell.query_span),
            _query(query, "query"),
            [each.shown for each in given],
            [each.id for each in given],
            self.cell.windows,
            strategy=self.cell.mechanism_settings["strategy"],
            heads=heads,
        )

    @_raises_value_errors
    def transform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Re-rank a table of many queries' candidates, as PyTerrier's transformers do.

        Args:
            frame: Columns qid, query, docno, text, and title where there is one; a row a candidate, best first.

        Returns:
            The same rows, each query's by rank, with `score` and `rank` (from 0) of this ranking; other columns stay.
        """
        needed = ("qid", "query", "docno", "text")
        columns = list(getattr(frame, "columns", ()))
        if missing := [name for name in needed if name not in columns]:
            raise UserError(f"frame: no column {', '.join(missing)}: expected a DataFrame with {', '.join(needed)}")
        if frame["qid"].isna().any():
            raise UserError("frame: a row has no qid")
        parts = [part for _, part in frame.groupby("qid", sort=False)]
        for part in parts:
            if part["query"].nunique(dropna=False) > 1:
                raise UserError(f"frame: qid {part['qid'].iloc[0]} has more than one query")
        shown = ["docno", "text", *(["title"] if "title" in columns else [])]
        found = self.rank_many([(part["query"].iloc[0], part[shown]) for part in parts])
        pieces = [
            part.iloc[[result.index for result in results]].assign(
                score=[result.score for result in results], rank=range(len(results))
            )
            for part, results in zip(parts, found, strict=True)
        ]
        import pandas as pd

        return pd.concat(pieces, ignore_index=True) if pieces else frame.assign(score=0.0, rank=0)

    def _rank(
        self, queries: Sequence[tuple[str, Sequence[Given]]], top_k: int | None, progress: bool | None
    ) -> list[Results]:
        most = None if top_k is None else whole_number(top_k, "top_k")
        orders = [
            averaging.text_orders(query, [each.shown.content for each in given], self.orders)
            for query, given in queries
        ]
        rows = [
            _candidates(place, number, query, [given[index] for index in order])
            for place, (query, given) in enumerate(queries)
            for number, order in enumerate(orders[place])
        ]
        self._engine.check(rows)
        bar = None if progress is None and len(queries) > 1 else bool(progress)
        ranked = {}
        unit = "orders" if self.orders > 1 else "queries"
        with progressing(len(rows), self.cell.name, unit, bar=bar) as shown:
            for each in self._engine.rank(rows):
                ranked[each.ranking.qid] = each
                shown.update()
        found = iter(rows)
        results = []
        for place, (query, given) in enumerate(queries):
            done = [ranked[next(found).query.qid] for _ in orders[place]]
            scores = np.zeros((len(done), len(given)))  # [orders, passages as that order shows them]
            for number, each in enumerate(done):
                scores[number, list(each.order.indices)] = each.ranking.scores
            if len(done) == 1:
                ranking, final = list(done[0].order.indices), scores[0]
            else:
                final = averaging.unshuffled(averaging.standardised(scores), orders[place]).mean(axis=0)
                scores = averaging.unshuffled(scores, orders[place])
                ranking = averaging.by_score(final, scores.mean(axis=0), orders[place][0])
            cost = _total(str(place), [each.cost for each in done])
            results.append(
                Results(
                    query,
                    tuple(
                        _result(rank, index, given[index], float(final[index]))
                        for rank, index in enumerate(ranking[:most], 1)
                    ),
                    cost,
                    len(done),
                    averaging.agreement(scores),
                )
            )
        self.costs = [each.cost for each in results]
        check_failures(self.cell.name, self.costs, self.cell.mechanism_settings.get("max_failure_rate", 1.0))
        return results


def _folder(model: Any, revision: Any, cache: Any) -> Path:
    """The folder of a model that is one, or is fetched from the hub."""
    if not isinstance(model, (str, os.PathLike)):
        raise UserError(f"model: {model!r}: expected a model folder, or owner/name of the hub")
    folder = Path(model)
    named = isinstance(model, str) and not folder.exists() and re.fullmatch(HUB_NAME, model) is not None
    if not named and revision is not None:
        raise UserError(f"revision: {revision!r}: the model {str(folder)!r} is a folder, which has none")
    if not named:
        return folder
    if not (revision is None or (isinstance(revision, str) and revision)):
        raise UserError(f"revision: {revision!r}: expected a commit, a branch or a tag")
    if not isinstance(cache, (str, os.PathLike)):
        raise UserError(f"cache: {cache!r}: expected a folder")
    try:
        return fetch_named(str(model), revision, Path(cache))
    except UserError as error:
        raise UserError(f"{error} (there is no folder {model} either)") from None


def _result(rank: int, index: int, given: Given, score: float) -> Result:
    return Result(rank, index, given.id, score, given.text, given.title, given.fields, given.passage)


def _query(query: Any, where: str) -> str:
    return read_text(query.text if isinstance(query, Query) else query, where)


def _pairs(queries: Any) -> Iterator[tuple[str, list[Given]]]:
    """The (query, passages) of many, read; an error names the query's place."""
    if isinstance(queries, (str, bytes, Mapping)) or not isinstance(queries, Iterable):
        raise UserError(f"queries: {type(queries).__name__}: expected a list of (query, passages)")
    for place, pair in enumerate(queries):
        if isinstance(pair, Candidates):
            pair = pair.query, pair.passages
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise UserError(f"queries[{place}]: {type(pair).__name__}: expected (query, passages)")
        query, passages = pair
        try:
            yield _query(query, "query"), read_passages(passages)
        except UserError as error:
            raise UserError(f"queries[{place}]: {error}") from None


def _candidates(place: int, number: int, query: str, given: Sequence[Given]) -> Candidates:
    """Passages by their places, so that one that is given twice stays two."""
    name = f"{place}" if number == 0 else f"{place} (order {number + 1})"
    return Candidates(
        Query(name, query),
        tuple(each.shown for each in given),
        tuple(float(len(given) - index) for index in range(len(given))),
    )


def _total(qid: str, costs: Sequence[Cost]) -> Cost:
    """The cost of one query over its orders; passages cut are those of one order."""
    outcomes: Counter[str] = Counter()
    for cost in costs:
        outcomes.update(cost.outcomes)
    names = (
        *("groups", "memo_hits", "forward_passes", "prompt_tokens", "generated_tokens", "layer_tokens"),
        *("computed_tokens", "computed_layer_tokens"),
    )
    return Cost(
        qid,
        seconds=sum(cost.seconds for cost in costs),
        truncated_passages=costs[0].truncated_passages,
        outcomes={name: outcomes[name] for name in sorted(outcomes)},
        **{name: sum(getattr(cost, name) for cost in costs) for name in names},
    )


def _one_of(name: str, value: Any, allowed: Iterable[str]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise UserError(f"{name}: {value!r}: expected one of {', '.join(allowed)}")


def _family(family: Any) -> str:
    if not isinstance(family, str):
        raise UserError(f"family: {family!r}: expected the name of a prompt family")
    return family_named(family).name


def _settings(name: str, settings: Any) -> dict[str, Any]:
    if settings is None:
        return {}
    if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
        raise UserError(f"{name}: {settings!r}: expected a mapping of names")
    return dict(settings)


def middle(layers: int) -> LayerWindow:
    """The middle third of a model's layers: 10–19 of 30."""
    return LayerWindow(layers // 3, max(layers // 3, 2 * layers // 3 - 1))


def _window(window: Any, layers: int) -> LayerWindow:
    """The layers that a window names, as text, as one layer or as (start, end); None: the middle ones."""
    if window is None:
        return middle(layers)
    parts = [window.start, window.end] if isinstance(window, LayerWindow) else window
    if isinstance(parts, (tuple, list)) and len(parts) == 2:
        text = "-".join(_layer(part, window) for part in parts)
    elif isinstance(parts, str):
        text = parts
    else:
        text = _layer(parts, window)
    return LayerWindow.parse(text, layers)


def _layer(value: Any, window: Any) -> str:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0:
        raise UserError(f"window: {window!r}: expected 'all', '10-13', (10, 13) or a layer from 0")
    return str(int(value))
