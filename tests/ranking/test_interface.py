"""The Python interface: whatever people bring works as documented, or is refused in one line. A row a case."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.tiny import save_tiny

import layerrank
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import LayerWindow
from layerrank.ranking import passages as reading
from layerrank.ranking.passages import read_passages
from layerrank.ranking.reranker import middle
from layerrank.ranking.results import Results

TEXTS = ("air flows over a wing", "bread rises in an oven", "layers grow")

Document = namedtuple("Document", "doc_id text title url")
Bare = namedtuple("Bare", "doc_id body")
Titled = namedtuple("Titled", "docno title")
Point = namedtuple("Point", "x y")


class Paper(namedtuple("Paper", "doc_id title date")):
    """As records of ir_datasets that say what their text is."""

    def default_text(self) -> str:
        return f"{self.title} of {self.date}"


@dataclasses.dataclass
class Page:
    id: int
    text: str
    lang: str = "en"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama", "gpt2", layers=3)


@pytest.fixture(scope="module")
def reranker(model):
    return layerrank.Reranker(model, "listwise")


FRAME = pd.DataFrame({"docno": ["x", "y", "z"], "text": TEXTS, "lang": ["en", "fr", "de"]})

# name, passages → ids, texts, titles, fields of each
ACCEPTED: list[tuple[str, Callable[[], Any], list[Any], list[str], list[str], list[dict[str, Any]]]] = [
    ("list of texts", lambda: list(TEXTS), [0, 1, 2], [*TEXTS], [""] * 3, [{}] * 3),
    ("tuple of texts", lambda: TEXTS, [0, 1, 2], [*TEXTS], [""] * 3, [{}] * 3),
    ("generator", lambda: (text for text in TEXTS), [0, 1, 2], [*TEXTS], [""] * 3, [{}] * 3),
    ("map", lambda: map(str.strip, TEXTS), [0, 1, 2], [*TEXTS], [""] * 3, [{}] * 3),
    ("array", lambda: np.array(TEXTS), [0, 1, 2], [*TEXTS], [""] * 3, [{}] * 3),
    ("dictionary's values", lambda: {"a": "x", "b": "y"}.values(), [0, 1], ["x", "y"], [""] * 2, [{}] * 2),
    ("no passages", list, [], [], [], []),
    ("one passage", lambda: ["a"], [0], ["a"], [""], [{}]),
    ("the same text twice", lambda: ["a", "a"], [0, 1], ["a", "a"], [""] * 2, [{}] * 2),
    (
        "dictionaries",
        lambda: [{"id": "p", "text": "a", "title": "T"}, {"id": "q", "text": "b"}],
        ["p", "q"],
        ["a", "b"],
        ["T", ""],
        [{}] * 2,
    ),
    ("BEIR", lambda: [{"_id": "d1", "title": "", "text": "a"}], ["d1"], ["a"], [""], [{}]),
    (
        "MS MARCO segments",
        lambda: [{"docid": "s", "segment": "a", "url": "u", "headings": "h"}],
        ["s"],
        ["a"],
        [""],
        [{"url": "u", "headings": "h"}],
    ),
    ("Anserini", lambda: [{"id": 7, "contents": "a"}], [7], ["a"], [""], [{}]),
    ("body", lambda: [{"docno": "n", "body": "a", "title": None}], ["n"], ["a"], [""], [{}]),
    ("a title alone", lambda: [{"id": "t", "title": "T"}], ["t"], [""], ["T"], [{}]),
    ("a title and an empty text", lambda: [{"id": "t", "title": "T", "text": ""}], ["t"], [""], ["T"], [{}]),
    ("no id", lambda: [{"text": "a"}, {"text": "b", "id": None}], [0, 1], [*"ab"], [""] * 2, [{}] * 2),
    ("keys that are no texts", lambda: [{"text": "a", 3: 4}], [0], ["a"], [""], [{"3": 4}]),
    ("pairs", lambda: [("p", "a"), (8, "b"), (None, "c")], ["p", 8, 2], ["a", "b", "c"], [""] * 3, [{}] * 3),
    ("pairs of numpy", lambda: [(np.int64(8), np.str_("b"))], [8], ["b"], [""], [{}]),
    ("named tuples", lambda: [Document("d", "a", "T", "u")], ["d"], ["a"], ["T"], [{"url": "u"}]),
    ("named tuples with a body", lambda: [Bare("d", "a")], ["d"], ["a"], [""], [{}]),
    ("records with a default text", lambda: [Paper("d", "T", "1999")], ["d"], ["T of 1999"], [""], [{"date": "1999"}]),
    ("named tuples with a title alone", lambda: [Titled("d", "T")], ["d"], [""], ["T"], [{}]),
    ("data classes", lambda: [Page(3, "a")], [3], ["a"], [""], [{"lang": "en"}]),
    ("passages", lambda: [Passage("d", "a", "T")], ["d"], ["a"], ["T"], [{}]),
    ("a mapping of texts", lambda: {"d1": "a", "d2": "b"}, ["d1", "d2"], ["a", "b"], [""] * 2, [{}] * 2),
    ("a mapping of records", lambda: {"d1": {"title": "T", "text": "a"}}, ["d1"], ["a"], ["T"], [{}]),
    ("a mapping by number", lambda: {4: "a"}, [4], ["a"], [""], [{}]),
    (
        "a mix",
        lambda: ["a", {"text": "b"}, ("p", "c"), Page(9, "d")],
        [0, 1, "p", 9],
        [*"abcd"],
        [""] * 4,
        [{}, {}, {}, {"lang": "en"}],
    ),
    ("the same id twice", lambda: [("p", "a"), ("p", "b")], ["p", "p"], ["a", "b"], [""] * 2, [{}] * 2),
    ("a series", lambda: pd.Series(TEXTS), [0, 1, 2], [*TEXTS], [""] * 3, [{}] * 3),
    ("a filtered series", lambda: pd.Series([*"abc"])[[2, 0]], [2, 0], ["c", "a"], [""] * 2, [{}] * 2),
    ("a series by name", lambda: pd.Series({"x": "a", "y": "b"}), ["x", "y"], ["a", "b"], [""] * 2, [{}] * 2),
    ("a label twice", lambda: pd.Series(["a", "b"], index=[5, 5]), [5, 5], ["a", "b"], [""] * 2, [{}] * 2),
    ("a series of dictionaries", lambda: pd.Series([{"text": "a"}], index=["k"]), ["k"], ["a"], [""], [{}]),
    ("a frame", lambda: FRAME, ["x", "y", "z"], [*TEXTS], [""] * 3, [{"lang": each} for each in ("en", "fr", "de")]),
    ("a frame by its index", lambda: pd.DataFrame({"text": ["a"]}, index=["k"]), ["k"], ["a"], [""], [{}]),
    ("two levels", lambda: FRAME.set_index(["lang", "docno"]).head(1), [("en", "x")], [TEXTS[0]], [""], [{}]),
    ("a frame without rows", lambda: FRAME.head(0), [], [], [], []),
    ("a missing title", lambda: pd.DataFrame({"text": ["a"], "title": [math.nan]}), [0], ["a"], [""], [{}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("passages", "ids", "texts", "titles", "fields"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED]
)
def test_passages_in_any_form_come_back_with_ids_and_fields(reranker, passages, ids, texts, titles, fields):
    results = reranker.rank("what is lift", passages())
    assert [result.rank for result in results] == list(range(1, len(ids) + 1))
    back = sorted(results, key=lambda result: result.index)
    assert [result.index for result in back] == list(range(len(ids)))
    assert [result.id for result in back] == ids
    assert [result.text for result in back] == texts
    assert [result.title for result in back] == titles
    assert [dict(result.fields) for result in back] == fields
    plain = reranker.rank(
        "what is lift", [Passage("p", text, title) for text, title in zip(texts, titles, strict=True)]
    )
    assert [(result.index, result.score) for result in plain] == [(result.index, result.score) for result in results]


REFUSED: list[tuple[str, Callable[[], Any], str]] = [
    ("a text", lambda: "bread rises", "passages: a lone text, 'bread rises' (str): expected a list of passages"),
    ("nothing", lambda: None, "passages: None: expected a list"),
    ("a number", lambda: 3, "passages: 3 (int): expected a list"),
    ("a truth", lambda: True, "passages: True (bool): expected a list"),
    ("bytes", lambda: b"abc", "passages: b'abc' (bytes): expected a list"),
    ("a set", lambda: {"a"}, "passages: {'a'} (set): expected a list of passages, which has an order"),
    ("a frozen set", lambda: frozenset("a"), "(frozenset): expected a list of passages, which has an order"),
    ("a lone dictionary", lambda: {"id": "p", "text": "a"}, "passages: a lone passage"),
    ("a lone record", lambda: Passage("p", "a"), "passages: a lone passage"),
    ("a lone named tuple", lambda: Document("d", "a", "T", "u"), "passages: a lone passage"),
    ("without an end", lambda: itertools.repeat("a"), "more than 50 for one query"),
    ("None inside", lambda: ["a", None], "passages[1]: None: expected a text, a record"),
    ("numbers inside", lambda: [1, 2], "passages[0]: 1 (int): expected a text"),
    ("bytes inside", lambda: [b"a"], "passages[0]: b'a' (bytes): expected a text"),
    ("NaN inside", lambda: ["a", math.nan], "passages[1]: nan (float): expected a text"),
    ("a list inside", lambda: [["a", "b"]], "passages[0]: ['a', 'b'] (list): expected a text"),
    ("a set inside", lambda: [{"a"}], "passages[0]: {'a'} (set): expected a text"),
    ("a class inside", lambda: [Page], "passages[0]: <class"),
    ("three parts", lambda: [("p", "a", "b")], "passages[0]: ('p', 'a', 'b') (tuple): expected a text"),
    ("a pair without text", lambda: [("p", 3)], "passages[0]: 3 (int): expected a text"),
    ("a pair with half an id", lambda: [(1.5, "a")], "passages[0]: id: 1.5 (float): expected a text or a whole number"),
    ("rows of a frame", lambda: FRAME.iterrows(), "passages[0]: docno"),
    ("an empty text", lambda: ["a", ""], "passages[1]: the text is empty"),
    ("white space", lambda: [" \n\t"], "passages[0]: the text is empty"),
    ("a dictionary's empty text", lambda: [{"text": ""}], "passages[0]: text: the text is empty"),
    ("a dictionary without text", lambda: [{"id": 1, "url": "u"}], "passages[0]: fields id, url: expected a text in"),
    ("an empty dictionary", lambda: [{}], "passages[0]: fields none: expected a text"),
    ("a dictionary of numbers", lambda: [{"text": 3}], "passages[0]: text: 3 (int): expected a text"),
    ("a dictionary of lists", lambda: [{"text": ["a"]}], "passages[0]: text: ['a'] (list): expected a text"),
    ("a title that is none", lambda: [{"text": "a", "title": 3}], "passages[0]: title: 3 (int): expected a text"),
    ("an id that is none", lambda: [{"text": "a", "id": ["p"]}], "passages[0]: id: ['p'] (list): expected a text or"),
    ("an id that is a truth", lambda: [{"text": "a", "id": True}], "passages[0]: id: True (bool)"),
    ("a mapping of numbers", lambda: {"a": 1}, "passages[0]: 1 (int): expected a text"),
    ("a named tuple of numbers", lambda: [Point(1, 2)], "passages[0]: fields x, y: expected a text"),
    ("half a character", lambda: ["a\ud800b"], "passages[0]: character 1 is half of a pair, '\\ud800'"),
    ("half a character in an id", lambda: [("\udfff", "a")], "passages[0]: id: character 0 is half of a pair"),
    ("a series of numbers", lambda: pd.Series([1.0]), "passages[0]: 1.0 (float): expected a text"),
    ("a series with a gap", lambda: pd.Series(["a", None]), "passages[1]: "),
    ("a frame without text", lambda: pd.DataFrame({"a": [1]}), "passages: columns a: expected a text in one of text"),
    ("a frame of numbers", lambda: pd.DataFrame({"text": [1]}), "passages[0]: text: 1 (int): expected a text"),
    ("a column twice", lambda: pd.DataFrame([["a", "b"]], columns=["text", "text"]), "column 'text' comes twice"),
]  # fmt: skip


@pytest.mark.parametrize(("passages", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_holds_no_passages_is_refused_by_place(reranker, monkeypatch, passages, words):
    monkeypatch.setattr(reading, "MOST", 50)
    with pytest.raises(ValueError) as caught:
        reranker.rank("what is lift", passages())
    refused(caught.value, words)
    with pytest.raises(UserError) as caught:
        reranker.rank_many([("lift", ["a"]), ("lift", passages())])
    refused(caught.value, f"queries[1]: {words}" if words.startswith("passages") else words)


def refused(error: BaseException, words: str) -> None:
    """One line, with these words, of the kind that the command line and Python both take."""
    assert isinstance(error, UserError) and isinstance(error, ValueError)
    assert words in str(error)
    assert len(str(error).splitlines()) == 1
    assert str(error).isprintable()


CALLS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("no query", lambda r: r.rank(None, TEXTS), "query: None: expected a text"),
    ("an empty query", lambda r: r.rank("", TEXTS), "query: the text is empty"),
    ("a query of white space", lambda r: r.rank("  ", TEXTS), "query: the text is empty"),
    ("a list of queries", lambda r: r.rank(["a"], TEXTS), "query: ['a'] (list): expected a text"),
    ("bytes as a query", lambda r: r.rank(b"a", TEXTS), "query: b'a' (bytes): expected a text"),
    ("half a character in a query", lambda r: r.rank("\ud83d", TEXTS), "query: character 0 is half of a pair"),
    ("top_k 0", lambda r: r.rank("a", TEXTS, top_k=0), "top_k: 0 (int): expected a whole number from 1"),
    ("top_k below 0", lambda r: r.rank("a", TEXTS, top_k=-1), "top_k: -1 (int): expected a whole number from 1"),
    ("half a top_k", lambda r: r.rank("a", TEXTS, top_k=1.5), "top_k: 1.5 (float): expected a whole number from 1"),
    ("top_k as text", lambda r: r.rank("a", TEXTS, top_k="3"), "top_k: '3' (str): expected a whole number from 1"),
    ("top_k as a truth", lambda r: r.rank("a", TEXTS, top_k=True), "top_k: True (bool): expected a whole number"),
    ("too few ids", lambda r: r.rank("a", TEXTS, ids=["x"]), "ids: 1 for 3 passages; expected one a passage"),
    ("ids as a text", lambda r: r.rank("a", TEXTS, ids="xyz"), "ids: a lone text, 'xyz' (str)"),
    ("ids as a set", lambda r: r.rank("a", TEXTS, ids={"x", "y", "z"}), "(set): expected a list of ids"),
    ("half an id", lambda r: r.rank("a", TEXTS, ids=[1.5, 2, 3]), "ids[0]: 1.5 (float): expected a text or a whole"),
    ("queries as a text", lambda r: r.rank_many("abc"), "queries: str: expected a list of (query, passages)"),
    ("queries as a mapping", lambda r: r.rank_many({"q": TEXTS}), "queries: dict: expected a list of (query,"),
    ("no queries", lambda r: r.rank_many(None), "queries: NoneType: expected a list of (query, passages)"),
    ("queries without passages", lambda r: r.rank_many(["abc"]), "queries[0]: str: expected (query, passages)"),
    ("a query alone", lambda r: r.rank_many([("a",)]), "queries[0]: tuple: expected (query, passages)"),
    ("a pair the wrong way", lambda r: r.rank_many([(TEXTS, "a")]), "queries[0]: query: ('air"),
    ("a frame without query", lambda r: r.transform(FRAME), "frame: no column qid, query: expected a DataFrame"),
    (
        "a row without qid",
        lambda r: r.transform(pd.DataFrame({"qid": [1, None], "query": "a", "docno": ["d", "e"], "text": "x"})),
        "frame: a row has no qid",
    ),
    (
        "a qid of two queries",
        lambda r: r.transform(pd.DataFrame({"qid": 1, "query": ["a", "b"], "docno": ["d", "e"], "text": "x"})),
        "frame: qid 1 has more than one query",
    ),
    ("an unknown passage of an explanation", lambda r: r.explain("a", TEXTS).tokens("z"), "explain: no passage 'z'"),
    ("no frame", lambda r: r.transform([1]), "frame: no column qid, query, docno, text"),
    ("too long", lambda r: r.rank("a", ["bread " * 9000]), "query 0: 1 passages take"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "words"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_calls_that_cannot_be_answered(reranker, call, words):
    with pytest.raises(ValueError) as caught:
        call(reranker)
    refused(caught.value, words)


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model: None: expected a model folder"),
    ({"model": 3}, "model: 3: expected a model folder"),
    ({"model": "no/such/folder"}, "no/such/folder: not a model folder"),
    ({"model": "https://me:secret@host/x"}, "https:/***@host/x: not a model folder"),
    ({"framework": "sorted"}, "framework: 'sorted': expected one of pointwise, pairwise, setwise, listwise"),
    ({"mechanism": "intuition"}, "mechanism: 'intuition': expected one of generation, likelihood, attention"),
    ({"mechanism": ["attention"]}, "mechanism: ['attention']: expected one of"),
    ({"instruction": "XX"}, "instruction: 'XX': expected one of QA, IE"),
    ({"family": "gpt"}, "prompt family 'gpt': one of llama3"),
    ({"family": 3}, "family: 3: expected the name of a prompt family"),
    ({"query_span": "all"}, "query_span: 'all': expected one of instruction_to_end, query_only"),
    ({"window": "10-13"}, "window '10-13': the model has layers 0 to 2"),
    ({"window": "2-1"}, "window 2-1: must be 0 <= start <= end"),
    ({"window": "middle"}, "window 'middle': expected 'all', 'START-END' or a layer"),
    ({"window": (0, 3)}, "window '0-3': the model has layers 0 to 2"),
    ({"window": (2, 1)}, "window 2-1: must be 0 <= start <= end"),
    ({"window": (0, 1, 2)}, "window: (0, 1, 2): expected 'all', '10-13', (10, 13) or a layer from 0"),
    ({"window": 3}, "window '3': the model has layers 0 to 2"),
    ({"window": -1}, "window: -1: expected 'all'"),
    ({"window": (-1, 1)}, "window: (-1, 1): expected 'all'"),
    ({"window": 1.0}, "window: 1.0: expected 'all'"),
    ({"window": True}, "window: True: expected 'all'"),
    ({"window": "1", "mechanism": "likelihood"}, "window '1': likelihood has no layer window"),
    ({"orders": 0}, "orders: 0 (int): expected a whole number from 1"),
    ({"orders": 2.0}, "orders: 2.0 (float): expected a whole number from 1"),
    ({"orders": 2, "framework": "pointwise"}, "orders: 2: pointwise shows one passage at a time, expected 1"),
    ({"dtype": "float8"}, "dtype: 'float8': expected auto or one of float32, bfloat16, float16, fp32"),
    ({"dtype": torch.float64}, "dtype: torch.float64: expected auto or one of"),
    ({"dtype": 16}, "dtype: 16: expected auto or one of"),
    ({"dtype": "fp16", "device": "cpu"}, "dtype: 'fp16' on cpu: expected float32 or bfloat16; float16 needs a CUDA"),
    ({"device": "gpu"}, "device: 'gpu': expected one of cpu"),
    ({"device": "meta"}, "device: 'meta': expected one of cpu"),
    ({"device": ""}, "device: '': expected one of cpu"),
    ({"device": 0}, "device: 0: expected one of cpu"),
    ({"device": "cuda:99"}, "device: 'cuda:99': expected one of cpu"),
    ({"batch_tokens": math.nan}, "batch_tokens: nan (float): expected a whole number from 1"),
    ({"batch_tokens": math.inf}, "batch_tokens: inf (float): expected a whole number from 1"),
    ({"batch_tokens": 0}, "batch_tokens: 0 (int): expected a whole number from 1"),
    ({"batch_tokens": "8192"}, "batch_tokens: '8192' (str): expected a whole number from 1"),
    ({"queries_at_once": None}, "queries_at_once: None: expected a whole number from 1"),
    ({"framework_settings": ["k"]}, "framework_settings: ['k']: expected a mapping of names"),
    ({"framework_settings": {"k": 3}}, "unknown setting 'k'"),
    ({"framework_settings": {"size": 0}}, "size: 0: expected a whole number from 1"),
    ({"mechanism_settings": "query_last"}, "mechanism_settings: 'query_last': expected a mapping of names"),
    ({"mechanism_settings": {1: 2}}, "mechanism_settings: {1: 2}: expected a mapping of names"),
    ({"mechanism_settings": {"heads": []}}, "heads: the set is empty"),
    ({"mechanism_settings": {"heads": [[0, 1.5]]}}, "head [0, 1.5]: expected LAYER-HEAD or [layer, head], both whole"),
    ({"mechanism_settings": {"heads": [[9, 0]]}}, "heads: none of 9-0 lies in window L0-2"),
    ({"mechanism_settings": {"heads": [[0, 9]]}}, "head 0-9: the model has heads 0 to 3"),
    ({"heads": 3}, "heads 3: expected a list of heads"),
    ({"heads": [[2, 0]], "window": 0}, "heads: none of 2-0 lies in window L0-0"),
    ({"heads": [[0, 0]], "mechanism": "likelihood"}, "heads: likelihood reads no attention"),
    ({"mechanism": "likelihood", "mechanism_settings": {"template_arguments": 3}}, "template_arguments: 3: expected a"),
    ({"mechanism": "likelihood", "mechanism_settings": {"template_arguments": {1: 2}}}, "{1: 2}: expected a mapping"),
    (
        {"mechanism": "generation", "mechanism_settings": {"max_new_tokens": math.nan}},
        "max_new_tokens: nan: expected a",
    ),
    (
        {"mechanism": "generation", "mechanism_settings": {"max_failure_rate": math.nan}},
        "max_failure_rate: nan: expected",
    ),
    ({"framework_settings": {"size": math.nan}}, "size: nan: expected a whole number from 1"),
    ({"framework_settings": {"sort": ["x"]}}, "sort ['x']: expected one of window"),
    ({"mechanism_settings": {"strategy": "best"}}, "strategy: 'best': expected one of masked_NA_calibration"),
]


@pytest.mark.parametrize(("changes", "words"), SETTINGS, ids=[words[:40] for _, words in SETTINGS])
def test_settings_that_cannot_be(model, changes, words):
    with pytest.raises(ValueError) as caught:
        layerrank.Reranker(**{"model": model, **changes})
    refused(caught.value, words)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ("all", (0, 2)),
        (None, (1, 1)),
        ("0-1", (0, 1)),
        ("L0-1", (0, 1)),
        ("L1", (1, 1)),
        ("1", (1, 1)),
        (1, (1, 1)),
        (np.int64(1), (1, 1)),
        ((1, 2), (1, 2)),
        ([0, 0], (0, 0)),
        (LayerWindow(1, 2), (1, 2)),
    ],
)
def test_windows_by_the_names_in_use(model, window, expected):
    reranker = layerrank.Reranker(model, "listwise", window=window)
    assert reranker.cell.windows == LayerWindow(*expected)
    assert reranker.decoder.loaded_layers == expected[1] + 1


@pytest.mark.parametrize(
    ("layers", "expected"),
    [(1, (0, 0)), (2, (0, 0)), (3, (1, 1)), (4, (1, 1)), (28, (9, 17)), (30, (10, 19)), (36, (12, 23))],
)
def test_the_middle_third_of_the_layers(layers, expected):
    assert middle(layers) == LayerWindow(*expected)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("auto", "float32"),
        (None, "float32"),
        ("float32", "float32"),
        ("fp32", "float32"),
        ("float", "float32"),
        (torch.float32, "float32"),
        ("bfloat16", "bfloat16"),
        ("bf16", "bfloat16"),
        ("torch.bfloat16", "bfloat16"),
        (torch.bfloat16, "bfloat16"),
    ],
)
def test_dtypes_by_the_names_in_use(model, dtype, expected):
    reranker = layerrank.Reranker(model, dtype=dtype, device="cpu")
    assert reranker.decoder.dtype == expected
    assert reranker.decoder.model.get_input_embeddings().weight.dtype == getattr(torch, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["auto", "fp16", torch.float16])
def test_dtypes_of_a_gpu(model, dtype):
    reranker = layerrank.Reranker(model, dtype=dtype, device="cuda")
    assert reranker.decoder.dtype == ("bfloat16" if dtype == "auto" else "float16")
    assert len(reranker.rank("lift", TEXTS)) == 3


@pytest.mark.parametrize("device", ["cpu", "auto", torch.device("cpu"), None])
def test_devices(model, device):
    assert len(layerrank.Reranker(model, device=device).rank("lift", TEXTS)) == 3


def test_ids_that_come_apart(reranker):
    results = reranker.rank("lift", [("p", "a"), ("q", "b"), ("r", "c")], ids=["x", np.int64(4), None])
    assert {result.index: result.id for result in results} == {0: "x", 1: 4, 2: 2}


@pytest.mark.parametrize("top_k", [1, 2, 3, 99, np.int64(2)])
def test_top_k_cuts_the_same_ranking(reranker, top_k):
    whole = reranker.rank("lift", TEXTS)
    assert list(reranker.rank("lift", TEXTS, top_k=top_k)) == list(whole)[:top_k]
    assert list(reranker.rank_many([("lift", TEXTS)], top_k=top_k)[0]) == list(whole)[:top_k]


def test_results_are_a_sequence_and_a_frame(reranker):
    given_ = [{"id": "p", "text": "air " * 40, "title": "T", "url": "u", "score": 9.5}, {"id": "q", "text": "b"}]
    results = reranker.rank("what is lift", given_)
    assert isinstance(results, Results) and len(results) == 2 and results[0] in results
    assert results.ids == [result.id for result in results]
    assert results.cost.forward_passes == 1 and (results.orders, results.agreement) == (1, None)
    assert isinstance(results[:1], Results) and list(results[:1]) == [results[0]]
    frame = results.to_frame()
    assert list(frame.columns) == ["rank", "index", "id", "score", "text", "title", "url", "given_score"]
    assert list(frame["rank"]) == [1, 2] and list(frame["id"]) == results.ids
    assert frame.set_index("id").loc["p", "given_score"] == 9.5
    assert list(frame["score"]) == [result.score for result in results]
    assert list(reranker.rank("a", []).to_frame().columns) == ["rank", "index", "id", "score", "text"]
    again = reranker.rank("what is lift", results)
    assert again.ids == results.ids[:: 1 if again[0].index == 0 else -1]
    assert {result.id: dict(result.fields) for result in again} == {"p": {"url": "u", "score": 9.5}, "q": {}}
    assert {result.id: result.passage for result in again} == {"p": given_[0], "q": given_[1]}


def test_what_is_shown_says_what_it_is(model, reranker):
    assert repr(reranker) == "Reranker('tiny', listwise attention, layer 1 of 3, float32 on cpu)"
    assert repr(layerrank.Reranker(model)) == "Reranker('tiny', pointwise likelihood qlm, float32 on cpu)"
    other = layerrank.Reranker(model, "setwise", window=(0, 1), orders=2, dtype="bf16")
    assert repr(other) == "Reranker('tiny', setwise attention, layers 0–1 of 3, 2 orders, bfloat16 on cpu)"
    assert repr(layerrank.Reranker(model, "pointwise", "likelihood")) == (
        "Reranker('tiny', pointwise likelihood, float32 on cpu)"
    )
    results = reranker.rank("what is\nlift", [("p", "air flows\nover a wing " * 9), ("long-name", "<b>bread</b>")])
    lines = repr(results).splitlines()
    assert lines[0].startswith("Results for 'what is lift': 2 passages, ")
    assert lines[1].split() == ["rank", "score", "id", "text"] and len(lines) == 4
    assert {line.split()[2] for line in lines[2:]} == {"p", "long-name"} and max(map(len, lines)) < 110
    assert "&lt;b&gt;" in results._repr_html_() and "<b>" not in results._repr_html_()
    assert repr(reranker.rank("a", [f"b {n}" for n in range(25)])).splitlines()[-1].strip() == "… 5 more"
    assert "0 passages" in repr(reranker.rank("a", []))


def test_tables_of_many_queries_as_pyterrier_has_them(reranker):
    frame = pd.DataFrame(
        {
            "qid": ["2", "2", "1", "2"],
            "query": ["lift", "lift", "bread", "lift"],
            "docno": ["x", "y", "x", "z"],
            "text": [*TEXTS, "air"],
            "score": [3.0, 2.0, 1.0, 0.5],
            "rank": [0, 1, 0, 2],
            "year": [1, 2, 3, 4],
        },
        index=[9, 9, 9, 9],
    )
    found = reranker.transform(frame)
    assert set(found.columns) == set(frame.columns) and list(found["qid"]) == ["2", "2", "2", "1"]
    assert list(found["rank"]) == [0, 1, 2, 0]
    expected = reranker.rank("lift", [("x", TEXTS[0]), ("y", TEXTS[1]), ("z", "air")])
    assert list(found["docno"])[:3] == expected.ids
    assert list(found["score"])[:3] == pytest.approx([result.score for result in expected], abs=1e-5)
    assert dict(zip(found["docno"][:3], found["year"][:3], strict=True)) == {"x": 1, "y": 2, "z": 4}
    assert len(reranker.transform(frame.head(0))) == 0


def test_many_queries_in_any_form(reranker):
    row = Candidates(Query("q7", "lift"), (Passage("d", "a"), Passage("e", "b")), (2.0, 1.0))
    many = reranker.rank_many(iter([("lift", FRAME), [Query("q", "lift"), iter(TEXTS)], row]))
    assert [result.id for result in many[0]] == [["x", "y", "z"][result.index] for result in many[1]]
    assert sorted(many[2].ids) == ["d", "e"]
    assert reranker.rank_many([]) == []


def test_a_bar_over_many_queries(reranker, capsys):
    queries = [("lift", TEXTS)] * 3
    reranker.rank_many(queries, progress=True)
    assert "3/3" in capsys.readouterr().err
    reranker.rank_many(queries)
    reranker.rank("lift", TEXTS)
    assert capsys.readouterr().err == ""  # no terminal


def test_told_nothing_each_passage_stands_for_itself(model):
    reranker = layerrank.Reranker(model)
    scores = {text: reranker.rank("what is lift", [text])[0].score for text in TEXTS}
    expected = sorted(TEXTS, key=lambda text: -scores[text])
    for texts in itertools.permutations(TEXTS):
        results = reranker.rank("what is lift", texts)
        assert [result.text for result in results] == expected
        assert [result.score for result in results] == pytest.approx([scores[text] for text in expected], abs=1e-4)
    decoder = reranker.decoder
    for text, score in scores.items():  # Σ log p of the query's tokens after the prompt, by the model itself
        prompt = f"<|im_start|>user\nPassage: {text}\nPlease write a question based on this passage.<|im_end|>\n"
        prompt += "<|im_start|>assistant\n"
        before, whole = (
            decoder.tokenizer(each, add_special_tokens=False)["input_ids"] for each in (prompt, prompt + "what is lift")
        )
        with torch.inference_mode():
            logits = decoder.causal(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
        own = sum(float(logits[place - 1, whole[place]]) for place in range(len(before), len(whole)))
        assert whole[: len(before)] == before and score == pytest.approx(own, abs=1e-3)


@pytest.mark.parametrize(
    ("said", "cell"),
    [
        ({}, ("pointwise", "likelihood")),
        ({"dtype": "bf16", "batch_tokens": 512}, ("pointwise", "likelihood")),
        ({"framework": "setwise"}, ("setwise", "attention")),
        ({"mechanism": "likelihood"}, ("listwise", "likelihood")),
        ({"window": 1}, ("listwise", "attention")),
        ({"orders": 1}, ("listwise", "attention")),
        ({"instruction": "QA"}, ("listwise", "attention")),
        ({"family": "qwen"}, ("listwise", "attention")),
        ({"framework_settings": {"size": 2}}, ("listwise", "attention")),
    ],
)
def test_what_is_left_unsaid(model, said, cell):
    reranker = layerrank.Reranker(model, **said)
    assert (reranker.cell.framework, reranker.cell.mechanism) == cell


@pytest.mark.parametrize("mechanism", ["attention", "likelihood"])
def test_numbers_that_are_none_name_the_model_and_the_query(model, mechanism):
    reranker = layerrank.Reranker(model, "pointwise", mechanism)
    with torch.no_grad():
        word = reranker.decoder.tokenizer(" wing", add_special_tokens=False)["input_ids"][-1]
        reranker.decoder.model.get_input_embeddings().weight[word] = math.nan  # after loading: loading refuses it
    assert len(reranker.rank("bread", ["oven"])) == 1
    with pytest.raises(ValueError) as caught:
        reranker.rank_many([("bread", ["oven"]), ("bread", ["wing"])])
    refused(caught.value, "model tiny: query 1: its ")


# ---- orders

WORDS = st.text("abcdefg ", min_size=1, max_size=30).filter(str.strip)


@pytest.fixture(scope="module")
def averaged(model):
    return {
        (framework, orders): layerrank.Reranker(model, framework, orders=orders)
        for framework, orders in [("listwise", 2), ("listwise", 3), ("setwise", 2)]
    }


@pytest.mark.parametrize("kind", [("listwise", 2), ("listwise", 3), ("setwise", 2)])
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_with_orders_the_given_order_plays_no_part(averaged, kind, data):
    texts = data.draw(st.lists(WORDS, min_size=1, max_size=6, unique_by=str.strip))
    shuffled = data.draw(st.permutations(list(enumerate(texts))))
    results = averaged[kind].rank("a bad cab", list(enumerate(texts)))
    again = averaged[kind].rank("a bad cab", shuffled)
    assert sorted(results.ids) == list(range(len(texts)))
    assert results.ids == again.ids
    assert [result.score for result in results] == [result.score for result in again]
    assert results.agreement == again.agreement


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.one_of(st.integers(), st.text("abcé")), WORDS), max_size=8))
def test_a_ranking_is_a_permutation_and_ids_come_back(reranker, pairs):
    results = reranker.rank("a bad cab", pairs)
    assert sorted(result.index for result in results) == list(range(len(pairs)))
    assert all((result.id, result.text) == pairs[result.index] == result.passage for result in results)
    scores = [result.score for result in results]
    assert scores == sorted(scores, reverse=True)
    read = read_passages(pairs)
    assert [(each.id, each.text) for each in read] == pairs


@pytest.mark.parametrize("orders", [2, 3, 4])
def test_an_averaged_score_is_the_mean_of_standardised_scores_of_single_orders(model, reranker, orders):
    texts = [f"{text} {place}" for place, text in enumerate(TEXTS * 2)]
    results = layerrank.Reranker(model, orders=orders).rank("what is lift", texts)
    scores = np.zeros((orders, 6))
    shown: list[list[int]] = []

    class Spy:
        def __init__(self, mechanism):
            self.mechanism = mechanism

        def __getattr__(self, name):
            return getattr(self.mechanism, name)

        def prepare(self, request):
            shown.append([texts.index(passage.text) for passage in request.passages])
            return self.mechanism.prepare(request)

    spied = layerrank.Reranker(model, orders=orders)
    spied._engine.mechanism = Spy(spied._engine.mechanism)
    spied.rank("what is lift", texts)
    seen = list(dict.fromkeys(map(tuple, shown)))
    assert len(seen) == orders and all(sorted(order) == list(range(6)) for order in seen)
    assert seen[1] == seen[0][::-1] and (orders < 4 or seen[3] == seen[2][::-1])
    for number, order in enumerate(seen):
        for result in reranker.rank("what is lift", [texts[index] for index in order]):
            scores[number, order[result.index]] = result.score
    expected = stats.zscore(scores, axis=1).mean(axis=0)
    assert [result.index for result in results] == list(np.argsort(-expected))
    assert [result.score for result in results] == pytest.approx(sorted(expected, reverse=True), abs=1e-4)
    pairs = itertools.combinations(range(orders), 2)
    agreement = np.mean([stats.kendalltau(scores[a], scores[b]).statistic for a, b in pairs])
    assert results.agreement == pytest.approx(agreement)
    assert results.cost.forward_passes == results.cost.groups == orders == results.orders


def test_two_passages_whose_orders_disagree_are_told_apart_by_their_raw_scores(model, reranker):
    found = layerrank.Reranker(model, orders=2)
    apart = 0
    for query in [f"{word} {number}" for word in ("lift", "bread", "air") for number in range(12)]:
        both = [reranker.rank(query, texts) for texts in (TEXTS[:2], TEXTS[1::-1])]
        raw = {
            text: sum(result.score for results in both for result in results if result.text == text)
            for text in TEXTS[:2]
        }
        for texts in (TEXTS[:2], TEXTS[1::-1]):
            results = found.rank(query, texts)
            assert results[0].text == max(raw, key=raw.__getitem__)
        apart += results.agreement == -1
        assert results.agreement == (1 if both[0][0].text == both[1][0].text else -1)
    assert apart, "no query of these shows the case"


def test_a_published_set_of_heads_is_refused_for_another_model(tmp_path):
    folder = save_tiny(tmp_path / "tiny", "llama", "gpt2", layers=3)
    (folder / "layerrank.json").write_text('{"name": "tiny", "repo": "Qwen/Qwen3-4B"}')
    with pytest.raises(ValueError, match="they are of Qwen/Qwen3-8B, not of Qwen/Qwen3-4B"):
        layerrank.Reranker(folder, "listwise", heads="qrhead-qwen3-8b")
