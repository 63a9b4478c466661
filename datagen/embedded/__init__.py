"""The model that ships: a small unified text-image model, its image tokenizer, and the world of pictograms."""
