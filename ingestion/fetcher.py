"""The one place from which the product reads a URL that somebody else wrote.

A URL is a request to our network from inside it, so each hop goes the same way: parse once, refuse what is not plain
http(s) on an allowed port, resolve the name once, refuse if *any* of its addresses is not public, and connect to an
address that was checked, with the original name in Host and TLS. A name that changes its address between check and
connect (DNS rebinding) changes nothing, since it is not asked again. Redirects are followed by hand, at most five.

The body is decompressed here in bounded steps and counted after decoding; one clock covers name, headers and body,
because httpx's own timeouts start anew with each byte.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from domain.errors import FetchError
from ingestion.fetch_clock import Clock
from ingestion.fetch_rules import (
    MAX_URL,
    UNSAFE,
    IPAddress,
    check_host,
    forbidden,
    is_public,
    literal_address,
    refused,
)

Resolver = Callable[[str, int], Sequence[str]]

_PIECE = 1 << 16
_CONNECT_ATTEMPTS = 3
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_AGENT = "fovea"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as it was received: `url` after redirects, the decoded bytes, the media type without parameters."""

    url: str
    data: bytes
    media_type: str | None


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL taken apart, with the addresses that its name was found to have."""

    url: httpx.URL
    host: str
    port: int
    addresses: tuple[IPAddress, ...]


class Fetcher:
    """Fetches http(s) URLs of the public internet.

    `allow_private` lets every address in (own intranet, tests). `ports` are the ports that may be named; None allows
    all. `resolver(host, port)` gives addresses as text; `transport` replaces the network in tests; `ssl_context`
    replaces the public certificate authorities by an intranet's own.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 10 * 1024 * 1024,
        timeout_seconds: float = 30.0,
        max_redirects: int = 5,
        ports: frozenset[int] | None = frozenset((80, 443)),
        allow_private: bool = False,
        resolver: Resolver | None = None,
        transport: httpx.BaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._max_redirects = max_redirects
        self._ports = ports
        self._allow_private = allow_private
        self._resolver = resolver or _system_resolver
        self._transport = transport
        self._ssl_context = ssl_context

    def fetch(self, url: str) -> Fetched:
        """Fetch a page. Raises FetchError: url_forbidden, url_unreachable, url_too_large or url_status."""
        with Clock(self._timeout_seconds, url) as clock:
            current = url
            for _ in range(self._max_redirects + 1):
                target = self._target(current, clock)
                with self._request(target, clock) as response:
                    location = response.headers.get("location")
                    if response.status_code not in _REDIRECTS or not location:
                        return self._fetched(current, response, clock)
                current = _joined(target.url, location)
        raise refused("url_status", f"{url} redirects more than {self._max_redirects} times; name the final address.")

    def _target(self, url: str, clock: Clock) -> _Target:
        parsed = parse_url(url, self._ports)
        host, port = parsed.raw_host.decode("ascii"), _port(parsed)
        addresses = literal_address(host) or self._resolve(host, port, url, clock)
        if not self._allow_private:
            for address in addresses:
                if not is_public(address):
                    raise forbidden(url, f"{host} leads to {address}, which is not a public address")
        return _Target(parsed, host, port, addresses)

    def _resolve(self, host: str, port: int, url: str, clock: Clock) -> tuple[IPAddress, ...]:
        """Ask once, and no longer than the clock allows: the system's resolver cannot be interrupted."""
        found: list[str] = []
        failed: list[Exception] = []

        def ask() -> None:
            try:
                found.extend(self._resolver(host, port))
            except (OSError, UnicodeError) as error:
                failed.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(clock.left)
        if thread.is_alive() or failed or not found:
            raise FetchError(f"{url}: the name {host!r} could not be resolved; check the address and the network.")
        try:
            return tuple(dict.fromkeys(ipaddress.ip_address(text.partition("%")[0]) for text in found))
        except ValueError as error:
            raise forbidden(url, f"the name {host!r} resolves to something that is no address") from error

    @contextmanager
    def _request(self, target: _Target, clock: Clock) -> Iterator[httpx.Response]:
        """Send the request to the first address that answers. A client lives for one hop, so no cookie outlives it."""
        verify = self._ssl_context or True
        with httpx.Client(verify=verify, trust_env=False, follow_redirects=False, transport=self._transport) as client:
            response = _send(client, target, clock)
            try:
                yield response
            except (httpx.HTTPError, httpx.StreamError) as error:
                raise clock.failure(error) from error
            finally:
                response.close()

    def _fetched(self, url: str, response: httpx.Response, clock: Clock) -> Fetched:
        if response.status_code != 200:
            error = FetchError(
                f"{url} answered with status {response.status_code}; open it in a browser to see why.",
                code="url_status",
            )
            error.retryable = response.status_code in (408, 425, 429) or response.status_code >= 500
            raise error
        data = b"".join(self._body(url, response, clock))
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Fetched(url, data, media_type or None)

    def _body(self, url: str, response: httpx.Response, clock: Clock) -> Iterator[bytes]:
        """The decoded body, counted as it comes."""
        stated = response.headers.get("content-length", "")
        if stated.isdigit() and int(stated) > self._max_bytes:
            raise self._too_large(url)
        decode = _decoder(response.headers.get("content-encoding", ""), url)
        total = 0
        for raw in response.iter_raw(_PIECE):
            clock.check()
            for piece in decode(raw):
                total += len(piece)
                if total > self._max_bytes:
                    raise self._too_large(url)
                yield piece

    def _too_large(self, url: str) -> FetchError:
        return refused(
            "url_too_large", f"{url} is larger than {self._max_bytes / 2**20:g} MB; download it and ingest the file."
        )


def parse_url(url: str, ports: frozenset[int] | None) -> httpx.URL:
    """A URL in normal form. Raises FetchError "url_forbidden" for anything two parsers could read differently."""
    if len(url) > MAX_URL or UNSAFE.search(url):
        raise forbidden(url, "it is too long, or holds spaces, backslashes or characters that must be percent-encoded")
    try:
        parsed = httpx.URL(url)
        # The host is decoded when it is read, and "xn--" followed by nonsense fails there; asked for is what was sent.
        port, host = parsed.port, parsed.host and parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError) as error:  # UnicodeError, and with it IDNA's own, is a ValueError
        raise forbidden(url, f"it is not a valid URL ({error})") from error
    if parsed.scheme not in ("http", "https"):
        raise forbidden(url, "only http and https are fetched")
    if not host:
        raise forbidden(url, "it names no host")
    if parsed.userinfo or "@" in re.split(r"[/?#]", url.partition("//")[2], maxsplit=1)[0]:
        raise forbidden(url, "it carries credentials")
    if port == 0 or (ports is not None and _port(parsed) not in ports):
        raise forbidden(url, f"port {port} is not allowed")
    check_host(url, host)
    return parsed


def _port(url: httpx.URL) -> int:
    return url.port if url.port is not None else (443 if url.scheme == "https" else 80)


def _system_resolver(host: str, port: int) -> Sequence[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _joined(base: httpx.URL, location: str) -> str:
    if UNSAFE.search(location):
        raise forbidden(location[:200], "a redirect leads to an address that is not well formed")
    try:
        return str(base.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise forbidden(location[:200], f"a redirect leads to an invalid address ({error})") from error


def _send(client: httpx.Client, target: _Target, clock: Clock) -> httpx.Response:
    last: Exception | None = None
    for address in target.addresses[:_CONNECT_ATTEMPTS]:
        clock.check()
        try:
            return client.send(_pinned_request(client, target, address, clock), stream=True)
        except httpx.ConnectError as error:
            last = error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            # httpx reads the address of a redirect even where it is told not to follow any.
            if isinstance(error, httpx.InvalidURL) or "location header" in str(error):
                raise forbidden(str(target.url), f"it redirects to something that is no URL ({error})") from error
            raise clock.failure(error) from error
    raise clock.failure(last or httpx.ConnectError("no address"))


def _pinned_request(client: httpx.Client, target: _Target, address: IPAddress, clock: Clock) -> httpx.Request:
    """A request that connects to `address` and speaks to `target.host`: in the Host header, and in TLS for the
    certificate.
    """
    left = clock.left
    return client.build_request(
        "GET",
        target.url.copy_with(host=str(address)),
        headers={
            "Host": target.url.netloc.decode("ascii"),
            "User-Agent": _AGENT,
            "Accept": "text/html,application/xhtml+xml,application/pdf,text/*;q=0.9,*/*;q=0.5",
            "Accept-Encoding": "gzip, deflate",
        },
        timeout=httpx.Timeout(left),
        extensions={"sni_hostname": target.host, "trace": clock.trace},
    )


def _decoder(encoding: str, url: str) -> Callable[[bytes], Iterator[bytes]]:
    """A function that decodes a piece of the body into pieces of at most 64 KiB, so that a bomb is counted as it
    unfolds.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda raw: iter((raw,))
    if name not in ("gzip", "x-gzip", "deflate"):
        raise refused(
            "url_status", f"{url} is sent in the encoding {encoding!r}, which was not asked for; download it instead."
        )
    inflater = zlib.decompressobj(47)  # 32 + 15: gzip or zlib by its header

    def decode(raw: bytes) -> Iterator[bytes]:
        while raw:
            try:
                piece = inflater.decompress(raw, _PIECE)
            except zlib.error as error:
                raise FetchError(f"{url} sent damaged data ({error}); try again later.") from error
            raw = inflater.unconsumed_tail
            yield piece

    return decode
