"""URLs that somebody else wrote (cases I18 to I21): what is refused without a connection, and how a body may end."""

from __future__ import annotations

import gzip
import itertools
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence

import httpx
import pytest

from domain.errors import FetchError
from ingestion.fetcher import Fetched, Fetcher

PUBLIC = "93.184.216.34"
MIB = 2**20


class Network:
    """An injected resolver and connector: knows every name that was asked and every address that was connected to."""

    def __init__(
        self,
        answer: Callable[[httpx.Request], httpx.Response] | None = None,
        names: Callable[[str], Sequence[str]] = lambda _: [PUBLIC],
    ) -> None:
        self._answer = answer or (lambda _: _reply(b"ok"))
        self._names = names
        self.asked: list[str] = []
        self.connected: list[str] = []
        self.requests: list[httpx.Request] = []

    def fetch(self, url: str, **options: object) -> Fetched:
        fetcher = Fetcher(resolver=self._resolve, transport=httpx.MockTransport(self._connect), **options)  # type: ignore[arg-type]
        return fetcher.fetch(url)

    def refusal(self, url: str, **options: object) -> FetchError:
        with pytest.raises(FetchError) as caught:
            self.fetch(url, **options)
        return caught.value

    def _resolve(self, host: str, _: int) -> Sequence[str]:
        self.asked.append(host)
        return self._names(host)

    def _connect(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.connected.append(request.url.host)
        return self._answer(request)


# --- I18 ---

V4 = """
0.0.0.0 0.0.0.1 10.0.0.1 10.255.255.254 100.64.0.1 100.127.255.254 127.0.0.1 127.0.0.2 127.255.255.254 168.63.129.16
169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.254 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1
192.168.0.1 192.168.255.254 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 224.0.0.251 239.255.255.250 240.0.0.1
255.255.255.255
""".split()
V6 = """
:: ::1 ::2 ::127.0.0.1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1::1 2001:10::1
2001:20::1 2001:db8::1 2002:7f00:1::1 2002:a9fe:a9fe::1 3fff::1 5f00::1 fc00::1 fd00::1 fd00:ec2::254 fe80::1 febf::1
fec0::1 ff01::1 ff02::1 ff05::2 ff0e::1 4000::1
""".split()
FORMS = """
http://2130706433/ http://017700000001/ http://0x7f000001/ http://0x7F.0x0.0x0.0x1/ http://0177.0.0.1/ http://0177.1/
http://127.1/ http://127.0.1/ http://127.0.0.1./ http://127.0.0.1.. http://1/ http://0/ http://0.0.0/ http://0x/
http://127.0.0.01/ http://127.00.0.1/ http://1270.0.1/ http://256.256.256.256/ http://1.1.1.1.1/ http://.127.0.0.1/
http://[::1/ http://::1/ http://[127.0.0.1]/ http://[::1%25lo]/ http://[fe80::1%25eth0]/ http://[::1].example.com/
http://[v1.x]/ http://[]/ http:///x http://? http://#x http://:80/ http://%31%32%37.0.0.1/ http://127%2e0%2e0%2e1/
http://exam%00ple.com/ http://example.com%23.evil/ http://example.com%40127.0.0.1/ http://user@example.com/
http://user:pass@example.com/ http://@example.com/ http://:@example.com/ http://example.com@127.0.0.1/
http://127.0.0.1@example.com/ http://example.com:80@127.0.0.1/ http://a@b@c/ http://example.com:22/
http://example.com:25/ http://example.com:6379/ http://example.com:8080/ http://example.com:0/ http://example.com:99999/
http://example.com:-80/ http://example.com:8O/ file:///etc/passwd file://example.com/etc/passwd ftp://example.com/
gopher://example.com:70/_x dict://example.com:11211/ ldap://example.com/ data:text/plain,x javascript:alert(1)
jar:http://example.com!/ view-source:http://example.com/ ws://example.com/ unix:///var/run/docker.sock
http+unix://%2Fvar%2Frun%2Fdocker.sock/ about:blank //example.com/ /etc/passwd http: http:/ example.com http:example.com
http://-example.com/ http://example-.com/ http://exa*mple.com/ http://exa!mple.com/ http://a..b.com/ http://xn--/
http://xn--localhost-/
""".split()
UNPRINTABLE = [
    "http://exam ple.com/",
    "http://example.com/a b",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\.example.com/",
    "http:\\\\127.0.0.1\\",
    "http://example.com\t/",
    "http://example.com/\r\nHost: 127.0.0.1",
    "http://example.com/\x00",
    " http://example.com/",
    "http://example.com/ ",
    "\x01http://example.com/",
    "http://１２７.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://ⓛocalhost/",
    "http://ℓocalhost/",
    "http://exam\u200bple.com/",
    "http://exam\u00adple.com/",
    "http://例え.jp/",
    "http://" + "a" * 64 + "." + "b" * 300 + ".com/",
    "http://example.com/" + "a" * 5000,
    "",
]
LITERALS = [*(f"http://{address}/" for address in V4), *(f"https://[{address}]/x" for address in V6)]


def test_i18_there_are_a_hundred_and_twenty_urls() -> None:
    assert len({*LITERALS, *FORMS, *UNPRINTABLE}) >= 120


@pytest.mark.parametrize("url", [*LITERALS, *FORMS, *UNPRINTABLE])
def test_i18_a_forbidden_url_causes_no_question_and_no_connection(url: str) -> None:
    network = Network()
    error = network.refusal(url)
    assert (error.code, error.retryable) == ("url_forbidden", False)
    assert (network.asked, network.connected) == ([], [])


@pytest.mark.parametrize("address", [*V4, *V6])
def test_i18_a_name_that_leads_there_causes_no_connection(address: str) -> None:
    network = Network(names=lambda _: [address])
    assert network.refusal("http://innocent.example/").code == "url_forbidden"
    assert network.connected == []


@pytest.mark.parametrize("found", [[""], ["localhost"], ["127.0.0.1 "], ["fe80::1%eth0"], ["0x7f.1"], ["127.1"]])
def test_i18_a_resolver_that_answers_nonsense_is_not_believed(found: list[str]) -> None:
    network = Network(names=lambda _: found)
    with pytest.raises(FetchError):
        network.fetch("http://innocent.example/")
    assert network.connected == []


def test_i18_names_that_only_look_odd_are_fetched() -> None:
    network = Network()
    for url in (
        "http://a_b.example.com/",
        "https://EXAMPLE.com.:443/?q=%20#x",
        "http://1.example/",
        "http://xn--r8jz45g.jp/",
    ):
        assert network.fetch(url).data == b"ok"
    assert set(network.connected) == {PUBLIC}


# --- I19 ---

AWAY = [
    "http://127.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:10.0.0.1]/",
    "//10.0.0.1/x",
    "http://internal.example/",
    "http://2130706433/",
    "http://example.com:22/",
    "http://user@example.com/",
    "file:///etc/passwd",
    "gopher://example.com:6379/_FLUSHALL",
    "ftp://example.com/x",
    "data:text/plain,hello",
    "javascript:alert(1)",
    "http:\\\\127.0.0.1/",
    "http://example.com/\x7f",
    "http://",
]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", AWAY)
def test_i19_a_redirect_goes_through_the_same_gate(status: int, location: str) -> None:
    headers = {"location": location.encode("utf-8", "surrogateescape")}
    network = Network(
        lambda _: httpx.Response(status, headers=headers),  # type: ignore[arg-type]
        names=lambda host: ["10.1.2.3"] if host == "internal.example" else [PUBLIC],
    )
    assert network.refusal("https://start.example/").code == "url_forbidden"
    assert network.connected == [PUBLIC]


@pytest.mark.parametrize("at", range(1, 6))
def test_i19_the_last_of_several_hops_is_checked_like_the_first(at: int) -> None:
    hops = itertools.count(1)

    def answer(_: httpx.Request) -> httpx.Response:
        target = "http://127.0.0.1/" if next(hops) == at else "/next"
        return httpx.Response(302, headers={"location": target})

    network = Network(answer)
    assert network.refusal("http://start.example/").code == "url_forbidden"
    assert network.connected == [PUBLIC] * at


def test_i19_eleven_hops_end_after_five() -> None:
    network = Network(lambda request: httpx.Response(302, headers={"location": f"/{len(request.url.path)}x"}))
    assert network.refusal("http://start.example/").code == "url_status"
    assert len(network.connected) == 6


def test_i19_a_refresh_in_the_page_or_in_a_header_is_not_followed() -> None:
    page = '<html><head><meta http-equiv="refresh" content="0; url=http://127.0.0.1/"></head><body>x</body></html>'
    headers = {"refresh": "0; url=http://127.0.0.1/", "link": "<http://127.0.0.1/>; rel=preload"}
    network = Network(lambda _: _reply(page.encode(), **headers))
    assert network.fetch("http://start.example/").url == "http://start.example/"
    assert network.connected == [PUBLIC]


def test_i19_credentials_and_cookies_do_not_travel() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["host"] == "start.example":
            headers = {"location": "http://other.example/", "set-cookie": "session=1; Domain=example"}
            return httpx.Response(302, headers=headers)
        return _reply(b"ok")

    network = Network(answer)
    network.fetch("http://start.example/")
    for request in network.requests:
        assert not {"cookie", "authorization", "referer", "proxy-authorization"} & set(request.headers)


# --- I20 ---


@pytest.mark.parametrize(
    "found",
    [
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        [PUBLIC] * 30 + ["10.0.0.1"],
        [PUBLIC, "::1"],
        ["2606:4700::1111", "fe80::1"],
        [PUBLIC, "::ffff:127.0.0.1"],
        ["2606:4700::1111", "64:ff9b::7f00:1"],
    ],
)
def test_i20_one_forbidden_address_among_the_answers_is_enough(found: list[str]) -> None:
    network = Network(names=lambda _: found)
    assert network.refusal("http://mixed.example/").code == "url_forbidden"
    assert network.connected == []


def test_i20_a_name_that_flips_between_two_hops_is_asked_and_checked_again() -> None:
    answers = itertools.cycle([[PUBLIC], ["127.0.0.1"]])
    network = Network(
        lambda _: httpx.Response(302, headers={"location": "http://flip.example/2"}), names=lambda _: next(answers)
    )
    for _ in range(1000):
        assert network.refusal("http://flip.example/").code == "url_forbidden"
    assert network.connected == [PUBLIC] * 1000
    assert len(network.asked) == 2000


# --- I21 ---


class Pieces(httpx.SyncByteStream):
    def __init__(self, piece: bytes, count: int | None = None) -> None:
        self._piece, self._count, self.sent = piece, count, 0

    def __iter__(self) -> Iterator[bytes]:
        while self._count is None or self.sent < self._count:
            self.sent += 1
            yield self._piece


def _reply(body: httpx.SyncByteStream | bytes, status: int = 200, **headers: str) -> httpx.Response:
    stream = httpx.ByteStream(body) if isinstance(body, bytes) else body
    return httpx.Response(
        status, stream=stream, headers={key.replace("_", "-"): value for key, value in headers.items()}
    )


BOMB = gzip.compress(bytes(60 * MIB))
BODIES: dict[str, tuple[Callable[[], httpx.Response], str]] = {
    "endless": (lambda: _reply(Pieces(b"x" * 65536)), "url_too_large"),
    "a gigabyte": (lambda: _reply(Pieces(bytes(MIB), 1024)), "url_too_large"),
    "a gigabyte, announced": (lambda: _reply(b"x", content_length=str(2**30)), "url_too_large"),
    "a small lie about the length": (lambda: _reply(Pieces(bytes(MIB), 11), content_length="10"), "url_too_large"),
    "a gzip bomb": (lambda: _reply(BOMB, content_encoding="gzip"), "url_too_large"),
    "a zlib bomb": (lambda: _reply(zlib.compress(bytes(60 * MIB)), content_encoding="deflate"), "url_too_large"),
    "a bomb in tiny pieces": (lambda: _reply(_split(BOMB), content_encoding="gzip"), "url_too_large"),
    "a bomb twice packed": (lambda: _reply(gzip.compress(BOMB), content_encoding="gzip, gzip"), "url_status"),
    "brotli": (lambda: _reply(b"x", content_encoding="br"), "url_status"),
    "an unknown encoding": (lambda: _reply(b"x", content_encoding="x-" + "y" * 500), "url_status"),
    "not gzip at all": (lambda: _reply(b"hello", content_encoding="gzip"), "url_unreachable"),
    "gzip with a fault": (lambda: _reply(BOMB[:200] + b"\xff" * 200, content_encoding="gzip"), "url_unreachable"),
    "nothing there": (lambda: _reply(b"", 404), "url_status"),
    "an auth challenge": (lambda: _reply(b"", 401, www_authenticate="Basic realm=x"), "url_status"),
    "a proxy challenge": (lambda: _reply(b"", 407, proxy_authenticate="Basic"), "url_status"),
    "a part": (lambda: _reply(b"x", 206, content_range="bytes 0-0/9"), "url_status"),
    "no content": (lambda: _reply(b"", 204), "url_status"),
    "choices": (lambda: _reply(b"", 300), "url_status"),
    "a redirect to nowhere": (lambda: _reply(b"", 302), "url_status"),
    "a teapot": (lambda: _reply(b"x", 418), "url_status"),
    "a busy server": (lambda: _reply(b"", 503, retry_after="999999999"), "url_status"),
    "an unheard-of status": (lambda: _reply(b"", 799), "url_status"),
}


def _split(data: bytes) -> httpx.SyncByteStream:
    class Split(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return (data[at : at + 7] for at in range(0, len(data), 7))

    return Split()


def test_i21_there_are_twenty_fixtures() -> None:
    assert len(BODIES) >= 20


@pytest.mark.parametrize("name", BODIES)
def test_i21_a_body_that_must_not_be_taken_ends_with_its_reason(name: str) -> None:
    make, code = BODIES[name]
    network = Network(lambda _: make())
    error = network.refusal("http://page.example/")
    assert error.code == code
    assert len(error.message) < 700


def test_i21_no_more_is_read_than_the_limit_and_one_piece() -> None:
    body = Pieces(b"x" * 65536)
    Network(lambda _: _reply(body)).refusal("http://page.example/", max_bytes=MIB)
    assert body.sent <= MIB // 65536 + 1


@pytest.mark.parametrize(
    "kind", ["text/html", "application/pdf", "application/x-executable", "", "no/such; charset=\xff"]
)
def test_i21_the_stated_type_is_a_hint_and_never_trusted(kind: str) -> None:
    """The bytes decide later, in the sandbox; here the header is only cut and lowered."""
    headers = [(b"content-type", kind.encode("latin-1"))]
    reply = httpx.Response(200, stream=httpx.ByteStream(b"words"), headers=headers)
    fetched = Network(lambda _: reply).fetch("http://page.example/")
    assert fetched.media_type in (kind.partition(";")[0] or None, "no/such")


def test_i21_the_fetcher_asks_for_nothing_but_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", "/nonexistent")
    network = Network()
    network.fetch("http://page.example/a?b=c")
    (request,) = network.requests
    assert (request.method, request.url.host, request.headers["host"]) == ("GET", PUBLIC, "page.example")


def test_i21_the_system_resolver_is_bounded_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """`getaddrinfo` cannot be interrupted; the fetch goes on without it."""
    release = threading.Event()

    def hangs(*_: object, **__: object) -> list[object]:
        release.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    with pytest.raises(FetchError, match="could not be resolved"):
        Fetcher(timeout_seconds=0.1).fetch("http://slow.example/")
    release.set()
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.current_thread():
            thread.join(5)
