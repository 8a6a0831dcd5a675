"""How one piece of evidence looks in the prompt, and why nothing in it can pass for the prompt itself.

The evidence stands in a fenced block, `<evidence NONCE>` to `</evidence NONCE>`. A document is hostile ground: its text
may hold closing fences, marks, chat-template tokens or headings like ours. Two independent guards:

1. the nonce is derived from the question and all the evidence, and re-derived until it occurs in none of them, so
   that no text inside can spell the closing line. Deriving it (rather than drawing it) keeps a prompt, and with it the
   token bill and a server's prompt cache, the same for the same request;
2. look-alikes are rewritten in the rendering. `Evidence.text` stays verbatim: only what the model reads is changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import count, pairwise

from context.marks import neutralise_marks
from context.templates import WORDINGS, Wording
from domain.documents import CELL_SEPARATOR
from domain.search import GAP, Evidence

_LEAST_DIGITS = 2  # of a nonce: one token; collisions are excluded by looking, not by luck
_LONGEST_LABEL_PART = 60  # characters of a title or heading: glue must not cost more than the sentence it explains

# Blanks in these patterns are bounded or anchored: a document of nothing but blanks must cost linear time.
_FENCE = re.compile(r"[<\uff1c](?=\s*+(?:/\s*+)?evidence)", re.IGNORECASE)
_TEMPLATE_TOKEN = re.compile(r"<(?=\||/?(?:start_of_turn|end_of_turn|bos|eos|s|system|user|assistant)>)|(?<=\|)>")
_BRACKET_TOKEN = re.compile(r"\[(?=/?INST\])|<(?=</?SYS>>)", re.IGNORECASE)


@lru_cache(maxsize=16)
def _section(wording: Wording | None) -> re.Pattern[str]:
    """What finds a section title of ours, in the built-in wordings and in `wording`."""
    titles = {
        title.lstrip("# ").rstrip()
        for one in (*WORDINGS.values(), *([wording] if wording else []))
        for title in (one.rules_title, one.constraints_title, one.history_title, one.question_title)
    }
    any_title = "|".join(map(re.escape, sorted(titles)))
    return re.compile(rf"^([^\S\n]*+)(?=#++[^\S\n]*+(?:{any_title})[^\S\n]*+$)", re.IGNORECASE | re.MULTILINE)


def neutralise(text: str, wording: Wording | None = None) -> str:
    """The text as the model may see it: no fence, mark, chat-template token or section title of ours left in it.

    `wording` names the titles of a prompt that is worded by the user.

    >>> neutralise("See [3]. </evidence a1> <|im_end|>")
    'See (3). ‹/evidence a1> ‹|im_end|›'
    """
    text = neutralise_marks(text)
    text = _FENCE.sub("\u2039", text)
    text = _TEMPLATE_TOKEN.sub(lambda match: "\u2039" if match[0] == "<" else "\u203a", text)
    text = _BRACKET_TOKEN.sub(lambda match: "(" if match[0] == "[" else "\u2039", text)
    return _section(wording).sub(r"\1\\", text)


def fence_nonce(question: str, texts: Sequence[str]) -> str:
    """A short number that occurs in none of `texts`; the same request gives the same nonce.

    It stands twice in every prompt: six hexadecimal digits were 6 tokens each time, two decimal ones are one. Where
    the texts hold every number of so few digits, or the 90 that are tried, it has one more.
    """
    joined = "\x00".join((question, *texts))
    drawn = int.from_bytes(hashlib.sha256(joined.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    for digits in count(_LEAST_DIGITS):
        least = 10 ** (digits - 1)
        for step in range(90):
            nonce = str(least + (drawn + step) % (9 * least))
            if nonce not in joined:
                return nonce
    raise AssertionError("a text is finite")


def fence(nonce: str, items: Sequence[str]) -> str:
    """The evidence block around rendered items, which a blank line separates."""
    return f"<evidence {nonce}>\n" + "\n\n".join(items) + f"\n</evidence {nonce}>"


def place(wording: Wording, headings: Sequence[str], page: int | None) -> str:
    """Where in its document something stands, for example `Terms > Payment, p. 4`; empty when nothing is known."""
    trail = " > ".join(_clip(heading) for heading in headings if heading.strip())
    return ", ".join(part for part in (trail, wording.page.format(page=page) if page is not None else "") if part)


def clip_title(title: str) -> str:
    """A title as it stands in a prompt: one line, at most 60 characters."""
    return _clip(title)


def render(item: Evidence, wording: Wording, previous: Evidence | None = None) -> str:
    """One piece of evidence: `[n]`, where it stands, and its text.

    The title is left out behind a piece of the same document, the headings too where they are the same, and so is the
    header row of a table that goes on.
    """
    same_document = previous is not None and previous.document_id == item.document_id
    headings = tuple(heading for heading in item.heading_path if heading != item.title)
    if previous is not None and same_document and previous.heading_path == item.heading_path:
        headings = ()
    where = place(wording, headings, item.page)
    label = " > ".join(part for part in ("" if same_document else _clip(item.title), where) if part)
    body = _body(item, previous if same_document else None)
    return f"[{item.mark}] " + neutralise(f"{label}\n{body}" if label else body, wording)


def _body(item: Evidence, previous: Evidence | None) -> str:
    """The spans in one text; rows of a table go on lines of their own, other gaps are shown."""
    spans = item.spans
    if previous is not None and len(spans) > 1 and any(sent.contains(spans[0]) for sent in previous.spans):
        spans = spans[1:]  # the header row of a table: nothing else is ever in two pieces
    parts = [item.part(span) for span in spans]
    body = parts[0] if parts else ""
    for before, after in pairwise(parts):
        body += ("\n" if CELL_SEPARATOR in before and CELL_SEPARATOR in after else GAP) + after
    return body


def _clip(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LABEL_PART else line[: _LONGEST_LABEL_PART - 1].rstrip() + "…"
