"""Image encoders: each module has `build(options) -> encode`, and `encode` takes a batch of PNG bytes.

`encode` returns one row an image, (n, d) float32 of length 1; a row of NaN for an image that cannot be read or whose
features have no direction, so that one bad image never costs its neighbours their score.
"""
