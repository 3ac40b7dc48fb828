import logging

import pytest

from layerrank.core import progress as module
from layerrank.core.progress import counted, progress


class Clock:
    """A clock that a test turns."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_without_a_terminal_a_line_a_minute_says_what_is_done_how_fast_and_what_is_left(clock, caplog):
    with caplog.at_level(logging.INFO), progress(200, "pointwise", done=20) as shown:
        for _ in range(90):
            clock.now += 2
            shown.update()
    assert [record.message for record in caplog.records] == [
        "pointwise: 50 of 200 queries, 30.0 a minute, 05:00 left",
        "pointwise: 80 of 200 queries, 30.0 a minute, 04:00 left",
        "pointwise: 110 of 200 queries, 30.0 a minute, 03:00 left",
    ]


def test_work_of_less_than_a_minute_is_silent(clock, caplog):
    with caplog.at_level(logging.INFO):
        assert list(counted(range(5), "windows", total=5)) == [0, 1, 2, 3, 4]
    assert not caplog.records


def test_a_note_tells_of_work_although_no_query_is_done(clock, caplog):
    with caplog.at_level(logging.INFO), progress(43, "setwise") as shown:
        clock.now += 61
        shown.update(0, "120 batches")
    assert [record.message for record in caplog.records] == ["setwise: 0 of 43 queries, 120 batches"]


def test_bytes_and_unknown_totals(clock, caplog):
    with caplog.at_level(logging.INFO), progress(98_000_000, "model", "B") as shown:
        clock.now += 60
        shown.update(49_000_000)
    with caplog.at_level(logging.INFO), progress(None, "index", "passages") as shown:
        clock.now += 60
        shown.update(120_000)
    assert [record.message for record in caplog.records] == [
        "model: 49.0MB of 98.0MB, 817kB a second, 01:00 left",
        "index: 120,000 passages, 2000.0 a second",
    ]


def test_a_terminal_has_a_bar_and_no_lines(clock, caplog, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with caplog.at_level(logging.INFO), progress(4, "rounds", "rounds") as shown:
        clock.now += 100
        shown.update(3, "note")
    assert "rounds:  75%" in capsys.readouterr().err
    assert not caplog.records
