"""layerrank: where in a language model's layers relevance emerges, and what it costs to rank with it."""

__version__ = "0.1.0"
