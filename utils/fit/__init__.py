"""Fitting a model to a machine: placement under caps, CPU and disk offload, out-of-memory retries (lesson 09)."""
