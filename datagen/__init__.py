"""Weakness-targeted synthetic data for unified text-image models. Start with `datagen --help`."""
