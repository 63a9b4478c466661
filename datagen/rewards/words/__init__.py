"""Scorers of rendered text."""
