"""A small study by its commands, from texts to tables: valid arguments of every subcommand that needs no Java."""

from __future__ import annotations

import json
from pathlib import Path

from layerrank.__main__ import main
from support.tiny import save_tiny

TEXTS = (
    "wings make lift when air flows",
    "bread rises because of yeast",
    "air flows over the wing of a plane",
    "layers grow and yeast turns sugar",
    "the oven sets bread",
)
QUERIES = {"q1": "what makes lift", "q2": "why does bread rise", "q3": "what grows", "q4": "what flows"}
GRADES = {"q1": {"d0": 2, "d2": 1}, "q2": {"d1": 2, "d4": 1}, "q3": {"d3": 1}, "q4": {"d2": 1}}


def write_texts(folder: Path) -> None:
    """Topics, passages, judgements and a run of five passages for each of four queries."""
    (folder / "topics.jsonl").write_text(
        "".join(json.dumps({"qid": qid, "text": text}) + "\n" for qid, text in QUERIES.items())
    )
    (folder / "passages.jsonl").write_text(
        "".join(json.dumps({"pid": f"d{at}", "text": text, "title": ""}) + "\n" for at, text in enumerate(TEXTS))
    )
    (folder / "qrels.txt").write_text(
        "".join(f"{qid} 0 {pid} {grade}\n" for qid, grades in GRADES.items() for pid, grade in grades.items())
    )
    (folder / "run.txt").write_text(
        "".join(f"{qid} Q0 d{at} {at + 1} {9 - at} bm25\n" for qid in QUERIES for at in range(len(TEXTS)))
    )


def chain(folder: Path) -> dict[str, list[str]]:
    """Run a study in `folder`; return each subcommand's arguments, without its name, in the order of the study."""
    write_texts(folder)
    save_tiny(folder / "model", "llama", "gpt2", layers=4)

    def at(name: str) -> str:
        return str(folder / name)

    cell = ["--collection", "c", "--model", "m"]
    prompt = ["--model", at("model"), "--family", "chatml"]
    candidates, signal, qrels = (
        ["--candidates", at("candidates.jsonl.gz")],
        ["--signal", at("signal.arrow")],
        ["--qrels", at("qrels.txt")],
    )
    system = "listwise-attention-all"
    costs = ["--costs", at("costs.tsv")]
    results = ["--means", at("means.tsv"), "--comparisons", at("comparisons.tsv")]
    evaluations = ["--evaluations", at("evaluation.tsv")]
    means = ["--means", at("means.tsv")]
    commands = {
        "make-candidates": [
            *("--topics", at("topics.jsonl"), "--run", at("run.txt"), "--passages", at("passages.jsonl")),
            *("--depth", "5", "--words", "20", "--order", "first-stage", "--seed", "1"),
            *("--output", at("candidates.jsonl.gz"), *qrels, "--output-qrels", at("cut.qrels.txt")),
        ],
        "check-first-stage": [
            *("--run", at("run.txt"), *qrels, "--entry", "{}", "--k1", "0.9", "--b", "0.4", "--depth", "5"),
            *("--policy", "error", "--output", at("check.json")),
        ],
        "check-prompts": [
            *("--collection", "c", *candidates, *prompt[:2], "--prompts", '{"family": "chatml"}'),
            *("--outputs", at("prompts.json")),
        ],
        "extract-attention": [*candidates, *prompt, "--output", at("signal.arrow")],
        "layer-profile": [
            *cell,
            *signal,
            *qrels,
            "--measures",
            "nDCG@10",
            "--resamples",
            "20",
            "--output",
            at("profile.tsv"),
        ],
        "sweep-windows": [
            *(
                *cell,
                *signal,
                *qrels,
                "--measure",
                "nDCG@10",
                "--output",
                at("sweep.arrow"),
                "--table",
                at("sweep.tsv"),
            ),
        ],
        "select-window": [
            *("--name", "peak", "--rule", '{"rule": "peak", "width": 1, "folds": 2}', *cell),
            *("--sweep", at("sweep.arrow"), "--output", at("peak.json")),
        ],
        "rerank-cached": [
            *(*candidates, *signal, "--tag", system, "--output", at(f"{system}.txt")),
            *("--costs", at(f"{system}.costs.jsonl")),
        ],
        "rerank": [
            *(*candidates, "--model", at("model"), "--framework", "listwise", "--mechanism", "attention"),
            *("--family", "chatml", "--window", "L1-2", "--output", at("online.txt")),
        ],
        "join-shards": [
            *("--runs", at(f"{system}.txt"), "--run-costs", at(f"{system}.costs.jsonl"), "--tag", "joined"),
            *("--output", at("joined.txt"), "--costs", at("joined.costs.jsonl")),
        ],
        "evaluate": [
            *(*cell, *qrels, *candidates, "--runs", f"{system}={at(f'{system}.txt')}", "--measures", "nDCG@10"),
            *("--output", at("evaluation.tsv")),
        ],
        "aggregate": [*evaluations, "--resamples", "20", "--output", at("means.tsv")],
        "compare": [
            *(*evaluations, "--baselines", "bm25", "--resamples", "20", "--output", at("comparisons.tsv")),
        ],
        "summarise-costs": [
            *(*cell, "--costs", f"{system}={at(f'{system}.costs.jsonl')}", "--output", at("costs.tsv")),
        ],
        "measure-latency": [
            *(
                "--collection",
                "c",
                "--model-name",
                "m",
                *candidates,
                *prompt,
                "--windows",
                "L0-1",
                "--queries",
                "1",
                "--repeats",
                "1",
                "--warmup",
                "0",
            ),
            *("--output", at("latency.tsv")),
        ],
        "effectiveness-table": [*results, "--measures", "nDCG@10", "--outputs", at("table.tsv")],
        "grid-table": [*results, "--measure", "nDCG@10", "--outputs", at("grid.html")],
        "cost-table": [*costs, "--outputs", at("costs.md")],
        "plot-profile": ["--profile", at("profile.tsv"), "--output", at("profile.svg")],
        "plot-sweep": ["--sweep", at("sweep.tsv"), "--output", at("sweep.svg")],
        "plot-effectiveness": [*means, "--output", at("effectiveness.svg")],
        "manifest": ["--study", "{}", "--signals", at("signal.arrow"), "--output", at("manifest.json")],
    }
    for name, arguments in commands.items():
        assert main([name, *arguments]) == 0, name
    return commands
