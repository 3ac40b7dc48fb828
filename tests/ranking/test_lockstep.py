"""Attention cells of one framework in several windows, together: as each alone, and no group read twice."""

from collections import Counter

import pytest
from support.killed import killed_after
from support.lists import drawn
from support.products import in_double
from support.tiny import LAYERS, save_tiny

from layerrank.__main__ import main
from layerrank.attention.probe import Probe
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.windows import LayerWindow
from layerrank.models.decoder import load_decoder
from layerrank.ranking.cells import Cell
from layerrank.ranking.engine import Engine, shared_out
from layerrank.ranking.run import System, rerank, rerank_together

SORTS = [
    ("pointwise", {}),
    ("pairwise", {"sort": "allpair"}),
    ("pairwise", {"k": 3}),
    ("pairwise", {"sort": "bubblesort", "k": 2}),
    ("setwise", {"k": 3}),
    ("setwise", {"sort": "bubblesort", "k": 3}),
    ("listwise", {"size": 4, "step": 2}),
    ("listwise", {"size": "whole", "repeats": 2}),
]
NAMES = ["-".join(map(str, (kind, own.get("sort", own.get("size", ""))))) for kind, own in SORTS]
ALL, MIDDLE = LayerWindow(0, LAYERS - 1), LayerWindow(1, 2)
CHOSEN = {f"q{number}": LayerWindow(number % 2, 1 + number % 3) for number in range(4)}
"""A window of its own for each query, deeper or shallower than `MIDDLE`."""


def rows(count=4, n=8):
    return drawn(count, n, range(1, 30), fewer=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "qwen3", "qwen3", "digits", bos=False)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def decoder(folder, request):
    return load_decoder(folder, dtype=request.param)


@pytest.fixture
def exactly(decoder, monkeypatch):
    """In half precision, products that do not hang on what stands beside a row."""
    if decoder.dtype == "bfloat16":
        in_double(monkeypatch)


@pytest.fixture
def reads(monkeypatch):
    """What the model reads: (query, passages, layers, tokens computed) of every group, and how many passes."""
    seen, read = [], Probe.read

    def watched(self, prompts, last_layer=None, **others):
        computed = self.computed([prompt.tree for prompt in prompts])
        seen.append(
            [(prompt.qid, prompt.pids, last_layer + 1, own) for prompt, own in zip(prompts, computed, strict=True)]
        )
        return read(self, prompts, last_layer, **others)

    monkeypatch.setattr(Probe, "read", watched)
    return seen


def cells(framework, own, windows, reading=None, heads=None):
    return [
        Cell(framework, "attention", own, reading or {}, family="chatml", windows=window, heads=chosen)
        for window, chosen in zip(windows, heads or [None] * len(windows), strict=True)
    ]


def rank(made, decoder, **limits):
    """(system, query) → what it ranks, all in one engine."""
    engine = Engine(made[0].sorter, [cell.build(decoder) for cell in made], **limits)
    engine.check(rows())
    return {(ranked.system, ranked.ranking.qid): ranked for ranked in engine.rank(rows())}


def apart(made, decoder):
    """The same, an engine each."""
    return {
        (system, ranked.ranking.qid): ranked
        for system, cell in enumerate(made)
        for ranked in Engine(cell.sorter, cell.build(decoder)).rank(rows())
    }


def counts(cost):
    names = ("groups", "memo_hits", "forward_passes", "prompt_tokens", "layer_tokens", "truncated_passages")
    return {name: getattr(cost, name) for name in names}


@pytest.mark.usefixtures("exactly")
@pytest.mark.parametrize(("framework", "own"), SORTS, ids=NAMES)
def test_windows_together_are_each_alone_and_read_each_group_once(decoder, reads, framework, own):
    made = cells(framework, own, [MIDDLE, ALL, CHOSEN])
    alone = apart(made, decoder)
    by_itself = [group for batch in reads for group in batch]
    reads.clear()
    together = rank(made, decoder)
    read = [group for batch in reads for group in batch]
    assert together.keys() == alone.keys()
    for key, ranked in together.items():
        assert ranked.ranking.pids == alone[key].ranking.pids
        assert ranked.ranking.scores == pytest.approx(alone[key].ranking.scores, abs=1e-6, rel=1e-6)
        assert counts(ranked.cost) == counts(alone[key].cost)
    # Each group that any of them asks for is read once, as deep as the deepest that asks for it.
    deepest = {}
    for qid, pids, layers, _ in by_itself:
        deepest[qid, pids] = max(layers, deepest.get((qid, pids), 0))
    assert Counter((qid, pids, layers) for qid, pids, layers, _ in read) == Counter(
        (*group, layers) for group, layers in deepest.items()
    )
    assert len(read) < len(by_itself)
    # What was computed adds up to what was read.
    costs = [ranked.cost for ranked in together.values()]
    assert sum(cost.computed_tokens for cost in costs) == sum(tokens for *_, tokens in read)
    assert sum(cost.computed_layer_tokens for cost in costs) == sum(tokens * layers for *_, layers, tokens in read)
    for cost in costs:
        assert 0 < cost.computed_tokens <= cost.prompt_tokens
        assert cost.computed_layer_tokens <= cost.layer_tokens
        assert cost.seconds > 0


def test_one_step_frameworks_read_as_much_as_the_deepest_window_alone(decoder, reads):
    made = cells("pairwise", {"sort": "allpair"}, [ALL, MIDDLE])
    apart(made[:1], decoder)
    passes = len(reads)
    reads.clear()
    rank(made, decoder)
    assert len(reads) == passes


@pytest.mark.parametrize("strategy", ["NA_calibration", "masked_NA_calibration"])
def test_chosen_heads_share_what_a_linear_strategy_reads(folder, reads, strategy):
    """Under the masked strategy their pass is another one: each reads for itself, in the same run."""
    decoder = load_decoder(folder)
    heads = {f"q{number}": ((0, number % 4), (2, 1)) for number in range(4)}
    spans = dict.fromkeys(heads, LayerWindow(0, 2))
    made = cells("pointwise", {}, [MIDDLE, spans], {"strategy": strategy}, [None, heads])
    alone = apart(made, decoder)
    apart_groups = sum(map(len, reads))
    reads.clear()
    together = rank(made, decoder)
    for key, ranked in together.items():
        assert ranked.ranking.pids == alone[key].ranking.pids
        assert ranked.ranking.scores == pytest.approx(alone[key].ranking.scores, abs=1e-6)
    assert sum(map(len, reads)) == apart_groups // (2 if strategy == "NA_calibration" else 1)


def test_a_query_is_ranked_by_the_systems_that_want_it(folder, reads):
    made = cells("setwise", {"k": 3}, [ALL, MIDDLE])
    decoder = load_decoder(folder)
    engine = Engine(
        made[0].sorter,
        [cell.build(decoder) for cell in made],
        wanted=lambda qid: [1] if qid == "q3" else [0, 1],
    )
    found = {(ranked.system, ranked.ranking.qid) for ranked in engine.rank(rows())}
    assert found == {(0, f"q{number}") for number in (0, 1, 2)} | {(1, f"q{number}") for number in range(4)}
    assert {layers for batch in reads for qid, _, layers, _ in batch if qid == "q3"} == {3}


@pytest.mark.parametrize(
    ("total", "weights", "parts"), [(10, [1, 1, 1], [3, 3, 4]), (7, [30, 14], [4, 3]), (0, [1], [0])]
)
def test_shares_are_in_proportion_and_add_up(total, weights, parts):
    assert shared_out(total, weights) == parts


WINDOWS = {"all": ALL, "L1-2": MIDDLE, "selected-peak": CHOSEN}


def files_of(folder, model, windows, **options):
    """Rank together into files; the bytes of each run, and its costs without seconds."""
    made = cells("setwise", {"k": 3}, list(windows.values()))
    systems = [
        System(cell, f"setwise-{name}", folder / f"{name}.txt", folder / f"{name}.costs.jsonl")
        for name, cell in zip(windows, made, strict=True)
    ]
    rerank_together(rows(), systems, model, **options)
    return {system.output.stem: (system.output.read_bytes(), system.costs.read_bytes()) for system in systems}


def alone_of(folder, model, window):
    (cell,) = cells("setwise", {"k": 3}, [WINDOWS[window]])
    output, costs = folder / "alone.txt", folder / "alone.costs.jsonl"
    rerank(rows(), cell, model, output=output, costs=costs, tag=f"setwise-{window}")
    return output.read_bytes(), costs


def test_each_window_has_the_run_that_it_has_alone_byte_by_byte(tmp_path, folder):
    found = files_of(tmp_path, folder, WINDOWS)
    for window, (run, _) in found.items():
        expected, costs = alone_of(tmp_path, folder, window)
        assert run == expected
        own, other = files.read_costs(tmp_path / f"{window}.costs.jsonl"), files.read_costs(costs)
        assert [counts(cost) for cost in own] == [counts(cost) for cost in other]


def test_a_window_that_joins_later_and_one_that_changes_are_all_there_is_to_rank(tmp_path, folder, reads):
    first = {name: WINDOWS[name] for name in ("all", "selected-peak")}
    before = files_of(tmp_path, folder, first, keep_for_good=True)
    files.forget_kept(tmp_path)  # the study has ended
    reads.clear()
    alone_of(tmp_path, folder, "L1-2")
    needs = Counter(group for batch in reads for group in batch)
    reads.clear()
    after = files_of(tmp_path, folder, WINDOWS, keep_for_good=True)
    assert Counter(group for batch in reads for group in batch) == needs
    assert {name: after[name] for name in first} == before
    reads.clear()
    changed = files_of(tmp_path, folder, WINDOWS | {"selected-peak": LayerWindow(0, 1)}, keep_for_good=True)
    assert {layers for batch in reads for _, _, layers, _ in batch} == {2}
    assert {name: changed[name] for name in ("all", "L1-2")} == {name: after[name] for name in ("all", "L1-2")}
    assert changed["selected-peak"] != after["selected-peak"]
    reads.clear()
    assert files_of(tmp_path, folder, WINDOWS | {"selected-peak": LayerWindow(0, 1)}) == changed
    assert reads == []
    assert [path.name for path in tmp_path.glob(".*") if not path.name.endswith(".stale")] == []


def test_a_kill_in_the_middle_goes_on_for_every_window(tmp_path, folder, reads):
    expected = files_of(tmp_path / "whole", folder, WINDOWS)
    read = {qid for batch in reads for qid, *_ in batch}
    with killed_after(4):  # one query in every window, the next in one of three
        files_of(tmp_path, folder, WINDOWS, queries_at_once=1)
    reads.clear()
    found = files_of(tmp_path, folder, WINDOWS)
    assert {name: run for name, (run, _) in found.items()} == {name: run for name, (run, _) in expected.items()}
    assert {qid for batch in reads for qid, *_ in batch} == read - {"q0"}


def test_what_cannot_run_together_is_refused(tmp_path, folder):
    (one,) = cells("setwise", {"k": 3}, [ALL])
    (other,) = cells("setwise", {"k": 2}, [MIDDLE])
    with pytest.raises(UserError, match="a, b: they differ in more than their window"):
        rerank_together(
            rows(),
            [System(cell, tag, tmp_path / tag, tmp_path / f"{tag}.costs") for cell, tag in ((one, "a"), (other, "b"))],
            folder,
        )
    with pytest.raises(UserError, match="more than one run or its costs are to be written there"):
        rerank_together(rows(), [System(one, "a", tmp_path / "a", tmp_path / "b")] * 2, folder)
    written = Cell("setwise", "generation")
    with pytest.raises(UserError, match="attention alone ranks in several windows"):
        rerank_together(
            rows(), [System(written, tag, tmp_path / tag, tmp_path / f"{tag}.costs") for tag in "ab"], folder
        )


def test_windows_by_hand_take_a_run_each(tmp_path, folder, capsys):
    files.write_candidates(tmp_path / "c.jsonl.gz", rows())
    given = ["rerank", "--candidates", str(tmp_path / "c.jsonl.gz"), "--model", str(folder), "--framework", "pointwise"]
    given += ["--mechanism", "attention", "--family", "chatml", "--window", "all", "L1-2", "--output"]
    one, two = str(tmp_path / "one.txt"), str(tmp_path / "two.txt")
    assert main([*given, one]) == 2
    assert "--output: 1 for 2 windows; expected one for each" in capsys.readouterr().err
    assert main([*given, one, two, "--selection", str(folder / "config.json")]) == 2
    assert "--selection: 1 for 0 windows that a rule chooses" in capsys.readouterr().err
    assert main([*given, one, two]) == 0
    tags = {(tmp_path / name).read_text().split()[5] for name in ("one.txt", "two.txt")}
    assert tags == {"pointwise-attention-all", "pointwise-attention-L1-2"}
    assert len(files.read_costs(tmp_path / "two.costs.jsonl")) == len(rows())
