"""User-written YAML files: read with positions and checked against pydantic models, with errors at line and column."""
