"""Groups that begin with the same tokens, in batches: the results of each by itself, for a trie's number of tokens."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.killed import killed_after
from support.lists import drawn
from support.oracle import Oracle, candidates
from support.tiny import save_tiny

from layerrank.attention.pack import pack
from layerrank.core import files
from layerrank.core.windows import LayerWindow
from layerrank.models.decoder import load_decoder
from layerrank.prompts.tree import Tree
from layerrank.ranking.cells import Cell
from layerrank.ranking.engine import Engine
from layerrank.ranking.frameworks import make_sorter
from layerrank.ranking.mechanism import Answer, Work
from layerrank.ranking.run import rerank

CELLS = [
    ("pointwise", {}, "likelihood", {}),
    ("pointwise", {}, "likelihood", {"prompt": "qlm"}),
    ("pointwise", {}, "attention", {}),
    ("pairwise", {"sort": "allpair"}, "likelihood", {}),
    ("pairwise", {"sort": "allpair"}, "attention", {}),
    ("pairwise", {"k": 3}, "likelihood", {}),
    ("pairwise", {"k": 3, "sort": "bubblesort"}, "attention", {}),
    ("setwise", {"k": 3}, "likelihood", {}),
    ("setwise", {"k": 3, "c": 3, "sort": "bubblesort"}, "attention", {}),
    ("setwise", {"k": 3}, "attention", {"strategy": "NA_calibration"}),
    ("listwise", {"size": 4, "step": 2}, "likelihood", {"prompt": "first_token"}),
    ("listwise", {"size": 4, "step": 2}, "attention", {}),
    ("listwise", {"size": "whole"}, "likelihood", {}),
]
NAMES = ["-".join(map(str, (kind, own.get("sort", ""), how, *more.values()))) for kind, own, how, more in CELLS]
FEW = ("first_token",)
"""Prompts so long that a batch here holds three of them: what a fourth begins with is computed again."""
LAYERS_READ = 3
FLOAT32 = 1e-5
BFLOAT16 = 0.05
"""Largest difference of scores, against the largest score: some six roundings of eight bits."""


def rows(count=4, n=7):
    return drawn(count, n, range(8, 25), query=3, seed=11)


def cell_of(kind, own, how, more):
    attention = {"family": "chatml", "windows": LayerWindow(1, LAYERS_READ - 1)} if how == "attention" else {}
    return Cell(kind, how, own, more, **attention)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", "qwen3", "digits", bos=False)


@pytest.fixture(scope="module")
def decoders(folder):
    return {dtype: load_decoder(folder, head=True, dtype=dtype) for dtype in ("float32", "bfloat16")}


@pytest.fixture(scope="module")
def exact(folder):
    """The model in float32 with weights of bfloat16: what differs from it is the rounding on the way."""
    decoder = load_decoder(folder, head=True)
    with torch.no_grad():
        for weight in decoder.causal.parameters():
            weight.copy_(weight.bfloat16())
    return decoder


def trie(trees):
    """The fewest tokens of some prompts: beginnings that differ, counted one by one, and all branches."""
    beginnings = {tuple(tree.prefix[: end + 1]) for tree in trees for end in range(len(tree.prefix))}
    return len(beginnings) + sum(len(branch) for tree in trees for branch in tree.branches)


class Watched:
    """A mechanism whose rounds (what is made ready before the next score) and scores are kept."""

    def __init__(self, mechanism):
        self.mechanism = mechanism
        self.rounds = []
        self.found = {}
        self.batches = []
        self._scored = True

    def __getattr__(self, name):
        return getattr(self.mechanism, name)

    def prepare(self, request):
        if self._scored:
            self.rounds.append([])
            self._scored = False
        self.rounds[-1].append(self.mechanism.prepare(request))
        return self.rounds[-1][-1]

    def score(self, works):
        self._scored = True
        self.batches.append(works)
        answers = self.mechanism.score(works)
        for work, answer in zip(works, answers, strict=True):
            self.found[group_of(work)] = answer.scores
        return answers


def group_of(work):
    """The query and the passages of a comparison, by name."""
    return work.request.query.qid, tuple(each.pid for each in work.request.passages)


def ranked(decoder, cell, share, **limits):
    """Rankings, the watched mechanism, and the tokens that the model was given."""
    given_tokens = []
    hook = decoder.model.get_input_embeddings().register_forward_hook(
        lambda _, ids, __: given_tokens.append(ids[0].numel())
    )
    watched = Watched(cell.build(decoder, share=share))
    given_tokens.clear()
    found = {one.ranking.qid: one for one in Engine(cell.sorter, watched, **limits).rank(rows())}
    hook.remove()
    return found, watched, sum(given_tokens)


@pytest.mark.parametrize("case", CELLS, ids=NAMES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_shared_is_each_by_itself(decoders, dtype, case):
    decoder, cell = decoders[dtype], cell_of(*case)
    plain, alone, written = ranked(decoder, cell, share=False)
    shared, together, computed = ranked(decoder, cell, share=True, batch_tokens=1500)
    if dtype == "float32":
        assert {qid: one.order.indices for qid, one in shared.items()} == {
            qid: one.order.indices for qid, one in plain.items()
        }
        assert together.found.keys() == alone.found.keys()
        assert written == sum(work.tokens for each in together.rounds for work in each)
        allowed = sum(trie([work.prompt.tree for work in each]) for each in together.rounds)
        assert allowed <= computed <= allowed / 0.9
        if case[3].get("prompt") not in FEW:
            assert written - computed >= 0.9 * (written - allowed)
    largest = max(abs(score) for scores in alone.found.values() for score in scores)
    bound = FLOAT32 if dtype == "float32" else BFLOAT16
    for group in together.found.keys() & alone.found.keys():
        for one, other in zip(together.found[group], alone.found[group], strict=True):
            assert math.isclose(one, other, rel_tol=0, abs_tol=bound * max(1.0, largest))
    # Written counts do not know of sharing; computed ones add up to what the model was given.
    layers = LAYERS_READ if cell.mechanism == "attention" else decoder.layers
    costs = [one.cost for one in shared.values()]
    assert sum(cost.computed_tokens for cost in costs) == computed
    assert sum(cost.computed_layer_tokens for cost in costs) == computed * layers
    assert all(cost.layer_tokens == cost.prompt_tokens * layers for cost in costs)
    for qid, one in plain.items():
        assert one.cost.computed_tokens == one.cost.prompt_tokens
        if dtype == "float32":
            assert (one.cost.prompt_tokens, one.cost.groups) == (
                shared[qid].cost.prompt_tokens,
                shared[qid].cost.groups,
            )


@pytest.mark.parametrize("share", [False, True], ids=["batched", "shared"])
@pytest.mark.parametrize("case", CELLS, ids=NAMES)
def test_in_bfloat16_a_batch_is_as_near_to_float32_as_each_by_itself(decoders, exact, case, share):
    """Scores differ by no more than rounding, and orders only where float32 has two passages that near.

    A product of bfloat16 may round a row in another way when more rows stand beside it: that is the library's.
    """
    cell = cell_of(*case)
    plain, alone, _ = ranked(decoders["bfloat16"], cell, share=False, batch_tokens=1, queries_at_once=1)
    found, together, _ = ranked(decoders["bfloat16"], cell, share=share, batch_tokens=1500)
    assert max(map(len, together.batches)) > 1 == max(map(len, alone.batches))
    mechanism, expected = cell.build(exact, share=False), {}
    for work in (work for watched in (alone, together) for batch in watched.batches for work in batch):
        if group_of(work) not in expected:
            [answer] = mechanism.score([mechanism.prepare(work.request)])
            expected[group_of(work)] = np.array(answer.scores)

    def errors(watched):
        return np.concatenate([np.array(scores) - expected[group] for group, scores in watched.found.items()])

    tolerance = float(np.abs(errors(alone)).max())
    assert 0 < tolerance < 0.5 * max(float(np.abs(scores).max()) for scores in expected.values())
    assert np.sqrt((errors(together) ** 2).mean()) < 1.2 * np.sqrt((errors(alone) ** 2).mean())
    turned = set()
    for group in together.found.keys() & alone.found.keys():
        one, other = np.array(together.found[group]), np.array(alone.found[group])
        assert np.abs(one - other).max() <= tolerance
        for left, right in itertools.combinations(range(len(one)), 2):
            if np.sign(one[left] - one[right]) != np.sign(other[left] - other[right]):
                assert abs(expected[group][left] - expected[group][right]) <= 2 * tolerance
                turned.add(group[0])
    same = {qid for qid, one in found.items() if one.order.indices == plain[qid].order.indices}
    assert found.keys() - same <= turned  # where no two passages have turned, nothing has
    assert len(same) > len(found) / 2


def test_all_pairs_take_about_half(decoders):
    cell = cell_of("pairwise", {"sort": "allpair"}, "likelihood", {})
    _, _, computed = ranked(decoders["float32"], cell, share=True)
    _, _, written = ranked(decoders["float32"], cell, share=False)
    assert computed < 0.55 * written


def test_a_killed_run_goes_on_from_the_middle_of_shared_work(tmp_path, folder):
    cell = cell_of("pairwise", {"k": 3}, "likelihood", {})

    def run(name):
        output, costs = tmp_path / name / "run.txt", tmp_path / name / "run.costs.jsonl"
        output.parent.mkdir(exist_ok=True)
        rerank(rows(), cell, folder, output=output, costs=costs, tag="cell", batch_tokens=1500)
        return output.read_bytes(), files.read_costs(costs)

    expected, whole = run("whole")
    with killed_after(2):
        run("resumed")
    again, costs = run("resumed")
    assert again == expected
    for one, other in zip(costs, whole, strict=True):
        assert (one.qid, one.groups, one.prompt_tokens, one.layer_tokens) == (
            *(other.qid, other.groups, other.prompt_tokens, other.layer_tokens),
        )
        assert 0 < one.computed_tokens < one.prompt_tokens


class Beginning(Oracle):
    """An oracle that reads passages token by token and computes common beginnings once, within a memory of tokens."""

    def prepare(self, request):
        self.requests.append(request)
        ids = [hash(word) for each in request.passages for word in each.text.split()]
        return Work(request, len(ids), len(ids), Tree(ids), None, ids)

    def score(self, works):
        packed = pack([work.prompt for work in works])
        if self.memory is not None and len(packed.ids) > self.memory:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes.")
        self.batches.append([len(packed.ids)])
        return [
            Answer(
                tuple(float(each.text.split()[0]) for each in work.request.passages),
                work.tokens,
                computed_tokens=tokens,
            )
            for work, tokens in zip(works, packed.computed, strict=True)
        ]


def listed(draws, words):
    """Queries whose passages have so many words each."""
    return [candidates(f"q{number}", grades, words=words) for number, grades in enumerate(draws)]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=7, unique=True), min_size=1, max_size=4),
    st.integers(1, 30),
    st.sampled_from([30, 100, 400]),
    st.sampled_from([("pairwise", {"sort": "allpair"}), ("setwise", {"k": 2}), ("pairwise", {"k": 2})]),
)
def test_batches_hold_what_they_compute(draws, words, budget, sort):
    sorter, oracle, plain = make_sorter(*sort), Beginning(), Oracle()
    found = {one.ranking.qid: one for one in Engine(sorter, oracle, batch_tokens=budget).rank(listed(draws, words))}
    expected = {one.ranking.qid: one for one in Engine(sorter, plain).rank(listed(draws, words))}
    assert {qid: one.order for qid, one in found.items()} == {qid: one.order for qid, one in expected.items()}
    longest = max((len(request.passages) for request in oracle.requests), default=0) * (words + 1)
    assert all(tokens <= max(budget, longest) for (tokens,) in oracle.batches)
    assert sum(one.cost.computed_tokens for one in found.values()) == sum(tokens for (tokens,) in oracle.batches)
    for qid, one in expected.items():
        assert found[qid].cost.prompt_tokens == one.cost.prompt_tokens


def test_out_of_memory_halves_shared_batches():
    sorter = make_sorter("pairwise", {"sort": "allpair"})
    oracle, draws = Beginning(memory=150), [[3, 1, 2, 5, 4], [9, 8, 7, 6]]
    engine = Engine(sorter, oracle, batch_tokens=1000)
    found = {one.ranking.qid: one for one in engine.rank(listed(draws, 20))}
    expected = {one.ranking.qid: one for one in Engine(sorter, Oracle()).rank(listed(draws, 20))}
    assert {qid: one.order for qid, one in found.items()} == {qid: one.order for qid, one in expected.items()}
    assert oracle.released > 0 and engine.batch_tokens < 1000
    assert max(tokens for (tokens,) in oracle.batches) <= 150
    assert sum(one.cost.computed_tokens for one in found.values()) == sum(tokens for (tokens,) in oracle.batches)
