"""The chat page, the widget and the API's own documentation: files under a policy that allows nothing but this server.

No page may be framed, but for the widget: it is made to stand in pages of others, and those that its key names may
hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from anyio import to_thread
from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from domain.errors import NotFound

WEB = Path(__file__).parents[2] / "web"
WIDGET_PATH = "/widget/"
_LOADER = "widget.js"


def content_security_policy(ancestors: Sequence[str] = ()) -> str:
    """The policy of a page that pages of the origins `ancestors` may hold in a frame; nobody, where there are none."""
    holders = " ".join(ancestors) or "'none'"
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            f"frame-ancestors {holders}",  # browsers ignore X-Frame-Options beside it, as CSP 3 asks
            "require-trusted-types-for 'script'",  # no string becomes markup, not even by mistake
            "trusted-types 'none'",
        )
    )


CONTENT_SECURITY_POLICY = content_security_policy()


def _headers(policy: str) -> dict[str, str]:
    # no-cache: the browser asks each time and mostly hears "not modified", so a new release is never half old.
    return {"content-security-policy": policy, "cache-control": "no-cache", "referrer-policy": "no-referrer"}


_HEADERS = _headers(CONTENT_SECURITY_POLICY)


class _GuardedFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        if path == _LOADER:  # pages of other origins include it
            response.headers["cross-origin-resource-policy"] = "cross-origin"
        return response


def install_pages(app: FastAPI, widget_origins: Callable[[str], Sequence[str]] = lambda key_id: ()) -> None:
    """Add the pages; `widget_origins` tells which origins may show the widget of a publishable key, by the key's id."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def chat_page() -> Response:
        return FileResponse(WEB / "chat.html", headers=_HEADERS)

    @router.get("/docs")
    async def docs_page() -> Response:
        return FileResponse(WEB / "docs.html", headers=_HEADERS)

    @router.get(f"{WIDGET_PATH}{{key_id}}")
    async def widget_page(key_id: str) -> Response:
        origins = await to_thread.run_sync(widget_origins, key_id)
        if not origins:
            raise NotFound("There is no widget for this key: it is not publishable, was revoked, or never existed.")
        return FileResponse(WEB / "widget.html", headers=_headers(content_security_policy(origins)))

    @router.get("/favicon.ico")
    async def icon() -> Response:
        return FileResponse(WEB / "static" / "icon.svg", headers=_HEADERS)

    app.include_router(router)
    app.mount("/static", _GuardedFiles(directory=WEB / "static"))
