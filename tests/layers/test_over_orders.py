"""A study's windows over orders, by loops over queries and orders; averaging and calibration by their definitions."""

import numpy as np
import pytest
from support.signals import in_order, random_signal
from support.stores import write_store

from layerrank.__main__ import main
from layerrank.attention.scores import MASKED, passage_scores, standardised
from layerrank.core import frames
from layerrank.core.errors import UserError
from layerrank.core.heads import ChosenHeads, HeadSelection, write_head_selection
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import LayerWindow
from layerrank.evaluation import measures
from layerrank.layers.calibration import place_means
from layerrank.layers.orders import sweep_orders
from layerrank.layers.over_orders import over_orders

NAMES = ("base", "order-reversed", "order-shuffled-1", "order-shuffled-2")
LAYERS, PASSAGES = 3, 5


@pytest.fixture
def stored():
    """Signals of six queries in each order: {name: [signal]}."""
    random = np.random.default_rng(7)
    found = {}
    for number, name in enumerate(NAMES):
        drawn = [random_signal(f"q{i}", (2, 3, 1, 4, 2), LAYERS, seed=50 * number + i) for i in range(6)]
        found[name] = [in_order(one, random.permutation(PASSAGES)) if number else one for one in drawn]
    return found


@pytest.fixture
def orders(tmp_path, stored):
    return {name: [write_store(tmp_path / f"{name}.arrow", own)] for name, own in stored.items()}


@pytest.fixture
def qrels(stored):
    judged = {one.qid: {pid: i % 3 for i, pid in enumerate(one.pids)} for one in stored["base"]}
    return judged | {"none": {"d": 1}}


@pytest.fixture
def candidates(stored):
    return [
        Candidates(Query(one.qid, "?"), tuple(Passage(pid, "text") for pid in one.pids), (5.0, 4.0, 3.0, 2.0, 1.0))
        for one in stored["base"]
    ]


WINDOWS = {
    "all": dict.fromkeys([*(f"q{i}" for i in range(6)), "none"], LayerWindow(0, LAYERS - 1)),
    "selected-best": {
        **{f"q{i}": LayerWindow(i % 2, 1) for i in range(6)},
        "none": LayerWindow(2, 2),
    },
}


def measured(pids, scores, judgements, measure="nDCG@10"):
    order = np.array([sorted(range(len(scores)), key=lambda i: (-scores[i], i))])
    return float(measures.of_orders(measure, judgements, list(pids), order)[0])


HEADS = {
    "heads-core": {**{f"q{i}": ((i % 2, 0), (2, 1)) for i in range(6)}, "none": ((0, 0),)},
}
EVERY = LayerWindow(0, LAYERS - 1)


@pytest.mark.parametrize(("strategy", "windows"), [(MASKED, WINDOWS), ("NA_calibration", WINDOWS | HEADS)])
def test_equals_loops(stored, orders, qrels, candidates, strategy, windows):
    swept = sweep_orders(orders, NAMES[2:], qrels, "nDCG@10", strategy)
    found = over_orders(orders, NAMES[2:], qrels, candidates, windows, ["nDCG@10", "RR"], strategy, swept=swept)
    used = [LayerWindow(i, i) for i in range(LAYERS)]
    used += [w for own in windows.values() for w in own.values() if w not in used]
    means = place_means({name: orders[name] for name in NAMES[2:]}, used, strategy)
    by_name = {name: {one.qid: one for one in own} for name, own in stored.items()}
    values = found.values.set_index(["system", "measure", "qid"])["value"]
    assert set(found.values["system"]) == {
        *("bm25", "ceiling", "constant", "random", "place"),
        *(f"listwise-attention{way}-{w}" for way in ("", "_averaged", "_calibrated") for w in windows),
    }
    for name, own in windows.items():
        for qid in list(qrels)[:-1]:
            signals = [by_name[order][qid] for order in NAMES]
            heads = None if isinstance(own[qid], LayerWindow) else own[qid]
            scores = [passage_scores(one, EVERY if heads else own[qid], strategy, heads) for one in signals]
            each = [measured(one.pids, s, qrels[qid]) for one, s in zip(signals, scores, strict=True)]
            assert values[f"listwise-attention-{name}", "nDCG@10", qid] == pytest.approx(np.mean(each))
            base = signals[0].pids
            moved = [
                [standardised(s)[one.pids.index(pid)] for pid in base] for one, s in zip(signals, scores, strict=True)
            ]
            averaged = measured(base, np.mean(moved, axis=0), qrels[qid], "RR")
            assert values[f"listwise-attention_averaged-{name}", "RR", qid] == pytest.approx(averaged)
            row = used.index(own[qid])
            left = [means.calibrated(qid, np.tile(s, (len(used), 1)))[row] for s in scores]
            calibrated = [measured(one.pids, s, qrels[qid]) for one, s in zip(signals, left, strict=True)]
            assert values[f"listwise-attention_calibrated-{name}", "nDCG@10", qid] == pytest.approx(np.mean(calibrated))
        assert values[f"listwise-attention-{name}", "nDCG@10", "none"] == 0
    table = found.windows.set_index(["kind", "window"])
    assert list(found.windows["kind"]) == ["window"] * len(windows) + ["layer"] * LAYERS
    mean = found.values.groupby(["system", "measure"])["value"].mean()
    for name in windows:
        own = table.loc[("window", name)]
        for column, way in (("value", ""), ("averaged", "_averaged"), ("calibrated", "_calibrated")):
            assert own[column] == pytest.approx(mean[f"listwise-attention{way}-{name}", "nDCG@10"])
        part = found.by_order[found.by_order["window"] == name].set_index("order")["mean"]
        assert list(part.index) == list(NAMES) and part.mean() == pytest.approx(own["value"])
        assert own["base"] == pytest.approx(part["base"])
        assert own["regret"] == pytest.approx(swept.over_orders().means().max() - own["value"], abs=1e-6)
        assert own["regret_base"] == pytest.approx(swept.values[0].mean(axis=0).max() - own["base"], abs=1e-6)
    column = swept.windows.index(LayerWindow(1, 1))
    layer = table.loc[("layer", "L1-1")]
    assert layer["passage"] == pytest.approx(np.nanmean(swept.passage[:, column]), abs=1e-5)
    assert layer["tau"] == pytest.approx(np.nanmean(swept.tau[:, column]), abs=1e-5)


def test_heads_with_the_mask_are_in_no_store(orders, qrels, candidates):
    swept = sweep_orders(orders, NAMES[2:], qrels, "nDCG@10", MASKED)
    with pytest.raises(UserError, match="heads cannot be chosen"):
        over_orders(orders, NAMES[2:], qrels, candidates, HEADS, ["nDCG@10"], MASKED, swept=swept)


def test_without_shuffles_nothing_is_calibrated(orders, qrels, candidates):
    two = {name: orders[name] for name in NAMES[:2]}
    swept = sweep_orders(two, (), qrels, "nDCG@10", MASKED)
    found = over_orders(two, (), qrels, candidates, WINDOWS, ["nDCG@10"], MASKED, swept=swept, resamples=20)
    assert not found.values["system"].str.contains("calibrated").any()
    assert found.windows["calibrated"].isna().all() and found.windows["passage"].isna().all()
    assert found.windows["tau"].notna().all() and found.windows["averaged"].notna().all()


def test_commands(tmp_path, orders, qrels, candidates):
    from layerrank.core.files import write_candidates

    (tmp_path / "q.txt").write_text(
        "".join(f"{qid} 0 {pid} {grade}\n" for qid, judged in qrels.items() for pid, grade in judged.items())
    )
    write_candidates(tmp_path / "c.jsonl.gz", candidates)
    flags = ["--orders", *(f"{name}={path}" for name, paths in orders.items() for path in paths)]
    flags += ["--shuffled", *NAMES[2:], "--qrels", f"{tmp_path}/q.txt", "--resamples", "20"]
    flags += ["--collection", "c", "--model", "m", "--variant", "orders"]
    sweep = [*flags, "--measure", "nDCG@10", "--output", f"{tmp_path}/s.arrow", "--table", f"{tmp_path}/s.tsv"]
    assert main(["sweep-orders", *sweep]) == 0
    windows = ["--windows", "all", "L1-2", "--measures", "nDCG@10", "RR", "--sweep", f"{tmp_path}/s.arrow"]
    outputs = ["--output", f"{tmp_path}/v.tsv", "--table", f"{tmp_path}/w.tsv", "--by-order", f"{tmp_path}/b.tsv"]
    given = ["--candidates", f"{tmp_path}/c.jsonl.gz"]
    assert main(["evaluate-orders", *flags, *given, *windows, *outputs]) == 0
    assert len(frames.read_frame(tmp_path / "s.tsv", frames.ORDERS)) == 6
    assert len(frames.read_frame(tmp_path / "w.tsv", frames.WINDOW_ORDERS)) == 5
    assert len(frames.read_frame(tmp_path / "b.tsv", frames.BY_ORDER)) == 8
    assert set(frames.read_values([tmp_path / "v.tsv"])["variant"]) == {"orders"}
    about = {"chosen_by": "none", "upper_bound": False, "folds": None, "seed": None, "collection": "c"}
    sets = (ChosenHeads(((2, 1), (0, 0)), ("q1",), "c"),)
    chosen = HeadSelection(
        "core", "core", {"top": 2}, layers=LAYERS, heads=2, collections=("c",), sets=sets, default=((1, 0),), **about
    )
    write_head_selection(tmp_path / "core.json", chosen)
    with_heads = ["--heads", f"{tmp_path}/core.json"]
    assert main(["evaluate-orders", *flags, *given, *windows, *with_heads, *outputs]) == 2  # with the mask
    sweep += ["--strategy", "query_last"]
    assert main(["sweep-orders", *sweep]) == 0
    assert main(["evaluate-orders", *flags, *given, *windows, *with_heads, "--strategy", "query_last", *outputs]) == 0
    found = frames.read_frame(tmp_path / "w.tsv", frames.WINDOW_ORDERS)
    assert list(found["window"])[:3] == ["all", "L1-2", "heads-core"]
    assert main(["sweep-orders", *flags, "--shuffled", "order-shuffled-9", *sweep[len(flags) :]]) == 2
    for figure, table in (("shares", "s.tsv"), ("stability", "s.tsv"), ("slopes", "b.tsv")):
        name = "--by-order" if figure == "slopes" else "--orders"
        svg = tmp_path / f"{figure}.svg"
        assert main([f"plot-{figure}", name, f"{tmp_path}/{table}", "--title", "T", "--output", str(svg)]) == 0
        assert svg.read_bytes().startswith(b"<?xml")
