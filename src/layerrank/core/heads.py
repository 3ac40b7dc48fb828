"""Sets of attention heads: how they are written, the files of others, published sets, and what a rule chose.

A head is (layer, head), both from 0, written `13-18`. A set is a list of such pairs or names, or one text of names
with commas. Nothing else takes such a name apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from layerrank.core import files
from layerrank.core.errors import UserError

Head = tuple[int, int]


def parse_heads(value: Any, layers: int | None = None, heads: int | None = None) -> tuple[Head, ...]:
    """The heads that a value names, in its order: `"13-18,14-1"`, `["13-18"]` or `[[13, 18]]`.

    Raises `UserError` for an empty set, a head that is none or comes twice, and, where the model's `layers` and `heads`
    are given, for one beyond them.
    """
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise UserError(f"heads {value!r}: expected a list of heads such as 13-18")
    found = tuple(_head(part) for part in parts)
    if not found:
        raise UserError("heads: the set is empty; name at least one head, such as 13-18")
    for place, (layer, head) in enumerate(found):
        if (layer, head) in found[:place]:
            raise UserError(f"heads: {layer}-{head} comes twice")
        if layers is not None and layer >= layers:
            raise UserError(f"head {layer}-{head}: the model has layers 0 to {layers - 1}")
        if heads is not None and head >= heads:
            raise UserError(f"head {layer}-{head}: the model has heads 0 to {heads - 1} in each layer")
    return found


def _head(part: Any) -> Head:
    if isinstance(part, str) and (match := re.fullmatch(r"\s*(\d+)-(\d+)\s*", part, re.ASCII)):
        return int(match[1]), int(match[2])
    if (
        isinstance(part, list | tuple)
        and len(part) == 2
        and all(type(number) is int and number >= 0 for number in part)
    ):
        return part[0], part[1]
    raise UserError(f"head {part!r}: expected LAYER-HEAD or [layer, head], both whole numbers from 0")


def head_names(heads: Iterable[Head]) -> list[str]:
    """`13-18` of each."""
    return [f"{layer}-{head}" for layer, head in heads]


@dataclass(frozen=True, slots=True)
class PublishedHeads:
    """A released set: the model that it is of, and its heads, best first."""

    name: str
    model: str
    heads: tuple[Head, ...]


@cache
def published_heads() -> Mapping[str, PublishedHeads]:
    """Released sets by name; where each stands is said in published_heads.yaml."""
    table = yaml.safe_load(Path(__file__).with_name("published_heads.yaml").read_text(encoding="utf-8"))
    return {name: PublishedHeads(name, entry["model"], parse_heads(entry["heads"])) for name, entry in table.items()}


@dataclass(frozen=True, slots=True)
class ChosenHeads:
    """A set with the queries that it is for; `chosen_on` says on what it was chosen."""

    heads: tuple[Head, ...]
    qids: tuple[str, ...]
    chosen_on: str


@dataclass(frozen=True, slots=True)
class HeadSelection:
    """What a rule chose for one collection and model.

    Attributes:
        rule: the name that the study gives the rule, as in the system `heads-<rule>`.
        family: the kind of rule, such as `core`; `settings` are the rule's own.
        chosen_by: `cross-validation`, `other-collections`, `none` (no judgements) or `test queries`.
        upper_bound: whether the test queries' own judgements were used.
        layers, heads: of the model.
        folds, seed: of the cross-validation, None where there is none.
        collection: whose queries are judged; `collections` are those that the set was chosen on.
        sets: each query in one of them; `default` is for all queries that none names.

    Raises `UserError` for a head beyond the model.
    """

    rule: str
    family: str
    settings: Mapping[str, Any]
    chosen_by: str
    upper_bound: bool
    layers: int
    heads: int
    folds: int | None
    seed: int | None
    collection: str
    collections: tuple[str, ...]
    sets: tuple[ChosenHeads, ...]
    default: tuple[Head, ...]

    def __post_init__(self) -> None:
        for heads in (*(chosen.heads for chosen in self.sets), self.default):
            parse_heads(heads, self.layers, self.heads)

    @property
    def last_layer(self) -> int:
        """The deepest layer that any of its sets needs."""
        return max(layer for heads in (*(chosen.heads for chosen in self.sets), self.default) for layer, _ in heads)

    def of(self, qids: Iterable[str]) -> dict[str, tuple[Head, ...]]:
        """The set of each query: {qid: heads}."""
        own = {qid: chosen.heads for chosen in self.sets for qid in chosen.qids}
        return {qid: own.get(qid, self.default) for qid in qids}


_PLAIN = ("rule", "family", "chosen_by", "upper_bound", "layers", "heads", "folds", "seed", "collection")


def write_head_selection(path: Path, selection: HeadSelection) -> None:
    """Write a selection as JSON, atomically."""
    document = {name: getattr(selection, name) for name in _PLAIN}
    document |= {
        "settings": dict(selection.settings),
        "collections": list(selection.collections),
        "sets": [
            {"heads": head_names(chosen.heads), "qids": list(chosen.qids), "chosen_on": chosen.chosen_on}
            for chosen in selection.sets
        ],
        "default": head_names(selection.default),
    }
    files.write_json(path, document)


def read_head_selection(path: Path) -> HeadSelection:
    """Read what `write_head_selection` wrote. Raises `UserError` for a file that is absent or malformed."""
    document = files.read_json(path)
    try:
        if not all(type(document[key]) is int for key in ("layers", "heads")):
            raise ValueError("layers and heads are not whole numbers")
        return HeadSelection(
            **{name: document[name] for name in _PLAIN},
            settings=dict(document["settings"]),
            collections=tuple(document["collections"]),
            sets=tuple(
                ChosenHeads(parse_heads(entry["heads"]), tuple(entry["qids"]), entry["chosen_on"])
                for entry in document["sets"]
            ),
            default=parse_heads(document["default"]),
        )
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{path}: not a file of chosen heads ({type(error).__name__}: {error})") from None


def read_heads(path: Path, top: int | None = None) -> tuple[Head, ...]:
    """The set that a file of ours or of others holds, best first, the best `top` where given.

    Files of `select-heads` (their default set); QRHead's YAML, with `attn_head_set: "14-22,13-16"`; CoRe's JSON, scores
    by head (`{"13-18": 0.08}`), of which ties go to the lower layer and head; and plain lists of heads.

    Raises `UserError` for a file of none of these, and for CoRe's without `top`: it holds every head.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: neither JSON nor YAML ({' '.join(str(error).split())})") from None
    if isinstance(document, dict) and "sets" in document:
        return read_head_selection(path).default[:top]
    if isinstance(document, dict) and "attn_head_set" in document:
        return parse_heads(document["attn_head_set"])[:top]
    if isinstance(document, dict) and document and all(isinstance(score, int | float) for score in document.values()):
        if top is None:
            raise UserError(f"{path}: scores of {len(document)} heads; say how many of the best to take (top)")
        ranked = sorted(parse_heads(list(document)), key=lambda head: (-document[f"{head[0]}-{head[1]}"], head))
        return tuple(ranked[:top])
    if isinstance(document, list):
        return parse_heads(document)[:top]
    raise UserError(f"{path}: holds no set of heads: expected a list, QRHead's attn_head_set, or CoRe's scores")


def check_published(value: Any, repo: str | None) -> None:
    """Raise `UserError` where a value names a published set, and it is of another model than that of a repository.

    Nothing is said of other sets, and of models whose repository is not known.
    """
    found = published_heads().get(value) if isinstance(value, str) else None
    if found is not None and repo is not None and repo != found.model:
        raise UserError(f"heads {value!r}: they are of {found.model}, not of {repo}")


def heads_named(value: Any, top: int | None = None) -> tuple[Head, ...]:
    """The set that a user names: a published one, a file, or the heads themselves.

    Raises `UserError` as `parse_heads` and `read_heads` do; an unknown name lists the published ones.
    """
    if isinstance(value, str) and value in published_heads():
        return published_heads()[value].heads[:top]
    if isinstance(value, Path) or (isinstance(value, str) and Path(value).is_file()):
        return read_heads(Path(value), top)
    if isinstance(value, str) and not re.match(r"\s*\d", value):
        known = ", ".join(published_heads())
        raise UserError(
            f"heads {value!r}: no file, no heads such as 13-18,14-1, and no published set; those are {known}"
        )
    return parse_heads(value if isinstance(value, str) else list(value) if isinstance(value, Sequence) else value)[:top]
