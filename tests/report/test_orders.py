"""The page and the table on relevance and place: words and marks follow from the numbers of a compare over orders."""

import numpy as np
import pandas as pd
import pytest

from layerrank.core import frames
from layerrank.evaluation.compare import compare
from layerrank.evaluation.values import aggregate
from layerrank.report.answers.place import place as place_or_relevance
from layerrank.report.answers.windows import windows as windows_saved
from layerrank.report.tables.effectiveness import Marks
from layerrank.report.tables.orders import orders_table

MARKS = Marks("", "randomisation", 0.05)
QUERIES, MEASURE = 40, "nDCG@10"
PLAIN, AVERAGED, CALIBRATED = ("listwise-attention", "listwise-attention_averaged", "listwise-attention_calibrated")


def values_of(systems, variant):
    rows = [
        ("c", "m", variant, system, f"q{number}", MEASURE, value, 1)
        for system, values in systems.items()
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=list(frames.VALUES))


@pytest.fixture
def values():
    noise = np.random.default_rng(1).normal(0, 0.02, (6, QUERIES))
    base = np.linspace(0.2, 0.7, QUERIES)
    over = {
        "bm25": base,
        f"{PLAIN}-all": base,
        f"{PLAIN}-selected-best": base - 0.2 + noise[0],
        f"{PLAIN}-selected-peak": base + noise[1],
        f"{PLAIN}-selected-oracle": base - 0.1,
        f"{AVERAGED}-all": base + 0.1 + noise[2],
        f"{CALIBRATED}-all": base + noise[3],
        f"{AVERAGED}-selected-best": base + noise[4],
    }
    one = {
        name: base + 0.3 + noise[5] if name.endswith("best") else own for name, own in over.items() if "_" not in name
    }
    return pd.concat([values_of(one, "base"), values_of(over, "orders")])


@pytest.fixture
def comparisons(values):
    return compare(values, ["bm25"], seed=1, resamples=500)


def row_of(kind, window, **own):
    row = dict.fromkeys(frames.WINDOW_ORDERS, 0.5) | {"collection": "c", "model": "m", "variant": "orders"}
    row |= {"kind": kind, "window": window, "measure": MEASURE, "oracle_window": "L1-2", "queries": 40, "orders": 6}
    return row | own


@pytest.fixture
def windows():
    names = ("all", "selected-best", "selected-peak", "selected-oracle")
    rows = [row_of("window", name, tau=0.1 * place, regret=0.05) for place, name in enumerate(names)]
    gains = [(0.1, -0.1), (0.2, 0.1), (-0.3, -0.3)]
    rows += [
        row_of("layer", f"L{i}-{i}", value=0.5, averaged=0.5 + averaged, calibrated=0.5 + calibrated)
        for i, (averaged, calibrated) in enumerate(gains)
    ]
    rows[0] |= {"passage": 0.58, "place": 0.33}
    return pd.DataFrame(rows)


@pytest.fixture
def layers():
    rows = []
    for start, base, value, passage, place in (
        (0, 0.3, 0.2, 0.1, 0.2),
        (1, 0.7, 0.4, -0.02, 0.8),
        (2, 0.5, 0.5, 0.7, 0.1),
    ):
        row = dict.fromkeys(frames.ORDERS, 0.5) | {"collection": "c", "model": "m", "variant": "orders"}
        row |= {"start": start, "end": start, "measure": MEASURE, "base": base, "value": value}
        rows.append(row | {"passage": passage, "place": place})
    rows.append({**rows[0], "end": 2, "base": 0.9, "value": 0.9})  # a wider window is no layer
    return pd.DataFrame(rows)


def cells(table, title):
    [row] = [row for section in table.sections for row in section.rows if row.cells[0].value == title]
    return row


def test_families_of_remedies_are_tested_against_what_they_remedy(comparisons):
    own = comparisons[comparisons["family"] == frames.OF_REMEDIES]
    assert set(own["variant"]) == {"orders"}
    assert sorted(zip(own["baseline"], own["system"], strict=True)) == [
        (f"{PLAIN}-all", f"{AVERAGED}-all"),
        (f"{PLAIN}-all", f"{CALIBRATED}-all"),
        (f"{PLAIN}-selected-best", f"{AVERAGED}-selected-best"),
    ]
    assert (own["tests"] == 3).all()


def test_the_page_says_what_the_numbers_say(layers, windows, comparisons):
    answer = place_or_relevance(layers, windows, comparisons, MEASURE, MARKS)
    owed, best, chosen, peak, averaged, calibrated, queries = answer.statements
    assert "58% of their variance to the passage and 33% to its place" in owed
    assert owed.endswith("outweighs the place in 1 of 3 layers.")
    assert "first stage’s order, 1, has 0.700" in best and "0.400 over all orders, 0% owed to the passage" in best
    assert best.endswith("is layer 2, with 0.500, 70% owed to the passage and 10% to the place.")
    assert chosen.startswith("The best window ranks with τ = 0.10") and chosen.endswith("a significant loss.")
    assert peak.startswith("The peak window") and peak.endswith("no difference shown.")
    assert "averaged over 6 orders" in averaged and "a significant gain; of single layers they raise 2 of 3" in averaged
    assert "no difference shown; of single layers they raise 1 of 3, by −0.100 on average." in calibrated
    assert queries.startswith("On 40 queries")


def test_the_same_best_layer_and_no_shares(layers, windows, comparisons):
    alike = layers.assign(base=layers["value"], passage=np.nan, place=np.nan)
    answer = place_or_relevance(alike, windows, comparisons, MEASURE, MARKS)
    assert (
        answer.statements[0]
        == "The best layer is 2 in the first stage’s order as over all orders (0.500 and 0.500 nDCG@10)."
    )


def test_several_pairs_are_named(layers, windows, comparisons):
    both = [pd.concat([frame, frame.assign(collection="d")]) for frame in (layers, windows, comparisons)]
    answer = place_or_relevance(*both, MEASURE, MARKS)
    owed, windows_, averaged, calibrated, *pairs, queries = answer.statements
    assert owed.startswith("In 2 pairs of a model and a collection, scores of all layers together owe 58% of their")
    assert windows_ == (
        "Over orders, against all layers: the best window, a significant loss in 2; the peak window, no difference "
        "shown in 2."
    )
    assert averaged == "Scores of all layers averaged over the orders, against plain ones: a significant gain in 2."
    assert calibrated == "Scores of all layers calibrated by place, against plain ones: no difference shown in 2."
    assert [text[:8] for text in pairs] == ["m on c: ", "m on d: "] and queries.startswith("On 40 queries")
    assert all("in 1 of 3 layers. The best layer" in text for text in pairs)


def test_many_pairs_are_only_counted(layers, windows, comparisons):
    many = [pd.concat([frame.assign(collection=name) for name in "cdefg"]) for frame in (layers, windows, comparisons)]
    many[1].loc[(many[1]["collection"] == "e") & (many[1]["window"] == "all"), "passage"] = 0.095
    owed, *_, queries = place_or_relevance(*many, MEASURE, MARKS).statements
    assert "owe 10 to 58% of their variance to the passage and 33% to its place" in owed
    assert len(place_or_relevance(*many, MEASURE, MARKS).statements) == 5 and queries.startswith("On 40")


def test_table_marks_what_is_significant(windows, comparisons):
    table = orders_table(windows, comparisons, MEASURE, MARKS)
    assert [section.title for section in table.sections] == ["m on c · 40 queries · 6 orders"]
    best, every, oracle = (
        cells(table, title) for title in ("best window", "all layers", "oracle window (upper bound)")
    )
    assert (best.cells[8].marks, best.cells[9].marks) == ("↓", "↑")
    assert best.cells[8].value == pytest.approx(-0.2, abs=0.02)
    assert every.cells[8].value is None and (every.cells[9].marks, every.cells[10].marks) == ("↑", "")
    assert oracle.aside and oracle.cells[9].value == pytest.approx(0.0) and oracle.cells[9].marks == ""


def test_the_windows_page_says_what_does_not_survive_other_orders(values, comparisons, windows):
    means = aggregate(values, seed=1, resamples=50)
    systems = means.loc[means["variant"] == "base", "system"]
    costs = pd.DataFrame([{"collection": "c", "model": "m", "system": name, "layer_tokens": 50.0} for name in systems])
    none = pd.DataFrame(columns=list(frames.LATENCY))
    given = (means, comparisons, costs, none, MEASURE, "base", MARKS)
    plain, found = windows_saved(*given), windows_saved(*given, windows)
    assert len(found.table.columns) == len(plain.table.columns) + 2
    [said] = [text for text in found.statements if "over input orders" in text]
    assert said.startswith("m on c: the best window is worse over input orders: −0.2") and "significant loss" in said
    row = cells(found.table, "best window")
    assert row.cells[2].marks == "↑" and row.cells[-1].marks == "↓" and row.cells[-2].value == pytest.approx(0.1)
    assert cells(found.table, "all layers").cells[-2].value == pytest.approx(0.0)
