"""Shared parts of backends: options, batches that fit into memory, and the steps of a reflection."""
