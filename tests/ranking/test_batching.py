"""All cells batched against one group at a time, in float32: what a group scores does not depend on its company."""

import sys

import pytest
from support.lists import drawn
from support.tiny import save_tiny

from layerrank.core.windows import LayerWindow
from layerrank.models.decoder import load_decoder
from layerrank.ranking.cells import Cell
from layerrank.ranking.engine import Engine

CELLS = [
    ("pointwise", {}, "generation", {}),
    ("pointwise", {}, "likelihood", {}),
    ("pointwise", {}, "likelihood", {"prompt": "qlm"}),
    ("pointwise", {}, "attention", {}),
    ("pairwise", {"k": 3}, "generation", {}),
    ("pairwise", {"k": 3}, "likelihood", {}),
    ("pairwise", {"k": 3}, "attention", {}),
    ("setwise", {"k": 3}, "generation", {}),
    ("setwise", {"k": 3}, "generation", {"prompt": "setwise_reasoning", "max_new_tokens": 20}),
    ("setwise", {"k": 3, "c": 3, "sort": "bubblesort"}, "likelihood", {}),
    ("setwise", {"k": 3}, "attention", {}),
    ("listwise", {"size": 5, "step": 2}, "generation", {}),
    ("listwise", {"size": "whole"}, "likelihood", {}),
    ("listwise", {"size": 11, "step": 5}, "likelihood", {"prompt": "first_token"}),
    ("listwise", {"size": "whole"}, "attention", {}),
]
NAMES = [f"{framework}-{mechanism}-{own.get('prompt', '')}".strip("-") for framework, _, mechanism, own in CELLS]


def rows(count=6, n=12):
    return drawn(count, n, range(30), fewer=True)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    return load_decoder(save_tiny(tmp_path_factory.mktemp("models") / "qwen3", "qwen3", "digits", bos=False), head=True)


def watch(mechanism, seen):
    """Keep the scores of every group, by query and passages."""
    score = mechanism.score

    def watched(works):
        answers = score(works)
        for work, answer in zip(works, answers, strict=True):
            seen[work.request.query.qid, tuple(passage.pid for passage in work.request.passages)] = answer
        return answers

    mechanism.score = watched


@pytest.mark.parametrize(("framework", "sort", "mechanism", "own"), CELLS, ids=NAMES)
def test_batched_is_one_by_one(decoder, framework, sort, mechanism, own):
    parts = {"family": "chatml", "windows": {f"q{number}": LayerWindow(0, 1 + number % 3) for number in range(6)}}
    cell = Cell(framework, mechanism, sort, own, **(parts if mechanism == "attention" else {}))
    found = []
    for limits in ({"batch_tokens": 4096}, {"batch_tokens": 1, "queries_at_once": 1}):
        seen = {}
        engine = Engine(cell.sorter, cell.build(decoder), **limits)
        watch(engine.mechanism, seen)
        engine.check(rows())
        results = {ranked.ranking.qid: ranked for ranked in engine.rank(rows())}
        found.append((results, seen, engine.batches))
    (batched, groups, batches), (alone, single, singles) = found
    assert singles == len(single)
    assert batches <= singles / 2
    assert {qid: ranked.order.indices for qid, ranked in batched.items()} == {
        qid: ranked.order.indices for qid, ranked in alone.items()
    }
    assert groups.keys() == single.keys()
    largest = max(
        abs(one - other)
        for group in groups
        for one, other in zip(groups[group].scores, single[group].scores, strict=True)
    )
    print(f"{cell.name}: largest difference {largest:.2g} over {len(groups)} groups", file=sys.stderr)
    assert largest < 1e-4
    for qid, ranked in batched.items():
        other = alone[qid].cost
        for name in ("groups", "memo_hits", "forward_passes", "prompt_tokens", "generated_tokens", "outcomes"):
            assert getattr(ranked.cost, name) == getattr(other, name)
        assert ranked.cost.seconds > 0
