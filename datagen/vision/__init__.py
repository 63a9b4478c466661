"""Models and rules that see: detectors, encoders, matchers, the reader of words, colours."""
