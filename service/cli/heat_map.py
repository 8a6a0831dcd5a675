"""An explanation as a heat map in a terminal; what it shares with the page of `heat_page.py` stands here too.

A token is shaded in the colour of the head that attends to it most, the darker the more. The scale of a head ends at
its most attended token, so that heads which spread their attention can be read beside those which point. Elsewhere
than on a terminal, `**` marks the tokens of the upper half of the scale. Where it is asked for, a line under each
sentence says what its score adds up from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from domain.explanation import AttendedChunk, AttendedSentence, AttendedToken, Explanation
from service.cli.printing import without_controls

# Of Okabe and Ito's palette, those that black letters stay readable on; readers with colour blindness can tell them.
HUES = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0), (0, 114, 178))

_FAINTEST = 0.05  # of the scale: paler than this is not seen
_STRONG = 0.5
_SHORTEST_SCALE = 0.1  # of one question token's attention: a document that nothing looks at must stay pale
_BAR = 10
_INDENT = " " * (_BAR + 6)  # under the share of a sentence


@dataclass(frozen=True, slots=True)
class Piece:
    """Some characters of a sentence, with the token they are; None for the characters between two tokens."""

    text: str
    token: AttendedToken | None


def pieces(chunk: AttendedChunk, sentence: AttendedSentence) -> Iterator[Piece]:
    """The text of a sentence in order, every character once, cut at the tokens that begin in it."""
    at, end = sentence.span.start, sentence.span.end
    for token in chunk.tokens:
        first, last = max(token.span.start, at), min(token.span.end, end)
        if token.span.start < sentence.span.start or first >= last:
            continue
        if first > at:
            yield Piece(_part(sentence, at, first), None)
        yield Piece(_part(sentence, first, last), token)
        at = last
    if at < end:
        yield Piece(_part(sentence, at, end), None)


def scales(explanation: Explanation) -> tuple[float, ...]:
    """By head, the mass that is shaded darkest: that of its most attended token among the shown ones."""
    by_head = zip(*(token.weights for chunk in explanation.chunks for token in chunk.tokens), strict=True)
    peaks = [max(weights) for weights in by_head] or [0.0] * len(explanation.heads)
    return tuple(max(peak, _SHORTEST_SCALE) for peak in peaks)


def shade(weights: Sequence[float], scale: Sequence[float]) -> tuple[int, float]:
    """The head that attends most, and how much: 0 where it cannot be seen, else up to 1.

    >>> shade((0.1, 0.4), (0.2, 1.6))
    (0, 0.5)
    >>> shade((0.0, 0.0), (0.2, 1.6))
    (0, 0.0)
    """
    shares = [weight / most for weight, most in zip(weights, scale, strict=True)]
    strongest = max(range(len(shares)), key=shares.__getitem__)
    return strongest, shares[strongest] if shares[strongest] >= _FAINTEST else 0.0


def hue(head: int) -> tuple[int, int, int]:
    return HUES[head % len(HUES)]


def where(chunk: AttendedChunk) -> str:
    """The place of a chunk in its document, for people."""
    page = f"page {chunk.page}, " if chunk.page else ""
    return " / ".join((*chunk.heading_path, f"{page}characters {chunk.span.start:,} to {chunk.span.end:,}"))


def share(weights: Sequence[float], explanation: Explanation) -> float:
    """What part of all the attention that the question's tokens have to give, in 0..1, mean over the heads."""
    return sum(weights) / (len(weights) * len(explanation.question_tokens))


def heat_map(explanation: Explanation, colour: bool, parts: bool = False) -> Iterator[RenderableType]:
    """The explanation piece by piece, from the question down to the last chunk's sentences, with `parts` and theirs."""
    scale = scales(explanation)
    yield Text(without_controls(explanation.question), style="bold")
    yield Text(f"in {without_controls(explanation.title or explanation.source)}: {count_of_chunks(explanation)}\n")
    yield coverage_table(explanation, colour)
    yield Group("", legend(explanation, colour))
    if parts:
        yield Text("Under it, its score before it was mapped, and the log-odds that this adds up from.", style="dim")
    for chunk in explanation.chunks:
        title = without_controls(where(chunk))
        yield Text.assemble("\n", (f"{chunk.score:.3f}", "bold"), "  ", (title, "dim"))
        for sentence in chunk.sentences:
            line = Text(f"{bar(sentence.score)} {sentence.score:.2f} {share(sentence.weights, explanation):6.1%}  ")
            yield line.append(shaded(chunk, sentence, scale) if colour else marked(chunk, sentence, scale))
            if parts and sentence.parts:
                yield Text(f"{_INDENT}{sum_of(sentence)}", style="dim")


def count_of_chunks(explanation: Explanation) -> str:
    shown, all_of_them = len(explanation.chunks), explanation.attended_chunks
    if shown < all_of_them:
        return f"the best {shown:,} of {all_of_them:,} chunks"
    return "1 chunk" if shown == 1 else f"{shown:,} chunks"


def coverage_table(explanation: Explanation, colour: bool) -> Table:
    """The question's tokens with the share of its attention that each placed in this document, by head."""
    table = Table(box=None, pad_edge=False)
    table.add_column("Question")
    for at, name in enumerate(explanation.heads):
        table.add_column(Text(without_controls(name), style=_style(at, 1.0) if colour else ""), justify="right")
    for token in explanation.question_tokens:
        cells = [
            Text(f"{value:.2f}", style=_style(at, value) if colour and value >= _FAINTEST else "")
            for at, value in enumerate(token.coverage)
        ]
        table.add_row(Text(without_controls(token.text)), *cells)
    return table


def legend(explanation: Explanation, colour: bool) -> Text:
    text = Text("Each sentence: its score, its share of the question's attention, and the tokens ", style="dim")
    if not colour:
        return text.append("that a head attends to most between **.")
    text.append("shaded by head: ")
    for at, name in enumerate(explanation.heads):
        text.append(f" {without_controls(name)} ", style=f"not dim {_style(at, 1.0)}").append(" ")
    return text


def bar(score: float) -> str:
    """A score in 0..1 as a bar.

    >>> bar(0.42)
    '████░░░░░░'
    """
    full = round(min(max(score, 0.0), 1.0) * _BAR)
    return "█" * full + "░" * (_BAR - full)


def sum_of(sentence: AttendedSentence) -> str:
    """The raw score, its log-odds and what they add up from, without what adds nothing.

    >>> from domain.documents import Span
    >>> parts = {"sentence": 8.1, "window": 4.5, "network": 0.0, "bias": -14.3}
    >>> sum_of(AttendedSentence(Span(0, 1), "a", 0.3, (), parts, 0.1545))
    '0.15, log-odds -1.70 = sentence +8.10  window +4.50  bias -14.30'
    """
    summands = "  ".join(f"{without_controls(name)} {value:+.2f}" for name, value in sentence.parts.items() if value)
    raw = "" if sentence.raw_score is None else f"{sentence.raw_score:.2f}, log-odds "
    return f"{raw}{sum(sentence.parts.values()):+.2f} = {summands}"


def shaded(chunk: AttendedChunk, sentence: AttendedSentence, scale: Sequence[float]) -> Text:
    text = Text()
    for piece in pieces(chunk, sentence):
        head, amount = shade(piece.token.weights, scale) if piece.token else (0, 0.0)
        text.append(without_controls(piece.text), style=_style(head, amount) if amount else "")
    return text


def marked(chunk: AttendedChunk, sentence: AttendedSentence, scale: Sequence[float]) -> Text:
    """The sentence with its most attended words between `**`; neighbours share one pair."""
    text = ""
    for piece in pieces(chunk, sentence):
        strong = piece.token is not None and shade(piece.token.weights, scale)[1] >= _STRONG
        text += f"\0{piece.text}\0" if strong else piece.text
    # NUL cannot occur in a document, so only our own marks are joined and then shown.
    joined = re.sub(r"\0(\s*)\0", r"\1", text).replace("\0", "**")
    return Text(without_controls(joined))


def _part(sentence: AttendedSentence, start: int, end: int) -> str:
    return sentence.text[start - sentence.span.start : end - sentence.span.start]


def _style(head: int, amount: float) -> str:
    """Black on the head's colour, mixed into white: readable on dark and on light terminals."""
    strength = min(amount, 1.0)
    mixed = (round(255 - strength * (255 - part)) for part in hue(head))
    return f"black on rgb({','.join(map(str, mixed))})"
