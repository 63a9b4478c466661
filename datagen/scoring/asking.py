"""Ask a judge about an image and read P, the probability of the accepted answers, from its tokens.

A judge answers the questions of `scoring.questions`; docs/judges.md says how far to trust it. A judge that answers at
once is asked for one greedy token with log-probabilities. One that begins with something else (marks, JSON, a thought)
is asked again with more room, and P is read at the position of the answer. If the engine gives no log-probabilities,
the vocabulary splits the answer so that one token does not decide it, or the answer is prose, `SAMPLES` answers are
sampled, and P is the share of accepted ones among those understood. A judge that fails or answers something else gives
a `problem`, never P = 0.

P is the softmax mass of the tokens that begin an accepted answer, as in VQAScore, GenEval 2 and Soft-TIFA, but tokens
are compared by text, since an engine behind HTTP shows no token ids. White space, quotes and other marks around a
token, the space markers of BPE vocabularies, and letter case are ignored. Each distinct token counts once, and the sum
is at most 1.

A judge may write marks, a JSON key, a box or `Answer:` before its answer; `find_answer` locates it. In prose ("It does,
yes.") an answer counts only if it is unambiguous: the `no` of "no cup" is not one.

A vocabulary may split an answer: `twelve` into `t`, `w`, …, or `12` into `1`, `2`. A first part counts if it begins no
other answer to such a question (`thr` can only be three); otherwise its mass is `unclear` and must not be read as a no.

Captions are written by a judge too, and two captions of one image are compared by a judge that sees both orders. The
comparison is the second protocol of Unified-Bench (UAE, arXiv 2509.09666): the judge chooses the better caption, then
again with the captions swapped, since judges favour a position. The authors' wording is not published; this one is
ours.

Not covered: answers in other languages, `true` and `false`, an answer that corrects itself ("No. Wait, yes.").
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
"""Answers sampled for a question that one token does not decide."""
LEAST_UNDERSTOOD = 0.5
"""Least share of sampled answers that must be understood."""
SHORT, ROOM = 8, 1024
"""Tokens of a short sampled answer, and of one with room for a thought before the answer."""
LEAST_AT_ONCE = 0.5
"""Least share of yes, no or numbers among the first tokens; below it the judge writes something else first."""
LEAST_ANSWER = 0.01
"""Least probability of yes and no at a token, for scores defined by one token of each or by their odds."""
MOST_UNCLEAR = 0.5
"""Most probability of tokens that may begin an accepted answer or another one."""
_LISTED_TOKENS = 5
_NO_LOGPROBS = re.compile(r"log-?_?prob", re.IGNORECASE)
_SILENT = "the judge gives no log-probabilities"
_SPLIT = "the first token of the judge does not tell one number from another"
_PROSE = "the judge answers in prose"
MORE_ROOM = "say `thinking: 4096` under `judge:` for more room, or `thinking: false`"
"""Hint for a judge that is cut off before it answers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about one image (PNG bytes), the accepted answers, and the seed of sampled answers.

    `one_token` holds the exact spelling of a yes and a no that count, one token each (VQAScore), instead of all
    spellings. `odds` means that the score is yes / (yes + no) (T2I-CompBench), for which the first token is enough even
    if prose is likelier there.
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
    """P in [0, 1] of the accepted answers, or None and the `problem`.

    `rivals` is P of the other answers to the question: the other of yes and no, or the other numbers. `said` holds the
    likeliest tokens with their probabilities, or the sampled first words with their shares. `why_drawn` says why
    answers were sampled, `""` if they were not. `behind` is the text before the token that P was read from. `mass` is P
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
    """The next request for a question: one greedy answer with more room, or sampled answers and the reason for them.

    `drawn` holds the answers sampled so far; those that were cut off are sampled again. `first` is the reading of the
    first token.
    """

    most_tokens: int
    why_drawn: str = ""
    drawn: tuple[Reply, ...] = ()
    first: FirstToken | None = None


def ask_all(ask: Ask, asked: Sequence[Asked]) -> list[Answer]:
    """Return one answer for each question, in order, asking the judge about all at once.

    A second call follows for questions that one token does not decide; a third and a fourth for long thoughts and
    answers that cannot be read from a token.
    """
    greedy = Sampling(temperature=0.0, max_tokens=1, top_logprobs=20)  # 20 is the most of OpenAI's API
    replies = ask([each.request(greedy) for each in asked])
    found = [_read_token(each, reply) for each, reply in zip(asked, replies, strict=True)]
    # Every round is one call for all open questions, so that the engine can batch them.
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
    """Read a reply of one token, or return the next request."""
    reply = set_thought_aside(reply)
    if reply.is_cut:
        return _Again(ROOM)
    if not reply.first_logprobs and (not reply.error or _NO_LOGPROBS.search(reply.error)):
        return _Again(SHORT, _SILENT)
    if reply.error or not reply.first_logprobs:
        return Answer(asked, None, problem=f"the judge did not answer: {reply.error}")
    if reply.thought or len(reply.tokens) > 1:  # `thinking:` gave it room, so the whole answer is here
        return _read_whole(asked, reply)
    first = read_first_token(reply.first_logprobs, asked.accepted)
    listed = sum(first.tokens.values())
    return _Again(ROOM, first=first) if first.answer < LEAST_AT_ONCE * listed else _read_place(asked, first)


def _read_whole(asked: Asked, reply: Reply, first: FirstToken | None = None) -> Answer | _Again:
    """Read a greedy answer at the position of its answer, or return a request for sampled ones."""
    reply = set_thought_aside(reply)
    if not _is_said(reply) and not _NO_LOGPROBS.search(reply.error):
        return Answer(asked, None, problem=f"the judge did not answer: {reply.error}")
    found = None if _is_cut_off(reply, asked) else find_answer(reply.text, asked.accepted)
    if found is None:
        is_prose = reply.finish != "length" and not reply.thought
        if asked.odds and is_prose and first is not None and first.answer >= LEAST_ANSWER:
            return _read_place(asked, first)  # the ratio is defined at the first token, however unlikely an answer is
        return Answer(asked, None, problem=_explain_unread(reply))
    place = None if found.in_prose else _find_token(reply, found.begin)
    if place is None or not place.logprobs:
        return _Again(ROOM if reply.thought or found.in_prose else SHORT, _PROSE if found.in_prose else _SILENT)
    behind = f"a thought of {len(reply.thought):,} characters" if reply.thought else reply.text[: found.begin]
    return _read_place(asked, read_first_token(place.logprobs, asked.accepted), behind)


def _find_token(reply: Reply, begin: int) -> Token | None:
    """Return the token that contains the character `begin` of a reply's text, if the engine returned it."""
    if not reply.tokens:  # only the first token is known, which is enough if nothing stands before the answer
        return None if reply.text[:begin].strip() else Token(reply.text, reply.first_logprobs or {})
    spelt = "".join(token.text for token in reply.tokens)
    bare = reply.text.lstrip()
    # The tokens may spell a thought before the text, so the text is searched among them and `begin` shifted.
    place = spelt.find(bare.rstrip()) + begin - (len(reply.text) - len(bare))
    ends = accumulate(len(token.text) for token in reply.tokens)
    return next((token for token, end in zip(reply.tokens, ends, strict=True) if end > place), None)


def _read_place(asked: Asked, first: FirstToken, behind: str = "") -> Answer | _Again:
    """Read P from the likeliest tokens at the position of the answer; `behind` is the text before it."""
    if asked.one_token is None and first.unclear > MOST_UNCLEAR:
        return _Again(ROOM if behind else SHORT, _SPLIT)
    likeliest = sorted(first.tokens.items(), key=lambda item: (-item[1], item[0]))
    said = {token: round(p, 6) for token, p in likeliest[:_LISTED_TOKENS]}
    if asked.one_token is not None:
        for space in ("", " "):  # some vocabularies have the word only with a space before it
            yes, no = (first.tokens.get(space + form, 0.0) for form in asked.one_token)
            if yes + no >= LEAST_ANSWER:
                return Answer(asked, yes, said, rivals=no, mass=min(1.0, yes + no), behind=behind)
        forms = " or ".join(map(repr, asked.one_token))
        begins = f"it begins with {likeliest[0][0]!r}"
        problem = f"the judge does not answer with the token {forms}, {begins}; vqa reads every spelling"
        return Answer(asked, None, said, problem)
    return Answer(asked, first.accepted, said, rivals=first.rivals, mass=first.answer, behind=behind)


def _read_drawn(asked: Asked, replies: Sequence[Reply], step: _Again) -> Answer | _Again:
    """Return the share of accepted answers among those understood, or a request that repeats answers cut off."""
    # Answers that were complete are kept; the fresh ones replace those that were cut off, in order.
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
    """Tell whether a model answered at all, if only with a thought; an error is then about its answer."""
    return not reply.error or reply.is_cut or bool(reply.thought)


def _is_cut_off(reply: Reply, asked: Asked) -> bool:
    """Tell whether an answer was cut off while it may still be an unmarked thought."""
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
"""Text that may precede an answer: marks, quotes, brackets, a JSON key, a fence, a tag."""
_SIGN = re.compile(
    r"<answer>|<\|begin_of_box\|>|\\boxed\s*\{|\"(?:final[ _])?(?:answer|verdict|result|response)\"\s*:"
    r"|\banswer[\s*_]*(?:is\b|[:=])",
    re.IGNORECASE,
)
"""Signs that the answer follows; the last one in a text counts."""
_BEFORE = r"(?:^\s*|\n\s*|[^\w\s\"'“‘]\s*|\b(?:say|think|so|therefore|answer)\s+)\**"  # not in quotes
_SAID_YES = re.compile(rf"{_BEFORE}(yes)\b(?!\s*(?:or|and|/)\s*no\b)", re.IGNORECASE)
_SAID_NO = re.compile(rf"{_BEFORE}(no)\**\s*(?=$|[.,;:!)\n])", re.IGNORECASE)
_ENDS = re.compile(r"\s*(?:$|[^\w\s])")
_CAPTION = re.compile(r"\b[Cc]aption\s+[\"'*(]*([A-Z])\b")
_DENIED = re.compile(r"(?:\bnot|n['’]t|\bnever|\bcannot)\s+(?:\w+\s+){0,2}[\"'*]*$", re.IGNORECASE)
_SAID_ONE = re.compile(r"\b(?:is|are|only|just|exactly|see|shows?|has|have|contains?)\s+[\"'*]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FirstToken:
    """Probabilities in [0, 1] of accepted answers, of other answers, of unclear parts, and of each token.

    `rivals` are the other of yes and no, or the other numbers. `answer` is the probability of any yes or no, or of any
    number: less than 1 if the judge might say something else and its engine does not constrain it.
    """

    accepted: float
    rivals: float
    unclear: float
    answer: float
    tokens: dict[str, float]


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """An answer in a text: the index of its first character, its word, and whether it is part of prose."""

    begin: int
    word: str
    in_prose: bool


def read_first_token(logprobs: Mapping[str, float], accepted: Collection[str]) -> FirstToken:
    """Sum the probabilities of tokens by the answer that each begins. Raises ValueError for NaN."""
    tokens: dict[str, float] = {}
    for raw, value in logprobs.items():
        if math.isnan(value):
            raise ValueError(f"the log-probability of {raw!r} is not a number")
        token = raw.translate(MARKERS)  # `▁Yes` and ` Yes` are one token in two notations: the larger counts
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
    """Return the other answers to the question in lower case: the other of yes and no, or the other numbers."""
    return (YES_NO if asks_yes_no(accepted) else NUMBERS) - _fold(accepted)


def asks_yes_no(accepted: Collection[str]) -> bool:
    """Tell whether a question is answered by yes or no; all others ask for a number."""
    return YES_NO.issuperset(_fold(accepted))


def holds(word: str, accepted: Collection[str]) -> bool:
    """Tell whether an answer's word is accepted, ignoring letter case; `12` equals `twelve`."""
    return word.casefold() in _fold(accepted) or (
        not asks_yes_no(accepted) and _value_of(word) in map(_value_of, accepted)
    )


def find_answer(text: str, accepted: Collection[str]) -> FoundAnswer | None:
    """Return the answer of a text to a question with these accepted answers, or None.

    Looks after the last `Answer:`, `\\boxed{`, `"answer":` or `<answer>`, then at the beginning, then in prose that
    gives exactly one answer.
    """
    *_, sign = (0, *(found.end() for found in _SIGN.finditer(text)))
    for start in dict.fromkeys((sign, 0)):
        found = _WORD.match(text, _LEAD.match(text, start).end())  # type: ignore[union-attr]
        if found is None:
            continue
        word = found.group()
        behind = text[found.end() :]
        if _is_answer(word, accepted) and not behind.startswith(" of "):  # "one of them" is no number of things
            others = _find_in_prose(behind, accepted) if asks_yes_no(accepted) else {}
            return FoundAnswer(found.start(), word, False) if others.keys() <= {_name(word)} else None
        if word.casefold() in YES_NO and is_only(text[found.start() :], word):
            return FoundAnswer(found.start(), word, False)  # a bare yes or no to "how many": wrong, but an answer
    said = _find_in_prose(text, accepted)
    if len(said) != 1:
        return None
    ((begin, word),) = said.values()
    return FoundAnswer(begin, word, True)


def find_letter(text: str, letters: str) -> str:
    """Return the letter of `letters` that a text answers with, or `""`; the article of "A better one" is no answer."""
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
    """Tell whether a text consists of this word alone, once or repeated."""
    return {found.casefold() for found in _WORD.findall(text)} == {word.casefold()}


def _find_in_prose(text: str, accepted: Collection[str]) -> dict[str, tuple[int, str]]:
    """Return each unambiguous answer of a text, with the position and the word of its last occurrence."""
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
    """Return a word as its answer: yes, no, or a number in digits."""
    value = _value_of(word)
    return word.casefold() if value is None else str(value)


def _value_of(word: str) -> int | None:
    low = word.casefold()
    return int(low) if low.isascii() and low.isdigit() and len(low) < 10 else _VALUES.get(low)


def _classify(token: str, accepted: Collection[str], rivals: Collection[str]) -> str:
    """Return `accepted`, `unclear` (begins an accepted answer and perhaps another), or `other`."""
    if token in accepted:
        return "accepted"
    if not token or not any(form.startswith(token) for form in accepted):
        return "other"
    # Any digit may go on to another number: `1` begins `1`, `12` and `100`.
    shared = token.isdigit() or any(rival.startswith(token) for rival in rivals)
    return "unclear" if shared else "accepted"


def _begins(token: str, accepted: Collection[str]) -> bool:
    """Tell whether a token can begin any answer to a question: a yes or no, or a number."""
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
"""Most tokens of a caption."""
ROOM = 1024
"""Most tokens of a comparison: a bare A or B takes two, a thought many."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two captions of one image (PNG bytes): ours, and the other."""

    image: bytes
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of ours: 1 won in both orders, 0 lost in both, 0.5 if the judge chose by position.

    None, with the `problem`, if an answer is neither A nor B. `said` holds the answers with ours as A, then as B.
    """

    value: float | None
    said: tuple[str, str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class WinRate:
    """Mean of the known outcomes (a tie is half), their number, how many of them agree in both orders, and the number
    of unknown ones."""

    rate: float | None
    known: int
    consistent: int
    unknown: int


def ask_captions(images: Sequence[bytes], seeds: Sequence[int], ask: Ask) -> list[Reply]:
    """Return a reply with the judge's caption of each image, or with an error."""
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
    """Return the reply, with an error if its caption is incomplete: half a caption would score as half the image."""
    if reply.error:
        return reply
    if reply.finish == "length":
        return replace(reply, error=explain_cut(reply.text, MOST_TOKENS))
    return reply if reply.text.strip() else replace(reply, error="an empty caption")


def compare_captions(pairs: Sequence[Pair], ask: Ask) -> list[Outcome]:
    """Return one outcome for each pair, in order, in one call of the judge with two questions for each pair."""
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
    """Return the win rate of ours; its rate is None if no outcome is known."""
    values = [outcome.value for outcome in outcomes if outcome.value is not None]
    rate = sum(values) / len(values) if values else None
    return WinRate(rate, len(values), sum(value != 0.5 for value in values), len(outcomes) - len(values))


def _ask_which(image: bytes, first: str, second: str) -> ChatRequest:
    text = COMPARE.format(first, second)
    return ChatRequest((Message("user", (Part(image=image), Part(text=text))),), Sampling(max_tokens=ROOM))


def _read(straight: Reply, swapped: Reply) -> Outcome:
    """Combine the answers to both orders: ours is A in the first, B in the second."""
    said = (straight.text.strip(), swapped.text.strip())
    for reply in (straight, swapped):
        if reply.error:
            return Outcome(None, said, f"the judge did not answer: {reply.error}")
    first, second = (find_letter(text, "AB") for text in said)
    for text, word in zip(said, (first, second), strict=True):
        if not word:
            return Outcome(None, said, f"the judge says neither A nor B: {text[:60]!r}")
    return Outcome(((first == "A") + (second == "B")) / 2, said)
