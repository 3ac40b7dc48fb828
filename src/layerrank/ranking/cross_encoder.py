"""Cross-encoders: one pass over a query and a passage; the score of the model's own head (semantics.md §4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from layerrank.core.errors import UserError
from layerrank.models.classifier import Classifier
from layerrank.models.device import release
from layerrank.prompts.trial import check_pair
from layerrank.ranking.mechanism import Answer, Request, Returns, Work


class CrossEncoder:
    """Scores a passage by the logit that a trained head gives query and passage, read together; higher is better.

    The pair is encoded as the model's tokenizer encodes pairs, never cut: one longer than the model reads is refused
    before anything runs. Texts cannot forge special tokens.
    """

    padded = True
    returns: Returns = "scores"

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.context = classifier.context
        check_pair(classifier.tokenizer, classifier.name)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        if not texts:
            return []
        encoded = self.classifier.tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def prepare(self, request: Request) -> Work:
        """Encode query and passage, once."""
        (passage,) = request.passages
        pair = self.classifier.tokenizer(
            request.query.text.strip(), passage.content, split_special_tokens=True, verbose=False
        )
        tokens = len(pair["input_ids"])
        return Work(request, tokens, tokens, dict(pair))

    @torch.inference_mode()
    def score(self, works: Sequence[Work]) -> list[Answer]:
        """Run one padded pass over the batch."""
        batch = self.classifier.tokenizer.pad([work.prompt for work in works], return_tensors="pt", verbose=False)
        logits = self.classifier.model(**batch.to(self.classifier.device)).logits.float()  # [B, 1]
        scores = logits[:, 0].tolist()
        for work, score in zip(works, scores, strict=True):
            if not math.isfinite(score):
                name, qid = self.classifier.name, work.request.query.qid
                raise UserError(f"model {name}: query {qid}: its score is not finite")
        return [
            Answer((score,), work.tokens, layer_tokens=work.tokens * self.classifier.layers)
            for work, score in zip(works, scores, strict=True)
        ]

    def release(self) -> None:
        """Hand back cached memory of the device."""
        release()
