"""Scorers, in folders by what they look at; a recipe names a scorer by its file's name without the ending.

A scorer is a module with `TARGET` (the modality it judges), `JUDGES` (the kinds of claim it can judge) and
`score(prompt, sample, tools) -> Verdict`. It reads claims, never the prose of a prompt. If it cannot judge, it returns
`Verdict(None, reason)`; an exception is recorded as a failure of that one sample. A scorer with options also has a
class `Options`, and `describe(options)` for attributes that depend on them (`scoring.scorers`).

A sample's last image is `sample.image`, PNG bytes; `datagen.pictures.read_image` opens them. `datagen.records` defines
prompts, samples and verdicts.

A scorer whose rule does not fit all claims of its kinds selects its own with `own_claims(claims)`: if a prompt has
some, the scorer must have a value, or the sample has no reward. A scorer that uses the detector or the reader may list
the kinds of claim in `SEES`, so that names they do not know are reported before a run (`scoring.unseen`).

A scorer that asks a model about the image sets `NEEDS_JUDGE = True`, and its recipe has `judge:`. It runs on each
sample until all its questions are answered (`scoring.ahead`), so that the judge can be asked in batches. `score`
may therefore run several times and must have no side effects.

A scorer that uses encoders or matchers also has `look_ahead(pairs, tools)`, which is called with every prompt and
sample of a shard before scoring: it requests all of them in one batch, and the tools cache the results. A scorer that
compares the candidates of a prompt has `score_group` (`scoring.verdicts`).

A verdict whose evidence has `passed` (bool) also tells whether its claims hold without reserve;
`scoring.verdicts.passed` combines these for pass@k.
"""
