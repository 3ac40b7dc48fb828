"""What a run of the benchmarks measures on."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from layerrank.core.errors import UserError
from layerrank.core.files import Qrels, read_candidates, read_qrels
from layerrank.core.records import Candidates
from layerrank.models.decoder import Decoder, load_decoder
from layerrank.models.folder import load_tokenizer

ROOT = Path(__file__).parents[1]
DTYPES = ("float32", "bfloat16")
"""What is measured: every device computes in them."""


@dataclass
class Settings:
    """One run.

    Attributes:
        model: model folder.
        family: prompt family.
        rounds: of everything that takes turns.
        quick: short prompts, few queries: shows that everything runs; its figures are no results.
        short: without the longest prompts.
        full: what is smaller in the usual run in its whole size: sweep, heads and sharing.
        collection: folder of a collection's results (with candidates/base.jsonl.gz and base.qrels.txt), for what needs
            real texts and judgements.
        queries: of that collection, the first so many.
        work: folder for files of the run.
        device: where the model runs.
        models: folders and prompt families of further models, for seconds a query.
        measured: cases of the section at work that this run has measured already; sections that go on by case
            (`BY_CASE`) leave them out.
    """

    model: Path
    family: str
    rounds: int
    quick: bool
    short: bool
    full: bool
    collection: Path
    queries: int
    work: Path
    device: torch.device
    models: tuple[tuple[Path, str], ...] = ()
    measured: frozenset[str] = frozenset()

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return load_tokenizer(self.model)

    def decoder(
        self, dtype: str = "float32", layers: int | None = None, head: bool = False, folder: Path | None = None
    ) -> Decoder:
        """The model, or that of another folder, loaded anew."""
        return load_decoder(folder or self.model, layers=layers, head=head, dtype=dtype, device=self.device)

    @property
    def candidates(self) -> Path:
        """The collection's candidates."""
        return self.collection / "candidates" / "base.jsonl.gz"

    def rows(self) -> list[Candidates]:
        """Candidates of the collection's first queries."""
        if not self.candidates.is_file():
            raise UserError(
                f"{self.candidates}: no such file; run the embedded study first (make run), or name --collection"
            )
        return read_candidates(self.candidates)[: 3 if self.quick else self.queries]

    def qrels(self) -> Qrels:
        """Judgements of those queries."""
        known = read_qrels(self.collection / "candidates" / "base.qrels.txt")
        return {row.query.qid: known[row.query.qid] for row in self.rows() if row.query.qid in known}
