"""The YAML files that people write: read with positions, held against a pydantic model, refused at line and column."""
