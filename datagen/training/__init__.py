"""Training on exported data: correct use of weights, and the reference trainer of the embedded model."""
