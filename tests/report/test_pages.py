"""Pages of tables and answers in a real browser, and what they are written in."""

from __future__ import annotations

import re

import pytest
from support.drawn import BASE
from support.pages import browser_page, chromium

from layerrank.report.answers.page import Answer
from layerrank.report.tables import layers, render
from layerrank.report.tables.describe import Cell, Column, Section, Table, interval, row

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 500"><rect width="800" height="500"/></svg>'


def filled(columns, because="of the rise, the first layers have lost 100%, the last 72%"):
    """A table of plausible numbers in these columns."""
    details = {"95% interval": interval(-0.664, 0.757, "+.3f"), "because": because}
    cells = ["pocket · smollm2-135m-instruct", "peak with partial fall"]
    found = [
        Cell(_value(column) if column.form else cells[place], detail=details.get(column.detail, ""))
        for place, column in enumerate(columns)
    ]
    section = Section("smollm2-135m-instruct on pocket · 10 queries · BM25 0.586, ceiling 0.773", (row(found),) * 3)
    return Table("A table", tuple(columns), (section,), ("A note.",))


def _value(column):
    return 12 if column.form == "d" else 0.712


NARROW = filled(
    (
        Column("Framework"),
        *(Column(name, ".3f") for name in ("attention", "likelihood", "generation")),
        *(Column(f"from {name}", "+.3f", detail="95% interval") for name in ("likelihood", "generation")),
    )
)
PAGES = {
    "shape": render.to_html(filled(layers.SHAPE_COLUMNS)),
    "words": render.answer_page(Answer("What holds up?", ("A statement of words.",) * 4, NARROW), SVG),
    "below": render.answer_page(Answer("What holds up?", ("A statement.",), filled(layers.SHAPE_COLUMNS)), SVG),
}


@pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")
def test_a_page_is_as_wide_as_its_window_and_a_table_fits_a_desk_s(tmp_path):
    """On a phone a table scrolls inside its page; from 1,020 px up, the room that a report leaves, nothing has to.

    Beside its list of items it leaves 890 px: enough for words, their table and a figure side by side.
    """
    pytest.importorskip("playwright", reason="playwright drives the browser")
    with browser_page() as (page, wrong):
        for name, text in PAGES.items():
            path = tmp_path / f"{name}.html"
            path.write_text(text, encoding="utf-8")
            page.goto(path.as_uri())
            for width in (390, 890, 1020, 1180, 1280, 1440, 1660, 1920):
                page.set_viewport_size({"width": width, "height": 900})
                wide = page.evaluate("() => document.documentElement.scrollWidth")
                assert wide <= width, (name, width, wide)
                table = page.evaluate("() => (e => [e.scrollWidth, e.clientWidth])(document.querySelector('.scroll'))")
                assert width < (890 if name == "words" else 1020) or table[0] <= table[1] + 1, (name, width, table)
        assert wrong == []


def test_a_percent_sign_stands_at_its_number():
    """A space before it is where a line breaks."""
    for folder in ("src/layerrank/report", "workflow/report"):
        for path in sorted((BASE / folder).rglob("*")):
            if path.suffix in (".py", ".j2", ".rst", ".css"):
                found = re.findall(r".{20}[0-9}] %(?=[ \"',.:;<)]|$).{0,20}", path.read_text(encoding="utf-8"), re.M)
                found = [one for one in found if "{%" not in one]
                assert found == [], path
