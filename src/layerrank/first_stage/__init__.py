"""The first stage: BM25, its check against known figures, and the one candidate list that every system ranks."""
