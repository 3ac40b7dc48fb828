"""Studies that share a cache, and a model that is overwritten while its study stands: results are of what they say."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors.torch import load_file, save_file
from support import studies
from support.studies import planned, snakemake

from layerrank.attention.store import read_metadata
from layerrank.core.files import read_costs, read_run
from layerrank.models.identity import identify

RUN = "results/tiny/random/runs/base/listwise-attention-all"
SIGNAL = "results/tiny/random/attention/base.shard-0-of-1.arrow"


def other_weights(folder: Path, factor: float) -> None:
    """Other numbers, of the same size and under the same time stamp."""
    weights = folder / "model.safetensors"
    former = weights.stat()
    save_file({name: tensor * factor for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    os.utime(weights, ns=(former.st_atime_ns, former.st_mtime_ns))


def scores(folder: Path) -> list[tuple[float, ...]]:
    return [ranking.scores for ranking in read_run(folder / f"{RUN}.txt")]


def weights_of(folder: Path) -> set[str]:
    found = {cost.weights for cost in read_costs(folder / f"{RUN}.costs.jsonl")}
    return found | {read_metadata(folder / SIGNAL)["weights"]}


def test_two_studies_with_one_cache_and_one_name_and_a_model_that_is_overwritten(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, factor in ((first, 1.0), (second, 1.5)):
        studies.write_study(folder, {"cache": str(tmp_path / "cache")})
        other_weights(folder / "model", factor)
        snakemake(folder, f"{RUN}.txt")
    models = sorted(path for path in (tmp_path / "cache/models").iterdir() if path.name[0] != ".")
    assert len(models) == 2 and all(path.name.startswith("random-") for path in models)
    digests = {identify(path).weights for path in models}
    assert weights_of(first) | weights_of(second) == digests and len(digests) == 2
    assert len(weights_of(first)) == len(weights_of(second)) == 1
    assert scores(first) != scores(second)
    assert planned(first, f"{RUN}.txt") == {}

    former = scores(first)
    os.utime(first / "model/model.safetensors")
    assert planned(first, f"{RUN}.txt") == {}  # touched, but what it was
    other_weights(first / "model", 1.5)
    assert {"extract_attention": 1, "rerank_cached": 1}.items() <= planned(first, f"{RUN}.txt").items()
    snakemake(first, f"{RUN}.txt")
    assert scores(first) == scores(second) != former
    assert weights_of(first) == weights_of(second)


def test_a_model_folder_that_is_absent_is_one_line_before_anything_runs(tmp_path):
    studies.write_study(tmp_path, {"define": {"models": {"random": {"path": "nowhere"}}}})
    done = snakemake(tmp_path, "--dry-run", check=False)
    assert done.returncode != 0 and "model 'random': key 'path': nowhere is no folder" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_text_that_is_replaced_under_an_older_time_stamp(tmp_path):
    run = "results/tiny/first_stage/run.txt"
    studies.write_study(tmp_path)
    snakemake(tmp_path, run)
    former = read_run(tmp_path / run)
    assert planned(tmp_path, run) == {}

    corpus = tmp_path / "collection/corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("shock wave", "tall building", 1))
    os.utime(corpus, (1, 1))
    assert planned(tmp_path, run) == {"prepare_collection": 1, "build_index": 1, "retrieve": 1}
    snakemake(tmp_path, run)
    assert read_run(tmp_path / run) != former
    assert planned(tmp_path, run) == {}
