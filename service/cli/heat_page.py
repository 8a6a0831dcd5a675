"""An explanation as one HTML page: a heat map for each head, with its own scale, and what the scores add up from.

The page stands alone. It has no script and loads nothing, and its policy forbids both, whatever a document says;
everything that comes from a document or a question is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from domain.explanation import AttendedChunk, AttendedSentence, AttendedToken, Explanation
from service.cli.heat_map import count_of_chunks, hue, pieces, scales, shade, where
from service.cli.printing import without_controls

_RAISES, _LOWERS = "86 180 233", "213 94 0"  # of the same palette as the heads' colours

_STYLE = """
body { font: 16px/1.7 system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif; color: #111;
  background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere;
  print-color-adjust: exact; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h3 { font-size: .85rem; font-weight: 600; color: #555; margin: 1rem 0 .25rem; }
nav a { color: inherit; margin-right: 1rem; }
.note { color: #555; font-size: .85rem; }
.swatch { background: rgb(var(--hue)); padding: 0 .6em; margin-right: .5em; }
.sentence { display: grid; grid-template-columns: 7.5rem 1fr; gap: .75rem; margin: .15rem 0; white-space: pre-wrap; }
.score { font-size: .75rem; line-height: 1.7rem; color: #555; font-variant-numeric: tabular-nums; }
.score i { display: inline-block; width: 4rem; height: .5rem; margin-right: .5rem; background: #eee; }
.score b { display: block; width: var(--score); height: 100%; background: #777; }
.token { background: rgb(var(--hue) / var(--heat)); border-radius: 2px; }
table { display: block; overflow-x: auto; border-collapse: collapse; font-size: .75rem; margin: .5rem 0; }
th { font-weight: 400; text-align: right; padding: 0 .4em; white-space: nowrap; }
thead th { writing-mode: vertical-rl; text-align: left; padding: .4em 0; }
td { background: rgb(var(--hue) / var(--heat)); border: 1px solid #eee; width: 1.1rem; height: 1.1rem; padding: 0; }
.parts td { width: auto; padding: .2em .5em; text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.parts td.text { background: none; min-width: 20rem; text-align: left; white-space: pre-wrap; }
.parts td.sum { background: none; font-weight: 600; }
.parts thead th { writing-mode: horizontal-tb; text-align: right; padding: .2em .5em; }
""".strip()

_PAGE = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def heat_page(explanation: Explanation) -> str:
    """The whole page; a table of weights by question token follows each chunk where the explanation has its matrix."""
    parts = [*_head(explanation)]
    for at in range(len(explanation.heads)):
        parts += _section(explanation, at)
    parts += _sums(explanation)
    return _PAGE.format(title=_text(explanation.question), style=_STYLE, body="\n".join(parts))


def _head(explanation: Explanation) -> Iterator[str]:
    title = explanation.title or explanation.source
    source = f" ({_text(explanation.source)})" if explanation.source != title else ""
    yield f"<h1>{_text(explanation.question)}</h1>"
    yield f'<p class="note">Attention in {_text(title)}{source}: {count_of_chunks(explanation)}.</p>'
    links = (f'<a href="#head-{at + 1}">{_swatch(at)}{_text(name)}</a>' for at, name in enumerate(explanation.heads))
    yield f"<nav>{''.join(links)}</nav>"
    yield (
        '<p class="note">A token of the question is shaded by the share of its attention that stayed in this document, '
        "a token of the document by what all tokens of the question gave to it; darkest is the most attended one. "
        "The bars are the scores of the sentences.</p>"
    )


def _section(explanation: Explanation, head: int) -> Iterator[str]:
    yield f'<section id="head-{head + 1}" style="--hue:{_hue(head)}">'
    yield f"<h2>{_swatch(head)}{_text(explanation.heads[head])}</h2>"
    yield f"<p>{_question(explanation, head)}</p>"
    scale = scales(explanation)[head]
    for chunk in explanation.chunks:
        yield f"<h3>{chunk.score:.3f} &middot; {_text(where(chunk))}</h3>"
        for sentence in chunk.sentences:
            yield _sentence(chunk, sentence, head, scale)
        yield from _matrix(explanation, chunk, head)
    yield "</section>"


def _question(explanation: Explanation, head: int) -> str:
    at, shown = 0, ""
    for token in explanation.question_tokens:
        start = max(token.span.start, at)
        shown += _text(explanation.question[at:start])
        shown += _token(explanation.question[start : token.span.end], token.coverage[head], 1.0)
        at = max(token.span.end, at)
    return shown + _text(explanation.question[at:])


def _sentence(chunk: AttendedChunk, sentence: AttendedSentence, head: int, scale: float) -> str:
    shown = "".join(
        _token(piece.text, piece.token.weights[head], scale) if piece.token else _text(piece.text)
        for piece in pieces(chunk, sentence)
    )
    score = f'<i><b style="--score:{min(max(sentence.score, 0.0), 1.0):.0%}"></b></i>{sentence.score:.2f}'
    return f'<div class="sentence"><span class="score">{score}</span><span>{shown}</span></div>'


def _matrix(explanation: Explanation, chunk: AttendedChunk, head: int) -> Iterator[str]:
    """Question tokens against the tokens of the sentence that this head attends to most."""
    if chunk.matrix is None or not chunk.sentences:
        return
    sentence = max(chunk.sentences, key=lambda one: one.weights[head])
    columns = [at for at, token in enumerate(chunk.tokens) if _is_seen(token, sentence)]
    rows = chunk.matrix[head]
    most = max((row[at] for row in rows for at in columns), default=0.0)
    yield '<table><thead><tr><th scope="col"></th>'
    yield "".join(f'<th scope="col">{_text(chunk.tokens[at].text)}</th>' for at in columns)
    yield "</tr></thead><tbody>"
    for token, row in zip(explanation.question_tokens, rows, strict=True):
        cells = "".join(f'<td style="--heat:{_heat(row[at], most)}" title="{row[at]}"></td>' for at in columns)
        yield f'<tr><th scope="row">{_text(token.text)}</th>{cells}</tr>'
    yield "</tbody></table>"


def _sums(explanation: Explanation) -> Iterator[str]:
    """By sentence, the log-odds of its score and what they add up from; nothing where the reranker names no parts."""
    every = [sentence.parts for chunk in explanation.chunks for sentence in chunk.sentences]
    names = list(dict.fromkeys(name for parts in every for name in parts))
    if not names:
        return
    most = max(abs(value) for parts in every for value in parts.values())
    yield '<section id="parts">'
    yield "<h2>What the scores add up from</h2>"
    yield (
        '<p class="note">Log-odds: 0 is a score of 0.5, and more is more likely; blue raises, red lowers. They add up '
        "to the raw score, which a map then makes the score of.</p>"
    )
    for chunk in explanation.chunks:
        yield f"<h3>{chunk.score:.3f} &middot; {_text(where(chunk))}</h3>"
        yield from _sum_table(chunk, names, most)
    yield "</section>"


def _sum_table(chunk: AttendedChunk, names: Sequence[str], most: float) -> Iterator[str]:
    titles = "".join(f'<th scope="col">{_text(name)}</th>' for name in ("score", "raw score", "log-odds", *names, ""))
    yield f'<table class="parts"><thead><tr>{titles}</tr></thead><tbody>'
    for sentence in chunk.sentences:
        raw = "" if sentence.raw_score is None else f"{sentence.raw_score:.2f}"
        figures = (f"{sentence.score:.2f}", raw, f"{sum(sentence.parts.values()):+.2f}")
        sums = "".join(f'<td class="sum">{figure}</td>' for figure in figures)
        summands = "".join(_summand(sentence.parts.get(name, 0.0), most) for name in names)
        yield f'<tr>{sums}{summands}<td class="text">{_text(sentence.text)}</td></tr>'
    yield "</tbody></table>"


def _summand(value: float, most: float) -> str:
    colour = _RAISES if value > 0 else _LOWERS
    return f'<td style="--hue:{colour};--heat:{_heat(abs(value), most)}">{value:+.2f}</td>'


def _is_seen(token: AttendedToken, sentence: AttendedSentence) -> bool:
    return bool(token.text) and sentence.span.start <= token.span.start < sentence.span.end


def _token(text: str, weight: float, most: float) -> str:
    _, amount = shade((weight,), (most,))
    if not amount or not text:
        return _text(text)
    return f'<span class="token" style="--heat:{_heat(weight, most)}" title="{weight}">{_text(text)}</span>'


def _heat(weight: float, most: float) -> str:
    return f"{min(weight / most, 1.0):.2f}" if most else "0"


def _hue(head: int) -> str:
    return " ".join(map(str, hue(head)))


def _swatch(head: int) -> str:
    return f'<span class="swatch" style="--hue:{_hue(head)}"></span>'


def _text(text: str) -> str:
    return escape(without_controls(text))
