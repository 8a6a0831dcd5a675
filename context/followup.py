"""A follow-up question made standalone by rule, for retrieval.

"How many people work there?" finds nothing by itself. The rule: when a question leans on what was said (a pronoun
that nothing in the question explains, an elliptical opening such as "what about", a few words only, in Chinese a
predicate without a subject), the topic terms of the last question that stood alone are appended. Search needs the
terms, not a fluent sentence, so none is invented; the prompt keeps the user's own words.

In a contrast ("What about Germany?", "那上海呢？") the new name takes the place of the old one, so old names are left
out; a new year or number likewise displaces the old ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from context.language import HAN, STOP_WORDS, detect_language
from domain.asking import Message

_AMOUNTS = frozenset(("much", "many"))  # "How much is the rent?" is about the rent
_LOOK_BACK = 6  # user turns: a topic older than that has been left
_MOST_TERMS = 8
_ELLIPTICAL_WORDS = 3  # "And the price?", "Since when?"

_CONTRAST_EN = re.compile(
    r"^\W*(and |but |so |ok(ay)?,? )*(what|how) about\b|^\W*(and|or) (?!(what|who|when|where|why|how|which)\b)", re.I
)
_TIME_EN = r"(?: past| last| coming)? (?:year|month|week|quarter|summer|winter|spring|autumn|morning|evening|time|days)"
_SUBJECT_EN = re.compile(
    rf"\b(it|they|them|he|him|she|the (former|latter)|(?:this|these)(?!{_TIME_EN})"
    r"|those(?! (?:who|whose|that|which|with|of|in)\b)"
    r"|that(?=\W*$)|there(?=\W*$)|(?:which|the (?:first|second|third|last|other|next|same)) (?:one|two)s?"
    r"|the (?:others?|rest|second|first|same)(?=\W*$)|both(?=\W*$))\b"
    r"|^\W*(?:and |but |so )?(?:is|was|does|did|do|can|could|would|has|will|why is|why was|how is|how was) that\b"
    r"|\b(?:explain|about|elaborate on|mean by|clarify|repeat|summari[sz]e) that\b"
    r"|^\W*(?:what|who|where|when|how|anything|anyone) else\b|^\W*(?:compared (?:to|with)|instead of)\b",
    re.I,
)
# "How long does it take to ...", "Is it true that ...": nothing is meant by this "it".
_EMPTY_IT = re.compile(
    r"\bit (?:takes?|cost|mean|matter|make sense|hurt|help|happen)\b(?=.* (?:to|if|that|when)\b)"
    r"|\b(?:is|was|would) it (?:\w+ )?(?:possible|necessary|true|legal|allowed|permitted|safe|likely"
    r"|mandatory|required|common|better|ok|okay|important|known|late|cold|hot)\b(?! in| for| on| at|\W*$)"
    r"|\b(?:is|was) it (?:rain|snow)ing\b|\bwhat time is it\b",
    re.I,
)
# "If a tenant leaves early, does he ...": the pronoun means what the question names, in another clause.
_OWN_NOUN_EN = re.compile(
    r"\b(?:an?|the|any|each|every|all|most|some|no)\s+(?!one\b)(?P<noun>\w{3,})"
    r"(?:[^,]*,|.*\b(?:if|when|while|before|after|because|unless|once|until|that|who|as soon as|and|since)\b)",
    re.I,
)
_OWNER_EN = re.compile(r"\b(its|their|his|her)\b", re.I)
_BARE_EN = re.compile(
    r"^\W*(?:please )?(?:tell me more|go on|continue)\b"
    r"|^\W*(and |but |so )*(why|when|where|who|how|how so|why not|how come|since when|says who|really)\W*$",
    re.I,
)
_CONTRAST_ZH = re.compile(rf"^(那么|那麼|那|还有|還有|以及|换成|換成)?\s*[{HAN}\w\s.-]{{1,20}}?呢\s*[?？]?\s*$")
_LEANING_ZH = re.compile(
    r"它|牠|他们|他們|她们|她們|(?<!其)他(?!人|国|國)|她|其(?!他|它|中|实|實|次|余|餘)|(?<!应)(?<!應)该|(?<!應)該(?!怎)"
    r"|这(?!些年)|這(?!些年)|那(?=个|個|些|里|裡|家|时|時)|此(?!外|后|後)|上述|前者|后者|後者|^(那|那么|那麼|还有|還有|然后|然後|为什么|為什麼|怎么会)"
)
_FUNCTION_ZH = re.compile(
    r"什么时候|什麼時候|为什么|為什麼|是不是|有没有|有沒有|多少|什么|什麼|怎么样|怎麼樣|怎么|怎麼|怎样|怎樣|如何|哪里|哪裡|哪些|哪个|哪個|哪|谁|誰|几|幾|请问|請問|能否|可以"
    r"|是|的|了|吗|嗎|呢|吧|在|有|和|与|與|及|或|对|對|于|於|把|被|给|給|会|會|要|应该|應該|我|你|它|他|她|们|們|这|這|那|个|個|家|其"
)
_ASKING_ZH = re.compile(
    r"^(请问|請問|那么|那麼|那)?(什么时候|什麼時候|何时|何時|哪一?年|多少|多久|多大|多长|多長|为什么|為什麼|怎么|怎麼|如何|由谁|由誰|谁|誰"
    r"|几|幾|有多少|有几|有幾|有什么|有什麼|有哪些|有没有|有沒有|在哪|是谁|是誰|是什么|是什麼|能不能|可不可以|可以|能|会不会|會不會|需要|要|一共|总共|總共|还|還|从哪|從哪)"
)
_DEFINITION_ZH = re.compile(r"^(请问|請問)?(什么是|什麼是|谁是|誰是|何谓|何謂|什么叫|什麼叫)")
_ZERO_SUBJECT_ZH = 3  # Han characters: a verb and hardly an object, no room for a subject
_NAME = re.compile(r"(?<!\w)\d{0,3}[A-Z][\w&.-]*(?:\s+(?:of|the|de|and|&)?\s*[A-Z0-9][\w&.-]*)*")  # also 3M
_NUMBER = re.compile(r"(?<!\w)\d[\d.,:/-]*(?![\dA-Za-z])")
_WORD = re.compile(r"[^\W_][\w'&.-]*[^\W_]|[^\W_]")


def standalone_question(question: str, history: Sequence[Message]) -> str:
    """The question with the topic terms it leans on; a question that stands alone comes back unchanged.

    >>> said = [Message("user", "Who founded Acme in Ulm?"), Message("assistant", "Jane Roe [1].")]
    >>> standalone_question("When did she sell it?", said)
    'When did she sell it? (Acme Ulm founded)'
    """
    earlier = [turn.content for turn in history if turn.role == "user" and turn.content.strip()][-_LOOK_BACK:]
    if not earlier or not leans_on_history(question):
        return question
    terms = _topic(earlier)
    if _is_contrast(question):
        terms = _displaced(question, terms)
    known = question.casefold()
    new = [term for term in terms if term.casefold() not in known][:_MOST_TERMS]
    return f"{question} ({' '.join(new)})" if new else question


def leans_on_history(question: str) -> bool:
    """True when the question cannot be understood without the conversation, judged by its form."""
    text = question.strip()
    if detect_language(text) != "en":
        short = len(text.rstrip("?？。 ")) <= _ELLIPTICAL_WORDS
        return short or bool(_LEANING_ZH.search(text) or _CONTRAST_ZH.match(text)) or _lacks_subject_zh(text)
    short = len(_WORD.findall(text)) <= _ELLIPTICAL_WORDS and not _names(text)
    if short or _CONTRAST_EN.match(text) or _BARE_EN.match(text):
        return True
    subject, owner = _SUBJECT_EN.search(_EMPTY_IT.sub("", text)), _OWNER_EN.search(text)
    if subject and not _named_before(_EMPTY_IT.sub("", text)[: subject.start()]):
        return True
    # "Which companies raised their prices?": an owner named in the question itself
    return bool(owner and not _names(text[: owner.start()]) and not _content_words(text[: owner.start()]))


def _named_before(text: str) -> bool:
    """What a pronoun can mean stands before it in the question itself: a name, or a noun of an earlier clause."""
    return bool(_names(text) or _OWN_NOUN_EN.search(text))


def _lacks_subject_zh(text: str) -> bool:
    """A bare predicate ("什么时候成立的？"): besides the question words hardly anything is said."""
    if _DEFINITION_ZH.match(text) or not _ASKING_ZH.match(text):
        return False
    said = [part for part in _FUNCTION_ZH.sub(" ", re.sub(rf"[^{HAN}\w]+", " ", text)).split() if part]
    return sum(map(len, said)) <= _ZERO_SUBJECT_ZH


def _topic(earlier: Sequence[str]) -> list[str]:
    """The terms of the newest question that stood alone; those of the follow-ups since are nearer and stand first."""
    terms: list[str] = []
    for said in reversed(earlier):
        terms.extend(term for term in _terms(said) if term not in terms)
        if not leans_on_history(said):
            break
    return terms


def _terms(question: str) -> list[str]:
    """Names first, then the other content words, in order."""
    if detect_language(question) != "en":
        fragments = (part for part in re.split(rf"[^{HAN}\w.-]+|{_FUNCTION_ZH.pattern}", question) if part)
        return list(dict.fromkeys(fragments))
    names = _names(question)
    in_names = {word for name in names for word in name.split()}
    words = (word for word in _content_words(question) if word.casefold() not in _AMOUNTS)
    return [*names, *(word for word in words if word not in in_names)]


def _displaced(question: str, terms: list[str]) -> list[str]:
    """The old topic without what the new question puts in its place: names by a name, numbers by a number."""
    if detect_language(question) != "en":
        return terms[1:] if len(terms) > 1 and not _NUMBER.search(question) else _without_numbers(terms)
    if _NUMBER.search(question):
        terms = _without_numbers(terms)
    return [term for term in terms if not _NAME.fullmatch(term)] if _names(question) else terms


def _without_numbers(terms: Sequence[str]) -> list[str]:
    return [term for term in terms if not _NUMBER.match(term)]


def _is_contrast(question: str) -> bool:
    return bool(_CONTRAST_EN.match(question) or _CONTRAST_ZH.match(question.strip()))


def _names(text: str) -> list[str]:
    """Capitalised phrases, without question words and the like that only stand first."""
    found = []
    for match in _NAME.finditer(text):
        words = match[0].split()
        while words and words[0].casefold() in STOP_WORDS:
            words.pop(0)
        if words:
            found.append(" ".join(words).rstrip(".,-"))
    return found


def _content_words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word.casefold() not in STOP_WORDS]
