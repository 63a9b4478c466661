"""Detectors: each module has `build(options) -> detect`, and `detect` takes PNG bytes and returns detections.

A detector may declare the names it knows in an attribute `labels` (a frozenset), and its colours in `colors`: claims
about other objects or colours are then not judged, instead of counted as wrong. A detector with `read_text` declares
its characters in `characters`; one that returns a limited number of objects of one name declares it in `most`. The
module of a detector that loads slowly may return the same from `describe(options) -> Sight`, which `datagen check` uses
without loading it.
"""
