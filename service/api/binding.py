"""Which addresses may be served without a key: only those that nobody but the local user can reach."""

from __future__ import annotations

from ipaddress import ip_address

from domain.errors import ConfigurationError


def is_loopback(host: str) -> bool:
    """True for `localhost` and for the loopback addresses of both IP versions.

    >>> is_loopback("127.0.0.1"), is_loopback("[::1]"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    name = host.strip().rstrip(".").removeprefix("[").removesuffix("]").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:  # a name: it may resolve to anything
        return False


def host_of(header: str) -> str:
    """The host of a `Host` header or of an origin's authority, without its port.

    >>> host_of("127.0.0.1:8000"), host_of("[::1]:8000"), host_of("localhost")
    ('127.0.0.1', '::1', 'localhost')
    """
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] if header.count(":") == 1 else header


def check_binding(host: str, has_key: bool) -> None:
    """Refuse to serve on an address that others can reach while nobody holds a key. Raises ConfigurationError."""
    if not has_key and not is_loopback(host):
        raise ConfigurationError(
            f"Refusing to serve on {host!r} without an API key: anyone who reaches it could read the documents. "
            "Make one with 'fovea keys create', set FOVEA_SERVER__API_KEY, or serve on 127.0.0.1."
        )
