"""The one text under which a chunk is found lexically, wherever it comes from: a fresh ingest or a rebuild from SQL."""

from __future__ import annotations

from domain.documents import Chunk


def indexed_text(chunk: Chunk, title: str) -> str:
    """The lead of the chunk's passage (title, headings, table header), a line end, and its text."""
    passage = chunk.passage(title)
    return f"{passage.lead}\n{passage.text}" if passage.lead else passage.text
