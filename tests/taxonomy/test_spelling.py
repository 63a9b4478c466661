"""Texts spelt wrong on purpose, slots that join lists, and the shipped skills made of them."""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import get_args

import pytest
from projects import LEXICON, TAXONOMY, write_project

from datagen.errors import ConfigError
from datagen.prompts.templated import sample_prompt
from datagen.taxonomy import load_taxonomy
from datagen.taxonomy.check import check_paths
from datagen.taxonomy.english import Spelling, spell_wrong
from datagen.taxonomy.load import MOST_TEXTS
from datagen.taxonomy.vocabulary import find_quoted

WAYS = get_args(Spelling)
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
SLOT = "text: {join: [words, words], spelled: HOW}"
JOINED = (
    TAXONOMY.replace("n: {range: [1, 4]}\n      object: {from: objects}", SLOT)
    .replace("    levels:\n      easy: {n: [1, 2]}\n      hard: {n: [3, 4]}\n", "")
    .replace("count(object, n)", "text(text)")
)


def random_words(count: int) -> list[str]:
    rng = random.Random(3)
    return ["".join(rng.choices(string.ascii_letters, k=rng.randint(4, 12))) for _ in range(count)]


@pytest.mark.parametrize("how", WAYS)
def test_it_changes_one_word_and_nothing_else_and_always_alike(how: Spelling) -> None:
    for word in random_words(300):
        text = f"The {word}, it is."
        wrong = spell_wrong(text, how)
        assert wrong != text
        assert wrong.startswith("The ")
        assert wrong.endswith(", it is.")
        assert spell_wrong(text, how) == wrong


def test_a_split_word_only_gains_a_space() -> None:
    for word in random_words(300):
        parts = spell_wrong(word, "split").split(" ")
        assert len(parts) == 2
        assert all(parts)
        assert "".join(parts) == word


def test_a_slip_is_of_a_neighbouring_key() -> None:
    for word in random_words(300):
        wrong = spell_wrong(word, "typo")
        slips = set()
        for k, letter in enumerate(word.lower()):
            row = next(row for row in ROWS if letter in row)
            near = [key for key in row if abs(row.index(key) - row.index(letter)) == 1]
            slips |= {word[:k] + key + word[k + 1 :] for key in near} | {
                word[: k + 1] + key + word[k + 1 :] for key in near
            }
        assert wrong.lower() in {slip.lower() for slip in slips}


def test_capitals_stay_capitals() -> None:
    for how in WAYS:
        for word in random_words(100):
            assert spell_wrong(word.upper(), how).isupper()


@pytest.mark.parametrize("text", ["", "!?", "a an the", "ОТКРЫТО", "开门大吉"])
@pytest.mark.parametrize("how", WAYS)
def test_what_has_no_long_latin_word_stays(text: str, how: Spelling) -> None:
    assert spell_wrong(text, how) == text


def test_a_slot_joins_lists_and_the_claim_has_the_text_to_the_letter(tmp_path: Path) -> None:
    template = 'a sign that says "{{ text }}"\n'
    taxonomy, lexicon = write_project(tmp_path, JOINED.replace(", spelled: HOW", ""), template)
    (skill,) = load_taxonomy([taxonomy], lexicon).skills
    texts = {sample_prompt(skill, index, 0).claims[0].value for index in range(skill.size)}
    assert texts == {"OPEN OPEN", "OPEN NO", "NO OPEN", "NO NO"}
    taxonomy, lexicon = write_project(tmp_path, JOINED.replace("HOW", "split"), template)
    (skill,) = load_taxonomy([taxonomy], lexicon).skills
    for index in range(skill.size):
        prompt = sample_prompt(skill, index, 0)
        assert find_quoted(prompt.text) == [prompt.claims[0].value]
        assert prompt.claims[0].value != "NO NO"


def test_a_lexicon_without_the_lists_leaves_the_skill_out(tmp_path: Path) -> None:
    taxonomy, lexicon = write_project(
        tmp_path, JOINED.replace(", spelled: HOW", ""), "{{ text }}\n", LEXICON.replace("words:", "short_words:")
    )
    with pytest.raises(ConfigError) as error:
        load_taxonomy([taxonomy], lexicon)
    assert "has no words" in error.value.hint


@pytest.mark.parametrize(
    ("slot", "told"),
    [
        ("join: [words, rare_words]", "no lexicon here has the list 'rare_words'"),
        ("join: [words], spelled: backwards", "backwards"),
        ("join: [words, verbs]", "verbs"),
    ],
)
def test_check_names_a_list_that_no_lexicon_has_and_a_wrong_way(tmp_path: Path, slot: str, told: str) -> None:
    taxonomy, lexicon = write_project(tmp_path, JOINED.replace(SLOT, f"text: {{{slot}}}"), '"{{ text }}"\n')
    found = check_paths([taxonomy], scorable=frozenset({"text"}), lexicons=[lexicon])
    assert any(told in str(problem) for problem in found), found


LENCOM = ("phrase", "misspelt", "keyboard_typo", "split_word", "rare_words")


def test_the_shipped_prompt_kinds_of_lencom() -> None:
    taxonomy = load_taxonomy(["text_rendering"], "everyday")
    skills = {skill.name: skill for skill in taxonomy.skills}
    for name in LENCOM:
        for index in range(100):
            prompt = sample_prompt(skills[name], index, 1)
            (claim,) = prompt.claims
            assert find_quoted(prompt.text) == [claim.value]
            assert '"' not in str(claim.value)
            if name in ("phrase", "misspelt", "keyboard_typo", "split_word"):
                assert len(str(claim.value).split()) >= 4
            else:
                assert not str(claim.value).replace(" ", "").isalpha()
        assert skills[name].levels[0].size > 900


def test_what_the_pictograms_cannot_draw_is_left_out() -> None:
    taxonomy = load_taxonomy(["text_rendering"], "pictograms")
    assert [skill.name for skill in taxonomy.skills] == ["short_word", "word"]
    assert [path for path, _ in taxonomy.skipped] == [f"text_rendering/{name}" for name in LENCOM]


def test_joined_lists_are_cut_at_the_bound(tmp_path: Path) -> None:
    many = ", ".join(f"W{k}" for k in range(300))
    lexicon = LEXICON.replace('[OPEN, "NO"]', f"[{many}]")
    taxonomy, path = write_project(tmp_path, JOINED.replace(", spelled: HOW", ""), "{{ text }}\n", lexicon)
    (skill,) = load_taxonomy([taxonomy], path).skills
    assert skill.levels[0].size == MOST_TEXTS
