"""Candidates with their texts, as rank_llm and Anserini keep them: queries, a run and its passages in one file.

One JSON object a query, on a line of its own or in one list: `{query: {qid, text}, candidates: [{docid, score, doc}]}`,
where `doc` is a text or an object that holds one; or, of older days, `{query, hits: [{qid, docid, score, content}]}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.formats import document, identifier
from layerrank.core.reading import PACKED, finite_value, json_value, numbered_lines, shown
from layerrank.core.records import Candidates, Passage, Query, Ranking


def read_lists(path: Path) -> Iterator[Candidates]:
    """Yield a file's candidates, query by query, in file order; a query may not come twice, nor a passage in it."""
    seen: set[str] = set()
    for where, row in _records(path):
        if not isinstance(row, dict):
            raise UserError(f"{where}: expected a JSON object, got {shown(row)}")
        entries = row.get("candidates", row.get("hits"))
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{where}: expected a list of objects under 'candidates' (or 'hits')")
        query = _query(row, entries, where)
        if query.qid in seen:
            raise UserError(f"{where}: query {query.qid!r} appears twice")
        seen.add(query.qid)
        found = [_passage(entry, where) for entry in entries]
        pids: set[str] = set()
        for passage in found:
            if passage.pid in pids:
                raise UserError(f"{where}: query {query.qid!r} has candidate {passage.pid!r} twice")
            pids.add(passage.pid)
        yield Candidates(
            query, tuple(found), tuple(finite_value(entry.get("score"), "score", where) for entry in entries)
        )


def write_lists(path: Path, rows: Iterable[Candidates], rankings: Iterable[Ranking]) -> None:
    """Write what `read_lists` reads: each query with its passages in the order, and with the scores, of its ranking.

    Texts are those of `rows`, which has every query of `rankings`. JSON lines; one list where the name ends in .json;
    packed where it ends in .gz or .zst. Scores fall as in a TREC run (`files.falling`).
    """
    known = {row.query.qid: row for row in rows}
    records = (_record(known[ranking.qid], ranking) for ranking in rankings)
    if (path.with_suffix("") if path.suffix in PACKED else path).suffix.lower() == ".json":
        files.write_packed(path, [json.dumps(list(records), indent=1, ensure_ascii=False) + "\n"])
    else:
        files.write_packed(path, (json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def ranking_of(row: Candidates) -> Ranking:
    """The ranking that a list tells: its candidates by falling score, equal ones as they stand."""
    order = sorted(range(len(row)), key=lambda place: (-row.scores[place], place))
    return Ranking(
        row.query.qid,
        tuple(row.passages[place].pid for place in order),
        tuple(row.scores[place] for place in order),
    )


def _record(row: Candidates, ranking: Ranking) -> dict[str, Any]:
    texts = {passage.pid: passage for passage in row.passages}
    return {
        "query": {"qid": row.query.qid, "text": row.query.text},
        "candidates": [
            {"docid": pid, "score": score, "doc": _doc(texts[pid])}
            for pid, score in zip(ranking.pids, files.falling(ranking), strict=True)
        ],
    }


def _doc(passage: Passage) -> dict[str, str]:
    return {**({"title": passage.title} if passage.title else {}), "text": passage.text}


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (where, record) of JSON lines, or of the one list, or one object over several lines, that a file holds."""
    lines = numbered_lines(path)
    first = True
    for number, line in lines:
        if first and (line.lstrip().startswith("[") or line.strip() == "{"):
            whole = json_value("\n".join([line, *(more for _, more in lines)]), str(path))
            for place, row in enumerate(whole if isinstance(whole, list) else [whole], 1):
                yield f"{path} record {place}", row
            return
        first = False
        yield f"{path}:{number}", json_value(line, f"{path}:{number}")


def _query(row: Mapping[str, Any], entries: list[dict[str, Any]], where: str) -> Query:
    query = row.get("query")
    if isinstance(query, dict):
        qid, text = identifier(query, "query", where), query.get("text")
    else:
        inside = {str(entry["qid"]) for entry in entries if "qid" in entry}
        if len(inside) > 1:
            raise UserError(f"{where}: the hits are of {len(inside)} queries, {shown(', '.join(sorted(inside)))}")
        named = {key: row[key] for key in ("qid", "query_id") if key in row} or {"qid": next(iter(inside), None)}
        qid, text = identifier(named, "query", where), query
    if not isinstance(text, str):
        raise UserError(f"{where}: the text of query {qid!r} must be a text, got {shown(text)}")
    return Query(qid, text)


def _passage(entry: Mapping[str, Any], where: str) -> Passage:
    pid = identifier({key: value for key, value in entry.items() if key != "qid"}, "document", where)
    inside = entry.get("doc", entry.get("content"))
    return document(pid, inside if isinstance(inside, dict) else {"text": inside}, f"{where}, candidate {pid!r}")
