"""Which key opens which route: one table. A test holds it to the OpenAPI document; a route without a row is shut.

A row names the scopes of which one is enough. What only those may see who run the installation is `operator`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.routing import compile_path

from domain.access import Principal, Scope
from service.api.errors import NO_ROUTE, Problem

# What a browser needs before a key is typed in, and what probes ask for. None of it shows anything of the documents.
_PUBLIC_PATHS: Final = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz", "/favicon.ico"})
_PUBLIC_PREFIXES: Final = ("/static/", "/widget/")


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a route: a key with one of the scopes; with `operator`, only the installation's own admins."""

    scopes: tuple[Scope, ...]
    operator: bool = False

    def lets(self, principal: Principal) -> bool:
        if self.operator and not principal.is_operator:
            return False
        return any(principal.may(scope) for scope in self.scopes)


_CHAT = Rule((Scope.CHAT,))
_READ = Rule((Scope.READ,))
_WRITE = Rule((Scope.WRITE,))
_OPERATOR = Rule((Scope.ADMIN,), operator=True)

RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("POST", "/v1/chat/completions"): _CHAT,
    ("POST", "/v1/search"): _CHAT,
    ("POST", "/v1/ask"): _READ,
    ("POST", "/v1/explain"): _READ,
    ("GET", "/v1/models"): _READ,
    ("GET", "/v1/models/{name:path}"): _READ,
    ("POST", "/v1/documents"): _WRITE,
    ("GET", "/v1/documents"): _READ,
    # Who uploads asks how far it is; service/api/uploads.py shows a key that only writes nothing else.
    ("GET", "/v1/documents/{document_id}"): Rule((Scope.READ, Scope.WRITE)),
    ("GET", "/v1/documents/{document_id}/text"): _READ,
    ("DELETE", "/v1/documents/{document_id}"): _WRITE,
    ("GET", "/v1/collections"): _READ,
    ("POST", "/v1/collections"): _WRITE,
    ("DELETE", "/v1/collections/{name}"): _WRITE,
    ("POST", "/v1/batches"): _READ,
    ("GET", "/v1/batches"): _READ,
    ("GET", "/v1/batches/{batch_id}"): _READ,
    ("GET", "/v1/batches/{batch_id}/results"): _READ,
    ("DELETE", "/v1/batches/{batch_id}"): _READ,
    ("POST", "/mcp"): _READ,
    # What a client with a session would ask for: the router answers 405, and says that there is POST.
    ("GET", "/mcp"): _READ,
    ("DELETE", "/mcp"): _READ,
    ("GET", "/metrics"): _OPERATOR,
}

_COMPILED = [(method, compile_path(path)[0], rule) for (method, path), rule in RULES.items()]


def is_public(path: str) -> bool:
    """True for what is shown to everybody."""
    return path in _PUBLIC_PATHS or path.startswith(_PUBLIC_PREFIXES)


def rule_for(method: str, path: str) -> Rule | None:
    """The row of a request; None where there is none."""
    wanted = "GET" if method == "HEAD" else method
    return next((rule for own, pattern, rule in _COMPILED if own == wanted and pattern.match(path)), None)


def refusal(method: str, path: str, principal: Principal) -> Problem | None:
    """Why this principal may not call this; None where it may.

    What has no row is not there, for everybody but the operator, whom the router tells the same.
    """
    rule = rule_for(method, path)
    if rule is not None:
        return None if rule.lets(principal) else _forbidden(rule)
    if principal.is_operator:
        return None
    if any(pattern.match(path) for _, pattern, _ in _COMPILED):
        return Problem(405, "method_not_allowed", "Method Not Allowed")
    return Problem(404, "not_found", NO_ROUTE)


def _forbidden(rule: Rule) -> Problem:
    if rule.operator:
        return Problem(403, "forbidden", "Only an admin of the installation, the default tenant, may call this.")
    wanted = " or ".join(f"`{scope}`" for scope in rule.scopes)
    return Problem(403, "forbidden", f"This key lacks the scope that the route wants: {wanted}.")
