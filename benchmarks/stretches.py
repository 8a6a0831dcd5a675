"""Stretches of exactly so many tokens, cut from the documents of labelled sets: what encoders are timed on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.jsonl import jsonl_rows

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHUNK_TOKENS = 200


def stretches(texts: Iterable[str], tokenizer: Tokenizer, count: int) -> list[str]:
    """The first `count` stretches of 200 tokens in the texts; none goes across two of them."""
    found: list[str] = []
    for text in texts:
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        for at in range(0, len(offsets) - CHUNK_TOKENS + 1, CHUNK_TOKENS):
            found.append(text[offsets[at][0] : offsets[at + CHUNK_TOKENS - 1][1]])
            if len(found) == count:
                return found
    return found


def chunks_of(corpora: Sequence[Path], tokenizer: Tokenizer, count: int) -> list[str]:
    """`count` chunks, from the corpora in turn. Raises ValueError where these have fewer."""
    each = -(-count // len(corpora))
    columns = [stretches((row["text"] for _, row in jsonl_rows(one)), tokenizer, each) for one in corpora]
    mixed = [chunk for row in zip(*columns, strict=False) for chunk in row][:count]
    if len(mixed) < count:
        raise ValueError(f"The corpora hold {len(mixed)} chunks of {CHUNK_TOKENS} tokens, not {count}; take fewer.")
    return mixed
