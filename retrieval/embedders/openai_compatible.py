"""Sentence vectors from any server that speaks OpenAI's `/v1/embeddings`: the only module of retrieval that uses httpx.

Such a server gives no token vectors, so chunks embedded by it are reranked without token attention.
"""

from __future__ import annotations

import email.utils
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from domain.errors import ConfigurationError, FetchError
from domain.search import FloatArray

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_FIRST_WAIT = 0.5  # seconds; doubled at each retry, with jitter
_MAX_BYTES = 64 * 1024 * 1024  # of one reply; 256 vectors of 4096 numbers as text are about 20 MB


class OpenAICompatibleEmbedder:
    """Implements `Embedder`. Vectors are scaled to unit length here, whatever the server does.

    base_url: up to and including "/v1". dim: what the model gives; another width is refused.
    timeout_seconds: for one request with all its retries. The prompts are put before every text, as E5 models need.
    request_dimensions: ask the server to shorten its vectors to `dim`, which few models can do.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        dim: int,
        *,
        api_key: str | None = None,
        batch_size: int = 64,
        timeout_seconds: float = 60.0,
        max_retries: int = 3,
        query_prompt: str = "",
        document_prompt: str = "",
        request_dimensions: bool = False,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dim = dim
        self.model_id = f"{model}/{dim}/openai-compatible"
        self._model, self._batch_size, self._request_dimensions = model, batch_size, request_dimensions
        self._timeout, self._max_retries = timeout_seconds, max_retries
        self._query_prompt, self._document_prompt = query_prompt, document_prompt
        self._sleep, self._clock = sleep, clock
        self._url = _embeddings_url(base_url)
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(transport=transport, headers=headers, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Shape (N, D); (0, D) for none.

        Raises FetchError when the server fails, ConfigurationError when it refuses the key or the model.
        """
        prompted = [self._document_prompt + text for text in texts]
        parts = [self._embed(prompted[i : i + self._batch_size]) for i in range(0, len(prompted), self._batch_size)]
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), dtype=np.float32)

    def embed_query(self, text: str) -> FloatArray:
        """Shape (D,)."""
        return np.asarray(self._embed([self._query_prompt + text])[0], dtype=np.float32)

    def _embed(self, texts: Sequence[str]) -> FloatArray:
        # OpenAI's own server refuses an empty text; a blank one is as good.
        body: dict[str, Any] = {
            "model": self._model,
            "input": [text or " " for text in texts],
            "encoding_format": "float",
        }
        if self._request_dimensions:
            body["dimensions"] = self.dim
        return self._read(self._post(body), len(texts))

    def _post(self, body: Mapping[str, Any]) -> bytes:
        """The body of the first good reply; retries what may pass, until the retries or the deadline are used up."""
        deadline = self._clock() + self._timeout
        for attempt in range(self._max_retries + 1):
            wait = _FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.0)
            try:
                status, headers, content = self._send(body, deadline)
            except httpx.RequestError as error:
                failure = self._unreachable(error)
            else:
                if status == 200:
                    return content
                failure = self._refused(status, content)
                wait = max(wait, _retry_after(headers.get("retry-after", "")))
            if attempt == self._max_retries or self._clock() + wait >= deadline:
                raise failure
            self._sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _send(self, body: Mapping[str, Any], deadline: float) -> tuple[int, httpx.Headers, bytes]:
        """One exchange. httpx limits each read; a server that drips is caught by the clock between reads."""
        left = max(0.001, deadline - self._clock())
        content = bytearray()
        with self._client.stream("POST", self._url, json=body, timeout=left) as response:
            for part in response.iter_bytes():
                content += part
                if len(content) > _MAX_BYTES:
                    raise self._malformed(f"more than {_MAX_BYTES} bytes")
                if self._clock() >= deadline:
                    raise httpx.ReadTimeout(f"not complete after {self._timeout:g} seconds")
        return response.status_code, response.headers, bytes(content)

    def _read(self, content: bytes, count: int) -> FloatArray:
        """Vectors of shape (count, D) from a reply, in the order of the request."""
        try:
            items = sorted(json.loads(content)["data"], key=lambda item: int(item["index"]))
            order = [int(item["index"]) for item in items]
            rows = [np.asarray(item["embedding"], dtype=np.float64) for item in items]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._malformed(f"{type(error).__name__}: {error}") from error
        if order != list(range(count)) or any(row.ndim != 1 for row in rows):
            raise self._malformed(f"{len(rows)} vectors for {count} texts")
        if any(len(row) != self.dim for row in rows):
            width = next(len(row) for row in rows if len(row) != self.dim)
            raise ConfigurationError(
                f"The embedder {self._model!r} gives vectors of {width} dimensions, but {self.dim} are configured; "
                f"set the embedder's dimensions to {width}."
            )
        return self._unit(np.stack(rows))

    def _unit(self, vectors: NDArray[np.float64]) -> FloatArray:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            raise self._malformed("a vector that is zero or not finite")
        return np.asarray(vectors / norms, dtype=np.float32)

    def _refused(self, status: int, content: bytes) -> FetchError:
        """The error to raise when retries are used up; a refusal that no retry can change is raised at once."""
        if status in _RETRIED:
            return FetchError(
                f"The embedding server {self._url} answered {status} and did not recover within "
                f"{self._timeout:g} seconds; try again later.",
                code="embedder_unavailable",
            )
        said = content[:200].decode("utf-8", "replace").strip()
        raise ConfigurationError(
            f"The embedding server {self._url} refused the request for the model {self._model!r} with status "
            f"{status}: {said or 'no reason given'}. Check its URL, key and model name."
        )

    def _unreachable(self, error: httpx.RequestError) -> FetchError:
        return FetchError(
            f"The embedding server {self._url} cannot be reached ({type(error).__name__}: {error}); "
            "check that it runs.",
            code="embedder_unavailable",
        )

    def _malformed(self, what: str) -> FetchError:
        return FetchError(
            f"The embedding server {self._url} sent a reply that cannot be used ({what}); "
            "check that it serves /v1/embeddings.",
            code="embedder_bad_response",
        )


def _embeddings_url(base_url: str) -> str:
    try:
        url = httpx.URL(base_url.rstrip("/") + "/embeddings")
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"The embedding server's URL {base_url!r} is malformed: {error}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(f"The embedding server's URL {base_url!r} must begin with http:// or https://.")
    return str(url)


def _retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0 where it says nothing usable."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
