"""The tokenizers of OpenAI's models, from the rank files that tiktoken keeps.

A rank file has a line a token: its bytes in base64, and its rank. Text is first cut into words by the encoding's
pattern; inside a word the two neighbours whose joined bytes have the lowest rank are joined, until none are in the
file. A byte-level BPE of the `tokenizers` library does the same when every way to make a token is listed as a merge in
the order of ranks, so nothing further needs to be installed. The files are known by their digest: a damaged one, or
one of another encoding, must not count quietly wrong. Nothing is ever downloaded.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Encoding:
    """One of OpenAI's encodings: the sha256 of its rank file, its name in tiktoken's cache, and its word pattern."""

    digest: str
    cached_as: str  # the sha1 of the address that tiktoken fetches it from
    pattern: str


_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

ENCODINGS: Mapping[str, Encoding] = {
    "cl100k_base": Encoding(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    "o200k_base": Encoding(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTION}?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTION}?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
}

# Which encoding a model reads, by the beginning of its name; the longest beginning decides.
_MODELS = {
    "gpt-5": "o200k_base",
    "gpt-4.1": "o200k_base",
    "gpt-4.5": "o200k_base",
    "gpt-4o": "o200k_base",
    "chatgpt-4o": "o200k_base",
    "gpt-oss": "o200k_base",
    "o1": "o200k_base",
    "o3": "o200k_base",
    "o4-mini": "o200k_base",
    "gpt-4": "cl100k_base",
    "gpt-3.5": "cl100k_base",
}


def encoding_of_model(model: str) -> str | None:
    """The encoding of one of OpenAI's models; None for every other name.

    >>> encoding_of_model("openai/gpt-4o-mini"), encoding_of_model("gpt-4-0613"), encoding_of_model("qwen3")
    ('o200k_base', 'cl100k_base', None)
    """
    name = model.rpartition("/")[2].casefold()
    known = [start for start in _MODELS if name == start or name.startswith((f"{start}-", f"{start}:", f"{start}."))]
    return _MODELS[max(known, key=len)] if known else None


def cached_rank_file(encoding: str, folders: Sequence[Path]) -> Path | None:
    """The rank file of an encoding in one of the folders, under tiktoken's name or its own; None where it is not."""
    names = (ENCODINGS[encoding].cached_as, f"{encoding}.tiktoken")
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def read_rank_file(file: Path) -> tuple[str, Tokenizer]:
    """The encoding's name and its tokenizer. Raises ConfigurationError for a file that is not one of `ENCODINGS`."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"The rank file {file} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(data).hexdigest()
    name = next((name for name, encoding in ENCODINGS.items() if encoding.digest == digest), None)
    if name is None:
        known = " or ".join(ENCODINGS)
        raise ConfigurationError(f"{file} is not the rank file of {known}, or it is damaged; fetch it anew.")
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, data.splitlines())}
    return name, rank_tokenizer(ranks, ENCODINGS[name].pattern)


def rank_tokenizer(ranks: Mapping[bytes, int], pattern: str) -> Tokenizer:
    """A tokenizer that cuts words by `pattern` and joins bytes by rank; all 256 single bytes must have one."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    letters = _byte_letters()
    spelt = {token: "".join(map(letters.__getitem__, token)) for token in ranks}
    merges = [(spelt[token[:at]], spelt[token[at:]]) for token, at in _joins(ranks)]
    vocab = {spelt[token]: rank for token, rank in ranks.items()}
    tokenizer = Tokenizer(BPE(vocab, merges, ignore_merges=True))
    words = Split(Regex(pattern), behavior="isolated")
    tokenizer.pre_tokenizer = Sequence([words, ByteLevel(add_prefix_space=False, use_regex=False)])
    return tokenizer


def _joins(ranks: Mapping[bytes, int]) -> list[tuple[bytes, int]]:
    """Every way to make a token from two others, as (token, where they meet), by the token's rank."""
    return [
        (token, at)
        for token in sorted(ranks, key=ranks.__getitem__)
        for at in range(1, len(token))
        if token[:at] in ranks and token[at:] in ranks
    ]


def _byte_letters() -> list[str]:
    """The printable letter that stands for each byte in a byte-level BPE: the byte's own where it has one (GPT-2)."""
    own = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in own else next(others)) for byte in range(256)]
