"""Frameworks and mechanisms, the engine that runs them side by side, runs, and the interface in Python."""
