"""Taxonomies of model weaknesses: skills from which prompts with claims are sampled. Try `datagen preview`."""

from datagen.taxonomy.lexicon import Lexicon, Word, load_lexicon
from datagen.taxonomy.load import (
    Taxonomy,
    Weakness,
    explain_skipped,
    find_template,
    list_taxonomies,
    load_taxonomy,
    resolve_lexicon,
    resolve_taxonomy,
)
from datagen.taxonomy.space import Distinct, Level, Skill, count_distinct

__all__ = [
    "Distinct",
    "Level",
    "Lexicon",
    "Skill",
    "Taxonomy",
    "Weakness",
    "Word",
    "count_distinct",
    "explain_skipped",
    "find_template",
    "list_taxonomies",
    "load_lexicon",
    "load_taxonomy",
    "resolve_lexicon",
    "resolve_taxonomy",
]
