"""The guard in front of the PDF parser: streams that unfold to far more than they weigh.

A PDF's content is deflated, and deflate reaches 1,000 to 1; filters may be nested, which multiplies that. pdfium
unfolds a stream in one piece. So each stream is unfolded here first, in small pieces that are counted and thrown away.
Pictures are passed over: nothing here ever paints one, and honest ones, such as a blank scan, reach any ratio.

What is built to slip through (other filters, streams that call each other) meets the limits of the sandbox.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterator

from domain.errors import LoadError

MAX_BYTES = 64 * 1024 * 1024  # of one stream; a page of the densest drawing has a tenth, at a ratio of about 6
MAX_RATIO = 100
Buffer = bytes | memoryview

_MAX_LAYERS = 4
_PIECE = 1 << 16
_DICTIONARY_BYTES = 2048
_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_PICTURE = re.compile(rb"/Subtype\s*/Image\b")


def guard_streams(data: bytes) -> None:
    """Pass, or raise LoadError "decompression_limit"."""
    total = 0
    for match in _STREAM.finditer(data):
        dictionary = data[max(0, match.start() - _DICTIONARY_BYTES) : match.start()]
        if _PICTURE.search(dictionary, max(0, dictionary.rfind(b" obj"))):
            continue
        unfolded = 0
        for size in _unfolded_sizes(_pieces(data, match.end())):
            unfolded += size
            if _is_bomb(unfolded, data, match.end()) or _is_bomb(total + unfolded, data):
                raise _bomb()
        total += unfolded


def _is_bomb(unfolded: int, data: bytes, start: int = 0) -> bool:
    """True when so much came out of the stream that begins at `start`, or of the whole file."""
    if unfolded <= MAX_BYTES:
        return False
    end = data.find(b"endstream", start) if start else len(data)
    return unfolded > MAX_RATIO * ((end if end >= 0 else len(data)) - start)


def _unfolded_sizes(pieces: Iterator[Buffer]) -> Iterator[int]:
    """The sizes of the innermost pieces, through as many layers of deflate as there are; none where there is none."""
    if not _is_deflated(first := next(pieces, b"")):
        return iter(())
    pieces = _inflated(itertools.chain((first,), pieces))
    for _ in range(_MAX_LAYERS):
        first = next(pieces, b"")
        pieces = itertools.chain((first,), pieces)
        if not _is_deflated(first):
            break
        pieces = _inflated(pieces)
    return map(len, pieces)


def _is_deflated(start: Buffer) -> bool:
    return len(start) >= 2 and start[0] & 0x0F == 8 and int.from_bytes(start[:2], "big") % 31 == 0  # RFC 1950, 2.2


def _inflated(pieces: Iterator[Buffer]) -> Iterator[Buffer]:
    """What deflated pieces hold, in pieces of at most 64 KiB; damage ends it, and is the parser's affair."""
    inflater = zlib.decompressobj()
    for piece in pieces:
        while len(piece) and not inflater.eof:
            try:
                yield inflater.decompress(piece, _PIECE)
            except zlib.error:
                return
            piece = inflater.unconsumed_tail
        if inflater.eof:
            return


def _pieces(data: bytes, start: int) -> Iterator[Buffer]:
    """The file from `start` on, uncopied; whoever reads it stops at the end of the stream."""
    view = memoryview(data)
    return (view[at : at + _PIECE] for at in range(start, len(data), _PIECE))


def _bomb() -> LoadError:
    return LoadError(
        f"A part of the PDF unfolds to more than {MAX_RATIO} times its size and {MAX_BYTES // 2**20} MB: this looks "
        "like a decompression bomb. Print the document to a new PDF and ingest that.",
        code="decompression_limit",
    )
