"""Memory by formula: hand-worked numbers, and what torch has allocated at the fullest moment of a pass."""

import json

import pytest
import torch
from support.tiny import save_tiny

from layerrank.attention.probe import Probe
from layerrank.core.records import Passage, Query
from layerrank.latency import flops, memory
from layerrank.models.decoder import load_decoder
from layerrank.prompts.icr import build_icr
from layerrank.prompts.tree import Tree
from layerrank.ranking.cells import Cell
from layerrank.ranking.mechanism import Request

SIZES = flops.Sizes(
    hidden=6, heads=4, kv_heads=2, head=2, inner=10, weights=(100, 200), windows=(None, None), vocabulary=50
)
PASSAGES = 8


def test_weights_by_hand():
    assert memory.weights(SIZES, 4) == 4 * (300 + 300)
    assert memory.weights(SIZES, 2, tables=2) == 2 * (300 + 600)


def test_a_pass_by_hand():
    tree = Tree(range(100))
    mlp, attention, norm = 4 * (24 + 40 + 4), 4 * (18 + 48 + 16 + 4), 6 * (12 + 12)
    fused = 4 * (256 * 512 + 256 * 4)
    assert attention > mlp > norm
    assert memory.forward(SIZES, [tree], 4, threads=2) == 100 * attention + 2 * fused
    wide = flops.Sizes(**{**vars(SIZES), "inner": 10_000})
    assert memory.forward(wide, [tree, tree], 4) == 200 * 4 * (24 + 40_000 + 4)
    thick = flops.Sizes(**{**vars(SIZES), "hidden": 600, "inner": 1})
    assert memory.forward(thick, [Tree(range(1000))], 2) == 1000 * 600 * (6 + 12)


def test_branch_rows_hold_their_logits_one_tree_at_a_time():
    tree = Tree(range(5000), (range(30), range(20)))
    other = Tree(range(100), (range(1),))
    logits, sums = 2 * 4 * 4 * 50 * 5050, 3 * 4 * 4 * 4 * 5000
    attention = (tree.tokens + other.tokens) * 4 * (18 + 48 + 16 + 4)
    assert memory.forward(SIZES, [tree, other], 4) == attention + logits + sums
    read = memory.reading(SIZES, [tree, other], 4, passages=7, last_layer=0)
    assert read == attention + logits + sums + 4 * (5100 + 4 * 4 * 7)
    assert memory.reading(SIZES, [tree, other], 4, passages=7) - read == 4 * (5100 + 4 * 4 * 7)


def test_a_window_or_half_precision_takes_blocks_of_rows():
    tree = Tree(range(1000))
    windowed = flops.Sizes(**{**vars(SIZES), "windows": (None, 300)})
    states = 1000 * 4 * (18 + 48 + 16 + 4)
    fused, blocks = 4 * (256 * 512 + 256 * 4), 2 * 4 * 4 * 128 * (300 + 128)
    assert blocks > fused
    assert memory.forward(windowed, [tree], 4) == states + blocks
    halved = 2 * 2 * 2 * 128 * (1000 + 128)
    assert memory.forward(SIZES, [tree], 2) == states // 2 + halved


def test_a_likelihood_holds_no_more_than_256_rows_of_logits():
    loud = flops.Sizes(**{**vars(SIZES), "vocabulary": 100_000})
    tree = Tree(range(10), tuple(range(2) for _ in range(200)))
    states = 4 * 6 * (410 + 2 * 600)
    assert memory.likelihood(loud, [tree], 4) == states + 2 * 4 * 256 * 100_000
    assert memory.likelihood(SIZES, [tree], 4) == memory.forward(SIZES, [tree], 4)


def test_writing_by_hand():
    states, fused = 4 * (18 + 48 + 16 + 4), 4 * (256 * 512 + 256 * 4)
    single = 2 * 4 * 4 * (100 + 10) * 3 + 100 * states + fused + 50 * 8
    assert memory.writing(SIZES, [100], 10, 4) == single
    both = 2 * (single - fused) + fused
    assert memory.writing(SIZES, [100, 100], 10, 4, together=False) == both
    assert memory.writing(SIZES, [100, 60], 10, 4, together=False) == both + 200 * 100 * (1 + 4)
    kept = 2 * 4 * 4 * 160 * 2
    assert memory.writing(SIZES, [100, 60], 10, 4) == kept + 160 * states + fused
    long = kept + 2 * 4 * 4 * 2 * (100 + 9000) * 3 + 2 * 50 * 8
    assert memory.writing(SIZES, [100, 60], 9000, 4) == long


def _allocated(work, path):
    """The most bytes that torch's allocator had given out above those at the start, by its profiler."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    profiled.export_chrome_trace(str(path))
    events = [event for event in json.loads(path.read_text())["traceEvents"] if event.get("name") == "[memory]"]
    events.sort(key=lambda event: event["ts"])
    first = events[0]["args"]["Total Allocated"] - events[0]["args"]["Bytes"]
    return max(event["args"]["Total Allocated"] for event in events) - first


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "phi3"])
def test_it_bounds_what_torch_allocates_within_a_factor_of_two(tmp_path, one_thread, architecture, dtype):
    decoder = load_decoder(save_tiny(tmp_path / "tiny", architecture, "digits"), head=True, dtype=dtype)
    sizes, width = flops.sizes_of(decoder.model, decoder.config), {"float32": 4, "bfloat16": 2}[dtype]
    texts = [tuple(Passage(f"d{number}", "wing flow " * (20 + number)) for number in range(PASSAGES))] * 2
    texts[1] = texts[1][::-1][: PASSAGES - 1]
    queries = [Query(f"q{number}", "what lifts a wing") for number in range(2)]
    probe = Probe(decoder)
    prompts = [build_icr(decoder.tokenizer, "chatml", *both) for both in zip(queries, texts, strict=True)]
    trees = [prompt.tree for prompt in prompts]
    found = {
        "reading": (
            _allocated(lambda: probe.read(prompts), tmp_path / "trace"),
            memory.reading(sizes, trees, width, passages=2 * PASSAGES - 1),
        )
    }
    for case in ("likelihood", "generation", "generation, padded"):
        mechanism, share = case.split(",")[0], "padded" not in case
        cell = Cell("setwise", mechanism, {"sort": "heapsort", "c": PASSAGES - 1, "k": 2}).build(decoder, share=share)
        works = [cell.prepare(Request(*both)) for both in zip(queries, texts, strict=True)]
        if mechanism == "likelihood":
            formula = memory.likelihood(sizes, [work.prompt.tree for work in works], width)
        else:
            lengths, new = [len(work.prompt) for work in works], cell.new_tokens(PASSAGES)
            formula = memory.writing(sizes, lengths, new, width, together=share)
        found[case] = _allocated(lambda cell=cell, works=works: cell.score(works), tmp_path / "trace"), formula
    for case, (allocated, formula) in found.items():
        assert 1 <= formula / allocated <= 2, f"{case}: {allocated} bytes allocated, {formula} by formula"


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "phi3"])
def test_weights_are_those_of_the_model(tmp_path, architecture):
    decoder = load_decoder(save_tiny(tmp_path / "tiny", architecture, "digits"), head=True)
    tables = 1 if decoder.config.tie_word_embeddings else 2
    formula = memory.weights(flops.sizes_of(decoder.model, decoder.config), 4, tables=tables)
    assert formula == pytest.approx(sum(one.nbytes for one in decoder.causal.parameters()), rel=0.01)
