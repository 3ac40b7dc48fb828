"""Layer science from the stored signal: the measure of every layer and window, and a choice without peeking."""
