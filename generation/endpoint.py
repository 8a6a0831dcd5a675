"""A model server: how it is addressed, and what is known of its health."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from domain.errors import ConfigurationError
from generation.breaker import CircuitBreaker
from generation.dialect import Dialect
from generation.retry_budget import RetryBudget


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A model behind an OpenAI-compatible API. `base_url` ends where `/chat/completions` begins, usually in `/v1`."""

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)


class Endpoint:
    """A model server as requests see it; its breaker, retry budget and dialect are shared by all of them."""

    def __init__(self, server: ModelServer, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ConfigurationError for an address or a key that cannot be right."""
        self.model = server.model
        self.url, self.where = _address(server.base_url)
        self.headers = _headers(server.api_key)
        self.breaker = CircuitBreaker(self.where, clock=clock)
        self.budget = RetryBudget(clock=clock)
        self.dialect = Dialect()


def tls_context(endpoints: list[Endpoint]) -> ssl.SSLContext:
    """The trust that calls to these servers need; made once, because reading the authorities' file takes long.

    Where no address is https it trusts no authority at all.
    """
    if any(endpoint.url.startswith("https:") for endpoint in endpoints):
        return httpx.create_ssl_context(trust_env=False)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _address(base_url: str) -> tuple[str, str]:
    """The address of the chat route, and its host for messages. Credentials in a URL are refused: URLs get logged."""
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError("base_url of the language model must look like http://127.0.0.1:8000/v1.")
    if parts.username or parts.password:
        raise ConfigurationError("base_url of the language model must not hold credentials; set the API key instead.")
    path = parts.path.rstrip("/")
    path = path if path.endswith("/chat/completions") else f"{path}/chat/completions"
    query = f"?{parts.query}" if parts.query else ""  # some gateways carry an API version there
    return f"{parts.scheme}://{parts.netloc}{path}{query}", f"{host}:{port}" if port else host


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"accept": "text/event-stream, application/json", "accept-encoding": "identity"}
    key = (api_key or "").strip()
    if key:
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError("The language model's API key holds characters that no key has; set it again.")
        headers["authorization"] = f"Bearer {key}"
    return headers
