"""A ready TREC run in place of retrieval, over topics, judgements and texts of another source."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from layerrank.collections.entries import check_keys, own_keys
from layerrank.collections.source import Entry, Material, Source
from layerrank.core.errors import UserError
from layerrank.core.files import located, read_run
from layerrank.core.records import Passage, Ranking

_log = logging.getLogger(__name__)


def check_run(rankings: Sequence[Ranking], material: Material, where: str) -> None:
    """Refuse a run that ranks nothing of a collection; say what it ranks besides, and what it leaves out."""
    judged = {query.qid for query in material.queries if material.qrels.get(query.qid)}
    ranked = {ranking.qid for ranking in rankings}
    if judged and not judged & ranked:
        raise UserError(
            f"{where}: it ranks {len(ranked)} queries, none of them among its collection's {len(judged)} judged ones"
        )
    if besides := sorted(ranked - judged):
        _log.info("%s: %d queries are not judged and are left out, %s first", where, len(besides), besides[0])
    if missing := sorted(judged - ranked):
        _log.warning("%s: %d judged queries are not ranked and count as 0, %s first", where, len(missing), missing[0])


def source_of(sources: Mapping[str, Source]) -> Source:
    """The table entry of ready runs, over the given sources of texts."""

    def nested(entry: Entry) -> tuple[Source, Entry]:
        inner = entry["texts"]
        kind = str(inner.get("source")) if isinstance(inner, dict) else "none"
        if kind not in sources:
            raise UserError(f"texts of a run: source {kind!r} is unknown; known are {', '.join(sorted(sources))}")
        check_keys(kind, inner, own_keys(kind) | {"source"}, "texts of a run")
        return sources[kind], inner

    def check(entry: Entry) -> None:
        nested(entry)

    def ranked(entry: Entry) -> list[Ranking]:
        return read_run(located(entry["run"]))

    def read(entry: Entry, cache: Path) -> Material:
        source, inner = nested(entry)
        rankings = ranked(entry)
        material = source.read(inner, cache)
        check_run(rankings, material, str(located(entry["run"])))
        return material

    def parse(pid: str, raw: str, entry: Entry) -> Passage:
        source, inner = nested(entry)
        return source.parse(pid, raw, inner)

    def passages(entry: Entry, cache: Path) -> Iterator[Passage]:
        source, inner = nested(entry)
        if source.passages is None:
            raise UserError("the texts of this run lie in a prebuilt index")
        wanted = {pid for ranking in ranked(entry) for pid in ranking.pids}
        return (passage for passage in source.passages(inner, cache) if passage.pid in wanted)

    def prebuilt(entry: Entry) -> str | None:
        source, inner = nested(entry)
        return source.prebuilt(inner)

    def inputs(entry: Entry) -> dict[str, Path]:
        source, inner = nested(entry)
        path = located(entry["run"])
        if not path.exists():
            raise UserError(f"{path}: no such run")
        return {"run": path, **source.inputs(inner)}

    return Source(
        read=read,
        parse=parse,
        passages=passages,
        prebuilt=prebuilt,
        ranked=ranked,
        inputs=inputs,
        check=check,
    )
