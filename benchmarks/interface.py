"""What the defaults of `layerrank.Reranker` rest on: quality by window, orders and cell, for lists and for pairs.

    python -m benchmarks.interface --model FOLDER --collection results/pocket

Lists are the collection's candidates, in the first stage's order and shuffled; pairs are a relevant passage beside
another candidate (near), or beside one of another query's (far). Prints the tables of docs/python.md.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from layerrank import Reranker
from layerrank.attention.probe import Probe
from layerrank.attention.scores import passage_scores
from layerrank.core import files
from layerrank.core.records import Candidates, Passage, Query, Ranking
from layerrank.core.windows import LayerWindow
from layerrank.evaluation import measures
from layerrank.models.decoder import load_decoder
from layerrank.models.folder import load_tokenizer
from layerrank.prompts.icr import build_icr, fitting_family
from layerrank.ranking.averaging import agreement, standardised, text_orders, unshuffled
from layerrank.ranking.reranker import middle

Scores = npt.NDArray[np.float64]
Pair = tuple[Query, Passage, Passage]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interface", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--collection", type=Path, required=True, help="results folder of a collection")
    parser.add_argument("--queries", type=int, help="its first so many queries (default: all)")
    options = parser.parse_args(argv)
    rows = files.read_candidates(options.collection / "candidates/base.jsonl.gz")[: options.queries]
    grades = files.read_qrels(options.collection / "candidates/base.qrels.txt")
    near, far = pairs_of(rows, grades)
    decoder = load_decoder(options.model)
    windows = {"all": LayerWindow(0, decoder.layers - 1), "middle third": middle(decoder.layers)}
    windows |= {"10-13": LayerWindow(10, 13)} if decoder.layers > 13 else {}
    family = fitting_family(load_tokenizer(options.model))
    print(
        "| | orders | given | shuffled | agreement | pairs, near | pairs, far |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    probe = Probe(decoder)
    lists = [list_scores(probe, family, number, row, windows) for number, row in enumerate(tqdm(rows, desc="lists"))]
    pairs = {"near": near, "far": far}
    two = {kind: [pair_scores(probe, family, pair, windows) for pair in tqdm(pairs[kind])] for kind in pairs}
    for window in windows:
        for orders in (1, 2, 4):
            found = [each[window] for each in lists]
            given, shuffled = (value_of_lists(rows, grades, found, orders, place) for place in (0, 1))
            alike = [tau for each in found if (tau := agreement(each[2 : 2 + orders])) is not None]
            right = [np.mean([right_of_pair(each[window], orders) for each in two[kind]]) for kind in two]
            together = f"{np.mean(alike):.2f}" if alike else ""
            print(
                f"| {window} | {orders} | {given:.3f} | {shuffled:.3f} | {together} | {right[0]:.2f} | {right[1]:.2f} |"
            )
    del decoder, probe
    for name in ("yes_no", "qlm"):
        reranker = Reranker(options.model, "pointwise", "likelihood", mechanism_settings={"prompt": name})
        ranked = reranker.rank_many([(row.query.text, row.passages) for row in rows], progress=True)
        value = mean_value(rows, grades, [np.array([result.index for result in results]) for results in ranked])
        right = [
            np.mean([results[0].index == 0 for results in reranker.rank_many([(q.text, two_) for q, *two_ in pairs])])
            for pairs in (near, far)
        ]
        print(f"| pointwise {name} | – | {value:.3f} | {value:.3f} | | {right[0]:.2f} | {right[1]:.2f} |")


def pairs_of(rows: Sequence[Candidates], grades: Mapping[str, Mapping[str, int]]) -> tuple[list[Pair], list[Pair]]:
    """For each query with a relevant candidate: two pairs with a candidate that is not, two with another query's."""
    near: list[Pair] = []
    far: list[Pair] = []
    everything = {passage.pid: passage for row in rows for passage in row.passages}
    for number, row in enumerate(rows):
        judged = grades.get(row.query.qid, {})
        draw = random.Random(number)
        own = {passage.pid for passage in row.passages}
        relevant = [passage for passage in row.passages if judged.get(passage.pid, 0) > 0]
        others = [passage for passage in row.passages if judged.get(passage.pid, 0) <= 0]
        strange = [everything[pid] for pid in sorted(everything) if pid not in own and judged.get(pid, 0) <= 0]
        if relevant and others and strange:
            near += [(row.query, draw.choice(relevant), draw.choice(others)) for _ in range(2)]
            far += [(row.query, draw.choice(relevant), draw.choice(strange)) for _ in range(2)]
    return near, far


def read_orders(
    probe: Probe,
    family: str,
    query: Query,
    passages: Sequence[Passage],
    orders: Sequence[Sequence[int]],
    windows: Mapping[str, LayerWindow],
) -> dict[str, Scores]:
    """For each window float64[orders, N]: scores by the passages' place in `passages`."""
    signals = [
        probe.read([build_icr(probe.decoder.tokenizer, family, query, [passages[index] for index in order])])[0]
        for order in orders
    ]
    return {
        name: unshuffled(np.stack([passage_scores(signal, window) for signal in signals]), orders)
        for name, window in windows.items()
    }


def list_scores(
    probe: Probe, family: str, number: int, row: Candidates, windows: Mapping[str, LayerWindow]
) -> dict[str, Scores]:
    """Scores of a query's candidates under the given order, a shuffled one, and the four that `orders=4` takes."""
    given = list(range(len(row)))
    shuffled = random.Random(number).sample(given, len(given))
    drawn = text_orders(row.query.text, [passage.content for passage in row.passages], 4)
    return read_orders(probe, family, row.query, row.passages, [given, shuffled, *drawn], windows)


def pair_scores(probe: Probe, family: str, pair: Pair, windows: Mapping[str, LayerWindow]) -> dict[str, Scores]:
    """Scores of a pair, the relevant passage first, under both orders."""
    return read_orders(probe, family, pair[0], pair[1:], [[0, 1], [1, 0]], windows)


def value_of_lists(
    rows: Sequence[Candidates],
    grades: Mapping[str, Mapping[str, int]],
    scores: Sequence[Scores],
    orders: int,
    shuffled: int,
) -> float:
    """Mean nDCG@10: of one order, the given or the shuffled one, or averaged over those drawn from the texts."""
    taken: Callable[[Scores], Scores] = (
        (lambda found: found[shuffled])
        if orders == 1
        else (lambda found: standardised(found[2 : 2 + orders]).mean(axis=0))
    )
    return mean_value(rows, grades, [np.argsort(-taken(found), kind="stable") for found in scores])


def right_of_pair(scores: Scores, orders: int) -> float:
    """Whether the relevant passage wins: averaged over both orders, or the share of the two."""
    margins = scores[:, 0] - scores[:, 1]
    return float(margins.sum() > 0) if orders > 1 else float((margins > 0).mean())


def mean_value(
    rows: Sequence[Candidates], grades: Mapping[str, Mapping[str, int]], rankings: Iterable[npt.NDArray[np.int64]]
) -> float:
    """Mean nDCG@10 over all judged queries."""
    found = [
        Ranking.from_order(row.query.qid, [row.passages[index].pid for index in ranking])
        for row, ranking in zip(rows, rankings, strict=True)
    ]
    counted = {qid: {pid: max(grade, 0) for pid, grade in judged.items()} for qid, judged in grades.items()}
    asked = {row.query.qid: counted[row.query.qid] for row in rows if row.query.qid in counted}
    return float(np.mean(list(measures.per_query(["nDCG@10"], asked, found, 1)["nDCG@10"].values())))


if __name__ == "__main__":
    main()
