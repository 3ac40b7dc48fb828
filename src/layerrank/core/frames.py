"""Tables of numbers as TSV: names stay text whatever they look like, floats are written with fixed decimals.

The columns of every table stand here, for who writes it and who reads it. What belongs to one collection, model and
variant says so in its first columns (`CELL`), so that tables of several can be joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.records import OUTCOMES

CELL = ("collection", "model", "variant")
VALUES = (*CELL, "system", "qid", "measure", "value", "has_relevant_candidate")
MEANS = (
    *CELL,
    "system",
    "measure",
    "mean",
    "low",
    "high",
    "queries",
    "mean_with_relevant_candidate",
    "queries_with_relevant_candidate",
    "ceiling",
)
FAMILY = (*CELL, "measure", "family")
"""What a family of tests has in common, which a correction covers."""
AGAINST_BASELINE, OF_MECHANISMS, OF_WINDOWS, OF_REMEDIES = "baseline", "mechanisms", "windows", "remedies"
OF_HEADS = "heads"
"""Families: every system against a baseline; attention against other mechanisms; windows against all layers; what
averages over input orders or calibrates by place against the same window as it is; chosen heads against all layers,
against chosen windows and against one another."""
COMPARISON = (
    *FAMILY,
    "baseline",
    "system",
    "queries",
    "baseline_mean",
    "mean",
    "difference",
    "low",
    "high",
    "effect_size",
    "wins",
    "ties",
    "losses",
    "p_randomisation",
    "p_t",
    "p_randomisation_holm",
    "p_t_holm",
    "p_attainable",
    "tests",
)
AUDIT = (
    *CELL,
    "system",
    "measure",
    "queries",
    "value",
    "tied_pairs",
    "tied_value",
    "judged",
    "condensed",
)
CORRELATION = (*CELL, "system", "diagnostic", "passages", "mean", "low", "high", "queries")
PROFILE = (*CELL, "measure", "layer", "relative_depth", "mean", "low", "high", "queries")
ENDS = frozenset({"low", "high"})
"""The ends of intervals: empty where a single query has a mean and no interval."""
SWEEP = (*CELL, "start", "end", "measure", "mean")
COUNTS = (
    "groups",
    "memo_hits",
    "forward_passes",
    "prompt_tokens",
    "generated_tokens",
    "layer_tokens",
    "truncated_passages",
    "computed_tokens",
    "computed_layer_tokens",
)
SECONDS = ("seconds", "seconds_median", "seconds_q1", "seconds_q3")
SUMMARY = (*CELL, "system", "queries", *COUNTS, *SECONDS, *OUTCOMES, "failure_rate")
SENSITIVITY = (
    *CELL,
    "system",
    "measure",
    "queries",
    "base",
    "value",
    "difference",
    "low",
    "high",
    "wins",
    "ties",
    "losses",
    "changed",
    "ceiling",
)
SHAPE = (
    *CELL,
    "measure",
    "layers",
    "queries",
    "verdict",
    "reason",
    "queries_needed",
    *("best_layer", "best_low", "best_high", "best_depth", "best_depth_low", "best_depth_high"),
    *(f"{name}{end}" for name in ("rise", "fall", "lost_first", "lost_last") for end in ("", "_low", "_high")),
    *("spread", "spread_high"),
    *("floor", "height", "centre", "centre_error", "centre_layer", "width", "width_error", "width_layers"),
    *("left_floor", "right_floor", "peak", "peak_depth", "left_width", "right_width"),
    *("r2_bell", "r2_asymmetric", "r2_monotone"),
    *("weight_bell", "weight_asymmetric", "weight_monotone", "weight_flat"),
)
"""Columns of `layer_shapes`."""
NEIGHBOURS = (*CELL, "layer", "relative_depth", "mean", "low", "high", "queries")
"""Columns of `neighbour_agreement`; a row compares `layer` with the next one."""
HEADS = (
    *(*CELL, "layer", "head", "measure", "strategy"),
    *(f"{name}{end}" for name in ("mean", "tau", "value") for end in ("", "_low", "_high")),
    *("queries", "orders"),
)
"""A row a head by itself: `mean` of the measure, and over input orders its stability (Kendall's `tau`) and `value`."""
HEAD_COUNTS = (*CELL, "rule", "upper_bound", "top", "heads", "measure", "strategy", "mean", "low", "high", "queries")
"""A row a rule and number of heads: the mean of the measure under so many of the best; `top` is the rule's own."""
HEAD_TRANSFER = (
    *("model", "rule", "source", "target", "measure", "strategy", "heads", "value", "low", "high"),
    *("difference", "difference_low", "difference_high", "overlap"),
)
"""A row a rule, source and target: the mean on the target of heads chosen on the source, less that of its own heads."""
HEAD_AGREEMENT = ("kind", "rule", "within", "one", "other", "heads", "overlap", "chance", "correlation")
"""A row a rule and pair of places: the share of heads that two sets have in common, what chance would give, and how
all heads' ranks correlate."""
TRANSFER = (
    "kind",
    "source",
    "target",
    "measure",
    "window",
    "value",
    "oracle_window",
    "oracle",
    "regret",
    "same_queries",
    "relative_depth",
)
LATENCY = (
    *CELL,
    "system",
    "stage",
    "median",
    "low",
    "high",
    "rounds",
    "queries",
    "layers",
    "tokens",
    "gflop",
    "mib",
)
"""A row a system and stage.

median, low, high: seconds a query (of `load`: seconds), mean over the sample's queries in each round; the median, the
lowest and the highest of the rounds. layers: loaded. tokens: read (prefill) or written (decode) a query, mean. gflop:
operations that the stage needs by formula (`layerrank.latency.flops`), in 10⁹ a query. mib: of `load`, the weights; of
`total`, the most that memory rises above the loaded model while a query of the sample is ranked; in MiB.
"""
POINTS = ("mean", "low", "high", "queries", "mean_not_relevant", "relevant")
POSITION = (*CELL, "system", "position", *POINTS)
LENGTH = (*CELL, "system", "tokens", *POINTS)
ORDERS = (
    *CELL,
    "start",
    "end",
    "relative_depth",
    "measure",
    *(f"{name}{end}" for name in ("passage", "place") for end in ("", "_low", "_high")),
    "rest",
    *(f"{name}{end}" for name in ("tau", "first", "value") for end in ("", "_low", "_high")),
    "base",
    "lowest",
    "highest",
    "spread",
    "queries",
    "orders",
    "shuffles",
)
"""Columns of `orders_table`: a window's shares, stability and measure over input orders."""
WINDOW_ORDERS = (
    *(*CELL, "kind", "window", "measure"),
    *(f"{name}{end}" for name in ("passage", "place") for end in ("", "_low", "_high")),
    "rest",
    *(f"{name}{end}" for name in ("tau", "first", "value") for end in ("", "_low", "_high")),
    *("base", "lowest", "highest", "spread", "averaged", "calibrated", "calibrated_base"),
    *("oracle_window", "oracle", "regret", "regret_base"),
    *("queries", "orders", "shuffles"),
)
"""Columns of `over_orders`' windows: as `ORDERS`, of the windows that a study uses (`kind` window) and of each layer
(`kind` layer), the measure of order-averaged and of place-calibrated scores, and the regret against the best single
window over all orders and in the base's order."""
BY_ORDER = (*CELL, "window", "measure", "order", "mean", "low", "high", "queries")
"""Columns of `over_orders`' orders: a window's measure under each order."""
TEXT = frozenset(
    {
        *(*CELL, "system", "baseline", "measure", "family", "qid", "diagnostic", "passages"),
        *("kind", "order", "source", "target", "window", "stage", "oracle_window", "verdict", "reason"),
        *("rule", "strategy", "within", "one", "other"),
    }
)


def own_columns(columns: Sequence[str]) -> list[str]:
    """The columns without those of `CELL`: what a table is before it is known whose it is."""
    return [name for name in columns if name not in CELL]


def in_cell(
    frame: pd.DataFrame, columns: Sequence[str], collection: str, model: str, variant: str = "base"
) -> pd.DataFrame:
    """A frame with its collection, model and variant in every row: `columns`, in their order."""
    return frame.assign(collection=collection, model=model, variant=variant)[list(columns)]


def write_frame(path: Path, frame: pd.DataFrame, digits: int = 6) -> None:
    """Write a TSV with a header, floats at `digits` decimals, nothing where a value is missing; atomic."""
    files.write_text(path, frame.to_csv(sep="\t", index=False, float_format=f"%.{digits}f", lineterminator="\n"))


def read_frame(path: Path, columns: Sequence[str], *, complete: bool = False) -> pd.DataFrame:
    """Read a TSV that has at least `columns`; columns of names (`TEXT`) are text, and empty fields elsewhere are NaN.

    Raises:
        UserError: the file is absent, is no table, or lacks one of `columns`; a field of theirs is no finite number
            where one is due, or, where the table must be `complete`, is empty (but for `ENDS`).
    """
    names: Mapping[str, type] = MappingProxyType(dict.fromkeys(TEXT, str))
    try:
        frame = pd.read_csv(
            path,
            sep="\t",
            dtype=dict(names),
            keep_default_na=False,
            na_values={name: [""] for name in _header(path) if name not in names},
            float_precision="round_trip",
        )
    except (pd.errors.EmptyDataError, pd.errors.ParserError, ValueError) as error:
        raise UserError(f"{path}: not a table ({error})") from None
    if missing := [name for name in columns if name not in frame.columns]:
        raise UserError(f"{path}: lacks the column {missing[0]} (has {', '.join(map(str, frame.columns))})")
    for name in columns:
        if name not in TEXT:
            _check_numbers(path, frame[name], complete and name not in ENDS)
    return frame


def _check_numbers(path: Path, column: pd.Series, complete: bool) -> None:
    """Refuse a column in which something is no number, or infinite, or, where it must be complete, missing."""
    missing = column.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(column):
        wrong = np.isinf(column.to_numpy(dtype=np.float64))
    else:
        wrong = np.array([not isinstance(value, bool) for value in column], dtype=bool) & ~missing
    if complete:
        wrong |= missing
    if wrong.any():
        place = int(wrong.argmax())
        raise UserError(f"{path}:{place + 2}: {column.name} is {str(column.iloc[place])!r}; expected a finite number")


def read_frames(paths: Iterable[Path], columns: Sequence[str], key: Sequence[str] = ()) -> pd.DataFrame:
    """Read and join several such files, or none; `UserError` where two rows agree in all of `key`."""
    read = [read_frame(path, columns) for path in paths]
    frame = pd.concat(read, ignore_index=True) if read else pd.DataFrame(columns=list(columns))
    if key and len(repeated := frame[frame.duplicated(list(key))]):
        row = repeated.iloc[0]
        raise UserError(f"given twice: {', '.join(f'{name} {row[name]}' for name in key)}")
    return frame


def read_values(paths: Iterable[Path]) -> pd.DataFrame:
    """Read and join what `evaluate` wrote: per-query values, columns `VALUES`; `UserError` where there are none."""
    given = list(paths)
    found = read_frames(given, VALUES, (*CELL, "system", "measure", "qid"))
    if not len(found) or found["value"].isna().any():
        raise UserError(f"{', '.join(map(str, given))}: no value of any query, or a value is missing")
    return found


def read_means(paths: Iterable[Path]) -> pd.DataFrame:
    """Read and join what `aggregate` wrote: means, columns `MEANS`."""
    return read_frames(paths, MEANS, (*CELL, "system", "measure"))


def read_comparisons(paths: Iterable[Path]) -> pd.DataFrame:
    """Read and join what `compare` wrote: columns `COMPARISON`."""
    return read_frames(paths, COMPARISON, (*FAMILY, "baseline", "system"))


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8") as lines:
            return lines.readline().rstrip("\n").split("\t")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
