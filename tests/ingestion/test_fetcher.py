"""The outbound fetcher: what it never connects to, and how it ends what does not end by itself."""

import gzip
import ipaddress
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from domain.errors import FetchError
from ingestion.fetch_rules import is_public
from ingestion.fetcher import Fetcher, parse_url

PUBLIC = "93.184.216.34"

# A key for the tests alone, with a certificate that it signed itself for "intranet.example".
KEY_AND_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmPp3b/8hSgvt2etf
RE3gIOMH0bWrERSzcw8zFn1KZ0GhRANCAATpEoc5eZ+atKtgOHgrtGTb5hHfW88Z
svKLGFj4UKNaxEAcjONoBDKRNp6WEjYjsgwBZ28ZcJdnN/yGCCcbLwQN
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBVTCB/aADAgECAgEBMAoGCCqGSM49BAMCMBsxGTAXBgNVBAMMEGludHJhbmV0
LmV4YW1wbGUwIBcNMjQwMTAxMDAwMDAwWhgPMjEyNDAxMDEwMDAwMDBaMBsxGTAX
BgNVBAMMEGludHJhbmV0LmV4YW1wbGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AATpEoc5eZ+atKtgOHgrtGTb5hHfW88ZsvKLGFj4UKNaxEAcjONoBDKRNp6WEjYj
sgwBZ28ZcJdnN/yGCCcbLwQNozAwLjAbBgNVHREEFDASghBpbnRyYW5ldC5leGFt
cGxlMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgKtcqyngxtGiC
s6RDFdZ8iOrSL6YfdfW/xlYnKi4nQi8CIHj/EDngpedSdQ7Ml7eVE9GiR/GLAuhB
UjQfVc4+P1Kr
-----END CERTIFICATE-----
"""


class Connects:
    """A transport that records where it would have connected."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response] | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answer or (lambda _: page(b"ok"))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)

    @property
    def hosts(self) -> list[str]:
        return [request.url.host for request in self.requests]


def page(body: bytes, status: int = 200, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, stream=httpx.ByteStream(body), headers=sent)


def fetcher(connects: Connects, *addresses: str, **options: object) -> Fetcher:
    return Fetcher(
        resolver=lambda host, port: addresses or [PUBLIC],
        transport=httpx.MockTransport(connects),
        **options,  # type: ignore[arg-type]
    )


def refusal(url: str, *addresses: str) -> FetchError:
    connects = Connects()
    with pytest.raises(FetchError) as caught:
        fetcher(connects, *addresses).fetch(url)
    assert connects.requests == []
    return caught.value


# --- addresses ---

FORBIDDEN_ADDRESSES = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 168.63.129.16 169.254.0.1
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1
198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:93.184.216.34 64:ff9b::7f00:1 64:ff9b::5db8:d822
64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1:: 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a00:1:: 3fff::1
5f00::1 fc00::1 fd12:3456::1 fe80::1 fec0::1 ff02::1 ff0e::1
""".split()


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_i18_no_connection_is_made_to_an_address_that_is_not_public(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    assert refusal(f"http://{host}/").code == "url_forbidden"
    assert refusal("http://innocent.example/", address).code == "url_forbidden"


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1", "100.128.0.1"])
def test_public_addresses_are_connected_to(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    connects = Connects()
    assert fetcher(connects, address).fetch("http://example.com/").data == b"ok"
    assert connects.hosts == [address]


def test_i20_one_forbidden_address_among_several_is_enough() -> None:
    assert refusal("http://example.com/", PUBLIC, "10.0.0.1").code == "url_forbidden"
    assert refusal("http://example.com/", PUBLIC, "::1").code == "url_forbidden"


# --- the form of a URL ---


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://1.1.1.1.1/",
        "http://１２７.0.0.1/",
        "http://①②⑦.0.0.1/",
        "http://example。com/",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com@127.0.0.1/",
        "http://127.0.0.1\\.example.com/",
        "http://exa mple.com/",
        "http://example.com/\r\nHost: x",
        "http://example.com/\x00",
        "http://example.com:22/",
        "http://example.com:6379/",
        "http://example.com:99999/",
        "http://example.com:-1/",
        "http://[fe80::1%25eth0]/",
        "http://[::1",
        "http:///path",
        "http://",
        "http:example.com",
        "//example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "data:text/html,x",
        "javascript:alert(1)",
        "http://-example.com/",
        "http://exam%70le.com/",
        "http://xn--/",
        "http://xn--localhost-/",
        "http://" + "a" * 300 + ".com/",
        "http://example.com/" + "a" * 5000,
        "",
    ],
)
def test_i18_a_url_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    error = refusal(url)
    assert error.code == "url_forbidden"
    assert not error.retryable


@pytest.mark.parametrize(
    "url", ["http://example.com", "https://example.com:443/a?b=c#d", "http://EXAMPLE.com./x", "http://a_b.example.com/"]
)
def test_ordinary_urls_are_accepted(url: str) -> None:
    assert parse_url(url, frozenset((80, 443))).scheme in ("http", "https")


# --- the connection ---


def test_i20_the_name_is_asked_once_and_the_checked_address_used() -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]] * 1000)  # a thousand flips
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    connects = Connects()
    fetch = Fetcher(resolver=rebinding, transport=httpx.MockTransport(connects)).fetch
    for _ in range(1000):
        assert fetch("https://rebind.example/x").data == b"ok"
        with pytest.raises(FetchError):
            fetch("https://rebind.example/x")
    assert set(connects.hosts) == {PUBLIC}
    assert len(asked) == 2000


def test_i20_host_and_server_name_stay_those_of_the_url() -> None:
    connects = Connects()
    fetcher(connects).fetch("https://example.com/a?b=c")
    (request,) = connects.requests
    assert str(request.url) == f"https://{PUBLIC}/a?b=c"
    assert request.headers["host"] == "example.com"
    assert request.extensions["sni_hostname"] == "example.com"


def test_the_next_address_is_tried_when_one_refuses() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == PUBLIC:
            raise httpx.ConnectError("refused", request=request)
        return page(b"second")

    connects = Connects(answer)
    assert fetcher(connects, PUBLIC, "1.1.1.1").fetch("http://example.com/").data == b"second"


def test_a_name_without_an_address_is_unreachable() -> None:
    def fails(host: str, port: int) -> list[str]:
        raise socket.gaierror("no such name")

    with pytest.raises(FetchError, match="could not be resolved") as caught:
        Fetcher(resolver=fails).fetch("http://nowhere.example/")
    assert caught.value.code == "url_unreachable"
    assert caught.value.retryable


def test_a_resolver_that_hangs_does_not_hang_the_fetch() -> None:
    release = threading.Event()

    def hangs(host: str, port: int) -> list[str]:
        release.wait(30)
        return []

    with pytest.raises(FetchError, match="could not be resolved"):
        Fetcher(resolver=hangs, timeout_seconds=0.2).fetch("http://slow.example/")
    release.set()


# --- redirects ---


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "//10.0.0.1/x",
        "http://[::1]/",
        "http://2130706433/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http://example.com:22/",
        "http://u:p@example.com/",
        "http://private.example/",
    ],
)
def test_i19_every_hop_is_checked(status: int, location: str) -> None:
    connects = Connects(lambda _: page(b"", status, location=location))
    resolver = {"start.example": [PUBLIC], "private.example": ["192.168.1.1"]}
    fetch = Fetcher(
        resolver=lambda host, port: resolver.get(host, [PUBLIC]), transport=httpx.MockTransport(connects)
    ).fetch
    with pytest.raises(FetchError) as caught:
        fetch("http://start.example/")
    assert caught.value.code == "url_forbidden"
    assert connects.hosts == [PUBLIC]


def test_i19_redirects_are_followed_to_the_end_without_cookies() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        step = int(request.url.path.strip("/") or 0)
        if step < 5:
            return page(b"", 302, location=f"/{step + 1}", set_cookie="session=1")
        return page(b"done")

    connects = Connects(answer)
    fetched = fetcher(connects).fetch("http://example.com/0")
    assert (fetched.url, fetched.data) == ("http://example.com/5", b"done")
    assert all("cookie" not in request.headers for request in connects.requests)


def test_i19_too_many_redirects_end_with_an_error() -> None:
    connects = Connects(lambda _: page(b"", 302, location="/again"))
    with pytest.raises(FetchError, match="more than 5 times") as caught:
        fetcher(connects).fetch("http://example.com/")
    assert caught.value.code == "url_status"
    assert len(connects.requests) == 6


# --- the body ---


@pytest.mark.parametrize(("status", "retryable"), [(404, False), (401, False), (500, True), (429, True), (204, False)])
def test_i21_another_status_than_200_is_an_error(status: int, retryable: bool) -> None:
    with pytest.raises(FetchError, match=str(status)) as caught:
        fetcher(Connects(lambda _: page(b"", status))).fetch("http://example.com/")
    assert (caught.value.code, caught.value.retryable) == ("url_status", retryable)


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes), ("", bytes)]
)
def test_bodies_are_decoded(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    body = b"text " * 50_000
    fetched = fetcher(Connects(lambda _: page(pack(body), content_encoding=encoding))).fetch("http://example.com/")
    assert fetched.data == body


def test_the_media_type_loses_its_parameters() -> None:
    fetched = fetcher(Connects(lambda _: page(b"x", content_type="Text/HTML; charset=utf-8"))).fetch(
        "http://a.example/"
    )
    assert fetched.media_type == "text/html"


def test_i21_a_bomb_is_counted_after_decoding() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    with pytest.raises(FetchError, match="larger than 10 MB") as caught:
        fetcher(Connects(lambda _: page(bomb, content_encoding="gzip"))).fetch("http://example.com/")
    assert caught.value.code == "url_too_large"


def test_i21_a_stated_length_beyond_the_limit_is_believed() -> None:
    with pytest.raises(FetchError) as caught:
        fetcher(Connects(lambda _: page(b"x", content_length="10000000000"))).fetch("http://example.com/")
    assert caught.value.code == "url_too_large"


def test_i21_an_endless_body_is_cut_off() -> None:
    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 65_536

    with pytest.raises(FetchError) as caught:
        fetcher(Connects(lambda _: httpx.Response(200, stream=Endless()))).fetch("http://example.com/")
    assert caught.value.code == "url_too_large"


def test_i21_damaged_or_unknown_encodings_are_errors() -> None:
    with pytest.raises(FetchError, match="damaged data"):
        fetcher(Connects(lambda _: page(b"not gzip", content_encoding="gzip"))).fetch("http://example.com/")
    with pytest.raises(FetchError, match="not asked for"):
        fetcher(Connects(lambda _: page(b"x", content_encoding="br"))).fetch("http://example.com/")


# --- a real server on loopback ---


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        getattr(self, f"_{self.path.strip('/').split('?')[0]}")()

    def _page(self) -> None:
        body = f"host {self.headers['Host'].split(':')[0]} cookie {self.headers.get('Cookie')}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _hop(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/page")
        self.send_header("Set-Cookie", "a=b")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        self._slowly(b"x")

    def _headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self._slowly(b"X-A: b\r\n")

    def _reset(self) -> None:
        self.connection.close()

    def _slowly(self, piece: bytes) -> None:
        try:
            for _ in range(600):
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as number:
        yield number


def local(port: int, **options: object) -> Fetcher:
    return Fetcher(allow_private=True, ports=frozenset((port,)), resolver=lambda host, _: ["127.0.0.1"], **options)  # type: ignore[arg-type]


def test_a_page_is_fetched_by_name_from_the_pinned_address(port: int) -> None:
    fetched = local(port).fetch(f"http://intranet.example:{port}/hop")
    assert fetched.data == b"host intranet.example cookie None"
    assert fetched.url == f"http://intranet.example:{port}/page"
    assert fetched.media_type == "text/plain"


def test_private_addresses_need_to_be_allowed(port: int) -> None:
    with pytest.raises(FetchError) as caught:
        Fetcher(ports=None).fetch(f"http://127.0.0.1:{port}/page")
    assert caught.value.code == "url_forbidden"
    assert Fetcher(ports=None, allow_private=True).fetch(f"http://127.0.0.1:{port}/page").data.startswith(b"host 127")


@pytest.mark.parametrize("path", ["drip", "headers"])
def test_i21_a_server_that_sends_a_byte_now_and_then_is_cut_off(port: int, path: str) -> None:
    with pytest.raises(FetchError, match=r"longer than 0\.5 seconds") as caught:
        local(port, timeout_seconds=0.5).fetch(f"http://intranet.example:{port}/{path}")
    assert caught.value.code == "url_unreachable"


def test_a_connection_that_breaks_is_unreachable(port: int) -> None:
    with pytest.raises(FetchError, match="could not be fetched") as caught:
        local(port).fetch(f"http://intranet.example:{port}/reset")
    assert caught.value.retryable


def test_i21_a_proxy_in_the_environment_is_not_used(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert local(port).fetch(f"http://intranet.example:{port}/page").data.startswith(b"host")


def test_the_certificate_is_checked_against_the_name_and_not_the_address(tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_text(KEY_AND_CERTIFICATE)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    trusting = ssl.create_default_context(cadata=KEY_AND_CERTIFICATE[KEY_AND_CERTIFICATE.index("-----BEGIN CERT") :])
    with serving(tls) as port:
        fetched = local(port, ssl_context=trusting).fetch(f"https://intranet.example:{port}/hop")
        assert fetched.data == b"host intranet.example cookie None"
        with pytest.raises(FetchError, match="certificate"):
            local(port, ssl_context=trusting).fetch(f"https://other.example:{port}/page")
        with pytest.raises(FetchError, match="certificate"):
            local(port).fetch(f"https://intranet.example:{port}/page")
        with pytest.raises(FetchError, match="longer than"):
            local(port, ssl_context=trusting, timeout_seconds=0.5).fetch(f"https://intranet.example:{port}/drip")
