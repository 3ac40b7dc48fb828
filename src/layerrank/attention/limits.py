"""How many of something methods hold at a time, which memory follows from: without torch, so that planning knows it."""

BLOCK_ELEMENTS = 1 << 25
"""Logits held at a time by explicit attention over a prefix."""

ROWS = 256
"""Rows of final states whose logits over the vocabulary are held at a time."""
