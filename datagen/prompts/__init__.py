"""Prompts: drawn from a taxonomy together with their claims, each once, and none that stands in a benchmark."""
