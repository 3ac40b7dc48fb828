"""Decoders: loading, cutting to the layers that are read, and where they come from."""
