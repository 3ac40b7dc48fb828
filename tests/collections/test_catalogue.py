from __future__ import annotations

import importlib.util
from pathlib import Path

import jsonschema
import pytest
import yaml

from layerrank.collections import SOURCES, entries, java, prebuilt, prepared

ROOT = Path(__file__).parents[2]
CATALOGUE = yaml.safe_load((ROOT / "config" / "collections.yaml").read_text())
SCHEMA = entries.SCHEMA
PREBUILT = {name: entry for name, entry in CATALOGUE.items() if entry["source"] == "pyserini"}
BRIGHT = {name: entry for name, entry in PREBUILT.items() if entry["index"].startswith("bright-")}
BEIR = {name: entry for name, entry in PREBUILT.items() if entry["index"].startswith("beir-")}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_fits_the_schema_and_its_source(name):
    jsonschema.Draft202012Validator(SCHEMA).validate(CATALOGUE[name])
    prepared.check_entry(name, CATALOGUE[name])


def test_the_schema_describes_every_key():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["additionalProperties"] is False
    keys = entries.COMMON.union(*(entries.own_keys(kind) for kind in SOURCES))
    assert set(SCHEMA["properties"]) == keys
    for key, schema in SCHEMA["properties"].items():
        assert schema["description"].strip(), key
    expected = SCHEMA["properties"]["expected"]
    assert expected["additionalProperties"] is False
    assert all(schema["description"] for schema in expected["properties"].values())


def test_every_source_takes_keys_of_the_schema_and_needs_some_of_them():
    assert SCHEMA["properties"]["source"]["enum"] == sorted(SOURCES, key=SCHEMA["properties"]["source"]["enum"].index)
    for kind in SOURCES:
        assert entries.needed_keys(kind)
        assert entries.own_keys(kind) >= set(entries.needed_keys(kind))
    of_texts = set(SCHEMA["properties"]["texts"]["properties"])
    texts = SCHEMA["properties"]["texts"]["properties"]["source"]["enum"]
    assert of_texts == {"source"}.union(*(entries.own_keys(kind) for kind in texts))


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "x"},
        {"source": "beir"},
        {"source": "beri", "path": "x"},
        {"source": "beir", "path": "x", "tittles": True},
        {"source": "beir", "path": "x", "titles": "yes"},
        {"source": "pyserini", "index": "x"},
        {"source": "run", "run": "x", "texts": {"source": "run"}},
        {"source": "beir", "path": "x", "expected": {"nDCG@10": 0.5}},
        {"source": "beir", "path": "x", "shards": 0},
    ],
)
def test_the_schema_refuses(entry):
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(entry)


def test_every_name_is_in_pyserini_s_tables():
    java.start()
    from pyserini.prebuilt_index_info import TF_INDEX_INFO
    from pyserini.search import _base

    assert len(PREBUILT) == 2 + 29 + 24 + 10
    for name, entry in PREBUILT.items():
        assert entry["index"] in TF_INDEX_INFO, name
        assert entry["topics"] in _base.topics_mapping, name
        if "corrected" not in name:
            assert entry["qrels"] in _base.qrels_mapping, name


def test_corrected_judgements_stand_beside_the_first_release_s():
    """The five domains of BRIGHT that differ; no figure of the first release is expected of them."""
    corrected = {name: entry for name, entry in BRIGHT.items() if "corrected" in name}
    domains = {name.removeprefix("bright-").removesuffix("-qs").removesuffix("-corrected") for name in corrected}
    assert domains == {"biology", "earth-science", "robotics", "stackoverflow", "sustainable-living"}
    for name, entry in corrected.items():
        first = BRIGHT[name.replace("-corrected", "")]
        differ = {key for key in first.keys() | entry.keys() if first.get(key) != entry.get(key)}
        assert differ == {"qrels", "expected", "description"}, name
        assert "expected" not in entry


def test_every_file_of_the_catalogue_is_pinned():
    java.start()
    from pyserini.search import _base

    base, blobs = prebuilt.pinned_files()
    assert base.startswith("https://") and base.endswith("/")
    used = set()
    for entry in PREBUILT.values():
        used.add(f"topics/{_base.topics_mapping[entry['topics']].path}")
        named = _base.qrels_mapping.get(entry["qrels"])
        used.add(f"qrels/{named.path if named else entry['qrels']}")
        used |= {f"qrels/{entry['excluded']}"} if "excluded" in entry else set()
    assert used == set(blobs)
    assert all(len(blob) == 40 and int(blob, 16) for blob in blobs.values())


def reproductions(name: str) -> dict[str, dict[str, dict[str, float]]]:
    """pyserini's own figures by condition and data set."""
    spec = importlib.util.find_spec("pyserini")
    path = Path(spec.submodule_search_locations[0]) / "2cr" / f"{name}.yaml"
    loaded = yaml.safe_load(path.read_text())
    return {
        condition["name"]: {row["dataset"]: row["scores"][0] for row in condition["datasets"]}
        for condition in loaded["conditions"]
        if "datasets" in condition
    }


def test_expected_figures_are_pyserini_s():
    flat = reproductions("beir")["bm25-flat"]
    assert set(flat) == set(BEIR)
    for name, entry in BEIR.items():
        measures = entry["expected"]["measures"]
        assert measures == {key: flat[name][key] for key in ("nDCG@10", "R@100")}, name
    conditions = reproductions("bright")
    for name, entry in BRIGHT.items():
        if "corrected" in name:
            continue
        domain = name.removeprefix("bright-").removesuffix("-qs")
        figures = conditions["bm25qs" if name.endswith("-qs") else "bm25"][domain]
        assert entry["expected"]["measures"] == {key: figures[key] for key in entry["expected"]["measures"]}, name
        assert (entry.get("first_stage") == "bm25-query-side") == name.endswith("-qs")


def test_instructions_titles_and_levels_follow_the_specification():
    """semantics.md §1 and §5."""
    asked = {name for name, entry in CATALOGUE.items() if entry["instruction"] == "QA"}
    assert asked == {"trec-covid", "fiqa", "webis-touche2020", "dbpedia-entity", "nq"}
    untitled = {name for name, entry in CATALOGUE.items() if entry["titles"] is False}
    assert untitled == {"dl19", "dl20", "fiqa", *BRIGHT}
    assert {name: entry["relevance_level"] for name, entry in CATALOGUE.items() if "relevance_level" in entry} == {
        "dl19": 2,
        "dl20": 2,
    }
    excluded = {name.removesuffix("-qs") for name, entry in BRIGHT.items() if "excluded" in entry}
    assert excluded == {"bright-aops", "bright-leetcode", "bright-theoremqa-questions"}


def test_the_embedded_collection_is_in_the_catalogue():
    assert CATALOGUE["pocket"]["source"] == "beir"
    assert not Path(CATALOGUE["pocket"]["path"]).is_absolute()
    assert prepared.inputs("pocket", CATALOGUE["pocket"] | {"path": str(ROOT / CATALOGUE["pocket"]["path"])})
