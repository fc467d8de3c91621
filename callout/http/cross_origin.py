"""Requests of pages from other origins (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol).

A browser lets such a page send its requests, and read the answers, only if these headers allow it. Tokens are in a
header that the page itself adds, never in cookies, so credentials are not allowed: a page can do nothing in the name of
whoever looks at it.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

REMEMBERED_SECONDS: Final = 7_200  # the longest that Chromium remembers a preflight's answer
_METHODS: Final = ("GET", "HEAD", "POST", "PATCH", "DELETE")
_EXPOSED: Final = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Retry-After",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Expires",
    "Upload-Length",
    "Upload-Offset",
    "X-Request-ID",
)


def middleware(origins: tuple[str, ...]) -> list[Middleware]:
    """The middleware that lets pages of these origins in; none if there are no origins. It must be the outermost, or
    pages could not read the answers that others give."""
    if not origins:
        return []
    options: dict[str, Any] = {
        "allow_origins": origins,
        "allow_methods": _METHODS,
        "allow_headers": ["*"],  # clients send many of their own, and none of them gives a page any right
        "expose_headers": _EXPOSED,
        "max_age": REMEMBERED_SECONDS,
    }
    return [Middleware(CORSMiddleware, **options)]
