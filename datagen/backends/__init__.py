"""Backends: models that write samples. A module here is a word for `backend:` in a recipe; it has `build(options)`."""
