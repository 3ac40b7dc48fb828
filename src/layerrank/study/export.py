"""A folder to publish: a study's candidates, judgements, runs and costs with the figures expected of them, verifiable.

The folder holds README.md (the command, the figures, how far a fresh run may differ), study.yaml, manifest.json,
expected.json (figures and digests of all files), and below each collection its candidates and judgements, the runs of
each model, and those of models trained to rank. `verify` needs nothing else: figures are computed again from runs and
judgements, and must be those stated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from layerrank.core import files, frames
from layerrank.core.errors import UserError
from layerrank.core.reading import finite_value, shown
from layerrank.core.systems import CEILING, CONTROLS, FIRST_STAGE, TRAINED, parse_system
from layerrank.evaluation import values
from layerrank.study.config import OVER_ORDERS, Study, variant_settings
from layerrank.study.manifest import Document, provenance
from layerrank.study.systems import PlannedRun, systems, trained

FORMAT = 1
EXPECTED, MANIFEST, README, STUDY = "expected.json", "manifest.json", "README.md", "study.yaml"
EXACT = 1e-6
"""How far a figure may be from the mean of its values: both are printed with six decimals."""
TOLERANCE = 0.001
"""How far that of a fresh run may be, unless said: other machines round otherwise, and near ties change places."""

Key = tuple[str, str, str, str, str]
"""Collection, model, variant, system, measure."""
OF_THE_CANDIDATES = (FIRST_STAGE, CEILING, *CONTROLS)
"""Systems without a run of their own."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was held against what is expected: how many figures, and the one that differs most."""

    figures: int
    difference: float
    at: Key


def export(results: Path, output: Path, *, tolerance: float = TOLERANCE, ir_metadata: bool = False) -> int:
    """Make the folder `output` from a finished study's folder of results; return the number of its runs.

    Args:
        tolerance: how far the figures of a fresh run may be from those stated.
        ir_metadata: put a header in the format of ir_metadata before each run.

    Raises:
        UserError: results without a manifest or figures, or that lack a run; a folder that holds something already.
    """
    manifest = files.read_object(results / "manifest.json")
    study = study_of(manifest, results / "manifest.json")
    figures = _figures(frames.read_means([results / "tables" / "means.tsv"]))
    if output.exists() and any(output.iterdir()):
        raise UserError(f"{output}: the folder is not empty: name a new one")
    written = []

    def put(name: str, content: bytes) -> None:
        files.write_bytes(output / name, content)
        written.append(name)

    put(MANIFEST, _read(results / "manifest.json"))
    put(STUDY, yaml.safe_dump(_config(manifest["study"]), sort_keys=True, allow_unicode=True).encode())
    runs = 0
    for collection, variant in dict.fromkeys((key[0], key[2]) for key in figures):
        source = results / collection / "candidates"
        put(_candidates(collection, variant), _read(source / f"{variant}.jsonl.gz"))
        put(_qrels(collection, variant), _read(source / f"{variant}.qrels.txt"))
    for collection, model, variant, system in _runs(figures):
        name = _run(collection, model, variant, system)
        if name in written:
            continue
        found = _of_results(results, collection, model, variant, system)
        header = ""
        if ir_metadata:
            header = ir_metadata_header(manifest, study, collection, model, variant, system)
        put(name, header.encode() + _read(found))
        put(name.replace(".txt", ".costs.jsonl"), _read(found.with_suffix(".costs.jsonl")))
        runs += 1
    expected: Document = {
        "format": FORMAT,
        "tolerance": tolerance,
        "figures": [[*key, value] for key, value in figures.items()],
    }
    put(README, readme(expected, manifest).encode())
    expected["files"] = {name: files.file_digest(output / name) for name in sorted(written)}
    files.write_json(output / EXPECTED, expected)
    return runs


def verify(folder: Path) -> Verified:
    """Check an exported folder against itself: its files, and its figures, computed again from runs and judgements.

    Raises:
        UserError: the first file or figure that is not what expected.json and README.md say.
    """
    expected = _expected(folder)
    digests = expected.get("files")
    if not isinstance(digests, dict):
        raise UserError(f"{folder / EXPECTED}: key 'files' is missing or no object")
    for name in (MANIFEST, STUDY, README):
        if name not in digests:
            raise UserError(f"{folder / EXPECTED}: key 'files' lacks {name}")
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: no such file, but {EXPECTED} names it")
        if files.file_digest(path) != digest:
            raise UserError(f"{path}: not as it was exported: its SHA-256 is not the one in {EXPECTED}")
    manifest = files.read_object(folder / MANIFEST)
    if readme(expected, manifest) != (folder / README).read_text(encoding="utf-8"):
        raise UserError(f"{folder / README}: it states other figures, or another tolerance, than {EXPECTED}")
    return _compared(_stated(expected, folder), _computed(folder, manifest, expected), EXACT, str(folder))


def verify_against(folder: Path, results: Path) -> Verified:
    """Hold a fresh run's figures against those of an exported folder, within the folder's tolerance.

    Raises:
        UserError: the first figure that is further off, or that the results lack.
    """
    expected = _expected(folder)
    fresh = _figures(frames.read_means([results / "tables" / "means.tsv"]))
    return _compared(_stated(expected, folder), fresh, float(expected["tolerance"]), str(results))


def study_of(manifest: Document, path: Path) -> Study:
    """The study that a manifest tells of; `UserError` names the file that tells of none."""
    told = manifest.get("study")
    if not isinstance(told, dict) or not {"config", "collections", "models"} <= told.keys():
        raise UserError(f"{path}: no manifest of a study: it lacks config, collections and models of key 'study'")
    names = told["config"]["systems"].get("trained", {})
    return Study(
        told["config"],
        told["collections"],
        {name: entry for name, entry in told["models"].items() if name not in names},
        {name: told["models"][name] for name in names},
    )


def readme(expected: Document, manifest: Document) -> str:
    """The folder's page: what it holds, the commands, and each figure that is expected."""
    study = study_of(manifest, Path(MANIFEST))
    lines = [f"# {study.config['title']}", "", *_about(manifest, float(expected["tolerance"])), ""]
    by_cell: dict[tuple[str, str, str], dict[str, dict[str, float]]] = {}
    for *cell, system, measure, value in expected["figures"]:
        by_cell.setdefault((cell[0], cell[1], cell[2]), {}).setdefault(system, {})[measure] = value
    lines += ["## Expected figures"]
    for (collection, model, variant), rows in by_cell.items():
        measures = list(next(iter(rows.values())))
        lines += ["", f"### {model} on {collection}, candidates `{variant}`", ""]
        lines += [f"| system | {' | '.join(measures)} |", f"|---|{'---:|' * len(measures)}"]
        for system, row in rows.items():
            words = " | ".join(f"{row[measure]:.6f}" for measure in measures)
            lines.append(f"| {parse_system(system).label} (`{system}`) | {words} |")
    return "\n".join(lines) + "\n"


def ir_metadata_header(manifest: Document, study: Study, collection: str, model: str, variant: str, system: str) -> str:
    """Comment lines in the format of ir_metadata (Breuer et al., SIGIR 2022), with what the manifest tells of a run."""
    ranker = system.removeprefix(f"{TRAINED}-")
    planned = _planned(study, variant).get(system)
    first, entry = study.config["first_stage"], study.collections[collection]
    about = manifest["models"].get(ranker if system.startswith(f"{TRAINED}-") else model, {})
    code = manifest.get("code") or {}
    method: Document = {
        "automatic": True,
        "retrieval": [{"name": FIRST_STAGE, "method": "BM25", "k1": first["k1"], "b": first["b"]}],
    }
    if planned is not None:
        how = {"framework": planned.framework, **planned.framework_settings}
        how |= {"mechanism": planned.mechanism, **planned.mechanism_settings}
        how |= {"window": planned.window} if planned.window else {}
        weights = {key: about[key] for key in ("name", "repo", "revision", "digest") if about.get(key)}
        settings = variant_settings(study, variant)
        method["reranking"] = [
            {"name": system, "method": how, "reranks": FIRST_STAGE, "depth": settings["depth"], "model": weights}
        ]
    told = {
        "tag": system,
        "platform": {
            "operating system": manifest["platform"],
            "software": {"libraries": [f"{name}=={version}" for name, version in manifest["packages"].items()]},
        },
        "implementation": {
            "executable": {"cmd": f"snakemake --configfile {STUDY}"},
            "source": {
                "lang": f"python {manifest['python']}",
                "name": f"layerrank {manifest['layerrank']}",
                **({"commit": code["commit"]} if code.get("commit") else {}),
            },
        },
        "method": method,
        "data": {"test collection": {"name": collection, **_source(entry), **_digests(manifest, collection)}},
    }
    text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=10_000)
    return "".join(f"# {line}\n" for line in ["ir_metadata.start", *text.splitlines(), "ir_metadata.end"])


def _about(manifest: Document, tolerance: float) -> Iterator[str]:
    code = manifest.get("code") or {}
    commit = f" at commit {code['commit']}" if code.get("commit") else ""
    commit += "" if code.get("clean", True) else ", with changes of its own"
    yield "Candidates with texts, judgements, runs and costs of a study, and the figures expected of them."
    yield ""
    yield f"With a checkout of layerrank {manifest['layerrank']}{commit}, from its folder:"
    yield ""
    yield f"    snakemake --cores 2 --configfile path/to/this/{STUDY}"
    yield "    python -m layerrank verify path/to/this --against results"
    yield ""
    yield f"A fresh run's figures may be {tolerance:g} from those below, no more. This folder's runs give them exactly:"
    yield ""
    yield "    python -m layerrank verify path/to/this"
    yield ""
    if "(outside)" in json.dumps(manifest["study"]):
        yield f"Paths in {STUDY} that begin with `(outside)` lay on another machine: put your own in their place."
        yield ""
    yield "| what | value |"
    yield "|---|---|"
    for what, value in provenance(manifest):
        yield f"| {what} | {value} |"


def _config(told: Mapping[str, Any]) -> Document:
    """The study's configuration, its catalogue entries with it."""
    own = {kind: told[kind] for kind in ("collections", "models")}
    return {**told["config"], "define": own}


def _figures(means: pd.DataFrame) -> dict[Key, float]:
    """Means by collection, model, variant, system and measure; not those over orders, which no one run gives."""
    found = means[means["variant"] != OVER_ORDERS]
    keys = found[[*frames.CELL, "system", "measure"]].astype(str).itertuples(index=False, name=None)
    return {key: round(float(mean), 6) for key, mean in zip(keys, found["mean"], strict=True)}


def _computed(folder: Path, manifest: Document, expected: Document) -> dict[Key, float]:
    """The same figures, from the folder's candidates, judgements and runs."""
    study = study_of(manifest, folder / MANIFEST)
    config = study.config["evaluation"]
    cells: dict[tuple[str, str, str], list[str]] = {}
    for collection, model, variant, system in _runs(_stated(expected, folder)):
        cells.setdefault((collection, model, variant), []).append(system)
    found: dict[Key, float] = {}
    for (collection, model, variant), names in cells.items():
        if collection not in study.collections:
            raise UserError(f"{folder / EXPECTED}: the manifest has no collection {collection!r}")
        measured = values.evaluate(
            files.read_qrels(folder / _qrels(collection, variant)),
            files.read_candidates(folder / _candidates(collection, variant)),
            {name: files.read_run(folder / _run(collection, model, variant, name)) for name in names},
            config["measures"],
            int(study.collections[collection].get("relevance_level", 1)),
            int(config["seed"]),
        )
        means = measured.groupby(["system", "measure"], as_index=False)["value"].mean()
        for system, measure, value in means.itertuples(index=False, name=None):
            found[collection, model, variant, str(system), str(measure)] = float(value)
    return found


def _compared(stated: Mapping[Key, float], found: Mapping[Key, float], most: float, where: str) -> Verified:
    worst, at = 0.0, next(iter(stated))
    for key, value in stated.items():
        name = f"{key[3]} on {key[0]} ({key[1]}, {key[2]}): {key[4]}"
        if key not in found:
            raise UserError(f"{where}: {name} is expected to be {value:.6f}, and is not there")
        difference = abs(found[key] - value)
        if not difference <= most:
            raise UserError(f"{where}: {name} is {found[key]:.6f}, expected {value:.6f} within {most:g}")
        if difference > worst:
            worst, at = difference, key
    return Verified(len(stated), worst, at)


def _expected(folder: Path) -> Document:
    path = folder / EXPECTED
    if not path.is_file():
        raise UserError(f"{folder}: no exported folder: it lacks {EXPECTED}")
    found = files.read_object(path)
    if found.get("format") != FORMAT:
        raise UserError(f"{path}: format {shown(found.get('format'))}: expected {FORMAT}")
    if finite_value(found.get("tolerance"), "tolerance", str(path)) < 0:
        raise UserError(f"{path}: tolerance {found['tolerance']}: expected a number from 0")
    return found


def _stated(expected: Document, folder: Path) -> dict[Key, float]:
    """The figures of expected.json."""
    path, stated = folder / EXPECTED, {}
    rows = expected.get("figures")
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, list) or len(row) != 6 or not all(isinstance(part, str) for part in row[:5]):
            raise UserError(f"{path}: figure {shown(row)}: expected collection, model, variant, system, measure, value")
        stated[row[0], row[1], row[2], row[3], row[4]] = finite_value(row[5], "a figure", str(path))
    if not stated:
        raise UserError(f"{path}: key 'figures': expected a list of figures")
    return stated


def _runs(keys: Iterable[Key]) -> list[tuple[str, str, str, str]]:
    """Collection, model, variant and system of every run."""
    return list(dict.fromkeys(key[:4] for key in keys if key[3] not in OF_THE_CANDIDATES))


def _planned(study: Study, variant: str) -> Mapping[str, PlannedRun]:
    try:
        return {**systems(study, variant), **{run.name: run for run in trained(study).values()}}
    except KeyError as error:
        raise UserError(
            f"{MANIFEST}: its configuration lacks the key {error}: made by another version of layerrank"
        ) from None


def _of_results(results: Path, collection: str, model: str, variant: str, system: str) -> Path:
    if system.startswith(f"{TRAINED}-"):
        return results / collection / TRAINED / variant / f"{system.removeprefix(f'{TRAINED}-')}.txt"
    return results / collection / model / "runs" / variant / f"{system}.txt"


def _run(collection: str, model: str, variant: str, system: str) -> str:
    place = TRAINED if system.startswith(f"{TRAINED}-") else model
    return f"{collection}/{place}/{variant}/{system}.txt"


def _candidates(collection: str, variant: str) -> str:
    return f"{collection}/candidates/{variant}.jsonl.gz"


def _qrels(collection: str, variant: str) -> str:
    return f"{collection}/candidates/{variant}.qrels.txt"


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path}: no such file: run the study to its end first")
    return path.read_bytes()


def _source(entry: Mapping[str, Any]) -> Document:
    return {key: entry[key] for key in ("source", "id", "index", "path") if key in entry}


def _digests(manifest: Document, collection: str) -> Document:
    digests = manifest["collections"].get(collection, {}).get("digests", {})
    return {"digests": digests} if digests else {}
