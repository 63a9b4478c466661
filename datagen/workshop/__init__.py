"""Training and measurement of the shipped weights. See `python -m datagen.workshop --help`."""
