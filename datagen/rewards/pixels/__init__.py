"""Scorers of the pixels alone."""
