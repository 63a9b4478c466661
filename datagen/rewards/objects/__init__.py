"""Scorers of things: how many, in which colour, how they stand."""
