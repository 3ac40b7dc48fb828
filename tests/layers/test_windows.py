import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.signals import random_signal
from support.stores import write_store

from layerrank.__main__ import main
from layerrank.attention.scores import all_windows
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import LayerWindow, read_selection, windows_for, write_selection
from layerrank.layers import labelfree
from layerrank.layers.rules import parse_rule
from layerrank.layers.selection import best_window, folds_of, select
from layerrank.layers.sweep import Sweep, read_sweep, write_sweep
from layerrank.ranking.cached import check_settings, rerank_cached

LAYERS = 4
COUNT = LAYERS * (LAYERS + 1) // 2
BEST = parse_rule({"rule": "best"})


def swept(values, layers=LAYERS, measure="nDCG@10"):
    values = np.asarray(values, dtype=np.float32)
    return Sweep(tuple(f"q{i}" for i in range(len(values))), values, measure, "query_last", layers, len(values))


def constant(scores, queries=6, layers=LAYERS):
    """A sweep whose windows have these values, {(start, end): value}, for every query; 0 elsewhere."""
    row = [scores.get((window.start, window.end), 0.0) for window in all_windows(layers)]
    return swept([row] * queries, layers)


def random_sweep(seed, queries=23):
    return swept(np.random.default_rng(seed).random((queries, COUNT)))


def chosen(rule, sweep, **more):
    selection = select("name", parse_rule(rule), "own", sweep, **more)
    assert sorted(qid for entry in selection.windows for qid in entry.qids) == sorted(sweep.qids)
    return selection


# --- sweeps on disk


def test_a_sweep_survives_the_disk_and_has_the_same_bytes_twice(tmp_path):
    sweep = random_sweep(1)
    write_sweep(tmp_path / "a.arrow", sweep)
    write_sweep(tmp_path / "b.arrow", sweep)
    again = read_sweep(tmp_path / "a.arrow")
    assert np.array_equal(again.values, sweep.values) and again.values.dtype == np.float32
    assert (again.qids, again.measure, again.strategy, again.layers) == (sweep.qids, "nDCG@10", "query_last", LAYERS)
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()


def test_a_foreign_file_is_no_sweep(tmp_path):
    (tmp_path / "x.arrow").write_text("text")
    with pytest.raises(UserError, match=r"x\.arrow"):
        read_sweep(tmp_path / "x.arrow")
    store = write_store(tmp_path / "s.arrow", [random_signal()])
    with pytest.raises(UserError, match=r"s\.arrow: not a sweep"):
        read_sweep(store)


@pytest.mark.parametrize("layers", [1, 2, 5, 30])
def test_columns_follow_the_windows(layers):
    sweep = swept(np.zeros((1, layers * (layers + 1) // 2)), layers)
    assert [sweep.column(window) for window in sweep.windows] == list(range(len(sweep.windows)))
    with pytest.raises(UserError, match="layers 0 to"):
        sweep.column(LayerWindow(0, layers))


# --- rules


def test_best_takes_the_highest_mean_and_ties_go_to_the_smaller_end_then_the_narrower():
    assert best_window(constant({(1, 2): 0.5, (0, 3): 0.6}), BEST) == LayerWindow(0, 3)
    assert best_window(constant({(0, 3): 0.6, (1, 2): 0.6, (0, 2): 0.6, (2, 3): 0.6}), BEST) == LayerWindow(1, 2)


def test_best_within_its_bounds():
    sweep = constant({(0, 3): 0.9, (2, 3): 0.8, (0, 1): 0.7, (1, 1): 0.6})
    assert best_window(sweep, parse_rule({"rule": "best", "max_width": 2})) == LayerWindow(2, 3)
    assert best_window(sweep, parse_rule({"rule": "best", "last_layer": 2})) == LayerWindow(0, 1)
    assert best_window(sweep, parse_rule({"rule": "best", "last_layer": 2, "max_width": 1})) == LayerWindow(1, 1)


def test_standard_errors_buy_an_earlier_end_only_where_the_difference_is_noise():
    noise = np.array([0.3, -0.3] * 10)
    values = np.zeros((20, COUNT))
    late, early = constant({}).column(LayerWindow(3, 3)), constant({}).column(LayerWindow(0, 1))
    values[:, late] = 0.5 + noise
    values[:, early] = 0.48
    # The paired difference is 0.02 ± 0.3078 / sqrt(20) = 0.0688.
    assert best_window(swept(values), BEST) == LayerWindow(3, 3)
    assert best_window(swept(values), parse_rule({"rule": "best", "standard_errors": 0.25})) == LayerWindow(3, 3)
    assert best_window(swept(values), parse_rule({"rule": "best", "standard_errors": 0.35})) == LayerWindow(0, 1)
    values[:, late] = 0.5
    assert best_window(swept(values), parse_rule({"rule": "best", "standard_errors": 5})) == LayerWindow(3, 3)


@pytest.mark.parametrize(
    ("peak", "width", "window"), [(2, 0, (2, 2)), (2, 1, (1, 3)), (0, 1, (0, 1)), (3, 2, (1, 3)), (1, 9, (0, 3))]
)
def test_peak_is_a_width_around_the_best_layer_cut_at_the_ends(peak, width, window):
    sweep = constant({(peak, peak): 0.4, (0, 2): 0.9})
    assert chosen({"rule": "peak", "width": width, "folds": 2}, sweep).default == LayerWindow(*window)


def test_peak_honours_the_last_layer():
    sweep = constant({(3, 3): 0.9, (2, 2): 0.5})
    assert chosen({"rule": "peak", "width": 2, "last_layer": 2, "folds": 2}, sweep).default == LayerWindow(0, 2)


def test_fixed_needs_no_judgement():
    selection = chosen({"rule": "fixed", "window": "1-2"}, constant({(1, 2): 0.3, (3, 3): 0.4}))
    assert selection.chosen_by == "none" and not selection.upper_bound
    assert selection.windows[0].window == selection.default == LayerWindow(1, 2)
    assert selection.oracle_window == LayerWindow(3, 3)
    assert (selection.selected, selection.oracle, selection.regret) == pytest.approx((0.3, 0.4, 0.1), abs=1e-6)


def test_oracle_is_labelled_an_upper_bound_and_has_no_regret():
    selection = chosen({"rule": "oracle"}, random_sweep(3))
    assert selection.upper_bound is True and selection.chosen_by == "test queries"
    assert selection.regret == 0


def test_folds_are_even_and_depend_on_nothing_but_names_and_seed():
    qids = [f"q{i}" for i in range(23)]
    folds = folds_of(qids, 5, 42)
    assert sorted(np.bincount(list(folds.values()))) == [4, 4, 5, 5, 5]
    assert folds_of(qids[::-1], 5, 42) == folds
    assert folds_of(qids, 5, 43) != folds
    with pytest.raises(UserError, match="folds: 5 with 3"):
        folds_of(qids[:3], 5, 42)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["best", "peak"]), st.integers(2, 6), st.booleans())
def test_a_fold_never_sees_its_own_judgements(seed, kind, folds, blank):
    sweep = random_sweep(seed)
    rule = {"rule": kind, "folds": folds, "seed": seed} | (
        {"standard_errors": 1} if kind == "best" and seed % 2 else {}
    )
    before = chosen(rule, sweep)
    fold = folds_of(sweep.qids, folds, seed)
    random = np.random.default_rng(seed + 1)
    for number in range(folds):
        rows = [row for row, qid in enumerate(sweep.qids) if fold[qid] == number]
        values = sweep.values.copy()
        values[rows] = 0 if blank else random.permutation(values[rows].ravel()).reshape(len(rows), -1) * 10
        after = chosen(rule, swept(values))
        assert after.windows[number] == before.windows[number]
        assert sorted(before.windows[number].qids) == sorted(sweep.qids[row] for row in rows)


def test_a_fold_does_see_the_others():
    sweep = constant({(1, 1): 0.5}, queries=10)
    fold = folds_of(sweep.qids, 2, 42)
    values = sweep.values.copy()
    values[[row for row, qid in enumerate(sweep.qids) if fold[qid] == 0], -1] = 1.0
    windows = [entry.window for entry in chosen({"rule": "best", "folds": 2}, swept(values)).windows]
    assert windows == [LayerWindow(1, 1), LayerWindow(3, 3)]


def test_cross_validated_regret_by_hand():
    # Fold 0 likes [0, 0], fold 1 likes [3, 3]; each is judged by the other's choice and gets nothing.
    blank = constant({}, queries=4)
    fold = folds_of(blank.qids, 2, 42)
    values = blank.values.copy()
    for row, qid in enumerate(blank.qids):
        values[row, 0 if fold[qid] == 0 else -1] = 1.0
    selection = chosen({"rule": "best", "folds": 2}, swept(values))
    assert (selection.selected, selection.oracle, selection.regret) == (0.0, 0.5, 0.5)
    assert selection.oracle_window == LayerWindow(0, 0)
    assert [entry.value_where_chosen for entry in selection.windows] == [1.0, 1.0]
    assert (selection.folds, selection.seed) == (2, 42)


def over(values, qids):
    """Means over orders of some of the queries."""
    return Sweep(tuple(qids), np.asarray(values, dtype=np.float32), "nDCG@10", "query_last", LAYERS, len(values))


def test_a_rule_over_orders_chooses_by_their_mean_and_not_by_the_base():
    base, orders = constant({(0, 1): 1.0}), constant({(2, 3): 1.0})
    for rule in ({"rule": "best", "folds": 3}, {"rule": "oracle"}):
        plain = chosen(rule, base)
        found = chosen({**rule, "orders": "all"}, base, over_orders=orders)
        assert {str(entry.window) for entry in plain.windows} == {"L0-1"}
        assert {str(entry.window) for entry in found.windows} == {"L2-3"}
        assert found.selected == 0 and found.oracle == 1, "judged in the base's order, against the oracle there"
    peaks = chosen({"rule": "peak", "folds": 3, "orders": "all"}, base, over_orders=constant({(2, 2): 1.0}))
    assert {str(entry.window) for entry in peaks.windows} == {"L2-2"}


def test_over_orders_a_fold_never_sees_its_own_queries():
    values = np.random.default_rng(4).random((9, COUNT))
    base = random_sweep(5)
    rule, qids = {"rule": "best", "folds": 4, "orders": "all"}, list(base.qids[:18:2])
    found = chosen(rule, base, over_orders=over(values, qids))
    fold = folds_of(base.qids, 4, 42)
    for number in range(4):
        blank = np.where([[fold[qid] == number] for qid in qids], 0.0, values)
        blank[:, 3] += np.array([fold[qid] == number for qid in qids]) * 1e3
        again = chosen(rule, base, over_orders=over(blank, qids))
        own = next(qid for qid in base.qids if fold[qid] == number)
        assert again.of([own]) == found.of([own])


def test_over_orders_of_other_collections():
    others = {"a": constant({(1, 1): 0.5}), "b": constant({(1, 1): 0.2, (3, 3): 0.4})}
    rule = {"rule": "best", "chosen_on": "others", "orders": "all"}
    found = chosen(rule, constant({}), over_orders=constant({(0, 0): 9.0}), others=others)
    assert {str(entry.window) for entry in found.windows} == {"L1-1"}


def test_orders_that_do_not_serve_are_named():
    rule = {"rule": "best", "orders": "all", "folds": 2}
    with pytest.raises(UserError, match="no `orders`"):
        chosen(rule, random_sweep(1))
    with pytest.raises(UserError, match="query x"):
        chosen(rule, random_sweep(1), over_orders=over(np.zeros((1, COUNT)), ["x"]))
    with pytest.raises(UserError, match="one fold"):
        chosen(rule, random_sweep(1), over_orders=over(np.zeros((1, COUNT)), ["q1"]))


def test_other_collections_count_alike_whatever_their_size():
    large, small = constant({(0, 0): 0.4}, queries=50), constant({(1, 1): 0.6}, queries=2)
    own = constant({(3, 3): 1.0})
    selection = chosen({"rule": "best", "chosen_on": "others"}, own, others={"large": large, "small": small})
    assert selection.default == LayerWindow(1, 1) and selection.chosen_by == "other-collections"
    assert selection.collections == ("large", "small")
    assert selection.windows[0].value_where_chosen == pytest.approx(0.3)
    selection = chosen({"rule": "best", "chosen_on": ["large"]}, own, others={"large": large, "small": small})
    assert selection.default == LayerWindow(0, 0)


def test_other_collections_that_do_not_serve_are_named():
    own = random_sweep(1)
    for rule, others, message in [
        ({"rule": "best", "chosen_on": ["there"]}, {}, "'there'"),
        ({"rule": "best", "chosen_on": ["own"]}, {"own": own}, "other than own"),
        ({"rule": "best", "chosen_on": "others"}, {}, "other than own"),
        ({"rule": "peak", "chosen_on": "others"}, {"o": swept(np.zeros((2, 3)), layers=2)}, "layers"),
        ({"rule": "peak", "chosen_on": "others"}, {"o": swept(np.zeros((2, COUNT)), measure="AP")}, "measure"),
    ]:
        with pytest.raises(UserError, match=message):
            chosen(rule, own, others=others)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"rule": "worst"}, "worst"),
        ({"rule": "fixed"}, "window"),
        ({"rule": "peak", "max_width": 3}, "max_width"),
        ({"rule": "best", "folds": 1}, "folds"),
        ({"rule": "best", "max_width": "3"}, "max_width"),
        ({"rule": "best", "chosen_on": "elsewhere"}, "elsewhere"),
        ({"rule": "oracle", "chosen_on": "folds"}, "'chosen_on'"),
        ({"rule": "best", "last_layer": True}, "last_layer"),
    ],
)
def test_bad_rules_are_named(rule, message):
    with pytest.raises(UserError, match=message):
        parse_rule(rule)


# --- label-free


def test_label_free_rules_take_the_best_of_their_criterion():
    criterion = np.zeros(COUNT)
    criterion[[0, 5, -1]] = 0.1, 0.8, 0.9
    selection = chosen({"rule": "label-free", "last_layer": 2}, random_sweep(1), criterion=criterion)
    assert selection.default == LayerWindow(1, 2) and selection.chosen_by == "none"
    assert selection.windows[0].value_where_chosen == 0.8
    with pytest.raises(UserError, match="--signal"):
        chosen({"rule": "label-free"}, random_sweep(1))


def test_agreement_is_with_the_layers_outside():
    # Layers 0, 1 and 2 rank a b c, layer 3 c b a, and a window as its last layer does.
    by_layer = np.array([[3.0, 2, 1], [9, 8, 7], [6, 5, 4], [1, 2, 3]])
    windows = all_windows(4)
    found = labelfree.CRITERIA["agreement"](np.array([by_layer[window.end] for window in windows]), 4)
    expected = {
        (0, 0): 1.0,  # a b c against a b c, a b c, c b a
        (0, 1): 0.0,  # against a b c, c b a: no preference
        (0, 2): -1.0,  # against c b a
        (0, 3): -1.0,  # nobody is left
        (1, 3): -1.0,  # c b a against a b c
        (3, 3): -1.0,
    }
    for (start, end), value in expected.items():
        assert found[windows.index(LayerWindow(start, end))] == pytest.approx(value)


def test_dispersion_by_hand():
    scores = np.array([[1.0, 3.0], [2.0, 2.0], [0.0, 0.0]])
    assert labelfree.CRITERIA["dispersion"](scores, 2) == pytest.approx([0.5, 0.0, 0.0])


@pytest.mark.parametrize("name", labelfree.CRITERIA)
def test_criteria_are_finite_and_skip_queries_with_one_candidate(tmp_path, name):
    signals = [random_signal(f"q{i}", lengths, LAYERS, seed=i) for i, lengths in enumerate([(3, 4), (5,), (1, 1, 2)])]
    path = write_store(tmp_path / "s.arrow", signals)
    found = labelfree.criterion([path], name, "masked_NA_calibration")
    without = write_store(tmp_path / "t.arrow", [signals[0], signals[2]])
    assert found.shape == (COUNT,) and np.isfinite(found).all()
    assert np.array_equal(found, labelfree.criterion([without], name, "masked_NA_calibration"))
    lonely = write_store(tmp_path / "u.arrow", [signals[1]])
    with pytest.raises(UserError, match="two candidates"):
        labelfree.criterion([lonely], name, "masked_NA_calibration")


# --- windows by name


def test_windows_by_name(tmp_path):
    assert windows_for("all", ["a"], 30) == {"a": LayerWindow(0, 29)}
    assert windows_for("L10-13", ["a", "b"], 30) == {"a": LayerWindow(10, 13), "b": LayerWindow(10, 13)}
    path = tmp_path / "base.best.json"
    sweep = random_sweep(2)
    selection = select("best", BEST, "own", sweep)
    write_selection(path, selection)
    assert read_selection(path) == selection
    found = windows_for("selected-best", [*sweep.qids, "unjudged"], LAYERS, path)
    for entry in selection.windows:
        assert {found[qid] for qid in entry.qids} == {entry.window}
    assert found["unjudged"] == selection.default


def test_windows_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "s.json"
    write_selection(path, select("best", BEST, "own", random_sweep(2)))
    for spec, layers, selection, message in [
        ("L3-4", 4, None, "layers 0 to 3"),
        ("top", 4, None, "top"),
        ("selected-best", 4, None, "--selection"),
        ("selected-peak", 4, path, "'best'"),
        ("selected-best", 30, path, "4 layers"),
        ("selected-best", 4, tmp_path / "none.json", "no such file"),
    ]:
        with pytest.raises(UserError, match=message):
            windows_for(spec, ["q1"], layers, selection)


# --- rankings from the store


def candidates_of(signal):
    passages = tuple(Passage(pid, "text") for pid in signal.pids)
    return Candidates(Query(signal.qid, "query"), passages, tuple(float(-i) for i in range(len(passages))))


def tied_signal(qid="tied"):
    signal = random_signal(qid, (2, 2, 2), LAYERS)
    signal.signal[:] = 1.0
    return signal


def test_rankings_and_costs_of_every_query_with_candidates(tmp_path):
    signals = [random_signal("b", (4, 2, 1), LAYERS, seed=1), random_signal("a", (3, 3), LAYERS, seed=2), tied_signal()]
    path = write_store(tmp_path / "s.arrow", signals)
    rows = [candidates_of(signals[i]) for i in (1, 2, 0)] + [Candidates(Query("empty", "query"), (), ())]
    rankings, costs = rerank_cached(rows, [path], "L1-2", strategy="query_last")
    assert [ranking.qid for ranking in rankings] == [cost.qid for cost in costs] == ["a", "tied", "b"]
    sums = signals[0].sums["query"][1:3].sum(axis=(0, 1), dtype=np.float64)
    assert rankings[2].scores == pytest.approx(sorted(sums, reverse=True))
    assert rankings[2].pids == tuple(f"b-d{i}" for i in np.argsort(-sums))
    assert (costs[2].prompt_tokens, costs[2].forward_passes, costs[2].seconds) == (27, 1, 0.25)
    assert rerank_cached(rows, [path], "all")[0][1].pids == ("tied-d0", "tied-d1", "tied-d2")


def test_signals_of_other_candidates_are_refused(tmp_path):
    signal = random_signal("a", (3, 3), LAYERS)
    path = write_store(tmp_path / "s.arrow", [signal])
    row = candidates_of(signal)
    with pytest.raises(UserError, match="query a: signal of other candidates"):
        rerank_cached([Candidates(row.query, row.passages[::-1], row.scores)], [path], "all")
    with pytest.raises(UserError, match="query c"):
        rerank_cached([Candidates(Query("c", "query"), row.passages, row.scores)], [path], "all")


def test_settings_of_the_stored_signal():
    assert check_settings({}) == ("masked_NA_calibration", None)
    assert check_settings({"strategy": "NA_only", "heads": [[1, 2]], "passage_tokens": None}) == ("NA_only", ((1, 2),))
    for settings_, message in [
        ({"passage_tokens": 128}, "passage_tokens"),
        ({"dept": 1}, "dept"),
        ({"heads": [1]}, "heads"),
    ]:
        with pytest.raises(UserError, match=message):
            check_settings(settings_)


def test_commands_from_signal_to_run(tmp_path):
    signals = [random_signal(f"q{i}", (4, 2, 3), LAYERS, seed=i) for i in range(6)]
    store = str(write_store(tmp_path / "s.arrow", signals))
    files.write_qrels(tmp_path / "qrels.txt", {signal.qid: {signal.pids[1]: 1} for signal in signals})
    files.write_candidates(tmp_path / "c.jsonl.gz", [candidates_of(signal) for signal in signals])
    qrels = str(tmp_path / "qrels.txt")

    def at(name):
        return str(tmp_path / name)

    cell = ["--collection", "c", "--model", "m"]
    profile = ["layer-profile", *cell, "--signal", store, "--qrels", qrels, "--measures", "RR", "--resamples", "20"]
    assert main([*profile, "--output", at("p.tsv")]) == 0
    sweep = ["sweep-windows", *cell, "--signal", store, "--qrels", qrels, "--measure", "RR"]
    sweep += ["--output", at("w.arrow")]
    assert main([*sweep, "--table", at("w.tsv")]) == 0
    assert (
        (tmp_path / "w.tsv")
        .read_text()
        .startswith("collection\tmodel\tvariant\tstart\tend\tmeasure\tmean\nc\tm\tbase\t0\t0\tRR\t")
    )
    for rule in ({"rule": "best", "folds": 3}, {"rule": "label-free"}):
        name = rule["rule"]
        select_ = ["select-window", "--name", name, "--rule", json.dumps(rule), *cell]
        more = ["--sweep", at("w.arrow"), "--signal", store, "--output", at(f"{name}.json")]
        assert main([*select_, *more]) == 0
        rerank = ["rerank-cached", "--candidates", at("c.jsonl.gz"), "--signal", store, "--tag", "t"]
        window = ["--window", f"selected-{name}", "--selection", at(f"{name}.json")]
        assert main([*rerank, *window, "--output", at("run.txt"), "--costs", at("costs.jsonl")]) == 0
        assert [ranking.qid for ranking in files.read_run(tmp_path / "run.txt")] == [f"q{i}" for i in range(6)]
        assert len(files.read_costs(tmp_path / "costs.jsonl")) == 6
    assert main([*rerank, "--window", "L9-9", "--output", at("run.txt"), "--costs", at("costs.jsonl")]) == 2
