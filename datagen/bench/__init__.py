"""Benchmarks behind `datagen bench`: each prints one table and takes `--json FILE`."""
