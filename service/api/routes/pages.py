"""The chat page and the API's own documentation: static files under a policy that allows nothing but this server."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

WEB = Path(__file__).parents[2] / "web"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no string becomes markup, not even by mistake
        "trusted-types 'none'",
    )
)
# no-cache: the browser asks each time and mostly hears "not modified", so a new release is never half old.
_HEADERS = {"content-security-policy": CONTENT_SECURITY_POLICY, "cache-control": "no-cache"}


class _GuardedFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def install_pages(app: FastAPI) -> None:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def chat_page() -> Response:
        return FileResponse(WEB / "chat.html", headers=_HEADERS)

    @router.get("/docs")
    async def docs_page() -> Response:
        return FileResponse(WEB / "docs.html", headers=_HEADERS)

    @router.get("/favicon.ico")
    async def icon() -> Response:
        return FileResponse(WEB / "static" / "icon.svg", headers=_HEADERS)

    app.include_router(router)
    app.mount("/static", _GuardedFiles(directory=WEB / "static"))
