"""A ready TREC run in place of retrieval, over topics, judgements and texts of another source."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from layerrank.collections.source import Entry, Material, Source
from layerrank.core.errors import UserError
from layerrank.core.files import file_digest, located, read_run
from layerrank.core.records import Passage


def source_of(sources: Mapping[str, Source]) -> Source:
    """The table entry of ready runs, over the given sources of texts."""

    def nested(entry: Entry) -> tuple[Source, Entry]:
        inner = entry["texts"]
        kind = str(inner.get("source")) if isinstance(inner, dict) else "none"
        if kind not in sources:
            raise UserError(f"texts of a run: source {kind!r} is unknown; known are {', '.join(sorted(sources))}")
        source = sources[kind]
        for key in inner.keys() - {"source"} - source.required - source.optional:
            raise UserError(f"texts of a run: unknown key {key!r} for source {kind}")
        for key in sorted(source.required - inner.keys()):
            raise UserError(f"texts of a run: key {key!r} is missing; source {kind} needs it")
        return source, inner

    def check(entry: Entry) -> None:
        nested(entry)

    def read(entry: Entry, cache: Path) -> Material:
        source, inner = nested(entry)
        path = located(entry["run"])
        read_run(path)
        material = source.read(inner, cache)
        return dataclasses.replace(material, digests={**material.digests, "run": f"sha256:{file_digest(path)}"})

    def parse(pid: str, raw: str, entry: Entry) -> Passage:
        source, inner = nested(entry)
        return source.parse(pid, raw, inner)

    def passages(entry: Entry, cache: Path) -> Iterator[Passage]:
        source, inner = nested(entry)
        if source.passages is None:
            raise UserError("the texts of this run lie in a prebuilt index")
        wanted = {pid for ranking in read_run(located(entry["run"])) for pid in ranking.pids}
        return (passage for passage in source.passages(inner, cache) if passage.pid in wanted)

    def prebuilt(entry: Entry) -> str | None:
        source, inner = nested(entry)
        return source.prebuilt(inner)

    def inputs(entry: Entry) -> list[Path]:
        source, inner = nested(entry)
        path = located(entry["run"])
        if not path.is_file():
            raise UserError(f"{path}: no such run")
        return [path, *source.inputs(inner)]

    return Source(
        required=frozenset({"run", "texts"}),
        optional=frozenset(),
        read=read,
        parse=parse,
        passages=passages,
        prebuilt=prebuilt,
        inputs=inputs,
        check=check,
    )
