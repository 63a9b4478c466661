"""Models and rules of vision: detectors, encoders, matchers, the OCR, colours."""
