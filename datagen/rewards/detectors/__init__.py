"""Detectors: each module has `build(options) -> detect`, and `detect` takes PNG bytes and returns detections.

A detector may say with an attribute `labels` (a frozenset) which names it can give: a claim about any other object is
then not judged, instead of counted as zero.
"""
