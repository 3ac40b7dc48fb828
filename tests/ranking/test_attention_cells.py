"""Attention cells against the stored signal where both must agree, and against their definitions elsewhere."""

import numpy as np
import pytest
from support.reference import eager_pass
from support.stores import write_store
from support.tiny import LAYERS, save_tiny

from layerrank.attention.probe import Probe
from layerrank.attention.scores import STRATEGIES, passage_scores, rank
from layerrank.core.errors import UserError
from layerrank.core.heads import ChosenHeads, HeadSelection, write_head_selection
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import LayerWindow
from layerrank.models.decoder import load_decoder
from layerrank.prompts.icr import build_icr
from layerrank.ranking.attention import Attention
from layerrank.ranking.cached import rerank_cached
from layerrank.ranking.cells import Cell, make_cell
from layerrank.ranking.engine import Engine
from layerrank.ranking.mechanism import Request

WORDS = ["wings and lift", "bread " * 9, "", "Layers of air", "yeast turns sugar into bread", "wing", "of the"]
CANDIDATES = [
    Candidates(
        Query(f"q{number}", text),
        tuple(
            Passage(f"{number}-{place}", word * (1 + number), "A title" * (place % 2))
            for place, word in enumerate(WORDS)
        ),
        tuple(range(7, 0, -1)),
    )
    for number, text in enumerate(["what is lift", "bread", "air flows over a wing; why?"])
]
WINDOWS = {"q0": LayerWindow(0, 1), "q1": LayerWindow(1, 2), "q2": LayerWindow(1, 1)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "llama", "llama", "gpt2")


@pytest.fixture(scope="module")
def whole(folder):
    return load_decoder(folder)


def signal_of(decoder, row):
    return Probe(decoder).read([build_icr(decoder.tokenizer, "chatml", row.query, row.passages)])[0]


def run(cell, decoder, rows=CANDIDATES, **limits):
    engine = Engine(cell.sorter, cell.build(decoder), **limits)
    return {ranked.ranking.qid: ranked for ranked in engine.rank(rows)}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("windows", [LayerWindow(0, LAYERS - 1), LayerWindow(1, 2), WINDOWS])
def test_a_whole_list_is_the_stored_signals_prompt(folder, whole, strategy, windows):
    cell = Cell("listwise", "attention", {"size": "whole"}, {"strategy": strategy}, family="chatml", windows=windows)
    results = run(cell, load_decoder(folder, layers=cell.layers))
    for row in CANDIDATES:
        qid = row.query.qid
        window = windows if isinstance(windows, LayerWindow) else windows[qid]
        signal = signal_of(whole, row)
        expected = passage_scores(signal, window, strategy)
        order = rank(signal, expected)
        assert list(results[qid].order.indices) == order.tolist()
        assert results[qid].ranking.scores == pytest.approx(expected[order].tolist(), abs=2e-6)
        assert results[qid].cost.forward_passes == results[qid].cost.groups == 1


def test_heads_may_be_chosen(whole):
    settings = {"strategy": "query_last", "heads": [[0, 1], [2, 3]]}
    cell = Cell("listwise", "attention", {}, settings, family="chatml", windows=LayerWindow(0, LAYERS - 1))
    ranked = run(cell, whole)["q0"]
    signal = signal_of(whole, CANDIDATES[0])
    expected = passage_scores(signal, LayerWindow(0, LAYERS - 1), "query_last", [(0, 1), (2, 3)])
    assert sorted(ranked.ranking.scores) == pytest.approx(sorted(expected), abs=1e-6)


def test_the_mask_applies_to_what_chosen_heads_pay_together(folder, whole):
    """Sum over the heads per token, then mask and sum: by hand from two plain passes; no layer above is loaded."""
    chosen = [(0, 1), (2, 3), (2, 0)]
    settings = {"heads": [list(head) for head in chosen]}
    cell = Cell(
        "listwise", "attention", {"size": "whole"}, settings, family="chatml", windows=LayerWindow(0, LAYERS - 1)
    )
    assert cell.layers == 3
    results = run(cell, load_decoder(folder, layers=cell.layers))
    for row in CANDIDATES:
        prompt = build_icr(whole.tokenizer, "chatml", row.query, row.passages)
        means = []
        for branch, (begin, end) in zip(prompt.tree.branches, prompt.rows, strict=True):
            weights, _ = eager_pass(whole.model, [*prompt.tree.prefix, *branch])
            start = len(prompt.tree.prefix)
            means.append(weights[:, :, start + begin : start + end].mean(axis=2))
        expected = []
        for begin, end in prompt.spans:
            c = sum(means[0][layer, head, begin:end] - means[1][layer, head, begin:end] for layer, head in chosen)
            kept = c > c.mean() - 2 * c.std(ddof=1) if len(c) > 1 else np.ones(len(c), dtype=bool)
            expected.append(c[kept].sum())
        found = results[row.query.qid]
        assert list(found.order.indices) == sorted(range(len(expected)), key=lambda place: -expected[place])
        assert found.ranking.scores == pytest.approx(sorted(expected, reverse=True), abs=2e-6)


def test_every_head_is_the_window(folder, whole):
    every = [[layer, head] for layer in range(LAYERS) for head in range(whole.heads)]
    for windows in (LayerWindow(0, LAYERS - 1), LayerWindow(1, 2)):
        plain = Cell("listwise", "attention", {"size": "whole"}, family="chatml", windows=windows)
        heads = Cell("listwise", "attention", {"size": "whole"}, {"heads": every}, family="chatml", windows=windows)
        assert heads.layers == plain.layers
        one, other = run(plain, whole), run(heads, whole)
        for qid, ranked in one.items():
            assert other[qid].ranking.scores == pytest.approx(ranked.ranking.scores, abs=1e-6)
            assert other[qid].order.indices == ranked.order.indices


CHOSEN = {"q0": ((0, 1), (1, 3)), "q1": ((1, 0),), "q2": ((1, 3), (0, 1))}
SPANS = {"q0": LayerWindow(0, 1), "q1": LayerWindow(1, 1), "q2": LayerWindow(0, 1)}


@pytest.mark.parametrize("strategy", ["masked_NA_calibration", "NA_calibration"])
def test_each_query_is_read_by_its_own_heads_and_no_layer_above_them(folder, whole, strategy):
    """A batch of all queries gives what each gives alone, with its heads for those of the mechanism."""
    reading = {"strategy": strategy}
    cell = Cell("listwise", "attention", {"size": "whole"}, reading, family="chatml", windows=SPANS, heads=CHOSEN)
    assert cell.layers == 2 < LAYERS
    found = run(cell, load_decoder(folder, layers=cell.layers), batch_tokens=100_000)
    for row in CANDIDATES:
        own = CHOSEN[row.query.qid]
        alone = Cell(
            *("listwise", "attention", {"size": "whole"}, reading | {"heads": [list(head) for head in own]}),
            family="chatml",
            windows=LayerWindow(0, LAYERS - 1),
        )
        expected = run(alone, whole, [row])[row.query.qid]
        assert found[row.query.qid].ranking.pids == expected.ranking.pids
        assert found[row.query.qid].ranking.scores == pytest.approx(expected.ranking.scores, abs=2e-6)
        assert found[row.query.qid].cost.layer_tokens == expected.cost.layer_tokens
    assert found["q0"].cost.layer_tokens == 2 * found["q0"].cost.prompt_tokens


def test_heads_of_a_rule_from_the_store_are_those_of_the_pass(tmp_path, folder, whole):
    store = write_store(tmp_path / "base.arrow", [signal_of(whole, row) for row in CANDIDATES])
    sets = tuple(ChosenHeads(heads, (qid,), "folds") for qid, heads in CHOSEN.items())
    selection = tmp_path / "core.json"
    about = {"settings": {}, "chosen_by": "cross-validation", "upper_bound": False, "folds": 3, "seed": 1}
    known = {"collection": "c", "collections": ("c",), "sets": sets, "default": ((0, 0),)}
    write_head_selection(selection, HeadSelection("core", "core", layers=LAYERS, heads=whole.heads, **about, **known))
    rankings, costs = rerank_cached(CANDIDATES, [store], "heads-core", selection=selection, strategy="NA_calibration")
    reading = {"mechanism": "attention", "mechanism_settings": {"strategy": "NA_calibration"}}
    cell = make_cell(
        folder,
        list(CHOSEN),
        framework="listwise",
        framework_settings={"size": "whole"},
        window="heads-core",
        selection=selection,
        family="chatml",
        **reading,
    )
    assert (cell.heads, cell.windows) == (CHOSEN, SPANS)
    online = run(cell, load_decoder(folder, layers=cell.layers))
    for ranking, cost in zip(rankings, costs, strict=True):
        assert ranking.pids == online[ranking.qid].ranking.pids
        assert ranking.scores == pytest.approx(online[ranking.qid].ranking.scores, abs=2e-6)
        read = online[ranking.qid].cost
        assert cost.layer_tokens / cost.prompt_tokens == read.layer_tokens / read.prompt_tokens == 2
    with pytest.raises(UserError, match="cannot choose heads from a stored signal"):
        rerank_cached(CANDIDATES, [store], "heads-core", selection=selection)
    with pytest.raises(UserError, match="chosen by a rule, and given in the settings too"):
        rerank_cached(CANDIDATES, [store], "heads-core", selection=selection, strategy="NA_calibration", heads=[(0, 0)])
    with pytest.raises(UserError, match="chosen by a rule, and given in the settings too"):
        Cell("listwise", "attention", {}, {"heads": [[0, 0]]}, family="chatml", windows=SPANS, heads=CHOSEN)


def test_defect_5_layers_above_the_window_are_neither_loaded_nor_run(folder):
    cell = Cell("setwise", "attention", {"k": 2}, family="chatml", windows=WINDOWS)
    assert cell.layers == 3
    assert not cell.head
    decoder = load_decoder(folder, layers=cell.layers, head=cell.head)
    assert len(decoder.model.layers) == 3
    assert decoder.causal is None
    runs = []
    for number, layer in enumerate(decoder.model.layers):
        layer.register_forward_pre_hook(lambda *_, number=number: runs.append(number))
    mechanism = cell.build(decoder)
    runs.clear()
    work = mechanism.prepare(Request(CANDIDATES[2].query, CANDIDATES[2].passages))
    mechanism.score([work])
    assert runs == [0, 1]
    assert work.batch == (1, None)


def test_pairwise_wants_the_higher_score_from_both_places(whole):
    cell = Cell("pairwise", "attention", {"sort": "allpair"}, family="chatml", windows=LayerWindow(0, 2))
    ranked = run(cell, whole)["q2"]
    query, passages = CANDIDATES[2].query, CANDIDATES[2].passages
    points = [0.0] * len(passages)
    disagreements = 0
    for a in range(len(passages)):
        for b in range(a + 1, len(passages)):
            wins = []
            for pair in ((a, b), (b, a)):
                prompt = build_icr(whole.tokenizer, "chatml", query, [passages[place] for place in pair])
                scores = passage_scores(Probe(whole).read([prompt])[0], LayerWindow(0, 2))
                wins.append(pair[0] if scores[0] > scores[1] else pair[1])
            disagreements += wins[0] != wins[1]
            for winner in wins:
                points[winner] += 0.5
    assert disagreements
    order = sorted(range(len(passages)), key=lambda place: -points[place])
    assert list(ranked.order.indices) == order
    assert list(ranked.ranking.scores) == sorted(points, reverse=True)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_pointwise_is_one_passage_against_na(whole, strategy):
    cell = Cell("pointwise", "attention", {}, {"strategy": strategy}, family="chatml", windows=LayerWindow(1, 3))
    ranked = run(cell, whole)["q1"]
    expected = {}
    for passage in CANDIDATES[1].passages:
        prompt = build_icr(whole.tokenizer, "chatml", CANDIDATES[1].query, [passage])
        expected[passage.pid] = passage_scores(Probe(whole).read([prompt])[0], LayerWindow(1, 3), strategy)[0]
    assert dict(zip(ranked.ranking.pids, ranked.ranking.scores, strict=True)) == pytest.approx(expected, abs=2e-6)


def test_a_passage_asked_about_with_na_itself_scores_nothing(whole):
    mechanism = Attention(whole, LayerWindow(0, 3), family="chatml")
    (answer,) = mechanism.score([mechanism.prepare(Request(Query("q", "N/A"), (Passage("a", "wings and lift"),)))])
    assert answer.scores == pytest.approx((0.0,), abs=1e-6)


def test_setwise_takes_the_passage_with_the_highest_score(whole):
    cell = Cell("setwise", "attention", {"c": 6, "k": 1}, family="chatml", windows=LayerWindow(0, 3))
    for row in CANDIDATES:
        ranked = run(cell, whole)[row.query.qid]
        scores = passage_scores(signal_of(whole, row), LayerWindow(0, 3))
        assert ranked.order.indices[0] == scores.argmax()
        assert ranked.cost.groups == 1


def test_settings_are_checked(whole):
    with pytest.raises(UserError, match="strategy: 'mean': expected one of masked_NA_calibration"):
        Attention(whole, LayerWindow(0, 1), family="chatml", strategy="mean")
    with pytest.raises(UserError, match="needs a window and a prompt family"):
        Cell("setwise", "attention")
    with pytest.raises(UserError, match="unknown setting 'stratgy' of attention; it takes strategy"):
        Cell("setwise", "attention", {}, {"stratgy": 1}, family="chatml", windows=LayerWindow(0, 1))
