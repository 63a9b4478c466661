"""Scorers of the text that a model writes before its image."""
