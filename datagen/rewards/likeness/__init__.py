"""Scorers of likeness: to a text, to another image, or to what the model expects."""
