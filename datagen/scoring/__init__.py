"""Parts that scorers share: tools, verdicts, layouts, questions, and how scores become rewards."""
