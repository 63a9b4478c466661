"""Image encoders: each module has `build(options) -> encode`, and `encode` takes a batch of PNG bytes.

`encode` returns one row for each image, (n, d) float32 of length 1; NaN for an image that cannot be read or whose
features have no direction, so that one bad image never costs the others their score.
"""
