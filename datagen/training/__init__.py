"""Training on exported data: weights used right, and the reference trainer of the embedded model (`datagen train`)."""
