from __future__ import annotations

import sys
from typing import NamedTuple

import pytest

from layerrank.collections import irds, prepared
from layerrank.core.errors import UserError
from layerrank.core.records import Passage
from layerrank.first_stage import bm25

ir_datasets = pytest.importorskip("ir_datasets")

from ir_datasets.datasets.base import Dataset  # noqa: E402
from ir_datasets.formats import BaseDocs, BaseQrels, BaseQueries, GenericQuery, TrecQrel  # noqa: E402


class Doc(NamedTuple):
    doc_id: str
    title: str
    text: str
    venue: str

    def default_text(self) -> str:
        return f"{self.title} {self.text}"


class Docs(BaseDocs):
    rows = (Doc("d1", "Moths", "moth flame", "x"), Doc("d2", "", "lamp oil", "y"), Doc("d3", "Fire", "", "moth"))

    def docs_iter(self):
        return iter(self.rows)

    def docs_cls(self):
        return Doc


class Queries(BaseQueries):
    def queries_iter(self):
        return iter([GenericQuery("q1", "moth"), GenericQuery("q2", "lamp"), GenericQuery("q3", "unjudged")])

    def queries_cls(self):
        return GenericQuery


class Qrels(BaseQrels):
    def qrels_iter(self):
        return iter([TrecQrel("q1", "d1", 2, "0"), TrecQrel("q1", "d3", -1, "0"), TrecQrel("q2", "d2", 1, "0")])

    def qrels_cls(self):
        return TrecQrel

    def qrels_defs(self):
        return {}


class Unreachable(Docs):
    def docs_iter(self):
        raise OSError("no route to host")


class Twice(Docs):
    rows = (Docs.rows[0], Docs.rows[0])


@pytest.fixture(autouse=True)
def registered(tmp_path, monkeypatch):
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "irds"))
    registry = ir_datasets.registry._registered
    monkeypatch.setitem(registry, "tiny", Dataset(Docs(), Queries(), Qrels()))
    monkeypatch.setitem(registry, "tiny/docs-only", Dataset(Docs()))
    monkeypatch.setitem(registry, "tiny/unreachable", Dataset(Unreachable(), Queries(), Qrels()))
    monkeypatch.setitem(registry, "tiny/twice", Dataset(Twice(), Queries(), Qrels()))


def test_a_whole_collection(tmp_path):
    prepared.prepare("tiny", {"source": "ir_datasets", "id": "tiny"}, tmp_path / "cache", tmp_path / "c", None, 1)
    collection = prepared.load(tmp_path / "c")
    assert collection.qrels == {"q1": {"d1": 2, "d3": -1}, "q2": {"d2": 1}}
    assert collection.description["statistics"]["negative_grades"] == 1
    bm25.build_index(collection, tmp_path / "cache", 1, tmp_path / "index")
    rankings, passages, _ = bm25.retrieve(collection, tmp_path / "index", bm25.Bm25(depth=3))
    assert {ranking.qid: ranking.pids for ranking in rankings} == {"q1": ("d1",), "q2": ("d2",)}
    assert passages == [Passage("d1", "moth flame", "Moths"), Passage("d2", "lamp oil", "")]


def test_text_fields_can_be_chosen(tmp_path):
    entry = {"id": "tiny", "text_fields": ["text", "venue"]}
    assert [row.text for row in irds.passages(entry, tmp_path)] == ["moth flame\nx", "lamp oil\ny", "\nmoth"]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"id": "tinny"}, "ir_datasets has no data set 'tinny'"),
        ({"id": "tiny/docs-only"}, "'tiny/docs-only' has no queries; name a subset"),
        ({"id": "tiny", "query_field": "narrative"}, "no field 'narrative'; there are query_id, text"),
    ],
)
def test_names_what_is_wrong(tmp_path, entry, complaint):
    with pytest.raises(UserError, match=complaint):
        irds.read(entry, tmp_path)


def test_a_failed_download_names_the_data_set_and_the_folder(tmp_path):
    with pytest.raises(
        UserError, match=rf"'tiny/unreachable' cannot be read; .* in {tmp_path}/irds \(no route to host\)"
    ):
        list(irds.passages({"id": "tiny/unreachable"}, tmp_path))


def test_a_repeated_document_is_named(tmp_path):
    with pytest.raises(UserError, match="document id 'd1' appears twice"):
        list(irds.passages({"id": "tiny/twice"}, tmp_path))


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(UserError, match="needs the package ir-datasets: pip install"):
        irds.read({"id": "tiny"}, tmp_path)
