"""The report as a reader gets it: captions and landing page render, the HTML opens, no figure is blank."""

from __future__ import annotations

import html
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import numpy as np
import pytest
from docutils.core import publish_parts
from PIL import Image
from snakemake.report import Category
from support.figures import means_table, profile_table, selection_of, sweep_table

from layerrank.core.windows import write_selection

REPORT = Path(__file__).parents[2] / "workflow" / "report"
CAPTIONS = sorted(path for path in REPORT.glob("*.rst") if path.stem != "workflow")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CATEGORIES = (
    "1. Effectiveness",
    "2. Where relevance emerges",
    "3. Window choice",
    "4. Cost",
    "6. Diagnostics",
)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


def rendered(text: str, **names: Any) -> tuple[str, str]:
    """Body of the HTML that Snakemake's report makes of a caption, and what docutils complained about."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    complaints = io.StringIO()
    body = publish_parts(
        environment.from_string(text).render(**names),
        writer="html",
        settings_overrides={"warning_stream": complaints, "report_level": 1},
    )["html_body"]
    return body, complaints.getvalue()


def snakemake_object(wildcards: dict[str, str], **params: Any) -> SimpleNamespace:
    return SimpleNamespace(
        wildcards=SimpleNamespace(**wildcards), params=SimpleNamespace(**params), config={"collections": ["pocket"]}
    )


OF_ONE_CELL = ("explorer", "heads", "neighbours", "profile", "sweep")
CELL = {"collection": "pocket", "model": "m-1", "variant": "long"}


@pytest.mark.parametrize(
    ("path", "wildcards"),
    [(path, CELL) for path in CAPTIONS] + [(path, {}) for path in CAPTIONS if path.stem not in OF_ONE_CELL],
    ids=lambda value: value.stem if isinstance(value, Path) else "cell" if value else "study",
)
def test_caption_renders_in_three_to_five_sentences_of_sixty_words(path: Path, wildcards: dict[str, str]) -> None:
    body, complaints = rendered(path.read_text(), snakemake=snakemake_object(wildcards, measure="RR@10"))
    assert complaints == ""
    text = re.sub(r"<[^>]+>", "", body).strip()
    assert 3 <= len(re.findall(r"[.!](?:\s|$)", text)) <= 5
    assert 40 <= len(text.split()) <= 62 if wildcards else True
    assert "{{" not in text and "mailto:" not in body
    if path.stem in OF_ONE_CELL:
        assert "pocket" in text and "m-1" in text


def landing(config: dict[str, Any], files_: tuple[Any, ...] = ()) -> tuple[str, str]:
    text = (REPORT / "workflow.rst").read_text()
    text += "\n\n" + "\n".join(f".. _{name}: javascript:void(0)" for name in CATEGORIES) + "\n"
    categories = {Category(name=name): {} for name in CATEGORIES}
    return rendered(text, snakemake=SimpleNamespace(config=config), categories=categories, files=files_)


def test_landing_page_says_what_ran_on_what() -> None:
    config = {
        "title": "A study with a rather long title: of layers",
        "collections": ["pocket", "cranfield"],
        "models": ["smollm2"],
        "first_stage": {"depth": 20},
        "queries": {"limit": 7},
        "systems": {"frameworks": {"setwise": {}}, "mechanisms": {"likelihood": {}}, "variant": "grid"},
    }
    body, complaints = landing(config)
    assert complaints == ""
    for word in ("pocket, cranfield", "smollm2", "20 candidates", "sample of 7", "supports no claim", *CATEGORIES):
        assert word in body
    assert "mailto:" not in body
    assert "manifest.json" in body


def test_landing_page_names_what_was_left_out_and_cut_shorter() -> None:
    reason = "prompts beyond its context"
    config = {
        "collections": ["long", "short"],
        "models": ["a", "b"],
        "passages": {"words": 300, "shorter": {"long": 120}},
        "leave_out": [{"collections": ["long"], "models": ["b"], "because": reason}],
    }
    body, complaints = landing(config)
    assert complaints == ""
    text = " ".join(re.sub(r"<[^>]+>", " ", body).split())
    assert f"Left out b on long: {reason}" in text
    assert "the first 300 words, 120 of long; first-stage order" in text


def test_landing_page_stands_without_defaults() -> None:
    body, complaints = landing({"collections": ["c"], "models": ["m"]})
    assert complaints == ""
    assert "manifest.json" in body and "pocket" not in body


EVIL = (
    "</script><script>alert(1)</script>",
    "x\n\n.. raw:: html\n\n   <b id='evil'>",
    ".. include:: {secret}",
    ".. csv-table:: t\n   :file: {secret}",
    "`a <javascript:alert(1)>`_",
    "|substitution| *open emphasis",
    "a_b_ c__ \\",
)


@pytest.mark.parametrize("key", ["title", "because"])
@pytest.mark.parametrize("text", EVIL)
def test_landing_page_shows_what_a_study_says_as_text(key: str, text: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    text = text.replace("{secret}", str(secret))
    config: dict[str, Any] = {"collections": ["c"], "models": ["m"], "title": "A study"}
    if key == "title":
        config["title"] = text
    else:
        config["leave_out"] = [{"collections": ["c"], "models": ["m"], "because": text}]
    body, complaints = landing(config)
    assert complaints == ""
    assert "<script" not in body and "<b id" not in body and "the secret" not in body
    assert not re.search(r'href="javascript:(?!void)', body)
    shown = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
    assert " ".join(text.split()) in shown


SNAKEFILE = """
report: "{report}/workflow.rst"

rule all:
    input: expand("results/{{figure}}.svg", figure=["profile", "sweep", "effectiveness"])

rule plot_profile:
    input: "profile.tsv", "base.peak.json"
    output: report("results/profile.svg", caption="{report}/profile.rst", category="{categories[1]}")
    params: measure="nDCG@10"
    shell:
        "{python} -m layerrank plot-profile --profile {{input[0]}} --selections {{input[1]}}"
        " --title Profile --output {{output}}"

rule plot_sweep:
    input: "sweep.tsv"
    output: report("results/sweep.svg", caption="{report}/sweep.rst", category="{categories[2]}")
    shell: "{python} -m layerrank plot-sweep --sweep {{input}} --title Sweep --output {{output}}"

rule plot_effectiveness:
    input: "means.tsv"
    output: report("results/effectiveness.svg", caption="{report}/effectiveness.rst", category="{categories[0]}")
    shell: "{python} -m layerrank plot-effectiveness --means {{input}} --title Means --output {{output}}"
"""


def screenshot(page: Path, png: Path, width: int, height: int, profile: Path) -> Image.Image:
    assert CHROMIUM is not None
    subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=8000",
            f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--screenshot={png}", page.as_uri(),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return Image.open(png).convert("RGB")


def ink(image: Image.Image) -> float:
    """Share of pixels that differ from the most frequent colour."""
    pixels = np.asarray(image).reshape(-1, 3)
    _, counts = np.unique(pixels, axis=0, return_counts=True)
    return 1.0 - counts.max() / len(pixels)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small workflow's results and its report.html."""
    folder = tmp_path_factory.mktemp("report")
    profile_table(30, 36).to_csv(folder / "profile.tsv", sep="\t", index=False)
    sweep_table(30).to_csv(folder / "sweep.tsv", sep="\t", index=False)
    means_table(["pocket", "cranfield"], ["smollm2"]).to_csv(folder / "means.tsv", sep="\t", index=False)
    write_selection(folder / "base.peak.json", selection_of("peak", [(9, 13), (10, 14)]))
    text = SNAKEFILE.format(report=REPORT, categories=CATEGORIES, python=sys.executable)
    (folder / "Snakefile").write_text(text)
    (folder / "config.yaml").write_text("collections: [pocket, cranfield]\nmodels: [smollm2]\n")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "config.yaml", "--quiet", "all"]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    for extra in ([], ["--report", "report.html", "--report-stylesheet", str(REPORT / "style.css")]):
        done = subprocess.run(
            [*command, *extra], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_report_holds_landing_page_captions_and_style(report: Path) -> None:
    text = (report / "report.html").read_text()
    for words in ("Six questions", "bootstrap intervals of the mean over all judged queries", "admonition-title"):
        assert words in text


def test_report_opens_offline(report: Path) -> None:
    text = (report / "report.html").read_text()
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?https?:", text)


@needs_chromium
@pytest.mark.parametrize("name", ["profile", "sweep", "effectiveness"])
def test_figure_is_not_blank_in_a_browser(report: Path, name: str, tmp_path: Path) -> None:
    image = screenshot(report / "results" / f"{name}.svg", tmp_path / "figure.png", 900, 640, tmp_path / "profile")
    assert ink(image) > 0.02
    colours = len(np.unique(np.asarray(image).reshape(-1, 3), axis=0))
    assert colours > 50


@needs_chromium
def test_report_is_not_blank_in_a_browser(report: Path, tmp_path: Path) -> None:
    image = screenshot(report / "report.html", tmp_path / "report.png", 1280, 1000, tmp_path / "profile")
    assert ink(image) > 0.02


@needs_chromium
def test_a_blank_page_counts_as_blank(tmp_path: Path) -> None:
    page = tmp_path / "blank.html"
    page.write_text("<html><body></body></html>")
    assert ink(screenshot(page, tmp_path / "blank.png", 400, 300, tmp_path / "profile")) < 0.001
