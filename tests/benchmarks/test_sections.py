"""The benchmarks compare like with like: the published algorithm, plain and eager, gives layerrank's scores."""

import sys
from pathlib import Path

import numpy as np
import pytest
from support.tiny import save_tiny

from layerrank.attention.probe import Probe
from layerrank.attention.scores import passage_scores
from layerrank.core.windows import LayerWindow
from layerrank.models.decoder import load_decoder
from layerrank.prompts.icr import build_icr

sys.path.append(str(Path(__file__).parents[2]))
baseline = pytest.importorskip("benchmarks.baseline", reason="run from a checkout")
rows = pytest.importorskip("benchmarks.rows")
texts = pytest.importorskip("benchmarks.texts")


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
@pytest.mark.parametrize("family", ["qwen", "llama3"])
def test_the_published_algorithm_gives_the_same_scores(tmp_path, architecture, family):
    decoder = load_decoder(save_tiny(tmp_path / "tiny", architecture, "digits"), head=True)
    [candidates] = texts.made_up(1, 6, 20)
    prompt = build_icr(decoder.tokenizer, family, candidates.query, candidates.passages)
    [signal] = Probe(decoder).read([prompt])
    for window in (LayerWindow(0, 3), LayerWindow(1, 2)):
        own = passage_scores(signal, window)
        for way in (baseline.cached, baseline.eager):
            np.testing.assert_allclose(way(decoder, prompt, window), own, rtol=1e-3, atol=1e-5)


def test_made_up_prompts_have_the_length_asked_for(tmp_path):
    tokenizer = load_decoder(save_tiny(tmp_path / "tiny", "llama", "digits")).tokenizer
    for tokens in (1000, 2500):
        prompt = texts.prompt_of(tokenizer, "qwen", tokens)
        assert abs(prompt.tree.tokens - tokens) <= 0.1 * tokens


def test_results_come_back_from_their_file(tmp_path):
    written = [
        rows.row_of("extraction", "float32, 10 tokens", "layerrank", "s", [2.0, 1.0, 4.0], "≤ 2.5", "a note"),
        rows.Row("store", "a query", "bytes", "MB", 3.5, target="≥ 4"),
    ]
    rows.write_rows(tmp_path / "performance.tsv", written)
    assert rows.read_rows(tmp_path / "performance.tsv") == written
    assert [row.met for row in written] == [True, False]
    assert (written[0].value, written[0].low, written[0].high, written[0].rounds) == (2.0, 1.0, 4.0, 3)
