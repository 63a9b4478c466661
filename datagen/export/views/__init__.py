"""Views: pure functions from the rows of a dataset to training examples. A recipe names a view by its module's name."""
