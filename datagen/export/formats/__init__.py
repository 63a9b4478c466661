"""Formats, which write training examples as files for a trainer. A recipe names a format by its module's name."""
