"""Scorers of similarity: to a text, to another image, or to the model's expectation."""
