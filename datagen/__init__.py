"""Synthetic data for unified text-image models, aimed at their weaknesses. Start with `datagen --help`."""
