"""Latency: what is measured and how it is put together; no test holds a time against a bound."""

import math
from dataclasses import replace

import pytest
import torch
from support.figures import selection_of
from support.tiny import LAYERS, save_cross_encoder, save_tiny

from layerrank.__main__ import main
from layerrank.attention.probe import Probe
from layerrank.core import files, frames
from layerrank.core.errors import UserError
from layerrank.core.heads import ChosenHeads, HeadSelection, write_head_selection
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import Chosen, LayerWindow, write_selection
from layerrank.latency import stages as latency
from layerrank.latency.machine import peak_memory
from layerrank.latency.stages import Sample, Stopwatch, measure, measure_trained
from layerrank.models.classifier import load_classifier
from layerrank.prompts.icr import PromptSettings
from layerrank.ranking.cells import Cell
from layerrank.ranking.cross_encoder import CrossEncoder
from layerrank.ranking.mechanism import Request

SETTINGS = PromptSettings("chatml")
CPU = torch.device("cpu")


def rows(count=5):
    texts = ["air flows over wings " * 3, "bread rises", "layers grow and sing", "yeast"]
    return [
        Candidates(
            Query(f"q{number}", f"what is lift {number}"),
            tuple(Passage(f"d{place}", text) for place, text in enumerate(texts)),
            (4.0, 3.0, 2.0, 1.0),
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latency")
    files.write_candidates(folder / "base.jsonl.gz", [*rows(), Candidates(Query("empty", "nothing"), (), ())])
    return folder / "base.jsonl.gz", save_tiny(folder / "tiny", "llama", "digits")


@pytest.fixture(scope="module")
def measured(study):
    sampled = Sample(queries=2, repeats=3, warmup=1, seed=1)
    return measure(*study, SETTINGS, ["all", "L0-1"], mechanisms=["likelihood", "generation"], sampled=sampled)


def test_every_system_has_its_stages(measured):
    table, _ = measured
    stages = {name: list(own["stage"]) for name, own in table.groupby("system", sort=False)}
    plain = ["load", "tokenise", "prefill", "score", "total"]
    assert stages == {
        "listwise-attention-all": plain,
        "listwise-attention-L0-1": plain,
        "listwise-likelihood": plain,
        "listwise-generation": ["load", "tokenise", "prefill", "decode", "score", "total"],
    }
    assert list(table.columns) == frames.own_columns(frames.LATENCY)
    assert (table["low"] <= table["median"]).all() and (table["median"] <= table["high"]).all()
    assert (table["low"] > 0).all() and set(table["rounds"]) == {3} and set(table["queries"]) == {2}


def test_the_stages_make_up_the_total(measured):
    _, about = measured
    for system in about["systems"].values():
        for one in system["rounds"]:
            parts = [one[stage] for stage in ("tokenise", "prefill", "decode", "score") if stage in one]
            for total, *stages in zip(one["total"], *parts, strict=True):
                assert sum(stages) == pytest.approx(total, rel=0.05, abs=1e-3)


def test_models_are_cut_at_the_windows_end(measured):
    table, about = measured
    layers = table.drop_duplicates("system").set_index("system")["layers"]
    assert layers["listwise-attention-L0-1"] == 2 and layers["listwise-attention-all"] == LAYERS
    weights = table[table["stage"] == "load"].set_index("system")["mib"]
    assert weights["listwise-attention-L0-1"] < weights["listwise-attention-all"] < weights["listwise-likelihood"]
    operations = table[table["stage"] == "prefill"].set_index("system")["gflop"]
    assert operations["listwise-attention-L0-1"] < operations["listwise-attention-all"]
    assert about["systems"]["listwise-attention-L0-1"]["windows"] == ["L0-1"]


def test_what_was_measured_on_is_told(measured, study):
    _, about = measured
    assert about["candidates"] == files.file_digest(study[0])
    assert about["model"] == "tiny" and about["layers"] == LAYERS and about["dtype"] == "float32"
    assert len(about["sample"]["qids"]) == 2 and "empty" not in about["sample"]["qids"]
    assert about["sample"]["passages"] == [4, 4]
    assert {"processor", "cores", "threads", "memory_mib", "device"} <= about["hardware"].keys()
    assert {"torch", "transformers", "layerrank", "python"} <= about["versions"].keys()


def test_systems_take_turns_and_warm_up(study, monkeypatch):
    seen = []
    plain = latency._round

    def recorded(system, *arguments):
        seen.append(system.name.removeprefix("listwise-attention-"))
        return plain(system, *arguments)

    reads = []
    read = Probe.read
    monkeypatch.setattr(Probe, "read", lambda self, *a, **k: reads.append(a) or read(self, *a, **k))
    monkeypatch.setattr(latency, "_round", recorded)
    measure(*study, SETTINGS, ["all", "L0-1", "L2"], sampled=Sample(queries=2, repeats=3, warmup=2))
    assert seen == ["all", "L0-1", "L2", "L0-1", "L2", "all", "L2", "all", "L0-1"]
    assert len(reads) == 3 * 3 * (2 + 2) + 3  # rounds × systems × (warm-up and timed), and one each for its memory


def test_a_selected_window_reads_its_file(study, tmp_path):
    qids = tuple(f"q{number}" for number in range(5))
    chosen = replace(selection_of("peak", [(1, 2)], layers=LAYERS), windows=(Chosen(LayerWindow(1, 2), qids, 0.5, ""),))
    write_selection(tmp_path / "peak.json", chosen)
    table, about = measure(
        *study,
        SETTINGS,
        ["selected-peak"],
        selections={"peak": tmp_path / "peak.json"},
        sampled=Sample(queries=1, repeats=1, warmup=0),
    )
    assert set(table["layers"]) == {3} and about["systems"]["listwise-attention-selected-peak"]["windows"] == ["L1-2"]
    with pytest.raises(UserError, match="needs the file of its selection"):
        measure(*study, SETTINGS, ["selected-peak"])


def test_chosen_heads_are_timed_up_to_the_deepest(study, tmp_path, monkeypatch):
    sets = (ChosenHeads(((1, 0), (0, 2)), tuple(f"q{number}" for number in range(5)), "folds"),)
    about = {"settings": {}, "chosen_by": "none", "upper_bound": False, "folds": None, "seed": None}
    known = {"collection": "c", "collections": ("c",), "sets": sets, "default": ((2, 0),)}
    write_head_selection(
        tmp_path / "core.json", HeadSelection("core", "core", layers=LAYERS, heads=4, **about, **known)
    )
    read, asked = Probe.read, []
    monkeypatch.setattr(Probe, "read", lambda self, *a, **k: asked.append(k) or read(self, *a, **k))
    table, told = measure(
        *study,
        SETTINGS,
        ["heads-core"],
        selections={"heads-core": tmp_path / "core.json"},
        sampled=Sample(queries=1, repeats=1, warmup=0),
    )
    assert set(table["layers"]) == {2} and told["systems"]["listwise-attention-heads-core"]["heads"] == ["1-0,0-2"]
    assert all(k == {"last_layer": 1, "heads": ((1, 0), (0, 2))} for k in asked) and asked


@pytest.mark.parametrize(
    ("windows", "mechanisms", "words"),
    [
        ([], [], "nothing to time"),
        (["L0-9"], [], "layers 0 to 3"),
        (["all"], ["guessing"], "mechanism 'guessing': expected one of likelihood, generation"),
    ],
)
def test_what_cannot_be_timed_is_an_error(study, windows, mechanisms, words):
    with pytest.raises(UserError, match=words):
        measure(*study, SETTINGS, windows, mechanisms=mechanisms)


def test_samples_are_checked():
    with pytest.raises(UserError, match=r"latency\.repeats: 0"):
        Sample(repeats=0)


def test_a_prompt_beyond_the_context_is_an_error(study, tmp_path):
    short = save_tiny(tmp_path / "short", "llama", "digits", max_position_embeddings=64)
    with pytest.raises(UserError, match=r"the model reads 64; lower first_stage\.depth"):
        measure(study[0], short, SETTINGS, ["all"], sampled=Sample(1, 1, 0))


def test_laps_add_up():
    watch = Stopwatch(CPU)
    watch.start()
    watch.lap("one")
    watch.lap("two")
    watch.lap("one")
    watch.stop()
    assert set(watch.seconds) == {"one", "two", "total"}
    assert watch.seconds["one"] + watch.seconds["two"] <= watch.seconds["total"]


def test_peak_memory_is_what_was_held_at_once():
    with peak_memory(CPU) as found:
        first = torch.ones(16 * 2**18)
        second = torch.ones(32 * 2**18)
        del first
        third = torch.ones(8 * 2**18)
        del second, third
    if found.mib is None:
        pytest.skip("the system does not tell a process its peak memory")
    assert 40 <= found.mib <= 70


def test_the_command_writes_what_the_figure_reads(study, tmp_path):
    table, about = tmp_path / "latency.tsv", tmp_path / "latency.json"
    arguments = [
        "--collection",
        "c",
        "--model-name",
        "m",
        "--candidates",
        str(study[0]),
        "--model",
        str(study[1]),
        "--family",
        "chatml",
        "--instruction",
        "QA",
    ]
    arguments += ["--windows", "all", "L0-1", "--queries", "1", "--repeats", "1", "--warmup", "0"]
    assert main(["measure-latency", *arguments, "--output", str(table), "--about", str(about)]) == 0
    frame = frames.read_frame(table, frames.LATENCY)
    assert list(frame["system"].unique()) == ["listwise-attention-all", "listwise-attention-L0-1"]
    assert math.isnan(frame.loc[frame["stage"] == "tokenise", "gflop"].iloc[0])
    assert files.read_json(about)["prompt"]["instruction"] == "QA"
    assert main(["plot-latency", "--table", str(table), "--output", str(tmp_path / "latency.svg")]) == 0


def test_a_trained_model_is_timed_on_the_same_queries(study, measured, tmp_path, monkeypatch):
    """Its passages one by one, in the engine's batches: every stage has its seconds, every pair its tokens."""
    encoder = save_cross_encoder(tmp_path / "encoder", "bert")
    batches, plain = [], CrossEncoder.score
    monkeypatch.setattr(CrossEncoder, "score", lambda self, works: batches.append(len(works)) or plain(self, works))
    cell = Cell("pointwise", "cross_encoder", {}, {"passage_tokens": 5}, name="trained-encoder")
    sampled = Sample(queries=2, repeats=2, warmup=0, seed=1)
    table, about = measure_trained(study[0], encoder, cell, batch_tokens=40, sampled=sampled)
    assert list(table["stage"]) == ["load", "tokenise", "prefill", "score", "total"]
    assert set(table["system"]) == {"trained-encoder"} and about["sample"]["qids"] == measured[1]["sample"]["qids"]
    assert max(batches) > 1 and sum(batches) == 4 * (2 * 2 + 1)  # four passages; two queries twice, one for its memory
    stage = table.set_index("stage")
    parts = stage.loc[["tokenise", "prefill", "score"], "median"]
    assert (parts > 0).all() and parts.sum() <= stage.loc["total", "high"] * 1.5
    classifier = load_classifier(encoder)
    mechanism, cut = cell.build(classifier), cell.cut(classifier)
    known = {row.query.qid: row for row in files.read_candidates(study[0])}
    tokens = [
        sum(mechanism.prepare(Request(row.query, (passage,))).tokens for passage in row.passages)
        for row, _ in (cut(known[qid]) for qid in about["sample"]["qids"])
    ]
    assert stage.loc["prefill", "tokens"] == sum(tokens) / 2
    assert set(table["layers"]) == {classifier.layers} and stage.loc["load", "mib"] > 0
    for system in about["systems"].values():
        for one in system["rounds"]:
            for parts in zip(one["tokenise"], one["prefill"], one["score"], one["total"], strict=True):
                assert sum(parts[:3]) <= parts[3]


def test_trained_models_stand_in_the_figure_of_the_windows(study, tmp_path):
    encoder = save_cross_encoder(tmp_path / "encoder", "bert")
    of = ["--collection", "c", "--candidates", str(study[0]), "--queries", "1", "--repeats", "1", "--warmup", "0"]
    own, other = str(tmp_path / "own.tsv"), str(tmp_path / "trained.tsv")
    model = ["--model-name", "m", "--model", str(study[1]), "--family", "chatml", "--windows", "all"]
    assert main(["measure-latency", *of, *model, "--output", own]) == 0
    model = ["--model-name", "encoder", "--model", str(encoder), "--mechanism", "cross_encoder"]
    assert main(["measure-trained", *of, *model, "--tag", "trained-encoder", "--output", other]) == 0
    figure = tmp_path / "latency.svg"
    assert main(["plot-latency", "--table", own, other, "--output", str(figure)]) == 0
    assert "encoder" in figure.read_text()
