"""No traffic beyond this machine: a peer that would report its use or fetch a file must fail, not be measured."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any

_SILENT = {
    "HAYSTACK_TELEMETRY_ENABLED": "False",  # else every pipeline reports its components
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def go_offline() -> None:
    """Switch off what the libraries send, and refuse every connection beyond loopback. Call it before they load."""
    os.environ.update(_SILENT)
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if not is_local(address):
            raise OSError(f"A library tried to connect to {address!r}; measurements run without a network.")
        connect(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign, assignment]


def is_local(address: Any) -> bool:
    """Whether a socket's address is on this machine: loopback, or no internet address at all."""
    if not isinstance(address, tuple):  # a unix socket
        return True
    host = str(address[0]).partition("%")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
