"""The engine against an oracle: batches, memo, costs, memory, context, failures."""

import random

import pytest
from support.oracle import Oracle, candidates, drive

from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Cost, Passage
from layerrank.ranking.engine import Engine, check_failures, failure_rate
from layerrank.ranking.frameworks import make_sorter
from layerrank.ranking.mechanism import Answer

SETWISE = make_sorter("setwise", {"k": 3})


def queries(count, n=12, seed=0):
    source = random.Random(seed)
    rows = []
    for number in range(count):
        grades = list(range(n))
        source.shuffle(grades)
        rows.append(candidates(f"q{number}", grades, words=source.randrange(1, 30)))
    return rows


def rank(engine, rows):
    return {ranked.ranking.qid: ranked for ranked in engine.rank(rows)}


def without_seconds(ranked):
    cost = ranked.cost
    return ranked.order, ranked.ranking, cost.groups, cost.memo_hits, cost.forward_passes, cost.prompt_tokens


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("pointwise", {}),
        ("pairwise", {}),
        ("setwise", {}),
        ("setwise", {"sort": "bubblesort"}),
        ("listwise", {"size": 5}),
    ],
)
def test_results_do_not_depend_on_the_other_queries(kind, own):
    sorter = make_sorter(kind, own)
    rows = queries(9)
    together = rank(Engine(sorter, Oracle(), batch_tokens=200), rows)
    for row in rows:
        alone = rank(Engine(sorter, Oracle(), batch_tokens=1, queries_at_once=1), [row])
        qid = row.query.qid
        assert without_seconds(together[qid]) == without_seconds(alone[qid])
        order, asked = drive(sorter.start(len(row)), lambda group, row=row: grades(row, group))
        assert together[qid].order == order
        assert together[qid].cost.groups == sum(map(len, asked))
        unique = {group for step in asked for group in step}
        assert together[qid].cost.forward_passes == len(unique)
        assert together[qid].cost.memo_hits == sum(map(len, asked)) - len(unique)


def grades(row, group):
    return [float(row.passages[index].text.split()[0]) for index in group]


def test_batches_stay_within_the_budget_and_begin_with_the_longest():
    oracle = Oracle()
    engine = Engine(SETWISE, oracle, batch_tokens=100)
    rank(engine, queries(40))
    assert all(sum(batch) <= 100 or len(batch) == 1 for batch in oracle.batches)
    assert all(batch == sorted(batch, reverse=True) for batch in oracle.batches)
    assert any(len(batch) > 3 for batch in oracle.batches)
    assert engine.batches == len(oracle.batches)


def test_a_padded_batch_counts_its_padding():
    oracle = Oracle()
    oracle.padded = True
    rank(Engine(SETWISE, oracle, batch_tokens=100), queries(40))
    assert all(max(batch) * len(batch) <= 100 or len(batch) == 1 for batch in oracle.batches)


def test_no_more_than_a_tenth_of_a_batch_is_padding():
    oracle = Oracle()
    oracle.padded = True
    rank(Engine(make_sorter("pointwise"), oracle, batch_tokens=2000), queries(40))
    assert len({size for batch in oracle.batches for size in batch}) > 10
    assert all(sum(batch) >= 0.9 * max(batch) * len(batch) for batch in oracle.batches)
    assert max(map(len, oracle.batches)) > 30
    assert any(len(batch) > 1 for batch in oracle.batches)


def test_works_of_different_batches_are_kept_apart():
    class Keyed(Oracle):
        def prepare(self, request):
            work = super().prepare(request)
            return type(work)(work.request, work.tokens, work.positions, None, batch=request.query.qid)

        def score(self, works):
            assert len({work.request.query.qid for work in works}) == 1
            return super().score(works)

    assert len(rank(Engine(SETWISE, Keyed()), queries(5))) == 5


def test_setwise_heapsort_runs_at_batch_speed():
    rows = queries(20, n=30)
    batched = Engine(SETWISE, Oracle(), batch_tokens=100_000)
    results = rank(batched, rows)
    assert sum(ranked.cost.forward_passes for ranked in results.values()) > 15 * batched.batches


def test_identical_groups_are_scored_once():
    oracle = Oracle()
    (ranked,) = Engine(make_sorter("listwise", {"size": 4, "step": 2, "repeats": 3}), oracle).rank(
        [candidates("q", [9, 8, 7, 6, 5, 4])]
    )
    assert (ranked.cost.groups, ranked.cost.memo_hits, ranked.cost.forward_passes) == (6, 4, 2)
    assert len(oracle.requests) == 2


def test_few_candidates_and_empty_passages():
    empty = Candidates(candidates("none", []).query, (), ())
    rows = [empty, candidates("one", [1]), candidates("two", [1, 2])]
    for kind in ("pointwise", "pairwise", "setwise", "listwise"):
        results = rank(Engine(make_sorter(kind), Oracle()), rows)
        assert [results[qid].ranking.pids for qid in ("none", "one", "two")] == [(), ("one-0",), ("two-1", "two-0")]


def test_scores_of_the_ranking():
    rows = [candidates("q", [1, 3, 2])]
    (ranked,) = Engine(make_sorter("pointwise"), Oracle()).rank(rows)
    assert ranked.ranking.scores == (3.0, 2.0, 1.0)
    (ranked,) = Engine(SETWISE, Oracle()).rank(rows)
    assert ranked.ranking.scores == (3.0, 2.0, 1.0)
    oracle = Oracle()
    oracle.returns = "order"
    (ranked,) = Engine(make_sorter("listwise"), oracle).rank([candidates("q", [0.1, 0.5])])
    assert (ranked.order.scores, ranked.ranking.scores) == (None, (2.0, 1.0))


def test_out_of_memory_halves_the_batch_and_the_budget():
    oracle = Oracle(memory=120)
    engine = Engine(SETWISE, oracle, batch_tokens=1000)
    rows = queries(12)
    results = rank(engine, rows)
    expected = rank(Engine(SETWISE, Oracle()), rows)
    assert {qid: ranked.order for qid, ranked in results.items()} == {qid: row.order for qid, row in expected.items()}
    assert oracle.released > 0
    assert engine.batch_tokens < 1000
    assert max(map(sum, oracle.batches)) <= 120


def test_one_group_that_does_not_fit_into_memory_is_an_error_that_names_it():
    with pytest.raises(UserError, match=r"setwise-x: query q\d: \d+ tokens do not fit into memory: lower c"):
        rank(Engine(SETWISE, Oracle(memory=2), name="setwise-x"), queries(3))


def test_other_errors_are_not_taken_for_memory():
    class Broken(Oracle):
        def score(self, works):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        rank(Engine(SETWISE, Broken()), queries(1))


def test_defect_10_a_prompt_beyond_the_context_is_an_error_before_the_run():
    oracle = Oracle(context=37)
    long = Candidates(
        candidates("q7", [1, 2, 3, 4]).query,
        tuple(Passage(str(index), f"{index} " + "word " * (5 + 10 * (index % 2))) for index in range(4)),
        (4.0, 3.0, 2.0, 1.0),
    )
    engine = Engine(make_sorter("setwise"), oracle, name="setwise-x")
    with pytest.raises(
        UserError, match="setwise-x: query q7: 3 passages take 38 tokens, the model has room for 37: lower c"
    ):
        engine.check([candidates("q1", [1, 2, 3]), long])
    assert not oracle.batches
    engine = Engine(make_sorter("pairwise"), oracle)
    engine.check([long])
    with pytest.raises(UserError, match="size of the framework"):
        Engine(make_sorter("listwise"), oracle).check([long])


def test_cut_texts_are_counted():
    def cut(row):
        return Candidates(row.query, row.passages[:2], row.scores[:2]), 5

    (ranked,) = Engine(SETWISE, Oracle(), cut=cut).rank([candidates("q", [1, 2, 3])])
    assert (ranked.cost.truncated_passages, ranked.ranking.pids) == (5, ("q-1", "q-0"))


def test_costs_add_up():
    class Costly(Oracle):
        def score(self, works):
            return [
                Answer(answer.scores, answer.prompt_tokens, 2, 3, {"answers": 1, "well_formed": 1})
                for answer in super().score(works)
            ]

    oracle = Costly()
    (ranked,) = Engine(make_sorter("pointwise"), oracle).rank([candidates("q", [1, 2, 3], words=4)])
    cost = ranked.cost
    assert (cost.groups, cost.forward_passes, cost.prompt_tokens, cost.generated_tokens) == (3, 9, 15, 6)
    assert cost.outcomes == {"answers": 3, "well_formed": 3}
    assert cost.seconds > 0


def test_failures_above_the_configured_rate_name_the_cell():
    costs = [Cost("a", outcomes={"answers": 3, "well_formed": 3}), Cost("b", outcomes={"answers": 1, "unparseable": 1})]
    assert failure_rate(costs) == 0.25
    assert failure_rate([Cost("a")]) == 0
    check_failures("setwise-generation", costs, 0.25)
    with pytest.raises(
        UserError, match=r"setwise-generation: 25.0% .*unparseable 1, well_formed 3.*max_failure_rate: 0.2"
    ):
        check_failures("setwise-generation", costs, 0.2)


def test_limits_are_checked():
    with pytest.raises(UserError, match="batch_tokens: 0"):
        Engine(SETWISE, Oracle(), batch_tokens=0)
