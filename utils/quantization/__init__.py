"""Fewer bits: how to choose them, how to pack them, how to compute with them, what they cost."""
