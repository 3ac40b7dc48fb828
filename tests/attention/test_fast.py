"""What makes it fast: shapes, passes, layers and tokenisations are counted. No test times anything."""

import dataclasses
import weakref
from collections import Counter

import numpy as np
import pytest
import torch
from support.signals import random_signal
from support.stores import write_store
from support.tiny import LAYERS, save_tiny
from torch.utils._python_dispatch import TorchDispatchMode

from layerrank.attention.probe import Probe
from layerrank.attention.signal import Signal
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import LayerWindow
from layerrank.layers.sweep import sweep
from layerrank.models.decoder import load_decoder
from layerrank.prompts.icr import build_icr
from layerrank.ranking.cells import Cell
from layerrank.ranking.engine import PADDING, Engine
from layerrank.ranking.mechanism import Request

VOCABULARY = 480


class Shapes(TorchDispatchMode):
    """The shapes of all tensors that operators give back, fused kernels' insides excepted."""

    def __init__(self):
        super().__init__()
        self.shapes = Counter()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        output = function(*arguments, **(options or {}))
        for value in output if isinstance(output, (tuple, list)) else [output]:
            if isinstance(value, torch.Tensor):
                self.shapes[tuple(value.shape)] += 1
        return output

    def square(self, tokens):
        """Shapes as large as tokens × tokens, and those with two sides of so many tokens."""
        return [
            shape
            for shape in self.shapes
            if int(np.prod(shape)) >= tokens * tokens or sum(side >= tokens for side in shape) > 1
        ]

    def over(self, vocabulary):
        """Rows of logits over the vocabulary."""
        return sum(int(np.prod(shape[:-1])) for shape in self.shapes if len(shape) > 1 and shape[-1] == vocabulary)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama", "digits", bos=False)


@pytest.fixture(scope="module")
def decoder(folder):
    return load_decoder(folder, head=True)


def row(passages=30, words=12, qid="q"):
    texts = [f"air flows over wing {number} " + "bread rises slowly " * (words // 3) for number in range(passages)]
    return Candidates(
        Query(qid, f"what makes lift {qid}"),
        tuple(Passage(f"d{number}", text) for number, text in enumerate(texts)),
        tuple(float(-number) for number in range(passages)),
    )


def prompt_of(decoder, candidates):
    return build_icr(decoder.tokenizer, "chatml", candidates.query, candidates.passages)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_reading_holds_no_square_of_tokens_and_no_logits(tmp_path, architecture, dtype):
    decoder = load_decoder(save_tiny(tmp_path / "tiny", architecture, "digits", bos=False), head=True, dtype=dtype)
    probe = Probe(decoder)
    prompt = prompt_of(decoder, row(40))
    tokens = len(prompt.tree.prefix)
    assert tokens > 1000
    with Shapes() as seen:
        probe.read([prompt])
    assert not seen.square(tokens)
    assert seen.over(VOCABULARY) == 0
    eager = Shapes()
    ids = torch.tensor([list(prompt.tree.prefix)])
    decoder.causal.set_attn_implementation("eager")
    with eager, torch.inference_mode():
        decoder.causal(input_ids=ids, use_cache=False)
    assert eager.square(tokens) and eager.over(VOCABULARY) >= tokens  # what the hook would have caught


def test_one_pass_serves_both_queries_and_every_prompt_of_a_batch(decoder):
    probe = Probe(decoder)
    passes = []
    hook = decoder.model.register_forward_pre_hook(lambda *_: passes.append(1))
    probe.read([prompt_of(decoder, row(3))])
    assert len(passes) == 1
    probe.read([prompt_of(decoder, row(number)) for number in (1, 4, 2)])
    assert len(passes) == 2
    hook.remove()


def test_every_token_of_the_prefix_is_computed_once(decoder):
    probe = Probe(decoder)
    prompt = prompt_of(decoder, row(5))
    seen = []
    hook = decoder.model.get_input_embeddings().register_forward_hook(lambda _, ids, __: seen.append(ids[0].shape))
    probe.read([prompt])
    hook.remove()
    assert [tuple(shape) for shape in seen] == [(1, len(prompt.tree.prefix) + sum(map(len, prompt.tree.branches)))]


@pytest.mark.parametrize("end", range(LAYERS))
def test_layers_above_the_window_are_neither_loaded_nor_run(folder, end):
    decoder = load_decoder(folder, layers=end + 1)
    names = [name for name, _ in decoder.model.named_parameters()]
    held = {int(name.split(".")[1]) for name in names if name.startswith("layers.")}
    assert held == set(range(end + 1)) and not any("lm_head" in name for name in names)
    assert decoder.head is None and decoder.loaded_layers == end + 1


@pytest.mark.parametrize("end", range(LAYERS))
def test_the_pass_stops_inside_the_windows_last_layer(decoder, end):
    probe = Probe(decoder)
    ran = Counter()
    hooks = []
    for index, layer in enumerate(decoder.model.layers):
        hooks.append(layer.register_forward_pre_hook(lambda *_, index=index: ran.update([("layer", index)])))
        hooks.append(layer.mlp.register_forward_pre_hook(lambda *_, index=index: ran.update([("mlp", index)])))
        output = layer.self_attn.o_proj
        hooks.append(output.register_forward_pre_hook(lambda *_, index=index: ran.update([("output", index)])))
    hooks.append(decoder.model.norm.register_forward_pre_hook(lambda *_: ran.update(["norm"])))
    probe.read([prompt_of(decoder, row(3))], last_layer=end)
    for hook in hooks:
        hook.remove()
    below = {(part, index): 1 for part in ("layer", "mlp", "output") for index in range(end)}
    assert ran == {**below, ("layer", end): 1}


class Counted:
    """A tokenizer that counts the texts that it is given."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.texts = []

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __call__(self, text, *arguments, **options):
        self.texts += [text] if isinstance(text, str) else list(text)
        return self.tokenizer(text, *arguments, **options)


def test_a_prompt_is_tokenised_once_a_branch_however_many_passages_it_has(decoder):
    counts = []
    for passages in (1, 30):
        tokenizer = Counted(decoder.tokenizer)
        candidates = row(passages)
        prompt = build_icr(tokenizer, "chatml", candidates.query, candidates.passages)
        text = sum(len(text) for text in tokenizer.texts)
        counts.append(len(tokenizer.texts))
        assert text <= 2 * sum(len(passage.content) + 60 for passage in candidates.passages) + 2 * 400
        assert len(prompt.spans) == passages
    assert counts[0] == counts[1] <= 4


@pytest.mark.parametrize("mechanism", ["attention", "likelihood", "generation"])
def test_setwise_heapsort_runs_many_queries_in_few_batches_within_the_budget(decoder, mechanism):
    attention = {"windows": LayerWindow(0, 2), "family": "chatml"} if mechanism == "attention" else {}
    cell = Cell("setwise", mechanism, {"k": 3}, {}, **attention)
    candidates = [row(9, words=3 + 3 * number, qid=str(number)) for number in range(8)]
    found = {}
    for name, budget, queries in (("batched", 4000, 8), ("one by one", 1, 1)):
        built = Watched(cell.build(decoder))
        engine = Engine(cell.sorter, built, batch_tokens=budget, queries_at_once=queries)
        rankings = {ranked.ranking.qid: ranked for ranked in engine.rank(candidates)}
        found[name] = (built, engine, rankings)
        groups = sum(ranked.cost.groups - ranked.cost.memo_hits for ranked in rankings.values())
        assert built.prepared == groups == sum(map(len, built.batches))  # each group is made ready, and scored, once
        for batch in built.batches:
            tokens = [work.tokens for work in batch]
            assert len(batch) == 1 or (max(tokens) * len(tokens) if built.padded else sum(tokens)) <= budget
            assert len({work.batch for work in batch}) == 1
            assert not built.padded or sum(tokens) >= (1 - PADDING) * max(tokens) * len(tokens)
    fewer = 2 if mechanism == "generation" else 3  # a padded batch is of one length: these queries have eight
    assert found["one by one"][1].batches >= fewer * found["batched"][1].batches
    for qid, ranked in found["batched"][2].items():
        assert ranked.ranking.pids == found["one by one"][2][qid].ranking.pids


class Watched:
    """A mechanism that counts what it makes ready and keeps its batches."""

    def __init__(self, mechanism):
        self.mechanism = mechanism
        self.prepared = 0
        self.batches = []

    def __getattr__(self, name):
        return getattr(self.mechanism, name)

    def prepare(self, request):
        self.prepared += 1
        return self.mechanism.prepare(request)

    def score(self, works):
        self.batches.append(list(works))
        return self.mechanism.score(works)


def test_likelihood_has_the_head_see_only_what_predicts_a_label(decoder):
    cell = Cell("setwise", "likelihood", {"k": 1})
    built = cell.build(decoder)
    prompt_tokens = 0
    works = []
    for number in range(4):
        candidates = row(3, qid=str(number))
        works.append(built.prepare(Request(candidates.query, candidates.passages)))
        prompt_tokens += works[-1].tokens
    states = []
    head = decoder.head
    built.decoder = dataclasses.replace(decoder, head=lambda hidden: states.append(len(hidden)) or head(hidden))
    built.score(works)
    assert 0 < sum(states) <= 4 * 3 * 2 < prompt_tokens


def test_the_sweep_holds_one_signal_at_a_time(tmp_path, monkeypatch):
    signals = [random_signal(f"q{number}", seed=number) for number in range(12)]
    path = write_store(tmp_path / "store.arrow", signals)
    alive: set[int] = set()
    most = []
    plain = Signal.__post_init__

    def counted(self):
        plain(self)
        alive.add(id(self))
        weakref.finalize(self, alive.discard, id(self))
        most.append(len(alive))

    monkeypatch.setattr(Signal, "__post_init__", counted)
    qrels = {signal.qid: {signal.pids[0]: 1} for signal in signals}
    swept = sweep([path], qrels, "nDCG@10", "masked_NA_calibration")
    assert len(swept.qids) == 12 and max(most) <= 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_writing_answers_never_copies_the_heads_weights(folder, dtype):
    decoder = load_decoder(folder, head=True, dtype=dtype)

    def products(work):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen, torch.inference_mode():
            work()
        return {event.key for event in seen.key_averages()} & {"aten::mm", "aten::bmm"}

    with torch.inference_mode():
        last = decoder.model(input_ids=torch.arange(40).view(5, 8) + 5, use_cache=False).last_hidden_state[:, -1:]
    weights = decoder.causal.get_output_embeddings().weight
    assert products(lambda: decoder.head(last)) == {"aten::mm"}
    assert products(lambda: torch.nn.functional.linear(last, weights)) == {"aten::bmm"}  # a copy for every sequence
