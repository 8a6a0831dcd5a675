"""What a failed call to a model server means: which error to raise, whether and when to try again.

An upstream's own words are never passed on: they can hold prompts, keys or another tenant's text. They are only
searched for what tells one refusal from another.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping

from domain.errors import GenerationError, GeneratorBadResponse, GeneratorUnreachable
from domain.retry_after import seconds_of_retry_after

RETRYABLE_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 10.0  # a server that asks for more gets no second call within this request
_LONGEST_RETRY_AFTER = 60  # seconds that our own callers are asked to wait: a server's 1e9 must not reach them
_RETRY_AFTER = 5  # where the server does not say

# status -> (code, what to do)
_REFUSALS = {
    401: ("llm_unauthorized", "check the API key"),
    402: ("llm_unauthorized", "check the account's balance"),
    403: ("llm_unauthorized", "check that the API key may use this model"),
    404: ("llm_model_not_found", "check base_url and the model's name"),
    413: ("llm_context_length", "lower the context window to that of the model"),
}
# OpenAI and vLLM: "maximum context length is 4096 tokens"; llama.cpp: "n_ctx": 4096.
_WINDOW = re.compile(r"(?:maximum context length is|\"n_ctx\":)\s{0,4}(\d{2,8})")
_CONTEXT_WORDS = ("context_length", "context length", "context size", "maximum context", "too many tokens")


def refused(status: int, body: str, where: str, headers: Mapping[str, str]) -> GenerationError:
    """The error for a status that is not worth a retry, or that retries did not cure."""
    if status == 429:
        limited = GeneratorUnreachable(
            f"The language model server at {where} refuses further requests for now (status 429); try again later, "
            "or raise its rate limit.",
            code="llm_rate_limited",
        )
        asked = seconds_of_retry_after(headers.get("retry-after"))
        limited.retry_after_seconds = (
            _RETRY_AFTER if asked is None else math.ceil(min(max(asked, 1), _LONGEST_RETRY_AFTER))
        )
        return limited
    if status in RETRYABLE_STATUSES or status >= 500:
        return GeneratorUnreachable(
            f"The language model server at {where} failed (status {status}); try again, or look at its log.",
            code="llm_unavailable",
        )
    code, advice = _REFUSALS.get(status, ("llm_rejected", "check the model's settings"))
    if status in (400, 422) and any(words in body.casefold() for words in _CONTEXT_WORDS):
        code, advice = _REFUSALS[413]
        window = _window(body)
        if window:
            advice = f"{advice}, {window} tokens"
    return GeneratorBadResponse(
        f"The language model server at {where} refused the request (status {status}): {advice}.", code=code
    )


def is_failure(status: int) -> bool:
    """True for a status by which a server says that it is not well; others only mind the request, or its rate."""
    return status >= 500 or status == 408


def _window(body: str) -> int | None:
    """The context window that a refusal for length names; of the body's words only this number is passed on."""
    found = _WINDOW.search(body)
    return int(found[1]) if found else None


def retry_delay(attempt: int, headers: Mapping[str, str]) -> float | None:
    """Seconds to wait after attempt `attempt` (from 0); None when the server asks for too long a wait.

    A valid Retry-After (seconds or a date) is kept; otherwise exponential with jitter, so that clients that failed
    together do not return together.
    """
    asked = seconds_of_retry_after(headers.get("retry-after"))
    if asked is not None:
        return asked if asked <= _LONGEST_DELAY_SECONDS else None
    longest = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0**attempt)
    return longest * random.uniform(0.5, 1.0)
