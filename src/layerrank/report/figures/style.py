"""One look for every figure: a hue a mechanism, a marker and a dash a framework, the same bytes everywhere.

The hues are Okabe and Ito's (Color Universal Design, 2008), which stay apart under the common colour deficiencies.
In grey a mechanism is told by the fill of its markers. Text is drawn with the DejaVu Sans that matplotlib carries.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.optimize import isotonic_regression

from layerrank.core import systems
from layerrank.core.errors import UserError
from layerrank.core.files import replacing

ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
INK, GREY, FAINT = "#1A1A1A", "#6B6B6B", "#D9D9D9"

FIRST_STAGE = "first stage"
OTHER = "other"

MECHANISM_COLOURS: Mapping[str, str] = {
    "attention": BLUE,
    "generation": VERMILION,
    "likelihood": GREEN,
    FIRST_STAGE: "#555555",
    OTHER: PURPLE,
}
MECHANISM_FILLS: Mapping[str, float] = {
    "attention": 1.0,
    "generation": 0.0,
    "likelihood": 0.45,
    FIRST_STAGE: 1.0,
    OTHER: 0.7,
}
FRAMEWORK_MARKERS: Mapping[str, str] = {
    "pointwise": "o",
    "pairwise": "s",
    "setwise": "^",
    "listwise": "D",
    FIRST_STAGE: "X",
    OTHER: "P",
}
Dash = str | tuple[int, tuple[float, ...]]
FRAMEWORK_DASHES: Mapping[str, Dash] = {
    "listwise": "-",
    "setwise": (0, (6.0, 1.6)),
    "pairwise": (0, (4.0, 1.4, 1.0, 1.4)),
    "pointwise": (0, (1.2, 1.4)),
    FIRST_STAGE: (0, (2.5, 1.5)),
    OTHER: (0, (8.0, 1.4, 1.0, 1.4, 1.0, 1.4)),
}
SEQUENCE_DASHES: Sequence[Dash] = ("-", (0, (6.0, 1.6)), (0, (1.2, 1.4)), (0, (4.0, 1.4, 1.0, 1.4)))
SEQUENCE_MARKERS = "oD^svP<>X*"

STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "hatch.linewidth": 0.6,
    "figure.dpi": 100.0,
    "savefig.dpi": 200.0,
    "svg.fonttype": "path",
    "svg.hashsalt": "layerrank",
    "pdf.fonttype": 42,
    "pdf.compression": 6,
}

_METADATA: Mapping[str, Mapping[str, str | None]] = {
    ".svg": {"Date": None, "Creator": "layerrank"},
    ".pdf": {"CreationDate": None, "Creator": "layerrank", "Producer": None},
    ".png": {"Software": None},
}

TITLE_SIZE, SUBTITLE_SIZE, NOTE_SIZE = 11.0, 8.5, 8.0

_Drawing = TypeVar("_Drawing", bound=Callable[..., Any])


def styled(function: _Drawing) -> _Drawing:
    """Run `function` under matplotlib's defaults and `STYLE`, whatever a user's own matplotlibrc says."""

    @functools.wraps(function)
    def within(*arguments: Any, **options: Any) -> Any:
        with matplotlib.style.context(["default", dict(STYLE)]):
            return function(*arguments, **options)

    return within  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Look:
    """How a system is drawn: hue and fill say the mechanism, marker and dash the framework.

    `framework` and `mechanism` are keys of the tables above; a name that fits none of them is `other`.
    """

    framework: str
    mechanism: str

    @property
    def colour(self) -> str:
        """The mechanism's hue."""
        return MECHANISM_COLOURS[self.mechanism]

    @property
    def face(self) -> tuple[float, float, float]:
        """The marker's fill: the hue, a tint of it, or white, by mechanism."""
        return tint(self.colour, MECHANISM_FILLS[self.mechanism])

    @property
    def marker(self) -> dict[str, Any]:
        """Arguments of `Axes.plot` that draw the system's marker, and no line."""
        first = self.mechanism == FIRST_STAGE
        return {
            "marker": FRAMEWORK_MARKERS[self.framework],
            "markersize": 9.0 if first else 6.0,
            "markerfacecolor": self.face,
            "markeredgecolor": "white" if first else self.colour,
            "markeredgewidth": 0.8 if first else 1.2,
            "linestyle": "none",
        }

    @property
    def dash(self) -> Dash:
        """The framework's dash."""
        return FRAMEWORK_DASHES[self.framework]


def look_of(name: str) -> Look:
    """The look of a system by its name; a parametrisation's own name (`setwise3bubble`) has its framework's."""
    if name == systems.FIRST_STAGE:
        return Look(FIRST_STAGE, FIRST_STAGE)
    system = systems.parse_system(name)
    framework = next((known for known in FRAMEWORK_MARKERS if system.framework.startswith(known)), OTHER)
    mechanism = next((known for known in MECHANISM_COLOURS if system.mechanism.startswith(known)), OTHER)
    return Look(framework, mechanism)


def label_of(name: str) -> str:
    """A system's name in words; a name of no known form as it is."""
    system = systems.parse_system(name)
    look = look_of(name)
    told = (look.mechanism, look.framework) != (OTHER, OTHER) and (look.mechanism != OTHER or system.mechanism)
    return system.label if told or name == systems.CEILING or system.framework == systems.TRAINED else name


def tint(colour: str, strength: float) -> tuple[float, float, float]:
    """`colour` mixed with white: 1 is the colour itself, 0 white."""
    red, green, blue = (1.0 - strength * (1.0 - channel) for channel in to_rgb(colour))
    return red, green, blue


def new_figure(width: float, height: float, title: str = "", subtitle: str = "") -> Figure:
    """A figure of `width` inches whose body is `height` inches high, below a left-aligned title and a grey subtitle."""
    heading = textwrap.wrap(title, max(20, int(width * 10.6)))
    below = textwrap.wrap(subtitle, max(20, int(width * 15.5)))
    header = 0.06 + 0.20 * len(heading) + 0.17 * len(below) + (0.06 if heading or below else 0.0)
    whole = height + header
    figure = Figure(figsize=(width, whole), layout="constrained")
    layout = figure.get_layout_engine()
    if layout is None:
        raise RuntimeError("a constrained figure has a layout engine")
    layout.set(rect=(0.0, 0.0, 1.0, height / whole), w_pad=0.06, h_pad=0.06)  # type: ignore[call-arg]
    place = 1.0 - 0.08 / whole
    for line in heading:
        text = figure.text(0.09 / width, place, line, size=TITLE_SIZE, weight="bold", va="top", parse_math=False)
        text.set_in_layout(False)
        place -= 0.20 / whole
    for line in below:
        figure.text(0.09 / width, place, line, size=SUBTITLE_SIZE, color=GREY, va="top").set_in_layout(False)
        place -= 0.17 / whole
    return figure


@styled
def save(figure: Figure, *paths: Path) -> None:
    """Write `figure` once a path, as the suffix says (.svg, .pdf, .png), atomically and without dates.

    Raises `UserError` for another suffix.
    """
    for path in paths:
        if path.suffix not in _METADATA:
            raise UserError(f"{path}: a figure's name ends in {', '.join(_METADATA)}")
    for path in paths:
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], metadata=dict(_METADATA[path.suffix]), facecolor="white")


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move `places` as little as possible (least squares) so that neighbours lie at least `gap` apart; order kept."""
    if not places:
        return []
    order = np.argsort(places, kind="stable")
    steps = gap * np.arange(len(places))
    moved = isotonic_regression(np.asarray(places, dtype=float)[order] - steps).x + steps
    result = np.empty(len(places))
    result[order] = moved
    return [float(place) for place in result]


def label_right(axes: Axes, labels: Sequence[tuple[float, str, str]], size: float = NOTE_SIZE) -> None:
    """Write (value, text, colour) labels outside the right edge at their values, moved apart where they would collide.

    Call it when the y limits are final.
    """
    low, high = axes.get_ylim()
    height = axes.get_figure(root=True).get_size_inches()[1] * axes.get_position().height  # type: ignore[union-attr]
    lines = [1 + text.count("\n") for _, text, _ in labels]
    gap = (high - low) * (size * 1.25 / 72) / height * max(lines, default=1)
    for (value, text, colour), place in zip(labels, spread([value for value, _, _ in labels], gap), strict=True):
        axes.annotate(
            text,
            xy=(1.0, value),
            xycoords=("axes fraction", "data"),
            xytext=(1.025, place),
            textcoords=("axes fraction", "data"),
            size=size,
            color=colour,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 1, "shrinkB": 0},
        )


def note(axes: Axes, text: str, **options: Any) -> None:
    """Write a grey remark in the middle of `axes`, for data that cannot be drawn."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, **{"size": NOTE_SIZE, **options}
    )


def layer_axis(axes: Axes, layers: Sequence[int]) -> None:
    """Put integer ticks and half a layer of air on the x axis."""
    axes.set_xlim(min(layers) - 0.6, max(layers) + 0.6)
    integer_ticks(axes.xaxis, len(layers))


def integer_ticks(axis: Axis, number: int) -> None:
    """Tick 0 to `number` - 1 at whole numbers only."""
    if number <= 6:
        axis.set_ticks(range(number))
    else:
        axis.set_major_locator(MaxNLocator(nbins=12, integer=True, steps=[1, 2, 5, 10]))


def shades(number: int) -> list[str]:
    """`number` shades of the attention's hue, dark to light, for lines that differ in something else than mechanism."""
    if number == 1:
        return [BLUE]
    ramp = LinearSegmentedColormap.from_list("attention", ["#06284A", BLUE, "#7CC0EA"])
    return [to_hex(ramp(place)) for place in np.linspace(0, 1, number)]


def grid_of(number: int, wide: int = 4) -> tuple[int, int]:
    """Rows and columns of `number` panels, at most `wide` a row."""
    columns = min(number, wide if number > 2 * 3 else 3)
    return -(-number // columns), columns


def legend_columns(labels: Sequence[str], width: float, handlelength: float = 2.0) -> int:
    """Columns of a legend with these labels that fit into `width` inches."""
    room = 12 * handlelength + 14
    if sum(4.7 * len(label) + room for label in labels) <= width * 72:
        return max(1, len(labels))
    longest = max(map(len, labels))
    return max(1, min(len(labels), int(width * 72 / (longest * 4.4 + room))))


def legend_below(figure: Figure, handles: Sequence[Artist], **options: Any) -> None:
    """Put a legend below everything, in as many columns as the width allows; none where there is nothing to tell."""
    if handles:
        labels = [str(handle.get_label()) for handle in handles]
        columns = legend_columns(labels, figure.get_size_inches()[0], options.get("handlelength", 2.0))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, **options)


def value_limits(values: Sequence[float], *, floor: float | None = 0.0) -> tuple[float, float]:
    """Limits around the finite `values` with 8% air, not below `floor`; starts at the floor where that is near."""
    finite = np.asarray([value for value in values if np.isfinite(value)], dtype=float)
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    air = 0.08 * (high - low) or 0.05
    low, high = low - air, high + air
    if floor is not None and low < floor + 0.15 * (high - floor):
        low = floor
    return low, high


def encoding_handles(names: Sequence[str]) -> list[Line2D]:
    """Legend entries for the systems that occur: hue and fill (mechanisms), then marker (frameworks)."""
    looks = [look_of(name) for name in names]
    handles = []
    for mechanism, colour in MECHANISM_COLOURS.items():
        if mechanism not in (FIRST_STAGE, OTHER) and any(look.mechanism == mechanism for look in looks):
            marker = {**Look(OTHER, mechanism).marker, "marker": "h", "markersize": 7.5, "markeredgecolor": colour}
            handles.append(Line2D([], [], label=mechanism, **marker))
    own = {
        systems.parse_system(name).mechanism for name, look in zip(names, looks, strict=True) if look.mechanism == OTHER
    }
    if told := ", ".join(sorted(filter(None, own))):  # mechanisms under names of the study's own
        handles.append(Line2D([], [], label=told, **{**Look(OTHER, OTHER).marker, "marker": "h", "markersize": 7.5}))
    for framework, shape in FRAMEWORK_MARKERS.items():
        if framework not in (FIRST_STAGE, OTHER) and any(look.framework == framework for look in looks):
            ink: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": INK, "markersize": 6.0}
            handles.append(Line2D([], [], label=framework, marker=shape, linestyle="none", **ink))
    return handles
