# ruff: noqa: E501
"""Studies that are wrong, a row a case: what is said of them, in one line that names the key. Add a row for a new one."""

import re
from pathlib import Path

import pytest
import yaml

from layerrank.collections import entries
from layerrank.core.errors import UserError
from layerrank.study.load import load_study

BASE = Path(__file__).parents[2]
SMALL = {"collections": ["pocket"], "models": ["smollm2-135m-instruct"]}
FOLDER = {"source": "folder", "path": "somewhere", "family": "chatml"}
SIZED = FOLDER | {"size": {"parameters": 0.1, "layers": 12, "width": 8}}

SERVED = {
    "source": "endpoint",
    "address": "http://localhost:8000/v1",
    "model": "m",
    "interface": "completions",
    "tokenizer": {"source": "folder", "path": "x"},
}


def served(name="mine", **own):
    entry = {key: value for key, value in (SERVED | own).items() if value is not None}
    return {
        "models": ["smollm2-135m-instruct", name],
        "define": {"models": {name: entry}},
        **grid(mechanism="likelihood"),
    }


def models(**entries):
    return {"models": list(entries), "define": {"models": entries}}


def selection(**rule):
    return {"layers": {"selection": {"chosen": rule}}}


def heads(**rule):
    return {"heads": {"selection": {"chosen": rule}}}


def grid(framework="setwise", mechanism="attention", settings=None, reading=None, **more):
    return {"systems": {"frameworks": {framework: settings or {}}, "mechanisms": {mechanism: reading or {}}, **more}}


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"x": value}
    return value


CASES = [
    # models that are served
    (models(mine=SERVED), "config key models: ['mine']: served models alone; layers, windows and figures need one at hand"),
    (served() | grid(), "config key models: 'mine' is served, which gives no attention: systems needs a cell of generation or likelihood"),
    (served("mine-chat"), "models entry mine-chat: key 'interface': 'completions': names that end in '-chat' are of that interface"),
    (served(interface="chat"), "models entry mine: key 'interface': 'chat': names that end in '-chat' are of that interface"),
    (served("mine-chat", interface="chat"), "models entry mine-chat: key 'interface': 'chat' gives no log-probabilities of ours: likelihood needs 'completions'"),
    (served(address="http://me:hush@host/v1"), "models entry mine key address: 'http://***@host/v1': an address is http(s)://host:port/v1, without user"),
    (served(key="sk-123"), "models entry mine key key: ***: the name of an environment variable, never the key itself"),
    (served(address=None), "models entry mine: 'address' is missing"),
    (served(engine={"command": "serve {port}"}), "models entry mine key address: 'http://localhost:8000/v1': the engine has an address of its own"),
    (served(address=None, engine={"command": "vllm serve"}), "models entry mine key engine.command: 'vllm serve': a command says {port}"),
    (served(tokenizer=None), "models entry mine: 'tokenizer' is missing"),
    (served(adapter={"source": "folder", "path": "x"}), "models entry mine key adapter: {'source': 'folder', 'path': 'x'}: no key of this source"),
    (models(mine=FOLDER | {"address": "http://a/v1"}), "models entry mine key address: 'http://a/v1': no key of this source"),
    (models(mine={"source": "folder", "path": "x"}), "models entry mine: 'family' is missing"),
    # names
    ({"collections": [1]}, "config key collections.0: 1 (YAML reads it as a number: quote it): a name has letters, digits"),
    ({"collections": [False]}, "config key collections.0: False (YAML reads it as a truth value: quote it): a name has"),
    ({"models": ["two words"]}, "config key models.0: 'two words': a name has letters, digits, '.', '_' and '-'"),
    ({"models": ["../up"]}, "config key models.0: '../up': a name has letters"),
    ({"models": ["it's"]}, "config key models.0: \"it's\": a name has letters"),
    ({"models": ['"q"']}, "config key models.0: '\"q\"': a name has letters"),
    ({"models": ["a\n"]}, r"config key models.0: 'a\n': a name has letters"),
    ({"models": [""]}, "config key models.0: '': a name has letters"),
    ({"models": ["a" * 65]}, "64 characters at most"),
    ({"models": ["smollm2", "smollm2"]}, "config key models: ['smollm2', 'smollm2'] has non-unique elements"),
    ({"collections": ["tables"], "define": {"collections": {"tables": {"source": "beir", "path": "x"}}}}, "config key collections: 'tables' is the name of a folder of results"),
    (models(index=FOLDER), "config key models: 'index' is the name of a folder of results"),
    ({"define": {"collections": {False: {"source": "beir"}}}}, "config key define.collections: the name False is no text (YAML reads it as a truth value): quote it"),
    ({"variants": {"Big": {"words": 3}}}, "config key variants: 'Big': a variant's name has small letters"),
    ({"variants": {"base": {"words": 3}}}, "config key variants: 'base': a variant's name has small letters"),
    ({"layers": {"selection": {"a b": {"rule": "oracle"}}}}, "config key layers.selection: 'a b': the name of a rule has small letters"),
    (grid(framework="set-wise"), "config key systems.frameworks: 'set-wise': the name of a framework or a mechanism"),
    ({"systems": {"cells": {"setwise": False}}}, "config key systems.cells: 'setwise': a cell is named <framework>-<mechanism>"),
    ({"collections": "pocket"}, "config key collections: 'pocket' is not of type 'array'"),
    ({"collections": ["pocket", "pokcet"]}, "config key collections: unknown name 'pokcet', did you mean 'pocket'"),
    # folders, title
    ({"results": "-r"}, "config key results: '-r': the name of a folder does not begin with '-'"),
    ({"results": "a{b}"}, "config key results: 'a{b}': the name of a folder"),
    ({"cache": "<cache>"}, "config key cache: '<cache>': the name of a folder"),
    ({"cache": "a\nb"}, r"config key cache: 'a\nb': the name of a folder"),
    ({"results": ""}, "config key results: '': the name of a folder"),
    ({"results": 5}, "config key results: 5 (YAML reads it as a number: quote it): the name of a folder"),
    ({"results": "same", "cache": "./same/"}, "config key cache: 'same' is the folder of results"),
    ({"define": {"collections": {"pocket": {"source": "beir", "path": "x", "label": "a\nb"}}}}, r"collections entry pocket key label: 'a\nb': a label is one line of text"),
    (models(mine=FOLDER | {"label": "-x"}), "models entry mine key label: '-x': a label is one line of text, 100 characters at most, and does not begin"),
    ({"define": {"collections": {"pocket": {"source": "beir", "path": "x", "text_fields": ["t", "t"]}}}}, "collections entry pocket key text_fields: ['t', 't'] has non-unique elements"),
    ({"title": "half \ud800"}, r"config key title: '\ud800' is half a character, which no file can hold"),
    ({"variants": {"deep": nested(500)}}, "config: nested too deeply"),
    ({"evaluation": {"measures": ["nDCG@99999999999999999999"]}}, "the cut-off must lie between 1 and 1000000"),
    ({"evaluation": {"measures": ["AP(rel=0)"]}}, "rel must lie between 1 and 1000"),
    ({"evaluation": {"measures": ["IPrec@1.5"]}}, "the recall must lie between 0 and 1"),
    ({"title": "two\nlines"}, r"config key title: 'two\nlines': one line of text"),
    ({"catalogues": {"models": ["nowhere.yaml"]}}, "config key catalogues.models: no file 'nowhere.yaml'"),
    # numbers
    ({"first_stage": {"depth": 0}}, "config key first_stage.depth: 0 is less than the minimum of 1"),
    ({"first_stage": {"depth": 3e9}}, "config key first_stage.depth: 3000000000 is greater than the maximum of 10000"),
    ({"first_stage": {"depth": "1_0"}}, "config key first_stage.depth: '1_0' is not of type 'integer'"),
    ({"first_stage": {"depth": "０"}}, "config key first_stage.depth: '０' is not of type 'integer'"),
    ({"first_stage": {"depth": 2.5}}, "config key first_stage.depth: 2.5 is not of type 'integer'"),
    ({"first_stage": {"depth": True}}, "config key first_stage.depth: True is not of type 'integer'"),
    ({"first_stage": {"depth": [3]}}, "config key first_stage.depth: [3] is not of type 'integer'"),
    ({"first_stage": {"depth": None}}, "config key first_stage.depth: None is not of type 'integer'"),
    ({"first_stage": {"k1": float("nan")}}, "config key first_stage.k1: nan is no number to compute with"),
    ({"first_stage": {"k1": float("inf")}}, "config key first_stage.k1: inf is no number to compute with"),
    ({"first_stage": {"k1": -1}}, "config key first_stage.k1: -1 is less than the minimum of 0"),
    ({"first_stage": {"b": 1.5}}, "config key first_stage.b: 1.5 is greater than the maximum of 1"),
    ({"first_stage": {"check": False}}, "config key first_stage.check: False is not one of ['error', 'warn', 'off'] (YAML reads off as a truth value: quote it)"),
    ({"passages": {"words": 10**9}}, "config key passages.words: 1000000000 is greater than the maximum of 100000"),
    ({"passages": {"order": "random"}}, "config key passages.order: 'random' is not one of"),
    ({"passages": {"seed": -1}}, "config key passages.seed: -1 is less than the minimum of 0"),
    ({"passages": {"shorter": {"pokcet": 9}}}, "config key passages.shorter: unknown name 'pokcet', did you mean 'pocket'"),
    ({"queries": {"limit": 0}}, "config key queries.limit: 0 is less than the minimum of 1"),
    ({"queries": {"seed": 2**40}}, "config key queries.seed: 1099511627776 is greater than the maximum"),
    ({"define": {"collections": {"pocket": {"source": "beir", "path": "x", "shards": 100000}}}}, "collections entry pocket key shards: 100000 is greater than the maximum of 1000"),
    ({"define": {"collections": {"pocket": {"source": "beir", "path": "x", "relevance_level": 10**20}}}}, "collections entry pocket key relevance_level: 100000000000000000000 is greater"),
    ({"define": {"collections": {"pocket": {"source": "beir"}}}}, "collections entry pocket: 'path' is missing"),
    ({"define": {"collections": {"pocket": None}}}, "config key define.collections.pocket: None is not of type 'object'"),
    (models(mine=FOLDER | {"gpus": 10**6}), "models entry mine key gpus: 1000000 is greater than the maximum of 64"),
    (models(mine=FOLDER | {"family": "lama3"}), "models entry mine key family: 'lama3' is not one of ['llama3'"),
    ({"evaluation": {"alpha": 1}}, "config key evaluation.alpha: 1 is greater than or equal to the maximum of 1"),
    ({"evaluation": {"resamples": 10}}, "config key evaluation.resamples: 10 is less than the minimum of 100"),
    # measures
    ({"evaluation": {"measures": []}}, "config key evaluation.measures: [] should be non-empty"),
    ({"evaluation": {"measures": ["nDGC@10"]}}, "config key evaluation.measures: measure 'nDGC@10'"),
    ({"evaluation": {"measures": ["RR@10", "MRR@10"]}}, "config key evaluation.measures: measures: 'RR@10' and 'MRR@10' are the same measure"),
    ({"layers": {"measure": "P@0"}}, "config key layers.measure: measure 'P@0'"),
    ({"layers": {"profile": ["__import__('os')"]}}, "config key layers.profile: measure"),
    # variants
    ({"variants": {"deep": {"depth": 101}}}, "config key variants.deep.depth: 101 is more than first_stage.depth, 100"),
    ({"variants": {"other": {"dtype": "float64"}}}, "config key variants.other.dtype: 'float64' is not one of"),
    ({"variants": {"other": {"family": "lama"}}}, "config key variants.other.family: 'lama' is not one of ['llama3'"),
    ({"variants": {"other": {"strategy": "mean"}}}, "config key variants.other.strategy: 'mean' is not one of"),
    ({"variants": {"other": {}}}, "config key variants.other: {} should be non-empty"),
    ({"variants": {"other": {"temperature": 1}}}, "config key variants.other.temperature: no such key; known: depth, dtype"),
    # models trained to rank
    ({"systems": {"trained": {"bge-reranker": {}}}}, "config key systems.trained: unknown name 'bge-reranker', did you mean 'bge-reranker-v2-m3'"),
    ({"systems": {"trained": {"qwen3-0.6b": {}}}}, "config key systems.trained.qwen3-0.6b: its catalogue entry has no `ranker`"),
    ({"systems": {"trained": {"bge-reranker-v2-m3": {"prompt": "qlm"}}}}, "config key systems.trained.bge-reranker-v2-m3.prompt: no such key; known: passage_tokens, query_tokens"),
    ({"systems": {"trained": {"bge-reranker-v2-m3": {"passage_tokens": 0}}}}, "config key systems.trained.bge-reranker-v2-m3.passage_tokens: 0 is less than the minimum of 1"),
    ({"models": ["bge-reranker-v2-m3"]}, "config key models: 'bge-reranker-v2-m3' was trained to rank: name it under systems.trained"),
    ({"models": ["qwen3-reranker-0.6b"], "systems": {"trained": {"qwen3-reranker-0.6b": {}}}}, "config key systems.trained.qwen3-reranker-0.6b: the study has it under models too"),
    (models(mine={"source": "folder", "path": "x", "ranker": "monot5"}), "models entry mine key ranker: 'monot5' is not one of"),
    (models(mine={"source": "folder", "path": "x"}), "models entry mine: 'family' is missing"),
    # selection rules
    (selection(rule="peek"), "config key layers.selection.chosen.rule: 'peek' is not one of"),
    (selection(rule="peak", max_width=3), "config key layers.selection.chosen.max_width: no such key"),
    (selection(rule="peak", width=-1), "config key layers.selection.chosen.width: -1 is less than the minimum of 0"),
    (selection(rule="peak", width=float("nan")), "config key layers.selection.chosen.width: nan is no number"),
    (selection(rule="peak", folds=1), "config key layers.selection.chosen.folds: 1 is less than the minimum of 2"),
    (selection(rule="peak", folds=7) | {"queries": {"limit": 5}}, "config key layers.selection.chosen.folds: 7 or more need as many queries, queries.limit is 5"),
    (selection(rule="best") | {"queries": {"limit": 1}}, "config key layers.selection.chosen.folds: 2 or more need as many queries"),
    (selection(rule="label-free", criterion="magic"), "config key layers.selection.chosen.criterion: 'magic' is not one of"),
    (selection(rule="fixed"), "config key layers.selection.chosen: 'window' is missing"),
    (selection(rule="fixed", window="13-10"), "config key layers.selection.chosen.window: window 13-10: must be 0 <= start <= end"),
    (selection(rule="fixed", window="ten"), "config key layers.selection.chosen.window: window 'ten': expected"),
    (selection(rule="fixed", window=10), "config key layers.selection.chosen.window: 10 is not of type 'string'"),
    (selection(rule="fixed", window="10-12") | models(mine=SIZED), "config key layers.selection.chosen.window: window L10-12: mine has layers 0 to 11"),
    (selection(rule="oracle"), "config key layers.selection.chosen: names that begin with 'oracle'"),
    (selection(rule="best", chosen_on="others"), "config key layers.selection.chosen.chosen_on: 'others' needs a study of at least two"),
    (selection(rule="best", chosen_on=["elsewhere"]), "config key layers.selection.chosen.chosen_on: unknown name 'elsewhere'"),
    # windows
    ({"systems": {"windows": ["L3"]}}, "config key systems.windows: window 'L3': expected 'all', 'L<start>-<end>'"),
    ({"systems": {"windows": ["L03-05"]}}, "config key systems.windows: window 'L03-05': expected"),
    ({"systems": {"cached_windows": ["L5-3"]}}, "config key systems.cached_windows: window 'L5-3': expected"),
    ({"systems": {"cached_windows": ["selected-best"]}}, "config key systems.cached_windows: unknown name 'best'"),
    ({"systems": {"cached_windows": ["L0-12"]}} | models(mine=SIZED), "config key systems.cached_windows: window L0-12: mine has layers 0 to 11"),
    ({"latency": {"windows": ["all", "all"]}}, "config key latency.windows: ['all', 'all'] has non-unique elements"),
    ({"latency": {"windows": [3]}}, "config key latency.windows.0: 3 (YAML reads it as a number: quote it): a window is"),
    # the grid
    ({"systems": {"variant": "small"}}, "config key systems.variant: unknown name 'small'; known: base"),
    ({"heads": {"variant": "small"}}, "config key heads.variant: unknown name 'small'; known: base"),
    (grid(framework="triplewise"), "config key systems.frameworks.triplewise: unknown name 'triplewise'"),
    (grid(framework="mine", settings={"framework": "setwize"}), "config key systems.frameworks.mine: unknown name 'setwize', did you mean 'setwise'"),
    (grid(framework="setwise", settings={"framework": "listwise"}), "config key systems.frameworks.setwise.framework: 'setwise' cannot stand for 'listwise'"),
    (grid(mechanism="attention", reading={"mechanism": "likelihood"}), "config key systems.mechanisms.attention.mechanism: 'attention' cannot stand for 'likelihood'"),
    (grid(settings={"c": 0}), "config key systems.frameworks.setwise.c: 0 is less than the minimum of 1"),
    (grid(settings={"k": True}), "config key systems.frameworks.setwise.k: True is not of type 'integer'"),
    (grid(framework="pairwise", settings={"sort": "allpair", "k": 3}), "unknown setting 'k'; it takes sort"),
    (grid(framework="listwise", settings={"size": 4, "step": 9}), "config key systems.frameworks.listwise: framework listwise: step: 9: expected at most size (4)"),
    (grid(reading={"strategy": "mean"}), "config key systems.mechanisms.attention"),
    (grid(reading={"heads": [[0, 1]]}), "heads"),
    # heads
    ({"heads": {"rules": {}}}, "config key heads.rules: no such key; known: masked, selection"),
    ({"heads": {"selection": {"A": {"rule": "core"}}}}, "config key heads.selection: 'A': the name of a rule has small"),
    (heads(), "config key heads.selection.chosen: 'rule' is missing"),
    (heads(rule="cores"), "config key heads.selection.chosen.rule: 'cores' is not one of ['core', 'qr-ndcg'"),
    (heads(rule="core", n=4), "config key heads.selection.chosen.n: no such key"),
    (heads(rule="core", top=0), "config key heads.selection.chosen.top: 0 is less than the minimum of 1"),
    (heads(rule="core", tau=0), "config key heads.selection.chosen.tau: 0 is less than or equal to the minimum of 0"),
    (heads(rule="measure", measure="nDGC"), "config key heads.selection.chosen: measure"),
    (heads(rule="measure", strategy="sum"), "config key heads.selection.chosen.strategy: 'sum' is not one of"),
    (heads(rule="label-free", chosen_on="folds"), "config key heads.selection.chosen.chosen_on: no such key"),
    ({"heads": {"masked": False, "selection": {"chosen": {"rule": "qr-ndcg"}}}}, "config key heads.selection.chosen: it scores by masked sums"),
    (heads(rule="core", window="5-3"), "config key heads.selection.chosen: window 5-3"),
    (models(small=SIZED) | heads(rule="core", window="10-12"), "config key heads.selection.chosen.window: window L10-12: small has layers 0 to 11"),
    (heads(rule="core", window="selected-best"), "config key heads.selection.chosen.window: unknown name 'best'"),
    (heads(rule="oracle"), "config key heads.selection.chosen: names that begin with 'oracle' are for the rule 'oracle' alone"),
    ({"heads": {"selection": {"oracle": {"rule": "core"}}}}, "config key heads.selection.oracle: names that begin with 'oracle'"),
    ({"layers": {"selection": {"oracle": {"rule": "oracle"}}}} | heads(rule="core", window="selected-oracle"), "config key heads.selection.chosen.window: 'selected-oracle' is an upper bound"),
    (heads(rule="core", chosen_on="others"), "config key heads.selection.chosen.chosen_on: 'others' needs a study of at least two"),
    (heads(rule="core", chosen_on=["dl19"]), "config key heads.selection.chosen.chosen_on: unknown name 'dl19'"),
    (heads(rule="core", orders="all"), "config key heads.selection.chosen.orders: the study has no `orders` to choose by"),
    (heads(rule="core", folds=9) | {"queries": {"limit": 4}}, "config key heads.selection.chosen.folds: 9 or more need as many queries"),
    (heads(rule="core") | {"latency": {"windows": ["heads-mine"]}}, "config key latency.windows: unknown name 'mine'; known: chosen"),
    (heads(rule="core") | {"systems": {"cached_windows": ["heads-chosen"]}}, "config key systems.cached_windows: window 'heads-chosen': expected"),
    (grid(reading={"strategy": "query_last", "heads": []}), "heads"),
    (grid(reading={"strategy": "query_last", "heads": [[0.5, 1]]}), "heads"),
    (grid(reading={"query_tokens": 0}), "config key systems.mechanisms.attention.query_tokens: 0 is less than the minimum of 1"),
    (grid(mechanism="likelihood", reading={"prompt": "qlm"}), "config key systems.cells.setwise-likelihood: setwise-likelihood: prompt: 'qlm': expected one of"),
    (grid(mechanism="generation", reading={"max_failure_rate": 2}), "config key systems.mechanisms.generation.max_failure_rate: 2 is greater than the maximum of 1"),
    (grid(cells={"setwise-attention": {"framework": {"childen": 3}}}), "config key systems.cells.setwise-attention: framework setwise (heapsort): unknown setting 'childen'"),
    (grid(cells={"setwise-attention": {"mechanism": {"temperature": 1}}}), "config key systems.cells.setwise-attention: attention: unknown setting 'temperature'"),
    (grid(cells={"setwise-atention": False}), "config key systems.cells: unknown name 'setwise-atention', did you mean 'setwise-attention'"),
    (grid(cells={"setwise-attention": True}), "config key systems.cells.setwise-attention: True"),
    ({"systems": {"max_failure_rate": 1.1}}, "config key systems.max_failure_rate: 1.1 is greater than the maximum of 1"),
    ({"systems": {"batch_tokens": 0}}, "config key systems.batch_tokens: 0 is less than the minimum of 1"),
    ({"evaluation": {"baseline": "setwise-likelihood"}}, "config key evaluation.baseline: unknown name 'setwise-likelihood'"),
    # pairs
    ({"leave_out": [{"collections": ["pocket"], "models": ["x"], "because": "so"}]}, "config key leave_out.0.models: unknown name 'x'"),
    ({"leave_out": [{"collections": ["pocket"], "models": ["smollm2-135m-instruct"], "because": "so"}]}, "config key leave_out: it leaves nothing of 'pocket'"),
    ({"leave_out": [{"collections": ["pocket"], "models": ["x"]}]}, "config key leave_out.0: 'because' is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), CASES, ids=lambda value: str(value)[:60] if isinstance(value, str) else "")
def test_what_is_wrong_is_one_line_that_names_the_key(change, said):
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        load_study(SMALL | change, BASE)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


TYPED = [
    ("first_stage", {"depth": "10", "k1": "1e0", "check": "off"}, {"depth": 10, "k1": 1.0, "check": "off"}),
    ("queries", {"limit": "null", "seed": "7"}, {"limit": None, "seed": 7}),
    ("latency", {"windows": ["all"], "repeats": "2"}, {"repeats": 2}),
    ("systems", {"sharded": "true", "max_failure_rate": "0.5"}, {"sharded": True, "max_failure_rate": 0.5}),
    ("evaluation", {"measures": ["nDCG@10"], "resamples": 200.0}, {"resamples": 200}),
    (
        "layers",
        {"selection": {"p": {"rule": "peak", "width": "3"}}},
        {"selection": {"p": {"rule": "peak", "width": 3}}},
    ),
    ("variants", {"v": {"words": "9"}}, {"v": {"words": 9}}),
    ("title", "10", "10"),
]


@pytest.mark.parametrize(("key", "given", "wanted"), TYPED, ids=[key for key, *_ in TYPED])
def test_text_of_the_command_line_is_taken_for_what_the_schema_wants(key, given, wanted):
    found = load_study(SMALL | {key: given}, BASE).config[key]

    def holds(value, part):
        if isinstance(part, dict):
            return all(holds(value[name], inner) for name, inner in part.items())
        return value == part and type(value) is type(part)

    assert holds(found, wanted)


def test_settings_of_frameworks_and_cells_arrive_as_text_too():
    given = {
        "frameworks": {"listwise": {"size": "4", "step": "2"}},
        "mechanisms": {"generation": {"max_new_tokens": "9"}},
    }
    cells = {"listwise-generation": {"framework": {"size": "whole"}}}
    found = load_study(SMALL | {"systems": given | {"cells": cells}}, BASE).config["systems"]
    assert found["frameworks"]["listwise"] == {"size": 4, "step": 2}
    assert found["mechanisms"]["generation"] == {"max_new_tokens": 9}
    assert found["cells"]["listwise-generation"]["framework"] == {"size": "whole"}
    left_out = load_study(SMALL | {"systems": given | {"cells": {"listwise-generation": "false"}}}, BASE)
    assert left_out.config["systems"]["cells"] == {"listwise-generation": False}


FILES = [
    ("title: a\ntitle: b\n", "line 2: the key 'title' stands twice in one mapping"),
    ("first_stage: {depth: 3, depth: 4}\n", "line 1: the key 'depth' stands twice in one mapping"),
    ('{"title": "a",\n "title": "b"}\n', "line 2: the key 'title' stands twice in one mapping"),
    ("first_stage:\n  depth: 1_0\n", "line 2: 1_0 is no number as people write them"),
    ("first_stage:\n  depth: 010\n", "line 2: 010 is no number as people write them"),
    ("first_stage:\n  depth: 1:30\n", "line 2: 1:30 is no number as people write them"),
    ("first_stage: {k1: .nan}\n", "line 1: .nan is no finite number"),
    ("variants:\n  no: {words: 3}\n", "line 2: the key no is no text, but read as bool: quote it"),
    ("variants:\n  2024-01-01: {words: 3}\n", "line 2: the key 2024-01-01 is no text, but read as timestamp: quote it"),
    ("title: [\n", "line 2: not valid YAML"),
    ("- a\n", "expected a mapping of names to entries"),
    ("title: \xff\n".encode("latin-1"), "not valid YAML ('utf-8' codec can't decode"),
]


@pytest.mark.parametrize(("text", "said"), FILES, ids=[said for _, said in FILES])
def test_a_file_is_read_strictly(tmp_path, text, said):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=re.escape(f"{path}: {said}")) as caught:
        load_study(SMALL, BASE, [path])
    assert "\n" not in str(caught.value)


def test_files_of_the_checkout_read_the_same_strictly():
    from layerrank.study.reading import read_mapping

    for path in [*BASE.glob("config/*.yaml"), *BASE.glob("workflow/schemas/*.yaml"), entries.PATH]:
        assert read_mapping(path) == yaml.safe_load(path.read_text()), path
