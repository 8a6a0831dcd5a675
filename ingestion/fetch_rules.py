"""What may be fetched at all: the characters and hosts of a URL, and the addresses of the public internet."""

from __future__ import annotations

import ipaddress
import re

from domain.errors import FetchError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
MAX_URL = 4096
UNSAFE = re.compile(r"[\x00-\x20\x7f\\]|[^\x00-\x7f]")
_LAST_LABEL_IS_NUMBER = re.compile(r"(?:^|\.)(?:\d+|0x[0-9a-f]*)$", re.IGNORECASE)
_HOST = re.compile(
    r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$", re.IGNORECASE
)

# On top of `is_global`, whose list depends on the version of Python and which calls several of these public.
_FORBIDDEN = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's internal service on a public-looking address
            "169.254.0.0/16",  # link-local, cloud metadata
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",
            "2002::/16",  # 6to4 carries an IPv4 address
            "3fff::/20",
            "5f00::/16",
        ),
    )
)
_PUBLIC_V6 = ipaddress.ip_network("2000::/3")  # all that is public today; mapped, NAT64 and site-local lie outside


def is_public(address: IPAddress) -> bool:
    """True for a unicast address of the public internet.

    >>> is_public(ipaddress.ip_address("1.1.1.1")), is_public(ipaddress.ip_address("64:ff9b::7f00:1"))
    (True, False)
    """
    if address.version == 6 and address not in _PUBLIC_V6:
        return False
    if address.is_multicast or not address.is_global:
        return False
    return not any(address.version == network.version and address in network for network in _FORBIDDEN)


def check_host(url: str, host: str) -> None:
    if literal_address(host):
        return
    if not _HOST.match(host.removesuffix(".")) or _LAST_LABEL_IS_NUMBER.search(host.removesuffix(".")):
        # "2130706433", "0x7f.1" and "127.1" are addresses to some resolvers and names to others.
        raise forbidden(url, f"{host!r} is neither a host name nor an address in the usual form")


def literal_address(host: str) -> tuple[IPAddress, ...]:
    """The address that a host is; empty for a name. Zones are refused by the form of host names."""
    try:
        return (ipaddress.ip_address(host),) if "%" not in host else ()
    except ValueError:
        return ()


def refused(code: str, message: str) -> FetchError:
    error = FetchError(message, code=code)
    error.retryable = False
    return error


def forbidden(url: str, why: str) -> FetchError:
    return refused("url_forbidden", f"{url[:200]!r} is not fetched: {why}.")
