"""Honest seconds, memory and operations, stage by stage."""
