"""Backends: models that generate samples. A recipe names a module here under `backend:`; it has `build(options)`."""
