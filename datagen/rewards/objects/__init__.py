"""Scorers of objects: number, colour, position."""
