"""Frameworks against oracles (semantics.md §3)."""

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracle import drive

from layerrank.core.errors import UserError
from layerrank.ranking.frameworks import make_sorter, setwise_heapsort

SORTS = [
    ("pointwise", {}),
    ("pairwise", {"sort": "allpair"}),
    ("pairwise", {"sort": "heapsort", "k": 4}),
    ("pairwise", {"sort": "bubblesort", "k": 4}),
    ("setwise", {"sort": "heapsort", "c": 2, "k": 4}),
    ("setwise", {"sort": "heapsort", "c": 5, "k": 4}),
    ("setwise", {"sort": "bubblesort", "c": 1, "k": 4}),
    ("setwise", {"sort": "bubblesort", "c": 3, "k": 4}),
    ("listwise", {"size": 8, "step": 4}),
    ("listwise", {"size": 7, "step": 3, "repeats": 2}),
    ("listwise", {"size": "whole"}),
]
TOP = {"pointwise": None, "pairwise": 4, "setwise": 4, "listwise": 4}


def shuffled(n, seed):
    grades = list(range(n))
    random.Random(seed).shuffle(grades)
    return grades


@pytest.mark.parametrize(("kind", "own"), SORTS)
@given(n=st.integers(0, 40), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_a_perfect_oracle_sorts_the_top_perfectly(kind, own, n, seed):
    grades = shuffled(n, seed)
    order, _ = drive(make_sorter(kind, own).start(n), lambda group: [grades[index] for index in group])
    assert sorted(order.indices) == list(range(n))
    top = min(n, TOP[kind] or n)
    assert [grades[index] for index in order.indices[:top]] == list(range(n - 1, n - 1 - top, -1))


@pytest.mark.parametrize(("kind", "own"), SORTS)
@given(n=st.integers(0, 40), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_a_noisy_oracle_loses_no_candidate_and_leaves_the_rest_in_input_order(kind, own, n, seed):
    noise = random.Random(seed)
    sorter = make_sorter(kind, own)
    order, asked = drive(sorter.start(n), lambda group: [noise.random() for _ in group])
    assert sorted(order.indices) == list(range(n))
    if kind in ("pairwise", "setwise") and own["sort"] != "allpair":
        assert list(order.indices[4:]) == sorted(order.indices[4:])
    groups = [group for step in asked for group in step]
    assert max((len(group) for group in groups), default=0) <= sorter.largest_group(n)
    assert all(len(set(group)) == len(group) for group in groups)


@pytest.mark.parametrize(("kind", "own"), SORTS)
def test_no_decision_keeps_the_input_order(kind, own):
    order, _ = drive(make_sorter(kind, own).start(23), lambda group: [0.0] * len(group))
    if (kind, own.get("sort")) == (
        "pairwise",
        "heapsort",
    ):  # it swaps only on a win
        assert order.indices[0] == 0
    else:
        assert order.indices == tuple(range(23))


@pytest.mark.parametrize(("c", "expected", "spread"), [(2, 140, 12), (3, 82, 9), (9, 31, 4)])
def test_setwise_heapsort_compares_as_often_as_published(c, expected, spread):
    counts = []
    for seed in range(100):
        grades = shuffled(100, seed)
        _, asked = drive(setwise_heapsort(100, c, 10), lambda group, grades=grades: [grades[index] for index in group])
        counts.append(sum(map(len, asked)))
    assert statistics.mean(counts) == pytest.approx(expected, abs=1)
    assert max(abs(count - expected) for count in counts) <= spread


@given(n=st.integers(2, 60), c=st.integers(1, 6), seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_setwise_heapsort_is_the_sequential_one_in_fewer_steps(n, c, seed):
    def judge(group):  # inconsistent, yet the same for the same group
        return [random.Random(f"{seed} {group} {index}").random() for index in group]

    compared = []

    def heapify(heap, size, root):
        places = [root, *range(c * root + 1, min(c * (root + 1) + 1, size))]
        if len(places) == 1:
            return
        group = tuple(heap[place] for place in places)
        compared.append(group)
        scores = judge(group)
        best = places[scores.index(max(scores))]
        if best != root:
            heap[root], heap[best] = heap[best], heap[root]
            heapify(heap, size, best)

    heap, top = list(range(n)), []
    for root in range((n - 2) // c, -1, -1):
        heapify(heap, n, root)
    for size in range(n - 1, max(-1, n - 6), -1):
        top.append(heap[0])
        heap[0] = heap[size]
        if len(top) < 5:
            heapify(heap, size, 0)
    order, asked = drive(setwise_heapsort(n, c, 5), judge)
    assert list(order.indices[: len(top)]) == top
    assert sorted(group for step in asked for group in step) == sorted(compared)
    assert len(asked) <= len(compared)


def test_pairwise_wins_only_in_both_orders():
    def first_place_wins(group):
        return [1.0, 0.0]

    def second_listed_wins(group):
        return [0.0, 1.0]

    for sort in ("allpair", "heapsort", "bubblesort"):
        for biased in (first_place_wins, second_listed_wins):
            order, asked = drive(make_sorter("pairwise", {"sort": sort}).start(3), biased)
            assert order.indices[0] == 0
            assert all({tuple(reversed(group)) for group in step} == set(step) for step in asked)
    order, _ = drive(make_sorter("pairwise", {"sort": "allpair"}).start(3), first_place_wins)
    assert order.indices == (0, 1, 2)
    assert order.scores == (1.0, 1.0, 1.0)


def test_allpair_points():
    grades = [1, 3, 3, 0]
    order, asked = drive(
        make_sorter("pairwise", {"sort": "allpair"}).start(4), lambda group: [grades[index] for index in group]
    )
    assert order.indices == (1, 2, 0, 3)
    assert order.scores == (2.5, 2.5, 1.0, 0.0)
    assert [len(step) for step in asked] == [12]


def test_listwise_windows():
    def windows(n, **own):
        _, asked = drive(make_sorter("listwise", own).start(n), lambda group: [0.0] * len(group))
        assert all(len(step) == 1 for step in asked)
        return [(step[0][0], step[0][-1] + 1) for step in asked]

    assert windows(40, size=20, step=10) == [(20, 40), (10, 30), (0, 20)]
    assert windows(25, size=20, step=10) == [(5, 25), (0, 15)]
    assert windows(43, size=20, step=10) == [(23, 43), (13, 33), (3, 23), (0, 13)]
    assert windows(20, size=20, step=10, repeats=2) == [(0, 20), (0, 20)]
    assert windows(1, size=20, step=10) == [(0, 1)]
    assert windows(0, size=20, step=10) == []
    assert windows(120, size="whole") == [(0, 120)]


@pytest.mark.parametrize("n", [1, 2, 7, 19])
def test_defect_1_a_window_larger_than_the_list_still_ranks_it(n):
    order, asked = drive(make_sorter("listwise", {"size": 20, "step": 10}).start(n), lambda group: list(group))
    assert len(asked) == 1
    assert order.indices == tuple(reversed(range(n)))


def test_defect_7_a_window_follows_each_query():
    sorter = make_sorter("listwise", {"size": "whole"})
    assert [sorter.largest_group(n) for n in (100, 3, 50)] == [100, 3, 50]
    for n in (100, 3, 50):
        _, asked = drive(sorter.start(n), lambda group: [0.0] * len(group))
        assert [len(group) for step in asked for group in step] == [n]


def test_whole_list_keeps_the_scores():
    order, _ = drive(make_sorter("listwise", {"size": "whole"}).start(3), lambda group: [0.5, 2.0, 1.0])
    assert (order.indices, order.scores) == ((1, 2, 0), (2.0, 1.0, 0.5))
    order, _ = drive(make_sorter("listwise", {"size": 2, "step": 1}).start(3), lambda group: [0.5, 2.0])
    assert order.scores is None


@pytest.mark.parametrize(
    ("kind", "own", "words"),
    [
        ("sitewise", {}, "setwise"),
        ("setwise", {"sort": "quicksort"}, "heapsort, bubblesort"),
        ("setwise", {"children": 3}, "sort, c, k"),
        ("setwise", {"c": 0}, "from 1"),
        ("setwise", {"k": True}, "from 1"),
        ("listwise", {"size": "all"}, 'or "whole"'),
        ("listwise", {"size": 5, "step": 6}, "at most size"),
    ],
)
def test_unknown_settings_are_named(kind, own, words):
    with pytest.raises(UserError, match=words):
        make_sorter(kind, own)


def test_step_follows_a_small_size():
    assert make_sorter("listwise", {"size": 6}).settings["step"] == 3
