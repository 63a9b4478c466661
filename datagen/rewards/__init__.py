"""Scorers, in folders by what they look at: each file whose name has no leading `_` is one, and its name is the word.

A scorer is a module with `TARGET` (the modality it judges), `JUDGES` (the kinds of claim it can judge) and
`score(prompt, sample, tools) -> Verdict`. It reads claims, never the prose of a prompt. What it cannot judge is
`Verdict(None, reason)`; what it raises is recorded by the pipeline as a failure of that one sample. One that takes
options has a class `Options` besides, and `describe(options)` for what depends on them (`scoring.scorers`).

A sample's last image is `sample.image`, PNG bytes; `datagen.pictures.read_image` opens them. All that a prompt, a
sample and a verdict hold stands in `datagen.records`.

A scorer whose rule does not fit all claims of its kinds says which are its own with `own_claims(claims)`: where a
prompt has some, it must have a value, or the sample has no reward. One that sees through the detector or the reader
says of which kinds with `SEES`, so that what these have no name for is told before a run (`scoring.unseen`).

A scorer that asks a model about the image says `NEEDS_JUDGE = True`, and its recipe names one under `judge:`. It is run
on each sample until all that it asks is known (`scoring.tools.Later`), so that the judge is asked about many at once:
`score` must do nothing but answer.

A scorer that asks encoders or matchers has `look_ahead(pairs, tools)` besides, which is called with every prompt and
sample of a shard before any of them is scored: it asks about all of them in one batch, and the tools remember. One that
compares the candidates of a prompt has `score_group` (`scoring.verdicts`).

A verdict whose evidence has `passed` (bool) also says whether what it judges holds outright; `scoring.verdicts.passed`
joins these for pass@k.
"""
