"""Main memory that jobs ask for: by formula where a model's shape is known, else as stated; more with each attempt."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from layerrank.latency import memory as formula
from layerrank.study import memory
from layerrank.study.load import load_study
from layerrank.study.paths import paths_of

BASE = Path(__file__).parents[2]
CATALOGUE = yaml.safe_load((BASE / "config/models.yaml").read_text(encoding="utf-8"))
SIZE = {
    **{"parameters": 0.01, "layers": 3, "width": 40, "context": 1000},
    **{"hidden": 30, "heads": 5, "kv_heads": 1, "inner": 70, "vocabulary": 1000, "tied": False},
}


def paths(size=SIZE, **entry):
    model = {"source": "folder", "path": "model", "family": "chatml", **({"size": size} if size else {}), **entry}
    collection = {"source": "beir", "path": "somewhere", "instruction": "IE"}
    config = {
        "collections": ["c"],
        "models": ["m"],
        "define": {"collections": {"c": collection}, "models": {"m": model}},
        "first_stage": {"depth": 4},
        "passages": {"words": 50},
        "variants": {"half": {"dtype": "bfloat16"}},
        "systems": {
            "frameworks": {"setwise": {"c": 1}},
            "mechanisms": {"likelihood": {}, "generation": {}, "attention": {}},
            "windows": ["all"],
            "batch_tokens": 700,
        },
    }
    return paths_of(load_study(config, BASE), BASE, Path("nowhere"))


def job(**names):
    return SimpleNamespace(collection="c", model="m", **names)


def asked(total):
    return math.ceil(1.25 * total / 1e6)


def large(**changes):
    """A model large enough for each term to show in MB: five heads of width 800 on one."""
    return SIZE | {"hidden": 3000, "width": 4000, "inner": 5000, "vocabulary": 100_000} | changes


PARAMETERS = 3 * (3000 * 4000 + 2 * 3000 * 800 + 4000 * 3000 + 3 * 3000 * 5000) + 2 * 100_000 * 3000


def test_reading_asks_for_process_weights_and_a_pass_over_the_longest_list():
    """Four passages of 50 words at 1.4 tokens and 10 beside them; 100 tokens each of the query and of N/A: float32."""
    prefix, rows = 320, 200
    tokens = prefix + rows
    mlp = tokens * 4 * (4 * 3000 + 4 * 5000 + 2 * 800)
    attention = tokens * 4 * (3 * 3000 + 6 * 4000 + 4 * 800 + 2 * 800)
    explicit = 2 * 4 * 5 * rows * (prefix + rows) + 3 * 4 * 4 * 5 * prefix
    kernel = 2 * (4 * 256 * 512 + 4 * 256 * (2 + 800))
    assert mlp < attention + explicit > attention + kernel
    kept = 4 * 3 * (prefix + 4 * 5 * 4)
    first = asked(800e6 + 4 * PARAMETERS + attention + explicit + kept)
    own = paths(large())
    assert own.attention.memory(job(variant="base"), threads=2, attempt=1) == first
    assert own.attention.memory(job(), threads=2, attempt=3) == 3 * first


def _called(calls, name, *given, **named):
    calls[name] = given, named
    return 0


def test_each_mechanism_asks_for_its_own(monkeypatch):
    """Groups of two passages: 100 tokens and 80 each, 260; with answers of 3 tokens, two prompts fit a batch of 700."""
    calls = {}
    for name in ("reading", "likelihood", "writing"):
        monkeypatch.setattr(
            formula, name, lambda *given, _name=name, **named: calls.update({_name: (given, named)}) or 0
        )
    own = paths()
    for name in ("likelihood", "generation", "attention-all"):
        own.ranking.memory(job(variant="base", system=f"setwise-{name}"), threads=1, attempt=1)
    (_, trees, width), named = calls["likelihood"]
    assert [len(tree.prefix) for tree in trees] == [260, 260] and len(trees[0].branches) == 2
    assert width == 4 and named == {"threads": 1}
    assert calls["writing"][0][1:] == ([260, 260], 3, 4)
    (_, trees, _), named = calls["reading"]
    assert [len(tree.prefix) for tree in trees] == [160, 160] and named == {"passages": 4, "threads": 1}


def test_mechanisms_differ_in_what_they_ask_for():
    own = paths(large())
    found = {
        name: own.ranking.memory(job(variant="base", system=f"setwise-{name}"), threads=1, attempt=1)
        for name in ("likelihood", "generation", "attention-all")
    }
    assert len(set(found.values())) == 3
    assert min(found.values()) > asked(800e6 + 4 * PARAMETERS)


def test_a_context_ends_the_longest_prompt():
    whole, cut = paths(large(context=10_000)), paths(large(context=300))
    ask = [own.attention.memory(job(variant="base"), threads=1, attempt=1) for own in (whole, cut)]
    assert ask[0] > ask[1]
    assert ask[0] == paths({k: v for k, v in large().items() if k != "context"}).attention.memory(
        job(variant="base"), threads=1, attempt=1
    )


def test_half_precision_halves_the_weights_and_a_gpu_takes_the_pass():
    own, gpu = paths(large()), paths(large(), gpus=1, dtype="bfloat16")
    assert own.attention.memory(job(variant="half"), 1, 1) < own.attention.memory(job(variant="base"), 1, 1)
    assert gpu.attention.memory(job(variant="base"), 1, 1) == asked(4e9 + 2 * PARAMETERS)
    assert gpu.ranking.memory(job(variant="base", system="setwise-generation"), 1, 2) == 2 * asked(4e9 + 2 * PARAMETERS)


@pytest.mark.parametrize(
    ("size", "entry", "first"),
    [
        (None, {}, 8000),
        ({key: SIZE[key] for key in ("parameters", "layers", "width")}, {}, 8000),
        (None, {"mem_mb": 100}, 100),
        (SIZE, {"mem_mb": 100}, 100),
    ],
)
def test_without_a_shape_or_against_it_what_the_entry_states(size, entry, first):
    own = paths(size, **entry)
    for attempt in (1, 2, 3):
        assert own.attention.memory(job(variant="base"), 1, attempt) == attempt * first
        assert own.ranking.memory(job(variant="base", system="setwise-likelihood"), 1, attempt) == attempt * first
        assert own.models.memory(job(), attempt) == attempt * first


@pytest.mark.parametrize("name", CATALOGUE)
def test_shapes_of_the_catalogue_make_its_models_parameters(name):
    """Weights counted from the shape, norms and biases left out, are the parameters that the card names."""
    entry = CATALOGUE[name]
    shape = memory.shape(entry)
    assert (shape is None) == ("mem_mb" in entry) == (entry.get("ranker") == "cross_encoder")
    if shape is not None:
        counted = formula.weights(shape, 1, tables=1 if entry["size"].get("tied", True) else 2)
        assert counted / 1e9 == pytest.approx(entry["size"]["parameters"], rel=0.01)
        assert shape.heads * shape.head == entry["size"]["width"] and shape.layers == entry["size"]["layers"]
