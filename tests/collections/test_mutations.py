"""Bytes of every text file of a small collection, changed at random: one line, or a result that is whole; never more.

The files that stages hand to each other are changed too. Each mutation runs all stages up to the candidates in process.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ugly import FILES, LISTS, as_lines, entry_of, outcome, write_files

from layerrank.collections import prepared
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.records import Cost
from layerrank.first_stage.candidates import candidates_of_run

PIECES = tuple(b'\0|\xff|\xef\xbb\xbf|\r|\n|\t| |"|\\|{|[|nan|-1e999|null|1_0|q1|d1'.split(b"|"))
"""What is likely to hurt, besides any byte."""


@st.composite
def mutations(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` with one to three places overwritten, filled, cut out or repeated, or with its end cut off."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        piece = draw(st.sampled_from(PIECES) | st.binary(min_size=1, max_size=3))
        until = min(len(content), at + draw(st.integers(0, 12)))
        kind = draw(st.sampled_from(("insert", "replace", "delete", "repeat", "cut")))
        middle = {"insert": piece + content[at:until], "replace": piece, "repeat": content[at:until] * 2}.get(kind, b"")
        content = content[:at] + middle + (b"" if kind == "cut" else content[until:])
    return content


FORMS: Mapping[str, tuple[str, bytes]] = {
    **{name: (name, content) for name, content in FILES.items()},
    "corpus.jsonl.gz": ("corpus.jsonl", gzip.compress(FILES["corpus.jsonl"], mtime=0)),
    "queries.jsonl.zst": ("queries.jsonl", pyarrow.Codec("zstd").compress(FILES["queries.jsonl"], asbytes=True)),
    "queries.tsv": ("queries.jsonl", b"qid\ttext\nq1\tapple\nq2\tcherry pie\n"),
    "qrels/test.tsv": ("qrels.txt", b"query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td3\t1\n"),
    "qrels.jsonl": ("qrels.txt", b'{"query-id": "q1", "corpus-id": "d1", "score": 2}\n'),
}
"""Each file in the forms that it may have: (the name that it replaces, content)."""


@st.composite
def changes(draw: st.DrawFn, forms: Sequence[str] = tuple(FORMS)) -> dict[str, bytes | None]:
    """One file of the collection, or two, in any form and with other bytes."""
    changed: dict[str, bytes | None] = {}
    for name in draw(st.lists(st.sampled_from(forms), min_size=1, max_size=2, unique_by=lambda name: FORMS[name][0])):
        former, content = FORMS[name]
        changed |= {former: None, name: draw(mutations(content))}
    return changed


def check_whole(found: dict[str, Any]) -> None:
    """What any result must be: every judged query and every candidate has its text, scores are numbers that fall."""
    assert found["qrels"].keys() == found["topics"].keys()
    assert any(grade >= 1 for grades in found["qrels"].values() for grade in grades.values())
    assert found["candidates"].keys() <= found["topics"].keys()
    for ranked in found["candidates"].values():
        assert {pid for pid, _ in ranked} <= found["texts"].keys()
        scores = [score for _, score in ranked]
        assert scores == sorted(scores, reverse=True)
        assert len({pid for pid, _ in ranked}) == len(ranked)


FAST = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FAST
@given(changed=changes())
def test_a_collection_of_other_bytes_is_read_or_refused(tmp_path_factory, changed):
    folder = write_files(tmp_path_factory.mktemp("mutated"), changed)
    try:
        found = outcome(folder, entry_of(folder))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        check_whole(found)


@FAST
@given(content=mutations(as_lines(LISTS)))
def test_candidates_with_texts_of_other_bytes_are_read_or_refused(tmp_path_factory, content):
    folder = write_files(tmp_path_factory.mktemp("mutated"))
    (folder / "lists.jsonl").write_bytes(content)
    entry = {"source": "candidates", "candidates": str(folder / "lists.jsonl"), "qrels": str(folder / "qrels.txt")}
    try:
        found = outcome(folder, entry)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        check_whole(found)


@FAST
@given(changed=changes(tuple(FILES)))
def test_a_run_with_texts_of_other_bytes_is_read_or_refused(tmp_path_factory, changed):
    folder = write_files(tmp_path_factory.mktemp("mutated"), changed)
    try:
        rows = candidates_of_run(folder / "run.txt", folder / "queries.jsonl", folder / "corpus.jsonl")
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert rows
        assert all(row.query.text.strip() and len(row) for row in rows)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder of what the stages hand to each other."""
    folder = write_files(tmp_path_factory.mktemp("written"))
    outcome(folder, entry_of(folder))
    work = folder / "work"
    for name in ("passages", "candidates"):
        rows = files.read_jsonl(work / f"{name}.jsonl.gz")
        (work / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files.write_costs(work / "costs.jsonl", [Cost("q1", 1, 2, 3, outcomes={"answers": 1})])
    return work


READERS = {
    "run.txt": files.read_run,
    "passages.jsonl": files.read_passages,
    "candidates.jsonl": files.read_candidates,
    "costs.jsonl": files.read_costs,
    "collection/topics.jsonl": files.read_topics,
    "collection/qrels.txt": files.read_qrels,
    "collection/collection.json": lambda path: prepared.load(path.parent),
}


@pytest.mark.parametrize("name", READERS)
@settings(FAST, max_examples=50)
@given(data=st.data())
def test_what_stages_hand_on_is_read_or_refused(written, name, data):
    path = written / name
    content = path.read_bytes()
    try:
        path.write_bytes(data.draw(mutations(content)))
        READERS[name](path)
    except UserError as error:
        assert "\n" not in str(error)
    finally:
        path.write_bytes(content)
