"""Files as people bring them, and as they should not be: a row a case, what changes in a small collection, what comes.

A case that works is compared by its result, down to the candidates; one that does not, by its one line.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow
import pytest
from support.ugly import FILES, OUTCOME, as_lines, entry_of, outcome, write_files
from support.ugly import LISTS as RANK_LLM

from layerrank.core.errors import UserError

BOM = b"\xef\xbb\xbf"
CORPUS, QUERIES, QRELS, RUN = (FILES[name] for name in ("corpus.jsonl", "queries.jsonl", "qrels.txt", "run.txt"))
Changes = Mapping[str, bytes | None]


def zst(content: bytes) -> bytes:
    return bytes(pyarrow.Codec("zstd").compress(content, asbytes=True))


def crlf(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


def renamed(content: bytes, **names: str) -> bytes:
    """JSON lines with their keys renamed."""
    rows = [json.loads(line) for line in content.splitlines()]
    return b"".join(
        json.dumps({names.get(key, key): value for key, value in row.items()}).encode() + b"\n" for row in rows
    )


def also(name: str, line: bytes) -> Changes:
    return {name: FILES[name] + line}


def instead(name: str, old: bytes, new: bytes) -> Changes:
    assert old in FILES[name]
    return {name: FILES[name].replace(old, new, 1)}


def moved(name: str, to: str, content: bytes) -> Changes:
    return {name: None, to: content}


CORPUS_TSV = "id\ttitle\ttext\nd1\tone\tapple banana\nd2\t\tapple éclair\nd3\t\tcherry\nd4\t\t\n".encode()
QUERIES_TSV = b"q1\tapple\nq2\tcherry pie\n"
BEIR_QRELS = b"q1\td1\t2\nq1\td2\t0\nq2\td3\t1\n"
NAMES = b"query-id\tcorpus-id\tscore\n"
JSON_QRELS = b"".join(
    json.dumps({"query-id": qid, "corpus-id": pid, "score": grade}).encode() + b"\n"
    for qid, grades in OUTCOME["qrels"].items()
    for pid, grade in grades.items()
)

SAME: dict[str, Changes] = {
    "as they are": {},
    "a byte order mark before texts": {"corpus.jsonl": BOM + CORPUS},
    "a byte order mark before topics": {"queries.jsonl": BOM + QUERIES},
    "a byte order mark before judgements": {"qrels.txt": BOM + QRELS},
    "a byte order mark before a run": {"run.txt": BOM + RUN},
    "Windows line ends everywhere": {name: crlf(content) for name, content in FILES.items()},
    "blank lines": {name: content.replace(b"\n", b"\n\n \n") for name, content in FILES.items()},
    "no last line end": {name: content.rstrip(b"\n") for name, content in FILES.items()},
    "texts packed by gzip": moved("corpus.jsonl", "corpus.jsonl.gz", gzip.compress(CORPUS)),
    "texts packed by Zstandard": moved("corpus.jsonl", "corpus.jsonl.zst", zst(CORPUS)),
    "texts packed in two frames": moved("corpus.jsonl", "corpus.jsonl.zst", zst(CORPUS[:60]) + zst(CORPUS[60:])),
    "topics packed by Zstandard": moved("queries.jsonl", "queries.jsonl.zst", zst(QUERIES)),
    "judgements packed by gzip": moved("qrels.txt", "qrels.txt.gz", gzip.compress(QRELS)),
    "a run packed by gzip": moved("run.txt", "run.txt.gz", gzip.compress(RUN)),
    "a run packed by Zstandard": moved("run.txt", "run.txt.zst", zst(RUN)),
    "texts as TSV with names": moved("corpus.jsonl", "corpus.tsv", CORPUS_TSV),
    "topics as TSV": moved("queries.jsonl", "queries.tsv", QUERIES_TSV),
    "topics as TSV with names": moved("queries.jsonl", "queries.tsv", b"qid\tquery\n" + QUERIES_TSV),
    "topics as packed TSV with Windows line ends": moved(
        "queries.jsonl", "queries.tsv.gz", gzip.compress(crlf(QUERIES_TSV))
    ),
    "Anserini's fields": {"corpus.jsonl": renamed(CORPUS, _id="id", text="contents")},
    "MS MARCO v2's fields of documents": {"corpus.jsonl": renamed(CORPUS, _id="docid", text="body")},
    "MS MARCO v2's fields of segments": {"corpus.jsonl": renamed(CORPUS, _id="docid", text="segment")},
    "other fields of topics": {"queries.jsonl": renamed(QUERIES, _id="qid", text="query")},
    "yet other fields of topics": {"queries.jsonl": renamed(QUERIES, _id="query_id", text="question")},
    "BEIR's judgements": moved("qrels.txt", "qrels/test.tsv", NAMES + BEIR_QRELS),
    "BEIR's judgements without names": moved("qrels.txt", "qrels/test.tsv", BEIR_QRELS),
    "TREC's judgements in BEIR's place": moved("qrels.txt", "qrels/test.tsv", QRELS.replace(b" ", b"\t")),
    "judgements as JSON lines": moved("qrels.txt", "qrels.jsonl", JSON_QRELS),
    "grades written as decimals": {"qrels.txt": QRELS.replace(b" 2\n", b" 2.0\n")},
    "a judgement twice": also("qrels.txt", b"q1 0 d1 2\n"),
    "tabs and spaces in judgements": {"qrels.txt": QRELS.replace(b"q1 0 d1", b"q1  0\td1")},
    "a run in another order": {"run.txt": b"".join(sorted(RUN.splitlines(keepends=True), reverse=True))},
    "a run with a plus and an exponent": {"run.txt": RUN.replace(b" 2.5 ", b" +25e-1 ")},
    "a topic that nobody judged": also("queries.jsonl", b'{"_id": "q3", "text": "nobody"}\n'),
    "a blank topic that nobody judged": also("queries.jsonl", b'{"_id": "q3", "text": ""}\n'),
    "a query of the run that nobody judged": also("run.txt", b"q9 Q0 d1 1 1.0 bm25\n"),
    "a judged query without a topic": also("qrels.txt", b"q9 0 d1 1\n"),
    "other keys in JSON": {"corpus.jsonl": CORPUS.replace(b'"title": "one"', b'"title": "one", "url": "x", "n": [1]')},
    "no title": {"corpus.jsonl": CORPUS.replace(b'"title": "", ', b"")},
    "a title of null": {"corpus.jsonl": CORPUS.replace(b'"title": ""', b'"title": null')},
    "two names of one id": {"corpus.jsonl": CORPUS.replace(b'"_id": "d1"', b'"_id": "d1", "docid": "d1"')},
    "a character in two halves": {"corpus.jsonl": CORPUS.replace(b'"cherry"', b'"cherry\\ud83d\\ude00"')},
}
CHANGED: dict[str, dict[str, Any]] = {
    "a judged query without a topic": {},
    "a character in two halves": {"texts": {**OUTCOME["texts"], "d3": "cherry\U0001f600"}},
}
"""Where the result is another than that of the files as they are, the parts that are."""


@pytest.mark.parametrize("name", SAME)
def test_works(tmp_path, name):
    folder = write_files(tmp_path, SAME[name])
    assert outcome(folder, entry_of(folder)) == {**OUTCOME, **CHANGED.get(name, {})}


def test_ids_may_be_numbers(tmp_path):
    changes = {name: re.sub(rb'"?\b[dq](\d)\b"?', rb"\1", content) for name, content in FILES.items()}
    folder = write_files(tmp_path, changes)
    found = outcome(folder, entry_of(folder, same_ids="keep"))
    assert found["qrels"] == {"1": {"1": 2, "2": 0}, "2": {"3": 1}}
    assert found["candidates"] == {"1": [("2", 2.5), ("1", 1.5)], "2": [("3", 7.0), ("1", -0.1)]}
    with pytest.raises(UserError, match=r"query '1' judges a document of its own id.*same_ids: keep"):
        outcome(folder, entry_of(folder))


def test_files_may_be_named_one_by_one(tmp_path):
    folder = write_files(tmp_path, {"qrels/other.txt": QRELS.replace(b" 2\n", b" 3\n")})
    texts = {
        "source": "files",
        "corpus": str(folder / "corpus.jsonl"),
        "topics": str(folder / "queries.jsonl"),
        "qrels": str(folder / "qrels/other.txt"),
    }
    found = outcome(folder, {"source": "run", "run": str(folder / "run.txt"), "texts": texts})
    assert found["qrels"]["q1"] == {"d1": 3, "d2": 0}
    texts["corpus"] = str(folder / "lost.jsonl")
    with pytest.raises(UserError, match=r"lost\.jsonl: no such file \(key corpus\)"):
        outcome(folder, {"source": "run", "run": str(folder / "run.txt"), "texts": texts})


NESTED = b'{"_id": "d5", "text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
WRONG: dict[str, tuple[Changes, str]] = {
    "no texts": ({"corpus.jsonl": None}, r"corpus\.jsonl: no such file, nor corpus\.tsv, collection\.tsv"),
    "no topics": ({"queries.jsonl": None}, r"queries\.jsonl: no such file"),
    "no judgements": ({"qrels.txt": None}, r"qrels/test\.tsv: no such file, nor .*qrels\.txt"),
    "no run": ({"run.txt": None}, r"run\.txt: no such run"),
    "two files of judgements": ({"qrels/test.tsv": BEIR_QRELS}, r"both test\.tsv and qrels\.txt are there; keep one"),
    "two files of texts": ({"corpus.tsv": CORPUS_TSV}, r"both corpus\.jsonl and corpus\.tsv are there"),
    "a folder for texts": (moved("corpus.jsonl", "corpus.jsonl/", b""), r"corpus\.jsonl is a folder"),
    "a folder for topics": (moved("queries.jsonl", "queries.jsonl/", b""), r"queries\.jsonl is a folder"),
    "a folder for judgements": (moved("qrels.txt", "qrels.txt/", b""), r"qrels\.txt is a folder"),
    "a folder for a run": (moved("run.txt", "run.txt/", b""), r"run\.txt is a folder, where a file is expected"),
    "empty texts": ({"corpus.jsonl": b""}, r"corpus\.jsonl: the corpus is empty"),
    "blank texts": ({"corpus.jsonl": b"\n \n"}, r"corpus\.jsonl: the corpus is empty"),
    "texts without a word": (
        {"corpus.jsonl": b'{"_id": "d1", "text": ""}\n{"_id": "d2", "title": "", "text": " "}\n'},
        r"corpus\.jsonl: no document has a text or a title",
    ),
    "empty topics": ({"queries.jsonl": b""}, r"no query has a judgement"),
    "empty judgements": ({"qrels.txt": b""}, r"collection 'tiny': no judgements"),
    "an empty run": ({"run.txt": b""}, r"run\.txt: it ranks 0 queries, none of them among its collection's 2"),
    "a run of other queries": ({"run.txt": RUN.replace(b"q", b"x")}, r"run\.txt: it ranks 2 queries, none of them"),
    "topics of another collection": ({"queries.jsonl": QUERIES.replace(b"q", b"x")}, r"no query has a judgement"),
    "judgements of other texts": (
        {"qrels.txt": QRELS.replace(b" d", b" x")},
        r"none of its judged documents is among its 4 texts, 'x1' for one",
    ),
    "no relevant judgement": (
        {"qrels.txt": b"q1 0 d1 0\nq2 0 d3 -1\n"},
        r"no judgement of its 2 queries is relevant: the highest grade is 0, relevance_level is 1",
    ),
    "a blank topic that is judged": (instead("queries.jsonl", b'"apple"', b'" \\n"'), r"text of query 'q1' is blank"),
    "a text twice": (also("corpus.jsonl", CORPUS.splitlines()[0]), r"corpus\.jsonl:5: document id 'd1' appears twice"),
    "a topic twice": (also("queries.jsonl", QUERIES.splitlines()[0]), r"queries\.jsonl:3: query id 'q1' appears twice"),
    "two judgements of one document": (
        also("qrels.txt", b"q1 0 d1 0\n"),
        r"qrels\.txt:4: query 'q1' judges document 'd1' twice, with different grades",
    ),
    "a passage twice in a run": (
        also("run.txt", b"q1 Q0 d2 3 1.0 bm25\n"),
        r"run\.txt:5: query 'q1' ranks passage 'd2' twice",
    ),
    "a passage of the run without a text": (
        also("run.txt", b"q2 Q0 d9 3 -1.0 bm25\n"),
        r"passage 'd9' of the run is not among the texts",
    ),
    "a score that is no number": (instead("run.txt", b" 2.5 ", b" nan "), r"run\.txt:1: score 'nan' is not a finite"),
    "an infinite score": (instead("run.txt", b" 2.5 ", b" inf "), r"run\.txt:1: score 'inf' is not a finite number"),
    "a score beyond all": (instead("run.txt", b" 2.5 ", b" 1e999 "), r"run\.txt:1: score '1e999' is not a finite"),
    "a score with an underscore": (instead("run.txt", b" 2.5 ", b" 2_5 "), r"run\.txt:1: score '2_5' is not a finite"),
    "a rank with an underscore": (instead("run.txt", b" 1 2.5", b" 1_0 2.5"), r"run\.txt:1: rank '1_0' is not a whole"),
    "a rank that is no number": (instead("run.txt", b" 1 2.5", b" first 2.5"), r"run\.txt:1: rank 'first' is not a"),
    "a run without its tag": (instead("run.txt", b"2.5 bm25", b"2.5"), r"run\.txt:1: expected 'qid Q0 pid rank score"),
    "white space in an id of a run": (instead("run.txt", b"d2 1", b"d 2 1"), r"run\.txt:1: expected 'qid Q0 pid rank"),
    "a byte order mark within a run": (
        instead("run.txt", b"\nq1", b"\n" + BOM + b"q1"),
        r"run\.txt:2: query id '\\ufeffq1'",
    ),
    "a grade of a fraction": (instead("qrels.txt", b" 2\n", b" 1.5\n"), r"qrels\.txt:1: grade '1\.5' is not a whole"),
    "a grade with an underscore": (instead("qrels.txt", b" 2\n", b" 1_0\n"), r"qrels\.txt:1: grade '1_0' is not a"),
    "a grade of letters": (instead("qrels.txt", b" 2\n", b" high\n"), r"qrels\.txt:1: grade 'high' is not a whole"),
    "a grade of NaN": (instead("qrels.txt", b" 2\n", b" nan\n"), r"qrels\.txt:1: grade 'nan' is not a whole number"),
    "a grade beyond 32 bits": (
        instead("qrels.txt", b" 2\n", b" 3000000000\n"),
        r"qrels\.txt:1: grade '3000000000' is not between -1000 and 1000",
    ),
    "a grade beyond 64 bits": (
        instead("qrels.txt", b" 2\n", b" 100000000000000000000\n"),
        r"qrels\.txt:1: grade '1000.*' is not between -1000 and 1000",
    ),
    "a judgement of five columns": (instead("qrels.txt", b" 2\n", b" 2 x\n"), r"qrels\.txt:1: expected three fields"),
    "a judgement of two columns": (instead("qrels.txt", b"q1 0 d1 2", b"q1 d1"), r"qrels\.txt:1: expected three"),
    "an empty id of a judgement": (
        moved("qrels.txt", "qrels/test.tsv", b"\td1\t1\n"),
        r"test\.tsv:1: query id '' is empty",
    ),
    "white space in an id of a document": (
        instead("corpus.jsonl", b'"d1"', b'"d 1"'),
        r"corpus\.jsonl:1: document id 'd 1' is empty or has white space",
    ),
    "a line break in an id": (instead("corpus.jsonl", b'"d1"', b'"d\\n1"'), r"corpus\.jsonl:1: document id 'd\\n1'"),
    "a space of another kind in an id": (
        instead("queries.jsonl", b'"q1"', b'"q\\u00a01"'),
        r"queries\.jsonl:1: query id 'q\\xa01' is empty or has white space",
    ),
    "a zero byte in an id": (
        instead("corpus.jsonl", b'"d1"', b'"d\\u00001"'),
        r"corpus\.jsonl:1: document id 'd\\x001'",
    ),
    "no id": (instead("corpus.jsonl", b'"_id": "d1", ', b""), r"corpus\.jsonl:1: expected one of the fields _id, id"),
    "an id of null": (instead("corpus.jsonl", b'"d1"', b"null"), r"corpus\.jsonl:1: expected one of the fields _id"),
    "an id of a fraction": (
        instead("corpus.jsonl", b'"d1"', b"1.5"),
        r"corpus\.jsonl:1: _id must be a text or a whole",
    ),
    "an id of true": (instead("corpus.jsonl", b'"d1"', b"true"), r"corpus\.jsonl:1: _id must be a text or a whole"),
    "an id in a list": (instead("corpus.jsonl", b'"d1"', b'["d1"]'), r"corpus\.jsonl:1: _id must be a text or a whole"),
    "two ids": (
        instead("corpus.jsonl", b'"_id": "d1"', b'"_id": "d1", "docid": "d9"'),
        r"corpus\.jsonl:1: _id is 'd1' and docid is 'd9': keep one",
    ),
    "two texts": (
        instead("corpus.jsonl", b'"text": "cherry"', b'"text": "cherry", "contents": "plum"'),
        r"corpus\.jsonl:3: text is 'cherry' and contents is 'plum': keep one",
    ),
    "no text": (instead("corpus.jsonl", b'"text": "cherry"', b'"n": 1'), r"corpus\.jsonl:3: expected one of .*text"),
    "a text of a number": (instead("corpus.jsonl", b'"cherry"', b"3"), r"corpus\.jsonl:3: text must be a text, got 3"),
    "a title of a list": (instead("corpus.jsonl", b'"one"', b'["one"]'), r"corpus\.jsonl:1: title must be a text"),
    "half a character in an id": (
        instead("corpus.jsonl", b'"d1"', b'"d\\ud800"'),
        r"corpus\.jsonl:1: half a character",
    ),
    "half a character in a text": (
        instead("queries.jsonl", b'"apple"', b'"apple \\uDC00"'),
        r"queries\.jsonl:1: half a character \('\\udc00'\)",
    ),
    "a key twice": (
        instead("corpus.jsonl", b'"_id": "d1"', b'"_id": "d1", "_id": "d9"'),
        r"corpus\.jsonl:1: not valid JSON \(key '_id' comes twice\)",
    ),
    "NaN in JSON": (
        instead("corpus.jsonl", b'"cherry"', b"NaN"),
        r"corpus\.jsonl:3: not valid JSON \(NaN is no num",
    ),
    "a number of 5,000 digits": (
        instead("corpus.jsonl", b'"d1"', b"7" * 5000),
        r"corpus\.jsonl:1: not valid JSON \(Exceeds the limit",
    ),
    "JSON that is nested deeply": (also("corpus.jsonl", NESTED), r"corpus\.jsonl:5: not valid JSON \(nested too deep"),
    "JSON that is cut": (also("queries.jsonl", b'{"_id": "q3", "te'), r"queries\.jsonl:3: not valid JSON"),
    "JSON that is a list": (also("queries.jsonl", b"[1]\n"), r"queries\.jsonl:3: expected a JSON object, got '\[1\]'"),
    "Latin-1 in texts": (
        {"corpus.jsonl": CORPUS.replace(b"\\u00e9", b"\xe9")},
        r"corpus\.jsonl:2: not UTF-8 text \(byte 43 of the line\)",
    ),
    "Latin-1 in a run": (also("run.txt", b"q2 Q0 d\xe9 3 -3 bm25\n"), r"run\.txt:5: not UTF-8 text"),
    "Latin-1 in judgements": (also("qrels.txt", b"q\xe9 0 d1 1\n"), r"qrels\.txt:4: not UTF-8 text"),
    "UTF-16": ({"queries.jsonl": QUERIES.decode().encode("utf-16")}, r"queries\.jsonl:1: not UTF-8 text"),
    "a gzip file that is cut": (
        moved("corpus.jsonl", "corpus.jsonl.gz", gzip.compress(CORPUS)[:-9]),
        r"corpus\.jsonl\.gz:\d: not a whole gzip file",
    ),
    "a gzip file that is none": (moved("run.txt", "run.txt.gz", RUN), r"run\.txt\.gz:1: not a whole gzip file"),
    "a Zstandard file that is cut": (
        moved("corpus.jsonl", "corpus.jsonl.zst", zst(CORPUS)[:-9]),
        r"corpus\.jsonl\.zst:\d: not a whole Zstandard file",
    ),
    "a Zstandard file that is none": (
        moved("queries.jsonl", "queries.jsonl.zst", QUERIES),
        r"queries\.jsonl\.zst:1: not a whole Zstandard file",
    ),
    "TSV of three columns without names": (
        moved("corpus.jsonl", "corpus.tsv", b"d1\tone\tapple\n"),
        r"corpus\.tsv:1: expected 2 fields with tabs between \(id, text\), got 3",
    ),
    "TSV with a line that is short": (
        moved("corpus.jsonl", "corpus.tsv", CORPUS_TSV + b"d5\tfive\n"),
        r"corpus\.tsv:6: expected 3 fields with tabs between \(id, title, text\), got 2",
    ),
    "TSV with a name twice": (
        moved("corpus.jsonl", "corpus.tsv", b"id\ttext\ttext\n"),
        r"corpus\.tsv:1: a column comes twice",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_is_refused_in_one_line(tmp_path, name):
    changes, complaint = WRONG[name]
    folder = write_files(tmp_path, changes)
    with pytest.raises(UserError, match=complaint) as told:
        outcome(folder, entry_of(folder))
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400


STRICT = {
    "a judged query without a topic": (also("qrels.txt", b"q9 0 d1 1\n"), r"1 judged queries have no topic.*q9 first"),
    "a judged document without a text": (
        also("qrels.txt", b"q2 0 d9 3\n"),
        r"1 judged documents are not among the texts.*\(1 of 4 judgements\), 'd9' of query 'q2' first \(strict: true\)",
    ),
}


@pytest.mark.parametrize("name", STRICT)
def test_what_is_counted_is_refused_by_those_who_want_it(tmp_path, name, caplog):
    changes, complaint = STRICT[name]
    folder = write_files(tmp_path, changes)
    outcome(folder, entry_of(folder))
    assert re.search(complaint.removesuffix(r" \(strict: true\)"), caplog.text)
    with pytest.raises(UserError, match=complaint):
        outcome(folder, entry_of(folder, strict=True))


def test_a_judged_document_without_a_text_counts_in_the_ideal(tmp_path):
    folder = write_files(tmp_path, also("qrels.txt", b"q2 0 d9 3\n"))
    assert outcome(folder, entry_of(folder))["qrels"]["q2"] == {"d3": 1, "d9": 3}


LISTS = {
    "rank_llm's": RANK_LLM,
    "texts without an object around": [
        {
            "query": {"qid": qid, "text": OUTCOME["topics"][qid]},
            "candidates": [{"docid": pid, "score": score, "doc": OUTCOME["texts"][pid]} for pid, score in ranked],
        }
        for qid, ranked in OUTCOME["candidates"].items()
    ],
    "hits of older days": [
        {
            "query": OUTCOME["topics"][qid],
            "hits": [
                {"content": OUTCOME["texts"][pid], "qid": qid, "docid": pid, "rank": rank, "score": score}
                for rank, (pid, score) in enumerate(ranked, 1)
            ],
        }
        for qid, ranked in OUTCOME["candidates"].items()
    ],
}
"""The collection's candidates with their texts, one list a format; titles are in the texts."""


def lists_entry(folder, content: bytes, name: str = "lists.jsonl") -> dict[str, Any]:
    write_files(folder)
    (folder / name).write_bytes(content)
    return {"source": "candidates", "candidates": str(folder / name), "qrels": str(folder / "qrels.txt")}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("how", ["lines", "one list", "indented", "packed"])
def test_candidates_with_texts(tmp_path, name, how):
    content, file = {
        "lines": (as_lines(LISTS[name]), "lists.jsonl"),
        "one list": (json.dumps(LISTS[name]).encode(), "lists.json"),
        "indented": (BOM + crlf(json.dumps(LISTS[name], indent=1).encode()), "lists.json"),
        "packed": (gzip.compress(as_lines(LISTS[name])), "lists.jsonl.gz"),
    }[how]
    assert outcome(tmp_path, lists_entry(tmp_path, content, file)) == OUTCOME


FIRST = json.dumps(LISTS["rank_llm's"][0])
WRONG_LISTS = {
    "no query": (FIRST.replace('"query"', '"topic"'), r"lists\.jsonl:1: expected one of the fields _id, id, qid"),
    "no candidates": (FIRST.replace('"candidates"', '"passages"'), r"lists\.jsonl:1: expected a list of objects under"),
    "candidates that are none": (
        '{"query": {"qid": 1, "text": "x"}, "candidates": [1]}',
        r"expected a list of objects",
    ),
    "a record that is none": ("[[1]]", r"lists\.jsonl record 1: expected a JSON object"),
    "one object in all": ("3", r"lists\.jsonl:1: expected a JSON object, got 3"),
    "a query of a number": (FIRST.replace('"text": "apple"', '"text": 3'), r"text of query 'q1' must be a text, got 3"),
    "a query twice": (f"{FIRST}\n{FIRST}", r"lists\.jsonl:2: query 'q1' appears twice"),
    "a candidate twice": (FIRST.replace('"d2"', '"d1"'), r"lists\.jsonl:1: query 'q1' has candidate 'd1' twice"),
    "a score of NaN": (FIRST.replace("2.5", "NaN"), r"lists\.jsonl:1: not valid JSON \(NaN is no number\)"),
    "a score beyond all": (FIRST.replace("2.5", "1e999"), r"lists\.jsonl:1: score must be a finite number, got inf"),
    "a score of 400 digits": (FIRST.replace("2.5", "9" * 400), r"lists\.jsonl:1: score must be a finite number"),
    "a score of text": (FIRST.replace("2.5", '"2.5"'), r"lists\.jsonl:1: score must be a finite number, got '2\.5'"),
    "a candidate without a text": (FIRST.replace('"contents"', '"url"'), r"candidate 'd2': expected one of the fields"),
    "a passage with two texts": (
        f"{FIRST}\n" + json.dumps(LISTS["rank_llm's"][1]).replace("banana", "plum"),
        r"passage 'd1' comes with two texts, again at query 'q2'",
    ),
}


@pytest.mark.parametrize("name", WRONG_LISTS)
def test_candidates_with_texts_that_are_wrong(tmp_path, name):
    content, complaint = WRONG_LISTS[name]
    with pytest.raises(UserError, match=complaint) as told:
        outcome(tmp_path, lists_entry(tmp_path, content.encode()))
    assert "\n" not in str(told.value)
