"""Draws docs/house.svg, the packages of layerrank and the imports between them, from the code: `make docs`.

Floors are those of the import contract (pyproject.toml), what a package is for is its docstring, arrows are imports
that grimp finds. An arrow that passes a floor goes through a gap between its boxes. The same code gives the same bytes.
"""

from __future__ import annotations

import ast
import html
import itertools
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = Path(__file__).with_name("house.svg")
PACKAGE = "layerrank"

WIDTH, BOX, GAP, RISE = 1120, 192, 20, 58
LINE, LETTERS = 15, 28
"""Height of a line of text, and letters on it in a box."""

Pair = tuple[str, str]


def floors() -> list[list[str]]:
    """The packages by floor, top first, as the contract names them; `__main__` is no package."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (contract,) = (contract for contract in contracts if contract["id"] == "floors")
    return [floor.split(" | ") for floor in contract["layers"] if floor != "__main__"]


def arrows() -> list[Pair]:
    """(importer, imported), between packages, sorted."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    pairs = {
        (_package(module), _package(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    return sorted((one, other) for one, other in pairs if one and other and one != other)


def purpose(package: str) -> str:
    """The first sentence of a package's docstring."""
    text = (ROOT / "src" / PACKAGE / package / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]


def draw() -> str:
    """The picture as SVG."""
    rows, found = floors(), arrows()
    boxes, height = _boxes(rows)
    shown = [(one, other) for one, other in found if one not in rows[0] and other not in rows[-1]]
    parts = [part for pair in shown for part in _arrow(pair, rows, boxes, shown)]
    parts += [part for name, box in boxes.items() for part in _drawn(name, box)]
    wrong = sum(_floor(rows, one) >= _floor(rows, other) for one, other in found)
    note = (
        f"{len(boxes)} packages on {len(rows)} floors; {len(found)} arrows (who imports whom), {wrong} of them up or "
        f"sideways. Not drawn: {' '.join(rows[0])} may import all, all import {' '.join(rows[-1])}."
    )
    parts.append(f'<text x="{GAP}" y="{height - 18:.0f}" class="small">{html.escape(note)}</text>')
    return "\n".join([_HEAD.format(width=WIDTH, height=round(height)), *parts, "</svg>", ""])


class Box(NamedTuple):
    """Where a package stands, in pixels, and its words."""

    x: float
    y: float
    width: float
    height: float
    words: Sequence[str]

    @property
    def middle(self) -> float:
        """Of its width."""
        return self.x + self.width / 2


def _boxes(rows: Sequence[Sequence[str]]) -> tuple[dict[str, Box], float]:
    """Each package's box, and the height of the picture. The top and the bottom floor are as wide as the picture."""
    boxes: dict[str, Box] = {}
    y = float(GAP)
    for row in rows:
        wide = row in (rows[0], rows[-1])
        width = WIDTH - 2 * GAP if wide else BOX
        words = {name: textwrap.wrap(purpose(name), round(LETTERS * width / BOX)) for name in row}
        height = 34.0 + LINE * max(map(len, words.values()))
        space = (WIDTH - len(row) * width) / (len(row) + 1)
        for place, name in enumerate(row):
            boxes[name] = Box(space + place * (width + space), y, width, height, words[name])
        y += height + (RISE / 2 if wide else RISE)
    return boxes, y + 12


def _package(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else ""


def _floor(rows: Sequence[Sequence[str]], name: str) -> int:
    return next(place for place, row in enumerate(rows) if name in row)


def _drawn(name: str, box: Box) -> Iterator[str]:
    yield f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" rx="6"/>'
    yield f'<text x="{box.x + 12:.0f}" y="{box.y + 21:.0f}" class="name">{name}</text>'
    for place, line in enumerate(box.words):
        y = box.y + 39 + LINE * place
        yield f'<text x="{box.x + 12:.0f}" y="{y:.0f}" class="small">{html.escape(line)}</text>'


def _arrow(pair: Pair, rows: Sequence[Sequence[str]], boxes: Mapping[str, Box], shown: Sequence[Pair]) -> Iterator[str]:
    begin, end = _ends(pair, boxes, shown)
    one, other = boxes[pair[0]], boxes[pair[1]]
    points = [(begin, one.y + one.height)]
    for floor in range(_floor(rows, pair[0]) + 1, _floor(rows, pair[1])):
        gap = _gap(pair, floor, rows, boxes, shown)
        assert gap is not None
        beside = [each for each in shown if _gap(each, floor, rows, boxes, shown) == gap]
        x = gap + 5 * (beside.index(pair) - (len(beside) - 1) / 2)
        box = boxes[rows[floor][0]]
        points += [(x, box.y - 8), (x, box.y + box.height + 8)]
    points.append((end, other.y - 7))
    yield f'<path d="{_curve(points)}" marker-end="url(#head)"/>'


def _gap(
    pair: Pair, floor: int, rows: Sequence[Sequence[str]], boxes: Mapping[str, Box], shown: Sequence[Pair]
) -> float | None:
    """Middle of the gap, or of the margin, in which an arrow passes a floor; None where it does not."""
    first, last = _floor(rows, pair[0]), _floor(rows, pair[1])
    if not first < floor < last:
        return None
    begin, end = _ends(pair, boxes, shown)
    wanted = begin + (end - begin) * (floor - first) / (last - first)
    edges = [0.0, *(x for name in rows[floor] for x in (boxes[name].x, boxes[name].x + BOX)), float(WIDTH)]
    middles = [(left + right) / 2 for left, right in zip(edges[::2], edges[1::2], strict=True)]
    return min(middles, key=lambda middle: abs(middle - wanted))


def _ends(pair: Pair, boxes: Mapping[str, Box], shown: Sequence[Pair]) -> tuple[float, float]:
    one, other = pair
    begin = _port(boxes[one], [to for source, to in shown if source == one], other, boxes)
    return begin, _port(boxes[other], [source for source, to in shown if to == other], one, boxes)


def _port(box: Box, others: Sequence[str], own: str, boxes: Mapping[str, Box]) -> float:
    """Where on a box's edge an arrow begins or ends: they are spread over it, left to right as their other ends lie."""
    place = sorted(others, key=lambda name: (boxes[name].middle, name)).index(own)
    return box.x + box.width * (place + 1) / (len(others) + 1)


def _curve(points: Sequence[tuple[float, float]]) -> str:
    parts = [f"M{points[0][0]:.0f} {points[0][1]:.0f}"]
    for place, ((x, y), (to_x, to_y)) in enumerate(itertools.pairwise(points)):
        if place % 2:  # straight through a gap
            parts.append(f"L{to_x:.0f} {to_y:.0f}")
        else:
            middle = (y + to_y) / 2
            parts.append(f"C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {to_y:.0f}")
    return " ".join(parts)


_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<title>The packages of layerrank and the imports between them</title>
<style>
text {{ font-family: sans-serif; fill: #1d2733; }}
.name {{ font-size: 15px; font-weight: bold; }}
.small {{ font-size: 11.5px; }}
rect {{ fill: #f4f7fa; stroke: #7d93a8; }}
path {{ fill: none; stroke: #4a6a8a; stroke-width: 1.3; }}
#head path {{ fill: #4a6a8a; stroke: none; }}
#paper {{ fill: white; stroke: none; }}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0L8 4L0 8z"/></marker></defs>
<rect id="paper" width="{width}" height="{height}"/>"""


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
