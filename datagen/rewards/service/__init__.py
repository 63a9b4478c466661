"""Scorers that a server answers."""
