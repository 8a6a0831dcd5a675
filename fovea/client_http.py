"""What both clients share of HTTP: how a connection is set up, what a reply means, how long a server is waited for."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx

from domain.errors import ConfigurationError, FoveaError
from fovea.client_calls import Call, Plan, patiently
from fovea.client_replies import ServiceError, lines_of_result, result_of
from service.patience import Patience

T = TypeVar("T")

_BATCH_PATIENCE = 10  # times that of a call: a batch that ends has to be started again by somebody


def options(base_url: str, api_key: str | None, timeout_seconds: float) -> dict[str, Any]:
    """Keyword arguments of httpx's clients. Raises ConfigurationError for an address of another scheme."""
    if not base_url.startswith(("http://", "https://")):
        raise ConfigurationError(f"The address {base_url!r} must begin with http:// or https://.")
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    # An OpenAI client wants the address with /v1, and who has that one at hand will give it here too.
    return {"base_url": base_url.rstrip("/").removesuffix("/v1"), "headers": headers, "timeout": timeout_seconds}


def unreachable(error: httpx.TransportError, base_url: Any) -> ServiceError:
    """The error for a server that gave no reply."""
    if isinstance(error, httpx.TimeoutException):
        return ServiceError(f"The server at {base_url} did not answer in time.", code="service_timeout")
    return ServiceError(f"The server at {base_url} cannot be reached ({error}); is it running?")


def read(wanted: Call, response: httpx.Response) -> Any:
    """What a call's reply brought. Raises the error that a problem stands for."""
    reader = lines_of_result if wanted.lines else result_of
    return reader(response.status_code, response.content, response.headers.get("retry-after"))


def refusal(response: httpx.Response, body: bytes) -> FoveaError:
    """The error that a reply without success stands for."""
    try:
        result_of(response.status_code, body, response.headers.get("retry-after"))
    except FoveaError as error:
        return error
    raise AssertionError(f"{response.status_code} is a success.")


class Patient:
    """Waits for a server that says "come back later": with a 429 or 503 and Retry-After."""

    _patience_seconds: float

    def _patience(self) -> Patience:
        return Patience(self._patience_seconds)

    def _batch_patience(self) -> Patience:
        return Patience(self._patience_seconds * _BATCH_PATIENCE)

    def _patiently(self, plan: Plan[T]) -> Plan[T]:
        return patiently(plan, self._patience())
