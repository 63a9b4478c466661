"""Training of the embedded model: `python -m datagen.training --help`."""
