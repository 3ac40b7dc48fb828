"""How well systems rank: means by collection, differences from a baseline, the grid, and the tests in full."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from layerrank.core import frames
from layerrank.core.errors import UserError
from layerrank.core.systems import CEILING, CONTROLS, FIRST_STAGE, FRAMEWORKS, MECHANISMS, System, parse_system
from layerrank.core.windows import window_label
from layerrank.report.tables.describe import P_VALUE, Cell, Column, Row, Section, Table, embolden, interval, row

FORM = ".3f"
SIGNED = "+.3f"
TESTS: Mapping[str, tuple[str, str]] = {
    "randomisation": ("p_randomisation_holm", "paired randomisation test"),
    "t-test": ("p_t_holm", "paired t-test"),
}
VALUES: Mapping[str, str] = {
    "means": "mean over all judged queries; one that a system did not rank counts as an empty ranking",
    "with-relevant-candidate": (
        "mean over queries that have a relevant passage among the candidates, the denominator of published attention "
        "figures"
    ),
    "differences": "difference from the baseline in means over all judged queries",
}
BOUNDS = (
    "Greyed out, neither tested nor compared for the best: controls, which know nothing of relevance (equal scores, "
    "with ties in input order; the mean over 1,000 random orders; the passage nearest the query first), and upper "
    "bounds, which have seen the judgements of the test queries (the ideal order; windows chosen by an oracle)."
)

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Marks:
    """What marks a significant difference: from which baseline, by which corrected test, at which level."""

    baseline: str = FIRST_STAGE
    test: str = "randomisation"
    alpha: float = 0.05

    def of(self, compared: Record | None) -> str:
        """`↑` or `↓` where a comparison with the baseline is significant."""
        if compared is None or not compared[TESTS[self.test][0]] <= self.alpha or compared["difference"] == 0:
            return ""
        return "↑" if compared["difference"] > 0 else "↓"

    def blind(self, compared: Record) -> bool:
        """Whether the family is too large for its queries: no data could make the corrected test significant."""
        return self.test == "randomisation" and bool(compared["p_attainable"] > self.alpha)

    def note(self, sizes: set[int]) -> str:
        """The marks explained; `sizes` are those of the families of tests."""
        family = " to ".join(str(size) for size in sorted({min(sizes), max(sizes)})) if sizes else "no"
        return (
            f"↑ ↓: better or worse than {parse_system(self.baseline).label}; {TESTS[self.test][1]}, two-sided, "
            f"α = {self.alpha:g} after Holm’s correction over the {family} tests of a collection, model and measure."
        )


@dataclass(frozen=True)
class Results:
    """Means and comparisons of one variant, by name."""

    means: Mapping[tuple[str, str, str, str], Record]
    comparisons: Mapping[tuple[str, str, str, str, str], Record]
    collections: tuple[str, ...]
    models: tuple[str, ...]
    marks: Marks

    @classmethod
    def read(cls, means: Path, comparisons: Path, measures: Sequence[str], variant: str, marks: Marks) -> Results:
        """Take what concerns one variant and some measures from the files of `aggregate` and `compare`."""
        return cls.of(frames.read_means([means]), frames.read_comparisons([comparisons]), measures, variant, marks)

    @classmethod
    def of(
        cls, means: pd.DataFrame, comparisons: pd.DataFrame, measures: Sequence[str], variant: str, marks: Marks
    ) -> Results:
        """Take what concerns one variant and some measures.

        `means` has columns `frames.MEANS`, `comparisons` those of `frames.COMPARISON`. Raises `UserError` for a
        measure or a variant that is not there.
        """
        means = pick(means, measures, variant)
        comparisons = comparisons[
            (comparisons["variant"] == variant)
            & comparisons["measure"].isin(measures)
            & (comparisons["family"] == frames.AGAINST_BASELINE)
        ]
        key = ("collection", "model", "measure")
        return cls(
            _by(means, (*key, "system")),
            _by(comparisons, (*key, "baseline", "system")),
            tuple(dict.fromkeys(means["collection"])),
            tuple(dict.fromkeys(means["model"])),
            marks,
        )

    def systems(self, model: str) -> list[str]:
        """The systems of one model in order; controls, upper bounds and the ceiling last."""
        found = dict.fromkeys(system for _, own, _, system in self.means if own == model)
        known = {system: parse_system(system) for system in found}
        return sorted(found, key=lambda name: (known[name].aside, known[name].upper_bound, name == CEILING))

    def compared(self, collection: str, model: str, measure: str, system: str) -> Record | None:
        """The comparison of a system with the baseline of the marks, if there is one."""
        return self.comparisons.get((collection, model, measure, self.marks.baseline, system))

    def cell(self, values: str, collection: str, model: str, measure: str, system: str) -> Cell:
        """One system's cell: a mean or a difference with its interval and mark; empty where there is none."""
        found = self.means.get((collection, model, measure, system))
        compared = self.compared(collection, model, measure, system)
        if found is None:
            return Cell()
        if values == "with-relevant-candidate":
            return Cell(found["mean_with_relevant_candidate"])
        mark = self.marks.of(compared)
        if values == "means":
            return Cell(found["mean"], marks=mark, detail=interval(found["low"], found["high"], FORM))
        if compared is None:
            return Cell()
        return Cell(compared["difference"], marks=mark, detail=interval(compared["low"], compared["high"], SIGNED))

    def marks_note(self) -> str:
        """The marks explained, with the sizes of the families that they were corrected in."""
        tests = self.comparisons.values()
        blind = {record["collection"]: record for record in tests if self.marks.blind(record)}
        listed = (f"{name} ({one['queries']} queries, p ≥ {one['p_attainable']:.2g})" for name, one in blind.items())
        none = f" Nothing can be shown, whatever the data are, for {', '.join(listed)}." if blind else ""
        return self.marks.note({record["tests"] for record in tests}) + none

    def equal(self, measure: str) -> str | None:
        """The value of a measure that no system changes, such as recall at the depth of the candidates; else None.

        Collections differ in it: then it is the value on each.
        """
        found: dict[str, list[str]] = {}
        for (collection, _, own, _), record in self.means.items():
            if own == measure:
                found.setdefault(collection, []).append(f"{record['mean']:{FORM}}")
        if not found or any(len(values) < 2 or len(set(values)) > 1 for values in found.values()):
            return None
        levels = {collection: values[0] for collection, values in found.items()}
        if len(set(levels.values())) == 1:
            return next(iter(levels.values()))
        return ", ".join(f"{level} on {collection}" for collection, level in levels.items())

    def queries(self, values: str) -> str:
        """How many queries stand behind a mean, by collection."""
        first = {record["collection"]: record for record in self.means.values()}
        part = values == "with-relevant-candidate"
        counts = (
            f"{name} {first[name]['queries_with_relevant_candidate']} of {first[name]['queries']}"
            if part
            else f"{name} {first[name]['queries']}"
            for name in self.collections
        )
        return "queries: " + ", ".join(counts)


def effectiveness_table(
    results: Results, measures: Sequence[str], variant: str, values: str = "means", *, caveats: Sequence[str] = ()
) -> Table:
    """Rows systems, columns collections (and measures), sections models where there are several.

    `values` is a key of `VALUES`. An unweighted mean over collections closes the table where there are several (a
    system that one of them lacks has none), else the mean over the published denominator. Raises `UserError` for
    another kind of values. `caveats` close the notes.
    """
    if values not in VALUES:
        raise UserError(f"values {values!r}: known: {', '.join(VALUES)}")
    equal = {measure: results.equal(measure) for measure in measures}
    measures = [measure for measure in measures if equal[measure] is None] or list(measures)
    columns = _columns(results, measures, values)
    sections = tuple(
        Section(
            title,
            tuple(
                embolden(
                    columns,
                    [_line(results, measures, values, model, system) for system in systems],
                    range(1, len(columns)),
                )
            ),
        )
        for title, model, systems in _blocks(results, values)
    )
    baseline = parse_system(results.marks.baseline).label
    title = {
        "means": "Effectiveness",
        "with-relevant-candidate": "Effectiveness where a relevant passage was retrieved",
        "differences": f"Differences from {baseline}",
    }[values]
    several = len(results.collections) > 1
    where = f"{len(results.collections)} collections" if several else results.collections[0]
    model = results.models[0] if len(results.models) == 1 else f"{len(results.models)} models"
    own = "" if variant == "base" else f", variant {variant}"
    spread = "" if values == "with-relevant-candidate" else " Small: 95% bootstrap interval over queries."
    notes = [
        f"{', '.join(measures)}: {VALUES[values]} ({results.queries(values)}).{spread}",
        "Bold: the best of each column" + (", by model." if len(results.models) > 1 else "."),
    ]
    if values != "with-relevant-candidate":
        notes.append(results.marks_note())
    if values == "means" and not several:
        notes.append(
            f"Where a relevant passage was retrieved: {VALUES['with-relevant-candidate']} "
            f"({results.queries('with-relevant-candidate')})."
        )
    left_out = {measure: level for measure, level in equal.items() if measure not in measures}
    notes += [f"Not shown: {measure}, which is {level} for every system." for measure, level in left_out.items()]
    if several:
        notes.append("Mean: over collections, unweighted; nothing is tested over collections pooled.")
    notes.append(BOUNDS)
    notes += [f"Caution: {caveat}" for caveat in caveats]
    return Table(f"{title}: {', '.join(measures)} · {where} · {model}{own}", columns, sections, tuple(notes))


def grid_table(results: Results, measure: str, variant: str) -> Table:
    """Columns frameworks, rows mechanisms with a row for each window of attention; a section a collection and model."""
    names = dict.fromkeys(system for _, _, _, system in results.means)
    cells = [system for system in map(parse_system, names) if system.mechanism]
    frameworks = sorted(dict.fromkeys(system.framework for system in cells), key=_known_first(FRAMEWORKS))
    ways = list(dict.fromkeys(System("", "", system.mechanism, system.window) for system in cells))
    ways.sort(key=lambda way: (_known_first(MECHANISMS)(way.mechanism), way.upper_bound))
    columns = (Column("Mechanism"), *(Column(name, FORM, group="Framework") for name in frameworks))
    sections = []
    for collection in results.collections:
        for model in results.models:
            rows = []
            for way in ways:
                names_of_row = ("-".join(filter(None, (name, way.mechanism, way.window))) for name in frameworks)
                found = [results.cell("means", collection, model, measure, name) for name in names_of_row]
                if any(cell.value is not None for cell in found):
                    label = way.mechanism + (f", {window_label(way.window)}" if way.window else "")
                    plain = [Cell(cell.value, marks=cell.marks) for cell in found]
                    rows.append(row([label[:1].upper() + label[1:], *plain], aside=way.upper_bound))
            about = _levels(results, collection, model, measure)
            sections.append(Section(f"{collection} · {model} · {about}", tuple(_best_of_all(columns, rows))))
    notes = [
        f"{measure}: {VALUES['means']}. All cells of a collection and model rank the same candidates, cut alike.",
        "Bold: the best cell of each collection and model.",
        results.marks_note(),
    ]
    if any(cell.value is None for section in sections for line in section.rows for cell in line.cells):
        notes.append("A dash: not part of this study.")
    if any(line.aside for section in sections for line in section.rows):
        notes.append("Greyed out: windows that an oracle chose on the test queries, an upper bound.")
    own = "" if variant == "base" else f", variant {variant}"
    return Table(f"Frameworks and mechanisms: {measure}{own}", columns, tuple(sections), tuple(notes))


def comparison_table(results: Results, measures: Sequence[str], variant: str) -> Table:
    """The tests in full: a section a collection, model, measure and baseline; a row a system."""
    columns = (
        Column("System"),
        Column("mean", FORM),
        Column("difference", SIGNED, detail="95% interval"),
        Column("dz", "+.2f"),
        Column("wins", "d", group="Queries"),
        Column("ties", "d", group="Queries"),
        Column("losses", "d", group="Queries"),
        Column("p", P_VALUE, group="Randomisation"),
        Column("Holm", P_VALUE, group="Randomisation"),
        Column("p", P_VALUE, group="t-test"),
        Column("Holm", P_VALUE, group="t-test"),
    )
    blocks: dict[tuple[str, ...], list[Record]] = {}
    for (collection, model, measure, baseline, _), record in results.comparisons.items():
        blocks.setdefault((collection, model, measure, baseline), []).append(record)
    sections = []
    for (collection, model, measure, baseline), records in blocks.items():
        first = records[0]
        level = f"{parse_system(baseline).label} ({first['baseline_mean']:{FORM}})"
        about = f"{first['queries']} queries, family of {first['tests']} tests"
        title = f"{collection} · {model} · {measure} against {level}, {about}"
        sections.append(Section(title, tuple(_comparison_row(record) for record in records)))
    own = "" if variant == "base" else f", variant {variant}"
    notes = (
        "Difference: system minus baseline in means over all judged queries. Small: 95% bootstrap interval.",
        "dz: Cohen’s effect size for pairs, the mean of the differences over their standard deviation.",
        "Both tests are two-sided and paired by query; Holm’s correction covers all tests of one collection, model and "
        "measure. No test pools collections.",
    )
    return Table(f"Paired comparisons: {', '.join(measures)}{own}", columns, tuple(sections), notes)


def pick(means: pd.DataFrame, measures: Sequence[str], variant: str) -> pd.DataFrame:
    """The rows of some measures and one variant; `UserError` names what is not there and what is."""
    for column, wanted in (("variant", [variant]), ("measure", measures)):
        known = list(dict.fromkeys(means[column]))
        if missing := [name for name in wanted if name not in known]:
            raise UserError(f"{column} {missing[0]!r}: not among the means; known: {', '.join(known)}")
    return means[(means["variant"] == variant) & means["measure"].isin(measures)]


def _by(frame: pd.DataFrame, key: Sequence[str]) -> dict[Any, Record]:
    records = [{str(name): value for name, value in record.items()} for record in frame.to_dict("records")]
    return {tuple(record[name] for name in key): record for record in records}


def _columns(results: Results, measures: Sequence[str], values: str) -> tuple[Column, ...]:
    form = SIGNED if values == "differences" else FORM
    detail = "" if values == "with-relevant-candidate" else "95% interval"
    several, grouped = len(results.collections) > 1, len(results.collections) > 1 and len(measures) > 1
    columns = [
        Column(collection if several and not grouped else measure, form, collection if grouped else "", detail)
        for collection in results.collections
        for measure in measures
    ]
    if several:
        columns += [Column(measure if grouped else "mean", form, "mean" if grouped else "") for measure in measures]
    elif values == "means":
        columns.append(Column(f"{measures[0]} where a relevant passage was retrieved", form))
    return (Column("System"), *columns)


def _blocks(results: Results, values: str) -> list[tuple[str, str, list[str]]]:
    """Sections as (title, model, systems). Several models share first stage and ceiling, which stand once, on top."""
    left_out = {CEILING, *CONTROLS, results.marks.baseline} if values == "differences" else set()
    systems = {model: [name for name in results.systems(model) if name not in left_out] for model in results.models}
    if len(results.models) == 1:
        return [("", model, own) for model, own in systems.items()]
    shared = [name for name in (FIRST_STAGE, *CONTROLS, CEILING) if name not in left_out]
    blocks = [(model, model, [name for name in own if name not in shared]) for model, own in systems.items()]
    return [("All models", results.models[0], shared), *blocks] if shared else blocks


def _line(results: Results, measures: Sequence[str], values: str, model: str, system: str) -> Row:
    cells = [
        results.cell(values, collection, model, measure, system)
        for collection in results.collections
        for measure in measures
    ]
    if len(results.collections) > 1:
        for place in range(len(measures)):
            own = [cell.value for cell in cells[: len(results.collections) * len(measures)][place :: len(measures)]]
            numbers = [value for value in own if isinstance(value, float)]
            cells.append(Cell(sum(numbers) / len(numbers) if len(numbers) == len(own) else None))
    elif values == "means":
        cells.append(results.cell("with-relevant-candidate", results.collections[0], model, measures[0], system))
    parsed = parse_system(system)
    return row([parsed.label, *cells], aside=parsed.aside)


def _comparison_row(record: Record) -> Row:
    return row(
        [
            parse_system(record["system"]).label,
            record["mean"],
            Cell(record["difference"], detail=interval(record["low"], record["high"], SIGNED)),
            record["effect_size"],
            *(record[name] for name in ("wins", "ties", "losses")),
            *(record[f"p_{test}{way}"] for test in ("randomisation", "t") for way in ("", "_holm")),
        ]
    )


def _levels(results: Results, collection: str, model: str, measure: str) -> str:
    bm25 = results.means.get((collection, model, measure, FIRST_STAGE))
    ceiling = results.means.get((collection, model, measure, CEILING))
    if bm25 is None or ceiling is None:
        return "not part of this study"
    return f"BM25 {bm25['mean']:{FORM}} · ceiling {ceiling['mean']:{FORM}} · {bm25['queries']} queries"


def _best_of_all(columns: Sequence[Column], rows: Sequence[Row]) -> list[Row]:
    """The best cell of a whole grid in bold: its competing cells are compared as if in one column."""
    places = [(index, place) for index in range(len(rows)) for place in range(1, len(columns))]
    flat = [Row((rows[index].cells[place],), rows[index].aside) for index, place in places]
    marked = dict(zip(places, embolden([Column("", FORM)], flat, [0]), strict=True))
    return [
        Row((line.cells[0], *(marked[index, place].cells[0] for place in range(1, len(columns)))), line.aside)
        for index, line in enumerate(rows)
    ]


def _known_first(known: Sequence[str]) -> Callable[[str], int]:
    return lambda name: next((place for place, own in enumerate(known) if name.startswith(own)), len(known))
