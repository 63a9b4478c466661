"""The shipped model: a small unified text-image model, its image tokenizer, and the world of pictograms."""
