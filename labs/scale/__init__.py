"""Train on several machines, serve many people: files for clusters and engines, and proofs that run on one machine."""
