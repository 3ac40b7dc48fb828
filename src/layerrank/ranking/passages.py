"""Passages as people bring them: texts, records, pairs, tables. What is none of these is refused in one line.

A passage is a text; a record with a text (a mapping, a named tuple such as those of ir_datasets, a data class); an
(id, text) pair; or a `Passage`. Passages come in any iterable that has an order (a list, a tuple, a generator, an array
of texts), as a mapping id → passage, or as a pandas Series or DataFrame.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.formats import ID_FIELDS, TEXT_FIELDS
from layerrank.core.records import Passage
from layerrank.ranking.results import Result, Results

TEXTS, IDS = TEXT_FIELDS["document"], ID_FIELDS["document"]
TITLE = "title"
MOST = 100_000
"""Passages of one query; more of them is a collection, or an iterable without an end."""

_FORMS = "a text, a record with a text, or an (id, text) pair"


@dataclass(frozen=True, slots=True)
class Given:
    """One passage as it was brought.

    id: its own, or the label of its row, or else its place from 0.
    fields: what else its record holds.
    passage: the object itself.
    """

    id: Any
    text: str
    title: str
    passage: Any
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> Passage:
        """The record that prompts show."""
        return Passage(str(self.id), self.text, self.title)


def read_passages(passages: Any, ids: Iterable[Any] | None = None) -> list[Given]:
    """Read the passages of one query, in their order.

    Args:
        ids: One a passage, in place of the ids that passages have of their own.

    Raises:
        UserError: Not passages; the message names the place and the value.
    """
    given = list(_each(passages))
    if ids is None:
        return given
    own = [_id(each, f"ids[{place}]") for place, each in enumerate(_items(ids, "ids", "ids"))]
    if len(own) != len(given):
        raise UserError(f"ids: {len(own)} for {len(given)} passages; expected one a passage")
    return [
        dataclasses.replace(each, id=place if one is None else one)
        for place, (each, one) in enumerate(zip(given, own, strict=True))
    ]


def read_text(value: Any, where: str) -> str:
    """A text that is there, and that can be written; `UserError` names `where` it came from."""
    if not isinstance(value, str):
        raise UserError(f"{where}: {_short(value)}: expected a text")
    if not value.strip():
        raise UserError(f"{where}: the text is empty")
    return _writable(value, where)


def whole_number(value: Any, name: str) -> int:
    """A whole number from 1, numpy's included; `UserError` names it."""
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < 1:
        raise UserError(f"{name}: {_short(value)}: expected a whole number from 1")
    return number


def _each(passages: Any) -> Iterator[Given]:
    if hasattr(passages, "iloc"):
        yield from _table(passages)
    elif isinstance(passages, Mapping):
        if any(isinstance(passages.get(name), str) for name in (*TEXTS, TITLE)):
            raise UserError(f"passages: a lone passage, {_short(passages)}: expected a list of them")
        for place, (name, value) in enumerate(_items(passages.items(), "passages", "passages")):
            yield dataclasses.replace(_one(value, place), id=_id(name, f"passages[{place}]: id"))
    elif not isinstance(passages, Results) and (isinstance(passages, Result) or _record(passages) is not None):
        raise UserError(f"passages: a lone passage, {_short(passages)}: expected a list of them")
    else:
        for place, value in enumerate(_items(passages, "passages", "passages")):
            yield _one(value, place)


def _items(values: Any, name: str, what: str) -> Iterator[Any]:
    """The items of what can be gone through in an order; not more than `MOST`."""
    if isinstance(values, str):
        raise UserError(f"{name}: a lone text, {_short(values)}: expected a list of {what}")
    if isinstance(values, (Set, bytes, bytearray, memoryview)) and not isinstance(values, (KeysView, ItemsView)):
        raise UserError(f"{name}: {_short(values)}: expected a list of {what}, which has an order")
    try:
        items = iter(values)
    except TypeError:
        raise UserError(f"{name}: {_short(values)}: expected a list of {what}") from None
    for count, item in enumerate(items):
        if count == MOST:
            raise UserError(f"{name}: more than {MOST:,} for one query; a ranking starts from a first stage's best")
        yield item


def _one(value: Any, place: int, label: Any = None) -> Given:
    """One passage; `label` is its id where it has none of its own."""
    where = f"passages[{place}]"
    fallback = place if label is None else label
    if isinstance(value, str):
        return Given(fallback, read_text(value, where), "", value)
    if isinstance(value, Result):
        return Given(value.id, value.text, value.title, value.passage, value.fields)
    if isinstance(value, Passage):
        return _of_fields({"id": value.pid, "text": value.text, TITLE: value.title}, value, where, fallback)
    record = _record(value)
    if record is not None:
        return _of_fields(record, value, where, fallback)
    if isinstance(value, tuple) and len(value) == 2:
        name = _id(value[0], f"{where}: id")
        return Given(fallback if name is None else name, read_text(value[1], where), "", value)
    raise UserError(f"{where}: {_short(value)}: expected {_FORMS}")


def _record(value: Any) -> Mapping[str, Any] | None:
    """The fields of a mapping, a named tuple or a data class; None for anything else."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        fields = dict(value._asdict())
        if not any(name in fields for name in TEXTS) and hasattr(value, "default_text"):
            fields["text"] = value.default_text()  # ir_datasets' own idea of it, the title included
            fields.pop(TITLE, None)
        return fields
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    return None


def _of_fields(record: Mapping[Any, Any], value: Any, where: str, fallback: Any) -> Given:
    text_field = next((name for name in TEXTS if name in record), None)
    id_field = next((name for name in IDS if name in record), None)
    title = record.get(TITLE)
    title = "" if title is None or _is_nan(title) else title
    if not isinstance(title, str):
        raise UserError(f"{where}: title: {_short(title)}: expected a text")
    if text_field is None and not title:
        names = ", ".join(map(str, record)) or "none"
        raise UserError(f"{where}: fields {names}: expected a text in one of {', '.join(TEXTS)}")
    text = "" if text_field is None else record[text_field]
    where_text = f"{where}: {text_field}"
    text = read_text(text, where_text) if not title or not isinstance(text, str) else _writable(text, where_text)
    own = None if id_field is None else _id(record[id_field], f"{where}: {id_field}")
    used = (text_field, id_field, TITLE)
    return Given(
        fallback if own is None else own,
        text,
        _writable(title, f"{where}: title"),
        value,
        {str(name): each for name, each in record.items() if name not in used},
    )


def _table(table: Any) -> Iterator[Given]:
    """Rows of a pandas DataFrame, or texts of a Series; the labels of its index are ids where no column has them."""
    if table.ndim == 1:
        for place, (label, value) in enumerate(table.items()):
            yield _one(value, place, _label(label))
        return
    names = list(table.columns)
    if len(set(names)) != len(names):
        raise UserError(f"passages: column {max(names, key=names.count)!r} comes twice")
    if not any(name in names for name in (*TEXTS, TITLE)):
        raise UserError(
            f"passages: columns {', '.join(map(str, names)) or 'none'}: expected a text in one of " + ", ".join(TEXTS)
        )
    for place, (label, row) in enumerate(zip(table.index, table.to_dict("records"), strict=True)):
        yield _one(row, place, _label(label))


def _label(label: Any) -> Any:
    """A row's label, of any kind; numpy's numbers as Python's."""
    return label.item() if hasattr(label, "item") else label


def _id(value: Any, where: str) -> str | int | None:
    """An id as it was given; None where there is none."""
    if value is None or _is_nan(value):
        return None
    if isinstance(value, str):
        return _writable(value, where)
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise UserError(f"{where}: {_short(value)}: expected a text or a whole number")


def _writable(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: character {error.start} is half of a pair, {text[error.start]!r}") from None
    return text


def _is_nan(value: Any) -> bool:
    """Whether a table holds nothing here: NaN, or pandas' NA."""
    return (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")


def _short(value: Any) -> str:
    """A value and its kind, in one line."""
    text = " ".join(repr(value).split())
    kind = "" if value is None else f" ({type(value).__name__})"
    return f"{text if len(text) <= 60 else text[:57] + '…'}{kind}"
