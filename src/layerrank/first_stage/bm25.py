"""The first stage: a Lucene index and BM25 over it, through pyserini's bridge to Anserini.

Only the parts of pyserini that stand on Lucene are imported: its searcher classes would load torch and transformers.
"""

from __future__ import annotations

import itertools
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from layerrank.collections.java import documents_of, java_class, new_index
from layerrank.collections.prebuilt import fetch_index
from layerrank.collections.prepared import FEW, Collection, check_inputs
from layerrank.collections.source import with_slug
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.locks import part_folder
from layerrank.core.progress import counted
from layerrank.core.records import Passage, Query, Ranking
from layerrank.first_stage.settings import Bm25

BATCH = 1000
"""Documents handed to the indexer at a time."""
HELD = 50_000
"""Hits that a batch of queries may hold in the JVM's memory, each with its stored text."""
CLAUSES = (1 << 31) - 1
"""Different terms that a query may have: any number; Lucene's default of 1,024 is less than some posts have."""

_log = logging.getLogger(__name__)


Search = Callable[[Sequence[Query], int], Mapping[str, Sequence[tuple[str, float]]]]
"""(queries, hits) -> by query id, at most so many (passage id, score), best first, ties by id."""


def build_index(collection: Collection, cache: Path, threads: int, output: Path) -> None:
    """Make the folder `output` with index.json, which says what serves as the collection's index.

    `lucene`: built here, beside index.json. `prebuilt`: pyserini's own, in the cache, whose path is given as the study
    names its cache. `texts`: passages.jsonl.gz with the texts of a ready run.
    """
    entry, source = collection.entry, collection.source
    check_inputs(collection, cache)
    with part_folder(output.with_name(f".{output.name}.part")) as part:
        folder = part / "index"
        ready = source.prebuilt(entry)
        if ready is not None:
            about: dict[str, Any] = {"kind": "prebuilt", "name": ready, "path": str(fetch_index(ready, cache))}
        elif source.passages is None:
            raise RuntimeError(f"source {entry['source']} has neither texts nor an index")
        elif source.ranked is not None:
            about = {"kind": "texts"}
            texts = sorted(source.passages(entry, cache), key=lambda passage: passage.pid)
            files.write_passages(folder / "passages.jsonl.gz", texts)
        else:
            documents = write_lucene(source.passages(entry, cache), folder / "lucene", threads)
            about = {"kind": "lucene", "documents": documents}
        files.write_json(folder / "index.json", about)
        if output.exists():
            shutil.rmtree(output)
        folder.replace(output)


def write_lucene(passages: Iterable[Passage], folder: Path, threads: int) -> int:
    """Index title and text of each passage, store both, and return how many there were.

    A passage without a word is counted but not indexed: no query finds it. Analysis is Anserini's English default
    (Porter's stemmer, Lucene's stop words), contents are `title + "\\n" + text`, as in pyserini's BEIR indexes.
    """
    indexer = new_index(folder, threads)
    total = indexed = 0
    rows = iter(counted(passages, "index", "passages"))
    while batch := list(itertools.islice(rows, BATCH)):
        total += len(batch)
        stored = [_stored(passage) for passage in batch if passage.content]
        indexed += len(stored)
        indexer.add_batch_raw(stored)
    indexer.close()
    if not indexed:
        raise UserError(f"the corpus has no text to index: {total} documents, none with a word")
    written = documents_of(folder)
    if written != indexed:
        raise RuntimeError(f"Lucene took {written} of {indexed} passages")
    _log.info("Indexed %d passages; %d are empty", indexed, total - indexed)
    return total


def _stored(passage: Passage) -> str:
    contents = f"{passage.title}\n{passage.text}"
    return json.dumps({"id": passage.pid, "contents": contents, "title": passage.title}, ensure_ascii=False)


def retrieve(
    collection: Collection, index: Path, settings: Bm25
) -> tuple[list[Ranking], list[Passage], dict[str, int]]:
    """Return every query's candidates, best first; the retrieved passages, untruncated, sorted by id; and counts.

    Passages that must not be candidates are taken out before the cut to depth (semantics.md §5). Ties in score are
    broken by passage id, in a ready run by rank. A query that finds nothing has no ranking. The counts are those of
    `search_all`.
    """
    if collection.source.ranked is not None:
        check_inputs(collection, None)
    about = files.read_json(index / "index.json")
    if about["kind"] == "texts":
        rankings, counts = search_all(collection, ready_search(collection), settings.depth)
        passages = _texts_of_run(index / "passages.jsonl.gz", _pids(rankings))
    else:
        folder = Path(about["path"]) if about["kind"] == "prebuilt" else index / "lucene"
        if not folder.is_dir():
            raise UserError(f"{folder}: no such index; run build-index again")
        searcher = _Searcher(folder, settings, collection.description["first_stage"] == "bm25-query-side")
        ready = collection.source.ranked is not None
        search = ready_search(collection) if ready else searcher.search
        rankings, counts = search_all(collection, search, settings.depth)
        parse = collection.source.parse
        passages = [parse(pid, raw, collection.entry) for pid, raw in searcher.texts(_pids(rankings))]
    if collection.description["titles"] == "slug":
        passages = [with_slug(passage) for passage in passages]
    return rankings, passages, counts


def ready_search(collection: Collection) -> Search:
    """Search in the ready run of a collection: each query's passages as they stand there."""
    if collection.source.ranked is None:
        raise ValueError(f"collection {collection.name!r} has no ready run")
    rankings = {ranking.qid: ranking for ranking in collection.source.ranked(collection.entry)}

    def search(queries: Sequence[Query], hits: int) -> dict[str, list[tuple[str, float]]]:
        found = {}
        for query in queries:
            ranking = rankings.get(query.qid)
            found[query.qid] = list(zip(ranking.pids, ranking.scores, strict=True))[:hits] if ranking else []
        return found

    return search


def _pids(rankings: Iterable[Ranking]) -> list[str]:
    return sorted({pid for ranking in rankings for pid in ranking.pids})


def _texts_of_run(path: Path, pids: Sequence[str]) -> list[Passage]:
    texts = files.read_passages(path)
    for pid in pids:
        if pid not in texts:
            raise UserError(f"passage {pid!r} of the run is not among the texts of its collection")
    return [texts[pid] for pid in pids]


def search_all(collection: Collection, search: Search, depth: int) -> tuple[list[Ranking], dict[str, int]]:
    """Search for every query, deeper where forbidden passages take up places, and cut to `depth`.

    Returns the rankings and counts: `queries`, `without_candidates`, `own_ids_excluded` (queries whose own id would
    have been a candidate). `UserError` where these are more than a few and the entry does not say `same_ids`.
    """
    found: dict[str, list[tuple[str, float]]] = {}
    own: set[str] = set()
    pending = list(collection.queries)
    hits = depth + 1
    while pending:
        results = search(pending, hits)
        short = []
        for query in pending:
            forbidden = collection.forbidden(query.qid)
            kept = [(pid, score) for pid, score in results[query.qid] if pid not in forbidden]
            found[query.qid] = kept[:depth]
            if query.qid in forbidden and any(pid == query.qid for pid, _ in results[query.qid][:depth]):
                own.add(query.qid)
            if len(kept) < depth and len(results[query.qid]) == hits:
                short.append(query)
        pending = short
        hits *= 4
    _check_own(collection, own)
    nothing = [query.qid for query in collection.queries if not found[query.qid]]
    if len(nothing) == len(collection.queries):
        raise UserError(f"collection {collection.name!r}: none of its {len(nothing)} queries finds a passage")
    if nothing:
        _log.warning("%d queries find no passage: %s", len(nothing), " ".join(nothing[:10]))
    counts = {"queries": len(found), "without_candidates": len(nothing), "own_ids_excluded": len(own)}
    return [
        Ranking(query.qid, tuple(pid for pid, _ in found[query.qid]), tuple(score for _, score in found[query.qid]))
        for query in collection.queries
        if found[query.qid]
    ], counts


def _check_own(collection: Collection, own: set[str]) -> None:
    """Say how many documents are no candidates since they have the query's id; more than a few need a choice."""
    if not own:
        return
    first = min(own)
    if collection.description["same_ids"] is None and len(own) > FEW:
        raise UserError(
            f"collection {collection.name!r}: {len(own)} queries find a document of their own id, {first!r} first:"
            " say same_ids: keep (documents like any other) or exclude (the query itself, no candidate)"
        )
    _log.info("%d queries find a document of their own id, which is no candidate, %s first", len(own), first)


class _Searcher:
    """BM25 over a Lucene index; query-side where asked for.

    Query-side BM25 (Anserini's QuerySideBm25QueryGenerator) weighs each query term t by
    idf(t) · tf / (tf + k1 · (1 − b + b · |query| / avgdl)), tf counted in the query, and multiplies its BM25 score.
    """

    def __init__(self, folder: Path, settings: Bm25, query_side: bool) -> None:
        self._searcher = java_class("io.anserini.search.SimpleSearcher")(str(folder))
        self._searcher.set_bm25(settings.k1, settings.b)
        java_class("org.apache.lucene.search.IndexSearcher").setMaxClauseCount(CLAUSES)
        self._threads = settings.threads
        if query_side:
            reader = java_class("io.anserini.index.IndexReaderUtils").getReader(str(folder))
            generator = java_class("io.anserini.search.query.QuerySideBm25QueryGenerator")
            self._generator = generator(settings.k1, settings.b, reader)
        else:
            self._generator = java_class("io.anserini.search.query.BagOfWordsQueryGenerator")()

    def search(self, queries: Sequence[Query], hits: int) -> dict[str, list[tuple[str, float]]]:
        """Return by query id at most `hits` (passage id, score), best first; Anserini breaks ties by id."""
        array = java_class("java.util.ArrayList")
        found: dict[str, list[tuple[str, float]]] = {}
        rest = iter(counted(queries, "search", total=len(queries)))
        while batch := list(itertools.islice(rest, max(1, HELD // hits))):
            texts, qids = array(), array()
            for query in batch:
                texts.add(query.text)
                qids.add(query.qid)
            results = self._searcher.batch_search(self._generator, texts, qids, hits, self._threads)
            for query in batch:
                if (of_query := results.get(query.qid)) is None:
                    raise RuntimeError(f"Anserini gave no answer to query {query.qid!r}")
                found[query.qid] = [(hit.docid, hit.score) for hit in of_query]
        return found

    def texts(self, pids: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (passage id, stored text) of each passage."""
        for pid in pids:
            raw = self._searcher.doc_raw(pid)
            if raw is None:
                raise UserError(f"passage {pid!r} has no stored text: the index must hold raw documents")
            yield pid, raw
