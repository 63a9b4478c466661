"""Formats: how training examples become the files that a trainer reads. The word in the YAML is the module's name."""
