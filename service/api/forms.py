"""Forms from strangers: counted, and read as UTF-8 alone.

A form may name the encoding of its names, and the parser would look for any that Python has, among them some that
raise whatever they like, or take quadratic time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request

_READ = ("", "utf-8", "utf8")


@asynccontextmanager
async def form_of(request: Request, max_files: int, max_fields: int) -> AsyncIterator[FormData]:
    """The form of a request, its files open within the block. Raises HTTPException 400."""
    _, options = parse_options_header(request.headers.get("content-type"))
    if options.get(b"charset", b"").decode("latin-1").strip().lower() not in _READ:
        raise HTTPException(400, "A form is read as UTF-8: leave `charset` out.")
    async with request.form(max_files=max_files, max_fields=max_fields) as form:
        yield form
