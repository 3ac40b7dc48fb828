"""The benchmarks compare like with like: the published algorithm, plain and eager, gives layerrank's scores."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
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
    both.append(rows.Row("machine", "run", "seconds", "s", 99.0, run="one"))  # of no section: goes with its run
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


def _sharing(tmp_path, monkeypatch, architecture="llama"):
    """The section and settings for it: a tiny model, and made-up lists that are long enough to sort."""
    sharing = pytest.importorskip("benchmarks.sections.sharing")
    settings = pytest.importorskip("benchmarks.settings").Settings
    monkeypatch.setattr(settings, "rows", lambda own: texts.made_up(3, 8, 6))
    folder = save_tiny(tmp_path / "tiny", architecture, "byte_level")
    (tmp_path / "work").mkdir()
    own = settings(folder, "chatml", 1, True, False, True, tmp_path, 3, tmp_path / "work", torch.device("cpu"))
    return sharing, own


def test_sharing_measures_every_cell_and_ranks_the_same(tmp_path, monkeypatch):
    sharing, settings = _sharing(tmp_path, monkeypatch)
    found = list(sharing.run(settings))
    cases = {row.case for row in found}
    assert len(cases) == len(sharing.CELLS) * 3 + 3 + len(sharing.TOGETHER)  # all pairs counted apart from timed
    same = [row for row in found if row.quantity == "same rankings"]
    assert {row.case for row in same} == {case for case in cases if "counted" not in case}
    assert all(row.met for row in same)
    by = {(row.case, row.quantity): row.value for row in found}
    for case in cases:
        if rows.WINDOWS_EACH in case:
            assert by[case, "tokens computed, one job"] <= by[case, "tokens computed, a job each"]
            assert by[case, "the fewest that its rounds allow"] <= by[case, "tokens computed, one job"]
        else:
            assert by[case, "the fewest that the rounds allow"] <= by[case, "tokens computed"]
            assert by[case, "passes"] <= by[case, "passes in full"]
    ended = [row.case for row in found]
    left = list(sharing.run(replace(settings, measured=frozenset(ended) - {ended[0], ended[-1]})))
    assert {row.case for row in left} == {ended[0], ended[-1]}


@pytest.mark.parametrize("mechanism", ["likelihood", "generation", "attention"])
def test_all_pairs_are_counted_by_a_narrow_model_as_by_the_model_itself(tmp_path, monkeypatch, mechanism):
    sharing, settings = _sharing(tmp_path, monkeypatch)
    given = sharing._rows(settings)
    for share in (False, True):
        found = []
        for decoder in (sharing._narrow(settings), sharing._decoder(settings, mechanism)):
            cell = sharing._cell(settings, sharing.COUNTED, mechanism, decoder.layers)
            own = sharing._ranked([cell], decoder, given, share)
            found.append((own.written, own.tokens, own.passes, own.fewest))
        assert found[0] == found[1]


def test_a_long_section_goes_on_with_the_case_that_had_not_ended(tmp_path, monkeypatch):
    run = pytest.importorskip("benchmarks.__main__")
    measured = []

    def section(dies):
        def measure(settings):
            for case in ("one", "two", "three"):
                if case not in settings.measured:
                    measured.append(case)
                    yield rows.Row("sharing", case, "in full", "s", 1.0)
                    if case == dies:
                        raise RuntimeError("the machine goes down")
                    yield rows.Row("sharing", case, "shared", "s", 2.0)

        return measure

    folder, output = save_tiny(tmp_path / "tiny", "llama", "digits"), tmp_path / "p.tsv"
    options = ["--model", str(folder), "--collection", str(tmp_path), "--output", str(output), "--go-on"]
    monkeypatch.setattr(run.Settings, "rows", lambda settings: [])
    monkeypatch.setattr(run, "SECTIONS", {"sharing": section("two")})
    with pytest.raises(RuntimeError, match="goes down"):
        run.main(options)
    monkeypatch.setattr(run, "SECTIONS", {"sharing": section(None)})
    assert run.main(options) == run.main(options) == 0
    assert measured == ["one", "two", "two", "three"]
    found = rows.read_rows(output)
    assert [(row.case, row.quantity) for row in found if row.section == "sharing"] == [
        (case, quantity) for case in ("one", "two", "three") for quantity in ("in full", "shared")
    ]
    assert [row.quantity for row in found if row.case == "sharing"] == [rows.SECONDS, "load average before"]


def test_ratios_are_held_against_those_of_other_results():
    against = pytest.importorskip("benchmarks.against").against

    def of(run, processor, faster, saved, memory):
        facts = {"processor": processor, "commit": run}
        return [
            *(rows.Row("machine", "fact", name, "", float("nan"), note=note, run=run) for name, note in facts.items()),
            replace(rows.row_of("a", "case", "faster", "×", faster), run=run),
            rows.Row("a", "case", "saved by the lower half", "%", saved, run=run),
            rows.Row("a", "case", "memory against baseline", "×", memory, run=run),
            rows.Row("a", "case", "seconds", "s", 7.0, run=run),
        ]

    def marks(now, before):
        lines = [line for line in against(now, before).splitlines() if line.startswith("| a |")]
        return [line.split(" | ")[-1].removesuffix(" |").strip(" |") for line in lines]

    before = of("one", "x", [2.0, 2.0], 50.0, 0.5)
    assert marks(of("two", "x", [1.95, 1.95], 49.0, 0.51), before) == ["", "", ""]
    assert marks(of("two", "x", [1.9, 1.9], 48.0, 0.52), before) == ["**worse**"] * 3
    assert marks(of("two", "x", [1.8, 1.9, 2.0], 60.0, 0.4), before) == ["**worse**, within the rounds' spread", "", ""]
    assert marks(of("two", "y", [1.0, 1.0], 10.0, 0.9), before) == ["not judged: processor x"] * 3
    text = against(of("two", "x", [1.0, 1.0], 50.0, 0.5), before)
    assert "3 ratios in both results, 0 new; 0 of another machine or setting, not judged." in text
    assert (
        text.endswith("Worse by more than 3 %: 1 of 3 judged.\n- a, case, faster") and "before: commit one, x" in text
    )
