"""How fast layerrank is, beside the published algorithm and beside what the machine can do: `python -m benchmarks`."""
