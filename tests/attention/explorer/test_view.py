"""What a page is made of, against plain computations, and what it packs, unpacked again."""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau
from support.pages import hostile_page, hostile_view, reordered
from support.signals import random_signal

from layerrank.attention.explorer.page import quantised
from layerrank.attention.explorer.view import SIGNALS, describe, discordance, view_query
from layerrank.attention.scores import all_windows, passage_scores
from layerrank.commands.explorer import add_explore
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import LayerWindow
from layerrank.evaluation import measures


def unpacked(text):
    """The format of `page.packed`, read by its description."""
    data = gzip.decompress(base64.b64decode(text))
    length = int.from_bytes(data[:4], "little")
    head = json.loads(data[4 : 4 + length])
    at = 4 + length
    for name, kind, shape in head.pop("arrays"):
        dtype = np.dtype(kind)
        size = int(np.prod(shape)) * dtype.itemsize
        planes = np.frombuffer(data[at : at + size], dtype=np.uint8).reshape(dtype.itemsize, -1)
        head[name] = np.ascontiguousarray(planes.T).view(dtype).reshape(shape)
        at += size
    assert at == len(data)
    return head


def blocks(page):
    return dict(re.findall(r'<script type="text/plain" id="([^"]+)">([^<]*)</script>', page))


@pytest.fixture(scope="module")
def view():
    return hostile_view("q0")


def test_every_window_is_scored_as_the_study_scores_it(view):
    signal = random_signal("q0", [len(pieces) for pieces in view.pieces], 6, 3, 0)
    grades = {p.pid: g for p, g in zip(view.passages, view.grades, strict=True) if g is not None}
    for column, window in enumerate(all_windows(6)):
        assert view.column(window) == column
        scores = passage_scores(signal, window)
        assert view.views[0].scores[column] == pytest.approx(scores, abs=1e-12)
        order = np.argsort(-scores, kind="stable")
        assert view.order(window).tolist() == order.tolist()
        value = measures.of_orders("nDCG@10", grades, signal.pids, order[None, :])[0]
        assert view.views[0].values[column] == pytest.approx(value, abs=1e-12)


def test_another_order_counts_passages_as_the_first_does(view):
    for column, window in enumerate(all_windows(6)):
        scores = view.views[1].scores[column]
        assert view.order(window, 1).tolist() == sorted(range(len(scores)), key=lambda i: -scores[i])
    assert sorted(view.views[1].places) == list(range(1, len(view.passages) + 1))
    assert view.views[0].places.tolist() == list(range(len(view.passages), 0, -1))


def test_the_mask_keeps_what_the_score_counts(view):
    for window in (LayerWindow(0, 5), LayerWindow(2, 2), LayerWindow(1, 4)):
        for passage in range(len(view.passages)):
            c, kept = view.token_scores(passage, window)
            assert c[kept].sum() == pytest.approx(view.views[0].scores[view.column(window), passage], abs=1e-6)


def test_raw_is_calibrated_and_na_and_every_token_of_them_counts(view):
    window, begin = LayerWindow(1, 4), 0
    for passage, pieces in enumerate(view.pieces):
        tokens = slice(begin, begin + len(pieces))
        begin = tokens.stop
        found = {signal: view.token_scores(passage, window, signal) for signal in SIGNALS}
        na = view.na[1:5, tokens].astype(np.float64).sum(axis=0)
        assert found["na"][0] == pytest.approx(na, abs=1e-6)
        assert found["raw"][0] == pytest.approx(view.signal[1:5, tokens].astype(np.float64).sum(axis=0) + na, abs=1e-5)
        assert found["raw"][1].all() and found["na"][1].all()
    every = [view.token_scores(passage, one)[1] for passage in range(len(view.passages)) for one in all_windows(6)]
    assert not all(kept.all() for kept in every)  # as the calibrated signal's mask would not have it
    np.testing.assert_array_equal(view.heads("raw") - view.heads("na"), view.heads())
    with pytest.raises(UserError, match="signal 'both': one of calibrated, raw, na"):
        view.tokens("both")
    with pytest.raises(UserError, match="signal 'raw': query q0 was read without the tokens of N/A"):
        replace(view, na=None).tokens("raw")


def test_discordance_is_kendalls():
    random = np.random.default_rng(0)
    one, other = (np.stack([random.permutation(9) for _ in range(70)]) for _ in range(2))
    for a, b, share in zip(one, other, discordance(one, other), strict=True):
        assert 1 - 2 * share == pytest.approx(kendalltau(np.argsort(a), np.argsort(b)).statistic)


def test_a_sentence_by_hand():
    """One passage of three tokens; layer 1 alone; its second token carries it."""
    signal = random_signal("q", [3, 2], layers=2, heads=2)
    values = np.zeros((2, 5), dtype=np.float32)
    values[1] = [0.25, 0.5, 0.25, 0.1, 0.1]
    sums = {name: np.zeros((2, 2, 2), dtype=np.float32) for name in signal.sums}
    sums["query"][1, 1, 0] = 1.0
    own = type(signal)("q", signal.pids, signal.lengths, values, sums, 9, 0.0)
    row = Candidates(Query("q", "why"), tuple(Passage(pid, "a b c") for pid in own.pids), (2.0, 1.0))
    seen = view_query(
        row, {"first stage": own, "reversed": reordered(own, [1, 0])}, [["[2]", " gold", "\n"], ["[1]", " x"]]
    )
    assert describe(seen, 0, LayerWindow(1, 1)) == (
        "Stayed at 1: layer 1, head 1 gives the most; 'gold', '[2]', '↵' give 100% of the score; "
        "stood last (next to the query) in the prompt; rank 1 when reversed."
    )
    na = np.full((2, 5), 0.1, dtype=np.float32)
    na[1, 0] = 0.7
    sums["na"][0, 0, 0] = sums["na"][1, 0, 0] = 2.0
    beside = replace(seen, na=na)
    assert describe(beside, 0, LayerWindow(1, 1), "raw").startswith(
        "Stayed at 1: layer 1, head 1 gives the most of the query's attention; '[2]', 'gold', '↵' "
        "give 100% of it; stood last"
    )
    assert "layer 1, head 0 gives the most of the attention of N/A; '[2]', 'gold', '↵' give 100% of it;" in (
        describe(beside, 0, LayerWindow(1, 1), "na")
    )
    both = {"first stage": own, "reversed": reordered(own, [1, 0]), "again": own}
    more = view_query(row, both, [["[2]", " gold", "\n"], ["[1]", " x"]])
    assert describe(more, 0, LayerWindow(1, 1)).endswith("; ranks 1, 1 in other orders (reversed, again).")
    assert seen.first_value is None and seen.views[0].values is None


def test_a_page_holds_what_python_computed(view):
    page = hostile_page([view, hostile_view("q1", seed=1)])
    parts = blocks(page)
    head, block = unpacked(parts["header"]), unpacked(parts["query-0"])
    assert head["values"][0].tolist() == view.views[0].values.astype(np.float32).tolist()
    assert head["queries"][0]["text"] == view.query.text
    for number, one in enumerate(view.views):
        assert block[f"orders{number}"].tolist() == one.orders.tolist()
        assert block[f"scores{number}"] == pytest.approx(one.scores.astype(np.float32))
    for window in all_windows(6):
        ranks = np.argsort(view.order(window))
        moved = np.abs(ranks - np.arange(len(ranks)))
        column = view.column(window)
        assert moved[head["mover"][0, column]] == moved.max()
        assert head["moved"][0, column] == ranks[head["mover"][0, column]]
    shaded = block["tokens"].astype(np.float32) * np.repeat(block["token_scale"], [len(p) for p in view.pieces], axis=1)
    assert shaded == pytest.approx(view.signal, abs=float(np.abs(view.signal).max()) / 254 + 1e-6)
    beside = unpacked(parts["na-0"])
    assert beside["tokens"].astype(np.float32) * np.repeat(
        beside["token_scale"], [len(p) for p in view.pieces], axis=1
    ) == pytest.approx(view.na, abs=float(view.na.max()) / 254 + 1e-6)
    for held, signal, prefix in ((block, "calibrated", ""), (beside, "raw", "raw_"), (beside, "na", "na_")):
        heads = view.heads(signal)
        assert held[f"{prefix}best"].tolist() == heads.max(axis=1).tolist()
        assert held[f"{prefix}best_head"].tolist() == heads.argmax(axis=1).tolist()
        shaded = held[f"{prefix}heads"] * held[f"{prefix}head_scale"]
        assert shaded == pytest.approx(heads, abs=float(np.abs(heads).max()) / 254 + 1e-6)
    assert "na-0" not in blocks(hostile_page([replace(view, na=None)]))
    assert [entry["pieces"] for entry in block["passages"]] == [list(pieces) for pieces in view.pieces]


def test_a_page_is_the_same_bytes_twice(view):
    assert hostile_page([view]) == hostile_page([view])


def test_texts_stand_nowhere_in_the_page_as_they_are(view):
    page = hostile_page([view])
    assert "owned" not in page.replace("&lt;script&gt;document.title = &#39;owned&#39;", "")


@pytest.mark.parametrize("shape", [(3, 4), (1, 0), (2, 1)])
def test_quantised_values_are_within_half_a_step(shape):
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    small, scale = quantised(values, (1,))
    assert np.abs(small * scale[:, None] - values).max(initial=0) <= scale.max(initial=0) / 2 + 1e-7


def test_what_does_not_belong_together_is_refused(view):
    signal = random_signal("q", [2, 3], 4)
    row = Candidates(Query("q", "x"), tuple(Passage(pid, "t") for pid in signal.pids), (2.0, 1.0))
    with pytest.raises(UserError, match="cuts its passages otherwise"):
        view_query(row, {"first stage": signal}, [["a"], ["b", "c", "d"]])
    other = Candidates(Query("q", "x"), row.passages[::-1], (2.0, 1.0))
    with pytest.raises(UserError, match="other candidates"):
        view_query(other, {"first stage": signal}, [["a", "b"], ["b", "c", "d"]])
    with pytest.raises(UserError, match="layers 0 to 5"):
        view.column(LayerWindow(0, 6))


def test_the_command_chooses_the_most_changed_where_nothing_is_said(tmp_path):
    (tmp_path / "file").touch()
    parser = argparse.ArgumentParser()
    add_explore(parser)
    of = [f"--{name}={tmp_path / 'file'}" for name in ("candidates", "qrels")]
    of += ["--signals", f"base={tmp_path / 'file'}", "--model", str(tmp_path), "--family", "qwen"]
    of += ["--measure", "nDCG@10", "--output", str(tmp_path / "page.html")]
    found = parser.parse_args(of)
    assert (found.chosen, found.queries, found.tokens) == ("changed", 50, "all")
