"""The suite itself: what a worker is given together is there under the name that says so."""

from types import SimpleNamespace

from support import scheduling
from support.studies import CHECKOUT


def test_what_is_named_is_there():
    for begin in scheduling.LONGEST:
        file, _, name = begin.partition("::")
        assert (CHECKOUT / file).exists() and f"def {name}" in ((CHECKOUT / file).read_text() if name else "def ")
    assert all((CHECKOUT / file).is_file() for file in scheduling.SPREAD)


def test_tests_of_a_file_stay_together_unless_it_is_spread():
    spread = sorted(scheduling.SPREAD)[0]
    unit = scheduling.ByFile._split_scope
    assert {unit(None, f"tests/a.py::{name}") for name in ("test_one[a::b]", "Two::test_two")} == {"tests/a.py"}
    assert unit(None, f"{spread}::test_one[1]") != unit(None, f"{spread}::test_one[2]")


def test_the_longest_come_first_and_nothing_is_lost():
    ids = ["tests/core/test_files.py::a", "tests/workflow/test_served.py::b", "tests/core/test_files.py::b"]
    ids += [scheduling.LONGEST[0], "tests/workflow/test_rules.py::c", f"{scheduling.LONGEST[-2]}::z"]
    items = [SimpleNamespace(nodeid=each) for each in ids]
    scheduling.sort(items)
    assert [item.nodeid for item in items] == [ids[3], ids[1], ids[5], ids[4], ids[0], ids[2]]
