"""Pages of a report lead to each other, in the results and in the report's archive, which names their folders anew."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from posixpath import join, normpath

from layerrank.commands.arguments import _link
from layerrank.report.answers.page import Answer
from layerrank.report.tables.describe import Column, Table
from layerrank.report.tables.render import answer_page
from layerrank.study.load import load_study
from layerrank.study.paths import paths_of

BASE = Path(__file__).parents[2]
SNAKEFILE = """
rule all:
    input: {pages}
"""
PAGE = """
rule page_{number}:
    output: report("{page}", category="pages")
    shell: "touch {{output:q}}"
"""


def test_links_lead_to_pages_of_the_results_and_of_the_archive(tmp_path):
    study = load_study({"collections": ["pocket"], "models": ["smollm2-135m-instruct"], "results": "my results"}, BASE)
    paths = paths_of(study, BASE, "resources")
    pages = [page.replace("<results>", "my results") for page in (*paths.explorer.pages, *paths.report.answers)]
    text = SNAKEFILE.format(pages=pages) + "".join(PAGE.format(number=n, page=page) for n, page in enumerate(pages))
    (tmp_path / "Snakefile").write_text(text)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    for extra in ([], ["--report", "report.zip"]):
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", *extra]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    names = set(zipfile.ZipFile(tmp_path / "report.zip").namelist())
    assert paths.explorer.answer_links and len(paths.explorer.links) == len(paths.report.answers)
    for folder, links in (("answers", paths.explorer.answer_links), ("explorer/pocket", paths.explorer.links)):
        for _, here, reported in map(_link, links):
            assert normpath(join("my results", folder, here)) in pages
            assert normpath(join("report/data/raw/of-the-page", reported)) in names


def test_an_answer_shows_its_links_as_text():
    answer = Answer("Where?", ("There.",), Table("T", (Column("a"),), ()))
    page = answer_page(answer, "<svg></svg>", [("<b>m</b> on c", "../explorer/c/m.html", "../0/m.html")])
    assert re.search(r'<a href="\.\./explorer/c/m\.html" data-reported="\.\./0/m\.html" [^>]*>&lt;b&gt;m', page)
    assert "explorer" not in answer_page(answer, "<svg></svg>")
