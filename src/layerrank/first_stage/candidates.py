"""The one candidate list of a study: the first stage cut to a depth, its texts cut to a length, in input order."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.formats import read_documents, read_queries
from layerrank.core.lists import ranking_of, read_lists
from layerrank.core.records import Candidates, Passage, Query, Ranking
from layerrank.core.sampling import sample

_log = logging.getLogger(__name__)


def _shuffled(places: list[int], qid: str, seed: int) -> list[int]:
    random.Random(f"{seed}\0{qid}").shuffle(places)
    return places


ORDERS: Mapping[str, Callable[[list[int], str, int], list[int]]] = {
    "first-stage": lambda places, qid, seed: places,
    "reversed": lambda places, qid, seed: places[::-1],
    "shuffled": _shuffled,
}
"""Input orders: (places in the first stage, query id, seed) -> the same places in input order."""


@dataclass(frozen=True, slots=True)
class CandidateSettings:
    """Candidates a query, words a text, input order and its seed, and whether passages keep their titles."""

    depth: int
    words: int
    order: str = "first-stage"
    seed: int = 0
    titles: bool = True

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise UserError(f"depth is {self.depth}; it must be at least 1")
        if self.words < 1:
            raise UserError(f"passages words is {self.words}; it must be at least 1")
        if self.order not in ORDERS:
            raise UserError(f"order {self.order!r} is unknown; known are {', '.join(ORDERS)}")


def cut_words(text: str, words: int) -> str:
    """Return the first `words` space-separated words of a text (semantics.md §1)."""
    return " ".join(text.split(" ")[:words])


def sample_queries(queries: Sequence[Query], limit: int | None, seed: int) -> list[Query]:
    """Return a seeded sample of the queries (all where the limit is None), in natural order of their ids."""
    if limit is not None and limit < 1:
        raise UserError(f"query limit {limit}: it must be at least 1")
    by_id = {query.qid: query for query in queries}
    return [by_id[qid] for qid in sample(by_id, limit, seed)]


def make_candidates(
    queries: Iterable[Query], run: Sequence[Ranking], passages: Mapping[str, Passage], settings: CandidateSettings
) -> list[Candidates]:
    """Return the candidates of every query that the first stage found something for, in the topics' order.

    Scores are the first stage's. `UserError` names a passage of the run that has no text.
    """
    rankings = {ranking.qid: ranking for ranking in run}
    rows = []
    absent = []
    truncated = total = 0
    for query in queries:
        if query.qid not in rankings:
            absent.append(query.qid)
            continue
        ranking = rankings[query.qid]
        places = ORDERS[settings.order](list(range(min(settings.depth, len(ranking.pids)))), query.qid, settings.seed)
        chosen = []
        for place in places:
            pid = ranking.pids[place]
            if pid not in passages:
                raise UserError(f"query {query.qid!r}: passage {pid!r} of the run has no text")
            whole = passages[pid]
            text = cut_words(whole.text, settings.words)
            truncated += text != whole.text
            chosen.append(Passage(pid, text, whole.title if settings.titles else ""))
        total += len(chosen)
        rows.append(Candidates(query, tuple(chosen), tuple(ranking.scores[place] for place in places)))
    if absent:
        _log.warning(
            "%d queries have no candidates and are left out, %s first; evaluation counts them as 0",
            len(absent),
            absent[0],
        )
    _log.info("%d queries, %d candidates, %d cut to %d words", len(rows), total, truncated, settings.words)
    return rows


def candidates_of_run(
    run: Path, topics: Path, passages: Path, *, depth: int = 100, words: int | None = None
) -> list[Candidates]:
    """Candidates of a TREC run: its best `depth` of every topic, with texts cut to `words` (None: whole).

    Topics and passages are in any format that a collection's may have. Queries of the run without a topic, and topics
    that it does not rank, are counted in the log; `UserError` where no query of the run has a topic, or one is blank.
    """
    rankings = files.read_run(run)
    if not rankings:
        raise UserError(f"{run}: no query is ranked")
    queries = read_queries(topics)
    known = {query.qid: query for query in queries}
    orphans = [ranking.qid for ranking in rankings if ranking.qid not in known]
    if len(orphans) == len(rankings):
        raise UserError(f"{run}: none of its {len(rankings)} queries is in {topics}, {orphans[0]!r} for one")
    if orphans:
        _log.warning("%d queries of the run have no topic and are left out, %s first", len(orphans), orphans[0])
    if blank := [qid for ranking in rankings if (qid := ranking.qid) in known and not known[qid].text.strip()]:
        raise UserError(f"{topics}: the text of query {blank[0]!r} is blank")
    wanted = {pid for ranking in rankings if ranking.qid in known for pid in ranking.pids[:depth]}
    texts = {passage.pid: passage for passage in read_documents(passages) if passage.pid in wanted}
    longest = max((passage.text.count(" ") + 1 for passage in texts.values()), default=1)
    return make_candidates(queries, rankings, texts, CandidateSettings(depth, longest if words is None else words))


def candidates_of_lists(path: Path, *, depth: int = 100, words: int | None = None) -> list[Candidates]:
    """Candidates that come with their texts, as rank_llm and Anserini keep them: the best `depth` of every query.

    Texts are cut to `words` (None: whole). `UserError` as of `read_lists`, or where no query is left to rank.
    """
    found = []
    for row in read_lists(path):
        if not row.query.text.strip():
            raise UserError(f"{path}: the text of query {row.query.qid!r} is blank")
        texts = {passage.pid: passage for passage in row.passages}
        best = ranking_of(row)
        chosen = [texts[pid] for pid in best.pids[:depth]]
        kept = chosen if words is None else [Passage(p.pid, cut_words(p.text, words), p.title) for p in chosen]
        found.append(Candidates(row.query, tuple(kept), best.scores[:depth]))
    if not found:
        raise UserError(f"{path}: no candidates of any query")
    return found
