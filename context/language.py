"""English and Chinese: which of them a text is written in, and which of its words carry meaning."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Language = Literal["en", "zh-hans", "zh-hant"]

HAN = r"\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_HAN = re.compile(f"[{HAN}]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")
_LATIN_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
_WORD = re.compile(rf"[{HAN}]+|[^\W{HAN}]+(?:['\u2019-][^\W{HAN}]+)*")
_CJK_SHARE = 0.3  # one Latin product name in a Chinese question must not make it English, nor one Han name the reverse

# Everyday characters that only one of the two scripts has; the script with more of them in a text decides.
_TRADITIONAL = frozenset(
    "這個們來時國會說對為學過還開關麼樣與員問題後點經無電長門見書車東話億萬產務業應該報數據從誰幾種簽約發現間條"
)
_SIMPLIFIED = frozenset(
    "这个们来时国会说对为学过还开关么样与员问题后点经无电长门见书车东话亿万产务业应该报数据从谁几种签约发现间条"
)

STOP_WORDS = frozenset(
    """a about above after again all also am an and any are as at be because been before being below between both but by
    can could did do does doing down during each few for from further had has have having he her here hers him his how i
    if in into is it its itself just me more most my no nor not now of off on once only or other our out over own same
    she should so some such than that the their them then there these they this those through to too under until up us
    very was we were what when where which while who whom whose why will with would you your may might must shall one
    there's it's according based answer evidence document documents source states says""".split()
)
HAN_STOP = frozenset(
    "的了是在和与與及或也都就而且但为為对對从從把被由于於以其此这這那哪吗嗎呢吧啊么麼什个個们們之并並等着著过過谁誰何几幾多少"
)


def detect_language(text: str) -> Language:
    """The language to word a prompt in: Chinese when Han characters are at least 30 % of the words, else English.

    A Han character counts as one word, so that "Transformer 的注意力是什么" is Chinese; an English question about
    somebody with a Chinese name is told by its function words. Japanese and Korean get the English wording, which asks
    for an answer in the question's own language.

    >>> detect_language("谁签署了合同？"), detect_language("誰簽署了這份合同？"), detect_language("Who is 李明?")
    ('zh-hans', 'zh-hant', 'en')
    """
    han = _HAN.findall(text)
    latin = _LATIN_WORD.findall(_HAN.sub(" ", text))
    if not han or _KANA_OR_HANGUL.search(text) or len(han) / (len(han) + len(latin)) < _CJK_SHARE:
        return "en"
    if not HAN_STOP.intersection(han) and any(word.casefold() in STOP_WORDS for word in latin):
        return "en"
    traditional = sum((char in _TRADITIONAL) - (char in _SIMPLIFIED) for char in han)
    return "zh-hant" if traditional > 0 else "zh-hans"


def language_of(text: str) -> str:
    """The one of `LANGUAGES` that a text is written in, whichever its characters."""
    return detect_language(text).partition("-")[0]


def is_han(char: str) -> bool:
    """True for one Han character."""
    return bool(_HAN.match(char))


def visible(text: str) -> str:
    """The text without the characters that nobody sees: zero-width and formatting ones.

    >>> visible("1\u200b840")
    '1840'
    """
    return text if text.isascii() else "".join(char for char in text if unicodedata.category(char) != "Cf")


def normalise(text: str) -> str:
    """The form in which texts are compared: NFKC, case folded, blanks collapsed, one kind of apostrophe."""
    folded = unicodedata.normalize("NFKC", visible(text)).casefold().replace("\u2019", "'")
    return " ".join(folded.split())


def stem(word: str) -> str:
    """A crude English stem, equal for the common inflections of a word; other words come back unchanged.

    >>> stem("policies"), stem("signed"), stem("signs"), stem("gas")
    ('polici', 'sign', 'sign', 'gas')
    """
    if not word.isascii() or len(word) < 4:
        return word
    for ending, keep in (("'s", ""), ("ies", "i"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + keep
            break
    if word.endswith("y") and len(word) > 3:
        return word[:-1] + "i"
    return word.removesuffix("e") if len(word) > 4 else word


def words(text: str) -> list[str]:
    """Normalised words in order; a run of Han characters is one word."""
    return _WORD.findall(normalise(text))


def content_terms(text: str) -> frozenset[str]:
    """The stems and Han bigrams that carry a text's meaning; function words and bare numbers are left out.

    >>> sorted(content_terms("Who signed the contracts?"))
    ['contract', 'sign']
    """
    found: set[str] = set()
    for word in words(text):
        if is_han(word[0]):
            found.update(pair for pair in bigrams(word) if not set(pair) <= HAN_STOP)
        elif word not in STOP_WORDS and any(char.isalpha() for char in word) and len(word) > 1:
            found.add(stem(word))
    return frozenset(found)


def bigrams(run: str) -> list[str]:
    """Neighbouring pairs of a run of characters; the character itself for a run of one."""
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]
