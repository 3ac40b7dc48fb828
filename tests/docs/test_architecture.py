"""docs/architecture.md: its picture is drawn from the code as it stands, and the files that it names are there."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def house():
    spec = importlib.util.spec_from_file_location("house", ROOT / "docs" / "house.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_that_of_the_code(house):
    assert house.PICTURE.read_text(encoding="utf-8") == house.draw(), "docs/house.svg has fallen behind: make docs"


def test_every_package_stands_on_a_floor_and_no_arrow_points_up(house):
    rows = house.floors()
    floor = {name: place for place, row in enumerate(rows) for name in row}
    folders = {path.parent.name for path in (ROOT / "src" / "layerrank").glob("*/__init__.py")}
    assert set(floor) == folders
    assert len(rows) <= 7
    found = house.arrows()
    assert ("ranking", "models") in found  # imports at the head of a module
    assert ("ranking", "prompts") in found
    assert [pair for pair in found if floor[pair[0]] >= floor[pair[1]]] == []


def test_every_package_says_what_it_is_for(house):
    for row in house.floors():
        for name in row:
            assert house.purpose(name).endswith("."), name


def test_every_file_that_the_page_names_is_there():
    named = {name for name in re.findall(r"`([\w./]+)`", PAGE) if "/" in name and "NAME" not in name} - {"N/A"}
    assert len(named) > 20
    for name in named:
        places = [ROOT / name, ROOT / "src" / "layerrank" / name, ROOT / "src" / "layerrank" / f"{name}.py"]
        assert name == "collection/" or any(path.exists() for path in places), name


def test_every_table_that_the_page_names_is_in_its_file():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    entries = re.findall(r"`([A-Z_]+)`(?: and `([A-Z_]+)`)? in `([\w./]+)`", "\n".join(rows))
    assert len(entries) > 4
    for first, second, name in entries:
        text = (ROOT / "src" / "layerrank" / name).read_text(encoding="utf-8")
        for table in filter(None, (first, second)):
            assert re.search(rf"^{table}\b", text, re.MULTILINE), (table, name)
