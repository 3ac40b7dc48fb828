"""Figures: what they show, that nothing leaves the page, that bytes are the same everywhere, degenerate cases."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from support.figures import SYSTEMS, means_table, profile_table, selection_of, sweep_table

from layerrank.__main__ import main
from layerrank.core import files, frames, windows
from layerrank.core.errors import UserError
from layerrank.core.windows import LayerWindow
from layerrank.report.figures import inputs, style
from layerrank.report.figures.depth import draw_depth
from layerrank.report.figures.diagnostics import draw_diagnostics
from layerrank.report.figures.effectiveness import draw_effectiveness
from layerrank.report.figures.inputs import Level, Shape
from layerrank.report.figures.latency import draw_latency
from layerrank.report.figures.neighbours import draw_neighbours
from layerrank.report.figures.pareto import draw_pareto, pareto_front
from layerrank.report.figures.profile import draw_profile
from layerrank.report.figures.sweep import border_segments, colour_floor, draw_sweep
from layerrank.report.figures.transfer import draw_transfer

PEAK = selection_of("peak", [(14, 19), (13, 18), (14, 19)])
ORACLE = selection_of("oracle", [(15, 18)])
LEVELS = [Level("BM25", 0.47, "first stage"), Level("all layers", 0.46, "all layers"), Level("ceiling", 0.8, "ceiling")]
BELL = Shape("bell", 0.3, 0.35, 0.52, 0.55, 0.14, 0.2)
LONG = "a-collection-with-a-remarkably-long-name-that-nobody-would-choose"


def costs(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    seconds = 10 ** np.random.default_rng(seed).uniform(-1, 1.5, len(table))
    return table.assign(seconds=np.where(table["system"] == "bm25", 0.0, seconds))


def latency(systems: tuple[str, ...] = SYSTEMS[1:8]) -> pd.DataFrame:
    rows = [
        (system, stage, value * (i + 1), value * i, value * (i + 2), 3, 5, 30, 100.0, 1.0, 10.0)
        for i, system in enumerate(systems)
        for stage, value in (("load", 2.0), ("tokenise", 0.02), ("prefill", 0.3), ("score", 0.04))
    ]
    return frames.in_cell(pd.DataFrame(rows, columns=frames.own_columns(frames.LATENCY)), frames.LATENCY, "c", "m")


def regrets(names: list[str]) -> pd.DataFrame:
    rows = [(s, t, 0.0 if s == t else 0.01 * (1 + i + j)) for i, s in enumerate(names) for j, t in enumerate(names)]
    own = {"kind": "chosen on a sweep", "measure": "nDCG@10", "window": "L1-2", "value": 0.5, "oracle_window": "L2-2"}
    own |= {"oracle": 0.6, "same_queries": 0, "relative_depth": 0}
    return pd.DataFrame(rows, columns=["source", "target", "regret"]).assign(**own)[list(frames.TRANSFER)]


def bias(column: str, points: int = 20) -> pd.DataFrame:
    x = np.arange(1, points + 1)
    own = {"low": x / 40 - 0.3, "high": x / 40, "queries": 36, "mean_not_relevant": x / 40 - 0.3, "relevant": 0.1}
    parts = [pd.DataFrame({"system": name, column: x, "mean": x / 40 - 0.2, **own}) for name in SYSTEMS[1:3]]
    columns = frames.POSITION if column == "position" else frames.LENGTH
    return frames.in_cell(pd.concat(parts, ignore_index=True), columns, "c", "m")


def biases(systems: int, column: str) -> pd.DataFrame:
    """As `bias`, for several systems, the first stage's first, with a mean over passages that are not relevant."""
    one = bias(column)
    one = one[one["system"] == SYSTEMS[1]].assign(mean_not_relevant=one["mean"] - 0.1)
    return pd.concat([one.assign(system=name) for name in SYSTEMS[:systems]], ignore_index=True)


def neighbours(layers: int) -> pd.DataFrame:
    mean = np.linspace(0.3, 0.9, layers - 1)
    columns = {"layer": np.arange(layers - 1), "relative_depth": 0.0, "mean": mean}
    table = pd.DataFrame({**columns, "low": mean - 0.05, "high": mean + 0.05, "queries": 36})
    return frames.in_cell(table, frames.NEIGHBOURS, "c", "m")


FIGURES: dict[str, Callable[[], Figure]] = {
    "profile": lambda: draw_profile(profile_table(), LEVELS, [PEAK, ORACLE], title="Profile"),
    "profile, a title that would be no formula": lambda: draw_profile(profile_table(), title=r"$\x{ of_$ 5 $"),
    "profile, bare": lambda: draw_profile(profile_table()),
    "profile, one layer": lambda: draw_profile(profile_table(1), LEVELS[:1]),
    "profile, one query": lambda: draw_profile(profile_table(queries=1), LEVELS[:2], [PEAK]),
    "profile, 80 layers": lambda: draw_profile(profile_table(80, 500), LEVELS, [PEAK, ORACLE] * 4, title=LONG * 3),
    "sweep": lambda: draw_sweep(sweep_table(), LEVELS, [PEAK, ORACLE], [LayerWindow(10, 13)], title="Sweep"),
    "sweep, one layer": lambda: draw_sweep(sweep_table(1)),
    "sweep, two layers": lambda: draw_sweep(sweep_table(2), LEVELS),
    "sweep, 80 layers": lambda: draw_sweep(sweep_table(80), LEVELS, [PEAK] * 8),
    "depth": lambda: draw_depth(
        pd.concat(profile_table(28, seed=i, collection=f"c{i}") for i in range(12)), {"c3": 0.3}, title="Depth"
    ),
    "depth, many models": lambda: draw_depth(
        pd.concat(profile_table(24 + i, seed=i, collection=LONG, model=f"model-{i}-with-a-long-name") for i in range(9))
    ),
    "depth, one layer": lambda: draw_depth(profile_table(1)),
    "neighbours": lambda: draw_neighbours(neighbours(30), title="Neighbours"),
    "neighbours, two layers": lambda: draw_neighbours(neighbours(2)),
    "neighbours, one layer": lambda: draw_neighbours(neighbours(1)),
    "effectiveness": lambda: draw_effectiveness(means_table(["pocket", "cranfield", "scifact"], ["m"]), title="Means"),
    "effectiveness, 12 collections": lambda: draw_effectiveness(means_table([f"c{i}" for i in range(12)], ["m"])),
    "effectiveness, long names": lambda: draw_effectiveness(
        means_table([LONG], ["m", LONG], ["bm25", f"setwise-attention-{LONG}", LONG])
    ),
    "effectiveness, one system": lambda: draw_effectiveness(means_table(["c"], ["m"], ["bm25"])),
    "pareto": lambda: draw_pareto(costs(means_table(["pocket"], ["m"])), "seconds", title="Pareto"),
    "pareto, two panels": lambda: draw_pareto(costs(means_table(["pocket", LONG], ["m"])), "seconds"),
    "pareto, no costs": lambda: draw_pareto(means_table(["c"], ["m"]).assign(seconds=np.nan), "seconds"),
    "diagnostics": lambda: draw_diagnostics(bias("position"), bias("tokens"), title="Bias"),
    "diagnostics, not relevant": lambda: draw_diagnostics(biases(3, "position"), biases(3, "tokens")),
    "diagnostics, eight systems": lambda: draw_diagnostics(biases(8, "position"), biases(8, "tokens")),
    "diagnostics, one place": lambda: draw_diagnostics(bias("position", 1), None),
    "transfer": lambda: draw_transfer(regrets(["a", "b", "c"]), measure="nDCG@10", title="Transfer"),
    "transfer, 12 long": lambda: draw_transfer(regrets([f"{i}-theoremqa-theorems" for i in range(12)])),
    "transfer, all nought": lambda: draw_transfer(regrets(["a"])),
    "latency": lambda: draw_latency(latency(), title="Latency"),
    "latency, memory": lambda: draw_latency(latency().assign(layers=30, mib=12345.0, rounds=5, queries=3)),
    "latency, one": lambda: draw_latency(latency(SYSTEMS[1:2])),
}


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


@pytest.mark.parametrize("name", FIGURES)
def test_figure_shows_something_labels_its_axes_and_keeps_all_text_on_the_page(name: str) -> None:
    figure = FIGURES[name]()
    image = pixels(figure).reshape(-1, 3)
    assert (image != 255).any(axis=1).mean() > 0.01
    axes_ = [inner for axes in figure.axes for inner in (axes, *axes.child_axes)]
    axis = [half for axes in axes_ if axes.axison for half in (axes.xaxis, axes.yaxis)]
    ticks = {id(label) for half in axis for label in half.get_ticklabels(which="both")}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if id(text) not in ticks]
    boxes += [(str(half), box) for half in axis if (box := half.get_tightbbox()) is not None]
    page = figure.bbox.padded(1)
    for what, box in boxes:
        corners = ((box.x0, box.y0), (box.x1, box.y1))
        assert all(page.contains(*corner) for corner in corners), f"{what!r} leaves the page: {box}"
    shown = [axes for axes in figure.axes if axes.axison]
    assert any(axes.get_xlabel() for axes in shown)
    for axes in shown:
        places = [text for text in axes.get_yticklabels() if text.get_text()]
        assert axes.get_ylabel() or places or any(axes.get_shared_y_axes().joined(axes, other) for other in shown)


def test_bytes_are_the_same_whatever_the_process_and_its_settings(tmp_path: Path) -> None:
    names = ["profile", "sweep", "pareto", "effectiveness", "latency"]
    for name in names:
        style.save(FIGURES[name](), tmp_path / f"{name}.svg", tmp_path / f"{name}.pdf")
    other = tmp_path / "other"
    other.mkdir()
    here = Path(__file__)
    (other / "unit_plots.py").symlink_to(here)
    (other / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 20\nsvg.hashsalt: x\nfont.family: serif\n")
    code = (
        "from pathlib import Path; from unit_plots import FIGURES, style\n"
        f"for name in {names}: style.save(FIGURES[name](), Path(name + '.svg'), Path(name + '.pdf'))"
    )
    environment = os.environ | {
        "MATPLOTLIBRC": str(other / "matplotlibrc"),
        "PYTHONPATH": os.pathsep.join([str(other), str(here.parents[1])]),
        "PYTHONHASHSEED": "7",
        "TZ": "Asia/Tokyo",
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=other)
    for name in names:
        svg, pdf = (tmp_path / f"{name}.{suffix}" for suffix in ("svg", "pdf"))
        assert svg.read_bytes() == (other / svg.name).read_bytes()
        assert pdf.read_bytes() == (other / pdf.name).read_bytes()
        assert b"<text" not in svg.read_bytes() and b"<dc:date>" not in svg.read_bytes()
        assert b"CreationDate" not in pdf.read_bytes()


def test_profile_draws_the_curve_its_levels_and_its_best_layer() -> None:
    table = profile_table()
    table.loc[20, "mean"] = 0.9
    figure = draw_profile(table, LEVELS, [PEAK], BELL)
    axes = figure.axes[0]
    lines = [line.get_ydata() for line in axes.get_lines()]
    assert any(len(y) == 30 and np.array_equal(y, table["mean"]) for y in lines)
    for level in LEVELS:
        assert any(np.allclose(y, level.value) for y in lines)
    legend = axes.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["best single layer: 20 (0.900)", "peak window", "fitted bump"]
    assert any("0.470" in text.get_text() for text in axes.texts)


def test_profile_says_that_one_query_has_no_interval() -> None:
    figure = draw_profile(profile_table(queries=1))
    assert any(text.get_text() == "1 query · no interval" for text in figure.texts)


def test_a_profile_of_one_query_is_read_without_its_interval_and_not_without_its_mean(tmp_path) -> None:
    profile = profile_table(4, 1).assign(low=np.nan, high=np.nan, queries=1)
    frames.write_frame(tmp_path / "one.tsv", profile)
    read = frames.read_frame(tmp_path / "one.tsv", frames.PROFILE, complete=True)
    assert read["low"].isna().all() and read["mean"].notna().all()
    frames.write_frame(tmp_path / "none.tsv", profile.assign(mean=np.nan))
    with pytest.raises(UserError, match=r"none\.tsv:2: mean is 'nan'; expected a finite number"):
        frames.read_frame(tmp_path / "none.tsv", frames.PROFILE, complete=True)


def test_profile_draws_a_bell_only_where_it_is_one() -> None:
    table = profile_table()
    dense, values = BELL.curve(table)
    assert (dense[0], dense[-1]) == (0, 29)
    assert dense[np.argmax(values)] == pytest.approx(0.55 * 29, abs=0.05)
    assert values.max() == pytest.approx(0.52, abs=1e-4) and values[0] == pytest.approx(0.3, abs=1e-3)
    figure = draw_profile(table, shape=Shape("flat", *[np.nan] * 6))
    assert len(figure.axes[0].get_lines()) == len(draw_profile(table).axes[0].get_lines())
    assert any(text.get_text().endswith("shape: flat") for text in figure.texts)


def test_profile_lane_is_darker_where_more_queries_use_the_layer() -> None:
    figure = draw_profile(profile_table(), selections=[PEAK])
    filled = [patch for patch in figure.axes[1].patches if patch.get_fill()]
    shade = {
        round(patch.get_x() + 0.5) + i: sum(patch.get_facecolor()[:3])
        for patch in filled
        for i in range(round(patch.get_width()))
    }
    assert set(shade) == set(range(13, 20))
    assert shade[15] < shade[19] < shade[13]


def test_sweep_marks_the_best_window_and_the_border_of_all_layers() -> None:
    values = np.full((3, 3), np.nan)
    values[np.triu_indices(3)] = [0.1, 0.5, 0.4, 0.3, 0.6, 0.2]
    start, end = np.triu_indices(3)
    table = pd.DataFrame({"start": start, "end": end, "measure": "RR", "mean": values[start, end]})
    figure = draw_sweep(table, selections=[PEAK, ORACLE])
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[:2] == ["best of all: 1–2 (0.600)", "peak: 2 windows"]
    assert labels[2:] == ["border of those at least as good as all layers"]
    assert figure.texts[0].get_text().endswith("all 3 layers · 2 of the 5 other windows are at least as good")
    segments = border_segments(values, 0.4)
    assert sorted(segments) == sorted(
        [
            [(0.5, -0.5), (0.5, 0.5)],  # [0, 0] below, [0, 1] above
            [(1.5, 0.5), (1.5, 1.5)],  # [1, 1] below, [1, 2] above
            [(0.5, 0.5), (1.5, 0.5)],  # [0, 1] above, [1, 1] below
            [(1.5, 1.5), (2.5, 1.5)],  # [1, 2] above, [2, 2] below
        ]
    )


def test_sweep_draws_no_border_around_crumbs() -> None:
    table = sweep_table(10)
    table["mean"] = np.where((table["start"] + table["end"]) % 2, 0.6, 0.4)
    assert not draw_sweep(table).axes[0].collections
    table["mean"] = np.where(table["start"] > 4, 0.3, 0.5)
    assert draw_sweep(table).axes[0].collections


def test_sweep_colours_do_not_go_to_a_few_low_windows() -> None:
    values = np.full((30, 30), np.nan)
    values[np.triu_indices(30)] = np.linspace(0.6, 0.7, 465)
    assert colour_floor(values) == (pytest.approx(0.6), "neither")
    values[0, :5] = 0.2
    low, extend = colour_floor(values)
    assert extend == "min" and 0.59 < low < 0.61
    assert colour_floor(np.full((2, 2), np.nan)) == (None, "neither")


def test_effectiveness_draws_every_system_at_its_mean_and_not_the_ceiling() -> None:
    table = means_table(["pocket"], ["m"])
    axes = draw_effectiveness(table).axes[0]
    drawn = {
        (float(line.get_xdata()[0]), line.get_marker()) for line in axes.get_lines() if line.get_marker() != "None"
    }
    expected = {
        (mean, style.look_of(name).marker["marker"])
        for name, mean in zip(table["system"], table["mean"], strict=True)
        if name != "ceiling"
    }
    assert drawn == expected
    baseline = float(table.loc[table["system"] == "bm25", "mean"].iloc[0])
    assert any(list(line.get_xdata()) == [baseline, baseline] for line in axes.get_lines())
    assert any("ceiling" in text.get_text() for text in axes.texts)


def test_effectiveness_says_where_a_collection_lacks_a_system() -> None:
    table = means_table(["a", "b"], ["m"])
    table = table[(table["collection"] == "a") | (table["system"] != "setwise-generation")]
    first, second = draw_effectiveness(table).axes[:2]
    assert [text.get_text() for text in second.texts].count("no result") == 1
    assert all(text.get_text() != "no result" for text in first.texts)


def test_pareto_front_by_hand() -> None:
    costs_, values = [1.0, 2.0, 2.0, 3.0, 4.0, np.nan], [0.2, 0.5, 0.4, 0.5, 0.6, 0.9]
    assert pareto_front(costs_, values) == [0, 1, 4]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_pareto_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    front = {points[i] for i in pareto_front([c for c, _ in points], [v for _, v in points])}
    dominated = {(c, v) for c, v in points if any(c2 <= c and v2 >= v and (c2, v2) != (c, v) for c2, v2 in points)}
    assert front == set(points) - dominated


@settings(deadline=None)
@given(st.lists(st.floats(-10, 10), max_size=8), st.floats(0.01, 2))
def test_spread_keeps_order_and_distance(places: list[float], gap: float) -> None:
    moved = style.spread(places, gap)
    ordered = [moved[i] for i in np.argsort(places, kind="stable")]
    assert all(after - before >= gap - 1e-9 for before, after in itertools.pairwise(ordered))
    assert np.sum(moved) == pytest.approx(np.sum(places), abs=1e-6)


def test_spread_leaves_alone_what_stands_apart() -> None:
    assert style.spread([3.0, 1.0, 2.0], 0.5) == [3.0, 1.0, 2.0]
    assert style.spread([1.0, 1.0], 1.0) == pytest.approx([0.5, 1.5])


def test_diagnostics_show_what_is_not_relevant_only_where_there_is_room() -> None:
    def lines(systems: int) -> int:
        return len(draw_diagnostics(biases(systems, "position"), None).axes[0].get_lines())

    assert (lines(2), lines(4)) == (1 + 2 * 2, 1 + 4)


def test_transfer_writes_regret_and_window_and_frames_what_saw_its_queries() -> None:
    table = regrets(["a", "b"]).assign(window=["L3-5", "L3-3", "2 windows", None], same_queries=[1, 0, 0, 1])
    table.loc[1, "regret"] = -0.004
    axes = draw_transfer(table).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.000\n3–5", "−0.004\n3", "0.020\n2 windows", "0.000"]
    assert len(axes.patches) == 2


def test_latency_writes_the_whole_and_what_is_loaded() -> None:
    columns = ["system", "stage", "median", "low", "high", "rounds", "queries", "layers", "mib"]
    rows = [
        ("listwise-attention-all", "load", 2.0, 1.9, 2.2, 5, 3, 30, 500.0),
        ("listwise-attention-all", "prefill", 0.3, 0.2, 0.5, 5, 3, 30, np.nan),
        ("listwise-attention-all", "score", 0.1, 0.1, 0.1, 5, 3, 30, np.nan),
        ("listwise-attention-all", "total", 0.45, 0.4, 0.6, 5, 3, 30, 700.0),
    ]
    figure = draw_latency(pd.DataFrame(rows, columns=columns))
    axes = figure.axes[0]
    assert [patch.get_width() for patch in axes.patches] == pytest.approx([0.3, 0.1])
    assert [text.get_text() for text in axes.texts] == ["0.45 s (0.4–0.6 s)\n30 layers, 1,200 MiB, load 2 s"]
    assert figure.texts[0].get_text().startswith("3 queries in 5 rounds")


def test_latency_writes_stages_too_short_to_be_seen_and_counts_one_query() -> None:
    own = ("median", "low", "high", "rounds", "queries", "layers", "mib")
    rows = [("x-attention", "tokenise", 0.001, 0.001, 0.002, 1, 1, 1, np.nan)]
    rows += [("x-attention", "prefill", 3.0, 2.0, 4.0, 1, 1, 1, np.nan)]
    figure = draw_latency(pd.DataFrame(rows, columns=["system", "stage", *own]))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["prefill"]
    assert figure.axes[0].texts[0].get_text() == "3 s\n1 layer\ntokenise 0.001 s"
    assert figure.texts[0].get_text().startswith("1 query in 1 round ·")
    assert figure.axes[0].get_xlim()[1] == pytest.approx(1.04 * 4.0)


def test_names_have_the_look_of_their_mechanism_and_framework() -> None:
    assert style.look_of("setwise3bubble-likelihood") == style.Look("setwise", "likelihood")
    assert style.look_of("listwise-attention-selected-label-free") == style.Look("listwise", "attention")
    assert style.look_of("bm25").mechanism == style.FIRST_STAGE
    assert style.look_of("monot5") == style.Look(style.OTHER, style.OTHER)


def test_mechanisms_stay_apart_in_grey() -> None:
    def grey(colour: object) -> float:
        return float(np.dot(to_rgb(colour), [0.299, 0.587, 0.114]))  # type: ignore[arg-type]

    faces = sorted(grey(style.Look("listwise", name).face) for name in ("attention", "generation", "likelihood"))
    assert min(np.diff(faces)) > 0.15
    assert len(set(style.FRAMEWORK_MARKERS.values())) == len(style.FRAMEWORK_MARKERS)
    assert len({str(dash) for dash in style.FRAMEWORK_DASHES.values()}) == len(style.FRAMEWORK_DASHES)
    shades = [grey(shade) for shade in style.shades(4)]
    assert shades == sorted(shades) and min(np.diff(shades)) > 0.08


def write(frame: pd.DataFrame, path: Path) -> str:
    frame.to_csv(path, sep="\t", index=False)
    return str(path)


def evaluation(tmp_path: Path) -> str:
    rows = [
        ("c", "m", "base", system, qid, "nDCG@10", value, 1)
        for system, value in (("bm25", 0.4), ("listwise-attention-all", 0.5), ("ceiling", 0.8))
        for qid in ("1", "2")
    ]
    return write(pd.DataFrame(rows, columns=list(frames.VALUES)), tmp_path / "evaluation.tsv")


def test_every_command_writes_svg_and_pdf(tmp_path: Path) -> None:
    selection = tmp_path / "base.peak.json"
    windows.write_selection(selection, selection_of("peak", [(3, 5), (4, 6)]))
    profile = write(profile_table(8), tmp_path / "profile.tsv")
    means = write(means_table(["c"], ["m"]), tmp_path / "means.tsv")
    levels = ["--evaluation", evaluation(tmp_path), "--first-stage", "bm25"]
    commands = {
        "profile": ["--profile", profile, "--all-layers", "listwise-attention-all", "--ceiling", "ceiling", *levels],
        "sweep": ["--sweep", write(sweep_table(8), tmp_path / "sweep.tsv"), "--windows", "L2-5", *levels],
        "depth": ["--profiles", profile, "--means", means],
        "neighbours": ["--table", write(neighbours(8), tmp_path / "neighbours.tsv")],
        "effectiveness": ["--means", means, "--collections", "c", "--models", "m", "--variant", "base"],
        "pareto": ["--means", means, "--costs", str(summary(means_table(["c"], ["m"]), tmp_path / "costs.tsv"))],
        "diagnostics": ["--position", write(biases(4, "position"), tmp_path / "p.tsv")],
        "transfer": ["--table", write(regrets(["a", "b"]), tmp_path / "t.tsv"), "--measure", "nDCG@10"],
        "latency": ["--table", write(latency(), tmp_path / "l.tsv")],
    }
    own = dict.fromkeys(frames.own_columns(frames.SHAPE), 0.1) | {"measure": "nDCG@10", "verdict": "bell", "reason": ""}
    shape = frames.in_cell(pd.DataFrame([own]), frames.SHAPE, "c", "m")
    commands["profile"] += ["--shape", write(shape, tmp_path / "shape.tsv")]
    for name in ("profile", "sweep"):
        commands[name] += ["--selections", str(selection)]
    for name, arguments in commands.items():
        svg, pdf = tmp_path / "figures" / f"{name}.svg", tmp_path / "figures" / f"{name}.pdf"
        assert main([f"plot-{name}", *arguments, "--title", "T", "--output", str(svg), "--pdf", str(pdf)]) == 0
        assert svg.read_bytes().startswith(b"<?xml") and pdf.read_bytes().startswith(b"%PDF")


def test_levels_are_means_over_all_judged_queries(tmp_path: Path) -> None:
    path = Path(evaluation(tmp_path))
    (level,) = inputs.read_levels(path, {"ceiling": "ceiling", "first stage": None}, "nDCG@10")
    assert level == Level("ceiling", 0.8, "ceiling")
    with pytest.raises(UserError, match=r"evaluation\.tsv: no system 'bm52'; found bm25, listwise-attention-all"):
        inputs.read_levels(path, {"first stage": "bm52"}, "nDCG@10")
    with pytest.raises(UserError, match="no measure 'RR'; found nDCG@10"):
        inputs.read_levels(path, {"first stage": "bm25"}, "RR")


def summary(means: pd.DataFrame, path: Path, **values: list[float]) -> Path:
    """A file of summarise-costs for these systems."""
    table = means[[*frames.CELL, "system"]].assign(**dict.fromkeys(frames.SUMMARY[4:], 1.0)).assign(**values)
    return Path(write(table[list(frames.SUMMARY)], path))


def test_costs_join_by_collection_model_variant_and_system(tmp_path: Path) -> None:
    means = means_table(["c"], ["m"], ["bm25", "setwise-generation"])
    path = summary(means.tail(1), tmp_path / "costs.tsv", prompt_tokens=[15.0])
    joined = inputs.join_costs(means, [path], "prompt_tokens").set_index("system")["prompt_tokens"]
    assert joined["setwise-generation"] == 15 and np.isnan(joined["bm25"])
    with pytest.raises(UserError, match="cost 'second': expected one of groups"):
        inputs.join_costs(means, [path], "second")
    with pytest.raises(UserError, match="given twice"):
        inputs.join_costs(means, [path, path], "seconds")


def test_selection_is_named_as_the_study_names_its_rule(tmp_path: Path) -> None:
    path = tmp_path / "selection.json"
    windows.write_selection(path, selection_of("peak-wide", [(3, 5), (4, 6), (3, 5)]))
    found = windows.read_selection(path)
    assert found.label == "peak-wide" and found.default == LayerWindow(3, 5)
    assert found.spans == [LayerWindow(3, 5), LayerWindow(4, 6)]
    files.write_json(path, {"rule": "peak"})
    with pytest.raises(UserError, match="not a selection file"):
        windows.read_selection(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plot-profile", "--profile", "none.tsv"], "none.tsv: no such file"),
        (["plot-profile", "--profile", "sweep.tsv"], "sweep.tsv: lacks the column layer"),
        (["plot-sweep", "--sweep", "sweep.tsv", "--windows", "L3-9"], "the model has layers 0 to 3"),
        (["plot-sweep", "--sweep", "sweep.tsv", "--measure", "RR"], "sweep.tsv: no measure 'RR'; found nDCG@10"),
        (["plot-effectiveness", "--means", "means.tsv", "--models", "x"], "means.tsv: no model 'x'; found m"),
        (["plot-depth", "--profiles", "profile.tsv", "profile.tsv"], "given twice: collection c, model m"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(sweep_table(4), tmp_path / "sweep.tsv")
    write(profile_table(4), tmp_path / "profile.tsv")
    write(means_table(["c"], ["m"]), tmp_path / "means.tsv")
    assert main([*arguments, "--output", "figure.svg"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in error
    assert not Path("figure.svg").exists()


def test_an_unknown_suffix_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.svg, \.pdf, \.png"):
        style.save(FIGURES["neighbours"](), tmp_path / "a.svg", tmp_path / "a.gif")
    assert not (tmp_path / "a.svg").exists()


def test_drawing_needs_no_torch() -> None:
    modules = "layerrank.report.figures.profile, layerrank.report.figures.pareto, layerrank.report.figures.inputs"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_a_mechanism_under_a_name_of_the_study_s_own_is_named_in_words_and_in_the_legend():
    from layerrank.report.figures.style import encoding_handles, label_of

    names = ["bm25", "setwise-lasttoken-L0-0", "setwise-lasttoken-all", "listwise-attention-all"]
    assert [label_of(name) for name in names[1:3]] == ["Setwise lasttoken, layer 0", "Setwise lasttoken, all layers"]
    assert [handle.get_label() for handle in encoding_handles(names)] == [
        "attention",
        "lasttoken",
        "setwise",
        "listwise",
    ]
