"""A described table as TSV, HTML, LaTeX or Markdown. Equal tables give equal bytes."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.report.tables.describe import Cell, Column, Table

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "–": "--",
    "−": r"$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "·": r"$\cdot$",
    "Δ": r"$\Delta$",
    "α": r"$\alpha$",
    "τ": r"$\tau$",
    "ρ": r"$\rho$",
    "σ": r"$\sigma$",
    "²": r"\textsuperscript{2}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "’": "'",
    "…": r"\ldots{}",
    "\u00a0": "~",
    "\u202f": r"\,",
}


def write(table: Table, paths: Iterable[Path]) -> None:
    """Write the table to each path, in the format that its suffix names: .tsv, .html, .tex or .md."""
    renderers = [(path, renderer(path)) for path in paths]
    for path, render in renderers:
        files.write_text(path, render(table))


def renderer(path: Path) -> Callable[[Table], str]:
    """The format of a path's suffix; `UserError` names the known ones."""
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: a table is written as {', '.join(FORMATS)}")
    return FORMATS[path.suffix]


def to_tsv(table: Table) -> str:
    """Data: floats at six decimals, details and marks in columns of their own, the section in the first column."""
    cells = [
        [row.cells[place] for section in table.sections for row in section.rows] for place in range(len(table.columns))
    ]
    sections = [section.title for section in table.sections for _ in section.rows]
    fields: list[list[str]] = [["section", *sections]] if any(sections) else []
    for column, entries in zip(table.columns, cells, strict=True):
        fields.append([column.name, *(_raw(cell) for cell in entries)])
        if column.detail:
            fields.append([f"{column.name} {column.detail}", *(cell.detail for cell in entries)])
        if any(cell.marks for cell in entries):
            fields.append([f"{column.name} significance", *(cell.marks for cell in entries)])
    return files.tsv(zip(*fields, strict=True))


def to_markdown(table: Table) -> str:
    """A pipe table under its title in bold, sections as rows of their own, notes below."""

    def text(value: str) -> str:
        return re.sub(r"([\\|*_`\[\]<>])", r"\\\1", value)

    def cell(entry: Cell, column: Column, aside: bool) -> str:
        shown = text(column.show(entry.value))
        shown = f"**{shown}**" if entry.bold else f"*{shown}*" if aside else shown
        marks = f"<sup>{text(entry.marks)}</sup>" if entry.marks else ""
        detail = f" {text(entry.detail if column.numeric else f'({entry.detail})')}" if entry.detail else ""
        return shown + marks + detail

    lines = [[text(column.name) for column in table.columns]]
    lines.append(["---:" if column.numeric else ":---" for column in table.columns])
    for section in table.sections:
        if section.title:
            lines.append([f"**{text(section.title)}**", *("" for _ in table.columns[1:])])
        for row in section.rows:
            lines.append(
                [cell(entry, column, row.aside) for entry, column in zip(row.cells, table.columns, strict=True)]
            )
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "".join(f"- {text(note)}\n" for note in table.notes)
    return f"**{text(table.title)}**\n\n{body}\n" + (f"\n{notes}" if notes else "")


def to_html(table: Table) -> str:
    """A page of its own with its style inside: it opens offline and stands in a Snakemake report."""
    return _environment("html").get_template("table.html.j2").render(table=table)


def answer_page(answer: Any, figure: str, links: Iterable[tuple[str, str, str]] = ()) -> str:
    """A page of a question, its answer in words, an SVG figure, a table and links, with its style inside."""
    svg = figure[figure.index("<svg") :]
    template = _environment("html").get_template("answer.html.j2")
    return template.render(answer=answer, table=answer.table, svg=svg, links=list(links))


def to_latex(table: Table) -> str:
    """A `table` float for the package booktabs, its label made from its title."""
    return _environment("tex").get_template("table.tex.j2").render(table=table)


FORMATS: Mapping[str, Callable[[Table], str]] = {
    ".tsv": to_tsv,
    ".html": to_html,
    ".tex": to_latex,
    ".md": to_markdown,
}


def latex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(LATEX.get(character, character) for character in text)


def _raw(cell: Cell) -> str:
    if cell.value is None or cell.value != cell.value:
        return ""
    return f"{cell.value:.6f}" if isinstance(cell.value, float) else str(cell.value)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


@functools.cache
def _environment(kind: str) -> jinja2.Environment:
    settings: dict[str, Any] = {
        "loader": jinja2.FileSystemLoader(Path(__file__).parent),
        "undefined": jinja2.StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
        "keep_trailing_newline": True,
    }
    if kind == "html":
        return jinja2.Environment(autoescape=True, **settings)
    environment = jinja2.Environment(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        autoescape=False,
        **settings,
    )
    environment.filters |= {"latex": latex, "slug": _slug}
    return environment
