"""Views: pure functions from the rows of a dataset to training examples. The word in the YAML is the module's name."""
