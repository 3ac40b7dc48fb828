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


def test_a_section_measured_again_replaces_its_own_rows_and_keeps_the_facts_of_others(tmp_path):
    def of(run, *sections):
        found = [rows.Row("machine", "fact", "commit", "", float("nan"), note=run, run=run)]
        for section in sections:
            found += [
                rows.Row(section, "a case", "seconds", "s", 1.0, run=run),
                rows.Row("machine", section, rows.SECONDS, "s", 9.0, run=run),
            ]
        return found

    first = of("one", "tokens", "store")
    [facts, *fresh] = of("two", "tokens")
    both = rows.replaced(first, "tokens", fresh, [facts])
    assert {(row.section, row.case, row.run) for row in both} == {
        ("machine", "fact", "one"),
        ("machine", "fact", "two"),
        ("tokens", "a case", "two"),
        ("machine", "tokens", "two"),
        ("store", "a case", "one"),
        ("machine", "store", "one"),
    }
    assert (rows.done(both, "one"), rows.done(both, "two")) == ({"store"}, {"tokens"})
    [_, *fresh] = of("two", "store")
    assert {row.run for row in rows.replaced(both, "store", fresh, [facts])} == {"two"}
    rows.write_rows(tmp_path / "performance.tsv", both)
    assert [(row.section, row.run) for row in rows.read_rows(tmp_path / "performance.tsv")] == [
        (row.section, row.run) for row in both
    ]


def test_a_run_that_died_goes_on_with_the_section_that_it_had_not_ended(tmp_path, monkeypatch):
    run = pytest.importorskip("benchmarks.__main__")
    measured = []

    def section(name, dies=False):
        def measure(settings):
            measured.append(name)
            yield rows.Row(name, "a case", "seconds", "s", 1.0)
            if dies:
                raise RuntimeError("the machine goes down")
            yield rows.Row(name, "a case", "again", "s", 2.0)

        return measure

    def bench(*options):
        return run.main(["--model", str(folder), "--collection", str(tmp_path), "--output", str(output), *options])

    folder, output = save_tiny(tmp_path / "tiny", "llama", "digits"), tmp_path / "p.tsv"
    monkeypatch.setattr(run.Settings, "rows", lambda settings: [])
    tables = {"tokens": section("tokens"), "store": section("store", dies=True)}
    monkeypatch.setattr(run, "SECTIONS", tables)
    with pytest.raises(RuntimeError, match="goes down"):
        bench()
    assert [row.quantity for row in rows.read_rows(output) if row.section == "store"] == ["seconds"]
    tables["store"] = section("store")
    assert bench("--go-on") == 0
    assert measured == ["tokens", "store", "store"]
    assert [row.quantity for row in rows.read_rows(output) if row.section == "store"] == ["seconds", "again"]
    assert len({row.run for row in rows.read_rows(output)}) == 1
    assert bench("tokens") == 0 and measured[3:] == ["tokens"]


def test_the_page_renders_from_any_sections(tmp_path):
    page = pytest.importorskip("benchmarks.page")
    sections = pytest.importorskip("benchmarks.sections").SECTIONS
    for number, section in enumerate(["none", *sections, "sharing", "generation"]):
        results = tmp_path / f"p{number}.tsv"
        found = [rows.Row("machine", "fact", "device", "", float("nan"), note="cpu", run="one")]
        if section not in ("none", "tokens", "windows", "queries"):
            found.append(rows.Row(section, "float32, 10 tokens", "what is told", "s", 12.34, run="one"))
        rows.write_rows(results, found)
        page.render(results)
        assert section == "none" or len(found) == 1 or "12.3" in results.with_suffix(".md").read_text(encoding="utf-8")


def test_the_page_tells_runs_apart(tmp_path):
    page = pytest.importorskip("benchmarks.page")
    found = []
    for run, section in (("one", "sharing"), ("two", "memory")):
        found.append(rows.Row("machine", "fact", "commit", "", float("nan"), note=f"commit {run}", run=run))
        found.append(rows.Row(section, "a case", "tokens", "", 5.0, run=run))
        found.append(rows.Row("machine", section, rows.SECONDS, "s", 9.0, run=run))
    rows.write_rows(tmp_path / "p.tsv", found)
    page.render(tmp_path / "p.tsv")
    text = (tmp_path / "p.md").read_text(encoding="utf-8")
    assert "Not one run" in text and "| commit one | commit two |" in text and "| sections | sharing | memory |" in text
    rows.write_rows(tmp_path / "p.tsv", found[:3])
    page.render(tmp_path / "p.tsv")
    assert "Not one run" not in (tmp_path / "p.md").read_text(encoding="utf-8")
