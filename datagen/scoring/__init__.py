"""Shared parts of scorers: tools, verdicts, layouts, questions, and the step from scores to rewards."""
