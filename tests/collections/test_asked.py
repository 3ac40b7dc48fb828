"""What a study asks of a collection's queries, held against those that it has: a row a case."""

import json

import pytest

from layerrank.__main__ import main
from layerrank.collections.asked import check_asked
from layerrank.core.errors import UserError
from layerrank.core.files import read_json

QIDS = ["q1", "q2", "q3"]
CASES = [
    ({}, None),
    ({"folds": {}, "queries": {}}, None),
    ({"folds": {"layers.selection.p.folds": 3}, "queries": {"explorer.chosen": ["q3", "q1"]}}, None),
    (
        {"folds": {"layers.selection.p.folds": 4}},
        "config key layers.selection.p.folds: 4 folds need as many judged queries, collection 'tiny' has 3",
    ),
    (
        {"folds": {"heads.selection.core.folds": 10**9}},
        "config key heads.selection.core.folds: 1000000000 folds need as many judged queries",
    ),
    (
        {"queries": {"explorer.chosen": ["q1", "q9"]}},
        "config key explorer.chosen: 'q9' is no judged query of collection 'tiny'",
    ),
    ({"queries": {"explorer.chosen": [""]}}, "config key explorer.chosen: '' is no judged query"),
]


@pytest.mark.parametrize(("asked", "line"), CASES)
def test_what_there_is_not_is_said_by_its_key(asked, line):
    if line is None:
        assert check_asked("tiny", iter(QIDS), asked) == {"queries": 3}
        return
    with pytest.raises(UserError) as caught:
        check_asked("tiny", QIDS, asked)
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


def test_the_command(tmp_path, capsys):
    (tmp_path / "qrels.txt").write_text("q1 0 a 1\nq1 0 b 0\nq2 0 a 1\n")
    common = ["check-queries", "--collection", "tiny", "--qrels", str(tmp_path / "qrels.txt")]
    common += ["--output", str(tmp_path / "asked.json"), "--asked"]
    assert main([*common, json.dumps({"folds": {"k": 3}})]) == 2
    assert "config key k: 3 folds need as many judged queries, collection 'tiny' has 2" in capsys.readouterr().err
    assert not (tmp_path / "asked.json").exists()
    assert main([*common, json.dumps({"folds": {"k": 2}})]) == 0
    assert read_json(tmp_path / "asked.json") == {"queries": 2}
