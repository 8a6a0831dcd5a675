"""Tokenizers out of tiktoken's rank files, against the definition: join the two neighbours of the lowest rank."""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import ConfigurationError
from generation import rank_file
from generation.rank_file import (
    ENCODINGS,
    Encoding,
    cached_rank_file,
    encoding_of_model,
    rank_tokenizer,
    read_rank_file,
)

PATTERN = r" ?[a-z]+|\s+|[^a-z\s]+"
JOINS = (
    b"th",
    b"the",
    b" the",
    b"re",
    b"ent",
    b"rent",
    b"nt",
    b" re",
    b"he",
    b"er",
    b"en",
    b"\xe7\xa7",
    b"\xe7\xa7\x9f",
)
RANKS = {bytes([byte]): byte for byte in range(256)} | {token: 256 + at for at, token in enumerate(JOINS)}
TOKENIZER = rank_tokenizer(RANKS, PATTERN)


def reference_count(text: str) -> int:
    """tiktoken's rule in its plainest form."""
    return sum(len(joined(word.encode())) for word in re.findall(PATTERN, text))


def joined(word: bytes) -> list[bytes]:
    if word in RANKS:
        return [word]
    parts = [word[at : at + 1] for at in range(len(word))]
    while True:
        ranked = [(RANKS.get(a + b, 10**9), at) for at, (a, b) in enumerate(pairwise(parts))]
        rank, at = min(ranked, default=(10**9, 0))
        if rank == 10**9:
            return parts
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def test_a_word_is_joined_by_rank() -> None:
    encoded = TOKENIZER.encode("the parent", add_special_tokens=False)
    assert encoded.ids == [RANKS[b"the"], RANKS[b" "], RANKS[b"p"], RANKS[b"a"], RANKS[b"rent"]]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("therent 租金é😀\n.")))
def test_counts_equal_the_definition(text: str) -> None:
    assert len(TOKENIZER.encode(text, add_special_tokens=False)) == reference_count(text)


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_every_text_comes_back_byte_for_byte(text: str) -> None:
    usable = text.encode("utf-8", "ignore").decode()
    names = {rank: token for token, rank in RANKS.items()}
    ids = TOKENIZER.encode(usable, add_special_tokens=False).ids
    assert b"".join(names[one] for one in ids).decode() == usable


def rank_lines() -> bytes:
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in RANKS.items())


def test_a_rank_file_is_known_by_its_digest_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "9b5ad71b"
    file.write_bytes(rank_lines())
    own = Encoding(hashlib.sha256(rank_lines()).hexdigest(), "9b5ad71b", PATTERN)
    monkeypatch.setattr(rank_file, "ENCODINGS", {**ENCODINGS, "tiny": own})
    name, tokenizer = read_rank_file(file)
    assert name == "tiny"
    assert len(tokenizer.encode("the parent")) == 5


def test_a_damaged_or_missing_rank_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "o200k_base.tiktoken"
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_rank_file(file)
    file.write_bytes(rank_lines())
    with pytest.raises(ConfigurationError, match="not the rank file of cl100k_base or o200k_base, or it is damaged"):
        read_rank_file(file)


def test_a_rank_file_is_found_under_tiktokens_name_or_its_own(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.mkdir()
    assert cached_rank_file("o200k_base", [first, second]) is None
    (second / "o200k_base.tiktoken").touch()
    assert cached_rank_file("o200k_base", [first, second]) == second / "o200k_base.tiktoken"
    first.mkdir()
    (first / ENCODINGS["o200k_base"].cached_as).touch()
    assert cached_rank_file("o200k_base", [first, second]) == first / ENCODINGS["o200k_base"].cached_as


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("gpt-5-nano", "o200k_base"),
        ("GPT-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("openai/o3-mini", "o200k_base"),
        ("o1", "o200k_base"),
        ("o1x", None),
        ("gpt-40", None),
        ("gpt-neox-20b", None),
        ("Qwen/Qwen3-8B", None),
        ("default", None),
    ],
)
def test_the_encoding_of_a_model_is_told_by_its_name(model: str, encoding: str | None) -> None:
    assert encoding_of_model(model) == encoding
