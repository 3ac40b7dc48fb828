"""Candidates with their texts, as rank_llm and Anserini keep them (`core.lists`), with judgements beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from layerrank.collections.ready_run import check_run
from layerrank.collections.source import Entry, Material, Source, ids_of, parse_stored
from layerrank.core.errors import UserError
from layerrank.core.files import located
from layerrank.core.formats import read_judgements
from layerrank.core.lists import ranking_of, read_lists
from layerrank.core.records import Passage, Ranking


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
    return [ranking_of(row) for row in read_lists(inputs(entry)["candidates"])]


SOURCE = Source(
    read=read,
    parse=parse_stored,
    passages=passages,
    ranked=ranked,
    inputs=inputs,
)
