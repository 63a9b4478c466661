"""Each metric of rendered text against a slow reference written from its published definition, 300 cases and edges."""

from __future__ import annotations

import difflib
import itertools
import random
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from datagen.scoring import rendered as rendered

CASES = 300
WORDS = (
    "OPEN",
    "open",
    "Open,",
    "sale",
    "sale",
    "salé",
    "50%",
    "don't",
    "ОТКРЫТО",
    "नमस्ते",
    "été",
    "a",
    "!!!",
    "",
    "Ⅳ",
    "x" * 40,
)
CHINESE = ("开", "门", "大吉", "开门", "A1", "，", "a", "é", "开 门")
EDGES = (
    ("OPEN", ""),
    ("", "OPEN"),
    ("", ""),
    ("!!!", "?"),
    ("...", "OPEN"),
    ("sale sale sale", "sale"),
    ("sale", "sale sale sale"),
    ("ОТКРЫТО", "ОТКРЫТО"),
    ("ОТКРЫТО", "OTKPbITO"),
    ("नमस्ते", "नमसत"),
    ("开门大吉", "开门 大吉"),
    ("开门", "OPEN"),
    ("OPEN", "开门"),
    ("cafe\u0301", "café"),
    ("ab c", "a bc"),
    ("word " * 900, "word " * 899),
    ("y" * 3000, "y" * 2999),
)


def draw_texts(words: tuple[str, ...], seed: int, most: int = 5) -> Iterator[tuple[str, str]]:
    """Yield pairs of a claimed and a read text; the read one is often the claimed one with some words changed."""
    rng = random.Random(seed)
    for _ in range(CASES):
        truth = rng.choices(words, k=rng.randint(0, most))
        read = [rng.choice(words) if rng.random() < 0.3 else word for word in truth] if rng.random() < 0.6 else []
        read += rng.choices(words, k=rng.randint(0, max(0, most - len(read))))
        rng.shuffle(read)
        yield " ".join(truth), " ".join(read)


def both(seed: int) -> list[tuple[str, str]]:
    return [*draw_texts(WORDS, seed), *draw_texts(CHINESE, seed), *EDGES]


def slow_distance(a: str, b: str) -> int:
    """The table of Wagner and Fischer, whole."""
    table = [[i + j for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
        change = table[i - 1][j - 1] + (0 if a[i - 1] == b[j - 1] else 1)
        table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, change)
    return table[len(a)][len(b)]


slow_distance = cache(slow_distance)


def slow_words(truth: str, text: str, *, lower: bool) -> list[str]:
    """Clean and part a text letter by letter, in the language of the claimed one."""
    chinese = any("\u4e00" <= letter <= "\u9fff" for letter in truth)
    words = [""]
    for letter in unicodedata.normalize("NFC", text):
        if letter in " \t\n\r" or chinese:
            words.append("")
        if unicodedata.category(letter)[0] in "LMN" and letter not in " \t\n\r":
            words[-1] += letter.lower() if lower else letter
    if chinese:
        return [letter for word in words for letter in word]
    return [word for word in words if word]


def slow_matched(truth: list[str], read: list[str]) -> int:
    left, matched = list(truth), 0
    for word in read:
        if word in left:
            left.remove(word)
            matched += 1
    return matched


def test_edit_distance_agrees_with_the_whole_table() -> None:
    rng = random.Random(1)
    letters = "abcéЖ开 e\u0301𝔸\ud800"
    for number in range(5000):
        a, b = ("".join(rng.choices(letters, k=rng.randint(0, 12))) for _ in range(2))
        if number % 2:
            b = "".join(letter if rng.random() < 0.7 else rng.choice(letters) for letter in a)
        assert rendered.edit_distance(a, b) == slow_distance(a, b)
    for a, b in EDGES:
        if len(a) < 100:
            assert rendered.edit_distance(a, b) == slow_distance(a, b)
    long = "".join(rng.choices("ab", k=300))
    assert rendered.edit_distance(long, long[::-1]) == slow_distance(long, long[::-1])


def test_mario_agrees_with_crossing_words_off() -> None:
    for truth, read in both(2):
        wanted, seen = truth.lower().split(), read.lower().split()
        matched = slow_matched(wanted, seen)
        result = rendered.compare_words(truth.split(), read.split())
        assert result["precision"] == (matched / len(seen) if seen else 0)
        assert result["recall"] == (matched / len(wanted) if wanted else 0)
        assert result["f1"] == pytest.approx(2 * matched / (len(wanted) + len(seen)) if wanted or seen else 0)
        assert result["passed"] == (sorted(wanted) == sorted(seen))


def slow_oneig(truth: str, read: str) -> tuple[int, int, int]:
    wanted, seen = (slow_words(truth, text, lower=False) for text in (truth, read))
    joint = "" if any("\u4e00" <= letter <= "\u9fff" for letter in truth) else " "
    return slow_distance(joint.join(wanted), joint.join(seen)), slow_matched(wanted, seen), len(wanted)


def test_oneig_agrees_with_its_definition() -> None:
    for truth, read in both(3):
        if len(truth) < 1000:
            measured = rendered.measure_oneig(truth, read)
            assert (measured.distance, measured.matched, measured.words) == slow_oneig(truth, read), (truth, read)


@pytest.mark.parametrize(("words", "most"), [(WORDS, 100), (("开门", "大吉", "开", "利" * 70), 50)])
def test_oneig_score_of_a_corpus_agrees_with_its_definition(words: tuple[str, ...], most: int) -> None:
    rng = random.Random(4)
    pairs = [pair for pair in draw_texts(words, 5) if most == 100 or pair[0]]
    for _ in range(CASES):
        some = rng.choices(pairs, k=rng.randint(1, 6))
        slow = [slow_oneig(truth, read) for truth, read in some]
        ed = sum(each[0] for each in slow) / len(slow)
        cr = len([each for each in slow if each[0] == 0]) / len(slow)
        words_claimed = sum(each[2] for each in slow)
        wac = sum(each[1] for each in slow) / words_claimed if words_claimed else 0
        got = rendered.score_oneig(rendered.measure_oneig(truth, read) for truth, read in some)
        assert got == pytest.approx(
            {"ED": ed, "CR": cr, "WAC": wac, "score": 1 - min(ed, most) * (1 - cr) * (1 - wac) / most}
        )


def test_oneig_score_is_of_one_language() -> None:
    with pytest.raises(ValueError, match="one language"):
        rendered.score_oneig([])
    with pytest.raises(ValueError, match="one language"):
        rendered.score_oneig([rendered.measure_oneig("开", "开"), rendered.measure_oneig("a", "a")])


def test_longtext_agrees_with_crossing_words_off() -> None:
    for truth, read in both(6):
        wanted, seen = (slow_words(truth, text, lower=True) for text in (truth, read))
        assert rendered.measure_longtext(truth, read) == (slow_matched(wanted, seen), len(wanted))


def slow_alike(word: str, read: list[str]) -> str:
    """The read word with the largest difflib ratio, the last in the alphabet of several."""
    ratio = {other: difflib.SequenceMatcher(None, other, word).ratio() for other in read}
    return max(read, key=lambda other: (ratio[other], other))


def test_cvtg_agrees_with_its_definition() -> None:
    for truth, read in both(7):
        wanted, seen = truth.lower().split(), read.lower().split()
        if len(truth) > 1000:
            continue
        measured = rendered.measure_cvtg(truth, read)
        assert (measured.words, measured.right) == (len(wanted), len([word for word in wanted if word in seen]))
        near = 0.0
        for word in wanted:
            other = slow_alike(word, seen or [""])
            near += 1 - slow_distance(word, other) / (max(len(word), len(other)) + 1e-5)
        assert measured.near == pytest.approx(near, abs=1e-9), (truth, read)


def test_cvtgs_figures_of_a_corpus_are_means_over_words() -> None:
    given = [rendered.measure_cvtg("one two three", "one two three"), rendered.measure_cvtg("x", "")]
    assert rendered.score_cvtg(given) == pytest.approx({"word_accuracy": 3 / 4, "NED": 3 / 4}, abs=1e-5)


def test_tiif_agrees_with_every_pairing() -> None:
    for truth, read in both(8):
        wanted, seen = truth.lower().split(), read.lower().split(" ")
        if max(len(wanted), len(seen)) > 6 or len(truth) > 1000 or not wanted:
            continue
        error, recall = rendered.measure_tiif(truth, read)
        short, long = sorted((wanted, seen), key=len)
        least = min(
            sum(slow_distance(a, b) / max(len(a), len(b), 1) for a, b in zip(short, chosen, strict=True))
            for chosen in itertools.permutations(long, len(short))
        )
        assert error == pytest.approx((least + len(long) - len(short)) / len(long))
        left, close = list(seen), 0
        for word in wanted:
            near = next((k for k, o in enumerate(left) if slow_distance(word, o) <= 0.3 * max(len(word), len(o))), None)
            if near is not None:
                close += 1
                del left[near]
        assert recall == pytest.approx(close / len(wanted)), (truth, read)


def test_flow_grpo_agrees_with_its_definition() -> None:
    for truth, read in both(9):
        wanted, seen = ("".join(letter for letter in text.lower() if letter != " ") for text in (truth, read))
        got = rendered.reward_flow_grpo(truth, read)
        if not wanted:
            assert got == 0
        elif any(seen[k : k + len(wanted)] == wanted for k in range(len(seen) + 1)):
            assert got == 1
        elif len(wanted) < 500:
            assert got == pytest.approx(1 - min(slow_distance(wanted, seen), len(wanted)) / len(wanted))


@pytest.mark.parametrize(
    ("claimed", "lines", "groups", "others"),
    [
        (["BIG", "SALE"], ["sale", "big"], [["big"], ["sale"]], []),
        (["BIG", "SALE"], [], [[], []], []),
        (["SALE", "SALE"], ["SALE", "SALE"], [["SALE"], ["SALE"]], []),
        (["SALE", "SALE"], ["SALE"], [["SALE"], []], []),
        (["New bread daily", "Shut"], ["Shut", "New bread", "daily"], [["New bread", "daily"], ["Shut"]], []),
        (["Fresh bread", "Closed"], ["zzz", "Closd", "Fresh bread"], [["Fresh bread"], ["Closd"]], ["zzz"]),
        (["OPEN"], ["anything", "OPEN"], [["anything", "OPEN"]], []),
        (["开门", "大吉"], ["大吉", "开门"], [["开门"], ["大吉"]], []),
        ([], ["OPEN"], [], ["OPEN"]),
    ],
)  # fmt: skip
def test_lines_find_their_region(
    claimed: list[str], lines: list[str], groups: list[list[str]], others: list[str]
) -> None:
    assert rendered.match_regions(claimed, lines) == (groups, others)


@pytest.mark.parametrize(
    ("claimed", "lines"),
    [
        (["SALE", "SALE ENDS TODAY"], ["SALE ENDS", "TODAY", "SALE"]),
        (["SALE", "SALE ENDS TODAY"], ["SALE", "SALE ENDS", "TODAY"]),
        (["SALE", "BIG SALE"], ["BIG", "SALE", "SALE"]),
        (["SALE", "Sale ends today"], ["SALE", "Sale", "ends today"]),
        (["GO", "GO NOW PLEASE"], ["GO", "NOW PLEASE", "GO"]),
        (["GO NOW", "GO NOW PLEASE"], ["GO", "NOW", "PLEASE", "GO NOW"]),
        (["OPEN", "WE ARE OPEN DAILY"], ["WE ARE OPEN", "DAILY", "OPEN"]),
        (["No. 1", "No. 1 in town"], ["No.1", "in town", "No. 1"]),
        (["WOW", "wow now"], ["wow", "now", "wow"]),
        (["大吉", "开门大吉"], ["开门", "大吉", "大吉"]),
    ],
)
def test_a_wrapped_text_may_share_words_with_another(claimed: list[str], lines: list[str]) -> None:
    for order in itertools.permutations(claimed):
        assert rendered.compare_texts(order, lines) == rendered.Written((None, None), (), 1.0)


def test_texts_of_the_same_words_are_found_wherever_they_are_wrapped() -> None:
    rng = random.Random(12)
    for _ in range(300):
        claimed = [" ".join(rng.choices(["OPEN", "NOW", "SALE"], k=rng.randint(1, 4))) for _ in range(2)]
        lines = []
        for text in rng.sample(claimed, 2):
            said, cut = text.split(), rng.randint(0, len(text.split()))
            lines += [" ".join(part) for part in (said[:cut], said[cut:]) if part]
        written = rendered.compare_texts(claimed, lines)
        assert all(written.right), (claimed, lines)
        assert not written.others
        assert written.similarity == 1


def test_a_text_that_is_whole_keeps_its_lines_from_one_that_is_misread() -> None:
    lines = ["SALE ENDS", "TODAY", "SALE", "OPEM"]
    written = rendered.compare_texts(["OPEN", "SALE", "SALE ENDS TODAY"], lines)
    assert written.causes == ("misread", None, None)
    swapped = rendered.compare_texts(["BIG SALE", "OPEN NOW"], ["BIG NOW", "OPEN SALE"])
    assert swapped.right == (False, False), "words of another text make none whole"


def test_every_line_has_one_place_whatever_is_read() -> None:
    rng = random.Random(10)
    for _ in range(200):
        claimed = [" ".join(rng.choices(WORDS, k=rng.randint(0, 4))) for _ in range(rng.randint(2, 4))]
        lines = [" ".join(rng.choices(WORDS, k=rng.randint(0, 4))) for _ in range(rng.randint(0, 6))]
        groups, others = rendered.match_regions(claimed, lines)
        assert sorted([*itertools.chain(*groups), *others]) == sorted(lines)


def test_the_order_of_lines_does_not_matter_when_each_region_is_read() -> None:
    rng = random.Random(11)
    for _ in range(50):
        claimed = ["Fresh bread", "Live music tonight", "Exit", "Lot 49"]
        lines = rng.sample(claimed, len(claimed))
        assert rendered.match_regions(claimed, lines) == ([[text] for text in claimed], [])


@pytest.mark.parametrize(
    ("claimed", "line", "pieces"),
    [
        (["BIG SALE", "OPEN"], "BIG SALE OPEN", ["BIG SALE", "OPEN"]),
        (["BIG SALE", "OPEN"], "now big sale today", ["now", "big sale", "today"]),
        (["BIG SALE", "OPEN"], "BIG OPENS SALE", ["BIG OPENS SALE"]),
        (["No. 1", "Exit"], "No.1 Exit", ["No.1", "Exit"]),
        (["A", "A BIG SALE"], "A BIG SALE", ["A BIG SALE"]),
        (["BIG SALE"], "BIG SALE OPEN", ["BIG SALE OPEN"]),
    ],
)
def test_lines_are_cut_where_a_claimed_text_stands_whole(claimed: list[str], line: str, pieces: list[str]) -> None:
    assert rendered.cut_lines(claimed, [line]) == pieces


@pytest.mark.parametrize(
    "measure",
    [
        lambda a, b: 1 - rendered.edit_distance(a, b) / max(len(a), len(b)),
        lambda a, b: rendered.score_oneig([rendered.measure_oneig(a, b)])["score"],
        lambda a, b: rendered.measure_longtext(a, b)[0] / max(1, rendered.measure_longtext(a, b)[1]),
        lambda a, b: rendered.score_cvtg([rendered.measure_cvtg(a, b)])["NED"],
        lambda a, b: rendered.measure_tiif(a, b)[0],
        rendered.reward_flow_grpo,
        lambda a, b: rendered.compare_words([a], [b])["f1"],
        lambda a, b: rendered.compare_texts([a, b], [b, a]).similarity,
    ],
)
@pytest.mark.parametrize("piece", ["a b ", "é", "开"])
def test_ten_megabytes_do_not_hang(measure: Callable[[str, str], float], piece: str) -> None:
    size = 10_000_000 // len(piece)
    assert 0 <= measure(piece * size, (piece + "x") * (size // 2)) <= 1


def test_beyond_the_bound_the_distance_is_an_upper_bound() -> None:
    most = rendered.MOST_CHARACTERS
    assert rendered.edit_distance("a" * most, "a" * most + "bbb") == 3
    assert rendered.edit_distance("a" * (most + 5), "b" * most) == most + 5
    assert rendered.edit_distance("b" + "a" * most, "a" * most) >= 1
