"""The workshop: how the weights that ship were made and are measured. `python -m datagen.workshop --help`."""
