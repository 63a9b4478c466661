"""Detectors: each module has `build(options) -> detect`, and `detect` takes PNG bytes and returns detections.

A detector may say with an attribute `labels` (a frozenset) which names it can give, and with `colors` what it calls
colours: a claim about any other object or colour is then not judged, instead of counted as wrong. One that has a
`read_text` says with `characters` what that can write, and one that gives a limited number of things of one name says
so with `most`. A module whose detector takes long to load may say the same
without it, with `describe(options) -> Sight`, so that `datagen check` can tell.
"""
