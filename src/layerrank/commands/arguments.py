"""Arguments that several subcommands share, and the kinds of values that arguments take.

A kind reads the text of a flag and raises `argparse.ArgumentTypeError` with one line on what is allowed. Files and
folders are looked at before anything runs: what is read must be there, and what is written must be free to be written.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

KEEP_HELP = (
    "keep finished work under a hidden second name too: a workflow that is killed deletes what it has not booked"
)


def whole(least: int = 1, most: int | None = None) -> Callable[[str], int]:
    """Read a whole number from `least`, up to `most` where there is one."""
    allowed = f"from {least}" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else None
        if value is None or value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number {allowed}")
        return value

    return read


def number(low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """Read a finite number from `low` (or above it) to `high`."""
    allowed = "a number"
    if low > -math.inf:
        allowed += f" above {low:g}" if above else f" from {low:g}"
    if high < math.inf:
        allowed += f" to {high:g}"

    def read(text: str) -> float:
        try:
            value = math.nan if "_" in text else float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not low <= value <= high or (above and value == low):
            raise argparse.ArgumentTypeError(f"{text!r}: expected {allowed}")
        return value

    return read


def label(text: str) -> str:
    """Read a name that stands in files between spaces: not empty, and without white space."""
    if not text or any(character.isspace() or not character.isprintable() for character in text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a name without white space")
    return text


def file(text: str) -> Path:
    """Read the path of a file that is there."""
    path = _path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: is a folder; expected a file")
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{path}: no such file")
    if path.is_char_device() or path.is_block_device():  # some have no end; a pipe of the shell's is welcome
        raise argparse.ArgumentTypeError(f"{path}: is a device; expected a file")
    return path


def folder(text: str) -> Path:
    """Read the path of a folder that is there."""
    path = _path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(
            f"{path}: {'is a file; expected a folder' if path.exists() else 'no such folder'}"
        )
    return path


def new_file(text: str) -> Path:
    """Read the path of a file to write; an older one is replaced."""
    path = _path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: is a folder; expected a file to write")
    return _below_folder(path)


def check_written(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse a file that is to be written and is also read, or written twice: one would take the other's place."""
    from layerrank.core.errors import UserError

    said: dict[Path, str] = {}
    for what, kinds in (("reads", (file, named_file)), ("writes", (new_file,))):
        for action in parser._actions:
            if action.type not in kinds:
                continue
            value = getattr(options, action.dest, None)
            for each in value if isinstance(value, list) else [value]:
                path = each[1] if isinstance(each, tuple) else each
                if not isinstance(path, Path):
                    continue
                if what == "writes" and path.resolve() in said:
                    raise UserError(f"{action.option_strings[0]}: {path}: is the file that {said[path.resolve()]}")
                said[path.resolve()] = f"{action.option_strings[0]} {what}"


def new_folder(text: str) -> Path:
    """Read the path of a folder to write."""
    path = _path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: is a file; expected a folder to write")
    return _below_folder(path)


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a path")
    return Path(text)


def _below_folder(path: Path) -> Path:
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: {parent} is a file, not a folder")
    return path


def pair(text: str) -> tuple[str, str]:
    """Read `NAME=OTHER`, two names."""
    return _named(text, "NAME=OTHER")


def named_file(text: str) -> tuple[str, Path]:
    """Read `NAME=FILE`; the name ends at the first equals sign."""
    name, path = _named(text, "NAME=FILE")
    return name, file(path)


def named_folder(text: str) -> tuple[str, Path]:
    """Read `NAME=FOLDER`."""
    name, path = _named(text, "NAME=FOLDER")
    return name, folder(path)


def files_by_name(pairs: Iterable[tuple[str, Path]]) -> dict[str, list[Path]]:
    """Files by their names, where a name is given once for each of its shards."""
    found: dict[str, list[Path]] = {}
    for name, path in pairs:
        found.setdefault(name, []).append(path)
    return found


def _named(text: str, form: str) -> tuple[str, str]:
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise argparse.ArgumentTypeError(f"{text!r}: expected {form}")
    return name, path


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object: a block of settings in one flag."""
    value = _json(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text[:60]!r}: expected a JSON object")
    return value


def json_value(text: str) -> Any:
    """Read any JSON value."""
    return _json(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        raise argparse.ArgumentTypeError("not valid JSON (nested too deeply)") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not valid JSON ({error})") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {max(names, key=names.count)!r} comes twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def add_collection(parser: argparse.ArgumentParser) -> None:
    """Add --collection."""
    parser.add_argument(
        "--collection", type=label, required=True, metavar="NAME", help="collection, as the study names it"
    )


def add_cell(parser: argparse.ArgumentParser) -> None:
    """Add --collection, --model and --variant: what the written rows are named by."""
    add_collection(parser)
    parser.add_argument("--model", type=label, required=True, metavar="NAME", help="model, as the study names it")
    add_variant(parser)


def cell_of(options: argparse.Namespace) -> tuple[str, str, str]:
    """What `add_cell` added: collection, model and variant."""
    return options.collection, options.model, options.variant


def add_variant(parser: argparse.ArgumentParser) -> None:
    """Add --variant."""
    parser.add_argument(
        "--variant", type=label, default="base", metavar="NAME", help="variant of the study (default: %(default)s)"
    )


def add_resampling(parser: argparse.ArgumentParser, resamples: int = 2000) -> None:
    """Add --seed and --resamples."""
    parser.add_argument(
        "--seed", type=whole(0), default=42, metavar="N", help="seed of resampling (default: %(default)s)"
    )
    parser.add_argument(
        "--resamples", type=whole(1, 1_000_000), default=resamples, metavar="N", help="resamples (default: %(default)s)"
    )


def resampling_of(options: argparse.Namespace) -> dict[str, int]:
    """The arguments of `add_resampling` and `add_workers`, by name."""
    return {name: getattr(options, name) for name in ("seed", "resamples", "workers")}


def add_evaluations(parser: argparse.ArgumentParser) -> None:
    """Add --evaluations."""
    parser.add_argument(
        "--evaluations", type=file, nargs="+", required=True, metavar="FILE", help="files of `evaluate`"
    )


def add_qrels(parser: argparse.ArgumentParser) -> None:
    """Add --qrels."""
    parser.add_argument("--qrels", type=file, required=True, metavar="FILE", help="judgements in TREC format")


def add_candidates(parser: argparse.ArgumentParser) -> None:
    """Add --candidates."""
    parser.add_argument(
        "--candidates", type=file, required=True, metavar="FILE", help="candidates of make-candidates (.jsonl.gz)"
    )


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add --runs."""
    parser.add_argument("--runs", type=named_file, nargs="*", default=[], metavar="SYSTEM=FILE", help="TREC runs")


def add_links(parser: argparse.ArgumentParser) -> None:
    """Add --links: pages beside the one that is written."""
    parser.add_argument(
        "--links",
        nargs="*",
        default=[],
        type=_link,
        metavar="LABEL=PAGE[|PAGE]",
        help="pages beside this one, each with its address from here, and with that inside a zipped report",
    )


def _link(text: str) -> tuple[str, str, str]:
    label, pages = _named(text, "LABEL=PAGE")
    here, _, reported = pages.partition("|")
    return label, here, reported or here


def add_signal(parser: argparse.ArgumentParser, *, required: bool = True, use: str = "") -> None:
    """Add --signal; `use` says what an optional one is for."""
    parser.add_argument(
        "--signal",
        type=file,
        nargs="+" if required else "*",
        required=required,
        default=None if required else [],
        metavar="FILE",
        help=f"stored signal, by shard{use}",
    )


def add_measure(parser: argparse.ArgumentParser) -> None:
    """Add the one measure that layers and heads are chosen by."""
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="in ir_measures' syntax, such as nDCG@10")


def add_strategy(parser: argparse.ArgumentParser) -> None:
    """Add --strategy."""
    parser.add_argument("--strategy", default="masked_NA_calibration", metavar="NAME", help="(default: %(default)s)")


def add_judged(parser: argparse.ArgumentParser) -> None:
    """Add a stored signal with its judgements, of one cell of the study, and how it is scored."""
    add_cell(parser)
    add_signal(parser)
    add_qrels(parser)
    add_strategy(parser)
    add_workers(parser)


def add_rule(parser: argparse.ArgumentParser) -> None:
    """Add --rule."""
    parser.add_argument("--rule", type=json_object, required=True, metavar="JSON", help="the rule and its settings")


def add_choice(parser: argparse.ArgumentParser, known_as: str, others: str) -> None:
    """Add what a rule chooses by, and where to: --name, as in `known_as`, --rule, --collection, --others, --output."""
    parser.add_argument(
        "--name", type=label, required=True, metavar="NAME", help=f"the rule's name, as in the {known_as}"
    )
    add_rule(parser)
    add_collection(parser)
    parser.add_argument("--others", type=named_file, nargs="*", default=[], metavar="COLLECTION=FILE", help=others)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="JSON that re-ranking reads")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add --workers."""
    parser.add_argument("--workers", type=whole(1), default=1, metavar="N", help="processes (default: %(default)s)")


def add_threads(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --threads."""
    parser.add_argument("--threads", type=whole(1), default=1, metavar="N", help=f"threads that {what} (default: 1)")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add --model, a folder."""
    parser.add_argument("--model", required=True, type=folder, metavar="DIR", help="model folder")


def add_prompt(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add what shapes the prompts that attention is read from: --family, --instruction, --query-span."""
    default = "" if required else " (default: the one that fits the chat template)"
    parser.add_argument("--family", type=label, required=required, metavar="NAME", help=f"prompt family{default}")
    parser.add_argument(
        "--instruction",
        default="IE",
        metavar="NAME",
        help="IE or QA (default: %(default)s)",
    )
    parser.add_argument("--query-span", metavar="SPAN", help="instruction_to_end or query_only (default: the family's)")


def prompt_of(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_prompt` added: family, instruction and query span, by name."""
    return {name: getattr(options, name) for name in ("family", "instruction", "query_span")}


def add_computing(parser: argparse.ArgumentParser) -> None:
    """Add how a model computes: --dtype and --device."""
    parser.add_argument("--dtype", default="float32", metavar="TYPE", help="float32 or bfloat16 (default: %(default)s)")
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, cuda:1 or auto (default: a CUDA device, else the processor)"
    )


def add_shard(parser: argparse.ArgumentParser) -> None:
    """Add --shard and --shards."""
    parser.add_argument("--shard", type=whole(0), default=0, metavar="I", help="which part of the queries, from 0")
    parser.add_argument(
        "--shards", type=whole(1), default=1, metavar="N", help="number of parts (default: %(default)s)"
    )


def add_keep(parser: argparse.ArgumentParser) -> None:
    """Add --keep."""
    parser.add_argument("--keep", action="store_true", help=KEEP_HELP)


def add_servers(parser: argparse.ArgumentParser) -> None:
    """Add --servers, --spent, --max-requests and --max-tokens, of models that are served."""
    parser.add_argument(
        "--servers",
        type=json_object,
        default={},
        metavar="JSON",
        help="where models are served, by name: address (or engine), key, at_once, timeout, retries",
    )
    parser.add_argument("--spent", type=new_file, metavar="FILE", help="counts requests and tokens of all jobs (.json)")
    parser.add_argument("--max-requests", type=whole(1), metavar="N", help="end when so many are spent")
    parser.add_argument("--max-tokens", type=whole(1), metavar="N", help="end when so many are spent")
