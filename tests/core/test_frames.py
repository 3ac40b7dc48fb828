"""Columns that are read as text hold text in every table that has them."""

from layerrank.core import frames


def test_no_number_is_read_as_text():
    tables = {name: table for name, table in vars(frames).items() if name.isupper() and isinstance(table, tuple)}
    assert len(tables) > 15
    for name, table in tables.items():
        numbers = {column.removesuffix("_low") for column in table if str(column).endswith("_low")}
        assert not numbers & frames.TEXT, name
