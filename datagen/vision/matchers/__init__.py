"""Text-image models: each module has `build(options) -> matcher`, from pairs of text and PNG bytes to matches.

A recipe names one for each scorer that needs one, under the scorer's name: `matchers: {clipscore: {…}}`.
"""
