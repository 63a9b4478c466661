"""Asks a judge about an image: one greedy token and its log-probabilities, or more where that does not settle it.

A judge answers the questions of `scoring.questions`; what an answer is worth stands in docs/judges.md. A judge that
answers at once is asked once, for one token. One that begins with something else (marks, JSON, a thought) is asked
again with room for it, and P is read where its answer stands. Where the engine gives no log-probabilities, where the
vocabulary splits the answer so that a token does not tell, or where the answer is prose, `SAMPLES` answers are drawn
and P is the share of the accepted ones among those that were understood. A judge that fails, or that answers something
else, is a problem in words and never P = 0.

Says where a judge's answer stands, and reads the probability of the accepted answers from the tokens there.

P is the softmax mass of the tokens that begin an accepted answer, as VQAScore, GenEval 2 and Soft-TIFA define it, but
told by the text of tokens, since an engine behind HTTP shows no token ids. A token is compared without the white space,
quotes and other marks around it, without the space markers of BPE vocabularies, and in any case of letters. A token in
its own right counts once, the sum at most 1.

A judge may write marks, a JSON key, a box or `Answer:` before its answer: `find_answer` says where it stands. In prose
("It does, yes.") an answer is found only where nothing else can be meant: `no` as in "no cup" is none.

A vocabulary may split an answer: `twelve` is `t`, `w`, … in one, `12` is `1`, `2` in most. A proper part counts if it
begins no other answer to such a question (`thr` can only be three); else its mass is `unclear`, and whoever reads it
must not take it for a no.

Not covered: answers in other languages, `true` and `false`, an answer that takes itself back ("No. Wait, yes.").

Captions of images: written by a judge, and two of one image compared by a judge that sees both orders.

The comparison is the second protocol of Unified-Bench (UAE, arXiv 2509.09666): a judge says which of two captions
describes an image better, then again with the captions swapped, since judges favour a place. Which words the authors
ask with is not known; those here are ours.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from datagen.chat import MARKERS, ChatRequest, Message, Part, Reply, Sampling, Token, explain_cut, set_thought_aside
from datagen.records import seed_of
from datagen.scoring.questions import NO, YES
from datagen.scoring.tools import Ask
from datagen.taxonomy.english import number_word

SAMPLES = 8
"""Answers drawn for a question that no token settles."""
LEAST_UNDERSTOOD = 0.5
"""Least share of drawn answers that must be understood."""
SHORT, ROOM = 8, 1024
"""Tokens of a drawn answer, and of one that began with something else: a thought and the answer behind it."""
LEAST_AT_ONCE = 0.5
"""Least share of a yes, no or number among the first tokens; with less the judge writes something else first."""
LEAST_ANSWER = 0.01
"""Least probability of yes and no at a token, for scores defined by one token of each or by their odds."""
MOST_UNCLEAR = 0.5
"""Most probability of tokens that may begin an accepted answer or another."""
_LISTED_TOKENS = 5
_NO_LOGPROBS = re.compile(r"log-?_?prob", re.IGNORECASE)
_SILENT = "the judge gives no log-probabilities"
_SPLIT = "the first token of the judge does not tell one number from another"
_PROSE = "the judge answers in prose"
MORE_ROOM = "say `thinking: 4096` under `judge:` for more room, or `thinking: false`"
"""What to do about a judge that is cut before it answers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about one image (PNG bytes), the answers that hold, and the seed of sampled answers.

    `one_token` holds a yes and a no that count as one token each, spelt just so (VQAScore); in place of all spellings.
    `odds` says that the score divides yes by yes and no (T2I-CompBench), so that the first token tells even where prose
    is likelier there.
    """

    image: bytes
    text: str
    accepted: tuple[str, ...]
    seed: int
    one_token: tuple[str, str] | None = None
    odds: bool = False

    def request(self, sampling: Sampling) -> ChatRequest:
        """Return the chat: the image first, then the question."""
        return ChatRequest((Message("user", (Part(image=self.image), Part(text=self.text))),), sampling)


@dataclass(frozen=True, slots=True)
class Answer:
    """P in [0, 1] that the answer is an accepted one, or None and the `problem`.

    `rivals` is P of the answers that are not: the other of yes and no, or the other numbers. `said` holds the likeliest
    tokens with their probabilities, or the sampled first words with their shares; `why_drawn` is why answers were
    sampled, `""` if they were not. `behind` is what the judge wrote before the token that P was read from; `mass` is P
    of any answer at that token, or the share of sampled answers that were understood.
    """

    asked: Asked
    probability: float | None
    said: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    why_drawn: str = ""
    rivals: float = 0.0
    mass: float = 0.0
    behind: str = ""


@dataclass(frozen=True, slots=True)
class _Again:
    """What is to be asked next: one answer with room, or several drawn ones of some length, and why those.

    `drawn` holds drawn answers that are there already; those that were cut are drawn again. `first` is what was read at
    the first token.
    """

    most_tokens: int
    why_drawn: str = ""
    drawn: tuple[Reply, ...] = ()
    first: FirstToken | None = None


def ask_all(ask: Ask, asked: Sequence[Asked]) -> list[Answer]:
    """Return one answer for each question, in order, asking the judge about all at once.

    It is asked once, a second time about what one token does not settle, and a third and fourth time about what it
    thinks long about and cannot be read from a token.
    """
    greedy = Sampling(temperature=0.0, max_tokens=1, top_logprobs=20)
    replies = ask([each.request(greedy) for each in asked])
    found = [_read_token(each, reply) for each, reply in zip(asked, replies, strict=True)]
    while again := {k: step for k, step in enumerate(found) if isinstance(step, _Again)}:
        requests = {k: _list_requests(asked[k], step) for k, step in again.items()}
        answers = iter(_ask_whole(ask, [request for group in requests.values() for request in group]))
        for k, step in again.items():
            mine = [next(answers) for _ in requests[k]]
            found[k] = (
                _read_drawn(asked[k], mine, step) if step.why_drawn else _read_whole(asked[k], mine[0], step.first)
            )
    return [each for each in found if isinstance(each, Answer)]


def _ask_whole(ask: Ask, requests: Sequence[ChatRequest]) -> list[Reply]:
    replies = list(ask(requests))
    if len(replies) != len(requests):
        raise ValueError(f"the judge gave {len(replies)} replies to {len(requests)} questions")
    return replies


def _list_requests(asked: Asked, step: _Again) -> list[ChatRequest]:
    if not step.why_drawn:
        return [asked.request(Sampling(temperature=0.0, max_tokens=step.most_tokens, top_logprobs=20))]
    return [
        asked.request(
            Sampling(temperature=1.0, max_tokens=step.most_tokens, seed=seed_of(asked.seed, asked.text, number))
        )
        for number in range(SAMPLES)
        if not step.drawn or _is_cut_off(step.drawn[number], asked)
    ]


def _read_token(asked: Asked, reply: Reply) -> Answer | _Again:
    """Read a reply of one token, or say what to ask after it."""
    reply = set_thought_aside(reply)
    if reply.is_cut:
        return _Again(ROOM)
    if not reply.first_logprobs and (not reply.error or _NO_LOGPROBS.search(reply.error)):
        return _Again(SHORT, _SILENT)
    if reply.error or not reply.first_logprobs:
        return Answer(asked, None, problem=f"the judge did not answer: {reply.error}")
    if reply.thought or len(reply.tokens) > 1:  # a judge with a budget to think wrote all of its answer
        return _read_whole(asked, reply)
    first = read_first_token(reply.first_logprobs, asked.accepted)
    listed = sum(first.tokens.values())
    return _Again(ROOM, first=first) if first.answer < LEAST_AT_ONCE * listed else _read_place(asked, first)


def _read_whole(asked: Asked, reply: Reply, first: FirstToken | None = None) -> Answer | _Again:
    """Read a greedy answer where it answers, or say that answers are to be drawn."""
    reply = set_thought_aside(reply)
    if not _is_said(reply) and not _NO_LOGPROBS.search(reply.error):
        return Answer(asked, None, problem=f"the judge did not answer: {reply.error}")
    found = None if _is_cut_off(reply, asked) else find_answer(reply.text, asked.accepted)
    if found is None:
        is_prose = reply.finish != "length" and not reply.thought
        if asked.odds and is_prose and first is not None and first.answer >= LEAST_ANSWER:
            return _read_place(asked, first)
        return Answer(asked, None, problem=_explain_unread(reply))
    place = None if found.in_prose else _find_token(reply, found.begin)
    if place is None or not place.logprobs:
        return _Again(ROOM if reply.thought or found.in_prose else SHORT, _PROSE if found.in_prose else _SILENT)
    behind = f"a thought of {len(reply.thought):,} characters" if reply.thought else reply.text[: found.begin]
    return _read_place(asked, read_first_token(place.logprobs, asked.accepted), behind)


def _find_token(reply: Reply, begin: int) -> Token | None:
    """Return the token that holds the character `begin` of a reply's text, if the engine told of it."""
    if not reply.tokens:
        return None if reply.text[:begin].strip() else Token(reply.text, reply.first_logprobs or {})
    spelt = "".join(token.text for token in reply.tokens)
    bare = reply.text.lstrip()
    place = spelt.find(bare.rstrip()) + begin - (len(reply.text) - len(bare))
    ends = accumulate(len(token.text) for token in reply.tokens)
    return next((token for token, end in zip(reply.tokens, ends, strict=True) if end > place), None)


def _read_place(asked: Asked, first: FirstToken, behind: str = "") -> Answer | _Again:
    """Read P from the likeliest tokens at the place of the answer; `behind` is what stands before it."""
    if asked.one_token is None and first.unclear > MOST_UNCLEAR:
        return _Again(ROOM if behind else SHORT, _SPLIT)
    likeliest = sorted(first.tokens.items(), key=lambda item: (-item[1], item[0]))
    said = {token: round(p, 6) for token, p in likeliest[:_LISTED_TOKENS]}
    if asked.one_token is not None:
        for space in ("", " "):  # a vocabulary may know the word only with the space before it
            yes, no = (first.tokens.get(space + form, 0.0) for form in asked.one_token)
            if yes + no >= LEAST_ANSWER:
                return Answer(asked, yes, said, rivals=no, mass=min(1.0, yes + no), behind=behind)
        forms = " or ".join(map(repr, asked.one_token))
        begins = f"it begins with {likeliest[0][0]!r}"
        problem = f"the judge does not answer with the token {forms}, {begins}; vqa reads every spelling"
        return Answer(asked, None, said, problem)
    return Answer(asked, first.accepted, said, rivals=first.rivals, mass=first.answer, behind=behind)


def _read_drawn(asked: Asked, replies: Sequence[Reply], step: _Again) -> Answer | _Again:
    """Return the share of accepted answers among those that were understood, or ask for more of those that were cut."""
    fresh = (set_thought_aside(reply) for reply in replies)
    drawn = [next(fresh) if not step.drawn or _is_cut_off(old, asked) else old for old in step.drawn or replies]
    why = step.why_drawn
    if error := next((reply.error for reply in drawn if not _is_said(reply)), ""):
        return Answer(asked, None, problem=f"the judge did not answer: {error}", why_drawn=why)
    cut = [_is_cut_off(reply, asked) for reply in drawn]
    if any(cut) and step.most_tokens < ROOM:
        return _Again(ROOM, why, tuple(drawn))
    read = [None if off else find_answer(reply.text, asked.accepted) for reply, off in zip(drawn, cut, strict=True)]
    words = Counter(read_first_word(reply.text) for reply in drawn)
    said = {word: count / len(drawn) for word, count in words.most_common(_LISTED_TOKENS)}
    understood = [found.word for found in read if found is not None]
    if len(understood) < LEAST_UNDERSTOOD * len(drawn):
        unread = _explain_unread(next(reply for reply, found in zip(drawn, read, strict=True) if found is None))
        some = f"{len(understood)} of {len(drawn)} drawn answers were understood: " if understood else ""
        return Answer(asked, None, said, some + unread, why)
    share = sum(holds(word, asked.accepted) for word in understood) / len(understood)
    mass = len(understood) / len(drawn)
    return Answer(asked, share, said, why_drawn=why, rivals=1.0 - share, mass=mass)


def _is_said(reply: Reply) -> bool:
    """Say whether a model answered at all, if only a thought: an error is then about what it said."""
    return not reply.error or reply.is_cut or bool(reply.thought)


def _is_cut_off(reply: Reply, asked: Asked) -> bool:
    """Say whether an answer was cut off where its words may still be a thought that nothing marks."""
    if reply.finish != "length" or reply.error:
        return reply.is_cut
    if reply.thought and reply.text.strip():
        return False
    found = find_answer(reply.text, asked.accepted)
    return found is None or not is_only(reply.text, found.word)


def _explain_unread(reply: Reply) -> str:
    if reply.is_cut:
        return f"the judge was cut while it was thinking; {MORE_ROOM}"
    if reply.thought and not reply.text.strip():
        return "the judge thought and did not answer the question"
    if reply.finish == "length":
        return f"the judge does not answer the question, it was cut at {reply.text[-60:]!r}; {MORE_ROOM}"
    return f"the judge does not answer the question, it says {reply.text[:60]!r}"


_VALUES = {number_word(n): n for n in range(21)} | {"none": 0}
NUMBERS = frozenset({*_VALUES, *(str(n) for n in range(21))})
YES_NO = frozenset(form.casefold() for form in (*YES, *NO))
_AROUND = re.compile(r"^[\W_]+|[\W_]+$")
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_KEY = r'"[^"\n]{1,40}"\s*:'
_LEAD = re.compile(rf"(?:{_KEY}|```\w*\s|\\text\s*\{{|<\|?/?\w+\|?>|[\W_])*")
"""Everything that may stand before an answer and is none: marks, quotes, brackets, a JSON key, a fence, a tag."""
_SIGN = re.compile(
    r"<answer>|<\|begin_of_box\|>|\\boxed\s*\{|\"(?:final[ _])?(?:answer|verdict|result|response)\"\s*:"
    r"|\banswer[\s*_]*(?:is\b|[:=])",
    re.IGNORECASE,
)
"""What says that the answer follows; the last one in a text counts."""
_BEFORE = r"(?:^\s*|\n\s*|[^\w\s\"'“‘]\s*|\b(?:say|think|so|therefore|answer)\s+)\**"  # a quoted word is written there
_SAID_YES = re.compile(rf"{_BEFORE}(yes)\b(?!\s*(?:or|and|/)\s*no\b)", re.IGNORECASE)
_SAID_NO = re.compile(rf"{_BEFORE}(no)\**\s*(?=$|[.,;:!)\n])", re.IGNORECASE)
_ENDS = re.compile(r"\s*(?:$|[^\w\s])")
_CAPTION = re.compile(r"\b[Cc]aption\s+[\"'*(]*([A-Z])\b")
_DENIED = re.compile(r"(?:\bnot|n['’]t|\bnever|\bcannot)\s+(?:\w+\s+){0,2}[\"'*]*$", re.IGNORECASE)
_SAID_ONE = re.compile(r"\b(?:is|are|only|just|exactly|see|shows?|has|have|contains?)\s+[\"'*]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FirstToken:
    """Probabilities in [0, 1]: of an accepted answer, of one that is not, of a part that tells nothing; of each token.

    `rivals` are the other of yes and no, or the other numbers; `answer` is the probability of any yes or no, or of
    any number: less than 1 where the judge might have said something else, unless its engine binds it.
    """

    accepted: float
    rivals: float
    unclear: float
    answer: float
    tokens: dict[str, float]


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """An answer in a text: its first character, its word, and whether it stands where answers stand, or in prose."""

    begin: int
    word: str
    in_prose: bool


def read_first_token(logprobs: Mapping[str, float], accepted: Collection[str]) -> FirstToken:
    """Sum natural log-probabilities by what each token begins; raises ValueError for NaN."""
    tokens: dict[str, float] = {}
    for raw, value in logprobs.items():
        if math.isnan(value):
            raise ValueError(f"the log-probability of {raw!r} is not a number")
        token = raw.translate(MARKERS)
        tokens[token] = max(tokens.get(token, 0.0), math.exp(min(value, 0.0)))
    ours, rivals = _fold(accepted), rivals_of(accepted)
    bare = {token: _strip(token) for token in tokens}
    kinds = {token: _classify(bare[token], ours, rivals) for token in tokens}
    return FirstToken(
        accepted=_sum(p for token, p in tokens.items() if kinds[token] == "accepted"),
        rivals=_sum(p for token, p in tokens.items() if _classify(bare[token], rivals, ours) == "accepted"),
        unclear=_sum(p for token, p in tokens.items() if kinds[token] == "unclear"),
        answer=_sum(p for token, p in tokens.items() if kinds[token] == "accepted" or _begins(bare[token], accepted)),
        tokens=tokens,
    )


def rivals_of(accepted: Collection[str]) -> frozenset[str]:
    """Return the other answers to the same question, in lower case: the other of yes and no, or the other numbers."""
    return (YES_NO if asks_yes_no(accepted) else NUMBERS) - _fold(accepted)


def asks_yes_no(accepted: Collection[str]) -> bool:
    """Say whether the question is one of yes or no; the others ask for a number."""
    return YES_NO.issuperset(_fold(accepted))


def holds(word: str, accepted: Collection[str]) -> bool:
    """Say whether an answer's word is an accepted one, letter case aside, `12` as good as `twelve`."""
    return word.casefold() in _fold(accepted) or (
        not asks_yes_no(accepted) and _value_of(word) in map(_value_of, accepted)
    )


def find_answer(text: str, accepted: Collection[str]) -> FoundAnswer | None:
    """Return where a text answers a question that these answers are accepted to, or None where it does not.

    Behind the last `Answer:`, `\\boxed{`, `"answer":` or `<answer>` if there is one, else at the beginning, else in
    prose that says one answer and no other.
    """
    *_, sign = (0, *(found.end() for found in _SIGN.finditer(text)))
    for start in dict.fromkeys((sign, 0)):
        found = _WORD.match(text, _LEAD.match(text, start).end())  # type: ignore[union-attr]
        if found is None:
            continue
        word = found.group()
        behind = text[found.end() :]
        if _is_answer(word, accepted) and not behind.startswith(" of "):  # one of them, two of the three
            others = _find_in_prose(behind, accepted) if asks_yes_no(accepted) else {}
            return FoundAnswer(found.start(), word, False) if others.keys() <= {_name(word)} else None
        if word.casefold() in YES_NO and is_only(text[found.start() :], word):
            return FoundAnswer(found.start(), word, False)  # to how many there are: an answer, and no number
    said = _find_in_prose(text, accepted)
    if len(said) != 1:
        return None
    ((begin, word),) = said.values()
    return FoundAnswer(begin, word, True)


def find_letter(text: str, letters: str) -> str:
    """Return the one letter, of some capital ones, that a text answers with, or `""`: "A better one" is no A."""
    *_, sign = (0, *(found.end() for found in _SIGN.finditer(text)))
    for start in dict.fromkeys((sign, 0)):
        found = _WORD.match(text, _LEAD.match(text, start).end())  # type: ignore[union-attr]
        if found and found.group().upper() in [*letters] and _ENDS.match(text, found.end()):
            return found.group().upper()
    named = {each for each in _CAPTION.findall(text) if each in letters}
    return named.pop() if len(named) == 1 else ""


def read_first_word(text: str) -> str:
    """Return the first word or number of a written answer, or `""`: `Yes` of ` "Yes, it is."`."""
    found = _WORD.search(text)
    return found.group() if found else ""


def is_only(text: str, word: str) -> bool:
    """Say whether a text is nothing but this word, once or again and again."""
    return {found.casefold() for found in _WORD.findall(text)} == {word.casefold()}


def _find_in_prose(text: str, accepted: Collection[str]) -> dict[str, tuple[int, str]]:
    """Return each answer that a text says for sure, with the place and the word of the last time it does."""
    if asks_yes_no(accepted):
        found = [each for form in (_SAID_YES, _SAID_NO) for each in form.finditer(text)]
        return {
            _name(each[1]): (each.start(1), each[1]) for each in found if not _DENIED.search(text, 0, each.start(1))
        }
    words = [each for each in _WORD.finditer(text) if _is_answer(each.group(), (*accepted, "no"))]
    return {
        _name(each.group()): (each.start(), each.group())
        for each in words
        if each.group().casefold() not in ("one", "no") or _SAID_ONE.search(text, 0, each.start())
    }


def _is_answer(word: str, accepted: Collection[str]) -> bool:
    if asks_yes_no(accepted):
        return word.casefold() in YES_NO
    return _value_of(word) is not None or word.casefold() in _fold(accepted)


def _name(word: str) -> str:
    """Return a word as the answer that it is: yes, no, or a number in digits."""
    value = _value_of(word)
    return word.casefold() if value is None else str(value)


def _value_of(word: str) -> int | None:
    low = word.casefold()
    return int(low) if low.isascii() and low.isdigit() and len(low) < 10 else _VALUES.get(low)


def _classify(token: str, accepted: Collection[str], rivals: Collection[str]) -> str:
    """Return `accepted`, `unclear` (it begins an accepted answer and may begin another), or `other`."""
    if token in accepted:
        return "accepted"
    if not token or not any(form.startswith(token) for form in accepted):
        return "other"
    shared = token.isdigit() or any(rival.startswith(token) for rival in rivals)
    return "unclear" if shared else "accepted"


def _begins(token: str, accepted: Collection[str]) -> bool:
    """Say whether a token can begin any answer to a question: a yes or a no, or a number."""
    forms = YES_NO if asks_yes_no(accepted) else NUMBERS
    return bool(token) and ((forms is NUMBERS and token.isdigit()) or any(form.startswith(token) for form in forms))


def _strip(token: str) -> str:
    return _AROUND.sub("", token).casefold()


def _fold(forms: Iterable[str]) -> frozenset[str]:
    return frozenset(form.casefold() for form in forms)


def _sum(values: Iterable[float]) -> float:
    return min(1.0, math.fsum(values))


DESCRIBE = (
    "Describe this image so fully that somebody who cannot see it could draw it again: every object, how many there "
    "are, their colours, where each stands, any written words, and the background. Answer with the description alone."
)
COMPARE = (
    "Here are two captions of the image.\n\nCaption A: {}\n\nCaption B: {}\n\n"
    "Which caption describes the image more completely and more correctly? Answer with A or B."
)
MOST_TOKENS = 512
"""Tokens of a caption."""
ROOM = 1024
"""Tokens of a comparison: a judge that says only A or B writes two, one that thinks many."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two captions of one image (PNG bytes): ours, and the one it is compared with."""

    image: bytes
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What ours came to: 1 won in both orders, 0 lost in both, 0.5 the judge named a place and not a caption.

    None, with the `problem`, where an answer is neither A nor B. `said` holds the answers, ours as A and ours as B.
    """

    value: float | None
    said: tuple[str, str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class WinRate:
    """The mean of the outcomes that are known (a tie is half), how many those are, how many of them were the same in
    both orders, and how many are not known."""

    rate: float | None
    known: int
    consistent: int
    unknown: int


def ask_captions(images: Sequence[bytes], seeds: Sequence[int], ask: Ask) -> list[Reply]:
    """Return the judge's caption of each image; a reply with an error has none."""
    requests = [
        ChatRequest(
            (Message("user", (Part(image=image), Part(text=DESCRIBE))),), Sampling(max_tokens=MOST_TOKENS, seed=seed)
        )
        for image, seed in zip(images, seeds, strict=True)
    ]
    replies = [set_thought_aside(reply) for reply in ask(requests)] if requests else []
    if len(replies) != len(requests):
        raise ValueError(f"the judge gave {len(replies)} replies to {len(requests)} questions")
    return [_check_caption(reply) for reply in replies]


def _check_caption(reply: Reply) -> Reply:
    """Return the reply, with an error where it is no whole caption: half a description is judged as half the image."""
    if reply.error:
        return reply
    if reply.finish == "length":
        return replace(reply, error=explain_cut(reply.text, MOST_TOKENS))
    return reply if reply.text.strip() else replace(reply, error="an empty caption")


def compare_captions(pairs: Sequence[Pair], ask: Ask) -> list[Outcome]:
    """Return one outcome for each pair, in order; the judge is asked once for all, two questions a pair."""
    requests = [
        _ask_which(pair.image, *order)
        for pair in pairs
        for order in ((pair.ours, pair.theirs), (pair.theirs, pair.ours))
    ]
    replies = [set_thought_aside(reply) for reply in ask(requests)] if requests else []
    if len(replies) != len(requests):
        raise ValueError(f"the judge gave {len(replies)} replies to {len(requests)} questions")
    return [_read(replies[k], replies[k + 1]) for k in range(0, len(replies), 2)]


def count_wins(outcomes: Sequence[Outcome]) -> WinRate:
    """Return the win rate of ours; its rate is None where no outcome is known."""
    values = [outcome.value for outcome in outcomes if outcome.value is not None]
    rate = sum(values) / len(values) if values else None
    return WinRate(rate, len(values), sum(value != 0.5 for value in values), len(outcomes) - len(values))


def _ask_which(image: bytes, first: str, second: str) -> ChatRequest:
    text = COMPARE.format(first, second)
    return ChatRequest((Message("user", (Part(image=image), Part(text=text))),), Sampling(max_tokens=ROOM))


def _read(straight: Reply, swapped: Reply) -> Outcome:
    """Join the answers to both orders: ours is A in the first, B in the second."""
    said = (straight.text.strip(), swapped.text.strip())
    for reply in (straight, swapped):
        if reply.error:
            return Outcome(None, said, f"the judge did not answer: {reply.error}")
    first, second = (find_letter(text, "AB") for text in said)
    for text, word in zip(said, (first, second), strict=True):
        if not word:
            return Outcome(None, said, f"the judge says neither A nor B: {text[:60]!r}")
    return Outcome(((first == "A") + (second == "B")) / 2, said)
