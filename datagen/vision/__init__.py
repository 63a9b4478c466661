"""What sees: detectors, encoders, matchers, the reader of words, colours."""
