"""Prompts with their claims, sampled from a taxonomy: without duplicates, and without prompts of benchmarks."""
