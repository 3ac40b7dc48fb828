"""What libraries raise over damaged files of models, and how it is said in one line."""

from __future__ import annotations

DAMAGED = (ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What readers of weights and configurations raise where a file does not hold what they take for granted."""


def in_one_line(error: BaseException) -> str:
    """An error's kind and the beginning of what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
