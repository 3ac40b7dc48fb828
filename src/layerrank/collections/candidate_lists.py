"""Candidates with their texts, as rank_llm keeps and Anserini writes them: queries, a run and its passages in one file.

One JSON object a query, on a line of its own or in one list: `{query: {qid, text}, candidates: [{docid, score, doc}]}`,
where `doc` is a text or an object that holds one; or, of older days, `{query, hits: [{qid, docid, score, content}]}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from layerrank.collections.ready_run import check_run
from layerrank.collections.source import Entry, Material, Source, ids_of, parse_stored
from layerrank.core.errors import UserError
from layerrank.core.files import located
from layerrank.core.formats import document, identifier, read_judgements
from layerrank.core.reading import finite_value, json_value, numbered_lines, shown
from layerrank.core.records import Candidates, Passage, Query, Ranking


def inputs(entry: Entry) -> dict[str, Path]:
    """The file of candidates and that of judgements; `UserError` names one that is missing."""
    found = {part: located(str(entry[part])) for part in ("candidates", "qrels")}
    for part, path in found.items():
        if not path.exists():
            raise UserError(f"{path}: no such file (key {part})")
    return found


def read(entry: Entry, cache: Path) -> Material:
    """Read queries and judgements, and check that the candidates are of them."""
    paths = inputs(entry)
    where = str(paths["candidates"])
    pids = ids_of(passages(entry, cache), where)
    queries = [row.query for row in read_lists(paths["candidates"])]
    material = Material(queries, read_judgements(paths["qrels"]), documents=len(pids), pids=pids)
    check_run(ranked(entry), material, where)
    return material


def passages(entry: Entry, cache: Path) -> Iterator[Passage]:
    """Yield every passage once; one that comes with two texts is a `UserError`."""
    path = inputs(entry)["candidates"]
    seen: dict[str, int] = {}
    for row in read_lists(path):
        for passage in row.passages:
            text = hash((passage.title, passage.text))
            if passage.pid not in seen:
                seen[passage.pid] = text
                yield passage
            elif seen[passage.pid] != text:
                raise UserError(
                    f"{path}: passage {passage.pid!r} comes with two texts, again at query {row.query.qid!r}"
                )


def ranked(entry: Entry) -> list[Ranking]:
    """The run: each query's candidates by falling score, equal ones as they stand."""
    rankings = []
    for row in read_lists(inputs(entry)["candidates"]):
        order = sorted(range(len(row)), key=lambda place: (-row.scores[place], place))
        pids = tuple(row.passages[place].pid for place in order)
        rankings.append(Ranking(row.query.qid, pids, tuple(row.scores[place] for place in order)))
    return rankings


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


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (where, record) of JSON lines, or of one list that a whole file holds."""
    lines = numbered_lines(path)
    for number, line in lines:
        if number == 1 and line.lstrip().startswith("["):
            whole = "\n".join([line, *(more for _, more in lines)])
            for place, row in enumerate(json_value(whole, str(path)), 1):
                yield f"{path} record {place}", row
            return
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


SOURCE = Source(
    required=frozenset({"candidates", "qrels"}),
    optional=frozenset(),
    read=read,
    parse=parse_stored,
    passages=passages,
    ranked=ranked,
    inputs=inputs,
)
